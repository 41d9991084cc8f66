"""`copy`: a copy verified from the medium beside `cp -r` + sync, which promises nothing, and beside
`rsync -a` + `rsync -ac`, which is how one verifies without us.

The source is a store of raw frames as the recorder writes it and one large file beside it, as an
export; the medium a loop device with direct I/O (what is read back comes from the disk below, not
from the page cache) with a fresh ext4 or exFAT in blocks that were written before. Source, medium
and everything else share one disk here. Before each case the page cache is dropped and the file
system of the medium is new; before `rsync -ac` its device's cache is dropped too. Everybody's time
ends when the device's own cache is written. CPU is that of the process and of the FUSE daemon where
there is one; "machine" is all of the machine's, kernel threads (and whatever else runs) included.
A module named copy would hide the standard library's.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import capture
import numpy as np
import table
import xxhash
from copying_work import FRAME_BYTES, NAME
from processes import run, undisturbed

from fieldrec.core.model import FrameSpec
from fieldrec.store.api.new_store import recording_metadata
from fieldrec.store.writer import StoreWriter

NEEDED_BYTES = 14_000_000_000
REPETITIONS = 2
"""Of ext4 and of a recording beside it; exFAT has half as many: a minute each."""
SPEC = FrameSpec((1024, 1280), "uint8", "MONO8", 60.0)
BLOCK_BYTES = 4 << 20
SHARE = 0.7
"""Of the disk's rate that is recorded beside a copy."""
MAKE = {"ext4": ("mkfs.ext4", "-q", "-F", "-E",
                 "nodiscard,lazy_itable_init=0,lazy_journal_init=0"),
        "exFAT": ("mkfs.exfat",)}
MOUNT = {"ext4": ("mount",), "exFAT": ("mount.exfat-fuse",)}


