"""Pauses between tries: they grow, and end, at once with a drive that is taken out."""

from __future__ import annotations

import asyncio

import pytest

from fieldrec.jobs.again import ATTEMPTS, FIRST_S, LONGEST_S, Again
from tests.fakes.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio


async def test_pauses_grow_and_are_bounded() -> None:
    again = Again(lambda: None)
    pauses = [again.pause_s(tries) for tries in range(1, 9)]
    assert pauses == [2, 8, 32, 128, 512, 600, 600, 600]
    assert (pauses[0], pauses[-1]) == (FIRST_S, LONGEST_S)
    assert sum(pauses[:ATTEMPTS - 1]) > 10 * 60  # before a transient error is final


async def test_a_pause_ends_by_itself_and_says_so() -> None:
    due = asyncio.Event()
    again = Again(due.set, first_s=0.001)
    again.later(1, again.pause_s(1), "full; again in 0 s")
    assert again.reason(1) == "full; again in 0 s"
    assert again.reason(2) is None
    await asyncio.wait_for(due.wait(), PATIENCE_S)
    assert again.reason(1) is None


async def test_pauses_for_a_place_end_when_that_is_away() -> None:
    woken: list[int] = []
    again = Again(lambda: woken.append(1))
    assert [again.was_gone("drive:A") for _ in range(3)] == [1, 2, 3]
    again.later(1, 600.0, "gone", "drive:A")
    again.later(2, 600.0, "other")
    again.look(frozenset({"drive:A"}))
    assert (again.reason(1), again.reason(2)) == ("gone", "other")
    again.look(frozenset())
    assert (again.reason(1), again.reason(2)) == (None, "other")
    assert again.was_gone("drive:A") == 1
    again.went_well("drive:A")
    assert again.was_gone("drive:A") == 1
    again.forget(2)
    again.forget(2)
    again.later(3, 600.0, "x")
    again.close()
    assert again.reason(3) is None
    assert woken == []
