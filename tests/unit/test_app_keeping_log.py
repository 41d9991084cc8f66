"""What the board shows becomes entries: each change once, curves thinned, warnings not repeated."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from fieldrec.app.about_box import config_text, versions
from fieldrec.app.keeping_log import KeepingLog
from fieldrec.config import Config
from fieldrec.config.logbook import LogbookConfig
from fieldrec.core.model import (
    CameraState,
    ClockQuality,
    Drive,
    DriveState,
    Job,
    JobKind,
    JobState,
    LostFrames,
    PowerLevel,
    PowerState,
    Recording,
    RecordingState,
)
from fieldrec.core.notes import Kind
from fieldrec.core.snapshot import Event, RecorderStatus, Snapshot

S = 1_000_000_000
START = 1_795_000_000 * S
CLOSED = RecorderStatus("top", "S1", CameraState.READY)


class Box:
    """A board's snapshots by hand, on a clock by hand."""

    def __init__(self, **options: Any) -> None:
        self.now_ns = 0
        self.wall_off_ns = START
        self.entries: list[tuple[str, dict[str, Any]]] = []
        self.keeping = KeepingLog(self.note, LogbookConfig(), self, **options)

    def epoch_ns(self) -> int:
        return self.now_ns + self.wall_off_ns

    def monotonic_ns(self) -> int:
        return self.now_ns

    def note(self, kind: str, text: str, **facts: Any) -> None:
        assert text and text.isprintable()
        self.entries.append((kind, facts))

    def show(self, *recorders: RecorderStatus, after_s: float = 1, **facts: Any) -> None:
        self.now_ns += round(after_s * S)
        self.keeping.follow(Snapshot(1, self.epoch_ns(), "box", bool(recorders), None,
                                     recorders=recorders, **facts))

    def said(self, *kinds: str) -> list[dict[str, Any]]:
        """Facts of the entries of these kinds since the last call; forgets all entries."""
        entries, self.entries = self.entries, []
        return [facts for kind, facts in entries if kind in kinds]


def recording(name: str, **facts: Any) -> RecorderStatus:
    return dataclasses.replace(CLOSED, state=CameraState.RECORDING, recording=name, wanted=True,
                               started_ns=START, **facts)


def test_a_recording_begins_and_ends_with_its_reason_and_figures() -> None:
    box = Box()
    box.show(CLOSED)
    box.show(recording("a", frame_count=1))
    box.show(recording("a", frame_count=30))
    assert box.said(Kind.RECORDING_BEGAN) == [
        {"camera": "top", "name": "a", "began_ns": START}]
    box.show(dataclasses.replace(CLOSED, recording="a", frame_count=60, dropped=2, lost=1,
                                 written_bytes=99, last_frame_ns=START + S,
                                 stop_reason="disk full"))
    box.show(CLOSED)
    (ended,) = box.said(Kind.RECORDING_ENDED)
    assert ended == {"camera": "top", "name": "a", "reason": "disk full",
                     "ended_ns": START + S, "frames": 60, "dropped": 2, "lost": 1, "bytes": 99}


def test_a_split_ends_one_and_begins_another_each_with_its_own_figures() -> None:
    box = Box()
    box.show(recording("a", frame_count=100, written_bytes=1000))
    box.show(recording("b", frame_count=150, written_bytes=1500))
    box.show(dataclasses.replace(CLOSED, recording="b", frame_count=170, written_bytes=1700,
                                 stop_reason="stopped"))
    box.show(recording("c", frame_count=5, written_bytes=50))
    box.show(dataclasses.replace(CLOSED, recording="c", frame_count=8, written_bytes=80,
                                 stop_reason="stopped"))
    ended = box.said(Kind.RECORDING_ENDED)
    assert [(one["name"], one["reason"], one["frames"], one["bytes"]) for one in ended] == [
        ("a", "split, goes on in b", 150, 1500), ("b", "stopped", 20, 200),
        ("c", "stopped", 8, 80)]


def test_between_two_events_of_motion_nothing_is_recorded_and_nothing_is_missed() -> None:
    box = Box()
    box.show(recording("a", frame_count=10, armed=True))
    assert box.said(Kind.RECORDING_BEGAN, Kind.WANTED) == []
    box.show(recording("a", frame_count=20))
    for _ in range(5):
        box.show(recording("a", frame_count=20, armed=True))
    assert [facts["reason"] for facts in box.said(Kind.RECORDING_ENDED, Kind.WANTED)] == [
        "motion is over"]


