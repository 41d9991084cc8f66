"""The store writer with what only imgstore's interface asks for: to empty a store while it is being
written, and to take over whole video files as chunks.

As StoreWriter: one store thread, and one that syncs. Both steps may be cut off anywhere: the store
is locked, and recover finds chunks that are whole, or begun and without index.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from fieldrec.core import durable
from fieldrec.core.errors import StoreError, SyncFailed
from fieldrec.store import layout
from fieldrec.store.chunk import as_store_error
from fieldrec.store.chunk_paths import ChunkPaths
from fieldrec.store.extra_data import ExtraData
from fieldrec.store.layout import Columns
from fieldrec.store.writer import StoreWriter


class ApiWriter(StoreWriter):
    """One store, written through imgstore's interface."""

    def journal_extra(self) -> None:
        """Have all extra data on disk, though not durably, for readers to see."""
        with self._sync_lock:
            if self._extra_paths is not None:
                self._extra.journal_if_possible(self._extra_paths)

    def clear(self) -> None:
        """Remove all chunks and begin anew: chunk 0 is made for the next frame. Blocks for as long
        as removing takes. StoreError, then what is left of them stays."""
        if not self._folder.is_open:
            raise StoreError(f"{self.path}: the store is closed")
        try:
            with self._sync_lock:
                self.interim.end()
                self._extra_paths = None
                if self._chunk is not None:
                    self._chunk.release()
                self._chunk = None
                for number in range(self.chunks_finished, -1, -1):
                    _remove_chunk(self._paths(number))
                self._extra = ExtraData()
        except OSError as error:
            raise as_store_error(error, self.path) from error
        self.chunks_finished = self.frame_count = self.lost = 0
        self.first_time_ns = self.last_time_ns = self._last = None
        self._distrusted = False

    def insert_video(self, video: Path, columns: Columns, *, move: bool) -> None:
        """Make a finished video file, which has at least these frames, the next chunk; with `move`
        it is gone from where it was. StoreError, StoreFull: it is not in the store."""
        if not self._folder.is_open:
            raise StoreError(f"{self.path}: the store is closed")
        self._end_open_chunk()
        self._finish_extra()
        paths = self._paths(self.chunks_finished)
        try:
            _put_in_place(video, paths.frames, move)
            self._write_index(paths.index, layout.index_bytes(columns, self.metadata.raw))
        except OSError as error:
            raise as_store_error(error, paths.frames) from error
        self._extra_paths = paths
        self.chunks_finished += 1
        self.frame_count += len(columns)
        self._note_last(columns)

    def _end_open_chunk(self) -> None:
        if self._chunk is not None and self._chunk.count == 0:
            self._discard(self._chunk)
        try:
            self._finish_chunk()
        except SyncFailed:
            self.next_chunk_after_sync_failure()

    def _note_last(self, columns: Columns) -> None:
        if not len(columns):
            return
        if self.first_time_ns is None:
            self.first_time_ns = int(columns.times_ns[0])
        self.last_time_ns = int(columns.times_ns[-1])
        self._last = int(columns.numbers[-1]), self.last_time_ns, float(columns.seconds()[-1])


def _remove_chunk(paths: ChunkPaths) -> None:
    """Remove what there is of a chunk, its index first: a chunk without index does not exist."""
    beside = (paths.index, paths.index_yaml, paths.log, paths.plan, paths.extra, paths.extra_log)
    for file in beside:
        if file.exists():
            durable.unlink(file)
    if paths.open_video is not None:
        for file in (paths.frames, paths.open_video):
            if file.exists():
                durable.unlink(file)
        return
    if not paths.frames.is_dir():
        return
    descriptor = os.open(paths.frames, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:  # thousands of files: one sync for all
        for file in paths.frames.iterdir():
            durable.unlink_at(descriptor, file)
        durable.sync_directory_at(descriptor, paths.frames)
    finally:
        os.close(descriptor)
    durable.remove_empty_directory(paths.frames)


def _put_in_place(video: Path, target: Path, move: bool) -> None:
    """The video under its final name, wholly on disk (I2)."""
    part = target.with_name(f".{target.name}.tmp")
    durable.unlink(part, missing_ok=True)
    same_disk = video.stat().st_dev == target.parent.stat().st_dev
    if not (move and same_disk):
        shutil.copyfile(video, part)
    source = video if move and same_disk else part
    with source.open("rb") as file:
        durable.fsync(file.fileno(), source)
    durable.rename(source, target)
    if move and not same_disk:
        durable.unlink(video)
