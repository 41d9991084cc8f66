"""The house rules that a machine can check: imports go down only, durable steps have one caller."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2] / "fieldrec"
FLOORS: dict[str, int] = {
    "core": 0,
    "config": 1,
    "camera": 2, "store": 2, "power": 2, "drives": 2, "sensors": 2, "mhl": 2,
    "catalogue": 3, "destinations": 3, "export": 3, "logbook": 3,
    "record": 4,
    "jobs": 5, "schedule": 5,
    "control": 6,
    "status": 7,
    "app": 8,
    "cli": 9,
}
DURABLE_ONLY = {"fsync", "fdatasync", "rename", "replace", "unlink", "remove", "rmtree", "rmdir"}
"""Names that only core/durable may call on os, shutil or a path."""


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def package_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def floor_violations(path: Path, source: str) -> list[str]:
    own = package_of(path)
    if own == "__init__":
        return []
    found = []
    for name in imports(ast.parse(source)):
        parts = name.split(".")
        if parts[0] != "fieldrec" or len(parts) < 2 or parts[1] not in FLOORS:
            continue
        other = parts[1]
        if other != own and FLOORS[other] >= FLOORS[own]:
            found.append(f"{path.relative_to(ROOT)} ({own}, floor {FLOORS[own]}) imports {name} "
                         f"(floor {FLOORS[other]})")
    return found


def durable_violations(path: Path, source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr not in DURABLE_ONLY:
            continue
        target = node.func.value
        base = target.id if isinstance(target, ast.Name) else ""
        text_replace = node.func.attr in ("replace", "remove") and base not in ("os", "shutil")
        if base in ("durable", "dataclasses") or text_replace:
            continue
        found.append(f"{path.relative_to(ROOT)}:{node.lineno} calls .{node.func.attr}()")
    return found


def test_every_package_has_a_floor() -> None:
    unknown = {package_of(path) for path in modules()} - set(FLOORS) - {"__init__"}
    assert not unknown


def test_imports_go_down_only() -> None:
    assert [found for path in modules() for found in floor_violations(path, path.read_text())] == []


def test_only_durable_syncs_renames_and_deletes() -> None:
    others = [path for path in modules() if path != ROOT / "core" / "durable.py"]
    assert [found for path in others for found in durable_violations(path, path.read_text())] == []


def test_the_checks_see_a_violation() -> None:
    path = ROOT / "store" / "writer.py"
    assert floor_violations(path, "from fieldrec.record import ring")
    assert floor_violations(path, "from fieldrec.camera import Camera")
    assert durable_violations(path, "import os\nos.fsync(3)")
    assert durable_violations(path, "from pathlib import Path\nPath('x').unlink()")
    assert not durable_violations(path, "'a'.replace('a', 'b')")


def test_no_file_is_too_long_to_read() -> None:
    long = {str(path.relative_to(ROOT)): count for path in modules()
            if (count := len(path.read_text().splitlines())) > 450}
    assert not long
