"""Eight hours of recording in minutes: nothing may grow with the frames.

864,000 frames, which is 30 Hz for eight hours, of a small picture and as fast as they go, in parts
of 20,000 of which the older are removed. Looked at all the while: memory, descriptors, threads, and
the kernel's dentries and inodes (of the whole machine). The slope of the memory is that of a line
through the last three quarters, with its standard error as if looks were independent, and beside it
how far the looks lie from that line. One step of about 1 MB belongs to no frame: the interpreter's
table of interned strings (pathlib interns every part of a path) grows once, from 0.96 to 1.92 MB.
What else rises, some ten kB in 100,000 frames, are pages and caches of glibc's arenas, one for each
thread: with MALLOC_ARENA_MAX=1 and GLIBC_TUNABLES=glibc.malloc.tcache_count=0 the heap keeps its
size from beginning to end, and what is in use of it stays within 3 kB. Use `--directory
/dev/shm`: it is not the disk that is measured, and removing so many files from one takes longer
than all the rest.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import load
import numpy as np
import table

from fieldrec.config import RecordConfig
from fieldrec.config.recording import SplitConfig
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
    rows = {name: [{column: found[f"{name} {column}"] for column in COLUMNS}]
            for name in MOMENTS}
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


COLUMNS = ("RSS MB", "descriptors", "threads", "dentries", "inodes")
MOMENTS = {"begin": 0.02, "1/4": 0.25, "2/4": 0.5, "3/4": 0.75, "end": 0.98}
MOST_LOOKS = 4000


class Looks:
    """What was seen so far, in memory that is there from the start: it must not look as if
    something grew."""

    def __init__(self, frames: int) -> None:
        self._all = frames
        self._frames = np.zeros(MOST_LOOKS)
        self._rss_kb = np.zeros(MOST_LOOKS)
        self._count = 0
        self.figures: table.Figures = {}

    def take(self, frames: int) -> None:
        """Look now, so many frames after the beginning."""
        status = Path("/proc/self/status").read_text().split()
        rss_kb = int(status[status.index("VmRSS:") + 1])
        if self._count < MOST_LOOKS:
            self._frames[self._count], self._rss_kb[self._count] = frames, rss_kb
            self._count += 1
        for name, share in MOMENTS.items():
            if frames >= share * self._all and f"{name} threads" not in self.figures:
                slabs = _slabs()
                seen = (rss_kb / 1000, len(os.listdir("/proc/self/fd")),  # noqa: PTH208
                        int(status[status.index("Threads:") + 1]), slabs["dentry"],
                        sum(slabs.values()) - slabs["dentry"])
                self.figures |= dict(zip((f"{name} {column}" for column in COLUMNS), seen,
                                         strict=True))

    def summary(self) -> table.Figures:
        """The looks at the moments, and the slope of the memory over the last three quarters."""
        late = self._frames[:self._count] >= 0.25 * self._all
        at, kb = self._frames[:self._count][late] / 1e5, self._rss_kb[:self._count][late]
        slope, level = np.polyfit(at, kb, 1)
        beside = float(np.std(kb - (slope * at + level)))
        spread = float(np.std(at)) * len(at) ** 0.5
        return {**self.figures, "slope kB": float(slope), "noise kB": beside,
                "error kB": beside / max(spread, 1e-9)}


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
    looks = Looks(frames)
    while not recording.done():
        await asyncio.wait([recording], timeout=LOOK_S)
        if load.WatchedRing.made:
            looks.take(load.WatchedRing.made[0].released)
    await recording
    return {**looks.summary(), "seconds": asyncio.get_running_loop().time() - began_s,
            "stores": where.count, "lost": load.WatchedRing.made[0].statistics().lost}


if __name__ == "__main__":
    table.answer(asyncio.run(run(int(sys.argv[1]), Path(sys.argv[2]))))
