"""A stop that hangs with the loop blocked: the process ends all the same."""

from __future__ import annotations

import threading

from fieldrec.app.last_resort import LastResort
from fieldrec.core.errors import FieldrecError
from tests.fakes.waiting import PATIENCE_S


class Ended:
    def __init__(self, fails: bool = False) -> None:
        self.log: list[str] = []
        self.left = threading.Event()
        self._fails = fails

    def switch_off(self) -> None:
        self.log.append("off")
        if self._fails:
            raise FieldrecError("no polkit")

    def leave(self, code: int) -> None:
        self.log.append(f"left {code}")
        self.left.set()


def test_it_switches_off_and_leaves(capfd: object) -> None:
    for fails in (False, True):
        ended = Ended(fails)
        resort = LastResort(0.01, ended.switch_off, ended.leave)
        resort.begin()
        resort.begin()
        assert ended.left.wait(PATIENCE_S)
        resort.done()
        assert ended.log == ["off", "left 8"]


def test_a_stop_that_ends_needs_none() -> None:
    ended = Ended()
    resort = LastResort(600, ended.switch_off, ended.leave)
    resort.done()
    resort = LastResort(600, ended.switch_off, ended.leave)
    resort.begin()
    resort.done()
    assert ended.log == []
