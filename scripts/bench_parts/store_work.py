"""One measurement of a store, by one library, in a process of its own: `store.py` starts it.

What is imported is imported before the clock starts; so is what a library loads at its first call,
by opening a small store first.
"""

from __future__ import annotations

import importlib
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import store as parts
import table

PIXELS = np.zeros((4, 4), np.uint8)
CHUNKSIZE = 200


def library(name: str) -> Any:
    """The module to measure, warmed up. "fieldrec mapped", "fieldrec out": fieldrec in that way."""
    module = importlib.import_module("imgstore" if name == "imgstore" else "fieldrec.store")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        path = f"{place}/s"
        with module.new_for_format("npy", path, mode="w", imgshape=(4, 4), chunksize=10) as writer:
            writer.add_image(PIXELS, 0, 0.0)
        with module.new_for_filename(path) as reader:
            reader.get_next_image()
    return module


def opened(module: Any, name: str, path: Path) -> Any:
    return module.new_for_filename(str(path), **({"mapped": True} if "mapped" in name else {}))


def memory_mb(key: str) -> float:
    """VmRSS or VmHWM of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    raise ValueError(key)


def work_open(name: str, path: Path) -> table.Figures:
    """Time of opening, memory that it takes, and what it takes on the way."""
    module = library(name)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = memory_mb("VmRSS")
    began = time.perf_counter()
    store = opened(module, name, path)
    took = time.perf_counter() - began
    figures = {"ms": took * 1e3, "added MB": memory_mb("VmRSS") - before,
               "peak MB": memory_mb("VmHWM") - before}
    if store.frame_count != parts.chunks_of(path) * parts.PER_CHUNK:
        raise ValueError(f"{store.frame_count} frames?")
    return figures


def work_find(name: str, path: Path, what: str) -> table.Figures:
    """Time of finding and reading one frame of a long store."""
    store = opened(library(name), name, path)
    count = store.frame_count
    seeks = parts.sought(count)[:60 if name == "imgstore" else None]
    took = []
    for index in seeks:
        began = time.perf_counter()
        if what == "number":
            _, (number, _) = store.get_image(index)
        elif what == "index":
            _, (number, _) = store.get_image(None, frame_index=index)
        else:
            _, (number, _) = store.get_nearest_image(1.7e9 + index / 25.0 + 0.01)
        took.append((time.perf_counter() - began) * 1e3)
        if number != index:
            raise ValueError(f"frame {number} instead of {index}")
    return {"median ms": statistics.median(took), "max ms": max(took),
            "RSS MB": memory_mb("VmRSS")}


def work_read(name: str, path: Path, order: str) -> table.Figures:
    """Frames a second and processor time of reading many."""
    store = opened(library(name), name, path)
    count = store.frame_count
    out = {"out": np.zeros(store.image_shape, np.uint8)} if name == "fieldrec out" else {}
    reads: list[Callable[[], Any]]
    if order == "sequential":
        reads = [lambda: store.get_next_image(**out)] * count
    else:
        numbers = np.random.default_rng(2).integers(0, count, min(count, 1000)).tolist()
        reads = [lambda number=number: store.get_image(number, **out) for number in numbers]
    total = 0
    cpu_before, began = _cpu_s(), time.perf_counter()
    for read in reads:
        pixels = read()[0]
        if "mapped" in name:
            pixels.max()  # so that its pages are looked at
        total += pixels.nbytes
    wall = time.perf_counter() - began
    return {"frames/s": len(reads) / wall, "MB/s": total / wall / 1e6,
            "CPU-s/GB": (_cpu_s() - cpu_before) / total * 1e9}


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def work_add(name: str, place: Path, count: str) -> table.Figures:
    """Time of add_image less that of opening, writing and closing a file of the same bytes.

    "beyond" is the median of single frames, "mean beyond" and "CPU beyond" are those of all,
    chunk ends included; "at a chunk's end" the median of the frames that end one.
    """
    module = library(name)
    bare = bare_loop(place / "bare", int(count))
    store = module.new_for_format("npy", str(place / "store"), mode="w", imgshape=PIXELS.shape,
                                  imgdtype="uint8", chunksize=CHUNKSIZE)
    took = np.zeros(int(count))
    cpu_before = _cpu_s()
    for number in range(int(count)):
        at = 1.7e9 + number / 25
        began = time.perf_counter()
        store.add_image(PIXELS, number, at)
        took[number] = time.perf_counter() - began
    cpu = (_cpu_s() - cpu_before) / int(count) * 1e6
    took *= 1e6
    store.close()
    return {"median us": float(np.median(took)), "beyond us": float(np.median(took)) - bare[0],
            "mean beyond us": float(took.mean()) - bare[1], "CPU beyond us": cpu - bare[2],
            "p99 us": float(np.quantile(took, 0.99)),
            "at a chunk's end us": float(np.median(took[CHUNKSIZE - 1::CHUNKSIZE])),
            "bare us": bare[0]}


def bare_loop(place: Path, count: int) -> tuple[float, float, float]:
    """(median, mean, processor time) in us of the system calls that a frame file takes."""
    place.mkdir()
    header = bytes(128)
    took = np.zeros(count)
    cpu_before = _cpu_s()
    for number in range(count):
        if number % CHUNKSIZE == 0:
            chunk = place / f"{number // CHUNKSIZE:06d}"
            chunk.mkdir()
        path = f"{chunk}/{number % CHUNKSIZE:06d}.npy"
        began = time.perf_counter()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC)
        os.writev(descriptor, [header, PIXELS])
        os.close(descriptor)
        took[number] = time.perf_counter() - began
    cpu = (_cpu_s() - cpu_before) / count * 1e6
    return float(np.median(took)) * 1e6, float(took.mean()) * 1e6, cpu


def work_recover(path: Path) -> table.Figures:
    """Time of completing an interrupted store."""
    from fieldrec.store.recover import recover

    began, cpu_before = time.perf_counter(), _cpu_s()
    done = recover(path)
    wall = time.perf_counter() - began
    return {"s": wall, "CPU s": _cpu_s() - cpu_before, "frames": float(done.frames_kept)}


def main() -> None:
    """`store_work.py WHAT …`, as `store.py` says it."""
    what, *arguments = sys.argv[1:]
    if what == "recover":
        table.answer(work_recover(Path(arguments[0])))
        return
    work = {"open": work_open, "find": work_find, "read": work_read, "add": work_add}[what]
    name, path, *more = arguments
    table.answer(work(name, Path(path), *more))


if __name__ == "__main__":
    main()
