"""`fieldrec verify`: what it says, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fieldrec.cli.verify import MOST_LINES, fault_of, lines, verify_command
from fieldrec.core.errors import FieldrecError, NotFoundError
from tests.unit.test_mhl_reference import nas, spoil

__all__ = ["nas"]


def run(*words: object) -> Result:
    return CliRunner().invoke(verify_command, [str(word) for word in words])


def test_a_line_for_each_and_a_sum(nas: Path) -> None:
    result = run(nas)
    assert result.exit_code == 0, result.output
    first, second, end = result.stdout.splitlines()
    assert first.startswith(f"{nas / 'bees'}: right (14 files, 2")
    assert first.endswith("1 generation)")
    assert second.startswith(f"{nas / 'bees.high.mp4'}: right (no history: compared with its own")
    assert end.startswith("2 places: all right; ")


@pytest.mark.parametrize(("damage", "code", "said"), [
    ("flip", 22, "damaged: bees/000001/000002.npy: other content"),
    ("truncated", 22, "damaged: bees/000001/000002.npy: truncated"),
    ("missing", 24, "missing: bees/000001/000002.npy"),
    ("extra", 25, "extra: bees/000001/stranger.npy"),
    ("manifest", 26, "its C4 differs"),
])
def test_exit_codes_say_what_is_wrong(nas: Path, damage: str, code: int, said: str) -> None:
    spoil(nas / "bees", damage)
    result = run(nas / "bees")
    assert said in result.stdout
    assert "1 not right" in result.stdout
    assert isinstance(result.exception, FieldrecError)
    assert result.exception.exit_code == code


def test_the_worst_is_what_the_exit_code_says(nas: Path) -> None:
    spoil(nas / "bees", "extra")
    (nas / "bees" / "bees" / "metadata.yaml").unlink()
    error = run(nas / "bees").exception
    assert isinstance(error, FieldrecError)
    assert error.exit_code == 24
    assert str(error) == "not all is as it was recorded: 1 missing, 1 extra"
    assert fault_of([]) is None


def test_json_and_a_generation(nas: Path) -> None:
    spoil(nas / "bees", "flip")
    result = run("--json", "--write", nas / "bees")
    told, = json.loads(result.stdout)
    assert told["damaged"] == [{"path": "bees/000001/000002.npy",
                                "why": "other content (xxh64 differs)"}]
    assert (told["right"], told["files"]) == (False, 13)
    assert Path(told["written"]).name.startswith("0002_bees_")


def test_nothing_there(tmp_path: Path) -> None:
    assert isinstance(run(tmp_path).exception, NotFoundError)


def test_one_place_with_nothing_in_it_does_not_keep_the_others_from_being_looked_at(
        nas: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run(tmp_path / "empty", nas / "bees", tmp_path / "gone")
    assert "1 place: all right" in result.stdout
    assert "no such file or folder" in result.stderr
    assert isinstance(result.exception, NotFoundError)
    spoil(nas / "bees", "flip")
    result = run(tmp_path / "gone", nas / "bees")
    assert "no such file or folder" in result.stderr
    assert isinstance(result.exception, FieldrecError)
    assert result.exception.exit_code == 22


def test_names_from_a_drive_are_shown_harmless_and_not_without_end(nas: Path) -> None:
    from fieldrec.catalogue.verify import verify

    for number in range(MOST_LINES + 5):
        (nas / "bees" / f"\x1b[31m{number:03d}").write_bytes(b"")
    outcome, = verify(nas / "bees")
    said = list(lines(outcome))
    assert "\x1b" not in "".join(said)
    assert said[-1] == "  … and 5 more (--json tells all)"
