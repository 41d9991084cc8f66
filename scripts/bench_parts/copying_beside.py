"""What `copy` measures of a recording beside a copy to another disk, in one process as in the
daemon: `python copying_beside.py alone|copy HZ FRAMES SOURCE MOUNT DEVICE PLACE`; a line of JSON.

The copy's source lies on the disk that is recorded to: the copy reads there while the recorder
writes. It begins before the first frame and again and again until the last one.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import copying_work
import load
import table

from fieldrec.destinations.drive import DriveDestination
from fieldrec.jobs import transfer
from fieldrec.jobs.source import Stopped
from fieldrec.store.reader import StoreReader
from fieldrec.store.spec import ours_in


class Copying:
    """Copies one recording until it is told to stop, in a thread."""

    def __init__(self, source: Path, mount: Path, device: Path) -> None:
        self.copied = 0
        self.begun = threading.Event()
        self._stop = threading.Event()
        self._recording = copying_work.recording_in(source)
        self._place = DriveDestination("bench", mount, "fieldrec", device=device,
                                       gone=lambda: False)
        self._thread = threading.Thread(target=self._run, name="copy bench")

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """In this block."""
        self._thread.start()
        self.begun.wait()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()

    def _run(self) -> None:
        round_number = 0
        with contextlib.closing(self._place), contextlib.suppress(Stopped):
            while True:
                round_number += 1
                one = dataclasses.replace(self._recording,
                                          name=f"{self._recording.name}-{round_number}")
                transfer.transfer(one, self._place, stop=self._stop, on_progress=self._progress())
                for path in self._place.path.iterdir():
                    shutil.rmtree(path)

    def _progress(self) -> transfer.Progress:
        before, most = self.copied, 0

        def progress(done: int, _total: int) -> None:
            nonlocal most
            most = max(most, done)
            self.copied = before + most
            if done:
                self.begun.set()
        return progress


async def capture(beside: str, hz: float, frames: int, source: Path, mount: Path, device: Path,
                  place: Path) -> table.Figures:
    """Record at `hz`, alone or beside a copy."""
    cameras = load.cameras(1, width=1280, height=1024, hz=hz, frames=frames, paced=True)
    copying = Copying(source, mount, device)
    with copying.running() if beside == "copy" else contextlib.nullcontext():
        before = copying.copied
        await load.run_fieldrec(cameras, load.given(place, cameras))
        copied = copying.copied - before
    with StoreReader(place / cameras[0].serial) as reader:
        ours, stored = ours_in(reader.user_metadata), reader.frame_count * reader.spec.frame_bytes
    ring = load.WatchedRing.made[0].statistics()
    return {"MB/s": stored / 1e6 * hz / frames, "lost": ours["lost"], "dropped": ours["dropped"],
            "ring peak %": 100 * ring.peak / ring.slots, "copied MB/s": copied / 1e6 * hz / frames}


if __name__ == "__main__":
    table.answer(asyncio.run(capture(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]),
                                     *map(Path, sys.argv[4:8]))))
