"""When the pictures of an MP4 file are shown, from its `ctts` table: without reading the pictures.

FFmpeg's index has what is coded where and when it is decoded, but not when it is shown; where there
are B-frames, a reader would have to go through the whole file for that. Pure reading of bytes; any
thread; blocks for the disk.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_MOST_BYTES = 64 << 20
"""No list of pictures is longer: 8 million of them in one chunk."""
_FULL_BOX = 8
"""Version, flags and number of entries, at the beginning of a table."""


def shown_after_decoding(path: Path, count: int) -> NDArray[np.int64] | None:
    """By how many ticks each of the file's `count` pictures is shown after it is decoded; None
    when the file does not say that for just so many. OSError."""
    moov = _moov(path)
    tracks = [] if moov is None else [content for name, content in _boxes(moov) if name == b"trak"]
    for track in tracks:
        media = _child(track, b"mdia")
        if bytes(_child(media, b"hdlr")[8:12]) == b"vide":
            table = _child(_child(_child(media, b"minf"), b"stbl"), b"ctts")
            return _spread(table, count)
    return None


def _moov(path: Path) -> memoryview | None:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        at = 0
        while at < size:
            name, start, end = _outer_box(file, at, size)
            if name == b"moov":
                file.seek(start)
                return memoryview(file.read(min(end - start, _MOST_BYTES)))
            if end <= at:
                return None
            at = end
    return None


def _outer_box(file: BinaryIO, at: int, size: int) -> tuple[bytes, int, int]:
    """(name, where its content begins, where it ends) of the box at a place in the file."""
    file.seek(at)
    head = file.read(16)
    length, start = int.from_bytes(head[:4], "big"), at + 8
    if length == 1:
        length, start = int.from_bytes(head[8:16], "big"), at + 16
    return head[4:8], start, size if length == 0 else min(at + length, size)


def _boxes(content: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    at = 0
    while at + 8 <= len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        if length < 8:
            return
        yield name, content[at + 8:at + length]
        at += length


def _child(content: memoryview, name: bytes) -> memoryview:
    """The first box of that name in it; an empty one when there is none."""
    return next((inner for found, inner in _boxes(content) if found == name), memoryview(b""))


def _spread(table: memoryview, count: int) -> NDArray[np.int64] | None:
    """One number for each picture from a table of (how many, number)."""
    if len(table) < _FULL_BOX:
        return None
    entries = int.from_bytes(table[4:8], "big")
    if _FULL_BOX + 8 * entries > len(table):
        return None
    rows = np.frombuffer(table[_FULL_BOX:_FULL_BOX + 8 * entries], np.dtype(">i4"))
    repeats, ticks = rows.reshape(-1, 2).T.astype(np.int64)
    if (repeats < 0).any() or int(repeats.sum()) != count:
        return None
    return np.repeat(ticks, repeats)
