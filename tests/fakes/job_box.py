"""Folders, a queue and a runner without a daemon: what every test of jobs needs.

:class:`JobBox` leaves encoders and recordings to whoever builds on it; :class:`StandInBox` has
stores that nothing was encoded of, slow folders, and encoders that a test holds by a gate.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from fieldrec.catalogue.scan import scan
from fieldrec.core.errors import FieldrecError
from fieldrec.core.model import (
    Conditions,
    Export,
    Job,
    JobKind,
    JobState,
    PowerLevel,
    PowerState,
    Recording,
    RecordingState,
)
from fieldrec.destinations import Destination, Expected, OnBytes, Source
from fieldrec.destinations.folder import FolderDestination
from fieldrec.export.presets import Preset
from fieldrec.jobs.exporting import EncoderProgress
from fieldrec.jobs.held import EncoderLike
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.jobs.places import DestinationFactory
from fieldrec.jobs.runner import JobRunner
from tests.fakes.small_stores import make_export, make_store

PATIENCE_S = 120
"""Encoders take only time that nobody else wants."""
IDLE = Conditions(recording=False, recording_since_ns=None, power=PowerState(PowerLevel.MAINS),
                  present_destinations=frozenset(), free_bytes=10**9)


class JobBox:
    """Recordings in `root/recordings`, destinations in folders beside it that have their names."""

    def __init__(self, root: Path, *places: str) -> None:
        self.recordings = root / "recordings"
        self.folders = {name: root / name for name in places}
        for folder in (self.recordings, *self.folders.values()):
            folder.mkdir(exist_ok=True)
        self.conditions = dataclasses.replace(IDLE, present_destinations=frozenset(places))
        self.make_folder: Callable[[str], Destination] = lambda name: FolderDestination(
            name, self.folders[name])
        self.leases = 0
        self.events: list[str] = []
        self.seen: list[Job] = []
        self._watch = asyncio.Event()
        self.queue = JobQueue(self.recordings / ".fieldrec" / "jobs.sqlite",
                              on_change=self._on_change)
        self.runner = self.make_runner()

    def make_runner(self) -> JobRunner:
        return JobRunner(
            self.queue, catalogue=self.scan, recordings=self.all_recordings(),
            destinations=self.destinations, make_encoder=self.make_encoder,
            conditions=lambda: self.conditions, first_retry_s=0.001,
            on_event=lambda text, _severity: self.events.append(text))

    def all_recordings(self) -> list[Path]:
        """Every folder that they may lie in."""
        return [self.recordings]

    async def scan(self) -> list[Recording]:
        return scan(*self.all_recordings())

    def make_encoder(self, store: Path, preset: Preset, folder: Path, on_progress: EncoderProgress
                     ) -> EncoderLike:
        raise NotImplementedError

    def destinations(self) -> Mapping[str, DestinationFactory]:
        return {name: lambda name=name: self.lease(name)  # type: ignore[misc]
                for name in self.folders if name in self.conditions.present_destinations}

    @contextlib.contextmanager
    def lease(self, name: str) -> Iterator[Destination]:
        self.leases += 1
        try:
            with contextlib.closing(self.make_folder(name)) as folder:
                yield folder
        finally:
            self.leases -= 1

    def _on_change(self, job: Job) -> None:
        self.seen.append(job)
        self._watch.set()

    def become(self, **changes: Any) -> None:
        """Change the conditions and tell the runner; `level` is that of power."""
        if "level" in changes:
            changes["power"] = PowerState(changes.pop("level"), charge_percent=22)
        self.conditions = dataclasses.replace(self.conditions, **changes)
        self.runner.wake()

    async def until(self, job: Job, *wanted: JobState, reason: str = "") -> Job:
        """Wait until the job is in one of these states, for a reason that contains `reason`."""
        async with asyncio.timeout(PATIENCE_S):
            while not ((now := self.queue.job(job.id)).state in wanted and reason in now.reason):
                self._watch.clear()
                if now.state.finished:
                    pytest.fail(f"{now.state}: {now.reason}, expected {wanted} {reason}")
                await self._watch.wait()
        return now

    async def until_true(self, question: Callable[[], bool]) -> None:
        """For what no job tells."""
        async with asyncio.timeout(PATIENCE_S):
            while not question():  # noqa: ASYNC110
                await asyncio.sleep(0.002)

    def states(self, job: Job) -> list[JobState]:
        """That the job has gone through."""
        seen: list[JobState] = []
        for one in self.seen:
            if one.id == job.id and (not seen or seen[-1] is not one.state):
                seen.append(one.state)
        return seen

    def was_told(self, job: Job, state: JobState, reason: str) -> bool:
        """Whether the job has been in that state for that reason."""
        return any((one.id, one.state, one.reason) == (job.id, state, reason) for one in self.seen)

    def before_the_end(self) -> None:
        """Called when the runner is to be stopped."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[JobRunner]:
        """The runner under way; stopped in order afterwards, with nothing left."""
        task = asyncio.create_task(self.runner.run())
        try:
            yield self.runner
        finally:
            self.before_the_end()
            await self.until_true(lambda: not any(  # what came to an end has said so
                self.queue.job(job_id).state.finished for job_id in self.runner._running))
            task.cancel()
            await asyncio.wait([task])
            assert self.leases == 0
            if not task.cancelled():
                task.result()


