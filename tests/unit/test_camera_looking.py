"""Looking for cameras: every backend is asked, none can spoil the list."""

from __future__ import annotations

import threading

from fieldrec.camera.discovery import backend_names
from fieldrec.camera.found import FoundCamera
from fieldrec.camera.looking import finders, look
from tests.fakes.waiting import PATIENCE_S

LEFT, RIGHT = FoundCamera("a", "left"), FoundCamera("b", "right")


def test_what_all_find_in_their_order() -> None:
    second = threading.Event()

    def slower() -> list[FoundCamera]:
        second.wait(PATIENCE_S)
        return [LEFT]

    def faster() -> list[FoundCamera]:
        second.set()
        return [RIGHT, RIGHT]

    assert look({"a": slower, "b": faster}) == [LEFT, RIGHT, RIGHT]
    assert look({}) == []


def test_one_that_hangs_does_not_hold_up_the_others() -> None:
    let_go = threading.Event()

    def hangs() -> list[FoundCamera]:
        let_go.wait(PATIENCE_S)
        return []

    found = look({"stuck": hangs, "b": lambda: [RIGHT]}, patience_s=0.5)
    let_go.set()
    for thread in threading.enumerate():
        if thread.name == "find-stuck":
            thread.join()
    assert found[1:] == [RIGHT]
    assert (found[0].serial, found[0].backend) == ("", "stuck")
    assert "did not answer within 0.5 s" in found[0].problem


def test_one_that_fails_says_why() -> None:
    def fails() -> list[FoundCamera]:
        raise OSError("the driver is upset")

    found = look({"x": fails, "b": lambda: [RIGHT]})
    assert found == [FoundCamera("x", "", problem="OSError: the driver is upset"), RIGHT]


def test_backends_that_cannot_look_are_not_asked() -> None:
    asked = finders()
    assert "synthetic" in asked
    assert "file" not in asked
    assert set(asked) <= set(backend_names())
