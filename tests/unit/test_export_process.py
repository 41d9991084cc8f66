"""The export process by itself: its words, its exit codes, its manners, its death."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fieldrec.core.errors import NotFoundError
from fieldrec.export import process
from fieldrec.export.presets import preset
from tests.fakes.export_content import moving, write_store
from tests.fakes.waiting import PATIENCE_S


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write_store(tmp_path / "bees", moving(150))


def request(store: Path, parent: int | None = None) -> str:
    return json.dumps({"store": str(store), "preset": preset("High").to_request(),
                       "output_folder": str(store.parent),
                       "parent": os.getpid() if parent is None else parent})


def start(text: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "fieldrec.export.process", text],
                            stdout=subprocess.PIPE, text=True)


def until_encoding(child: subprocess.Popen[str]) -> None:
    """Wait until frames are being encoded, then hold the child there."""
    assert child.stdout is not None
    assert json.loads(child.stdout.readline())["progress"][0] == "encoding"
    child.send_signal(signal.SIGSTOP)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_it_says_progress_and_then_the_export(store: Path) -> None:
    with start(request(store)) as child:
        said = lines(child.communicate(timeout=PATIENCE_S)[0])
    assert child.returncode == 0
    assert said[-1]["export"]["path"] == str(store.parent / "bees.high.mp4")
    phases = [line["progress"] for line in said[:-1]]
    assert ["encoding", 1, 150] in phases
    assert ["encoding", 150, 150] in phases
    assert ["verifying", 150, 150] in phases
    assert len(phases) < 150  # not a line for every frame


def test_an_error_is_one_line_with_its_class(tmp_path: Path) -> None:
    with start(request(tmp_path / "nothing")) as child:
        said = lines(child.communicate(timeout=PATIENCE_S)[0])
    assert [line["error"][0] for line in said] == ["NotFoundError"]
    assert child.returncode == NotFoundError.exit_code == 5


def test_sigterm_stops_it_and_leaves_the_working_folder(store: Path) -> None:
    with start(request(store)) as child:
        until_encoding(child)
        child.send_signal(signal.SIGTERM)
        child.send_signal(signal.SIGCONT)
        said = lines(child.communicate(timeout=PATIENCE_S)[0])
    assert said[-1] == {"error": ["ExportStopped", "export stopped"]}
    assert child.returncode == process.EXIT_STOPPED == 143
    assert sorted(path.name for path in store.parent.iterdir()) == [".work-bees.high.mp4", "bees"]


def test_it_takes_only_idle_time(store: Path) -> None:
    with start(request(store)) as child:
        until_encoding(child)
        threads = [int(entry.name) for entry in Path(f"/proc/{child.pid}/task").iterdir()]
        policies = {os.sched_getscheduler(thread) for thread in threads}
        disk = subprocess.run(["ionice", "-p", str(child.pid)], capture_output=True, text=True,
                              check=True).stdout
        memory = Path(f"/proc/{child.pid}/oom_score_adj").read_text()
        child.kill()
        child.communicate()
    assert int(memory) == 500
    assert len(threads) > 1
    assert policies == {os.SCHED_IDLE}
    assert disk.strip() == "idle"


PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "fieldrec.export.process",
                          sys.argv[1].replace("PARENT", str(__import__("os").getpid()))],
                         stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("held", [False, True], ids=["running", "paused"])
def test_it_dies_with_its_parent(store: Path, held: bool) -> None:
    text = request(store).replace(str(os.getpid()), "PARENT")
    with subprocess.Popen([sys.executable, "-c", PARENT, text], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        watch = os.pidfd_open(pid)
        try:
            os.kill(pid, signal.SIGSTOP)
            if not held:
                os.kill(pid, signal.SIGCONT)
            parent.kill()
            assert select.select([watch], [], [], PATIENCE_S)[0], "the child outlived its parent"
        finally:
            os.close(watch)
    assert not (store.parent / "bees.high.mp4.json").exists()


def test_it_does_not_begin_when_its_parent_is_gone(store: Path) -> None:
    with start(request(store, parent=1 if os.getpid() != 1 else 2)) as child:
        assert child.communicate(timeout=PATIENCE_S)[0] == ""
    assert child.returncode == process.EXIT_ORPHANED
    assert [path.name for path in store.parent.iterdir()] == ["bees"]
