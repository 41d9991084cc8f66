"""The store beside the real imgstore: opening, finding, reading, adding; and recovering.

Both libraries are used by the same calls of imgstore's interface, on the same files, each
measurement in a process of its own (`store_work.py`), the two in turn. The long store is of crafted
indexes, as imgstore writes them; it has files for those frames only that are read. Everything is
read from a warm cache, but for what is called cold. Adding is measured in memory (/dev/shm), where
syncing costs nothing: what is left is the library's own work.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import table

from fieldrec.core.model import FrameSpec
from fieldrec.store.indexing.compact_index import COMPACT_NAME
from fieldrec.store.layout import LOCK_NAME
from fieldrec.store.metadata import METADATA_NAME, metadata_text, store_mapping
from fieldrec.store.writer import StoreWriter

NEEDED_BYTES = 6_000_000_000
LIBRARIES = ("imgstore", "fieldrec")
PER_CHUNK = 1000
LONG_AGO_NS = 1_700_000_000_000_000_000
SEEKS = 300
"""Frames of the long store that are asked for."""
READS = {"1280x1024": (1024, 1280), "640x480": (480, 640)}
READ_FRAMES = 4200
DISTINCT_FRAMES = 256
"""More than the processor caches; the others are links to these."""
RECOVERED_FRAMES = 100_000


def measure(folder: Path, quick: bool, repetitions: int) -> None:
    """Print a table for each thing that is measured."""
    repetitions = max(3, repetitions)
    long = folder / "long"
    make_long(long, 100 if quick else 1000)
    show_opening(long, repetitions)
    show_finding(long, repetitions)
    for name, shape in READS.items():
        show_reading(folder, name, shape, repetitions)
    show_adding(20_000 if quick else 50_000, repetitions)
    show_recovering(folder, RECOVERED_FRAMES // 10 if quick else RECOVERED_FRAMES, repetitions)


def case(*arguments: object, before: Callable[[], object] = lambda: None
         ) -> Callable[[int], table.Figures]:
    """A measurement by store_work.py in a process of its own."""
    def run(_repetition: int) -> table.Figures:
        before()
        return table.child("store_work", *arguments)
    return run


# --- the long store -----------------------------------------------------------------------------

def show_opening(long: Path, repetitions: int) -> None:
    """How long until the first question can be asked, and how much memory it takes."""
    compact, lock = long / COMPACT_NAME, long / LOCK_NAME

    def without() -> None:
        lock.unlink(missing_ok=True)
        compact.unlink(missing_ok=True)

    def there() -> None:
        lock.unlink(missing_ok=True)
        if not compact.exists():
            table.child("store_work", "open", "fieldrec", long)

    def locked() -> None:
        compact.unlink(missing_ok=True)
        lock.touch()

    results = table.interleaved({
        "imgstore": case("open", "imgstore", long),
        "fieldrec, the first time": case("open", "fieldrec", long, before=without),
        "fieldrec, from then on": case("open", "fieldrec", long, before=there),
        "fieldrec, while it is recorded": case("open", "fieldrec", long, before=locked),
    }, repetitions)
    table.show(f"open {chunks_of(long)} chunks of {PER_CHUNK} frames", results,
               ratios=("ms", "added MB", "peak MB"))
    show_times_faster("open", results, "ms")
    there()


def show_finding(long: Path, repetitions: int) -> None:
    """One frame by its number, its index and its time: found and read."""
    for what in ("number", "index", "time"):
        results = table.interleaved({library: case("find", library, long, what)
                                     for library in LIBRARIES}, repetitions)
        table.show(f"get_image by {what}, {chunks_of(long)} chunks of {PER_CHUNK} frames", results,
                   ratios=("median ms", "max ms"))
        show_times_faster(f"by {what}", results, "median ms")


def show_times_faster(what: str, results: dict[str, list[table.Figures]], column: str) -> None:
    """The same ratio the other way round, which is how it is promised."""
    first = results["imgstore"]
    for name, runs in results.items():
        parts = sorted(base[column] / run[column] for run, base in zip(runs, first, strict=True))
        if name != "imgstore":
            print(f"  {what}: {name}: {parts[len(parts) // 2]:.0f} times as fast "
                  f"[{parts[0]:.0f}..{parts[-1]:.0f}]", flush=True)


def make_long(path: Path, chunks: int) -> None:
    """Indexes as imgstore writes them, and tiny files for the frames that will be read."""
    mapping = store_mapping((4, 4), "uint8", chunksize=PER_CHUNK, timezone="UTC",
                            created_epoch_ns=LONG_AGO_NS, uuid="0" * 32)
    path.mkdir()
    (path / METADATA_NAME).write_text(metadata_text(mapping, {}))
    frame = path / "frame.npy"
    np.save(frame, np.zeros((4, 4), np.uint8))
    for chunk in range(chunks):
        make_index(path, chunk, PER_CHUNK, mapping)
    for index in sought(chunks * PER_CHUNK):
        chunk, position = divmod(index, PER_CHUNK)
        os.link(frame, path / f"{chunk:06d}" / f"{position:06d}.npy")


def make_index(path: Path, chunk: int, count: int, mapping: dict[str, object]) -> None:
    """A chunk's directory, and the index of its first `count` frames."""
    directory = path / f"{chunk:06d}"
    directory.mkdir()
    numbers = np.arange(chunk * PER_CHUNK, chunk * PER_CHUNK + count)
    np.savez(directory / "index.npz", frame_number=numbers, frame_time=1.7e9 + numbers / 25.0,
             **mapping)
    os.utime(directory / "index.npz", ns=(LONG_AGO_NS, LONG_AGO_NS))


