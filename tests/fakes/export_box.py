"""A queue and a runner over real stores, with the real export process, without a daemon."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from fieldrec.catalogue.scan import scan
from fieldrec.core.model import Job, JobKind, Recording
from fieldrec.export.encoder import Encoder
from fieldrec.export.presets import Preset
from fieldrec.jobs.exporting import EncoderProgress
from fieldrec.jobs.runner import JobRunner
from tests.fakes.export_content import moving, write_store
from tests.fakes.job_box import JobBox


class ExportBox(JobBox):
    """Recordings in `root/recordings`, a destination "usb" in `root/usb`."""

    def __init__(self, root: Path, own_presets: dict[str, Preset] | None = None,
                 keep_free_bytes: int = 0) -> None:
        self.own_presets = own_presets or {}
        self.keep_free_bytes = keep_free_bytes
        super().__init__(root, "usb")
        self.usb = self.folders["usb"]
        self.encoders: list[Encoder] = []
        self.on_encoder: Callable[[Encoder], None] = lambda _encoder: None
        self.on_progress: Callable[[str, int], None] = lambda _phase, _done: None

    def make_runner(self) -> JobRunner:
        return JobRunner(
            self.queue, catalogue=self.scan, recordings=[self.recordings],
            destinations=self.destinations, make_encoder=self.make_encoder,
            conditions=lambda: self.conditions, own_presets=self.own_presets,
            keep_free_bytes=self.keep_free_bytes, first_retry_s=0.001,
            on_event=lambda text, _severity: self.events.append(text))

    def make_encoder(self, store: Path, preset: Preset, folder: Path, on_progress: EncoderProgress
                     ) -> Encoder:
        def told(phase: str, done: int, total: int) -> None:
            on_progress(phase, done, total)
            self.on_progress(phase, done)

        encoder = Encoder(store, preset, folder, told)
        self.encoders.append(encoder)
        self.on_encoder(encoder)
        return encoder

    def record(self, name: str = "bees", frames: int = 12) -> Recording:
        """A complete recording; it as the catalogue has it."""
        write_store(self.recordings / name, moving(frames))
        return next(found for found in scan(self.recordings) if found.name == name)

    async def add(self, recording: Recording, kind: JobKind = JobKind.EXPORT, **more: Any) -> Job:
        if kind not in (JobKind.COPY, JobKind.MOVE):
            more.setdefault("preset", "Low")
        return await self.queue.add(kind, recording.name, recording.uuid, **more)


@contextlib.asynccontextmanager
async def export_box(root: Path, **options: Any) -> AsyncIterator[ExportBox]:
    """A box whose queue is open."""
    box = ExportBox(root, **options)
    await box.queue.open()
    try:
        yield box
    finally:
        await box.queue.close()
