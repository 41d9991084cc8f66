"""The logbook: entries are noted on the loop, and written by a thread of its own (``logbook``).

:meth:`Logbook.note` never blocks: it puts the entry into a bounded queue. The thread writes at once
and syncs a few seconds later, at once where the kind matters (a recording began, the box stops):
one sync for many entries, for each wakes the disk. Whatever happens to the disk, nobody waits for
it: while it is full or dead the oldest entries are dropped and counted, and the count is the first
that is written when it works again (I9).
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from fieldrec.core.clock import Clock
from fieldrec.core.errors import FieldrecError
from fieldrec.core.notes import JsonValue, Kind
from fieldrec.logbook.files import Before, Files
from fieldrec.logbook.lines import Entry

log = logging.getLogger(__name__)

QUEUE_ENTRIES = 2000
"""Held in memory while the disk does not take them (and as many again that it refused): 1 MB."""
SYNC_S = 5.0
"""An entry that waits for no sync of its own is durable after this."""
RETRY_S = 15.0
"""Before a disk that refused is tried again."""
CLOSE_S = 3.0
"""The end waits this long for a disk that hangs."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
AT_ONCE = frozenset({
    Kind.STARTED, Kind.STOPPED, Kind.RECORDING_BEGAN, Kind.RECORDING_ENDED, Kind.WINDOW_MISSED,
    Kind.SLEPT, Kind.CLOCK_STEP, Kind.DRIVE_OUT})
"""Kinds that are synced at once."""


class Logbook:
    """One deployment's. :meth:`note` from the loop at any time, also before :meth:`open`."""

    def __init__(self, folder: Path, *, box: str, deployment: str, clock: Clock, max_bytes: int,
                 on_problem: Callable[[str], None] = lambda _text: None,
                 boot_id: str | None = None) -> None:
        """`on_problem` is called by the thread, once when the disk refuses."""
        self.folder = folder
        self.deployment = deployment
        self._files = Files(folder, box=box, deployment=deployment, max_bytes=max_bytes)
        self._clock = clock
        self._on_problem = on_problem
        self.boot_id = read_boot_id() if boot_id is None else boot_id
        self._changed = threading.Condition()
        self._queue: deque[Entry] = deque()
        self._dropped = 0
        self._dropped_ns = (0, 0)
        self._noted = self._settled = 0
        """Entries that came, and those of them that are durable or were dropped."""
        self._taken = 0
        self._sync_now = self._closing = False
        self._opened = self._failing = False
        self._sync_due_ns: int | None = None
        self._thread: threading.Thread | None = None

    def open(self) -> Before:
        """Find where to go on and begin to write. Blocking, once; a disk that refuses is said, and
        tried again later: then nothing is known of what was before."""
        before = Before()
        try:
            before = self._files.open()
            self._opened = True
        except (OSError, FieldrecError) as error:
            self._refused(error)
        self._thread = threading.Thread(target=self._work, name="logbook")
        self._thread.start()
        return before

    def note(self, kind: str, text: str, **facts: JsonValue) -> None:
        """Put an entry into the record (:class:`~fieldrec.core.notes.Note`). Any thread; never
        blocks."""
        entry = Entry(0, self._clock.epoch_ns(), self._clock.monotonic_ns(), self.boot_id,
                      str(kind), " ".join(text.split()), facts)
        with self._changed:
            if self._closing:
                return
            if len(self._queue) >= QUEUE_ENTRIES:
                self._drop_oldest()
            self._queue.append(entry)
            self._noted += 1
            self._sync_now = self._sync_now or kind in AT_ONCE
            self._changed.notify_all()

    def flush(self, patience_s: float = CLOSE_S) -> bool:
        """Wait until all that was noted is durable; False where the disk does not do it in time.
        Blocking; not on the loop."""
        with self._changed:
            if self._thread is None:
                return False
            wanted = self._noted
            self._sync_now = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._settled >= wanted, patience_s)

    def close(self, patience_s: float = CLOSE_S) -> bool:
        """Write and sync the rest, end the thread. Blocking; False when a disk that hangs holds it:
        then it ends when the disk does. What is noted afterwards goes nowhere. Idempotent."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is None:
            return True
        self._thread.join(patience_s)
        return not self._thread.is_alive()

    # -- the thread ------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while True:
                with self._changed:
                    paused = not self._changed.wait_for(self._has_work, self._pause_s())
                    closing = self._closing
                    sync = closing or paused or self._sync_now
                    if not self._failing:
                        self._sync_now = False
                    entries = self._take() if closing or not self._failing else []
                self._write(entries, sync)
                if closing:
                    return
        finally:
            self._files.close()

    def _has_work(self) -> bool:
        """While the disk refuses, only the end of the pause is work, and the end of all."""
        return self._closing or (not self._failing and (bool(self._queue) or self._sync_now))

    def _pause_s(self) -> float | None:
        if self._failing:
            return RETRY_S
        if self._sync_due_ns is None:
            return None
        left_s = (self._sync_due_ns - self._clock.monotonic_ns()) / 1e9
        return min(max(left_s, 0.1), SYNC_S)

    def _take(self) -> list[Entry]:
        """What is to be written now; first of all, how much was dropped."""
        entries = list(self._queue)
        self._queue.clear()
        self._taken += len(entries)
        if self._dropped:
            count, (from_ns, until_ns) = self._dropped, self._dropped_ns
            self._dropped = 0
            first = entries[0] if entries else None
            entries.insert(0, Entry(
                0, first.time_ns if first else until_ns, first.boottime_ns if first else 0,
                self.boot_id, Kind.ENTRIES_DROPPED,
                f"{count} entries were dropped: the disk could not be written",
                {"count": count, "from_ns": from_ns, "until_ns": until_ns}))
        return entries

    def _write(self, entries: list[Entry], sync: bool) -> None:
        now_ns = self._clock.monotonic_ns()
        try:
            if not self._opened:
                self._files.open()
                self._opened = True
            self._files.take(entries)
            if self._sync_due_ns is None and self._files.in_doubt:
                self._sync_due_ns = now_ns + int(SYNC_S * 1e9)
            self._files.write()
            if sync or (self._sync_due_ns is not None and now_ns >= self._sync_due_ns):
                self._files.sync()
                self._sync_due_ns = None
        except (OSError, FieldrecError) as error:
            self._refused(error)
            return
        if self._failing:
            self._failing = False
            log.info("logbook %s is written again", self.folder)
        if not self._files.in_doubt:
            with self._changed:
                self._settled = self._taken
                self._changed.notify_all()

    def _refused(self, error: Exception) -> None:
        if not self._failing:
            self._failing = True
            self._on_problem(f"the deployment record cannot be written: {error}")

    def _drop_oldest(self) -> None:
        oldest = self._queue.popleft()
        self._dropped_ns = (self._dropped_ns[0] if self._dropped else oldest.time_ns,
                            oldest.time_ns)
        self._dropped += 1
        self._taken += 1


def read_boot_id(path: Path = BOOT_ID) -> str:
    """What tells this boot of the machine from all others; "" where the kernel does not say."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
