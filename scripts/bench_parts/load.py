"""Cameras and rings that can be watched, and who takes the frames out: what `capture`, `work` and
`soak` measure. Runs in the process that is measured.

A ring notes when each frame was committed and when it was released, outside the code that is
measured; all designs have the same. A camera that does not pace itself gives a frame only when its
ring has room: as fast as the disk goes, and none lost.
"""

from __future__ import annotations

import asyncio
import os
import resource
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import imgstore
import numpy as np

from fieldrec.camera import Pixels
from fieldrec.camera.synthetic import Options, SyntheticCamera
from fieldrec.config import RecordConfig, StoreConfig
from fieldrec.core.clock import SystemClock
from fieldrec.core.model import FrameHeader, FrameSpec
from fieldrec.record import making
from fieldrec.record.capture import Capture, Patience
from fieldrec.record.place import GivenPath, Place
from fieldrec.record.recorder import Recorder
from fieldrec.record.ring import Ring, slots_for

CHUNKSIZE = 200
RING_S = 2.0
TICK_S = 0.01


class WatchedRing(Ring):
    """Notes for each frame how long it took from its commit to its release."""

    made: ClassVar[list[WatchedRing]] = []
    """In this process, in the order of the cameras."""
    keeps: ClassVar[int] = 100_000
    """Of how many frames that is noted."""
    calls: ClassVar[dict[int, Callable[[], None]]] = {}
    """What the consumer calls when it has released so many frames."""

    def __init__(self, spec: FrameSpec, slots: int) -> None:
        super().__init__(spec, slots)
        self.latencies_ns: list[int] = []
        self.released = 0
        self._since: deque[int] = deque()
        self.made.append(self)

    def commit(self, header: FrameHeader, digest: int | None = None) -> None:
        self._since.append(time.monotonic_ns())
        super().commit(header, digest)

    def release(self) -> None:
        super().release()
        self.released += 1
        took_ns = time.monotonic_ns() - self._since.popleft()
        if self.released <= self.keeps:
            self.latencies_ns.append(took_ns)
        if self.released in self.calls:
            self.calls[self.released]()


class WaitingCamera(SyntheticCamera):
    """Gives a frame only when the ring has room for it, unless it paces itself."""

    number = 0
    """Which of the rings is its."""

    def grab(self, into: Pixels, timeout_s: float) -> FrameHeader:
        if not self.options.paced:
            ring = WatchedRing.made[self.number]
            while ring.acquire() is None:
                time.sleep(0.0005)
        return super().grab(into, timeout_s)


def cameras(count: int, **options: Any) -> list[WaitingCamera]:
    """So many, their patterns different."""
    made = []
    for number in range(count):
        camera = WaitingCamera(f"camera{number}", Options(seed=number, **options))
        camera.number = number
        made.append(camera)
    return made


# --- who takes the frames ------------------------------------------------------------------------

class ImgStore:
    """The imgstore package's npy writer."""

    def __init__(self, path: Path, spec: FrameSpec) -> None:
        self._store = imgstore.new_for_format(
            "npy", basedir=str(path), mode="w", imgshape=spec.shape, imgdtype=np.dtype(spec.dtype),
            chunksize=CHUNKSIZE)

    def add(self, pixels: Pixels, header: FrameHeader) -> None:
        self._store.add_image(pixels, header.number, header.monotonic_ns / 1e9)

    def close(self) -> None:
        self._store.close()


class BigFileDirect:
    """Frames one after the other in one file, past the page cache: the bound of the disk. The ring
    aligns them; what is not a whole page at the end is written up to the next one."""

    def __init__(self, path: Path, spec: FrameSpec) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_DIRECT)
        self._whole = spec.frame_bytes - spec.frame_bytes % 4096

    def add(self, pixels: Pixels, _header: FrameHeader) -> None:
        os.write(self._file, pixels.reshape(-1).data.cast("B")[:self._whole])

    def close(self) -> None:
        os.fsync(self._file)
        os.close(self._file)


class Discard:
    """Takes the frames and forgets them: what camera and ring alone cost."""

    def __init__(self, _path: Path, _spec: FrameSpec) -> None:
        pass

    def add(self, _pixels: Pixels, _header: FrameHeader) -> None:
        pass

    def close(self) -> None:
        pass


PEERS: dict[str, Any] = {"imgstore": ImgStore, "big file direct": BigFileDirect,
                         "discard": Discard}


def run_peers(design: str, used: list[WaitingCamera], place: Path) -> None:
    """The same cameras, rings and capture threads, a thread for each that writes in another way;
    blocks until all is written."""
    threads = []
    for camera in used:
        spec = camera.open()
        ring = WatchedRing(spec, slots_for(spec, RING_S, 512 * 1024 * 1024 // len(used)))
        capture = Capture(camera.serial, camera, ring, nominal_hz=spec.nominal_hz,
                          patience=Patience(), barrier=None)
        writer = PEERS[design](place / camera.serial, spec)
        threads.append((threading.Thread(target=_drain, args=(ring, writer)), capture))
    for thread, capture in threads:
        thread.start()
        capture.start()
    for thread, capture in threads:
        thread.join()
        capture.join(60)


def _drain(ring: WatchedRing, writer: Any) -> None:
    while not ring.finished:
        slot = ring.take(0.5)
        if slot is not None:
            writer.add(slot.pixels, slot.header)
            ring.release()
    writer.close()


async def run_fieldrec(used: list[WaitingCamera], places: list[Place], *,
                       record: RecordConfig | None = None, chunksize: int = CHUNKSIZE) -> None:
    """The recorder as the daemon has it; returns when all cameras have ended and all is closed."""
    making.Ring = WatchedRing  # type: ignore[attr-defined]
    ends = [asyncio.Event() for _ in used]
    recorders = []
    for camera, ended in zip(used, ends, strict=True):
        recorder = Recorder(camera.serial, camera, serial=camera.serial, timezone="UTC",
                            store=StoreConfig(chunksize=chunksize), clock=SystemClock(),
                            record=record or RecordConfig(ring_s=RING_S), on_change=lambda: None)
        recorder.listen(lambda text, severity: print(f"{severity}: {text}", flush=True),
                        lambda _recorder, _outcome, ended=ended: ended.set())  # type: ignore[misc]
        await recorder.open()
        recorders.append(recorder)
    for recorder, place in zip(recorders, places, strict=True):
        await recorder.start(place, {}, ring_max_bytes=512 * 1024 * 1024 // len(used))
    for ended in ends:
        await ended.wait()
    for recorder in recorders:
        await recorder.close()


def given(place: Path, used: list[WaitingCamera]) -> list[Place]:
    """A store for each camera."""
    return [GivenPath(place / camera.serial) for camera in used]


# --- what is seen --------------------------------------------------------------------------------

async def heartbeat(stop: asyncio.Event) -> list[float]:
    """Milliseconds by which a task that wants to wake every TICK_S was late."""
    loop = asyncio.get_running_loop()
    late = []
    while not stop.is_set():
        now = loop.time()
        await asyncio.sleep(TICK_S)
        late.append((loop.time() - now - TICK_S) * 1000)
    return late


def cpu_s() -> float:
    """Processor time of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
