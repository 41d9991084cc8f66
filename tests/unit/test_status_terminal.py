"""The terminal picture at 80 and 40 columns, the live view and the plain lines."""

from __future__ import annotations

import asyncio
import dataclasses
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

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
from fieldrec.core.snapshot import Event, FolderStatus, RecorderStatus, Snapshot, StorageStatus
from fieldrec.status.board import NOTHING, Board
from fieldrec.status.terminal import live, plain_lines, render

TIME_NS = 1_795_248_000_000_000_000  # 2026-11-21 08:00:00Z
JOB = Job(id=1, kind=JobKind.COPY, item="bees_20261121_060000_left", item_uuid="u",
          destination="BEES1", preset=None, delete_source=False, allow_battery=False,
          state=JobState.RUNNING, reason="", attempt=1, done_bytes=1_300_000_000,
          total_bytes=2_900_000_000, created_ns=TIME_NS, changed_ns=TIME_NS)
DRIVE = Drive("u1", "BEES1", "/dev/sda1", Path("/m"), "exfat", 480, 64_000_000_000,
              31_000_000_000, DriveState.READY, leases=1)
BUSY = Snapshot(
    version=3, time_ns=TIME_NS + 6600 * 10**9, name="meadow-2", recording=True,
    recording_since_ns=TIME_NS,
    recorders=(
        RecorderStatus("left", "1", CameraState.RECORDING, frame_count=165_000, measured_hz=25.01,
                       written_bytes=202_752_000_000, heat=Heat.LOW),
        RecorderStatus("right", "2", CameraState.FAILED, problem="no such device", dropped=11,
                       lost=2)),
    jobs=(JOB, dataclasses.replace(JOB, id=2, kind=JobKind.EXPORT, preset="High", destination=None,
                                   state=JobState.WAITING, reason="recording"),
          dataclasses.replace(JOB, id=3, state=JobState.FAILED, reason="no room"),
          dataclasses.replace(JOB, id=4, item="old", state=JobState.DONE)),
    drives=(DRIVE, dataclasses.replace(DRIVE, fs_uuid="u2", label="BEES0", state=DriveState.SAFE),
            dataclasses.replace(DRIVE, fs_uuid="u3", label="LEFT", state=DriveState.ABSENT)),
    power=PowerState(PowerLevel.BATTERY, 83.0, minutes_left=252),
    storage=StorageStatus(10**12, 412 * 10**9, 58.8, 94.0, 730.0),
    parts=(("console", "no such port"), ("jobs", "")),
    events=(Event(TIME_NS, "recording started"), Event(TIME_NS, "camera right lost", "error")))


def picture(snapshot: Snapshot, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), record=True, force_terminal=True,
                      color_system="truecolor", legacy_windows=False)
    console.print(render(snapshot))
    return console.export_text()


def test_80_columns() -> None:
    text = picture(BUSY, 80)
    lines = text.splitlines()
    assert all(cell_len(line) <= 80 for line in lines)
    assert lines[0].startswith("meadow-2  ● RECORDING 1 h 50 min  since 08:00Z")
    assert lines[0].rstrip().endswith("battery 83 %, 4 h 12 min left")
    assert lines[1].startswith("disk  412 GB free (58.8 % used), 12 h 10 min left")
    left = next(line for line in lines if line.startswith("left"))
    assert left.split() == ["left", "recording", "165", "000", "25.0", "0", "0", "low", "203",
                            "GB"]
    right = next(line for line in lines if line.startswith("right"))
    assert right.split()[1:] == ["failed", "0", "0.0", "11", "2", "none", "0", "B"]
    copy = next(line for line in lines if "━" in line and "copy" in line)
    assert copy.startswith("copy bees_20261121_060000_left to BEES1")
    assert copy.rstrip().endswith("44 % of 2.9 GB")
    assert "export bees_20261121_060000_left (High)  waiting: recording" in text
    assert "to BEES1  failed: no room" in text
    assert "drive  BEES1: in use, 31.0 GB free, slow USB 2 link" in text
    assert "┃" in next(line for line in lines if "SAFE TO REMOVE  BEES0" in line)
    assert "! camera right: no such device" in text
    assert "! console: no such port" in text
    assert "! jobs" not in text
    assert "08:00:00Z  recording started" in text
    assert "LEFT" not in text
    assert "old" not in text


def test_40_columns_lose_nothing() -> None:
    text = picture(BUSY, 40)
    assert all(cell_len(line) <= 40 for line in text.splitlines())
    for part in ("● RECORDING 1 h 50 min", "battery 83 %, 4 h 12 min left", "25.0 fps",
                 "165 000 frames  203 GB", "dropped 11  lost 2", "heat low", "44 % of 2.9 GB",
                 "SAFE TO REMOVE  BEES0", "no such device", "412 GB free"):
        assert part in text


def test_an_idle_box_and_no_box() -> None:
    idle = Snapshot(version=1, time_ns=0, name="", recording=False, recording_since_ns=None,
                    stopping=True)
    assert picture(idle, 80).startswith("fieldrec  ○ not recording  stopping")
    assert picture(NOTHING, 80) == "no status yet\n"


def test_many_jobs_are_counted_not_listed() -> None:
    many = dataclasses.replace(BUSY, jobs=tuple(
        dataclasses.replace(JOB, id=n, state=JobState.QUEUED) for n in range(20)))
    assert "… and 14 more jobs" in picture(many, 80)


