"""Write one store: frames in, a directory out that any imgstore reader opens.

One store thread calls everything except :meth:`StoreWriter.sync`, which a thread of its own calls
every ``durability_s`` / 2 (I8), and :meth:`StoreWriter.add_extra_data`, which any thread may call.
Keeps I1 (``.lock`` goes last), I2 (frames, sync, index, then the log goes), I3 (flock).
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
import time
import uuid as uuid_module
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import NDArray

from fieldrec import __version__
from fieldrec.core import durable
from fieldrec.core.errors import LockedError, StoreError, StoreFull, SyncFailed
from fieldrec.core.model import FrameSpec
from fieldrec.store import layout, repair
from fieldrec.store.chunk import OpenChunk, as_store_error
from fieldrec.store.extra_data import ExtraData
from fieldrec.store.metadata import METADATA_NAME, metadata_text, store_mapping

log = logging.getLogger(__name__)

_LOCK_TRIES = 40
_LOCK_PAUSE_S = 0.005
_RESERVE_EXTRA_BYTES = 128 * 1024
"""Room for metadata.yaml, extra data and directory blocks, beside two indexes."""


class StoreWriter:
    """One store from its directory to its last index. Abandon it and it is INTERRUPTED."""

    def __init__(self, path: Path, spec: FrameSpec, *, chunksize: int,
                 user_metadata: Mapping[str, Any], timezone: str, created_epoch_ns: int) -> None:
        """Create the store and its first chunk; blocks for about five directory syncs.

        StoreError when the name is taken or the metadata cannot be stored, StoreFull without
        room; then nothing is left of it.
        """
        self.path = path
        self.spec = spec
        self.uuid = uuid_module.uuid4().hex
        self.frame_count = 0
        self.written_bytes = 0
        self.first_time_ns: int | None = None
        self.last_time_ns: int | None = None
        self.lost = 0
        """Frames that had to be given up after a failed sync."""
        self._last_number: int | None = None
        self._chunksize = chunksize
        self._header = layout.npy_header(spec.shape, spec.dtype)
        self._dtype = np.dtype(spec.dtype)
        self._user = _with_defaults(user_metadata, spec, timezone)
        self._store = store_mapping(spec.shape, spec.dtype, chunksize=chunksize, timezone=timezone,
                                           created_epoch_ns=created_epoch_ns, uuid=self.uuid)
        self._chunk: OpenChunk | None = None
        self._chunks_finished = 0
        self._extra = ExtraData()
        self._extra_chunk: Path | None = None
        self._sync_lock = threading.Lock()
        self._distrusted = False
        self._past_cache = True
        self._directory = -1
        self._lock = -1
        text = self._checked_metadata(timezone)
        self._create(text)

    def _checked_metadata(self, timezone: str) -> bytes:
        if self._chunksize < 1:
            raise StoreError(f"{self.path}: chunksize {self._chunksize} must be at least 1")
        try:
            ZoneInfo(timezone)
            return metadata_text(self._store, self._user).encode("ascii")
        except (ValueError, ZoneInfoNotFoundError, OSError) as error:
            raise StoreError(f"{self.path}: {error}") from error

    def _create(self, metadata: bytes) -> None:
        try:
            durable.make_directory(self.path)
        except FileExistsError as error:
            raise StoreError(f"{self.path}: exists already; a recording is never written into "
                             "another one, choose another name") from error
        except OSError as error:
            raise as_store_error(error, self.path) from error
        try:
            self._take_lock()
            durable.write_atomic(self.path / METADATA_NAME, metadata)
            self._directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._open_chunk()
        except (OSError, StoreError, LockedError) as error:
            with contextlib.suppress(OSError, StoreError):
                durable.rmtree(self.path)
            self.abandon()
            if isinstance(error, OSError):
                raise as_store_error(error, self.path) from error
            raise
        except BaseException:
            self.abandon()
            raise

    def _take_lock(self) -> None:
        """Create and flock ``.lock``. A scan may probe it in between: it lets go at once."""
        self._lock = durable.create(self.path / layout.LOCK_NAME)
        for _ in range(_LOCK_TRIES):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(_LOCK_PAUSE_S)
        raise LockedError(f"{self.path}: another process has locked it; try again")

    # --- frames ---------------------------------------------------------------------------------

    def append(self, pixels: NDArray[Any], number: int, time_ns: int,
               device_time_ns: int | None) -> None:
        """Write one frame; at the end of a chunk sync it, write its index and close it.

        StoreFull, StoreError: this frame is not in the store, which can still be closed.
        SyncFailed: the frame is in the open chunk, which cannot be trusted: call
        :meth:`next_chunk_after_sync_failure`.
        """
        if pixels.shape != self.spec.shape or pixels.dtype != self._dtype:
            raise StoreError(f"{self.path}: a frame is {pixels.dtype} {pixels.shape}, the store "
                             f"{self._dtype} {self.spec.shape}; the camera changed its format")
        if not pixels.flags.c_contiguous:
            pixels = np.ascontiguousarray(pixels)
        try:
            chunk = self._chunk_with_room()
        except OSError as error:
            raise as_store_error(error, self.path) from error
        except SyncFailed as error:  # before the frame: the caller must not take it as written
            raise StoreError(f"{error}; no new chunk can be begun") from error
        self.written_bytes += chunk.append(
            pixels, number, time_ns,
            layout.NO_DEVICE_TIME if device_time_ns is None else device_time_ns)
        if self.first_time_ns is None:
            self.first_time_ns = time_ns
        self.last_time_ns = time_ns
        self._last_number = number
        self.frame_count += 1
        if chunk.full:
            self._finish_full_chunk()

    def write_past_cache(self, past_cache: bool) -> None:
        """Whether large frames are written past the page cache (the default): a sixth of the CPU
        time, and nothing waits in memory. Store thread; record/write_mode decides."""
        self._past_cache = past_cache
        if self._chunk is not None:
            self._chunk.past_cache = past_cache

    def add_extra_data(self, **values: Any) -> None:
        """Keep a record beside the last frame. Any thread; does not block, never raises.

        Like imgstore, `frame_time` (s), `frame_number` and `frame_index` are added.
        """
        if values:
            at = None if self.last_time_ns is None else self.last_time_ns / 1e9
            self._extra.add({**values, "frame_time": at, "frame_number": self._last_number,
                             "frame_index": self.frame_count - 1})

    def _chunk_with_room(self) -> OpenChunk:
        if self._chunk is not None and self._chunk.full:
            try:
                self._finish_chunk()
            except SyncFailed:  # of the frames before: the new one is not written yet
                self.next_chunk_after_sync_failure()
        return self._chunk if self._chunk is not None else self._open_chunk()

    def _finish_full_chunk(self) -> None:
        """The frame is safe in the log: what fails here is tried again before the next frame."""
        try:
            self._finish_chunk()
        except SyncFailed:
            raise
        except (OSError, StoreError) as error:
            log.warning("%s: chunk not finished yet: %s", self.path, error)

    def _open_chunk(self) -> OpenChunk:
        if self._directory < 0:
            raise StoreError(f"{self.path}: the store is closed")
        if self._extra_chunk is not None:
            self._write_extra(self._extra_chunk)
            self._extra.next_chunk()
        self._take_reserve()
        path = self.path / layout.chunk_name(self._chunks_finished)
        self._chunk = OpenChunk(path, self._chunksize, self._header, self.spec.frame_bytes)
        self._chunk.past_cache = self._past_cache
        self._extra_chunk = path
        return self._chunk

    # --- chunk end ------------------------------------------------------------------------------

    def sync(self) -> None:
        """Make every appended frame durable. Sync thread; blocks for as long as the disk takes.

        SyncFailed: have the store thread call :meth:`next_chunk_after_sync_failure`. (Should that
        thread end the chunk first, it verifies it instead of trusting it.) No effect once closed.
        """
        with self._sync_lock:
            if self._directory >= 0:
                self._sync_filesystem()

    def _sync_filesystem(self) -> None:
        try:
            durable.sync_filesystem(self._directory, self.path)
        except SyncFailed:
            self._distrusted = True
            raise

    def next_chunk_after_sync_failure(self) -> None:
        """End the distrusted chunk with the frames that read back right; the rest is lost.

        Store thread. `frame_count` falls and `lost` rises by the frames given up. No effect when
        the chunk has been dealt with. SyncFailed: the disk takes no index either; abandon.
        """
        if self._distrusted and self._chunk is not None:
            self._finish_chunk()
        self._distrusted = False

    def _finish_chunk(self) -> None:
        chunk = self._chunk
        if chunk is None:
            return
        with self._sync_lock:
            if not self._distrusted:
                self._sync_filesystem()
        try:
            kept = self._index_chunk(chunk)
        except SyncFailed:  # the next try verifies first
            self._distrusted = True
            raise
        except OSError as error:
            raise as_store_error(error, chunk.path) from error
        self._chunk = None
        self._chunks_finished += kept

    def _index_chunk(self, chunk: OpenChunk) -> bool:
        """Write the chunk's index; whether the chunk is one of the store's now."""
        self._write_extra(chunk.path)
        if self._distrusted:
            return self._finish_distrusted(chunk)
        self._write_index(chunk.path / layout.INDEX_NAME,
                          layout.index_bytes(chunk.columns, self._store))
        chunk.release()
        repair.tidy(chunk.path)
        return True

    def _finish_distrusted(self, chunk: OpenChunk) -> bool:
        """Keep what can be verified; whether that is anything. An empty chunk is not left behind:
        in the middle of a store it would end sequential reading."""
        before = chunk.count
        chunk.release()
        self._give_reserve_back()
        _rewrite_log(chunk)
        mended = repair.mend(chunk.path, self._header, self.spec.frame_bytes, self._store,
                             write_index=self._write_index)
        given_up = before - len(mended.columns)
        self.frame_count -= given_up
        self.lost += given_up
        self._distrusted = False
        log.error("%s: sync failed; %d of %d frames verified, %d lost; going on in a new chunk",
                  chunk.path, len(mended.columns), before, given_up)
        if len(mended.columns) == 0:
            chunk.discard_empty()
            self._extra.rewrite()
            self._extra_chunk = None
        return len(mended.columns) > 0

    def _write_index(self, path: Path, data: bytes) -> None:
        try:
            durable.write_atomic(path, data)
        except StoreFull:
            self._give_reserve_back()
            durable.write_atomic(path, data)

    def _write_extra(self, chunk: Path) -> None:
        """Extra data is worth less than the index: without room it waits for the next chunk."""
        try:
            self._extra.flush(chunk)
        except StoreFull as error:
            log.warning("%s; extra data is kept for later", error)

    # --- reserve --------------------------------------------------------------------------------

    def _take_reserve(self) -> None:
        """Occupy what the open chunk's index will need, so that a full disk can be closed on."""
        path = self.path / layout.RESERVE_NAME
        if path.exists():
            return
        size = 2 * layout.index_size_bound(self._chunksize) + _RESERVE_EXTRA_BYTES
        try:
            descriptor = durable.create(path)
            try:
                os.posix_fallocate(descriptor, 0, size)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._give_reserve_back()
            raise as_store_error(error, path) from error

    def _give_reserve_back(self) -> None:
        durable.unlink(self.path / layout.RESERVE_NAME, missing_ok=True)

    # --- end ------------------------------------------------------------------------------------

    def close(self, closing_metadata: Mapping[str, Any] | None = None) -> None:
        """Finish the last chunk, update the metadata's ``fieldrec`` mapping, unlock. Idempotent.

        `closing_metadata` (dropped, lost, …) must not count this writer's own `lost`: it is added.
        Works on a full disk. After any error the store is as after :meth:`abandon`.
        """
        if self._lock < 0:
            return
        try:
            self._close_chunks()
            self._give_reserve_back()
            self._close_metadata(dict(closing_metadata or {}))
            durable.fsync_directory(self.path)
            durable.unlink(self.path / layout.LOCK_NAME)
        except OSError as error:
            raise as_store_error(error, self.path) from error
        finally:
            self.abandon()

    def _close_chunks(self) -> None:
        if self._chunk is not None and self._chunk.count == 0 and self._chunks_finished > 0:
            self._chunk.discard_empty()
            self._chunk = None
        try:
            self._finish_chunk()
        except SyncFailed:
            self.next_chunk_after_sync_failure()
        if self._chunks_finished == 0:  # nothing of the only chunk could be kept
            self._open_chunk()
            self._finish_chunk()
        if self._extra.unwritten and self._chunks_finished:
            self._give_reserve_back()
            last = self.path / layout.chunk_name(self._chunks_finished - 1)
            self._write_extra(last)

    def _close_metadata(self, closing: dict[str, Any]) -> None:
        closing["interrupted"] = False  # true until here: a crash cannot write it
        closing["lost"] = int(closing.get("lost", 0)) + self.lost
        if self._extra.unwritten:
            closing["extra_data_lost"] = self._extra.unwritten
        self._user["fieldrec"] = {**self._user["fieldrec"], **closing}
        try:
            text = metadata_text(self._store, self._user)
        except ValueError as error:
            raise StoreError(f"{self.path}: {error}") from error
        durable.write_atomic(self.path / METADATA_NAME, text.encode("ascii"))

    def abandon(self) -> None:
        """Let go of all descriptors, leaving the rest as after a crash, for recover. Idempotent."""
        if self._chunk is not None:
            self._chunk.release()
            self._chunk = None
        with self._sync_lock:
            directory, self._directory = self._directory, -1
        if directory >= 0:
            os.close(directory)
        if self._lock >= 0:
            os.close(self._lock)  # frees the flock
            self._lock = -1


def _with_defaults(user: Mapping[str, Any], spec: FrameSpec, timezone: str) -> dict[str, Any]:
    """The user's metadata with the keys that loopbio's tools and our reader look for."""
    known: dict[str, Any] = {"timezone": timezone, "acquisitionframerate": spec.nominal_hz,
                             "acquisitionframerateenable": True}
    given = user.get("fieldrec")
    ours = {"version": __version__, "pixel_format": spec.pixel_format,
            "nominal_hz": spec.nominal_hz, "dropped": 0, "lost": 0,
            **(given if isinstance(given, Mapping) else {}), "interrupted": True}
    return {**known, **user, "fieldrec": ours}


def _rewrite_log(chunk: OpenChunk) -> None:
    """Put the log on disk anew from memory: its own pages are as doubtful as the frames."""
    columns = chunk.columns
    records = layout.Log(np.arange(chunk.count, dtype=np.int64), columns)
    durable.write_atomic(chunk.path / layout.LOG_NAME, layout.log_bytes(records))