def test_a_camera_that_fails_and_one_that_never_came() -> None:
    box = Box()
    box.show(recording("a", frame_count=9))
    failed = dataclasses.replace(CLOSED, state=CameraState.FAILED, problem="no frame for 5 s",
                                 recording="a", frame_count=9, wanted=True,
                                 stop_reason="camera lost: no frame for 5 s")
    for _ in range(4):
        box.show(failed)
    assert [(kind, facts.get("reason", facts.get("state"))) for kind, facts in box.entries] == [
        (Kind.RECORDING_BEGAN, None),
        (Kind.RECORDING_ENDED, "camera lost: no frame for 5 s"), (Kind.CAMERA, "failed"),
        (Kind.WANTED, "no frame for 5 s")]
    box.said()
    box.show(recording("b", frame_count=1))
    assert [facts["state"] for facts in box.said(Kind.CAMERA)] == ["ready"]
    box.show(dataclasses.replace(failed, recording="b"))
    for _ in range(4):
        box.show(dataclasses.replace(failed, recording="b"))
    box.show(dataclasses.replace(failed, wanted=False))
    assert [facts["wanted"] for facts in box.said(Kind.WANTED)] == [True, False]


def test_frames_dropped_and_lost_are_told_with_their_times_and_not_too_often() -> None:
    box = Box()
    box.show(recording("a", frame_count=9))
    runs = (LostFrames(5, 7, 3, START + 7, START + 8),)
    box.show(recording("a", frame_count=9, lost=3, lost_runs=runs))
    (lost,) = box.said(Kind.FRAMES_MISSING)
    assert (lost["lost"], lost["dropped"], lost["from_ns"], lost["until_ns"]) == \
        (3, 0, START + 7, START + 8)
    for dropped in range(1, 50):
        box.show(recording("a", frame_count=9, lost=3, dropped=dropped, lost_runs=runs))
    assert box.said(Kind.FRAMES_MISSING) == [], "once a minute at most"
    box.show(recording("a", frame_count=9, lost=3, dropped=60, lost_runs=runs), after_s=30)
    (dropped_frames,) = box.said(Kind.FRAMES_MISSING)
    assert (dropped_frames["dropped"], dropped_frames["lost"]) == (60, 0)
    box.show(recording("a", frame_count=9, lost=3, dropped=61, lost_runs=runs))
    box.show(dataclasses.replace(CLOSED, recording="a", frame_count=9, lost=3, dropped=61,
                                 stop_reason="stopped"))
    assert [facts["dropped"] for facts in box.said(Kind.FRAMES_MISSING)] == [1], "none is left out"


def test_the_figures_of_complete_recordings_are_noted_once_also_of_a_run_before() -> None:
    def known(name: str, state: RecordingState = RecordingState.COMPLETE) -> Recording:
        return Recording(name, "u-" + name, "S1", Path(name), state, None, 9, START, START + S, 2,
                         1, 77, "", "UTC", ClockQuality.NTP)

    box = Box(unfinished=["cut"])
    box.keeping.recordings([known("old"), known("cut", RecordingState.RECOVERING)])
    assert box.said(Kind.RECORDING) == []
    box.keeping.recordings([known("old"), known("cut"), known("new", RecordingState.RECORDING)])
    box.keeping.recordings([known("old"), known("cut"), known("new")])
    cut, new = box.said(Kind.RECORDING)
    assert (cut["name"], cut["recovered"], new["name"], new["recovered"]) == \
        ("cut", True, "new", False)
    assert (new["uuid"], new["frames"], new["dropped"], new["lost"], new["bytes"]) == \
        ("u-new", 9, 2, 1, 77)


def power(charge: float | None, level: PowerLevel = PowerLevel.BATTERY) -> PowerState:
    return PowerState(level, charge, 12_000, 4_000, None, "sysfs", "why")


def test_power_is_noted_when_its_level_changes_by_two_percent_and_now_and_then() -> None:
    box = Box()
    box.show(power=power(80.0))
    for charge in (80.0, 79.5, 79.0, 78.5):
        box.show(power=power(charge))
    assert [facts["charge_percent"] for facts in box.said(Kind.POWER)] == [80.0]
    box.show(power=power(77.9))
    box.show(power=power(77.8, PowerLevel.LOW))
    box.show(power=power(77.8, PowerLevel.LOW), after_s=599)
    box.show(power=power(77.8, PowerLevel.LOW))
    box.show(power=power(None, PowerLevel.LOW))
    assert [(facts["charge_percent"], facts["level"]) for facts in box.said(Kind.POWER)] == [
        (77.9, "battery"), (77.8, "low"), (77.8, "low"), (None, "low")]


