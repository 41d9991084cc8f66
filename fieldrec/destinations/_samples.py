"""The second look: pieces of what was written, remembered, and read again after the last byte.

Pure but for the reading. A copy that is read back as it is written (ReadBack.AS_WRITTEN) finds
every byte that arrived wrong or not at all. What it cannot see is a byte that was right then and is
overwritten by a later one: a counterfeit drive, which tells a size that it does not have and begins
again at its front. So pieces are looked at once more when everything was written: one in each
STEP_BYTES, the first and the last among them.

What this finds: every loss that covers STEP_BYTES on end of what the item has written, wherever it
lies, and any that reaches the item's beginning, where drives wrap around to. What it does not find:
less than that in the middle of an item, or in what lay on the drive before. A drive lies by
gigabytes, and wraps onto its own file system first. Whoever lets a source go for a copy asks for
more: everything read back after the last byte (ReadBack.AT_THE_END).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

import xxhash

from fieldrec.core.past_cache import aligned_buffer
from fieldrec.destinations._item_files import ItemFiles, named

STEP_BYTES = 16 * 1024 * 1024
LEAST_STEP_BYTES = 1024 * 1024
LEAST_PIECES = 64
"""In a smaller item they lie closer, down to LEAST_STEP_BYTES."""
PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Piece:
    """So many bytes of a file, at a place that is a multiple of 4096, and their XXH3."""

    relative: str
    at: int
    length: int
    digest: int


class Samples:
    """Of one item that is being written."""

    def __init__(self, total_bytes: int) -> None:
        self.pieces: list[Piece] = []
        self._step = min(STEP_BYTES, max(total_bytes // LEAST_PIECES, LEAST_STEP_BYTES))
        self._written = 0
        self._next = 0
        self._last: Piece | None = None

    def note(self, relative: str, at: int, data: memoryview) -> None:
        """These bytes were written to this place of a file."""
        inside = (self._next - self._written) // PIECE_BYTES * PIECE_BYTES
        if inside < len(data):
            self.pieces.append(_piece(relative, at, data, max(inside, 0)))
            self._next = self._written + max(inside, 0) + self._step
        if data:
            self._last = _piece(relative, at, data, (len(data) - 1) // PIECE_BYTES * PIECE_BYTES)
        self._written += len(data)

    def all(self) -> list[Piece]:
        """With the last one that was written."""
        return [*self.pieces, *([] if self._last is None else [self._last])]


def differ(pieces: Iterable[Piece], files: ItemFiles) -> list[str]:
    """Files, by `relative`, with a piece that the medium has otherwise now."""
    found = []
    view = aligned_buffer(PIECE_BYTES)
    for piece in pieces:
        with (named(piece.relative),
              contextlib.closing(files.read(piece.relative)) as file):
            count = file.read(view, piece.at)
        if (count < piece.length
                or xxhash.xxh3_64_intdigest(view[:piece.length]) != piece.digest):
            found.append(piece.relative)
    return found


def _piece(relative: str, at: int, data: memoryview, inside: int) -> Piece:
    part = data[inside:inside + PIECE_BYTES]
    return Piece(relative, at + inside, len(part), xxhash.xxh3_64_intdigest(part))
