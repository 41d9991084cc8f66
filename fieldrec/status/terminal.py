"""The status in a terminal: a few lines that redraw, or plain lines where there is no terminal.

Runs in the event loop, in the daemon (`fieldrec run`) and in the command line that watches a
remote one; reads snapshots and nothing else. Text from outside is never read as markup.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import TextIO

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fieldrec.core.model import (
    CameraState,
    Drive,
    DriveState,
    Heat,
    Job,
    JobState,
    PowerLevel,
    SpaceTier,
)
from fieldrec.core.snapshot import Event, RecorderStatus, Snapshot
from fieldrec.status import words
from fieldrec.status.board import NOTHING, Board

REDRAW_S = 0.25
"""Shortest time between two redraws."""
NARROW = 66
"""Below this many columns a camera takes two lines."""
MOST_JOBS = 6
MOST_FAILED = 3
MOST_EVENTS = 3
MOST_LOST_RUNS = 2
"""Of each camera, the latest."""

_POWER_STYLE = {PowerLevel.MAINS: "green", PowerLevel.BATTERY: "yellow", PowerLevel.LOW: "bold red",
                PowerLevel.CRITICAL: "bold white on red", PowerLevel.UNKNOWN: "yellow"}
_STATE_STYLE = {CameraState.RECORDING: "bold green", CameraState.READY: "green",
                CameraState.FAILED: "bold red", CameraState.OPENING: "yellow",
                CameraState.CLOSED: "dim"}
_HEAT_STYLE = {Heat.NONE: "dim", Heat.LOW: "green", Heat.MEDIUM: "yellow", Heat.HIGH: "bold red"}
_SEVERITY_STYLE = {"error": "bold red", "warning": "yellow"}
_BUSY = (JobState.RUNNING, JobState.VERIFYING, JobState.COMMITTING, JobState.DELETING_SOURCE)


def render(snapshot: Snapshot) -> RenderableType:
    """The snapshot as something rich can print; fits itself to the width it is given."""
    return _Picture(snapshot)


async def live(board: Board, console: Console, until: asyncio.Event) -> None:
    """Show the board in place until `until` is set; redraws on change, at most every REDRAW_S."""
    with Live(render(board.latest), console=console, auto_refresh=False,
              redirect_stdout=False, redirect_stderr=False) as picture:
        version = board.latest.version
        while (snapshot := await board.wait_changed_until(version, until)) is not None:
            version = snapshot.version
            picture.update(render(snapshot), refresh=True)
            await _pause(until)


async def plain_lines(board: Board, stream: TextIO, until: asyncio.Event, since_ns: int = 0
                      ) -> None:
    """Write every event since then once, one time-stamped line each, until `until` is set.

    Events that came and went between two snapshots cannot be seen here. The stream blocks the
    event loop if its reader does not read: give it a log or a pipe that is read.
    """
    shown: tuple[Event, ...] = ()
    snapshot: Snapshot | None = board.latest if board.latest is not NOTHING else None
    version = board.latest.version
    while True:
        if snapshot is not None:
            for event in _new_events(shown, snapshot.events):
                if event.time_ns >= since_ns:
                    stream.write(_event_line(event) + "\n")
            stream.flush()
            shown, version = snapshot.events, snapshot.version
        if (snapshot := await board.wait_changed_until(version, until)) is None:
            return


async def _pause(until: asyncio.Event) -> None:
    """Let REDRAW_S pass, less when `until` is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(REDRAW_S):
            await until.wait()


def _new_events(shown: tuple[Event, ...], now: tuple[Event, ...]) -> tuple[Event, ...]:
    """What `now` has after what was shown: both are windows of one list that only grows."""
    for overlap in range(min(len(shown), len(now)), 0, -1):
        if shown[-overlap:] == now[:overlap]:
            return now[overlap:]
    return now


def _event_line(event: Event) -> str:
    severity = "" if event.severity == "info" else f"{words.safe_text(event.severity)}: "
    return f"{words.utc(event.time_ns)} {severity}{words.safe_text(event.text)}"


