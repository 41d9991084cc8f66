"""Eight hours of recording in minutes: nothing may grow with the frames.

864,000 frames, which is 30 Hz for eight hours, of a small picture and as fast as they go, in parts
of 20,000 of which the older are removed. Looked at all the while: memory, descriptors, threads, and
the kernel's dentries and inodes (of the whole machine). The slope of the memory is that of a line
through the last three quarters, with its standard error as if looks were independent, and beside it
how far the looks lie from that line. Use `--directory /dev/shm`: it is not the disk that is
measured, and removing so many files from one takes longer than all the rest.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import load
import numpy as np
import table

from fieldrec.config import RecordConfig
from fieldrec.config.models import SplitConfig
from fieldrec.core.errors import FieldrecError
from fieldrec.record.place import Place

NEEDED_BYTES = 2_000_000_000
FRAMES = 30 * 8 * 3600
PART_FRAMES = 20_000
KEPT_PARTS = 2
LOOK_S = 0.5
SLABS = ("dentry", "ext4_inode_cache", "xfs_inode", "shmem_inode_cache")


def measure(folder: Path, quick: bool, _repetitions: int) -> None:
    """One long run; the parent prints what it found."""
    frames = FRAMES // 8 if quick else FRAMES
    found = table.child("soak", frames, folder)
    rows = {name: [{column: found[f"{name} {column}"] for column in Look.COLUMNS}]
            for name in ("begin", "1/4", "2/4", "3/4", "end")}
    table.show(f"{frames} frames of 64x48 in parts of {PART_FRAMES}, {found['seconds']:.0f} s",
               rows)
    table.say(f"slope of the memory: {found['slope kB']:+.1f} kB per 100,000 frames "
              f"(standard error {found['error kB']:.1f}); looks lie {found['noise kB']:.0f} kB "
              f"beside the line; {found['stores']:.0f} stores written, {found['lost']:.0f} frames "
              "lost")


class KeepsFew:
    """A place that removes all but the newest stores when it is asked for the next."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.count = 0

    def next_path(self, epoch_ns: int) -> Path:
        del epoch_ns
        self.count += 1
        for number in range(1, self.count - KEPT_PARTS):
            shutil.rmtree(self._folder / f"part{number}", ignore_errors=True)
        return self._folder / f"part{self.count}"

    def failed(self, path: Path, error: FieldrecError) -> bool:
        del path, error
        return False


@dataclass(frozen=True, slots=True)
class Look:
    """What the process and the kernel hold at one moment."""

    frames: int
    rss_kb: int
    figures: table.Figures
    COLUMNS = ("RSS MB", "descriptors", "threads", "dentries", "inodes")

    @classmethod
    def take(cls, frames: int) -> Look:
        status = Path("/proc/self/status").read_text().split()
        rss_kb = int(status[status.index("VmRSS:") + 1])
        slabs = _slabs()
        return cls(frames, rss_kb, {
            "RSS MB": rss_kb / 1000, "descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
            "threads": int(status[status.index("Threads:") + 1]), "dentries": slabs["dentry"],
            "inodes": sum(slabs.values()) - slabs["dentry"]})


def _slabs() -> dict[str, float]:
    """Objects in use; only root may look."""
    found = dict.fromkeys(SLABS, 0.0)
    try:
        lines = Path("/proc/slabinfo").read_text().splitlines()
    except OSError:
        return found
    for words in (line.split() for line in lines):
        if words[0] in found:
            found[words[0]] = float(words[1])
    return found


async def run(frames: int, folder: Path) -> table.Figures:
    """The whole run, in this process."""
    used = load.cameras(1, width=64, height=48, hz=30.0, frames=frames, paced=False)
    load.WatchedRing.keeps = 0
    where = KeepsFew(folder)
    places: list[Place] = [where]
    began_s = asyncio.get_running_loop().time()
    recording = asyncio.create_task(load.run_fieldrec(used, places, record=RecordConfig(
        ring_s=load.RING_S, split_after=SplitConfig(frames=PART_FRAMES))))
    looks = [Look.take(0)]
    while not recording.done():
        await asyncio.wait([recording], timeout=LOOK_S)
        if load.WatchedRing.made:
            looks.append(Look.take(load.WatchedRing.made[0].released))
    await recording
    figures = summary(looks, frames)
    figures["seconds"] = asyncio.get_running_loop().time() - began_s
    figures["stores"] = where.count
    figures["lost"] = load.WatchedRing.made[0].statistics().lost
    return figures


def summary(looks: list[Look], frames: int) -> table.Figures:
    """The looks at the quarters, and the slope of the memory."""
    figures: table.Figures = {}
    for name, share in (("begin", 0.02), ("1/4", 0.25), ("2/4", 0.5), ("3/4", 0.75), ("end", 0.98)):
        look = min(looks, key=lambda look, at=share * frames: abs(look.frames - at))  # type: ignore[misc]
        figures |= {f"{name} {column}": look.figures[column] for column in Look.COLUMNS}
    late = [look for look in looks if look.frames >= 0.25 * frames]
    at = np.array([look.frames for look in late]) / 1e5
    kb = np.array([look.rss_kb for look in late], float)
    slope, level = np.polyfit(at, kb, 1)
    beside = float(np.std(kb - (slope * at + level)))
    spread = float(np.std(at)) * len(at) ** 0.5
    return {**figures, "slope kB": float(slope), "noise kB": beside,
            "error kB": beside / max(spread, 1e-9)}


if __name__ == "__main__":
    table.answer(asyncio.run(run(int(sys.argv[1]), Path(sys.argv[2]))))
