"""What `copy` measures of ours: one copy of the bench's recording, in this process, timed without
its start. `python copying_work.py SOURCE MOUNT DEVICE`; a line of JSON.
"""

from __future__ import annotations

import contextlib
import dataclasses
import resource
import sys
import threading
import time
from pathlib import Path

import table

from fieldrec.core.model import Export, Recording, RecordingState
from fieldrec.destinations.drive import DriveDestination
from fieldrec.jobs import transfer

NAME = "bench_20261122_000000"
FRAME_BYTES = 1280 * 1024


def copy(source: Path, mount: Path, device: Path) -> table.Figures:
    """Copy everything, verified."""
    movie = source / f"{NAME}.high.mp4"
    recording = dataclasses.replace(recording_in(source), exports=(
        Export(movie, "High", movie.stat().st_size, 0, "", 0),))
    place = DriveDestination("bench", mount, "fieldrec", device=device, gone=lambda: False)
    memory = peak_bytes()
    began_s, before = time.monotonic(), cpu_s()
    with contextlib.closing(place):
        transfer.transfer(recording, place, stop=threading.Event())
    took_s = time.monotonic() - began_s
    return {"s": took_s, "CPU s": cpu_s() - before, "MB": (peak_bytes() - memory) / 1e6}


def recording_in(source: Path) -> Recording:
    """The bench's, its raw alone."""
    return Recording(NAME, "b" * 32, "bench", source / NAME, RecordingState.COMPLETE, None, 0, None,
                     None, 0, 0, 0, "", "UTC")


def cpu_s() -> float:
    """Of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_bytes() -> int:
    """The most memory that this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    table.answer(copy(*map(Path, sys.argv[1:4])))