class _Picture:
    """All lines of one snapshot, laid out for the width at hand."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        narrow = options.max_width < NARROW
        snapshot = self._snapshot
        if snapshot.version == NOTHING.version:
            yield Text("no status yet", style="dim")
            return
        yield _header(snapshot, narrow)
        if snapshot.recorders:
            yield Text()
            yield _cameras_narrow(snapshot) if narrow else _cameras(snapshot)
        for section in (_notes(snapshot), _jobs(snapshot, narrow), _drives(snapshot),
                        _problems(snapshot), _events(snapshot)):
            lines = list(section)
            if lines:
                yield Text()
                yield from lines


def _header(snapshot: Snapshot, narrow: bool) -> RenderableType:
    title = Text.assemble((words.safe_text(snapshot.name, 60) or "fieldrec", "bold"), "  ")
    if snapshot.recording:
        title.append(f"● {words.recording_state(snapshot).upper()}", style="bold red")
        if snapshot.recording_since_ns is not None:
            seconds = (snapshot.time_ns - snapshot.recording_since_ns) / 1e9
            title.append(f" {words.duration(seconds)}", style="bold")
            if not narrow:
                since = words.utc(snapshot.recording_since_ns)[11:16]
                title.append(f"  since {since}Z", style="dim")
    else:
        title.append("○ not recording", style="bold")
    if snapshot.stopping:
        title.append("  stopping", style="yellow")
    power = Text(words.describe_power(snapshot.power), style=_POWER_STYLE[snapshot.power.level])
    if narrow:
        return Group(title, Text("power  ", style="dim") + power, _disk(snapshot))
    line = Table.grid(expand=True)
    line.add_column(ratio=1)
    line.add_column(justify="right", no_wrap=True)
    line.add_row(title, power)
    return Group(line, _disk(snapshot))


def _disk(snapshot: Snapshot) -> Text:
    storage, tier = snapshot.storage, snapshot.space.tier
    left = words.minutes_left(snapshot)
    style = ""
    full = 0 < storage.stop_percent <= storage.used_percent
    if full or tier in (SpaceTier.ACT, SpaceTier.STOP):
        style = "bold red"
    elif tier is SpaceTier.WARN or (left is not None and left < 60):
        style = "yellow"
    return Text.assemble(("disk  ", "dim"),
                         (words.describe_storage(storage, snapshot.space), style))


def _cameras(snapshot: Snapshot) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("camera", ratio=1, no_wrap=True, overflow="ellipsis", min_width=8)
    table.add_column("state", no_wrap=True)
    for title in ("frames", "fps", "dropped", "lost", "heat", "written"):
        table.add_column(title, justify="right", no_wrap=True)
    for r in snapshot.recorders:
        table.add_row(words.safe_text(r.key, 60), _state(r), words.count(r.frame_count),
                      f"{r.measured_hz:.1f}", _bad(r.dropped, "yellow"), _bad(r.lost, "bold red"),
                      _heat(r), words.size(r.written_bytes))
    return table


def _cameras_narrow(snapshot: Snapshot) -> Group:
    lines: list[RenderableType] = []
    for r in snapshot.recorders:
        line = Text.assemble((words.safe_text(r.key, 60), "bold"), "  ", _state(r))
        if r.state is CameraState.RECORDING:
            line.append(f"  {r.measured_hz:.1f} fps")
        lines += [line, Text.assemble(f"  {words.plural(r.frame_count, 'frame')}  ",
                                      words.size(r.written_bytes)),
                  Text.assemble("  dropped ", _bad(r.dropped, "yellow"), "  lost ",
                                _bad(r.lost, "bold red"), "  heat ", _heat(r))]
    return Group(*lines)


def _state(status: RecorderStatus) -> Text:
    if status.paused:
        return Text("PAUSED", style="bold yellow")
    if status.armed:
        return Text("ARMED", style="bold yellow")
    return Text(status.state.value, style=_STATE_STYLE[status.state])


def _bad(number: int, style: str) -> Text:
    return Text(words.count(number), style=style if number else "dim")


def _heat(status: RecorderStatus) -> Text:
    return Text(status.heat.value, style=_HEAT_STYLE[status.heat])


def _notes(snapshot: Snapshot) -> Iterator[RenderableType]:
    """What is seldom there: skew, pre-roll, lost frames, other folders, schedule, recovery."""
    if snapshot.skew_ms is not None:
        yield Text.assemble(("skew  ", "dim"), f"first frames within {snapshot.skew_ms:.1f} ms")
    for r in snapshot.recorders:
        key = words.safe_text(r.key, 60)
        if r.preroll_frames:
            yield Text.assemble((f"{key}  ", "dim"),
                                f"{words.plural(r.preroll_frames, 'frame')} of pre-roll")
        if r.folder:
            yield Text.assemble((f"{key}  ", "dim"), ("in ", "yellow"), words.safe_text(r.folder))
        for run in r.lost_runs[-MOST_LOST_RUNS:]:
            yield Text.assemble((f"{key}  ", "dim"), (words.describe_lost(run), "bold red"))
    if len(snapshot.storage.folders) > 1:
        for folder in snapshot.storage.folders:
            yield Text.assemble(("folder  ", "dim"), (words.describe_folder(folder),
                                                      "red" if folder.problem else ""))
    for line in words.describe_schedule(snapshot):
        what, _, rest = line.partition(": ")
        style = "yellow" if snapshot.schedule.clock_problem and what.startswith("clock") else ""
        yield Text.assemble((f"{what}  ", "dim"), (rest, style))
    if snapshot.temperature_c is not None:
        yield Text.assemble(("processor  ", "dim"), f"{snapshot.temperature_c:.0f} °C")
    if snapshot.recovery:
        yield Text.assemble(("recovery  ", "dim"), (words.safe_text(snapshot.recovery), "yellow"))


def _jobs(snapshot: Snapshot, narrow: bool) -> Iterator[RenderableType]:
    unfinished = [job for job in snapshot.jobs if not job.state.finished]
    busy = [job for job in unfinished if job.state in _BUSY][:MOST_JOBS]
    waiting = [job for job in unfinished if job.state not in _BUSY][:MOST_JOBS - len(busy)]
    failed = [job for job in snapshot.jobs if job.state is JobState.FAILED]
    if busy:
        yield _bars_narrow(busy) if narrow else _bars(busy)
    for job in waiting:
        yield _job_line(job, "yellow")
    unseen = len(unfinished) - len(busy) - len(waiting)
    if unseen:
        yield Text(f"… and {words.plural(unseen, 'more job')}", style="dim")
    for job in failed[:MOST_FAILED]:
        yield _job_line(job, "red")


def _bars(jobs: list[Job]) -> RenderableType:
    """Running jobs, one row each: what, how far, of how much."""
    bars = Table.grid(expand=True, padding=(0, 1, 0, 0))
    bars.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    bars.add_column(width=16)
    bars.add_column(no_wrap=True, justify="right")
    bars.add_column(no_wrap=True)
    for job in jobs:
        bars.add_row(Text(words.job_title(job)), _bar(job), f"{words.percent_done(job)} %",
                     _step(job))
    return bars


def _bars_narrow(jobs: list[Job]) -> RenderableType:
    """Running jobs, the title above each bar."""
    rows: list[RenderableType] = []
    for job in jobs:
        row = Table.grid(expand=True, padding=(0, 1, 0, 0))
        row.add_column(ratio=1)
        row.add_column(no_wrap=True, justify="right")
        row.add_column(no_wrap=True)
        row.add_row(_bar(job), f"{words.percent_done(job)} %", _step(job))
        rows += [Text(words.job_title(job)), row]
    return Group(*rows)


def _bar(job: Job) -> ProgressBar:
    return ProgressBar(total=100, completed=words.percent_done(job), complete_style="cyan",
                       finished_style="green")


def _step(job: Job) -> Text:
    left = words.time_left(job)
    if job.state is JobState.RUNNING:
        of = f"of {words.size(job.total_bytes)}" if job.total_bytes > 0 else ""
        return Text(", ".join(filter(None, (of, left))), style="dim")
    return Text(", ".join(filter(None, (job.state.value, left))), style="cyan")


def _job_line(job: Job, style: str) -> Text:
    return Text.assemble(words.job_title(job), ("  " + _outcome(job), style))


def _outcome(job: Job) -> str:
    reason = words.why(job)
    return f"{job.state.value}: {reason}" if reason else job.state.value


def _drives(snapshot: Snapshot) -> Iterator[RenderableType]:
    for drive in snapshot.drives:
        if drive.state is DriveState.SAFE:
            yield _safe_panel(drive)
        elif drive.state is not DriveState.ABSENT:
            style = "red" if drive.state is DriveState.REJECTED else ""
            yield Text.assemble(("drive  ", "dim"), (words.describe_drive(drive), style))


def _safe_panel(drive: Drive) -> Panel:
    text = Text(f" SAFE TO REMOVE  {words.drive_label(drive)} ", style="bold reverse",
                justify="center")
    if drive.reason:
        text.append(f"\n{words.safe_text(drive.reason)}", style="yellow not reverse")
    return Panel(text, box=box.HEAVY, style="bold green", padding=(0, 1))


def _problems(snapshot: Snapshot) -> Iterator[RenderableType]:
    for r in snapshot.recorders:
        if r.problem:
            yield _problem(f"camera {words.safe_text(r.key, 60)}", r.problem)
    for part, problem in snapshot.parts:
        if problem:
            yield _problem(words.safe_text(part, 60), problem)
    if snapshot.space.tier is not SpaceTier.OK:
        yield _problem("disk space", f"{snapshot.space.tier.value.upper()}: "
                                     f"{snapshot.space.reason}")
    if snapshot.power.reason and snapshot.power.level not in (PowerLevel.MAINS, PowerLevel.BATTERY):
        yield _problem("power", snapshot.power.reason)


def _problem(what: str, problem: str) -> Text:
    return Text.assemble(("! ", "bold red"), (f"{what}: ", "red"), words.safe_text(problem))


def _events(snapshot: Snapshot) -> Iterator[RenderableType]:
    for event in snapshot.events[-MOST_EVENTS:]:
        clock = words.utc(event.time_ns)[11:]
        yield Text.assemble((f"{clock}  ", "dim"),
                            (words.safe_text(event.text), _SEVERITY_STYLE.get(event.severity, "")))
