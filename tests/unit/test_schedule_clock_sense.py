"""Which wall clocks are known to be wrong."""

from __future__ import annotations

from fieldrec import __released__
from fieldrec.schedule.calendar import SECOND_NS
from fieldrec.schedule.clock_sense import ClockSense
from tests.fakes.schedules import at

HOUR_NS = 3600 * SECOND_NS
NOW = at("2027-05-01 12:00")


def sense(awake: str | None = None, synchronised: bool = False) -> ClockSense:
    return ClockSense(None if awake is None else at(awake), lambda: synchronised)


def test_a_clock_before_this_program_is_wrong_whoever_says_otherwise() -> None:
    before = at(__released__) - SECOND_NS
    assert "before this fieldrec was made" in sense(synchronised=True).problem(before, 0)
    assert sense().problem(at(__released__), 0) == ""


def test_a_clock_that_nobody_synchronises_is_not_wrong_for_that() -> None:
    assert sense().problem(NOW, 0) == ""
    assert sense("2027-05-01 11:00").problem(NOW, 0) == ""


def test_a_clock_behind_the_last_sign_of_life_is_wrong_until_it_is_set_or_has_come_there() -> None:
    behind = sense("2027-05-01 14:00")
    assert "the box was awake on 2027-05-01 at 14:00 already" in behind.problem(NOW, 0)
    assert behind.problem(NOW + HOUR_NS // 2, HOUR_NS // 2)
    assert behind.problem(NOW + HOUR_NS + 1, HOUR_NS + 1) == ""
    other = sense("2027-05-01 14:00")
    assert other.problem(NOW, 0)
    assert other.problem(NOW + 5 * SECOND_NS, SECOND_NS) == ""  # four seconds forward, by hand
    assert sense("2027-05-01 14:00", synchronised=True).problem(NOW, 0) == ""


def test_it_goes_wrong_again_when_it_falls_back_to_its_beginning() -> None:
    falling = sense()
    assert falling.problem(NOW, 0) == ""
    assert falling.problem(5 * SECOND_NS, SECOND_NS)
    assert falling.problem(NOW, 2 * SECOND_NS) == ""


def test_any_clock_at_all_is_judged() -> None:
    for wall_ns in (-5 * SECOND_NS, 0, 2**63 - 1, 2**70):
        sense("2027-05-01 14:00").problem(wall_ns, 0)
