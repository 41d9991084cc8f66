"""Plain words: sizes, durations, one line per thing, hostile text neutralised."""

from __future__ import annotations

import dataclasses
import math
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldrec.core.model import (
    CameraState,
    Drive,
    DriveState,
    ExportProgress,
    Heat,
    Job,
    JobKind,
    JobState,
    LostFrames,
    PowerLevel,
    PowerState,
    Prediction,
    SpaceState,
    SpaceTier,
)
from fieldrec.core.snapshot import (
    FolderStatus,
    RecorderStatus,
    ScheduleStatus,
    Snapshot,
    StorageStatus,
)
from fieldrec.status import words

JOB = Job(id=1, kind=JobKind.COPY, item="bees", item_uuid="u", destination="BEES1", preset=None,
          delete_source=False, allow_battery=False, state=JobState.RUNNING, reason="", attempt=0,
          done_bytes=1_300_000_000, total_bytes=2_900_000_000, created_ns=0, changed_ns=0)
DRIVE = Drive("uu-1", "BEES1", "/dev/sda1", Path("/m"), "exfat", 480, 64_000_000_000,
              31_000_000_000, DriveState.READY)


@pytest.mark.parametrize(("count", "text"), [
    (0, "0 B"), (512, "512 B"), (999, "999 B"), (1000, "1.0 kB"), (1_300_000_000, "1.3 GB"),
    (99_940_000, "99.9 MB"), (99_960_000, "100 MB"), (412_000_000_000, "412 GB"),
    (999_600_000, "1.0 GB"), (10**21, "1000 EB"), (-5, "0 B"), (math.inf, "?"), (math.nan, "?")])
def test_size(count: float, text: str) -> None:
    assert words.size(count) == text


@pytest.mark.parametrize(("seconds", "text"), [
    (0, "0 s"), (48.9, "48 s"), (60, "1 min"), (250, "4 min 10 s"), (3600, "1 h"),
    (6600, "1 h 50 min"), (86_399, "23 h 59 min"), (86_400, "1 d"), (100_000, "1 d 3 h"),
    (-1, "0 s"), (math.inf, "?")])
