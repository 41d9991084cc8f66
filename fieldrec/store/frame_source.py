"""What a reader needs of a store's pixels, whether they lie in files of their own or in videos."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

from fieldrec.store.chunk_paths import ChunkPaths


class FrameSource(Protocol):
    """The pixels of one store. One thread at a time; blocks for the disk and the decoder."""

    def read(self, chunk: ChunkPaths, position: int, out: NDArray[Any] | None = None,
             digest: int | None = None) -> NDArray[Any]:
        """The array stored at this position (0 …) of the chunk, before any `encoding` is decoded.

        Into `out` (C-contiguous, of the store's shape and dtype) where given, else into an array
        of its own. StoreDamaged, naming the file and the position, when it is missing, cut, cannot
        be decoded, or is not what `digest` (the index's, where there is one) says; the next call
        may read another frame.
        """
        ...

    def close(self) -> None:
        """Let go of what is held open. Idempotent; a later `read` opens it again."""
        ...
