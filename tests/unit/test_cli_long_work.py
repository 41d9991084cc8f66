"""A signal is a wish to end in order; progress is for people at a terminal."""

from __future__ import annotations

import os
import pty
import signal
import sys

import pytest

from fieldrec.cli.long_work import Interrupted, Progress, stopped_by_signals
from fieldrec.core.errors import StoreError


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_told_to_the_work_and_then_to_the_caller(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    done = []
    with pytest.raises(Interrupted, match="interrupted; all is well"), \
            stopped_by_signals("all is well") as stop:
        signal.raise_signal(number)
        assert stop.is_set()
        done.append("in order")
    assert done == ["in order"]
    assert signal.getsignal(number) is before
    assert Interrupted.exit_code == 130


def test_how_the_work_ended_because_of_it_is_not_said_twice() -> None:
    with pytest.raises(Interrupted), stopped_by_signals("x"):
        signal.raise_signal(signal.SIGINT)
        raise StoreError("stopped")


def test_without_a_signal_nothing_changes() -> None:
    with stopped_by_signals("x") as stop:
        pass
    assert not stop.is_set()
    with pytest.raises(StoreError, match="disk"), stopped_by_signals("x"):
        raise StoreError("disk")


def test_progress_is_one_line_that_is_wiped_away(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, its = pty.openpty()
    try:
        with os.fdopen(os.dup(its), "w") as terminal:
            monkeypatch.setattr(sys, "stderr", terminal)
            with Progress() as say:
                say("converting", 1, 10)
                say("converting", 10, 10)
                say("comparing", 1, 0)
        said = ""
        while said.count("\r") < 5:  # the kernel passes it on in pieces: three lines, and the end
            said += os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(its)
    assert "\n" not in said
    assert "converting: 10 of 10 (100 %)" in said
    assert "comparing: 1" in said
    shown = said.split("\r")
    assert shown[-2].strip() == shown[-1] == ""
    assert len(shown[-2]) >= len("comparing: 1")


def test_no_progress_where_nobody_looks_on(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as say:
        say("converting", 1, 10)
    assert capsys.readouterr().err == ""
