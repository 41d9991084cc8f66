"""The words on a serial line: checksums, printable ASCII whatever comes, bounded input."""

from __future__ import annotations

import dataclasses
import functools
import operator
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldrec.core.model import (
    CameraState,
    Drive,
    DriveState,
    Heat,
    Job,
    JobKind,
    JobState,
    LostFrames,
    PowerLevel,
    PowerState,
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
from fieldrec.status import wire

JOB = Job(id=1, kind=JobKind.COPY, item="bees", item_uuid="u", destination="BEES1", preset=None,
          delete_source=False, allow_battery=False, state=JobState.RUNNING, reason="", attempt=1,
          done_bytes=45, total_bytes=100, created_ns=0, changed_ns=0)
DRIVE = Drive("uu-1", "BEES1", "/dev/sda1", None, "exfat", 480, 64, 31, DriveState.READY)
TEXT = st.text(alphabet=st.characters(), max_size=300)
NUMBER = st.integers(0, 10**20)
FLOAT = st.none() | st.floats()


def checked(line: bytes) -> str:
    """The payload of a line, after the checks any reader of the line makes."""
    match = re.fullmatch(rb"(\$?)([\x20-\x7e]*)\*([0-9A-F]{2})\r\n", line)
    assert match is not None, line
    payload = match[2]
    assert len(line) <= wire.MOST_LINE
    assert functools.reduce(operator.xor, payload, 0) == int(match[3], 16)
    assert b"*" not in payload
    assert b"$" not in payload
    return payload.decode()


def test_known_checksum() -> None:
    # the example sentence of NMEA 0183 that every GPS handbook prints
    assert wire.checksum(b"GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,") == "47"


def test_status_line() -> None:
    recorder = RecorderStatus("left", "1", CameraState.RECORDING, frame_count=10_500, dropped=3,
                              lost=1, heat=Heat.MEDIUM)
    failed = RecorderStatus("right", "2", CameraState.FAILED, problem="no device, at all")
    snapshot = Snapshot(version=1, time_ns=0, name="box", recording=True, recording_since_ns=0,
                        recorders=(recorder, failed), jobs=(JOB,), drives=(DRIVE,),
                        power=PowerState(PowerLevel.BATTERY, 83.4),
                        storage=StorageStatus(10, 5, 41.23, 94.0, 730.0))
    line = wire.status_line(100_007, wire.status_fields(snapshot), 2.9, 1_795_250_412 * 10**9)
    assert checked(line) == (
        "FREC,7,rec=1,cam=1/2,frames=10500,drop=3,lost=1,disk=41.2,left=730,pwr=BATTERY,chg=83,"
        "job=copy:45,jobs=1,drv=BEES1:READY,heat=MEDIUM,err=right: no device_ at all,stop=0,"
        "name=box,age=2,t=20261121T084012Z")


def test_an_idle_box() -> None:
    snapshot = Snapshot(version=1, time_ns=0, name="box", recording=False, recording_since_ns=None)
    fields = wire.status_fields(snapshot)
    assert "rec=0,cam=0/0,frames=0" in fields
    assert "left=,pwr=UNKNOWN,chg=,job=none,jobs=0,drv=none,heat=NONE,err=,stop=0" in fields


def test_a_safe_drive_goes_before_a_ready_one_and_waiting_shows_its_reason() -> None:
    safe = dataclasses.replace(DRIVE, label="A:B", state=DriveState.SAFE)
    gone = dataclasses.replace(DRIVE, state=DriveState.ABSENT)
    waiting = dataclasses.replace(JOB, state=JobState.WAITING, reason="recording, wait")
    snapshot = Snapshot(version=1, time_ns=0, name="box", recording=False, recording_since_ns=None,
                        drives=(gone, DRIVE, safe), jobs=(waiting,), parts=(("db", "locked"),))
    fields = wire.status_fields(snapshot)
    assert "drv=A_B:SAFE" in fields
    assert "job=wait:recording_ wait" in fields
    assert "err=db: locked" in fields


def test_what_is_seldom_there_comes_last_and_only_then() -> None:
    recorder = RecorderStatus("left", "1", CameraState.RECORDING, paused=True, preroll_frames=50,
                              lost_runs=(LostFrames(5, 9, 5, 0, 1), LostFrames(20, 21, 2, 2, 3)))
    armed = RecorderStatus("right", "2", CameraState.RECORDING, armed=True)
    snapshot = Snapshot(
        version=1, time_ns=0, name="box", recording=True, recording_since_ns=0,
        recorders=(recorder, armed), skew_ms=12.34,
        storage=StorageStatus(folders=(FolderStatus("/a", problem="x" * 80),
                                       FolderStatus("/b", in_use=True))))
    fields = wire.status_fields(snapshot)
    assert fields.endswith("name=box,pause=1,arm=1,pre=50,dir=2,skew=12.3,lrun=20-21")
    scheduled = Snapshot(1, 0, "box", False, None, schedule=ScheduleStatus(
        "night", 5, "Mon 20:14", (), "it shows 1970"))
    assert wire.status_fields(scheduled).endswith("name=box,clk=1,next=Mon 20:14")
    assert f",err={'x' * 12}," in fields  # it gives them its room


@given(text=TEXT, reason=TEXT, number=NUMBER, figure=FLOAT, state=st.sampled_from(JobState),
       drive=st.sampled_from(DriveState), age=st.floats(-1e12, 1e12), epoch=st.integers(-1, 10**30))
def test_every_status_line_is_printable_and_checked(
        text: str, reason: str, number: int, figure: float | None, state: JobState,
        drive: DriveState, age: float, epoch: int) -> None:
    job = dataclasses.replace(JOB, item=text, reason=reason, state=state, done_bytes=number)
    recorder = RecorderStatus(text, text, CameraState.FAILED, problem=reason, frame_count=number,
                              dropped=number, lost=number, paused=True, armed=True,
                              preroll_frames=number,
                              lost_runs=(LostFrames(number, number, number, 0, 0),))
    snapshot = Snapshot(
        version=1, time_ns=0, name=text, recording=True, recording_since_ns=0,
        recorders=(recorder,) * 3, jobs=(job,), parts=((text, reason),),
        drives=(dataclasses.replace(DRIVE, label=text, fs_uuid=reason, state=drive),),
        power=PowerState(PowerLevel.LOW, figure), skew_ms=figure,
        storage=StorageStatus(used_percent=figure or 0.0, minutes_left=figure,
                              folders=(FolderStatus(text), FolderStatus(text, True))))
    payload = checked(wire.status_line(number, wire.status_fields(snapshot), age, epoch))
    keys = [field.split("=", 1)[0] for field in payload.split(",")[2:]]
    seldom = {"pause", "arm", "pre", "dir", "skew", "lrun"}
    assert [key for key in keys if key not in seldom] == [
        "rec", "cam", "frames", "drop", "lost", "disk", "left", "pwr", "chg", "job", "jobs", "drv",
        "heat", "err", "stop", "name", "age", "t"]
    assert {"pause", "arm", "dir"} <= set(keys)


@given(TEXT | st.text(alphabet="$*,\r\n\x1b ﷺ＄＊", max_size=600))
def test_every_reply_is_printable_and_checked(text: str) -> None:
    checked(wire.reply_line(text))


@pytest.mark.parametrize(("line", "command"), [
    (b"status", ("status", "")), (b"  STOP\t", ("stop", "")), (b"Start bees", ("start", "bees")),
    (b"eject  My Drive ", ("eject", "My Drive")), (b"\0\0help", ("help", "")),
    (b"", None), (b"   ", None), (b"$GPGGA,1*00", None), (b"OK done*00", None),
    (b"err x", None), (b"SAFE TO REMOVE x", None),
    (b"start \x1b[2J", ("", "")), (b"\xff\xfe", ("", "")), (b"frobnicate", ("frobnicate", ""))])
def test_parse_command(line: bytes, command: tuple[str, str] | None) -> None:
    assert wire.parse_command(line) == command


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_line_ends(end: bytes) -> None:
    reader = wire.LineReader()
    assert reader.feed(b"stat") == []
    assert reader.feed(b"us" + end + b"stop" + end) == [b"status", b"stop"]
    assert reader.feed(end) == []


def test_backspace() -> None:
    assert wire.LineReader().feed(b"\x08stxp\x7f\x08op\n") == [b"stop"]


def test_longest_line_and_one_more() -> None:
    reader = wire.LineReader()
    assert reader.feed(b"x" * wire.MOST_COMMAND + b"\n") == [b"x" * wire.MOST_COMMAND]
    assert reader.feed(b"x" * wire.MOST_COMMAND + b"y\nstop\n") == [None, b"stop"]


def test_a_megabyte_without_an_end_holds_little() -> None:
    reader = wire.LineReader()
    for _ in range(256):
        assert reader.feed(b"x" * 4096) == []
        assert reader.held_bytes <= wire.MOST_COMMAND
    assert reader.feed(b"\nstop\n") == [None, b"stop"]


@given(st.lists(st.binary(max_size=600), max_size=8))
def test_cutting_the_stream_elsewhere_changes_nothing(pieces: list[bytes]) -> None:
    apart, whole = wire.LineReader(), wire.LineReader()
    lines = [line for piece in pieces for line in apart.feed(piece)]
    assert whole.feed(b"".join(pieces)) == lines
    assert apart.held_bytes == whole.held_bytes <= wire.MOST_COMMAND


def test_room_on_the_wire() -> None:
    """`left` by the hours that are judged; the tier only when there is something to say."""
    plain = Snapshot(version=1, time_ns=0, name="x", recording=False, recording_since_ns=None)
    space = SpaceState(SpaceTier.ACT, 10**9, 2.5, 10**9, "2.5 h left")
    short = wire.status_fields(dataclasses.replace(plain, space=space))
    assert ",left=150," in short and short.endswith(",space=ACT")
    assert "space=" not in wire.status_fields(plain) and ",left=," in wire.status_fields(plain)
