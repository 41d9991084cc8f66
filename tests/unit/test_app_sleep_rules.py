"""When the box may sleep: the whole table."""

from __future__ import annotations

import pytest

from fieldrec.app.sleep_rules import SECOND_NS, Sleep, Stay, View, decide
from fieldrec.config.sleep import SleepConfig

NOW = 1_795_000_000 * SECOND_NS
CONFIG = SleepConfig(mode="between_windows", lead_s=120, min_s=900, longest_s=21_600, idle_s=60)


def view(*held_by: str, next_s: float | None = 7200, idle_s: float = 60.0, problem: str = ""
         ) -> View:
    next_ns = None if next_s is None else NOW + int(next_s * SECOND_NS)
    return View(NOW, held_by, idle_s, next_ns, problem)


def at(seconds: float) -> int:
    return NOW + int(seconds * SECOND_NS)


@pytest.mark.parametrize(("seen", "reason", "again_s"), [
    (view("recording"), "held awake by recording", None),
    (view("job 1: x", "drive A"), "held awake by job 1: x, drive A", None),
    (view("recording", next_s=None, problem="x"), "held awake by recording", None),
    (view(next_s=None), "nothing is scheduled: nothing would wake it", None),
    (view(idle_s=59.0), "idle for 59 s of 1 min", 1.0),
    (view(idle_s=0.0, problem="no RTC"), "idle for 0 s of 1 min", 60.0),
    (view(next_s=120 + 899), "less than 15 min to sleep", None),
    (view(next_s=60), "less than 15 min to sleep", None),
    (view(next_s=-60), "less than 15 min to sleep", None),
    (view(problem="no RTC at /x"), "no RTC at /x", None),
])
def test_it_stays_awake(seen: View, reason: str, again_s: float | None) -> None:
    verdict = decide(seen, CONFIG)
    assert isinstance(verdict, Stay)
    assert verdict.reason.endswith(reason)
    assert verdict.again_s == again_s
    never = decide(seen, CONFIG.model_copy(update={"mode": "never"}))
    assert never == Stay("it never sleeps (sleep.mode)", None)


@pytest.mark.parametrize(("next_s", "until_s"), [
    (120 + 900, 900), (7200, 7080), (21_600 + 120, 21_600), (30 * 86_400, 21_600)])
def test_it_sleeps_until_it_is_wanted_or_looks_in_between(next_s: float, until_s: float) -> None:
    verdict = decide(view(next_s=next_s), CONFIG)
    assert isinstance(verdict, Sleep)
    assert verdict.until_ns == at(until_s)
    assert verdict.reason.endswith("looking in between") == (next_s > 21_720)


@pytest.mark.parametrize("seen", [view(), view(next_s=30 * 86_400)])
def test_without_the_mode_it_never_sleeps(seen: View) -> None:
    assert isinstance(decide(seen, SleepConfig()), Stay)
