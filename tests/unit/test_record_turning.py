"""The turn thread: one thing after another, only when there is something, and its end."""

from __future__ import annotations

import threading

from fieldrec.record.turning import Turning
from tests.fakes.waiting import PATIENCE_S


def names() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "turn-c"]


def test_without_work_there_is_no_thread() -> None:
    turning = Turning("turn-c")
    assert names() == []
    turning.end()
    turning.join()
    assert names() == []


def test_all_that_was_asked_for_is_done_in_order_and_elsewhere() -> None:
    turning, done = Turning("turn-c"), list[tuple[int, str]]()
    for number in range(5):
        turning.do(lambda number=number: done.append(  # type: ignore[misc]
            (number, threading.current_thread().name)))
    turning.end()
    turning.end()
    turning.join()
    assert done == [(number, "turn-c") for number in range(5)]
    assert names() == []


def test_what_fails_stops_nothing() -> None:
    turning, done = Turning("turn-c"), threading.Event()

    def fail() -> None:
        raise ValueError("a bug")

    turning.do(fail)
    turning.do(done.set)
    turning.end()
    turning.join()
    assert done.is_set()


def hang(until: threading.Event) -> None:
    until.wait(PATIENCE_S)


def test_what_may_hang_holds_up_nobody() -> None:
    turning, may_end = Turning("left-c", may_hang=True), threading.Event()
    turning.do(lambda: hang(may_end))
    turning.end()
    assert not turning.join(0.01)
    may_end.set()
    assert turning.join(PATIENCE_S)
