"""What the schedule wants: windows, moments, missed ones; clocks that jump, against an oracle."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest

from fieldrec.schedule.calendar import SECOND_NS, Calendar
from fieldrec.schedule.deciding import (
    GRACE_NS,
    Deciding,
    Enter,
    Fire,
    Leave,
    Missed,
    Prolong,
    Step,
)
from fieldrec.schedule.memory import Lived, Memory
from tests.fakes.schedules import at, calendar

NIGHT = {"night": {"do": "start", "when": "from 20:00 to 06:00"}}
CLIP = {"clip": {"do": "start", "when": "*/30 * * * *", "duration": "10min"}}
COPY = {"copy": {"do": "copy_all", "when": "0 12 * * *", "destination": "archive"}}
MONO = 1_000 * SECOND_NS


class Box:
    """A Deciding whose two clocks the test moves."""

    def __init__(self, tasks: dict[str, Any], now: str, late: Any = "start") -> None:
        self.calendar = calendar(tasks)
        self.wall, self.mono, self.late = at(now), MONO, late
        self.deciding = Deciding(self.calendar, Memory(), late=late)
        self.steps: list[Step] = []

    def look(self, away: str = "") -> list[Step]:
        """The steps of one look."""
        found = self.deciding.look(self.wall, self.mono, away)
        self.steps += found
        return found

    def passes(self, hours: float) -> list[Step]:
        """Time passes; looked at whenever there is something to look at."""
        until = self.mono + int(hours * 3600 * SECOND_NS)
        found: list[Step] = []
        while self.mono < until:
            next_ns = self.deciding.next_look_ns(self.wall, self.mono)
            step = min(until - self.mono, 600 * SECOND_NS)
            if next_ns is not None:
                step = min(step, max(next_ns - self.wall, 0))
            self.wall += step
            self.mono += step
            found += self.look()
        return found

    def set_clock(self, now: str) -> list[Step]:
        """Somebody sets it; the box is woken by that."""
        self.wall = at(now)
        return self.look()

    def restart(self, off_hours: float, away: str = "off") -> list[Step]:
        """Another process, later, with what was written down."""
        memory = Memory.from_json(json.loads(json.dumps(self.deciding.memory.as_json())))
        self.wall += int(off_hours * 3600 * SECOND_NS)
        self.mono += int(off_hours * 3600 * SECOND_NS)
        self.deciding = Deciding(self.calendar, memory, late=self.late)
        return self.look(away)

    @property
    def wanted(self) -> list[str]:
        return [one.task for one in self.deciding.wanted]


def names(steps: list[Step]) -> list[str]:
    """"Enter night", "Fire copy"… in order."""
    return [f"{type(step).__name__} {_task(step)}" for step in steps]


def _task(step: Step) -> str:
    match step:
        case Enter(window=window) | Prolong(window=window):
            return window.task
        case Leave(entered=entered):
            return entered.task
        case Fire(task=task) | Missed(task=task):
            return task


# --- an orderly life ------------------------------------------------------------------------------


def test_a_night_is_entered_and_left_on_time() -> None:
    box = Box(NIGHT, "2026-11-21 12:00")
    assert box.look() == []
    (step,) = box.passes(10)
    assert isinstance(step, Enter)
    assert (step.window.begins_ns, step.window.ends_ns, step.late_ns) == (
        at("2026-11-21 20:00"), at("2026-11-22 06:00"), 0)
    assert box.wanted == ["night"]
    assert names(box.passes(9)) == ["Leave night"]
    assert box.wanted == []
    assert names(box.passes(24)) == ["Enter night", "Leave night"]


def test_a_window_that_runs_at_the_very_first_start_is_entered_late() -> None:
    box = Box(NIGHT, "2026-11-21 23:00")
    (step,) = box.look()
    assert isinstance(step, Enter)
    assert step.late_ns == 3 * 3600 * SECOND_NS


def test_a_cron_line_records_for_its_duration() -> None:
    box = Box(CLIP, "2026-11-21 12:05")
    assert names(box.look()) == ["Enter clip"]
    assert names(box.passes(1)) == ["Leave clip", "Enter clip", "Leave clip", "Enter clip"]


def test_a_window_that_begins_in_the_last_one_prolongs_it() -> None:
    box = Box({"clip": {"do": "start", "when": "*/30 * * * *", "duration": "40min"}},
              "2026-11-21 12:00")
    assert names(box.look()) == ["Enter clip"]
    assert names(box.passes(2)) == ["Prolong clip"] * 4
    assert box.wanted == ["clip"]


def test_touching_windows_of_one_task_leave_nothing_out() -> None:
    box = Box({"all": {"do": "start", "when": "always"}}, "2026-11-21 12:00")
    box.look()
    for _ in range(30):
        box.passes(1)
        assert box.wanted == ["all"]


def test_two_tasks_are_wanted_together_the_earlier_first() -> None:
    box = Box({**CLIP, **NIGHT}, "2026-11-21 19:59")
    box.look()
    box.passes(0.1)
    assert box.wanted == ["clip", "night"]
    box.passes(0.2)
    assert box.wanted == ["night"]


def test_what_the_operator_ended_comes_back_with_the_next_window() -> None:
    box = Box(NIGHT, "2026-11-21 22:00")
    box.look()
    assert [one.task for one in box.deciding.end_by_hand()] == ["night"]
    assert box.passes(2) == []
    assert names(box.restart(1)) == []  # known over a restart
    assert box.wanted == []
    assert names(box.passes(24)) == ["Enter night"]


# --- the box was off ------------------------------------------------------------------------------


def test_a_restart_in_the_window_goes_on_and_tells_what_is_missing() -> None:
    box = Box(NIGHT, "2026-11-21 21:00")
    box.look()
    (missed,) = box.restart(2, "power was cut")
    assert missed == Missed("night", at("2026-11-21 21:00"), at("2026-11-21 23:00"),
                            "power was cut", "rest")
    assert box.wanted == ["night"]
    assert names(box.passes(8)) == ["Leave night"]


@pytest.mark.parametrize("late", ["start", "skip"])
def test_windows_that_came_and_went_are_missed_and_one_that_runs_is_entered(late: str) -> None:
    box = Box(NIGHT, "2026-11-19 12:00", late)
    box.look()
    steps = box.restart(24 * 2 + 11, "the battery was empty")
    assert [(step.begins_ns, step.ends_ns, step.kind) for step in steps
            if isinstance(step, Missed)][:3] == [
        (at("2026-11-19 20:00"), at("2026-11-20 06:00"), "window"),
        (at("2026-11-20 20:00"), at("2026-11-21 06:00"), "window"),
        (at("2026-11-21 20:00"), at("2026-11-21 23:00"), "window")]
    if late == "start":
        assert names(steps)[3:] == ["Enter night"]
        assert box.wanted == ["night"]
    else:
        assert isinstance(steps[3], Missed)
        assert (steps[3].begins_ns, steps[3].ends_ns) == (at("2026-11-21 23:00"),
                                                          at("2026-11-22 06:00"))
        assert box.wanted == []
        assert names(box.passes(24)) == ["Enter night"]


def test_a_window_the_box_was_in_is_no_late_one() -> None:
    """`late: skip` is about windows that began without the box."""
    box = Box(NIGHT, "2026-11-21 12:00", "skip")
    box.look()
    box.passes(9)
    box.restart(1)
    assert box.wanted == ["night"]


def test_a_recording_that_was_over_when_the_box_died_is_not_missed() -> None:
    box = Box(CLIP, "2026-11-21 12:01")
    box.look()
    box.passes(0.25)
    assert names(box.restart(0.1)) == []
    assert names(box.restart(1)) == ["Missed clip", "Missed clip"]


def test_a_recording_that_the_cut_shortened_tells_its_rest() -> None:
    box = Box(CLIP, "2026-11-21 12:02")
    box.look()
    (missed,) = [step for step in box.restart(0.4) if isinstance(step, Missed)]
    assert (missed.begins_ns, missed.ends_ns, missed.kind) == (
        at("2026-11-21 12:02"), at("2026-11-21 12:10"), "rest")
    assert box.wanted == []


@pytest.mark.parametrize(("late", "found"), [
    ("start", ["Missed copy", "Missed copy", "Fire copy"]), ("skip", ["Missed copy"] * 3)])
def test_moments_that_came_and_went(late: str, found: list[str]) -> None:
    """The last one is made up for: what it would have done is still to be done."""
    box = Box(COPY, "2026-11-19 11:00", late)
    box.look()
    steps = box.restart(24 * 2 + 3)
    assert names(steps) == found
    assert names(box.passes(1)) == []
    if late == "start":
        assert isinstance(steps[-1], Fire)
        assert (steps[-1].at_ns, steps[-1].late_ns) == (at("2026-11-21 12:00"),
                                                        2 * 3600 * SECOND_NS)


def test_stop_is_not_made_up_for() -> None:
    box = Box({"stop": {"do": "stop", "when": "0 12 * * *"}}, "2026-11-21 11:00")
    box.look()
    assert names(box.restart(2)) == ["Missed stop"]


def test_a_suspended_box_wakes_to_what_is_due_and_knows_what_it_missed() -> None:
    box = Box({**COPY, **CLIP}, "2026-11-21 10:20")
    box.look()
    box.wall += 100 * 60 * SECOND_NS + SECOND_NS
    box.mono += 100 * 60 * SECOND_NS + SECOND_NS
    assert names(box.look()) == ["Fire copy", "Missed clip", "Missed clip", "Missed clip",
                                 "Missed clip", "Enter clip"]


def test_thousands_of_missed_moments_are_told_in_a_few() -> None:
    box = Box({"each": {"do": "export_all", "when": "* * * * * *"}}, "2026-11-01 10:00")
    box.look()
    steps = box.restart(24 * 20)
    assert len(steps) < 100
    assert any(isinstance(step, Missed) and step.more for step in steps)


# --- the clock is set -----------------------------------------------------------------------------


def test_set_forward_into_a_window_it_is_entered_at_once() -> None:
    box = Box(NIGHT, "2026-11-21 12:00", "skip")
    box.look()
    assert names(box.set_clock("2026-11-21 23:00")) == ["Missed night", "Enter night"]


def test_set_forward_over_a_window_it_is_missed_and_back_again_it_is_kept() -> None:
    box = Box(NIGHT, "2026-11-21 12:00")
    box.look()
    (missed,) = box.set_clock("2026-11-22 12:00")
    assert missed == Missed("night", at("2026-11-21 20:00"), at("2026-11-22 06:00"),
                            "the clock was set forward over it", "window")
    assert box.set_clock("2026-11-21 12:00") == []
    assert names(box.passes(10)) == ["Enter night"]


def test_set_back_within_a_window_nothing_happens() -> None:
    box = Box(NIGHT, "2026-11-21 23:00")
    box.look()
    assert box.set_clock("2026-11-21 21:00") == []
    assert names(box.passes(8)) == []
    assert names(box.passes(2)) == ["Leave night"]


def test_set_back_a_little_before_a_window_it_goes_on() -> None:
    box = Box(NIGHT, "2026-11-21 20:30")
    box.look()
    assert box.set_clock("2026-11-21 19:30") == []
    assert names(box.passes(1)) == []
    assert box.wanted == ["night"]
    assert names(box.set_clock("2026-11-21 17:00")) == ["Leave night"]
    assert names(box.passes(4)) == ["Enter night"]


def test_a_recording_of_a_cron_line_keeps_its_length_whatever_the_clock_does() -> None:
    box = Box(CLIP, "2026-11-21 12:02")
    box.look()
    for now in ("2026-11-21 03:17", "2026-12-24 03:18", "2026-11-21 12:01"):
        box.set_clock(now)
        box.passes(2 / 60)
        assert "clip" in box.wanted
    assert names(box.passes(3 / 60)) == ["Leave clip"]


def test_a_moment_is_done_once_however_often_the_clock_is_set_back() -> None:
    box = Box({**COPY, **CLIP}, "2026-11-21 11:55")
    box.look()
    for _ in range(3):
        box.passes(0.4)
        box.set_clock("2026-11-21 11:55")
    done = Counter((type(step).__name__, getattr(step, "at_ns", 0)
                    or step.window.begins_ns)  # type: ignore[union-attr]
                   for step in box.steps if isinstance(step, Fire | Enter))
    assert set(done.values()) == {1}
    assert len(done) == 2


def test_blind_windows_end_by_the_monotonic_clock_and_none_begins() -> None:
    box = Box({**NIGHT, **CLIP}, "2026-11-22 05:01")
    box.look()
    assert box.wanted == ["night", "clip"]
    assert box.deciding.look_blind(box.mono + 8 * 60 * SECOND_NS) == []
    assert names(box.deciding.look_blind(box.mono + 10 * 60 * SECOND_NS)) == ["Leave clip"]
    assert names(box.deciding.look_blind(box.mono + 3600 * SECOND_NS)) == ["Leave night"]
    assert box.deciding.look_blind(box.mono + 99 * 3600 * SECOND_NS) == []


# --- any jumps, against an oracle -----------------------------------------------------------------

COPY_S, CLIP_S, CLIP_LONG_S, DAY_S = 420, 1800, 600, 86_400
NIGHT_FROM_S, NIGHT_TO_S = 20 * 3600, 6 * 3600
GRACE_S = GRACE_NS // SECOND_NS
JUMPY = {"copy": {"do": "copy_all", "when": "0 %7 * * * ?", "destination": "archive"}, **CLIP,
         **NIGHT}


class Oracle:
    """What is to happen, second by second, from the rules in words."""

    def __init__(self, wall_s: int) -> None:
        self.wall_s = wall_s
        self.lived: set[int] = set()
        self.fires: Counter[int] = Counter()
        self.clips: Counter[int] = Counter()
        self.made_up_for: set[int] = set()
        self._enter_clip()

    def second(self) -> None:
        """One second passes."""
        self.wall_s += 1
        if self.wall_s % COPY_S == 0 and not self._copied(self.wall_s):
            self.fires[self.wall_s] += 1
        self._enter_clip()
        self.lived.add(self.wall_s)

    def jump(self, to_s: int) -> None:
        """The clock is set, or the box was off meanwhile."""
        come = [s for s in range(self.wall_s + 1, to_s + 1) if s % COPY_S == 0]
        last = [s for s in come if to_s - s >= GRACE_S][-1:]
        for s in [s for s in come if to_s - s < GRACE_S] + last:
            if not self._copied(s):
                self.fires[s] += 1
                self.made_up_for.add(s)
        forward = to_s > self.wall_s
        before_s, self.wall_s = self.wall_s, to_s
        self._enter_clip()
        if forward:
            self.lived.update(range(max(before_s, to_s - GRACE_S) + 1, to_s + 1))

    def _enter_clip(self) -> None:
        begins_s = self.wall_s - self.wall_s % CLIP_S
        if self.wall_s - begins_s < CLIP_LONG_S and begins_s not in self.lived \
                and begins_s not in self.clips:
            self.clips[begins_s] += 1

    def _copied(self, second: int) -> bool:
        return second in self.lived or second in self.made_up_for

    @property
    def night(self) -> bool:
        return not NIGHT_TO_S <= self.wall_s % DAY_S < NIGHT_FROM_S


def played(seed: int, hours: float) -> None:
    """A random life: jumps to and fro, restarts; the two are compared all the time."""
    random_ = random.Random(seed)
    begin_s = at("2026-11-21 00:00") // SECOND_NS + random_.randrange(DAY_S)
    box, oracle = Box(JUMPY, "2026-11-21 00:00"), Oracle(begin_s)
    box.wall = begin_s * SECOND_NS
    box.look()
    due_s = 0
    next_event = random_.randrange(3600)
    for second in range(int(hours * 3600)):
        oracle.second()
        box.wall += SECOND_NS
        box.mono += SECOND_NS
        if second == next_event:
            next_event += random_.choice((1, 5, 90, 1200, 5000)) + random_.randrange(300)
            box.look()
            _something(random_, box, oracle)
            due_s = 0
        if box.wall // SECOND_NS >= due_s:
            box.look()
            next_ns = box.deciding.next_look_ns(box.wall, box.mono)
            assert next_ns is not None
            assert next_ns > box.wall
            due_s = min(-(-next_ns // SECOND_NS), box.wall // SECOND_NS + 600)
        _compare(box, oracle)
    fires = Counter(step.at_ns // SECOND_NS for step in box.steps if isinstance(step, Fire))
    clips = Counter(step.window.begins_ns // SECOND_NS for step in box.steps
                    if isinstance(step, Enter | Prolong) and step.window.task == "clip")
    assert fires == oracle.fires
    assert clips == oracle.clips
    assert max(fires.values()) == max(clips.values()) == 1


def _something(random_: random.Random, box: Box, oracle: Oracle) -> None:
    by_s = random_.choice((-1, 1)) * random_.choice(
        (2, 30, 59, 61, 600, 3599, 7200, 40_000, 200_000)) + random_.randrange(-1, 2)
    if random_.random() < 0.25:
        off_s = abs(by_s)
        oracle.jump(oracle.wall_s + off_s)
        box.restart(off_s / 3600)
        box.wall = oracle.wall_s * SECOND_NS  # hours are no whole seconds
        return
    if abs(by_s) < 2:
        return  # not told from a drift
    oracle.jump(oracle.wall_s + by_s)
    box.wall += by_s * SECOND_NS
    box.look()


def _compare(box: Box, oracle: Oracle) -> None:
    assert box.wall // SECOND_NS == oracle.wall_s
    night = [one for one in box.deciding.wanted if one.task == "night"]
    if oracle.night:
        assert night, "a running window is never skipped"
    for one in night:
        assert one.begins_ns - 3600 * SECOND_NS <= box.wall < one.ends_ns


@pytest.mark.parametrize("seed", range(6))
def test_random_jumps_never_do_a_thing_twice_nor_skip_a_window(seed: int) -> None:
    played(seed, 14)


# --- what was lived through -----------------------------------------------------------------------


def test_stretches_that_meet_are_one() -> None:
    lived = Lived()
    for after, until in ((10, 20), (40, 50), (20, 30), (45, 60), (5, 5)):
        lived.add(after * SECOND_NS, until * SECOND_NS)
    assert [(a // SECOND_NS, b // SECOND_NS) for a, b in lived.stretches] == [(10, 30), (40, 60)]
    assert 20 * SECOND_NS in lived
    assert 10 * SECOND_NS not in lived
    assert 60 * SECOND_NS in lived
    assert 35 * SECOND_NS not in lived


def test_only_the_latest_stretches_are_kept() -> None:
    lived = Lived()
    for number in range(1000):
        lived.add(number * 100 * SECOND_NS, (number * 100 + 50) * SECOND_NS)
    assert len(lived.stretches) == 64
    assert lived.stretches[-1][1] == 99_950 * SECOND_NS


@pytest.mark.parametrize("values", [
    {}, [], "x", {"version": 2}, {"version": 1}, {"version": 1, "at_ns": "x", "entered": [],
                                                  "lived": []},
    {"version": 1, "at_ns": 1, "entered": [{}], "lived": []},
    {"version": 1, "at_ns": 1, "entered": [], "lived": [[1]]}])
def test_what_was_never_written_is_refused(values: Any) -> None:
    with pytest.raises(ValueError, match="not what the schedule remembers"):
        Memory.from_json(values)


def test_an_empty_calendar_wants_nothing() -> None:
    box = Deciding(Calendar([], calendar({}).zone, None), Memory(), late="start")
    assert box.look(at("2026-11-21 12:00"), MONO) == []
    assert box.next_look_ns(at("2026-11-21 12:00"), MONO) is None
