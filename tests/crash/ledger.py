"""What a recording process has done and when, in memory that outlives it.

The memory is shared with a forked child before it begins; there every store writer is made to note
each frame right after its append has returned, and the beginning and end of each sync. That moment
is what "recorded" means here: from it on the frame is the disk's. The parent reads it when the
child is dead. Times are CLOCK_BOOTTIME, as the frames' own.
"""

from __future__ import annotations

import contextlib
import itertools
import mmap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.store.writer import StoreWriter
from tests.fakes.loop_devices import now_ns

APPENDED, SYNC_BEGAN, SYNCED, LATE, FAILED = 1, 2, 3, 4, 5
ROW = np.dtype([("recording", "S80"), ("number", "i8"), ("time_ns", "i8"), ("done_ns", "i8"),
                ("kind", "u1")])
"""`done_ns`: when it was over (SYNC_BEGAN: when it began); `kind` is written last. LATE: `number`
is how late the sleeping thread was, in ns. FAILED: the whole program gave up."""
ROWS = 60_000

TICK_S, LATE_S = 0.02, 0.01

Rows = NDArray[Any]
"""Of dtype ROW, in the order in which things happened."""


def latest_ns(rows: Rows, broken_ns: int, durability_s: float) -> int:
    """How late a thread that only sleeps was woken at the worst, where that may have held up the
    last sync before `broken_ns`."""
    since_ns = broken_ns - (durability_s + 0.5) * 1e9  # what was late before is over
    late = rows["number"][(rows["kind"] == LATE) & (rows["done_ns"] > since_ns)]
    return int(max(late, default=0))


class Ledger:
    """Room for ROWS rows; filled by one child at a time, read by its parent."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, ROWS * ROW.itemsize)  # anonymous and shared over a fork
        self._rows = np.frombuffer(self._memory, ROW)
        self._woken_ns = np.frombuffer(mmap.mmap(-1, 8), "i8")
        """When the sleeping thread was woken last; 0 when there is none."""
        self._next = itertools.count().__next__

    def clear(self) -> None:
        """For another child."""
        self._rows[:] = 0
        self._woken_ns[:] = 0
        self._next = itertools.count().__next__

    def note(self, kind: int, path: Path, number: int = 0, time_ns: int = 0) -> None:
        """Any thread; takes no lock. IndexError when there is no room left."""
        row = self._rows[self._next()]
        row["recording"] = path.name.encode()
        row["number"], row["time_ns"], row["done_ns"] = number, time_ns, now_ns()
        row["kind"] = kind

    def rows(self) -> Rows:
        """All that was noted whole."""
        noted: Rows = self._rows[self._rows["kind"] != 0]
        return noted.copy()

    def late_ns(self, cut_ns: int) -> int:
        """How late the sleeping thread is that had not been woken when the power was cut: on a
        machine that stood still until then, nobody has noted it."""
        woken_ns = int(self._woken_ns[0])
        return max(0, cut_ns - woken_ns - int(TICK_S * 1e9)) if woken_ns else 0

    @contextlib.contextmanager
    def following(self) -> Iterator[None]:
        """In the child: have every store writer of this process note what it does, and a thread
        that does nothing but sleep how late it is woken."""
        append, sync, note = StoreWriter.append, StoreWriter.sync, self.note
        append_packet = StoreWriter.append_packet

        def noted_append(writer: StoreWriter, pixels: Any, number: int, time_ns: int,
                         *rest: Any, **more: Any) -> None:
            append(writer, pixels, number, time_ns, *rest, **more)
            note(APPENDED, writer.path, number, time_ns)

        def noted_packet(writer: StoreWriter, packet: memoryview, key: bool, number: int,
                         time_ns: int, device_time_ns: int | None) -> bool:
            stored = append_packet(writer, packet, key, number, time_ns, device_time_ns)
            if stored:
                note(APPENDED, writer.path, number, time_ns)
            return stored

        def noted_sync(writer: StoreWriter) -> None:
            note(SYNC_BEGAN, writer.path)
            sync(writer)
            note(SYNCED, writer.path)

        StoreWriter.append = noted_append  # type: ignore
        StoreWriter.append_packet = noted_packet  # type: ignore
        StoreWriter.sync = noted_sync  # type: ignore
        over = threading.Event()
        sleeper = threading.Thread(target=self._sleep, args=(over,), name="sleeper")
        sleeper.start()
        try:
            yield
        finally:
            over.set()
            sleeper.join()
            StoreWriter.append = append  # type: ignore[method-assign]
            StoreWriter.append_packet = append_packet  # type: ignore[method-assign]
            StoreWriter.sync = sync  # type: ignore[method-assign]

    def _sleep(self, over: threading.Event) -> None:
        while True:
            began_s = time.monotonic()
            self._woken_ns[0] = now_ns()
            if over.wait(TICK_S):
                return
            late_s = time.monotonic() - began_s - TICK_S
            if late_s > LATE_S:
                self.note(LATE, Path(), int(late_s * 1e9))
