"""The open chunk's index before its time, so that any reader gets at what a crash left so far.

Sync thread, under the writer's sync lock: right after a sync, which made the listed frames durable
(I2). Only for directories of frame files: an open video has no name yet under which readers look.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from fieldrec.core import durable
from fieldrec.core.errors import StoreFull
from fieldrec.store import layout
from fieldrec.store.chunk import OpenChunk

log = logging.getLogger(__name__)

INTERIM_EVERY_NS = 10_000_000_000
"""How often. What imgstore, which knows no frames.log, misses of a crashed store is these ten
seconds and the time between two syncs; writing costs two small syncs more, and chunks that end
sooner never need it."""


class InterimIndex:
    """When the open chunk's index is due, and how far it goes."""

    def __init__(self, store: Mapping[str, Any], *,
                 now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        """`store`: the ``__store`` mapping, which the index repeats."""
        self.every_ns = INTERIM_EVERY_NS
        """0: after every sync."""
        self._store = store
        self._now_ns = now_ns
        self._chunk: OpenChunk | None = None
        self._listed = 0
        self._since_ns = 0

    def begin(self, chunk: OpenChunk) -> None:
        """This chunk is the open one from now on."""
        self._chunk, self._listed = chunk, 0
        self._since_ns = self._now_ns()

    def end(self) -> None:
        """There is no open chunk: its index is the store thread's now."""
        self._chunk = None

    @property
    def appended(self) -> int:
        """Frames in the open chunk: to be read before a sync begins and given to :meth:`write`."""
        return 0 if self._chunk is None else self._chunk.count

    def write(self, durable_count: int) -> None:
        """Write the index of the first so many frames, which are durable, if that is due.

        Without room it is left out: the reserve is the final index's. SyncFailed, OSError.
        """
        chunk, now_ns = self._chunk, self._now_ns()
        if (chunk is None or durable_count <= self._listed
                or now_ns - self._since_ns < self.every_ns):
            return
        self._since_ns = now_ns
        columns = chunk.columns.take(slice(0, durable_count))
        try:
            durable.write_atomic(chunk.paths.index, layout.index_bytes(columns, self._store))
        except StoreFull as error:
            log.debug("%s; the interim index is left out", error)
            return
        self._listed = durable_count
