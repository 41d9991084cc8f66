"""How long commands take, beside a Python that does nothing and one that imports numpy."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import processes
import table

from fieldrec.core.model import FrameSpec
from fieldrec.store.api.new_store import recording_metadata
from fieldrec.store.writer import StoreWriter

ROOT = Path(__file__).resolve().parents[2]
FIELDREC = Path(sys.executable).with_name("fieldrec")
RECORDINGS = 200
RUNS = 3
"""Of which the quickest counts: a command is short, its neighbours are not."""


def measure(folder: Path, quick: bool, repetitions: int) -> None:
    """Wall time of each command, best of three within a repetition."""
    recordings = folder / "recordings"
    recordings.mkdir()
    make_recordings(recordings, 50 if quick else RECORDINGS)
    count = len(list(recordings.iterdir()))
    where = ("--recordings", str(recordings))
    commands: dict[str, Sequence[str | Path]] = {
        "python -c pass": (sys.executable, "-c", "pass"),
        "python: import asyncio, numpy": (sys.executable, "-c", "import asyncio, numpy"),
        "fieldrec --help": (FIELDREC, "--help"),
        "scripts/run --help (set up)": (ROOT / "scripts/run", "--help"),
        "fieldrec record --help": (FIELDREC, "record", "--help"),
        f"fieldrec status --json ({count})": (FIELDREC, "status", "--json", *where),
        f"fieldrec list ({count})": (FIELDREC, "list", *where),
        f"fieldrec list --json ({count})": (FIELDREC, "list", "--json", *where),
        "fieldrec jobs": (FIELDREC, "jobs", *where),
        "python: import fieldrec.app": (sys.executable, "-c", "import fieldrec.app"),
    }
    results = table.interleaved({name: timed(command) for name, command in commands.items()},
                                repetitions)
    table.show(f"commands, best of {RUNS}", results, ratios=("wall s", "CPU s"))


def timed(command: Sequence[str | Path]) -> Callable[[int], table.Figures]:
    """Runs the command a few times; the quickest wall time and the least CPU time."""
    def run(_repetition: int) -> table.Figures:
        walls, cpus = [], []
        for _ in range(RUNS):
            before, began_s = _children_cpu_s(), time.monotonic()
            processes.run(*command, stdout=subprocess.DEVNULL,
                          env={**os.environ, "COLUMNS": "120"})
            walls.append(time.monotonic() - began_s)
            cpus.append(_children_cpu_s() - before)
        return {"wall s": min(walls), "CPU s": min(cpus)}
    return run


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def make_recordings(folder: Path, count: int) -> None:
    """Small ones, of three frames in two chunks."""
    spec = FrameSpec((24, 32), "uint8", "MONO8", 25.0)
    pixels = np.zeros(spec.shape, np.uint8)
    for number in range(count):
        created_ns = 1_700_000_000_000_000_000 + number * 60_000_000_000
        writer = StoreWriter(folder / f"bees_{number:06d}", spec, chunksize=2, timezone="UTC",
                             user_metadata=recording_metadata({"bird": "dove"}, spec, "UTC"),
                             created_epoch_ns=created_ns)
        for frame in range(3):
            writer.append(pixels, frame, created_ns + frame * 40_000_000, None)
        writer.close()