class NotedEncoder:
    """An export process that notes what it is told."""

    size_bytes = 1_000

    def __init__(self, pid: int | None = None) -> None:
        self.calls: list[str] = []
        self.pid = pid

    async def run(self) -> Export:
        raise NotImplementedError

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")

    def throttle(self, share: float) -> None:
        self.calls.append(f"throttle {share}")


class StandInEncoder(NotedEncoder):
    """Writes a ready-made export when its gate opens; knows whether it is held."""

    def __init__(self, box: StandInBox, store: Path, on_progress: EncoderProgress) -> None:
        super().__init__()
        self._box = box
        self.store = store
        self._on_progress = on_progress

    async def run(self) -> Export:
        self.calls.append("run")
        self._on_progress("encoding", 1, 10)
        self._box.encoding.set()
        try:
            await self._box.encode_gate.wait()
        except asyncio.CancelledError:
            self.calls.append("cancelled")
            await self._box.leave_gate.wait()
            self.calls.append("gone")
            raise
        if self._box.encode_errors:
            raise self._box.encode_errors.pop(0)
        self._on_progress("verifying", 10, 10)
        if self._box.encodes_nothing:
            return Export(self.store, "High", 0, 0, "", 0)
        recording = self._recording()
        make_export(self.store.parent, self.store.name, recording.uuid, recording.frame_count)
        return self._recording().exports[0]

    def _recording(self) -> Recording:
        return next(found for found in scan(self.store.parent) if found.path == self.store)


class SlowFolder(FolderDestination):
    """A folder whose every write waits for a gate, and that fails when it is told to."""

    def __init__(self, name: str, folder: Path, box: StandInBox) -> None:
        super().__init__(name, folder)
        self._box = box

    def write(self, item: str, source: Source, on_bytes: OnBytes) -> None:
        self._box.putting.add(self.name)
        self._box.gate.wait(PATIENCE_S)
        if self._box.put_errors:
            raise self._box.put_errors.pop(0)
        super().write(item, source, on_bytes)

    def verify(self, item: str, source: Expected, on_bytes: OnBytes) -> Sequence[str]:
        differ = super().verify(item, source, on_bytes)
        self._box.on_read_back()
        return differ


class StandInBox(JobBox):
    """Recordings in two folders, a slow destination "nas", further ones where asked for."""

    def __init__(self, root: Path, *places: str) -> None:
        self.card = root / "card"
        self.card.mkdir(exist_ok=True)
        super().__init__(root, "nas", *places)
        self.nas = self.folders["nas"]
        self.make_folder = lambda name: SlowFolder(name, self.folders[name], self)
        self.state_of: dict[str, RecordingState] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.putting: set[str] = set()
        """Destinations that something was put to."""
        self.put_errors: list[FieldrecError] = []
        self.encode_gate = asyncio.Event()
        self.encode_gate.set()
        self.encoding = asyncio.Event()
        self.leave_gate = asyncio.Event()
        self.leave_gate.set()
        self.encode_errors: list[FieldrecError] = []
        self.encodes_nothing = False
        self.on_read_back: Callable[[], None] = lambda: None
        self.encoders: list[StandInEncoder] = []

    def all_recordings(self) -> list[Path]:
        return [self.recordings, self.card]

    async def scan(self) -> list[Recording]:
        return [dataclasses.replace(found, state=self.state_of.get(found.name, found.state))
                for found in await super().scan()]

    def make_encoder(self, store: Path, preset: Preset, folder: Path, on_progress: EncoderProgress
                     ) -> EncoderLike:
        assert (preset.name, folder) == ("High", store.parent)
        encoder = StandInEncoder(self, store, on_progress)
        self.encoders.append(encoder)
        return encoder

    def before_the_end(self) -> None:
        self.gate.set()

    async def add(self, kind: JobKind, name: str = "bees", **more: Any) -> Job:
        found = next(r for r in scan(self.recordings) if r.name == name)
        if kind is JobKind.EXPORT:
            more.setdefault("preset", "High")
        elif kind is not JobKind.DELETE:
            more.setdefault("destination", "nas")
        return await self.queue.add(kind, name, found.uuid, **more)

    async def until_stopping(self) -> None:
        """Wait until the runner has told all that runs to stop."""
        await self.until_true(lambda: all(one.stopping for one in self.runner._running.values()))


@contextlib.asynccontextmanager
async def a_box(root: Path, *names: str, places: tuple[str, ...] = ()) -> AsyncIterator[StandInBox]:
    """A box whose queue is open, with complete recordings of these names."""
    box = StandInBox(root, *places)
    for seed, name in enumerate(names or ("bees",), 1):
        make_store(box.recordings, name, seed=seed)
    await box.queue.open()
    try:
        yield box
    finally:
        await box.queue.close()


def names(folder: Path) -> list[str]:
    """What a folder holds, but for fieldrec's own and the history of the whole."""
    return sorted(path.name for path in folder.iterdir()
                  if path.name not in (".fieldrec", "ascmhl"))
