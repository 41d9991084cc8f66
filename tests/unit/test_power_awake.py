"""Leases that keep the box awake: named, and never for ever."""

from __future__ import annotations

import math

import pytest

from fieldrec.core.errors import UsageError
from fieldrec.power.awake import Awake, Holder, Lease
from tests.fakes.cameras import SECOND_NS, ManualClock


class Rig:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.dropped: list[Lease] = []
        self.changes = 0
        self.awake = Awake(self.clock, on_change=self.changed, on_drop=self.dropped.append)

    def changed(self) -> None:
        self.changes += 1

    @property
    def names(self) -> list[str]:
        return [holder.name for holder in self.awake.holders()]


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_whoever_holds_is_named_with_since_and_until(rig: Rig) -> None:
    began_ns = rig.clock.epoch
    with rig.awake.lease("export", 600):
        rig.clock.forward(5)
        camera = rig.awake.lease("recording", math.inf)
        assert rig.awake.holders() == (
            Holder("export", began_ns, began_ns + 600 * SECOND_NS),
            Holder("recording", began_ns + 5 * SECOND_NS, None))
        assert rig.awake.due_in_s() == 595
    assert rig.names == ["recording"]
    assert rig.awake.due_in_s() == math.inf
    camera.release()
    camera.release()  # idempotent
    assert rig.names == []
    assert rig.changes == 4


def test_over_its_maximum_it_holds_no_more_and_that_is_said_once(rig: Rig) -> None:
    hung = rig.awake.lease("job 7", 3600)
    other = rig.awake.lease("job 8", 7200)
    rig.clock.forward(3599.9)
    assert rig.names == ["job 7", "job 8"]
    rig.clock.forward(0.1)
    assert rig.names == ["job 8"]
    assert rig.awake.due_in_s() == 3600
    assert (rig.dropped, hung.dropped, other.dropped) == ([hung], True, False)
    hung.release()
    assert rig.names == ["job 8"]
    rig.clock.forward(3600)
    assert rig.awake.due_in_s() == math.inf
    assert rig.dropped == [hung, other]


def test_a_recording_outlasts_everything(rig: Rig) -> None:
    with rig.awake.lease("recording", math.inf):
        rig.clock.forward(400 * 86_400)
        assert rig.names == ["recording"]
        assert rig.dropped == []


def test_two_of_one_name_are_two(rig: Rig) -> None:
    first, second = rig.awake.lease("person", 60), rig.awake.lease("person", 90)
    first.release()
    assert rig.names == ["person"]
    second.release()
    assert rig.names == []


def test_a_wall_clock_that_is_set_changes_no_maximum(rig: Rig) -> None:
    rig.awake.lease("person", 60)
    rig.clock.step_wall(86_400)
    assert rig.names == ["person"]
    (holder,) = rig.awake.holders()
    assert holder.until_ns == rig.clock.epoch + 60 * SECOND_NS


@pytest.mark.parametrize("max_s", [0, -1, math.nan, -math.inf])
def test_a_maximum_must_be_one(rig: Rig, max_s: float) -> None:
    with pytest.raises(UsageError, match="use a time above 0"):
        rig.awake.lease("person", max_s)
    assert rig.names == []
