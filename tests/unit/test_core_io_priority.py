"""The queue of the disk: a thread gives way, and only that thread."""

from __future__ import annotations

import platform
import sys
import threading

import pytest

from fieldrec.core import io_priority
from fieldrec.core.io_priority import give_way, gives_way


def test_a_thread_gives_way_and_no_other_does() -> None:
    found: list[bool] = []

    def work() -> None:
        found.extend((gives_way(), give_way(), gives_way()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False, True, True]
    assert not gives_way()


def test_a_machine_that_is_not_known_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "pdp11")
    assert not give_way()
    assert not gives_way()
    assert io_priority._NUMBERS["aarch64"] == (30, 31)


def test_a_32_bit_program_on_a_64_bit_kernel_asks_by_its_own_numbers(
        monkeypatch: pytest.MonkeyPatch) -> None:
    """252 is exit_group there, by the numbers of 32 bits."""
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert io_priority._numbers() == (251, 252)
    monkeypatch.setattr(sys, "maxsize", (1 << 31) - 1)
    assert io_priority._numbers() == (289, 290)
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert io_priority._numbers() == (314, 315)
