"""The pixels of a directory store: from a chunk and a position to an array, one file at a time.

One thread at a time; no descriptor is held between calls. What a path has in common with the one
before (the chunk's directory) is put together once per chunk.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from fieldrec.core.errors import StoreError
from fieldrec.store.chunk_paths import ChunkPaths
from fieldrec.store.frame_files import FrameFiles, frame_files
from fieldrec.store.metadata import StoreMetadata
from fieldrec.store.npy_frames import NpyFiles


class DirectoryFrames:
    """FrameSource of a store that keeps each frame in a file of its own."""

    def __init__(self, metadata: StoreMetadata) -> None:
        """StoreError when the format is not known."""
        self.files: FrameFiles = frame_files(metadata)
        self._read = self.files.read
        self._ending = f".{self.files.extension}"
        self._chunk: ChunkPaths | None = None
        self._prefix = ""

    def read(self, chunk: ChunkPaths, position: int, out: NDArray[Any] | None = None,
             digest: int | None = None) -> NDArray[Any]:
        """The array in the file of this position, with the shape and dtype that the file says.

        Into `out` where it has just these, so look at what is returned. Of npy by one read without
        a copy. StoreDamaged, naming the file: missing, cut, cannot be decoded, or not what `digest`
        says.
        """
        if chunk is not self._chunk:
            self._enter(chunk)
        return self._read(f"{self._prefix}{position:06d}{self._ending}", out, digest)

    def mapped(self, chunk: ChunkPaths, position: int) -> NDArray[Any]:
        """The frame as a read-only view of its file; only pages that are looked at are read.

        Holds a descriptor while the array lives; the file must not be cut meanwhile (SIGBUS).
        StoreError for formats other than npy.
        """
        if not isinstance(self.files, NpyFiles):
            raise StoreError(f"{chunk.frames}: only npy frames can be mapped; read "
                             f"{self.files.extension} frames instead")
        if chunk is not self._chunk:
            self._enter(chunk)
        return self.files.mapped(f"{self._prefix}{position:06d}{self._ending}")

    def close(self) -> None:
        """Nothing is held open."""

    def _enter(self, chunk: ChunkPaths) -> None:
        self._chunk = chunk
        self._prefix = f"{chunk.frames}/"