def measure(folder: Path, quick: bool, repetitions: int) -> None:
    """Both file systems, then a recording beside a copy."""
    if os.geteuid() != 0:
        sys.exit("bench: copy mounts loop devices: run it as root")
    for program in ("rsync", *(words[0] for words in (*MAKE.values(), *MOUNT.values()))):
        if shutil.which(program) is None:
            sys.exit(f"bench: {program} is not installed: sudo apt install rsync exfat-fuse "
                     "exfatprogs e2fsprogs")
    frames, large = (300, 300_000_000) if quick else (2000, 2_000_000_000)
    source = folder / "source"
    make_source(source, frames, large)
    total = source_bytes(source)
    image = folder / "medium.img"
    make_image(image, total + total // 20 + (400 << 20))
    for file_system in MAKE:
        count = repetitions if file_system == "ext4" else max(repetitions // 2, 1)
        beside_others(folder, source, image, file_system, count, frames, large)
    image.unlink()
    beside_a_recording(folder, source, 2.0 if quick else 4.0, repetitions)


def beside_others(folder: Path, source: Path, image: Path, file_system: str, repetitions: int,
                  frames: int, large: int) -> None:
    """One table, and whether the goals are met."""
    def case(run: Callable[[Medium], tuple[float, float]]) -> Callable[[int], table.Figures]:
        def measured(_repetition: int) -> table.Figures:
            with mounted(folder, image, file_system) as medium:
                drop_caches()
                daemon_s, machine_s = medium.daemon_cpu_s(), machine_cpu_s()
                wall_s, cpu_s = run(medium)
                cpu_s += medium.daemon_cpu_s() - daemon_s
                machine_s = machine_cpu_s() - machine_s
                gigabytes = medium.check(source) / 1e9
            return {"s": wall_s, "MB/s": gigabytes * 1e3 / wall_s,
                    "CPU-s/GB": cpu_s / gigabytes, "machine CPU-s/GB": machine_s / gigabytes}
        return measured

    cases = {"cp -r + sync": case(lambda medium: copy_by_cp(source, medium)),
             "rsync -a + rsync -ac": case(lambda medium: copy_by_rsync(source, medium)),
             "fieldrec": case(lambda medium: copy_by_us(source, medium))}
    results = table.interleaved(cases, repetitions)
    table.show(f"{frames} frames of {FRAME_BYTES / 1e6:.1f} MB and one file of {large / 1e9:g} GB "
               f"to {file_system}", results, ratios=("s", "CPU-s/GB", "machine CPU-s/GB"))
    table.goal(results, "s", "fieldrec", "cp -r + sync", at_most=1.25)
    table.goal(results, "MB/s", "fieldrec", "rsync -a + rsync -ac", at_least=1.4)
    table.goal(results, "CPU-s/GB", "fieldrec", "cp -r + sync", at_most=1.5)


def beside_a_recording(folder: Path, source: Path, length_s: float, repetitions: int) -> None:
    """A camera at 70 % of the disk's rate, alone and beside a copy to a disk in memory."""
    shared = Path("/dev/shm")
    direct = table.child("capture", "big file direct", 1, 400, "1280x1024 mono",
                         "as fast as it goes", capture.place(folder, "disk's rate"))
    rate_hz = direct["MB/s"] * 1e6 / FRAME_BYTES
    hz = SHARE * rate_hz
    table.say(f"\nthe disk's rate: {direct['MB/s']:.0f} MB/s (one file past the page cache), "
              f"{rate_hz:.0f} frames/s of 1280x1024")
    with tempfile.TemporaryDirectory(prefix="fieldrec-bench-", dir=shared) as held:
        image = Path(held) / "medium.img"
        make_image(image, 2 * source_bytes(source / NAME) + (400 << 20))

        def case(beside: str) -> Callable[[int], table.Figures]:
            def run(repetition: int) -> table.Figures:
                where = capture.place(folder, f"{beside}-{repetition}")
                with mounted(folder, image, "ext4") as medium:
                    drop_caches()
                    figures = table.child("copying_beside", beside, hz, round(hz * length_s),
                                          source, medium.folder, medium.device, where)
                shutil.rmtree(where)  # frames of seconds at such a rate are gigabytes
                return figures
            return run

        results = table.interleaved({"alone": case("alone"), "beside a copy": case("copy")},
                                    repetitions)
    table.show(f"one camera at {SHARE:.0%} of the disk's rate for {length_s:g} s", results,
               ratios=("MB/s",))
    lost = sum(run["lost"] for run in results["beside a copy"])
    alone = sum(run["lost"] for run in results["alone"])
    table.say(f"  lost beside a copy: {lost:.0f}, goal 0: {'met' if lost == 0 else 'NOT met'} "
              f"(alone: {alone:.0f})")


# -- who copies -----------------------------------------------------------------------------------

def copy_by_cp(source: Path, medium: Medium) -> tuple[float, float]:
    """Seconds and processor seconds."""
    return timed(medium, "cp", "-r", str(source), str(medium.folder))


def copy_by_rsync(source: Path, medium: Medium) -> tuple[float, float]:
    """Copied, then compared by checksums from the medium."""
    target = str(medium.folder / source.name)
    first = timed(medium, "rsync", "-a", f"{source}/", target)
    drop_caches()
    medium.drop_cache()
    second = timed(medium, "rsync", "-ac", f"{source}/", target)
    return first[0] + second[0], first[1] + second[1]


def copy_by_us(source: Path, medium: Medium) -> tuple[float, float]:
    """Copied and verified by a process of its own: the copy alone is timed."""
    figures = table.child("copying_work", source, medium.folder, medium.device)
    return figures["s"], figures["CPU s"]


def timed(medium: Medium, *words: str) -> tuple[float, float]:
    """Of a command and a sync: seconds, and processor seconds of the children."""
    began_s, before = time.monotonic(), os.times()
    run(*words)
    medium.sync()
    after = os.times()
    return time.monotonic() - began_s, (after.children_user - before.children_user
                                        + after.children_system - before.children_system)


# -- source and medium ----------------------------------------------------------------------------

def make_source(folder: Path, frames: int, large_bytes: int) -> None:
    """A recording of frames that no compressing disk makes small, and an export of it."""
    folder.mkdir()
    random = np.random.default_rng(1)
    noise = random.integers(0, 256, (64, *SPEC.shape), np.uint8)
    writer = StoreWriter(folder / NAME, SPEC, chunksize=200, timezone="UTC",
                         created_epoch_ns=1_700_000_000_000_000_000,
                         user_metadata=recording_metadata({}, SPEC, "UTC"))
    for number in range(frames):
        writer.append(noise[number % len(noise)], number, number * 16_666_667, None)
    writer.close()
    recording = str(uuid.uuid4())
    movie = folder / f"{NAME}.high.mp4"
    digest = xxhash.xxh64()
    data = noise.reshape(-1)[:BLOCK_BYTES].data
    with movie.open("wb") as file:
        for at in range(0, large_bytes, BLOCK_BYTES):
            part = data[:min(BLOCK_BYTES, large_bytes - at)]
            file.write(part)
            digest.update(part)
    movie.with_name(f"{movie.name}.json").write_text(json.dumps(
        {"recording": {"name": NAME, "uuid": recording},
         "file": {"size_bytes": large_bytes, "xxh64": digest.hexdigest()}}))
    os.sync()


def source_bytes(folder: Path) -> int:
    """Of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def make_image(path: Path, size_bytes: int) -> None:
    """A file whose blocks are all written: no case pays for allocating them."""
    run("dd", "if=/dev/zero", f"of={path}", "bs=4M", f"count={-(-size_bytes // BLOCK_BYTES)}",
        "conv=fsync", "status=none")


def drop_caches() -> None:
    """Of everything that is written."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


@contextlib.contextmanager
def mounted(folder: Path, image: Path, file_system: str) -> Iterator[Medium]:
    """A new file system on the image, mounted for the length of a block."""
    place = folder / "medium"
    with contextlib.ExitStack() as held:
        with undisturbed():
            place.mkdir()
            held.callback(place.rmdir)
            device = run("losetup", "-f", "--show", "--direct-io=on", image).strip()
            held.callback(run, "losetup", "-d", device)
            run(*MAKE[file_system], device)
            run(*MOUNT[file_system], device, place)
            held.callback(run, "umount", place)
        try:
            yield Medium(place, Path(device))
        finally:
            with undisturbed():
                held.close()


class Medium:
    """A file system that is mounted."""

    def __init__(self, folder: Path, device: Path) -> None:
        self.folder = folder
        self.device = device
        self._daemon = _daemon_of(device)

    def sync(self) -> None:
        """All that was written is on the device: of the file system, then of the device itself,
        which a FUSE daemon writes through its page cache."""
        run("sync", "-f", str(self.folder))
        run("sync", str(self.device))

    def drop_cache(self) -> None:
        """The device's own page cache."""
        run("blockdev", "--flushbufs", str(self.device))

    def daemon_cpu_s(self) -> float:
        """Processor time of the FUSE daemon so far; 0 where there is none."""
        if not self._daemon:
            return 0.0
        fields = Path(f"/proc/{self._daemon}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def check(self, source: Path) -> int:
        """Bytes of the source; exits when the copy has fewer."""
        wanted = source_bytes(source)
        there = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        if there < wanted:
            sys.exit(f"bench: {there} of {wanted} bytes were copied")
        return wanted


def _daemon_of(device: Path) -> int:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if words[0].endswith(b"exfat-fuse") and str(device).encode() in words:
                return int(process.name)
    return 0


def machine_cpu_s() -> float:
    """Of all processors so far, not idle: user, nice, system, interrupts."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return sum(fields[at] for at in (0, 1, 2, 5, 6)) / os.sysconf("SC_CLK_TCK")