def sought(frames: int) -> list[int]:
    """The frames that are asked for: the same for all, each once."""
    return [int(at) for at in np.random.default_rng(1).choice(frames, SEEKS, replace=False)]


def chunks_of(path: Path) -> int:
    return sum(1 for entry in os.scandir(path) if entry.is_dir())


# --- pictures -----------------------------------------------------------------------------------

def show_reading(folder: Path, name: str, shape: tuple[int, int], repetitions: int) -> None:
    """All frames in order, and some by number in no order; npy, warm."""
    path = folder / name
    make_frames(path, shape)
    for order in ("sequential", "random"):
        cases = {library: case("read", library, path, order) for library in LIBRARIES}
        if order == "sequential":
            cases["fieldrec, into one array"] = case("read", "fieldrec out", path, order)
        cases["fieldrec, mapped"] = case("read", "fieldrec mapped", path, order)
        table.show(f"{order} npy {name}, store of {READ_FRAMES} frames",
                   table.interleaved(cases, repetitions), ratios=("frames/s", "CPU-s/GB"))
    shutil.rmtree(path)


def make_frames(path: Path, shape: tuple[int, int]) -> None:
    """A store as imgstore writes it, of few frames again and again."""
    mapping = store_mapping(shape, "uint8", chunksize=PER_CHUNK, timezone="UTC",
                            created_epoch_ns=LONG_AGO_NS, uuid="0" * 32)
    path.mkdir()
    (path / METADATA_NAME).write_text(metadata_text(mapping, {}))
    for chunk in range(-(-READ_FRAMES // PER_CHUNK)):
        make_index(path, chunk, min(PER_CHUNK, READ_FRAMES - chunk * PER_CHUNK), mapping)
    random = np.random.default_rng(1)
    for index in range(READ_FRAMES):
        file = path / f"{index // PER_CHUNK:06d}" / f"{index % PER_CHUNK:06d}.npy"
        if index < DISTINCT_FRAMES:
            np.save(file, random.integers(0, 255, shape, np.uint8))
        else:
            os.link(path / "000000" / f"{index % DISTINCT_FRAMES:06d}.npy", file)


def show_adding(count: int, repetitions: int) -> None:
    """Tiny frames in memory; beside them a bare loop of open, writev and close of the same."""
    with tempfile.TemporaryDirectory(prefix="fieldrec-bench-", dir="/dev/shm") as place:
        def fresh() -> None:
            for entry in Path(place).iterdir():
                shutil.rmtree(entry)

        results = table.interleaved({library: case("add", library, place, count, before=fresh)
                                     for library in LIBRARIES}, repetitions)
        table.show(f"add_image, {count} frames of 4x4 in chunks of 200, in /dev/shm; us a frame, "
                   "\"beyond\" a bare loop of system calls", results,
                   ratios=("beyond us", "mean beyond us", "CPU beyond us"))


# --- recover ------------------------------------------------------------------------------------

def show_recovering(folder: Path, count: int, repetitions: int) -> None:
    """An interrupted store whose last chunk is open."""
    store, pristine = folder / "interrupted", folder / "pristine"
    make_interrupted(store, count)
    last = store / f"{(count - 1) // PER_CHUNK:06d}"
    shutil.copytree(store, pristine, ignore=lambda _, names: [
        name for name in names if name.isdecimal() and name != last.name])

    def interrupt() -> None:
        for entry in store.iterdir():
            if entry.is_file():
                entry.unlink()
        shutil.rmtree(last)
        shutil.copytree(pristine, store, dirs_exist_ok=True)
        os.sync()

    def cold() -> None:
        interrupt()
        Path("/proc/sys/vm/drop_caches").write_text("3")

    cases = {"warm": case("recover", store, before=interrupt)}
    if os.geteuid() == 0:
        cases["cold"] = case("recover", store, before=cold)
    else:
        print("\nnot root: the cache cannot be dropped, so cold recovery is not measured",
              file=sys.stderr)
    table.show(f"recover {count} frames, the last chunk of {PER_CHUNK} open (imgstore has none)",
               table.interleaved(cases, repetitions))


def make_interrupted(path: Path, count: int) -> None:
    """Written by fieldrec, half of the last chunk, and then nothing more."""
    spec = FrameSpec((4, 4), "uint8", "MONO8", 25.0)
    writer = StoreWriter(path, spec, chunksize=PER_CHUNK, user_metadata={}, timezone="UTC",
                         created_epoch_ns=LONG_AGO_NS)
    pixels = np.zeros(spec.shape, np.uint8)
    for number in range(count - PER_CHUNK // 2):
        writer.append(pixels, number, LONG_AGO_NS + number * 40_000_000, None)
    writer.abandon()
