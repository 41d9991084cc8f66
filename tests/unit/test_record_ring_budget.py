"""Each camera's share of the memory for rings."""

from __future__ import annotations

import random

import pytest

from fieldrec.core.model import FrameSpec
from fieldrec.record.ring import LEAST_SLOTS
from fieldrec.record.ring_budget import (
    StandingRings,
    late_share,
    ring_need,
    ring_shares,
    slot_bytes,
)

MB = 1_000_000


def test_a_need_is_what_the_camera_gives_in_the_time_in_whole_pages_and_a_spare() -> None:
    spec = FrameSpec((1000, 1001), "uint8", "MONO8", 25.0)
    assert slot_bytes(spec) == 245 * 4096
    assert ring_need(spec, 2.0) == (51 * 245 * 4096, (LEAST_SLOTS + 1) * 245 * 4096)
    slow = FrameSpec((1000, 1001), "uint8", "MONO8", 0.1)
    assert ring_need(slow, 2.0) == ((LEAST_SLOTS + 1) * 245 * 4096,) * 2


@pytest.mark.parametrize(("needs", "total", "shares"), [
    ({"a": (100, 10), "b": (50, 10)}, 1000, {"a": 100, "b": 50}),  # enough: what each needs
    ({"a": (100, 10), "b": (50, 10)}, 75, {"a": 50, "b": 25}),  # by need
    ({"fast": (1000, 10), "slow": (20, 20)}, 200, {"fast": 180, "slow": 20}),  # the least first
    ({"a": (100, 40), "b": (100, 40)}, 50, {"a": 40, "b": 40}),  # the least is more than the bound
    ({"a": (100, 10)}, 0, {"a": 10}),
    ({}, 100, {}),
])
def test_shares(needs: dict[str, tuple[int, int]], total: int, shares: dict[str, int]) -> None:
    assert ring_shares(needs, total) == shares


def test_shares_never_exceed_the_bound_unless_the_least_does() -> None:
    chance = random.Random(4)
    for _ in range(300):
        needs = {}
        for key in "abcdefg"[:chance.randint(1, 7)]:
            least = chance.randint(1, 30)
            needs[key] = (least * chance.randint(1, 50), least)
        total = chance.randint(0, 3000)
        shares = ring_shares(needs, total)
        assert sum(shares.values()) <= max(total, sum(least for _, least in needs.values()))
        assert all(needs[key][1] <= share <= needs[key][0] for key, share in shares.items())


def test_rings_for_the_preroll_are_weighed_by_what_they_hold() -> None:
    """Whichever camera opens first."""
    small = FrameSpec((100, 100), "uint8", "MONO8", 10.0)
    large = FrameSpec((1000, 1000), "uint8", "MONO8", 100.0)
    total = 200 * MB
    small_need, large_need = (ring_need(spec, 1.0, 4.0)[0] for spec in (small, large))
    assert (small_need, large_need > total) == (52 * 3 * 4096, True)
    rings = StandingRings(["a", "b"], 1.0, 4.0, total)
    assert rings.share("a", small) == small_need - slot_bytes(small)
    assert rings.share("b", large) == pytest.approx(total - small_need, rel=0.01)
    rings = StandingRings(["a", "b"], 1.0, 4.0, total)
    assert rings.share("b", large) == total // 2 - slot_bytes(large)  # the other may be as large
    assert rings.share("a", small) == pytest.approx(small_need, rel=0.7)
    assert rings.share("b", large) == pytest.approx(total - small_need, rel=0.01)  # opened again


def test_standing_rings_never_exceed_the_bound() -> None:
    chance = random.Random(5)
    for _ in range(100):
        keys = "abcde"[:chance.randint(1, 5)]
        rings, total = StandingRings(keys, 1.0, 2.0, 100 * MB), 0
        for key in chance.sample(keys, len(keys)):
            spec = FrameSpec((chance.randint(10, 1000), 1000), "uint8", "MONO8",
                             chance.uniform(0.0, 200.0))
            total += rings.share(key, spec) + slot_bytes(spec)
        assert total <= 100 * MB + 5 * (LEAST_SLOTS + 1) * 1_003_520


def test_a_late_camera_gets_what_is_left_of_its_share() -> None:
    needs = {"a": (100 * MB, MB), "b": (100 * MB, MB)}
    assert late_share("b", needs, {"a": 75 * MB}, 150 * MB) == 75 * MB
    assert late_share("b", needs, {"a": 100 * MB}, 150 * MB) == 50 * MB  # it was alone at first
    assert late_share("b", needs, {"a": 150 * MB}, 150 * MB) == MB
    assert late_share("a", needs, {"a": 10 * MB}, 200 * MB) == 100 * MB  # its own ring is gone
