"""A queue and a runner over real stores, with the real export process, without a daemon."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from fieldrec.catalogue.scan import scan
from fieldrec.core.model import (
    Conditions,
    Job,
    JobKind,
    JobState,
    PowerLevel,
    PowerState,
    Recording,
)
from fieldrec.destinations import Destination
from fieldrec.destinations.folder import FolderDestination
from fieldrec.export.encoder import Encoder
from fieldrec.export.presets import Preset
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.jobs.runner import JobRunner
from tests.fakes.export_content import moving, write_store

PATIENCE_S = 120
"""Encoders take only time that nobody else wants."""


class ExportBox:
    """Recordings in `root/recordings`, a destination "usb" in `root/usb`."""

    def __init__(self, root: Path, own_presets: dict[str, Preset] | None = None,
                 keep_free_bytes: int = 0) -> None:
        self.recordings, self.usb = root / "recordings", root / "usb"
        for folder in (self.recordings, self.usb):
            folder.mkdir(exist_ok=True)
        self.own_presets = own_presets or {}
        self.keep_free_bytes = keep_free_bytes
        self.conditions = Conditions(
            recording=False, recording_since_ns=None, power=PowerState(PowerLevel.MAINS),
            present_destinations=frozenset({"usb"}), free_bytes=10**9)
        self.encoders: list[Encoder] = []
        self.on_encoder: Callable[[Encoder], None] = lambda _encoder: None
        self.on_progress: Callable[[str, int], None] = lambda _phase, _done: None
        self.make_folder: Callable[[], FolderDestination] = lambda: FolderDestination(
            "usb", self.usb)
        self.leases = 0
        self.events: list[str] = []
        self.seen: list[Job] = []
        self._watch = asyncio.Event()
        self.queue = JobQueue(self.recordings / ".fieldrec" / "jobs.sqlite",
                              on_change=self._on_change)

    async def scan(self) -> list[Recording]:
        return scan(self.recordings)

    def make_runner(self) -> JobRunner:
        return JobRunner(
            self.queue, catalogue=self.scan, recordings=[self.recordings],
            destinations=lambda: {"usb": self.lease} if self.is_there("usb") else {},
            make_encoder=self.make_encoder, conditions=lambda: self.conditions,
            own_presets=self.own_presets, keep_free_bytes=self.keep_free_bytes,
            on_event=lambda text, _severity: self.events.append(text), first_retry_s=0.01)

    def is_there(self, name: str) -> bool:
        return name in self.conditions.present_destinations

    @contextlib.contextmanager
    def lease(self) -> Iterator[Destination]:
        self.leases += 1
        try:
            with contextlib.closing(self.make_folder()) as folder:
                yield folder
        finally:
            self.leases -= 1

    def make_encoder(self, store: Path, preset: Preset, folder: Path,
                     on_progress: Callable[[str, int, int], None]) -> Encoder:
        def told(phase: str, done: int, total: int) -> None:
            on_progress(phase, done, total)
            self.on_progress(phase, done)

        encoder = Encoder(store, preset, folder, told)
        self.encoders.append(encoder)
        self.on_encoder(encoder)
        return encoder

    def _on_change(self, job: Job) -> None:
        self.seen.append(job)
        self._watch.set()

    def become(self, runner: JobRunner, **changes: Any) -> None:
        self.conditions = dataclasses.replace(self.conditions, **changes)
        runner.wake()

    def record(self, name: str = "bees", frames: int = 12) -> Recording:
        """A complete recording; it as the catalogue has it."""
        write_store(self.recordings / name, moving(frames))
        return next(found for found in scan(self.recordings) if found.name == name)

    async def add(self, recording: Recording, kind: JobKind = JobKind.EXPORT, **more: Any) -> Job:
        more.setdefault("preset", "Low")
        return await self.queue.add(kind, recording.name, recording.uuid, **more)

    async def until(self, job: Job, *wanted: JobState, reason: str = "") -> Job:
        """Wait until the job is in one of these states, for a reason that contains `reason`."""
        def is_so() -> bool:
            now = self.queue.job(job.id)
            return now.state in wanted and reason in now.reason

        async with asyncio.timeout(PATIENCE_S):
            while not is_so():
                self._watch.clear()
                now = self.queue.job(job.id)
                assert not now.state.finished, f"{now.state}: {now.reason}"
                await self._watch.wait()
        return self.queue.job(job.id)

    async def until_true(self, question: Callable[[], bool]) -> None:
        """For what no job tells."""
        async with asyncio.timeout(PATIENCE_S):
            while not question():  # noqa: ASYNC110
                await asyncio.sleep(0.002)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[JobRunner]:
        """The runner under way; stopped in order afterwards."""
        runner = self.make_runner()
        task = asyncio.create_task(runner.run())
        try:
            yield runner
        finally:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()


@contextlib.asynccontextmanager
async def export_box(root: Path, **options: Any) -> AsyncIterator[ExportBox]:
    """A box whose queue is open."""
    box = ExportBox(root, **options)
    await box.queue.open()
    try:
        yield box
    finally:
        await box.queue.close()


def names(folder: Path) -> list[str]:
    """What a folder holds, but for fieldrec's own."""
    return sorted(path.name for path in folder.iterdir() if path.name != ".fieldrec")
