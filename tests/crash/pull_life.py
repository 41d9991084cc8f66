"""One job of a box onto a drive, and the moment at which the drive is pulled out or the power cut.

Run in a forked child of pulls.py. The queue, the runner and all that they do are the real ones; the
test stands for the app's drive table: it says that the drive is there, and a moment after it was
pulled out that it is not. Small batches make several syncs of what is a few hundred kB.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fieldrec.core import durable
from fieldrec.core.model import Job, JobKind, JobState
from fieldrec.destinations import Destination, _pipeline
from fieldrec.destinations.drive import DriveDestination
from fieldrec.export.encoder import Encoder
from fieldrec.export.presets import Preset
from fieldrec.jobs.exporting import EncoderProgress
from fieldrec.jobs.places import DestinationFactory
from tests.fakes.job_box import JobBox
from tests.fakes.stick import Stick
from tests.fakes.waiting import PATIENCE_S

DRIVE = "drive:STICK-01"
PHASES = ("", "writing", "syncing", "verifying", "committing", "deleting")
_PHASE_OF = {JobState.RUNNING: "writing", JobState.VERIFYING: "verifying",
             JobState.COMMITTING: "committing", JobState.DELETING_SOURCE: "deleting"}
_SYNCS = ("syncfs", "fsync", "fsync_directory")
BATCH_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Moment:
    """When it happens, and by which way."""

    way: str
    """"device" (every I/O fails), "shrink" (the device has size 0), "down" (GOINGDOWN), or
    "power" (of the recorder: its disk and the process)."""
    operation: int = 0
    """Of the device, from the beginning of the job…"""
    step: int = 0
    """…or the durable step…"""
    phase: str = ""
    """…or the beginning of a phase…"""
    delay_s: float = 0.0
    """…and so long after the step or that."""


@dataclass(slots=True)
class Told:
    """What became of one life."""

    state: str = ""
    reason: str = ""
    phase: str = ""
    """In which it was struck; "" when it was not."""
    operations: int = 0
    steps: list[str] = field(default_factory=list)
    """Phase of each durable step."""
    phase_s: dict[str, float] = field(default_factory=dict)
    """How long each phase took."""
    waited: bool = False
    """Whether the job waited for its drive after it was struck."""


class PullBox(JobBox):
    """Recordings in a folder, a drive that may go away."""

    def __init__(self, recordings: Path, stick: Stick) -> None:
        super().__init__(recordings.parent)
        self.stick = stick
        self.present = True
        self.phase = ""
        self.on_phase: Callable[[str], None] = lambda _phase: None

    def destinations(self) -> Mapping[str, DestinationFactory]:
        return {DRIVE: lambda: self.lease(DRIVE)} if self.present else {}

    def change(self, present: bool) -> None:
        """The drive came or went; as the drive table tells it."""
        self.present = present
        self.become(present_destinations=frozenset({DRIVE} if present else ()))

    def drive(self, _name: str) -> Destination:
        return DriveDestination(DRIVE, self.stick.mount_point, "fieldrec",
                                device=Path(self.stick.device), gone=lambda: not self.present)

    def make_encoder(self, store: Path, preset: Preset, folder: Path, on_progress: EncoderProgress
                     ) -> Encoder:
        return Encoder(store, preset, folder, on_progress)

    def note(self, phase: str) -> None:
        """In shared memory, so that the drive can tell in which phase it was pulled out."""
        if phase != self.phase:
            self.phase = phase
            self.stick.disk.orders["mark"] = PHASES.index(phase)
            self.on_phase(phase)


class Striker:
    """The hook at durable steps: counts them, and strikes."""

    def __init__(self, box: PullBox, moment: Moment | None, cut_power: Callable[[], None]) -> None:
        self._box = box
        self._moment = moment
        self._cut_power = cut_power
        self._lock = threading.Lock()
        self.steps: list[str] = []
        self.struck = ""
        self._timers: list[threading.Timer] = []
        self._at = ("", time.monotonic())
        self.phase_s: dict[str, float] = {}
        box.on_phase = self._on_phase
        if moment is not None and moment.operation:
            box.stick.disk.pull_after(moment.operation)

    def _on_phase(self, phase: str) -> None:
        before, since_s = self._at
        now_s = time.monotonic()
        if before:
            self.phase_s[before] = self.phase_s.get(before, 0.0) + now_s - since_s
        self._at = (phase, now_s)
        if self._moment is not None and phase and self._moment.phase == phase:
            self._later(self._moment.delay_s)

    def __call__(self, step: str, path: Path) -> None:
        with self._lock:
            if path.name.startswith("jobs.sqlite") or not self._box.phase:
                return
            here = "syncing" if step in _SYNCS and self._box.phase == "writing" else self._box.phase
            self._box.stick.disk.orders["mark"] = PHASES.index(here)
            self.steps.append(here)
            due = self._moment is not None and len(self.steps) == self._moment.step
        if due and self._moment is not None:
            if self._moment.delay_s:
                self._later(self._moment.delay_s)
            else:
                self.strike()

    def strike(self) -> None:
        """Now."""
        moment, stick = self._moment, self._box.stick
        if moment is None or self.struck:
            return
        self.struck = PHASES[stick.disk.orders["mark"]] or "writing"
        with contextlib.suppress(OSError):  # it may be over and unmounted
            if moment.way == "power":
                self._cut_power()
            elif moment.way == "device":
                stick.disk.pull()
            elif moment.way == "shrink":
                stick.disk.shrink(0)
            elif moment.way == "down":
                stick.go_down()

    def where(self) -> str:
        """The phase in which it struck, or the drive did by itself; "" when neither has."""
        if self.struck:
            return self.struck
        orders = self._box.stick.disk.orders
        return PHASES[orders["mark_at_pull"]] or "writing" if orders["pulled"] else ""

    def close(self) -> None:
        for timer in self._timers:
            timer.cancel()
            timer.join()

    def _later(self, delay_s: float) -> None:
        timer = threading.Timer(delay_s, self.strike)
        timer.daemon = True
        self._timers.append(timer)
        timer.start()


@contextlib.contextmanager
def small_batches() -> Iterator[None]:
    """Several syncs in a small copy."""
    before = _pipeline.BATCH_BYTES
    _pipeline.BATCH_BYTES = BATCH_BYTES
    try:
        yield
    finally:
        _pipeline.BATCH_BYTES = before


async def live(recordings: Path, stick: Stick, job: Mapping[str, Any],
               moment: Moment | None, notice_s: float, cut_power: Callable[[], None],
               look: Callable[[], list[str]]) -> tuple[Told, list[str]]:
    """Do a job until it is done, pulled out in between if there is a moment; what became of it, and
    what `look` found wrong on the drive as it was left."""
    box = PullBox(recordings, stick)
    box.make_folder = box.drive
    striker = Striker(box, moment, cut_power)
    await box.queue.open()
    told, wrong = Told(), []
    durable.set_hook(striker)
    try:
        with small_batches():
            box.change(True)
            row = await _queued(box, **job)
            box.queue.subscribe(lambda now: box.note(_PHASE_OF.get(now.state, "")))
            async with box.running():
                before = stick.disk.orders["operations"]
                end = await _until_struck(box, row, striker)
                told.operations = stick.disk.orders["operations"] - before
                told.phase = striker.where()
                if told.phase and not end.state.finished:
                    await asyncio.sleep(notice_s)
                    box.change(False)
                    end = await _settled(box, row)
                    told.waited = end.state is JobState.WAITING
                    await box.until_true(lambda: not box.leases)
                    wrong = look()
                    box.change(True)
                    end = await _settled(box, row)
                told.state, told.reason = end.state.value, end.reason
    finally:
        durable.set_hook(None)
        striker.close()
        await box.queue.close()
    told.steps, told.phase_s = striker.steps, striker.phase_s
    return told, wrong


async def _queued(box: PullBox, kind: JobKind, name: str, uuid: str, **more: Any) -> Job:
    """The job that is in the queue already, or a new one: as an automatic one, when the drive is
    put in."""
    for job in box.queue.jobs():
        if not job.state.finished:
            return job
    return await box.queue.add(kind, name, uuid, destination=DRIVE, **more)


async def _until_struck(box: PullBox, row: Job, striker: Striker) -> Job:
    async with asyncio.timeout(PATIENCE_S):
        while not ((now := box.queue.job(row.id)).state.finished or striker.where()):  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    return now


async def _settled(box: PullBox, row: Job) -> Job:
    """Once the job waits for its drive, or has ended."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            now = box.queue.job(row.id)
            away = now.state is JobState.WAITING and not box.present
            if now.state.finished or (away and not box.leases):
                return now
            await asyncio.sleep(0.002)
