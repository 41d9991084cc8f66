"""The recorder beside imgstore's own writer and one big file, behind the same ring and camera.

Camera, ring and capture thread are fieldrec's in every case; what differs is who takes the frames
out of the ring: fieldrec's store thread with its syncs and digests, imgstore's npy writer in a
thread of its own, one big file, the same past the page cache ("direct": the bound of this disk), a
file per frame past the page cache (the bound of the layout), or nobody ("discard": what camera and
ring alone cost). The time runs from the camera's start until everything is closed and synced; CPU
is that of the process (the kernel's write-back threads are not in it). Each run writes into fresh
folders and none is removed before all are done: ext4 is slow to make files soon after many were
deleted.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any

import imgstore
import numpy as np
import table

from fieldrec.camera import Pixels
from fieldrec.camera.synthetic import Options, SyntheticCamera
from fieldrec.core import durable
from fieldrec.core.clock import Anchor, SystemClock
from fieldrec.core.model import FrameHeader, FrameSpec
from fieldrec.record.capture import Capture, Patience
from fieldrec.record.listener import Listener
from fieldrec.record.place import GivenPath
from fieldrec.record.ring import Ring, slots_for
from fieldrec.record.series import Series
from fieldrec.record.storing import Storing
from fieldrec.store.layout import npy_header
from fieldrec.store.writer import StoreWriter

DESIGNS = ("imgstore", "fieldrec", "big file", "big file direct", "frame files direct",
           "discard")
WIDTH, HEIGHT = 1280, 1024
CHUNKSIZE = 200
CLOCK = SystemClock()
SHAPES: dict[str, dict[str, Any]] = {"60 Hz": {}, "saturating": {"paced": False}}


def measure(folder: Path, quick: bool, repetitions: int) -> None:
    """Two paced cameras, then one as fast as the disk goes; children do the work."""
    paced = 120 if quick else 240
    saturating = 200 if quick else 400
    for title, cameras, frames, pace in (
            (f"2 x {WIDTH}x{HEIGHT} mono at 60 Hz, {paced} frames each", 2, paced, "60 Hz"),
            (f"1 x {WIDTH}x{HEIGHT} mono, as fast as it goes, {saturating} frames", 1, saturating,
             "saturating")):
        def case(design: str, cameras: int = cameras, frames: int = frames, pace: str = pace
                 ) -> Any:
            def run(repetition: int) -> table.Figures:
                place = folder / f"{pace}-{design}-{repetition}".replace(" ", "_")
                place.mkdir()
                return table.child("capture", design, cameras, frames, pace, place)
            return run

        results = table.interleaved({design: case(design) for design in DESIGNS}, repetitions)
        table.show(title, results, ratios=("MB/s", "CPU-s/GB"))


class WaitingCamera(SyntheticCamera):
    """Gives a frame only when the ring has room for it: as fast as the store goes, none lost."""

    ring: Ring | None = None

    def grab(self, into: Pixels, timeout_s: float) -> FrameHeader:
        while self.ring is not None and self.ring.acquire() is None:
            time.sleep(0.0005)
        return super().grab(into, timeout_s)


class BigFile:
    """Frames one after the other in one file."""

    def __init__(self, path: Path, spec: FrameSpec) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        self._header = npy_header(spec.shape, spec.dtype)

    def add(self, pixels: Pixels, _header: FrameHeader) -> None:
        os.writev(self._file, [self._header, pixels.data])

    def close(self) -> None:
        os.fsync(self._file)
        os.close(self._file)


class BigFileDirect:
    """The same past the page cache; frames are whole pages here and written as they are."""

    def __init__(self, path: Path, _spec: FrameSpec) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_DIRECT)

    def add(self, pixels: Pixels, _header: FrameHeader) -> None:
        os.write(self._file, pixels.data)

    def close(self) -> None:
        os.fsync(self._file)
        os.close(self._file)


class FramesDirect:
    """A file per frame past the page cache, its header filled up to a page."""

    def __init__(self, path: Path, spec: FrameSpec) -> None:
        self._path, self._count = path, 0
        path.mkdir()
        header = npy_header(spec.shape, spec.dtype)
        page = mmap.PAGESIZE - 10
        self._header = mmap.mmap(-1, mmap.PAGESIZE)
        self._header[:] = (header[:8] + page.to_bytes(2, "little")
                           + header[10:-1].ljust(page - 1) + b"\n")

    def add(self, pixels: Pixels, _header: FrameHeader) -> None:
        chunk, position = divmod(self._count, CHUNKSIZE)
        self._count += 1
        folder = self._path / f"{chunk:06d}"
        if position == 0:
            folder.mkdir()
        file = os.open(folder / f"{position:06d}.npy",
                       os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_DIRECT)
        os.writev(file, [self._header, pixels.data])
        os.close(file)

    def close(self) -> None:
        self._header.close()


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


class Discard:
    """Takes the frames and forgets them."""

    def __init__(self, _path: Path, _spec: FrameSpec) -> None:
        pass

    def add(self, _pixels: Pixels, _header: FrameHeader) -> None:
        pass

    def close(self) -> None:
        pass


PEERS: dict[str, Any] = {"imgstore": ImgStore, "big file": BigFile, "discard": Discard,
                         "big file direct": BigFileDirect, "frame files direct": FramesDirect}


class Peer:
    """A thread that takes frames out of the ring and gives them to a writer."""

    def __init__(self, writer: Any, ring: Ring, capture: Capture) -> None:
        self._writer, self._ring, self._capture = writer, ring, capture
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()
        self._capture.start()

    def join(self) -> None:
        self._thread.join()
        self._capture.join()

    def _run(self) -> None:
        while not self._ring.finished:
            slot = self._ring.take(0.5)
            if slot is not None:
                self._writer.add(slot.pixels, slot.header)
                self._ring.release()
        self._writer.close()


def _recording(design: str, key: str, options: Options, place: Path) -> tuple[Any, Ring]:
    camera = WaitingCamera(key, options)
    spec = camera.open()
    ring = Ring(spec, slots_for(spec, 2.0, 512 * 1024 * 1024))
    camera.ring = None if options.paced else ring
    patience = Patience()
    capture = Capture(key, camera, ring, nominal_hz=spec.nominal_hz, patience=patience,
                      barrier=None)
    path = place / key
    if design != "fieldrec":
        return Peer(PEERS[design](path, spec), ring, capture), ring
    anchor = Anchor.take(CLOCK)
    listener = Listener(changed=lambda: None, event=lambda _text, _severity: None,
                        closed=lambda _name, _frames: None, series_ended=lambda: None,
                        ended=lambda: None)
    storing = Storing(key, ring=ring, capture=capture, clock=CLOCK, listener=listener,
                      patience=patience)
    series = Series(key, place=GivenPath(path), capture=capture, ring=ring, anchor=anchor,
                    clock=CLOCK, listener=listener, sync_interval_s=0.5,
                    new_writer=lambda path, epoch_ns, _said: StoreWriter(
                        path, spec, chunksize=CHUNKSIZE, user_metadata={}, timezone="UTC",
                        created_epoch_ns=epoch_ns))
    series.begin()
    storing.begin(series)
    return storing, ring


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def run(design: str, cameras: int, frames: int, pace: str, place: Path) -> table.Figures:
    """One repetition of one case, in this process."""
    made = [_recording(design, f"camera{number}",
                       Options(width=WIDTH, height=HEIGHT, hz=60, frames=frames, seed=number,
                               **SHAPES[pace]), place) for number in range(cameras)]
    began_s, cpu_s = time.monotonic(), _cpu_s()
    for recording, _ in made:
        recording.start()
    for recording, _ in made:
        recording.join()
    with contextlib.closing(_Directory(place)) as directory:
        durable.sync_filesystem(directory.descriptor, place)
    took_s, cpu_s = time.monotonic() - began_s, _cpu_s() - cpu_s
    lost = sum(ring.statistics().lost for _, ring in made)
    gigabytes = (cameras * frames - lost) * WIDTH * HEIGHT / 1e9
    return {"MB/s": gigabytes * 1e3 / took_s, "CPU-s/GB": cpu_s / gigabytes, "lost": lost,
            "ring peak": max(ring.statistics().peak for _, ring in made)}


class _Directory:
    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)

    def close(self) -> None:
        os.close(self.descriptor)


if __name__ == "__main__":
    table.answer(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4],
                     Path(sys.argv[5])))
