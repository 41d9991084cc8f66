"""Ctrl-C of the bench: nothing that it started lives on, and what was half made is undone."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

PARTS = Path(__file__).parents[2] / "scripts" / "bench_parts"
BROKEN_OFF = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import processes
processes.heed_ctrl_c()
try:
    with processes.undisturbed():
        os.kill(os.getpid(), signal.SIGINT)
        print("whole", end=" ")
        if sys.argv[2:]:
            raise ValueError("its child heard it too")
    print("went on", end=" ")
except KeyboardInterrupt:
    os.kill(os.getpid(), signal.SIGINT)
    print("undone", end=" ")
with processes.undisturbed():
    print("removed")
"""


@pytest.fixture
def processes() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_processes", PARTS / "processes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_was_started_ends_with_all_that_it_started(processes: ModuleType) -> None:
    script = "trap 'echo put in order; exit 3' TERM; sleep 600 & echo $!; wait"
    with pytest.raises(KeyboardInterrupt), \
            processes.started("sh", "-c", script, stdout=subprocess.PIPE) as process:
        below = int(process.stdout.readline())
        assert lives(below)
        raise KeyboardInterrupt
    assert process.returncode == 3
    assert not lives(below)


def test_a_command_that_fails_is_said_and_one_that_ends_well_is_read(processes: ModuleType) -> None:
    assert processes.run("echo", 5) == "5\n"
    with pytest.raises(subprocess.CalledProcessError):
        processes.run("false")


def test_what_was_started_hears_no_ctrl_c_itself(processes: ModuleType) -> None:
    with processes.started("sleep", "600", ending=signal.SIGKILL) as process:
        group = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[2])
        process.kill()
    assert group == process.pid


@pytest.mark.parametrize("more", [[], ["fails"]])
def test_ctrl_c_waits_for_what_must_be_whole_and_comes_once(more: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", BROKEN_OFF, str(PARTS), *more],
                          capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "whole undone removed"
