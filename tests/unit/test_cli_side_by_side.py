"""Pieces of work side by side: so many at a time, none stopped by the failure of another."""

from __future__ import annotations

import os
import threading

import pytest

from fieldrec.cli.side_by_side import Piece, Progress, at_a_time, side_by_side
from fieldrec.core.errors import StoreDamaged, StoreError, UsageError
from tests.fakes.waiting import PATIENCE_S


def piece(name: str, error: Exception | None = None) -> Piece:
    def work(_stop: threading.Event, on_progress: Progress) -> str:
        on_progress("encoding", 1, 1)
        if error is not None:
            raise error
        return f"{name}: made"
    return Piece(name, work)


def test_one_that_fails_does_not_stop_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    failures = side_by_side([piece("a"), piece("b", StoreDamaged("no frame")), piece("c"),
                             piece("d", UsageError("no time"))], 1, threading.Event())
    assert [(failure.name, str(failure.error)) for failure in failures] == [
        ("b", "no frame"), ("d", "no time")]
    assert capsys.readouterr() == ("a: made\nc: made\n",
                                   "fieldrec: b: no frame\nfieldrec: d: no time\n")


def test_the_failure_of_a_single_one_is_left_to_the_caller(capsys: pytest.CaptureFixture[str]
                                                           ) -> None:
    assert side_by_side([piece("a", StoreError("full"))], 1, threading.Event())[0].name == "a"
    assert capsys.readouterr() == ("", "")


def test_so_many_at_a_time_and_nicer_than_the_rest() -> None:
    together = threading.Barrier(3)
    niceness: list[int] = []

    def meet(_stop: threading.Event, _on_progress: Progress) -> str:
        together.wait(PATIENCE_S)  # breaks where fewer than three run at once
        niceness.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return ""

    before = os.getpriority(os.PRIO_PROCESS, 0)
    assert side_by_side([Piece(name, meet) for name in "abc"], 3, threading.Event()) == []
    assert niceness == [10] * 3
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_a_stop_ends_what_runs_and_begins_nothing_more(capsys: pytest.CaptureFixture[str]) -> None:
    stop = threading.Event()
    begun: list[str] = []

    def stopped(_stop: threading.Event, _on_progress: Progress) -> str:
        begun.append("a")
        stop.set()
        raise StoreError("stopped")

    def never(_stop: threading.Event, _on_progress: Progress) -> str:
        begun.append("b")
        return "b: made"

    assert side_by_side([Piece("a", stopped), Piece("b", never)], 1, stop) == []
    assert begun == ["a"]
    assert stop.is_set()
    assert capsys.readouterr() == ("", "")


def test_a_stop_that_came_too_late_is_taken_back(capsys: pytest.CaptureFixture[str]) -> None:
    stop = threading.Event()

    def committing(_stop: threading.Event, _on_progress: Progress) -> str:
        stop.set()
        return "a: made"

    assert side_by_side([Piece("a", committing)], 1, stop) == []
    assert not stop.is_set()
    assert capsys.readouterr().out == "a: made\n"


def test_a_bug_in_one_is_seen_after_the_others_have_ended(capsys: pytest.CaptureFixture[str]
                                                          ) -> None:
    with pytest.raises(ZeroDivisionError):
        side_by_side([piece("a", ZeroDivisionError()), piece("b")], 1, threading.Event())
    assert capsys.readouterr().out == "b: made\n"


def test_as_many_as_there_are_cores_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    assert at_a_time(1) == 1
    assert 1 <= at_a_time(100) <= 4
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0})
    assert at_a_time(100) == 1
