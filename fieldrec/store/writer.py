"""Write one store of any format: frames in, a directory out that any imgstore reader opens.

One store thread calls everything except :meth:`StoreWriter.sync`, which a thread of its own calls
every ``durability_s`` / 2 (I8), and :meth:`StoreWriter.add_extra_data`, which any thread may call.
Keeps I1 (``.lock`` goes last), I2 (frames, sync, index, then the log goes), I3 (flock).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.core import durable
from fieldrec.core.errors import StoreError, StoreFull, SyncFailed
from fieldrec.core.model import FrameSpec
from fieldrec.store import encodings, layout, repair
from fieldrec.store.api.new_store import closed_metadata, new_store
from fieldrec.store.chunk import OpenChunk, as_store_error
from fieldrec.store.chunk_kinds import Chunk, chunk_kind
from fieldrec.store.chunk_paths import ChunkPaths, chunk_paths
from fieldrec.store.extra_data import ExtraData
from fieldrec.store.extra_log import finished_records
from fieldrec.store.interim import InterimIndex
from fieldrec.store.store_folder import StoreFolder

log = logging.getLogger(__name__)

_LAST_NS = 2**63 - 1
"""What nanoseconds can say: until 2262. Some programs give milliseconds for seconds."""
_RESERVE_EXTRA_BYTES = 128 * 1024
"""Room for metadata.yaml, extra data and directory blocks, beside two indexes."""


class StoreWriter:
    """One store from its directory to its last index. Abandon it and it is INTERRUPTED."""

    def __init__(self, path: Path, spec: FrameSpec, *, chunksize: int,
                 user_metadata: Mapping[str, Any], timezone: str, created_epoch_ns: int,
                 form: str = "npy", encoding: str | None = None, uniform: bool = True,
                 may_exist: bool = False) -> None:
        """Create the store and its first chunk; blocks for about six syncs.

        `form`: a directory format ("png", "tif+color" …) or a video's ("avc1/mp4"). `encoding`:
        how what is stored becomes BGR ("cv_bayerbg"); with "+color" it does before it is stored.
        `user_metadata` is stored as it is; a recording's comes from new_store.recording_metadata.
        Not `uniform`: frames of other shapes and dtypes than `spec` are taken where the format can
        hold them. `may_exist`: a directory that has nothing of a store in it will do.

        StoreError when the name is taken, the format unknown or the metadata cannot be stored,
        StoreFull without room; then nothing is left of it.
        """
        self.path = path
        self.spec = spec
        self.frame_count = 0
        self.written_bytes = 0
        self.first_time_ns: int | None = None
        self.last_time_ns: int | None = None
        self.lost = 0
        """Frames that had to be given up after a failed sync."""
        self.chunks_finished = 0
        """Chunks that have their index: 0 … chunks_finished - 1."""
        new = new_store(path, spec, chunksize=chunksize, timezone=timezone, form=form,
                        encoding=encoding, created_epoch_ns=created_epoch_ns)
        self.metadata = new.metadata
        self._decode_as = new.decode_as
        self._kind = chunk_kind(new.metadata, spec.pixel_format)
        self._shape = spec.shape if uniform else None
        self._dtype = np.dtype(spec.dtype)
        self._last: tuple[int, int, float | None] | None = None
        """Number, time in ns and in s of the last frame."""
        self._past_cache = True
        self._chunk: Chunk | None = None
        self._extra = ExtraData()
        self._extra_paths: ChunkPaths | None = None
        """The chunk that extra data goes to: the open one, or the last until another is begun."""
        self.interim = InterimIndex(new.store)
        self._sync_lock = threading.Lock()
        """Held while something is done with the chunk that the other thread must not cross."""
        self._distrusted = False
        self._newest_given_up = False  # the frame appended last did not survive a failed sync
        self.missing_next = 0
        """What is missing before the next frame (missing.py), for its record. Store thread."""
        self._synced: tuple[Chunk | None, int] = None, 0
        """The open chunk at the last sync, and how many frames it had."""
        self._folder = StoreFolder(
            path, new.store, user_metadata, may_exist=may_exist,
            reserve_bytes=2 * layout.index_size_bound(self._kind.most_frames)
            + _RESERVE_EXTRA_BYTES)
        try:
            self._open_chunk()
        except (StoreError, OSError) as error:
            self._folder.remove()
            if isinstance(error, OSError):
                raise as_store_error(error, path) from error
            raise
        except BaseException:
            self.abandon()
            raise

    @property
    def uuid(self) -> str:
        """The store's own, made for it."""
        return self.metadata.uuid or ""

    @property
    def digest_of(self) -> Callable[[NDArray[Any]], int] | None:
        """The digest of a frame that is kept with it, of C-contiguous pixels; None where it is not
        one of the pixels. Who has a frame in hand before it is written may take it then."""
        return None if self._decode_as is not None else self._kind.digest_of

    # --- frames ---------------------------------------------------------------------------------

    def append(self, pixels: NDArray[Any], number: int, time_ns: int,
               device_time_ns: int | None, time_s: float | None = None, *,
               digest: int | None = None) -> None:
        """Write one frame; at the end of a chunk sync it, write its index and close it.

        `time_s`: what `frame_time` is to be, where `time_ns` can only be near it. `digest`: what
        :attr:`digest_of` gives for these pixels, where it is known already.
        StoreFull, StoreError, ValueError (pixels that the format cannot hold): this frame is not
        in the store, which can still be closed. SyncFailed: the frame is in the open chunk, which
        cannot be trusted: call :meth:`next_chunk_after_sync_failure`.
        """
        if self._shape is not None and (pixels.shape != self._shape
                                        or pixels.dtype != self._dtype):
            raise StoreError(f"{self.path}: a frame is {pixels.dtype} {pixels.shape}, the store "
                             f"{self._dtype} {self._shape}; the camera changed its format")
        if time_s is not None and not -_LAST_NS <= time_ns <= _LAST_NS:
            time_ns = _LAST_NS if time_ns > 0 else -_LAST_NS  # `time_s` says it
        if self._decode_as is not None:
            pixels = encodings.decode(pixels, self._decode_as)
        chunk = self._chunk
        if chunk is None or chunk.full:
            chunk = self._chunk_with_room()
        self._append(chunk, pixels, number, time_ns, device_time_ns, time_s, digest)

    def _append(self, chunk: Chunk, frame: Any, number: int, time_ns: int,
                device_time_ns: int | None, time_s: float | None, digest: int | None) -> None:
        if self.missing_next:
            chunk.say_missing(self.missing_next)
            self.missing_next = 0
        self.written_bytes += chunk.append(
            frame, number, time_ns,
            layout.NO_DEVICE_TIME if device_time_ns is None else device_time_ns, time_s, digest)
        if self.first_time_ns is None:
            self.first_time_ns = time_ns
        self.last_time_ns = time_ns
        self._last = number, time_ns, time_s
        self.frame_count += 1
        if chunk.full:
            self._finish_full_chunk()

    def write_ahead(self, pixels: NDArray[Any], number: int, time_ns: int) -> None:
        """Begin to write the frame after the next one in a second thread, where that can be done;
        it still has to be appended in its turn. Until then its pixels must stay as they are."""
        chunk = self._chunk
        if (isinstance(chunk, OpenChunk) and self._decode_as is None
                and pixels.shape == self._shape and pixels.dtype == self._dtype):
            chunk.write_ahead(pixels, number, time_ns)

    def append_packet(self, packet: memoryview, key: bool, number: int, time_ns: int,
                      device_time_ns: int | None) -> bool:
        """Write one packet of the camera's own encoder as it is; whether it was stored.

        False: it cannot be decoded, because a packet that it needs was lost (a gap in `number`) or
        could not be written, and no key frame came since: the caller counts it as lost. For stores
        whose spec's pixel format is encoded (`video.packet_form`). Errors as for :meth:`append`.
        """
        stream = self._kind.packets
        if stream is None:
            raise StoreError(f"{self.path}: a packet for a store of pixels")
        taken = stream.take(packet, key, number)
        chunk = self._chunk
        if taken is None or (chunk is None and not taken.key):
            return False
        if chunk is None or stream.begins_chunk(taken, chunk.count):
            chunk = self._chunk_with_room()
        self._append(chunk, taken, number, time_ns, device_time_ns, None, None)
        stream.stored(taken, number)
        return True

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
        if not values:
            return
        number, time_s = None, None
        if self._last is not None:
            number, time_ns, time_s = self._last
            time_s = layout.second_of(time_ns) if time_s is None else time_s
        self._extra.add({**values, "frame_time": time_s, "frame_number": number,
                         "frame_index": self.frame_count - 1})

    def _chunk_with_room(self) -> Chunk:
        try:
            if self._chunk is not None:
                try:
                    self._finish_chunk()
                except SyncFailed:  # of the frames before: the new one is not written yet
                    self.next_chunk_after_sync_failure()
                self._newest_given_up = False
            return self._open_chunk()
        except OSError as error:
            raise as_store_error(error, self.path) from error
        except SyncFailed as error:  # before the frame: the caller must not take it as written
            raise StoreError(f"{error}; no new chunk can be begun") from error

    def _finish_full_chunk(self) -> None:
        """What fails here is tried again before the next frame. SyncFailed also when the newest
        frame was given up: its caller still has it."""
        try:
            self._finish_chunk()
            if self._newest_given_up:
                raise SyncFailed(f"{self.path}: a sync failed, and the newest frame with it")
        except SyncFailed:
            raise
        except (OSError, StoreError) as error:
            log.warning("%s: chunk not finished yet: %s", self.path, error)

    def _open_chunk(self) -> Chunk:
        if not self._folder.is_open:
            raise StoreError(f"{self.path}: the store is closed")
        self._finish_extra()
        self._folder.take_reserve()
        chunk = self._kind.begin(self._paths(self.chunks_finished))
        chunk.past_cache = self._past_cache
        with self._sync_lock:
            self._chunk = chunk
            self._extra_paths = chunk.paths
            if isinstance(chunk, OpenChunk):
                self.interim.begin(chunk)
        return chunk

    def _paths(self, number: int) -> ChunkPaths:
        return chunk_paths(self.path, number, self.metadata.extension)

    # --- sync thread ----------------------------------------------------------------------------

    def sync(self) -> None:
        """Make every frame and all extra data so far durable. Sync thread; blocks for as long as
        the disk takes, together with other stores. No effect once closed, or with nothing new.

        SyncFailed: have the store thread call :meth:`next_chunk_after_sync_failure`. (Should that
        thread end the chunk first, it verifies it instead of trusting it.)
        """
        with self._sync_lock:
            if not self._folder.is_open:
                return
            appended, chunk = self.interim.appended, self._chunk
            at = chunk, 0 if chunk is None else chunk.count
            if at != self._synced or self._extra.unwritten:
                if self._extra_paths is not None:
                    self._extra.journal_if_possible(self._extra_paths)
                self._trust(self._folder.sync_together)
                self._synced = at
            self._write_interim(appended)

    def _trust(self, sync: Callable[[], None]) -> None:
        try:
            sync()
        except SyncFailed:
            self._distrusted = True
            raise

    def _write_interim(self, durable_count: int) -> None:
        if self._distrusted:
            return
        try:
            self.interim.write(durable_count)
        except SyncFailed:
            self._distrusted = True
            raise
        except OSError as error:
            log.warning("%s: no interim index: %s", self.path, error)

    # --- chunk end ------------------------------------------------------------------------------

    def next_chunk_after_sync_failure(self) -> bool:
        """End the distrusted chunk with the frames that read back right; the rest is lost. Whether
        the frame appended last is in the store: who still has one that is not may append it again.

        Store thread. `frame_count` falls and `lost` rises by the frames given up. Nothing is done
        when the chunk has been dealt with. SyncFailed: the disk takes no index either; abandon.
        """
        if self._distrusted and self._chunk is not None:
            self._finish_chunk()
        self._distrusted = False
        given_up, self._newest_given_up = self._newest_given_up, False
        return not given_up

    def _finish_chunk(self) -> None:
        chunk = self._chunk
        if chunk is None:
            return
        try:
            if not self._distrusted:
                self._even_when_full(chunk.finish)
            with self._sync_lock:
                self.interim.end()
                if not self._distrusted:
                    self._trust(self._folder.sync)
            kept = self._index_chunk(chunk)
        except SyncFailed:  # the next try verifies first
            self._distrusted = True
            raise
        except OSError as error:
            raise as_store_error(error, chunk.paths.folder) from error
        self._chunk = None
        self.chunks_finished += kept

    def _index_chunk(self, chunk: Chunk) -> bool:
        """Write the chunk's index; whether the chunk is one of the store's now."""
        if self._distrusted:
            return self._finish_distrusted(chunk)
        self._write_index(chunk.paths.index,
                          layout.index_bytes(chunk.columns, self.metadata.raw))
        chunk.release()
        durable.unlink_unsynced(chunk.paths.log)  # back after a power cut, it does no harm
        return True

    def _finish_distrusted(self, chunk: Chunk) -> bool:
        """Keep what can be verified; whether that is anything. An empty chunk is not left behind:
        in the middle of a store it would end sequential reading."""
        before = chunk.count
        chunk.release()
        self._folder.give_reserve_back()
        repair.rewrite_log(chunk.paths, chunk.columns)
        mended = self._kind.mend(chunk.paths, self._write_index)
        given_up = before - len(mended.columns)
        self._newest_given_up = not mended.has_last_of(chunk.columns)
        self.frame_count -= given_up
        self.lost += given_up
        self._distrusted = False
        log.error("%s: sync failed; %d of %d frames verified, %d lost; going on in a new chunk",
                  chunk.paths.frames, len(mended.columns), before, given_up)
        if len(mended.columns) == 0:
            self._discard(chunk)
        return len(mended.columns) > 0

    def _discard(self, chunk: Chunk) -> None:
        """Remove a chunk without frames; its extra data goes to the chunk before, if there is one,
        or else to the next."""
        with self._sync_lock:
            self.interim.end()
            self._extra_paths = None
            if self.chunks_finished:
                self._extra_to_last_chunk()
            self._extra.give_up_journal()
            durable.unlink(chunk.paths.extra_log, missing_ok=True)
            chunk.discard_empty()
        self._chunk = None

    def _write_index(self, path: Path, data: bytes) -> None:
        self._even_when_full(lambda: durable.write_atomic(path, data))

    def _even_when_full(self, write: Callable[[], None]) -> None:
        """Write with the room of the reserve where there is no other."""
        try:
            write()
        except StoreFull:
            self._folder.give_reserve_back()
            write()

    def _finish_extra(self) -> None:
        """Give the extra data of the chunk before its final form."""
        with self._sync_lock:
            paths = self._extra_paths
            if paths is not None and self._extra.pending:
                self._even_when_full(lambda: self._extra.finish(paths))
            self._extra_paths = None  # not before: what failed is tried again

    def _extra_to_last_chunk(self) -> None:
        """Add extra data to a chunk that may have some already. Without room it is left out: it is
        worth less than an orderly end."""
        last = self._paths(self.chunks_finished - 1)
        try:
            self._even_when_full(lambda: self._extra.finish(last, finished_records(last)))
        except StoreFull as error:
            log.warning("%s; extra data is not written", error)

    # --- end ------------------------------------------------------------------------------------

    def close(self, closing_metadata: Mapping[str, Any] | None = None) -> None:
        """Finish the last chunk, update the metadata's ``fieldrec`` mapping, unlock. Idempotent.

        `closing_metadata` (dropped, lost, …) must not count this writer's own `lost`: it is added.
        Works on a full disk. After any error the store is as after :meth:`abandon`.
        """
        if not self._folder.is_open:
            return
        try:
            self._close_chunks()
            self._folder.give_reserve_back()
            metadata = closed_metadata(self._folder.user, closing_metadata or {}, lost=self.lost,
                                       extra_data_lost=self._extra.unwritten)
            if metadata is not self._folder.user:
                self._folder.update_metadata(metadata)
            self._folder.unlock()
        except OSError as error:
            raise as_store_error(error, self.path) from error
        finally:
            self.abandon()

    def _close_chunks(self) -> None:
        if self._chunk is not None and self._chunk.count == 0 and self.chunks_finished > 0:
            self._discard(self._chunk)
        try:
            self._finish_chunk()
        except SyncFailed:
            self.next_chunk_after_sync_failure()
        if self.chunks_finished == 0:  # nothing of the only chunk could be kept
            self._open_chunk()
            self._finish_chunk()
        durable.fsync_directory(self._paths(self.chunks_finished - 1).log.parent)
        self._close_extra()

    def _close_extra(self) -> None:
        """As at a chunk's end, but that what finds no room stays in the journal."""
        if self._extra_paths is None and self._extra.pending:
            self._extra_to_last_chunk()
            return
        try:
            self._finish_extra()
        except StoreFull as error:
            log.warning("%s; extra data is not written", error)

    def abandon(self) -> None:
        """Let go of all descriptors, leaving the rest as after a crash, for recover. Idempotent."""
        if self._chunk is not None:
            self._chunk.release()
            self._chunk = None
        with self._sync_lock:
            self.interim.end()
            self._extra_paths = None
            self._folder.let_go()
