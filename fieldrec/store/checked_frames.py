"""The frames of a store, each proven to be what was recorded before it is used.

Blocking, one thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from fieldrec.core.errors import StoreDamaged
from fieldrec.store.frame_files import FrameFiles, frame_files
from fieldrec.store.npy_frames import NpyFiles
from fieldrec.store.reader import StoreReader


class CheckedFrames:
    """Reads as the reader does, and compares with the digest taken when a frame was recorded,
    where there is one."""

    def __init__(self, store: StoreReader) -> None:
        self._store = store
        self._digests = store.digests
        self._files: FrameFiles | None = (
            None if store.metadata.is_video else frame_files(store.metadata))

    def read(self, index: int) -> NDArray[Any]:
        """One frame as it is stored, an array of its own. StoreDamaged names the frame."""
        if self._digests is None or self._files is None:
            return self._store.read(index)
        digest = int(self._digests[index])
        if not isinstance(self._files, NpyFiles):
            return self._read_file(self._files, index, digest)
        pixels = self._store.read(index)
        if xxhash.xxh3_64_intdigest(np.ascontiguousarray(pixels).data) != digest:
            raise self._changed(index)
        return pixels

    def each(self, first: int = 0, end: int | None = None) -> Iterator[NDArray[Any]]:
        """Frames `first` … `end` - 1."""
        return map(self.read, range(first, self._store.frame_count if end is None else end))

    def _read_file(self, files: FrameFiles, index: int, digest: int) -> NDArray[Any]:
        """A frame that is encoded in a file of its own: the digest is of the file."""
        path = self._store.frame_path(index)
        try:
            data = memoryview(path.read_bytes())
        except OSError as error:
            raise StoreDamaged(f"{path}: {error.strerror}: the index lists this frame") from error
        if not files.is_whole(data, digest):
            raise self._changed(index)
        return files.decode(data, path)

    def _changed(self, index: int) -> StoreDamaged:
        return StoreDamaged(f"{self._store.path.name}: frame {index} is not what was recorded (its "
                            "digest differs): run `fieldrec check`")
