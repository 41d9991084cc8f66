"""Tiers of room: a table of readings, and any sequence of them against the rule said plainly."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from fieldrec.config.space import SpaceConfig
from fieldrec.core.model import SpaceTier
from fieldrec.record.space import MOST_HOURS, NOT_READ, SpaceJudge, SpaceReading

GB = 10**9
OK, WARN, ACT, STOP = SpaceTier.OK, SpaceTier.WARN, SpaceTier.ACT, SpaceTier.STOP
ORDER = (OK, WARN, ACT, STOP)


def left(gigabytes: float) -> SpaceReading:
    """Of a disk of 1 TB on which the last 60 GB are not recorded to."""
    return SpaceReading(1000 * GB, int((gigabytes + 60) * GB), int(gigabytes * GB))


def used(percent: float) -> SpaceReading:
    free = int(10 * GB * (100 - percent))
    return SpaceReading(1000 * GB, free, max(free - 60 * GB, 0))


# warn below 12 h, act below 3 h: at 10 GB an hour below 120 and 30 GB; left above 150 and 37.5
BY_HOURS = [
    ([500] * 3, OK), ([119] * 2, OK), ([119] * 3, WARN), ([119, 119, 500, 119, 119], OK),
    ([29] * 3, ACT), ([29] * 2 + [119], WARN), ([0] * 3, STOP), ([0, 0, 29], ACT),
    ([0, 0, 500], OK), ([-5] * 3, STOP),
    ([119] * 3 + [149] * 9, WARN), ([119] * 3 + [151] * 2, WARN), ([119] * 3 + [151] * 3, OK),
    ([29] * 3 + [37] * 9, ACT), ([29] * 3 + [38] * 3, WARN), ([29] * 3 + [500] * 3, OK),
    ([29] * 3 + [500, 500, 38], WARN), ([29] * 3 + [500, 500, 29, 500, 500], ACT),
    ([0] * 3 + [1] * 3, ACT), ([0] * 3 + [500] * 3, OK), ([0] * 3 + [500] * 2, STOP),
]
# warn from 80 %, act from 90 %, full at 94 %; left below 78 and 88
BY_PERCENT = [
    ([79] * 3, OK), ([80] * 3, WARN), ([80] * 3 + [78.5] * 9, WARN), ([80] * 3 + [77.9] * 3, OK),
    ([90] * 3, ACT), ([90] * 3 + [88.5] * 9, ACT), ([90] * 3 + [87.9] * 3, WARN),
    ([94] * 3, STOP), ([99] * 3 + [93] * 3, ACT), ([99] * 2, OK),
]


@pytest.mark.parametrize(("gigabytes", "tier"), BY_HOURS)
def test_tiers_by_hours(gigabytes: Sequence[float], tier: SpaceTier) -> None:
    judge = SpaceJudge(SpaceConfig())
    for one in gigabytes:
        judge.update(left(one), 10 * GB)
    assert judge.state.tier is tier


@pytest.mark.parametrize(("percent", "tier"), BY_PERCENT)
def test_tiers_by_percent_while_no_rate_is_known(percent: Sequence[float], tier: SpaceTier
                                                 ) -> None:
    judge = SpaceJudge(SpaceConfig())
    for one in percent:
        judge.update(used(one), 0)
    assert judge.state.tier is tier


@pytest.mark.parametrize("bad", [NOT_READ, left(0), left(10**9), left(-1)])
@pytest.mark.parametrize(("good", "tier"), [(500, OK), (119, WARN), (29, ACT)])
def test_one_bad_reading_makes_no_tier_and_ends_none(bad: SpaceReading, good: float,
                                                     tier: SpaceTier) -> None:
    judge = SpaceJudge(SpaceConfig())
    readings = [left(good)] * 3 + ([bad] * 2 + [left(good)]) * 5
    tiers = [judge.update(reading, 10 * GB).tier for reading in readings]
    assert tiers[2:] == [tier] * (len(readings) - 2)


def test_silence_keeps_what_was_known() -> None:
    judge = SpaceJudge(SpaceConfig())
    for _ in range(3):
        before = judge.update(left(29), 10 * GB)
    assert [judge.update(NOT_READ, 0) for _ in range(9)] == [before] * 9


def test_what_is_said() -> None:
    judge = SpaceJudge(SpaceConfig(readings=1))
    state = judge.update(left(25), 10 * GB)
    assert (state.hours_left, state.free_bytes, state.bytes_per_hour) == (2.5, 25 * GB, 10 * GB)
    assert state.reason == "2.5 h left at 10.0 GB/h (act below 3 h, until above 3.75 h)"
    state = judge.update(used(91), 0)
    assert state.hours_left is None
    assert state.reason == "91.0 % used (act from 90 %, until below 88 %)"
    assert judge.update(left(0), 10 * GB).reason == "full: 60.0 GB free"
    assert judge.update(left(900), 0).reason == ""


@pytest.mark.parametrize("rate", [0, 1, -7, 10**9, 2**63 - 1, 2**70])
@pytest.mark.parametrize("size", [1, 4096, 2 * 10**12, 2**63 - 1, 2**80])
def test_no_size_and_no_rate_is_too_much(rate: int, size: int) -> None:
    """2 TB free once stopped other people's recordings: 32 bits were not enough."""
    judge = SpaceJudge(SpaceConfig(readings=1))
    state = judge.update(SpaceReading(size * 2, size, size), rate)
    assert state.tier in (OK, WARN, ACT)
    assert state.tier is OK or rate > size // 12 - 1
    assert state.hours_left is None or 0 <= state.hours_left <= MOST_HOURS
    assert judge.to_free(left(1), rate) >= 0


