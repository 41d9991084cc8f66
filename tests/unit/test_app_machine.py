"""The commands that switch a machine off: what they say when they fail, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldrec.app import machine
from fieldrec.app.machine import ThisMachine
from fieldrec.core.errors import FieldrecError


def script(folder: Path, text: str) -> str:
    path = folder / "off"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_command_is_run_with_its_words(tmp_path: Path) -> None:
    ThisMachine().run([script(tmp_path, f'echo "$2 $1" > {tmp_path}/said'), "one", "two words"])
    assert (tmp_path / "said").read_text() == "two words one\n"


@pytest.mark.parametrize(("text", "says"), [
    ("echo no polkit >&2; exit 1", "failed (1): no polkit"),
    ("exit 4", "failed (4): it said nothing"),
])
def test_one_that_fails_is_said(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(FieldrecError) as caught:
        ThisMachine().run([script(tmp_path, text)])
    assert says in str(caught.value)


def test_one_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FieldrecError, match="cannot be run: "):
        ThisMachine().run([str(tmp_path / "none")])


def test_one_that_hangs_is_given_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "COMMAND_PATIENCE_S", 0.05)
    with pytest.raises(FieldrecError, match=r"did not return within 0\.05 s"):
        ThisMachine().run([script(tmp_path, "exec sleep 30")])


def test_the_time_asleep_never_runs_back() -> None:
    before = ThisMachine().asleep_ns()
    assert ThisMachine().asleep_ns() >= before - 1_000_000  # two clocks, read one after the other
