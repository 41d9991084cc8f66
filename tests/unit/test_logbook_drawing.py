"""What is drawn from entries: every gap has its cause, or is called unexplained; nothing twice."""

from __future__ import annotations

from typing import Any

import pytest

from fieldrec.core.notes import Kind
from fieldrec.logbook.causes import Cause, cause_of, is_voluntary
from fieldrec.logbook.drawing import Drawing
from fieldrec.logbook.lines import Entry
from fieldrec.logbook.record import Record
from fieldrec.logbook.summary import figures
from fieldrec.logbook.thinned import MOST_POINTS, Curve

S = 1_000_000_000
START = 1_795_000_000 * S


class Log:
    """Entries by their second."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.boot_id = "boot-1"

    def add(self, at_s: float, kind: str, **facts: Any) -> None:
        self.entries.append(Entry(len(self.entries) + 1, START + round(at_s * S),
                                  round(at_s * S), self.boot_id, kind, kind, facts))

    def began(self, at_s: float, name: str, camera: str = "top") -> None:
        self.add(at_s, Kind.RECORDING_BEGAN, camera=camera, name=name,
                 began_ns=START + round(at_s * S))

    def ended(self, at_s: float, name: str, reason: str, camera: str = "top") -> None:
        self.add(at_s, Kind.RECORDING_ENDED, camera=camera, name=name, reason=reason,
                 ended_ns=START + round(at_s * S), frames=10)

    def record(self, **options: Any) -> Record:
        drawing = Drawing(**options)
        for entry in self.entries:
            drawing.take(entry)
        return drawing.done()


def spans(record: Record) -> list[tuple[str, float, float, str]]:
    return [(gap.camera, (gap.from_ns - START) / S, (gap.until_ns - START) / S, gap.cause.value)
            for gap in record.gaps]


@pytest.mark.parametrize(("reason", "cause"), [
    ("battery critical", "power"), ("camera lost: no frame for 5 s", "camera"),
    ("disk 94.1 % full", "disk"), ("store failed: sync failed", "disk"),
    ("fieldrec stopped", "fieldrec off"), ("", "unexplained"), ("something else", "other")])
def test_an_end_that_nobody_wanted_begins_a_gap_with_its_cause(reason: str, cause: str) -> None:
    log = Log()
    log.began(0, "a")
    log.ended(10, "a", reason)
    log.began(25, "b")
    log.ended(30, "b", "stopped")
    record = log.record()
    assert spans(record) == [("top", 10, 25, cause)]
    assert len(record.unexplained()) == (cause == "unexplained")
    (one,) = figures(record)
    assert (one.recorded_s, one.gap_s, one.percent) == (15, 15, 50)


@pytest.mark.parametrize("reason", [
    "stopped", "duration over", "split, goes on in b", "camera ended: the file has played out",
    "motion is over", "schedule: no window runs"])
def test_an_end_that_somebody_wanted_is_no_gap(reason: str) -> None:
    assert is_voluntary(reason)
    log = Log()
    log.began(0, "a")
    log.ended(10, "a", reason)
    log.began(25, "b")
    assert spans(log.record()) == []


def test_words_of_missed_windows_have_causes() -> None:
    said = {"the box was off": Cause.OFF, "battery critical: 8 %": Cause.POWER,
            "the clock was wrong": Cause.CLOCK, "disk full": Cause.DISK,
            "camera top failed": Cause.CAMERA, "unknown": Cause.UNEXPLAINED,
            "the moon was full": Cause.OTHER, "killed": Cause.CRASH}
    assert {words: cause_of(words) for words in said} == said


@pytest.mark.parametrize(("previous", "cause"), [
    ("killed", "crash"), ("power cut", "power"), ("", "unexplained")])
def test_a_run_without_an_end_is_a_gap_from_its_last_frame(previous: str, cause: str) -> None:
    log = Log()
    log.began(0, "a")
    log.add(8, Kind.POWER, level="battery")
    log.add(50, Kind.STARTED, previous=previous)
    log.began(52, "b")
    assert spans(log.record()) == [("top", 8, 52, cause)]
    log.add(55, Kind.RECORDING, name="a", first_ns=START, last_ns=START + 9 * S, frames=270)
    assert spans(log.record()) == [("top", 9, 52, cause)], "the recovered frames say how far"


def test_a_beginning_without_the_end_before_it_is_unexplained() -> None:
    log = Log()
    log.began(0, "a")
    log.add(5, Kind.TEMPERATURE, celsius=40.0)
    log.began(20, "b")  # the end of a was in a damaged line
    assert spans(log.record()) == [("top", 5, 20, "unexplained")]


def test_a_camera_that_should_record_and_never_did_is_a_gap() -> None:
    log = Log()
    log.add(3, Kind.WANTED, camera="top", wanted=True, since_ns=START + S,
            reason="camera top: not there")
    log.add(30, Kind.WANTED, camera="top", wanted=False, reason="stopped")
    log.add(90, Kind.STOPPED, reason="x")
    assert spans(log.record()) == [("top", 1, 30, "camera")]


def test_a_gap_ends_with_its_window_and_is_told_once() -> None:
    log = Log()
    log.add(0, Kind.WINDOW, task="dawn", begins_ns=START, ends_ns=START + 100 * S)
    log.began(0, "a")
    log.began(0, "c", camera="side")
    log.add(0.5, Kind.WINDOW, task="dawn", begins_ns=START, ends_ns=START + 100 * S)
    log.ended(60, "a", "battery critical")
    log.add(70, Kind.WINDOW_MISSED, task="dawn", cause="battery critical: 8 %",
            begins_ns=START + 60 * S, ends_ns=START + 100 * S)
    log.ended(100, "c", "schedule: dawn is over", camera="side")
    log.began(500, "b")
    record = log.record()
    assert spans(record) == [("top", 60, 100, "power")]
    assert record.gaps[0].task == "dawn"


def test_a_missed_window_is_a_gap_of_every_camera_but_for_what_was_recorded() -> None:
    log = Log()
    log.began(0, "a")
    log.began(0, "c", camera="side")
    log.ended(40, "a", "stopped")
    log.ended(10, "c", "stopped", camera="side")
    log.add(200, Kind.WINDOW_MISSED, task="dawn", cause="the box was off", begins_ns=START,
            ends_ns=START + 100 * S)
    log.add(201, Kind.WINDOW_MISSED, task="noon", cause="the box was off",
            begins_ns=START + 50 * S, ends_ns=START + 120 * S)
    record = log.record()
    assert spans(record) == [
        ("side", 10, 100, "fieldrec off"), ("top", 40, 100, "fieldrec off"),
        ("side", 100, 120, "fieldrec off"), ("top", 100, 120, "fieldrec off")]


def test_a_pause_is_a_gap_of_its_own_cause() -> None:
    log = Log()
    log.began(0, "a")
    log.add(5, Kind.CAMERA, camera="top", state="paused")
    log.add(8, Kind.CAMERA, camera="top", state="recording")
    log.ended(10, "a", "stopped")
    assert spans(log.record()) == [("top", 5, 8, "paused")]


def test_a_command_that_was_ended_leaves_no_gap_behind_it() -> None:
    log = Log()
    log.began(0, "a")
    log.ended(10, "a", "fieldrec stopped")
    log.add(11, Kind.STOPPED, reason="fieldrec stopped", over=True)
    log.add(500, Kind.STARTED, previous="in order")
    log.began(501, "b")
    assert spans(log.record()) == []


def test_a_gap_that_is_not_over_reaches_to_the_end_of_the_record() -> None:
    log = Log()
    log.began(0, "a")
    log.ended(10, "a", "disk full")
    log.add(99, Kind.POWER, level="mains")
    record = log.record()
    assert spans(record) == [("top", 10, 99, "disk")] and record.gaps[0].still


def test_times_before_the_clock_was_set_are_put_right() -> None:
    """A box without a battery for its clock: it runs from 1970 on until NTP answers."""
    log = Log()
    log.began(0, "a")
    wrong = [Entry(e.seq, e.time_ns - 10**18, e.boottime_ns, e.boot_id, e.kind, e.text,
                   {**e.facts, "began_ns": START - 10**18}) for e in log.entries]
    log.entries = wrong
    log.add(60, Kind.CLOCK_STEP, moved_s=10**9)
    log.add(70, Kind.RECORDING_ENDED, camera="top", name="a", reason="battery critical",
            ended_ns=START - 10**18 + 70 * S)  # by the clock at its start
    log.began(90, "b")
    record = log.record(steps=[("boot-1", 60 * S, 10**18)])
    first = record.recordings[0]
    assert (first.from_ns, first.until_ns, first.shift_ns) == (START, START + 70 * S, 10**18)
    assert first.began_ns == START - 10**18, "as it is in the store"
    assert spans(record) == [("top", 70, 90, "power")]
    other = log.record(steps=[("boot-2", 60 * S, 10**18)])
    assert other.recordings[0].shift_ns == 0, "another boot's clock says nothing"


def test_a_boot_whose_clock_was_never_right_comes_after_the_one_before() -> None:
    """Flat battery of the RTC, and the power is cut before GPS has set the clock: the recording is
    no gap of 27 years."""
    log = Log()
    log.began(0, "a")
    log.add(100, Kind.POWER, level="battery")
    log.boot_id = "boot-2"
    flat_s = 946_684_800 - START // S
    log.add(flat_s, Kind.STARTED, previous="power cut")
    log.add(flat_s + 2, Kind.WINDOW_MISSED, task="clock", begins_ns=START + (flat_s + 2) * S,
            ends_ns=START + (flat_s + 7) * S, cause="disk full")
    log.began(flat_s + 10, "b")
    log.add(flat_s + 70, Kind.POWER, level="battery")
    log.boot_id = "boot-3"
    log.add(500, Kind.STARTED, previous="power cut")
    log.began(510, "c")
    log.ended(600, "c", "stopped")
    record = log.record()
    assert spans(record) == [("top", 100, 110, "power"), ("top", 170, 510, "power")]
    assert [(one.name, (one.from_ns - START) / S) for one in record.recordings] == [
        ("a", 0), ("b", 110), ("c", 510)]
    assert record.from_ns == START


def test_only_what_lies_between_from_and_to_counts() -> None:
    log = Log()
    log.began(0, "a")
    log.ended(10, "a", "battery critical")
    log.began(30, "b")
    log.ended(40, "b", "stopped")
    for at_s in range(50):
        log.add(at_s, Kind.POWER, level="battery", charge_percent=100 - at_s)
    log.entries.sort(key=lambda entry: entry.time_ns)
    record = log.record(from_ns=START + 5 * S, until_ns=START + 20 * S)
    assert spans(record) == [("top", 10, 20, "power")]
    (one,) = figures(record)
    assert (one.recordings, one.recorded_s) == (1, 5)
    assert one.percent == pytest.approx(100 / 3)
    assert (record.charge.count, record.charge.lowest, record.charge.highest) == (16, 80, 95)


def test_exact_figures_win_and_a_recording_without_a_beginning_is_kept() -> None:
    log = Log()
    log.began(0, "a")
    log.ended(10, "a", "stopped")
    log.add(12, Kind.RECORDING, name="a", uuid="u", serial="S1", frames=298, dropped=2, lost=1,
            bytes=9, first_ns=START + S, last_ns=START + 9 * S, clock="ntp")
    log.add(13, Kind.RECORDING, name="z", uuid="v", serial="side", frames=5, first_ns=START,
            last_ns=START + S)
    one, other = sorted(log.record().recordings, key=lambda recorded: recorded.name)
    assert (one.frames, one.dropped, one.lost, one.uuid, one.clock) == (298, 2, 1, "u", "ntp")
    assert (one.seconds, one.camera, one.exact) == (8, "top", True)
    assert (other.camera, other.frames) == ("side", 5)


def test_entries_of_another_version_and_with_wrong_facts_harm_nothing() -> None:
    log = Log()
    for kind in [*Kind, "kind of the future"]:
        log.add(1, kind)
        log.add(2, kind, camera=["x"], name=5, began_ns="never", charge_percent="full",
                moved_s=None, latitude=1e9, longitude="east", cameras="top", frames=-1,
                begins_ns=float("nan"), state={"a": 1}, count="many")
    record = log.record()
    assert record.entries == len(log.entries) and record.place is None
    assert [one.kind for one in record.happenings].count("kind of the future") == 2


def test_no_entries_are_an_empty_record() -> None:
    record = Log().record()
    assert (record.entries, record.recordings, record.gaps, record.cameras) == (0, [], [], [])


def test_curves_stay_small_and_keep_their_extremes() -> None:
    curve = Curve()
    for at in range(100_000):
        curve.add(at, -50.0 if at == 70_001 else at % 7)
    assert len(curve.points) < MOST_POINTS and curve.count == 100_000
    assert (curve.lowest, curve.highest) == (-50.0, 6)
    assert min(point[1] for point in curve.points) == -50.0
    assert [point[0] for point in curve.points] == sorted(point[0] for point in curve.points)