def test_attacker_text_is_neither_markup_nor_escape() -> None:
    drive = dataclasses.replace(DRIVE, label="[red]\x1b[2J\u202e", state=DriveState.SAFE)
    assert "SAFE TO REMOVE  [red]�[2J�" in picture(dataclasses.replace(BUSY, drives=(drive,)), 80)


@settings(max_examples=40, deadline=None)
@given(st.text(alphabet=st.characters(), max_size=80), st.integers(20, 120))
def test_no_text_breaks_the_picture(text: str, width: int) -> None:
    snapshot = dataclasses.replace(
        BUSY, name=text, parts=((text, text),), events=(Event(TIME_NS, text, text),),
        recorders=(dataclasses.replace(BUSY.recorders[1], key=text, problem=text),),
        drives=(dataclasses.replace(DRIVE, label=text, state=DriveState.SAFE),),
        jobs=(dataclasses.replace(JOB, item=text, destination=text),
              dataclasses.replace(JOB, state=JobState.WAITING, reason=text)))
    shown = picture(snapshot, width)
    assert "\x1b" not in shown
    assert all(cell_len(line) <= width for line in shown.splitlines())


class Screen(io.StringIO):
    """A stream that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._written = asyncio.Event()

    def write(self, text: str) -> int:
        self._written.set()
        return super().write(text)

    async def said(self, text: str) -> None:
        while text not in self.getvalue():
            self._written.clear()
            await self._written.wait()


@pytest.mark.asyncio
async def test_live_shows_the_newest_and_ends() -> None:
    board, until = Board(), asyncio.Event()
    out = Screen()
    console = Console(width=80, file=out, force_terminal=True, _environ={"TERM": "xterm"})
    task = asyncio.create_task(live(board, console, until))
    await asyncio.sleep(0)
    board.publish(BUSY)
    await out.said("RECORDING")
    board.publish(dataclasses.replace(BUSY, version=4, recording=False, name="last"))
    until.set()
    await task
    assert "last" in out.getvalue()
    assert "not recording" in out.getvalue()


@pytest.mark.asyncio
async def test_live_redraws_only_on_change_and_not_for_every_change() -> None:
    board, until = Board(BUSY), asyncio.Event()
    out = io.StringIO()
    console = Console(width=80, file=out, force_terminal=True, _environ={"TERM": "xterm"})
    task = asyncio.create_task(live(board, console, until))
    for version in range(100, 200):
        await asyncio.sleep(0)
        board.publish(dataclasses.replace(BUSY, version=version))
    until.set()
    await task
    assert out.getvalue().count("RECORDING") <= 4  # first, one change, the newest, the end


@pytest.mark.asyncio
async def test_plain_lines_say_each_event_once() -> None:
    board, until, out = Board(), asyncio.Event(), io.StringIO()
    task = asyncio.create_task(plain_lines(board, out, until))
    events = tuple(Event(TIME_NS + n * 10**9, f"event {n}\x1b") for n in range(10))
    for version in range(1, 11):  # a window of three that moves by one
        board.publish(dataclasses.replace(BUSY, version=version,
                                          events=events[max(0, version - 3):version]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    board.publish(dataclasses.replace(
        BUSY, version=11, events=(*events[8:], Event(TIME_NS, "camera lost", "error"))))
    until.set()
    await task
    assert out.getvalue().splitlines() == [
        *(f"2026-11-21 08:00:0{n}Z event {n}�" for n in range(10)),
        "2026-11-21 08:00:00Z error: camera lost"]


@pytest.mark.asyncio
async def test_plain_lines_of_a_board_that_has_events_already() -> None:
    board, until, out = Board(BUSY), asyncio.Event(), io.StringIO()
    until.set()
    await plain_lines(board, out, until)
    assert out.getvalue().count("\n") == 2
    await plain_lines(board, out, until, TIME_NS + 1)
    assert out.getvalue().count("\n") == 2  # what was before is not told again


@pytest.mark.parametrize("width", [40, 80])
def test_what_is_seldom_there(width: int) -> None:
    left, right = BUSY.recorders
    snapshot = dataclasses.replace(
        BUSY, skew_ms=3.21, recovery="completing ants (1 of 2)",
        recorders=(dataclasses.replace(left, paused=True, folder="/mnt/card", preroll_frames=50,
                                       lost_runs=(LostFrames(5, 9, 5, TIME_NS, TIME_NS),)),
                   dataclasses.replace(right, state=CameraState.RECORDING, armed=True)),
        storage=StorageStatus(folders=(FolderStatus("/mnt/usb", problem="input/output error"),
                                       FolderStatus("/mnt/card", in_use=True))))
    shown = " ".join(picture(snapshot, width).split())
    for text in ("● PAUSED", "ARMED", "first frames within 3.2 ms", "50 frames of pre-roll",
                 "in /mnt/card", "frames 5 to 9 lost", "/mnt/usb: input/output error",
                 "/mnt/card: in use", "completing ants (1 of 2)"):
        assert text in shown, text


@pytest.mark.parametrize("width", [80, 40])
def test_room_and_heat(width: int) -> None:
    space = SpaceState(SpaceTier.ACT, 10**9, 2.5, 36 * 10**9, "2.5 h left at 36.0 GB/h")
    shown = picture(dataclasses.replace(BUSY, space=space, temperature_c=61.6), width)
    assert "2 h 30 min left" in " ".join(shown.split())
    assert "disk space: ACT: 2.5 h left" in " ".join(shown.split())
    assert "processor  62 °C" in shown
    assert "disk space" not in picture(BUSY, width)