def test_duration(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_small_words() -> None:
    assert words.rate(85_000_000) == "85.0 MB/s"
    assert words.count(1234567) == "1 234 567"
    assert words.plural(1, "frame") == "1 frame"
    assert words.plural(2, "copy", "copies") == "2 copies"
    assert words.utc(0) == "1970-01-01 00:00:00Z"
    assert words.utc(10**30) == "?"


@pytest.mark.parametrize(("text", "safe"), [
    ("BEES 1", "BEES 1"), ("\x1b[2Jx", "�[2Jx"), ("a\r\nb", "a  b"), ("a\u202eb", "a�b"),
    ("a\u200bb", "a�b"), ("a\u2028b", "a�b"), ("\ud800", "�"), ("\x9b31m", "�31m"),
    ("Bienenstöcke", "Bienenstöcke"), ("a" + "\u0301" * 9, "a\u0301\u0301" + "�" * 7)])
def test_safe_text(text: str, safe: str) -> None:
    assert words.safe_text(text) == safe


def test_safe_text_is_cut() -> None:
    assert words.safe_text("abcdef", 6) == "abcdef"
    assert words.safe_text("abcdefg", 6) == "abcde…"
    assert len(words.safe_text("x" * 10**6)) == 200


@given(st.text(alphabet=st.characters()), st.integers(1, 50))
def test_nothing_invisible_survives(text: str, limit: int) -> None:
    safe = words.safe_text(text, limit)
    assert len(safe) <= limit
    assert all(unicodedata.category(c)[0] != "C" and (c == " " or unicodedata.category(c)[0] != "Z")
               for c in safe)
    assert words.ascii_text(text, limit).isascii()
    assert len(words.ascii_text(text, limit)) <= limit
    assert all(" " <= c <= "~" for c in words.ascii_text(text, limit))


def test_ascii_text_drops_accents() -> None:
    assert words.ascii_text("Müller 蜂") == "Muller ?"


def test_what_an_export_will_come_to() -> None:
    told = Prediction(56_000_000, 41_000_000, 80_000_000, 724.0, 5)
    export = dataclasses.replace(JOB, kind=JobKind.EXPORT, preset="High", destination=None,
                                 state=JobState.WAITING, reason="recording", prediction=told,
                                 frees_bytes=1_200_000_000)
    assert words.expectation(export) == (
        "about 56.0 MB (41.0 MB to 80.0 MB), 12 min 4 s, frees 1.2 GB")
    assert words.describe_job(export) == (
        "export bees (High): waiting: recording; " + words.expectation(export))
    runs = dataclasses.replace(export, state=JobState.RUNNING, reason="", seconds_left=130.0)
    assert words.describe_job(runs).endswith("(1.3 GB of 2.9 GB), 2 min 10 s left")
    assert words.why(runs) == "2 min 10 s left"
    progress = ExportProgress("encoding", 600, 1200, 61.97, 1_230_000)
    far = dataclasses.replace(runs, progress=progress)
    assert words.why(far) == "frame 600 of 1200, 62 a second, 1.2 MB so far, 2 min 10 s left"
    assert words.describe_job(far).endswith(f", {words.why(far)}")
    begun = dataclasses.replace(far, progress=ExportProgress("encoding", 1, 1200, 0.0, 0),
                                seconds_left=None)
    assert words.why(begun) == "frame 1 of 1200"
    done = dataclasses.replace(runs, state=JobState.DONE, reason="raw deleted, 1.2 GB freed")
    assert words.why(done) == "raw deleted, 1.2 GB freed"
    assert words.expectation(JOB) == ""


def test_what_a_copy_will_come_to_and_how_often_it_was_tried() -> None:
    waits = dataclasses.replace(
        JOB, state=JobState.WAITING, reason="drive FIELD-01 not present", done_bytes=0,
        destination="drive:1234-ABCD", destination_label="FIELD-01", seconds_left=190.0)
    assert words.describe_job(waits) == (
        "copy bees to FIELD-01: waiting: drive FIELD-01 not present; about 3 min 10 s")
    assert words.why(dataclasses.replace(waits, done_bytes=9, first=2)) == (
        "drive FIELD-01 not present; about 3 min 10 s left; goes first")
    runs = dataclasses.replace(JOB, seconds_left=64.0, attempt=1, first=1)
    assert words.describe_job(runs).endswith("(1.3 GB of 2.9 GB), 1 min 4 s left, attempt 2")
    failed = dataclasses.replace(JOB, state=JobState.FAILED, reason="no room", attempt=5)
    assert words.why(failed) == "no room; 6 attempts"


def test_titles_of_raw_and_of_exports_elsewhere() -> None:
    raw = dataclasses.replace(JOB, kind=JobKind.DELETE_RAW, preset="High")
    assert words.job_title(raw) == "delete raw of bees (High) once it is at BEES1"
    assert words.job_title(dataclasses.replace(raw, destination=None)) == (
        "delete raw of bees (High)")
    assert words.job_title(dataclasses.replace(raw, kind=JobKind.DELETE)) == (
        "delete bees verified at BEES1")
    assert words.job_title(dataclasses.replace(raw, kind=JobKind.EXPORT)) == (
        "export bees (High) to BEES1")


def test_describe_job() -> None:
    assert words.describe_job(JOB) == "copy bees to BEES1: running 44 % (1.3 GB of 2.9 GB)"
    waits = dataclasses.replace(JOB, kind=JobKind.EXPORT, preset="High", destination=None,
                                state=JobState.WAITING, reason="recording\x1b")
    assert words.describe_job(waits) == "export bees (High): waiting: recording�"
    assert words.describe_job(dataclasses.replace(JOB, state=JobState.DONE)) == (
        "copy bees to BEES1: done")
    early = dataclasses.replace(JOB, total_bytes=0, done_bytes=0)
    assert words.describe_job(early) == "copy bees to BEES1: running 0 %"


def test_percent_is_rounded_down_and_bounded() -> None:
    assert words.percent_done(dataclasses.replace(JOB, done_bytes=999, total_bytes=1000)) == 99
    assert words.percent_done(dataclasses.replace(JOB, done_bytes=2000, total_bytes=1000)) == 100


def test_describe_recorder() -> None:
    status = RecorderStatus("left", "227", CameraState.RECORDING, recording="bees",
                            frame_count=165_000, measured_hz=25.01, dropped=3, lost=1,
                            heat=Heat.LOW, written_bytes=1_300_000_000)
    assert words.describe_recorder(status) == (
        "left: recording bees, 165 000 frames, 25.0 fps, 3 dropped, 1 lost, heat low, 1.3 GB")
    failed = RecorderStatus("left", "227", CameraState.FAILED, problem="no such device")
    assert words.describe_recorder(failed) == "left: FAILED: no such device"
    idle = RecorderStatus("left", "227", CameraState.READY, stop_reason="disk 94.1 % full")
    assert words.describe_recorder(idle) == "left: ready, last recording ended: disk 94.1 % full"


def test_describe_a_recorder_that_waits_or_is_elsewhere() -> None:
    status = RecorderStatus("left", "227", CameraState.RECORDING, recording="bees", paused=True,
                            folder="/mnt/card")
    assert words.describe_recorder(status).startswith("left: PAUSED bees in /mnt/card, 0 frames")
    armed = RecorderStatus("left", "227", CameraState.RECORDING, armed=True, preroll_frames=50)
    assert words.describe_recorder(armed) == (
        "left: ARMED, the next motion is recorded, 50 frames of pre-roll")


def test_describe_lost_frames_with_numbers_and_times() -> None:
    second = 10**9
    assert words.describe_lost(LostFrames(7, 7, 1, second, second)) == (
        "frame 7 lost, 00:00:01Z")
    assert words.describe_lost(LostFrames(5120, 6133, 1000, second, 3 * second)) == (
        "frames 5120 to 6133 lost (1 000), 00:00:01Z to 00:00:03Z")


def test_describe_folder() -> None:
    good = FolderStatus("/mnt/card", True, "", 10**12, 412 * 10**9, 58.8)
    assert words.describe_folder(good) == "/mnt/card: in use, 412 GB free (58.8 % used)"
    bad = dataclasses.replace(good, in_use=False, problem="input/output error")
    assert words.describe_folder(bad) == "/mnt/card: input/output error"
    named = dataclasses.replace(bad, problem="recordings folder /mnt/card cannot be read")
    assert words.describe_folder(named) == "recordings folder /mnt/card cannot be read"


def test_a_snapshot_says_what_is_seldom_there() -> None:
    recorder = RecorderStatus("a", "1", CameraState.RECORDING, paused=True,
                              lost_runs=(LostFrames(7, 7, 1, 10**9, 10**9),))
    folders = (FolderStatus("/a", problem="gone"), FolderStatus("/b", True))
    snapshot = Snapshot(version=1, time_ns=0, name="box", recording=True, recording_since_ns=0,
                        recorders=(recorder,), skew_ms=1.25, recovery="completing x (1 of 2)",
                        storage=StorageStatus(folders=folders))
    assert words.describe_snapshot(snapshot).startswith("paused for 0 s, ")
    assert words.describe_snapshot(snapshot).endswith(
        ", first frames within 1.2 ms, frame 7 lost, 00:00:01Z, /a: gone, "
        "recovery: completing x (1 of 2)")
    assert words.describe_briefly(snapshot).startswith("paused, ")


def test_describe_drive() -> None:
    assert words.describe_drive(DRIVE) == "BEES1: ready, 31.0 GB free, slow USB 2 link"
    busy = dataclasses.replace(DRIVE, leases=1, link_mbps=None)
    assert words.describe_drive(busy) == "BEES1: in use, 31.0 GB free"
    safe = dataclasses.replace(DRIVE, state=DriveState.SAFE)
    assert words.describe_drive(safe) == "SAFE TO REMOVE BEES1"
    bad = dataclasses.replace(DRIVE, state=DriveState.REJECTED, reason="ntfs is dirty", label=" ")
    assert words.describe_drive(bad) == "uu-1: rejected: ntfs is dirty"
    mounting = dataclasses.replace(DRIVE, state=DriveState.MOUNTING)
    assert words.describe_drive(mounting) == "BEES1: mounting"


def test_describe_power() -> None:
    assert words.describe_power(PowerState(PowerLevel.MAINS, 80.2)) == "mains 80 %"
    battery = PowerState(PowerLevel.BATTERY, 83.0, minutes_left=110)
    assert words.describe_power(battery) == "battery 83 %, 1 h 50 min left"
    roughly = dataclasses.replace(battery, minutes_left_range=(90.0, 140.0))
    assert words.describe_power(roughly) == (
        "battery 83 %, 1 h 50 min left (1 h 30 min to 2 h 20 min)")
    assert words.describe_power(PowerState(PowerLevel.UNKNOWN)) == "power unknown"


def test_describe_snapshot() -> None:
    recorders = (RecorderStatus("a", "1", CameraState.RECORDING, frame_count=10, dropped=1),
                 RecorderStatus("b", "2", CameraState.FAILED))
    snapshot = Snapshot(version=1, time_ns=60 * 10**9, name="box", recording=True,
                        recording_since_ns=0, recorders=recorders,
                        power=PowerState(PowerLevel.MAINS),
                        storage=StorageStatus(10**12, 412 * 10**9, 58.8, 94.0, 730.0))
    assert words.describe_snapshot(snapshot) == (
        "recording for 1 min, 1 of 2 cameras well, 10 frames, 1 dropped, 0 lost, "
        "disk 412 GB free (58.8 % used), 12 h 10 min left, mains")


def test_the_schedule_is_said_where_there_is_one() -> None:
    snapshot = Snapshot(1, 1_000_000_000_000, "box", False, None)
    assert words.describe_schedule(snapshot) == []
    now = dataclasses.replace(snapshot, schedule=ScheduleStatus(
        "night", snapshot.time_ns + 3 * 3_600_000_000_000, "20:14",
        (("noon", snapshot.time_ns + 90_000_000_000),), "it shows 1970"))
    assert words.describe_schedule(now) == [
        "clock wrong: it shows 1970", "window: noon, 1 min 30 s left", "next: night 20:14, in 3 h"]
    assert "next: night 20:14, in 3 h" in words.describe_snapshot(now)


def test_how_long_the_disks_last() -> None:
    storage = StorageStatus(10**12, 412 * 10**9, 58.8, 94.0)
    space = SpaceState(SpaceTier.WARN, 352 * 10**9, 9.5, 36 * 10**9, "9.5 h left at 36.0 GB/h")
    assert words.describe_storage(storage) == "412 GB free (58.8 % used)"
    assert words.describe_storage(storage, SpaceState()) == "412 GB free (58.8 % used)"
    assert words.describe_storage(storage, space) == (
        "412 GB free (58.8 % used), 9 h 30 min left at 36.0 GB/h")
    assert words.describe_space(SpaceState()) == ""
    assert words.describe_space(space) == "disk space WARN: 9.5 h left at 36.0 GB/h"
    snapshot = Snapshot(version=1, time_ns=0, name="x", recording=False, recording_since_ns=None,
                        storage=storage, space=space, temperature_c=61.6)
    said = words.describe_snapshot(snapshot)
    assert "disk 412 GB free (58.8 % used), 9 h 30 min left at 36.0 GB/h" in said
    assert said.endswith("disk space WARN: 9.5 h left at 36.0 GB/h, processor 62 °C")
    assert words.minutes_left(snapshot) == 570
    assert words.minutes_left(dataclasses.replace(snapshot, space=SpaceState())) is None


def test_what_a_job_has_used() -> None:
    done = dataclasses.replace(JOB, state=JobState.DONE, reason="", cpu_s=754.0)
    assert words.why(done) == "12 min 34 s of processor time"
    assert words.why(dataclasses.replace(done, energy_mwh=1340.0, reason="x")) == (
        "x; 12 min 34 s of processor time, 1.3 Wh")
    assert words.used(dataclasses.replace(done, cpu_s=0.2, energy_mwh=12.0)) == "12 mWh"
    assert words.used(dataclasses.replace(done, cpu_s=0.2)) == ""
