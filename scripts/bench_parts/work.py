"""What the store thread does for each frame beside the system calls, and whether anything grows.

Small frames, so that hashing and copying do not count. The time is the store thread's own, outside
the kernel (RUSAGE_THREAD): Python from taking a frame to releasing it, its share of chunks, looks
and syncs included. Memory is counted by tracemalloc in a run of its own, between a quarter of the
frames and all of them.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import load
import table

from fieldrec.core import durable
from fieldrec.record.place import GivenPath


async def run(width: int, height: int, frames: int, where: Path) -> table.Figures:
    """Both runs, in this process."""
    durable.spread_directories(where)
    load.WatchedRing.keeps = 0
    times: list[resource.struct_rusage] = []
    await record(width, height, frames, where / "timed", (1, frames),
                 lambda: times.append(resource.getrusage(resource.RUSAGE_THREAD)))
    load.WatchedRing.made.clear()
    sizes: list[int] = []
    quarter = frames // 4
    tracemalloc.start()
    await record(width, height, frames, where / "traced", (quarter + 1, frames - 1),
                 lambda: sizes.append(tracemalloc.get_traced_memory()[0]))
    tracemalloc.stop()
    return {"Python us/frame": (times[1].ru_utime - times[0].ru_utime) * 1e6 / (frames - 1),
            "kernel us/frame": (times[1].ru_stime - times[0].ru_stime) * 1e6 / (frames - 1),
            "memory bytes/frame": (sizes[1] - sizes[0]) / (frames - quarter)}


async def record(width: int, height: int, frames: int, where: Path, at: tuple[int, ...],
                 look: Callable[[], None]) -> None:
    """One camera as fast as it goes; the store thread calls `look` after so many frames."""
    load.WatchedRing.calls = dict.fromkeys(at, look)
    used = load.cameras(1, width=width, height=height, hz=1000.0, frames=frames, paced=False)
    await load.run_fieldrec(used, [GivenPath(where)])


if __name__ == "__main__":
    table.answer(asyncio.run(run(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]),
                                 Path(sys.argv[4]))))