def test_a_day_of_snapshots_is_a_few_entries() -> None:
    """Every five seconds one, nothing happening: entries come at the rhythm of the curves."""
    box = Box()
    for _ in range(86_400 // 5):
        box.show(CLOSED, after_s=5, power=power(80.0), temperature_c=40.0)
    assert 144 <= len(box.said(Kind.POWER)) <= 146


def test_temperature_and_space_are_noted_when_they_change() -> None:
    box = Box()
    for celsius in (40.0, 41.0, 42.1, 42.0, 45.0):
        box.show(temperature_c=celsius)
    assert [facts["celsius"] for facts in box.said(Kind.TEMPERATURE)] == [40.0, 42.1, 45.0]


@pytest.mark.parametrize("moved_s", [3600.0, -3600.0, 0.6])
def test_a_clock_that_was_set_is_noted_and_one_that_is_slewed_is_not(moved_s: float) -> None:
    box = Box()
    box.show()
    for _ in range(100):
        box.wall_off_ns += 2_000_000  # NTP slews it
        box.show()
    assert box.said(Kind.CLOCK_STEP) == []
    box.wall_off_ns += round(moved_s * S)
    box.show()
    box.show()
    (step,) = box.said(Kind.CLOCK_STEP)
    assert step["moved_s"] == pytest.approx(moved_s)


def drive(state: DriveState, insertion: int = 1, reason: str = "") -> Drive:
    return Drive("AA-BB", "FIELD", "/dev/sda1", None, "ext4", None, 100, 50, state, reason,
                 insertion=insertion)


def test_drives_go_in_and_out() -> None:
    box = Box()
    for state in (DriveState.SEEN, DriveState.MOUNTING, DriveState.READY, DriveState.READY,
                  DriveState.EJECTING, DriveState.READY, DriveState.EJECTING, DriveState.SAFE,
                  DriveState.ABSENT):
        box.show(drives=(drive(state),))
    for state in (DriveState.READY, DriveState.ABSENT):
        box.show(drives=(drive(state, 2),))
    box.show(drives=(drive(DriveState.REJECTED, 3, "no file system"),))
    assert [(kind, facts.get("safe")) for kind, facts in box.entries] == [
        (Kind.DRIVE_IN, None), (Kind.DRIVE_OUT, True), (Kind.DRIVE_IN, None),
        (Kind.DRIVE_OUT, False), (Kind.DRIVE_REJECTED, None)]


def test_the_end_of_a_job_is_noted_with_its_figures() -> None:
    box = Box()
    job = Job(7, JobKind.COPY, "a", "u", "usb", None, False, False, JobState.RUNNING, "", 0, 50,
              100, START, START + 9 * S)
    box.keeping.job(job)
    box.keeping.job(dataclasses.replace(job, state=JobState.DONE, done_bytes=100))
    box.keeping.job(dataclasses.replace(job, state=JobState.FAILED, reason="drive full"))
    done, failed = box.said(Kind.JOB)
    assert (done["what"], done["destination"], done["bytes"], done["took_s"]) == \
        ("copy", "usb", 100, 9.0)
    assert (failed["state"], failed["reason"], failed["bytes"]) == ("failed", "drive full", 0)


def test_a_warning_that_repeats_itself_is_noted_seldom_and_counted() -> None:
    box = Box()
    events: tuple[Event, ...] = (Event(START, "all well"),)
    for _ in range(700):
        events = (*events, Event(START, "disk slow", "warning"))[-200:]
        box.show(events=events)
    said = box.said(Kind.EVENT)
    assert [facts["times"] for facts in said] == [1, 600]


def test_versions_and_configuration_are_noted_when_they_are_new_and_hold_no_secret() -> None:
    config = Config.model_validate({
        "cameras": {"gate": {"backend": "network", "options": {
            "url": "rtsp://admin:hunter2@10.0.0.5/stream", "password": "hunter2"}}}})
    digest, yaml = config_text(config)
    assert "hunter2" not in yaml and "rtsp://***@10.0.0.5/stream" in yaml
    assert "durability_s: 1.0" in yaml, "defaults are part of how it was recorded"
    box = Box()
    about = versions()
    assert about["fieldrec"] and about["numpy"] and about["av"]
    box.keeping.started("x", about, (digest, yaml), {"previous": "first"}, standing={})
    assert [kind for kind, _ in box.entries] == [Kind.STARTED, Kind.VERSIONS, Kind.CONFIG]
    box.said()
    box.keeping.started("x", about, (digest, yaml), {"previous": "in order"}, standing={
        Kind.VERSIONS: about, Kind.CONFIG: {"digest": digest}})
    assert [kind for kind, _ in box.entries] == [Kind.STARTED]


def test_the_model_of_the_machine_is_read_where_the_kernel_tells_it(tmp_path: Path) -> None:
    assert versions(tmp_path)["machine"] == "unknown"
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    assert versions(tmp_path)["machine"] == "Raspberry Pi 5 Model B Rev 1.0"
