"""What lies around a chunk whose index is lost: frames before and after it, rates, file times.

Blocking, under the store's lock; asked chunk by chunk, ascending, while the indexes are made again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldrec.store.chunk_paths import ChunkPaths
from fieldrec.store.created import created
from fieldrec.store.layout import Columns
from fieldrec.store.metadata import StoreMetadata
from fieldrec.store.recovery.chunk_look import look_at
from fieldrec.store.recovery.estimate import Clues
from fieldrec.store.recovery.index_salvage import Salvaged
from fieldrec.store.recovery.log_mending import told
from fieldrec.store.recovery.rebuild import file_delay_ns
from fieldrec.store.spec import nominal_rate


@dataclass(frozen=True, slots=True, eq=False)
class Around:
    """What is known around one chunk."""

    clues: Clues
    skipped: int
    """Frames between those before and the chunk, in chunks that are gone."""
    span: int
    """Frames from the chunk's first up to those after it, as far as can be told: every chunk but
    the last was full. 0 = nothing is after it."""


class Neighbours:
    """The chunks of one store, passed one by one."""

    def __init__(self, root: Path, metadata: StoreMetadata, user: Mapping[str, Any],
                 chunks: list[ChunkPaths]) -> None:
        self._metadata = metadata
        self._chunks = {paths.number: paths for paths in chunks}
        self._nominal_hz = nominal_rate(user) or 0.0
        self._start_ns: int | None = None
        if metadata.created_utc is not None:
            moment = created(root, metadata, user)[0]
            self._start_ns = int(moment.timestamp() * 1e6) * 1000
        self._before = Columns.empty()
        self._before_paths: ChunkPaths | None = None

    def passed(self, paths: ChunkPaths, columns: Columns) -> None:
        """These frames were recorded in this chunk, whether all of them are still there or not."""
        if len(columns):
            self._before, self._before_paths = columns, paths

    def around(self, paths: ChunkPaths) -> Around:
        """What is known around this chunk, which is the next."""
        after, span = self._after(paths)
        before_paths, delay_ns, skipped = self._before_paths, None, 0
        if before_paths is not None:
            delay_ns = self.delay_ns(before_paths, self._before)
            skipped = (paths.number - before_paths.number - 1) * self._metadata.chunksize
        return Around(Clues(self._before, after, self._nominal_hz, start_ns=self._start_ns,
                            file_delay_ns=delay_ns), skipped, span)

    def delay_ns(self, paths: ChunkPaths, columns: Columns) -> int | None:
        """How late the files of these frames were written; None where they have none."""
        if self._metadata.is_video or len(columns) == 0:
            return None
        return file_delay_ns(paths, columns, self._metadata.format)

    def _after(self, paths: ChunkPaths) -> tuple[Columns, int]:
        """(the next frames that anything tells of, how many lie before them): one chunk after the
        other, as long as there is no gap."""
        number, span = paths.number + 1, self._metadata.chunksize
        while number in self._chunks:
            columns = told(look_at(self._chunks[number]))
            if len(columns):
                return columns, span
            number, span = number + 1, span + self._metadata.chunksize
        return Columns.empty(), 0


def recorded(kept: Columns, known: Salvaged) -> Columns:
    """What was recorded in a chunk of which these frames are left: as its old index tells, when
    that goes further."""
    complete = known.has_numbers and known.has_times
    return known.columns if complete and len(known.columns) > len(kept) else kept
