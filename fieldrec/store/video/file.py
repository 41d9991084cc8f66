"""One video file on disk: growing frame by frame, ended in place, and looked through after a crash.

One thread. Writing goes through core/durable; every packet is in the file when `append` returns.
After any error of a write the file is as before it. Reading takes nothing on trust: a frame counts
when the checksum in its head fits, and after damage the next frame head is searched for.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from fieldrec.core import durable
from fieldrec.core.errors import StoreError
from fieldrec.store.video.growth import Container, Ending, FrameHead, Samples, Track

_HEAD_BYTES = 65_536
"""No head is longer."""
_SEARCH_BYTES = 1 << 20


class GrowingVideo:
    """A file that is being written. OSError and StoreFull leave it as it was."""

    def __init__(self, path: Path, container: Container, track: Track, descriptor: int,
                 samples: Samples, first: tuple[bytes, bool] | None = None) -> None:
        """A file that is there, of these frames; what is behind them is cut off at the next
        step. The descriptor is this object's from now on. `first`: see :meth:`reopen`."""
        self.path = path
        self.samples = samples
        self.ended = False
        """Whether the tail is there and all is synced."""
        self._container = container
        self._track = track
        self._descriptor = descriptor
        self._first = first

    @classmethod
    def create(cls, path: Path, container: Container, track: Track) -> GrowingVideo:
        """A new file with its head; not synced. FileExistsError, OSError, StoreFull: it is not
        there."""
        head = container.head(track)
        descriptor = durable.create(path)
        try:
            durable.write(descriptor, [head], path, len(head))
        except BaseException:
            os.close(descriptor)
            with contextlib.suppress(OSError, StoreError):
                durable.unlink(path, missing_ok=True)
            raise
        return cls(path, container, track, descriptor, Samples(end=len(head)))

    @classmethod
    def reopen(cls, path: Path, container: Container, track: Track, samples: Samples,
               first: tuple[bytes, bool]) -> GrowingVideo:
        """A file that a crash left, to be ended behind these frames. `first`: (packet, key) of the
        first of them. OSError."""
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        return cls(path, container, track, descriptor, samples, first)

    def append(self, position: int, packet: bytes, key: bool) -> int:
        """Write one packet; return the bytes written, frame head included.

        StoreError when the file can hold no more.
        """
        try:
            lead = self._container.lead(self.samples, len(packet))
        except ValueError as error:
            raise StoreError(f"{self.path}: {error}") from error
        head = self._container.frame_head(position, packet, key)
        padding = self._container.padding(len(packet))
        total = len(lead) + len(head) + len(packet) + len(padding)
        self._write([lead + head, packet, padding], total)
        self.samples.add(len(lead), len(head), len(packet), len(padding), key)
        if len(self.samples) == 1:
            self._first = packet, key
        return total

    def append_blank(self, packet: bytes, key: bool) -> None:
        """Write the only packet of a video without frames: readers open none that is empty."""
        self.append(0, packet, key)
        self._first = None

    def take_back(self, written: int) -> None:
        """Undo the last append, which wrote so many bytes."""
        self.samples.drop_last()
        self.samples.end -= written
        self._cut()

    def end(self) -> None:
        """Write the tail, fill in the head and sync; the file is whole then. Idempotent.

        A file's only frame is put in twice, because the imgstore package cannot seek in a video of
        one picture. StoreFull, OSError: the frames are there; it may be tried again. SyncFailed.
        """
        if self.ended:
            return
        self._cut()
        written = 0
        if len(self.samples) == 1 and self._first is not None:
            written = self.append(1, *self._first)
        try:
            ending = self._container.ending(self._track, self.samples)
            self._write([ending.tail], len(ending.tail))
        except (OSError, StoreError):
            if written:
                self.take_back(written)
            raise
        for offset, data in ending.patches:
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            durable.write(self._descriptor, [data], self.path, len(data))
        durable.fsync(self._descriptor, self.path)
        self.ended = True

    def close(self) -> None:
        """Let go of the file as it is. Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        self._first = None
        if descriptor >= 0:
            os.close(descriptor)

    def _write(self, buffers: list[bytes], total: int) -> None:
        try:
            durable.write(self._descriptor, buffers, self.path, total)
        except (OSError, StoreError):
            self._cut()
            raise

    def _cut(self) -> None:
        """Nothing behind the last frame, and there the next one goes. If even that fails (the disk
        is gone), the frame heads still tell what is whole."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, self.samples.end)
            os.lseek(self._descriptor, self.samples.end, os.SEEK_SET)


class WrittenVideo:
    """A file that is looked through. Blocking; a place that cannot be read is a damaged one."""

    def __init__(self, path: Path, container: Container) -> None:
        """Open it. OSError when it is not there."""
        self.path = path
        self._container = container
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # the cache may have what the disk has not
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        self.size = os.fstat(self._descriptor).st_size

    def __enter__(self) -> WrittenVideo:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def head(self) -> tuple[Track, int] | None:
        """(track, length of the head); None when they are damaged."""
        return self._container.read_head(self.read(0, _HEAD_BYTES))

    def whole_frames(self, start: int) -> Iterator[tuple[FrameHead, int]]:
        """(head, offset of the packet) of each frame from `start` on that is whole."""
        at: int | None = start
        while at is not None:
            head = self._container.read_frame_head(
                self.read(at, self._container.frame_head_bytes))
            packet_at = at + self._container.frame_head_bytes
            if head is None or packet_at + head.size > self.size or not self._container.is_whole(
                    head, self.read(packet_at, head.size)):
                at = self._search(at + 1)
                continue
            yield head, packet_at
            at = packet_at + head.size + len(self._container.padding(head.size))

    def ends_as(self, ending: Ending, end: int) -> bool:
        """Whether the file is one that was ended so behind the frames, which go up to `end`."""
        return (self.size == end + len(ending.tail)
                and self.read(end, len(ending.tail)) == ending.tail
                and all(self.read(offset, len(data)) == data for offset, data in ending.patches))

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes; fewer at the end of the file, none where the disk cannot read."""
        parts = []
        with contextlib.suppress(OSError):
            while size > 0 and (part := os.pread(self._descriptor, size, offset)):
                parts.append(part)
                size -= len(part)
                offset += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _search(self, at: int) -> int | None:
        """Where the next frame head may be; None when there is none."""
        marker = self._container.marker
        while at < self.size:
            found = self.read(at, _SEARCH_BYTES).find(marker)
            if found >= 0:
                return at + found
            at += _SEARCH_BYTES - len(marker) + 1
        return None
