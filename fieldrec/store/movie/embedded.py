"""Where an exported movie carries what its sidecar says: found without FFmpeg, by the bytes.

Matroska has it as an attachment named "fieldrec.json", MP4 as a box of type ``uuid`` after
everything else, AVI as a ``JUNK`` chunk behind its RIFF lists; players pass over all three. Pure
reading, any thread; blocks for a few small reads and the content itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

ATTACHMENT_NAME = "fieldrec.json"
ATTACHMENT_TYPE = "binary"
"""A name that libavformat knows: of any other, JSON's too, ffmpeg and ffprobe say with a warning of
two lines that the file has an unknown codec in it."""
MP4_UUID = bytes.fromhex("7c2a0e5f9d3b4b1e8a64f1c05d9e7b32")
"""Of our box; any number that nobody else uses."""
AVI_MARK = b"fieldrec.json\0"
"""What our JUNK chunk begins with."""
MOST_BYTES = 512 << 20
"""More than this is no content of ours: 8 h at 200 Hz take about 20 MB."""

_MOST_PARTS = 100_000
"""Outermost parts that are looked at: a file that has more is made of fragments, by others."""
_EBML, _SEGMENT, _CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675
_SEEK_HEAD, _SEEK, _SEEK_ID, _SEEK_POSITION = 0x114D9B74, 0x4DBB, 0x53AB, 0x53AC
_ATTACHMENTS, _FILE, _FILE_NAME, _FILE_DATA = 0x1941A469, 0x61A7, 0x466E, 0x465C

Span = tuple[int, int]
"""Where something begins and ends in the file."""


def embedded(path: Path) -> bytes | None:
    """The content that the movie at `path` carries; None when it carries none. OSError."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(12)
        if head[:4] == _EBML.to_bytes(4, "big"):
            span = _in_matroska(file, size)
        elif head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            span = _in_avi(file, size)
        else:
            span = _in_mp4(file, size)
        if span is None or not 0 < span[1] - span[0] <= MOST_BYTES or span[1] > size:
            return None
        file.seek(span[0])
        return file.read(span[1] - span[0])


def _in_mp4(file: BinaryIO, size: int) -> Span | None:
    at = 0
    for _ in range(_MOST_PARTS):
        file.seek(at)
        head = file.read(32)
        length, begin = int.from_bytes(head[:4], "big"), 8
        if length == 1:
            length, begin = int.from_bytes(head[8:16], "big"), 16
        elif length == 0:
            length = size - at
        if len(head) < 8 or length < 8 or at + length > size:
            return None
        if head[4:8] == b"uuid" and head[begin:begin + 16] == MP4_UUID:
            return at + begin + 16, at + length
        at += length
    return None


def _in_avi(file: BinaryIO, size: int) -> Span | None:
    at = 0
    for _ in range(_MOST_PARTS):
        file.seek(at)
        head = file.read(8 + len(AVI_MARK))
        length = int.from_bytes(head[4:8], "little")
        if len(head) < 8 or length < 4 or at + 8 + length > size:
            return None
        if head[:4] == b"JUNK" and head[8:] == AVI_MARK:
            return at + len(head), at + 8 + length
        at += 8 + length + length % 2
    return None


# --- Matroska ----------------------------------------------------------------------------------

def _in_matroska(file: BinaryIO, size: int) -> Span | None:
    """In front of the first cluster, where FFmpeg puts attachments, or where the SeekHead says."""
    segment = next((span for name, span in _elements(file, 0, size) if name == _SEGMENT), None)
    if segment is None:
        return None
    listed: list[int] = []
    for name, span in _elements(file, *segment):
        if name == _ATTACHMENTS:
            return _attachment(file, span)
        if name == _SEEK_HEAD:
            listed = _attachments_at(file, span)
        if name == _CLUSTER:
            break
    for at in listed:
        for name, span in _elements(file, segment[0] + at, segment[1]):
            if name == _ATTACHMENTS:
                return _attachment(file, span)
            break
    return None


def _attachments_at(file: BinaryIO, seek_head: Span) -> list[int]:
    """Positions of attachments that the SeekHead tells, counted from the segment's beginning."""
    found = []
    for name, span in _elements(file, *seek_head):
        if name == _SEEK:
            told = {name: _bytes(file, span, 8) for name, span in _elements(file, *span)}
            if told.get(_SEEK_ID) == _ATTACHMENTS.to_bytes(4, "big"):
                found.append(int.from_bytes(told.get(_SEEK_POSITION, b""), "big"))
    return found


def _attachment(file: BinaryIO, attachments: Span) -> Span | None:
    for name, span in _elements(file, *attachments):
        if name != _FILE:
            continue
        parts = dict(_elements(file, *span))
        told = _bytes(file, parts.get(_FILE_NAME, (0, 0)), 64)
        if told.rstrip(b"\0") == ATTACHMENT_NAME.encode():
            return parts.get(_FILE_DATA)
    return None


def _elements(file: BinaryIO, at: int, end: int) -> Iterator[tuple[int, Span]]:
    """(id, where its content lies) of the elements between two places; an unknown size reaches to
    the end. Ends at what is no element."""
    for _ in range(_MOST_PARTS):
        if at >= end:
            return
        file.seek(at)
        head = file.read(12)
        id_width = _width(head[:1], 4)
        size_width = _width(head[id_width:id_width + 1], 8)
        if not id_width or not size_width or len(head) < id_width + size_width:
            return
        length = int.from_bytes(head[id_width:id_width + size_width], "big")
        length &= (1 << 7 * size_width) - 1
        begin = at + id_width + size_width
        if length == (1 << 7 * size_width) - 1:
            length = end - begin
        if begin + length > end:
            return
        yield int.from_bytes(head[:id_width], "big"), (begin, begin + length)
        at = begin + length


def _width(first: bytes, most: int) -> int:
    """How many bytes a number has that begins with this one; 0 for none."""
    width = 9 - first[0].bit_length() if first else 0
    return width if width <= most else 0


def _bytes(file: BinaryIO, span: Span, most: int) -> bytes:
    file.seek(span[0])
    return file.read(min(span[1] - span[0], most))