def test_what_must_go_to_leave_act() -> None:
    judge = SpaceJudge(SpaceConfig(readings=1))
    judge.update(left(100), 10 * GB)
    assert judge.to_free(left(100), 10 * GB) == 0  # WARN is only said
    judge.update(left(20), 10 * GB)
    freed = judge.to_free(left(20), 10 * GB)
    assert freed == 37.5 * GB - 20 * GB
    judge.update(left(20 + freed / GB), 10 * GB)
    assert judge.state.tier is WARN
    judge.update(used(92), 0)
    freed = judge.to_free(used(92), 0)
    assert freed == 40 * GB
    judge.update(used(92 - freed / (10 * GB) - 0.1), 0)
    assert judge.state.tier is WARN


def _limits(tier: SpaceTier, config: SpaceConfig) -> tuple[float, float]:
    """(act, warn) limits in GB at 10 GB an hour, as they are from this tier."""
    return (config.act_hours * (12.5 if tier in (ACT, STOP) else 10),
            config.warn_hours * (12.5 if tier is not OK else 10))


def _plainly(gigabytes: float | None, tier: SpaceTier, config: SpaceConfig) -> SpaceTier | None:
    if gigabytes is None:
        return None
    act, warn = _limits(tier, config)
    if gigabytes <= 0:
        return STOP
    return ACT if gigabytes < act else WARN if gigabytes < warn else OK


@pytest.mark.parametrize("seed", range(40))
def test_any_readings_obey_the_rule(seed: int) -> None:
    """A tier changes only after `readings` of them in a row beyond it, and then at once."""
    rng = random.Random(seed)
    config = SpaceConfig(readings=rng.choice([1, 2, 3, 5]))
    judge = SpaceJudge(config)
    tier, row = OK, list[SpaceTier]()
    at = 500.0
    for _ in range(400):
        at = min(max(at + rng.uniform(-40, 38), 0), 600)
        said: float | None = at
        if rng.random() < 0.15:  # a bad one, now and then two
            said = rng.choice([None, 0.0, -1.0, 5000.0])
        judge.update(NOT_READ if said is None else left(said), 10 * GB)
        one = _plainly(said, tier, config)
        row = [] if one is None else [*row, one][-config.readings:]
        ranks, here = [ORDER.index(each) for each in row], ORDER.index(tier)
        if len(row) == config.readings and (min(ranks) > here or max(ranks) < here):
            tier = ORDER[min(ranks) if min(ranks) > here else max(ranks)]
            row = []
        assert judge.state.tier is tier
