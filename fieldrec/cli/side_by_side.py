"""Pieces of long work of one command, several at a time, each with its bar.

A piece is blocking work in a thread of its own; one that fails does not stop the others. A signal
stops all of them in order. The threads are nicer than whatever else the machine does: where it
records, recording comes first.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from fieldrec.cli.bars import Bars
from fieldrec.core.errors import FieldrecError
from fieldrec.status import words

MEMORY_BYTES = 500_000_000
"""What one piece may need at 1920x1080, with some room."""
_NICENESS = 10

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Piece:
    """One of several things to do."""

    name: str
    """Shown before its bar and its failure; no two of a command are the same."""
    work: Callable[[threading.Event, Progress], str]
    """Does it, and returns what is to be said of it; ends soon after the event is set."""


@dataclass(frozen=True)
class Failure:
    """A piece that could not be done."""

    name: str
    error: FieldrecError


def at_a_time(pieces: int) -> int:
    """How many of them this machine does best at once: an encoder uses two cores and more."""
    cores = len(os.sched_getaffinity(0))
    return max(1, min(pieces, cores // 2, _available_bytes() // MEMORY_BYTES))


def side_by_side(pieces: Sequence[Piece], jobs: int, stop: threading.Event) -> list[Failure]:
    """Do all of them, `jobs` at a time; says what came of each as soon as it is known, a single
    piece's failure excepted. Blocks; returns what failed, in the order of the pieces.

    A stop that came too late to keep any of them from its end is taken back.
    """
    failures: dict[str, Failure] = {}
    ended: set[str] = set()
    with Bars() as bars:
        def do(piece: Piece) -> None:
            if stop.is_set():
                return
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
            try:
                text = piece.work(stop, lambda *told: bars.tell(piece.name, *told))
            except FieldrecError as error:
                bars.end(piece.name)
                if not stop.is_set():
                    ended.add(piece.name)
                    failures[piece.name] = Failure(piece.name, error)
                    if len(pieces) > 1:
                        name = words.safe_text(piece.name)
                        bars.say(f"fieldrec: {name}: {error}", is_error=True)
            else:
                ended.add(piece.name)
                bars.end(piece.name)
                bars.say(text)

        _in_threads(do, pieces, jobs)
    if len(ended) == len(pieces):
        stop.clear()
    return [failures[piece.name] for piece in pieces if piece.name in failures]


def _in_threads(do: Callable[[Piece], None], pieces: Sequence[Piece], jobs: int) -> None:
    """Signals reach the main thread, which only waits; what is no FieldrecError is raised here."""
    with ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="work") as pool:
        done = [pool.submit(do, piece) for piece in pieces]
        wait(done)
    for one in done:
        one.result()


def _available_bytes() -> int:
    """Memory that can be had without swapping; where nobody tells, enough for one piece."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    told = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(told[0]) * 1024 if told else 0
