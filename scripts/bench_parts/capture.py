"""The recorder beside imgstore's own writer and one big file, with the same camera and ring.

Camera, ring and capture thread are fieldrec's in every case; what differs is who takes the frames
out of the ring: fieldrec's store thread with its syncs and digests, imgstore's npy writer in a
thread of its own, one big file past the page cache (the bound of this disk), or nobody ("discard":
what camera and ring alone cost). The time runs from the cameras' start until everything is closed
and synced; CPU is that of the process (the kernel's write-back threads are not in it); latency is
from a frame's commit to the ring to its release, written; lag is that of a 10 ms heartbeat in the
event loop of the same process. Each run writes into fresh folders and none is removed before all
are done: ext4 is slow to make files soon after many were deleted. Before the time runs each case
records a few seconds of frames at its pace: what is loaded, or measured of the disk (both ways of
writing are tried in turns), once in the life of a process is not counted.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import load
import numpy as np
import table

from fieldrec.core import durable

NEEDED_BYTES = 48_000_000_000
MONO = {"width": 1280, "height": 1024}
BGR = {"width": 1920, "height": 1080, "pixel_format": "BGR8"}
SHAPES: dict[str, dict[str, Any]] = {"1280x1024 mono": MONO, "1920x1080 BGR": BGR}
WRITERS = ("imgstore", "fieldrec", "big file direct")
PACED = ("discard", "fieldrec", "imgstore")


def measure(folder: Path, quick: bool, repetitions: int) -> None:
    """As fast as it goes with one camera and with four, then two paced ones; then what a frame
    takes in Python."""
    durable.spread_directories(folder)
    for shape, frames in (("1280x1024 mono", 400), ("1920x1080 BGR", 80)):
        for cameras in (1, 4):
            each = frames // cameras // (2 if quick else 1)
            results = compare(folder, WRITERS, cameras, each, shape, "as fast as it goes",
                              repetitions)
            table.show(f"{cameras} x {shape}, as fast as it goes, {each} frames each", results,
                       ratios=("MB/s", "CPU-s/GB"))
            table.goal(results, "MB/s", "fieldrec", "imgstore", at_least=1.5)
            table.goal(results, "MB/s", "fieldrec", "big file direct", at_least=0.8)
            table.goal(results, "CPU-s/GB", "fieldrec", "imgstore", at_most=0.6)
    frames = 180 if quick else 300
    results = compare(folder, PACED, 2, frames, "1280x1024 mono", "60 Hz", repetitions)
    table.show(f"2 x 1280x1024 mono at 60 Hz, {frames} frames each", results,
               ratios=("CPU-s/GB", "lag p99 ms"))
    table.goal(results, "CPU-s/GB", "fieldrec", "discard", at_most=1.5)
    table.goal(results, "CPU-s/GB", "fieldrec", "imgstore", at_most=0.6)
    work = table.interleaved({
        "64x48, 8000 frames": lambda n: table.child("work", 64, 48, 8000, place(folder, f"w{n}")),
    }, repetitions)
    table.show("the store thread's own work on each frame: its time outside the kernel, and what "
               "stays in memory", work)


def compare(folder: Path, designs: tuple[str, ...], cameras: int, frames: int, shape: str,
            pace: str, repetitions: int) -> dict[str, list[table.Figures]]:
    """Every design once per repetition, each in a process and a folder of its own."""
    def case(design: str) -> Callable[[int], table.Figures]:
        def run(repetition: int) -> table.Figures:
            where = place(folder, f"{pace}-{cameras}-{shape}-{design}-{repetition}")
            return table.child("capture", design, cameras, frames, shape, pace, where)
        return run

    return table.interleaved({design: case(design) for design in designs}, repetitions)


def place(folder: Path, name: str) -> Path:
    """A fresh folder."""
    made = folder / name.replace(" ", "_")
    made.mkdir()
    durable.spread_directories(made)
    return made


async def run(design: str, cameras: int, frames: int, shape: str, pace: str, where: Path
              ) -> table.Figures:
    """One repetition of one case, in this process."""
    paced = pace == "60 Hz"
    hz = 60.0 if paced else 30.0
    await record(design, load.cameras(1, hz=hz, frames=180 if paced else 45, paced=paced,
                                      **SHAPES[shape]), where / "before")
    load.WatchedRing.made.clear()
    used = load.cameras(cameras, hz=hz, frames=frames, paced=paced, **SHAPES[shape])
    stop = asyncio.Event()
    beating = asyncio.create_task(load.heartbeat(stop))
    began_s, cpu_s = time.monotonic(), load.cpu_s()
    await record(design, used, where / "timed")
    took_s, cpu_s = time.monotonic() - began_s, load.cpu_s() - cpu_s
    stop.set()
    late = await beating
    rings = load.WatchedRing.made
    latencies = [ns / 1e6 for ring in rings for ns in ring.latencies_ns]
    gigabytes = sum(ring.released for ring in rings) * _frame_bytes(SHAPES[shape]) / 1e9
    p50, p99 = np.percentile(latencies, [50, 99])
    return {"MB/s": gigabytes * 1e3 / took_s, "CPU-s/GB": cpu_s / gigabytes,
            "lost": sum(ring.statistics().lost for ring in rings),
            "ring peak": max(ring.statistics().peak for ring in rings),
            "written p50 ms": float(p50), "written p99 ms": float(p99),
            "lag p99 ms": float(np.percentile(late, 99))}


async def record(design: str, used: list[load.WaitingCamera], where: Path) -> None:
    """All that these cameras give, closed and synced."""
    await asyncio.to_thread(where.mkdir)
    if design == "fieldrec":
        await load.run_fieldrec(used, load.given(where, used))
    else:
        await asyncio.to_thread(load.run_peers, design, used, where)
    await asyncio.to_thread(_sync, where)


def _frame_bytes(shape: dict[str, Any]) -> int:
    return int(shape["width"] * shape["height"] * (3 if "pixel_format" in shape else 1))


def _sync(where: Path) -> None:
    descriptor = os.open(where, os.O_RDONLY)
    try:
        durable.sync_filesystem(descriptor, where)
    finally:
        os.close(descriptor)


if __name__ == "__main__":
    table.answer(asyncio.run(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4],
                                 sys.argv[5], Path(sys.argv[6]))))
