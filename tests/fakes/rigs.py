"""A recorder with a scripted camera on a real store, and ways to look at what it made."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import imgstore
import numpy as np

from fieldrec.config import RecordConfig, StoreConfig
from fieldrec.core.model import CameraState, ClockQuality
from fieldrec.core.snapshot import RecorderStatus
from fieldrec.record.capture import Patience
from fieldrec.record.outcome import Outcome
from fieldrec.record.recorder import Recorder
from fieldrec.record.trigger import NewTrigger
from fieldrec.store.reader import StoreReader
from tests.fakes.cameras import ManualClock, ScriptedCamera, Watching
from tests.fakes.waiting import PATIENCE_S

QUICK = Patience(grab_s=0.01, silence_s=1e9, hang_s=1e9, together_s=30.0, take_s=0.01)


class RecorderRig:
    """One recorder and everything around it."""

    def __init__(self, key: str = "left", *, clock: ManualClock | None = None,
                 watching: Watching | None = None, patience: Patience = QUICK,
                 chunksize: int = 4, durability_s: float = 60.0,
                 metadata: dict[str, Any] | None = None, camera: ScriptedCamera | None = None,
                 record: RecordConfig | None = None, trigger: NewTrigger | None = None) -> None:
        self.clock = clock or ManualClock()
        self.watching = watching or Watching()
        self.camera = camera or ScriptedCamera(self.clock)
        self.recorder = Recorder(
            key, self.camera, serial=f"SN-{key}",
            store=StoreConfig(chunksize=chunksize, durability_s=durability_s),
            record=record or RecordConfig(ring_s=0.1), timezone="Europe/Vienna", clock=self.clock,
            on_change=self.watching.on_change, metadata=metadata, patience=patience,
            quality=lambda: ClockQuality.RTC, trigger=trigger)
        self.closed: list[tuple[str, int]] = []
        """Stores that have ended, and how many frames they have."""
        self.outcomes: list[Outcome] = []
        self.recorder.listen(
            self.watching.on_event, lambda _, outcome: self.outcomes.append(outcome),
            self._on_closed)

    def _on_closed(self, _recorder: Recorder, name: str, frames: int) -> None:
        self.closed.append((name, frames))
        self.watching.look_again()

    @property
    def status(self) -> RecorderStatus:
        return self.recorder.status()

    def in_state(self, state: CameraState) -> bool:
        """Whether the recorder is in `state` now."""
        return self.recorder.state is state

    async def give(self, *numbers: int) -> list[int]:
        """Frames, each a second later and each in the store before the next; their times."""
        times = []
        for number in numbers:
            expected = self.status.frame_count + 1
            times.append(self.camera.give(number))
            await self.watching.until(lambda e=expected: self.status.frame_count >= e)  # type: ignore[misc]
        return times

    async def settled(self) -> None:
        """Until the store thread has done with every frame that is in the ring now."""
        run = self.recorder._runs.now
        assert run is not None
        await asyncio.wrap_future(run.ask(lambda: None))

    def release_gates(self) -> None:
        for gate in (self.camera.may_open, self.camera.may_start, self.camera.may_answer):
            gate.set()


@asynccontextmanager
async def closed_rig(**options: Any) -> AsyncIterator[RecorderRig]:
    """A recorder, not opened yet; closed at the end whatever happens."""
    rig = RecorderRig(**options)
    try:
        yield rig
    finally:
        rig.release_gates()
        await rig.recorder.close()


@asynccontextmanager
async def recorder_rig(**options: Any) -> AsyncIterator[RecorderRig]:
    """An open recorder, closed at the end whatever happens."""
    async with closed_rig(**options) as rig:
        await rig.recorder.open()
        yield rig


class Disk:
    """A durable hook: holds or fails the writes of frames."""

    def __init__(self) -> None:
        self.may_write = threading.Event()
        self.may_write.set()
        self.holding = threading.Event()
        self.fail_at: int | None = None
        self.fail_with = errno.ENOSPC
        self.fails_in: Path | None = None
        """The only folder whose writes fail; None: all do."""
        self.works_in: Path | None = None
        """The only folder whose writes do not fail."""
        self.fail_syncs = 0
        self.damages: Path | None = None
        """A frame that is not what was written when a sync has failed."""
        self.frames = 0
        self.writers: set[str] = set()

    def __call__(self, step: str, path: Path) -> None:
        if step == "syncfs" and self.fail_syncs:
            self.fail_syncs -= 1
            if self.damages is not None:
                self.damages.write_bytes(b"torn")
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if step != "write" or path.suffix != ".npy":
            return
        self.writers.add(threading.current_thread().name)
        if not self.may_write.is_set():
            self.holding.set()
            self.may_write.wait(PATIENCE_S)
        self.frames += 1
        here = (self.fails_in is None or path.is_relative_to(self.fails_in)) and (
            self.works_in is None or not path.is_relative_to(self.works_in))
        if here and self.fail_at is not None and self.frames >= self.fail_at:
            raise OSError(self.fail_with, os.strerror(self.fail_with))


def gather(rig: RecorderRig, disk: Disk, *numbers: int) -> None:
    """Frames that come while the disk takes none; after that it does."""
    disk.may_write.clear()
    for number in numbers:
        rig.camera.give(number)
    rig.camera.wait_taken()
    disk.may_write.set()


def names_in(directory: Path) -> list[str]:
    """What the directory holds, sorted."""
    return sorted(path.name for path in directory.iterdir())


def check_complete(path: Path, numbers: list[int], times_ns: list[int] | None = None
                   ) -> dict[str, Any]:
    """The real imgstore reads exactly these frames, sequentially; the user metadata."""
    assert not (path / ".lock").exists()
    with StoreReader(path) as reader:
        assert reader.problems == ()
        assert reader.numbers.tolist() == numbers
        if times_ns is not None:
            assert reader.times_ns.tolist() == times_ns
    store = imgstore.new_for_filename(str(path))
    try:
        assert store.frame_count == len(numbers)
        for number in numbers:
            image, (read_number, read_time) = store.get_next_image()
            assert read_number == number
            assert (np.asarray(image) == number % 251).all()
            if times_ns is not None:
                assert abs(read_time - times_ns[numbers.index(number)] / 1e9) < 1e-6
        return dict(store.user_metadata)
    finally:
        store.close()


def ours(path: Path) -> dict[str, Any]:
    """What fieldrec says of a recording in its metadata."""
    with StoreReader(path) as store:
        return dict(store.user_metadata["fieldrec"])


def extra_data(path: Path) -> list[dict[str, Any]]:
    """All extra-data records, by the real imgstore."""
    store = imgstore.new_for_filename(str(path))
    try:
        found = store.get_extra_data(ignore_corrupt_chunks=False)
        return [] if found is None else found.to_dict("records")
    finally:
        store.close()
