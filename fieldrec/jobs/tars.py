"""A store's files as they go to a place where many small files are slow (``raw_as: tar``): the
frames of each chunk as one uncompressed tar beside the chunk's folder, all else as it is.

Blocking; the ``copy`` threads. The tars are made while they are read; each frame is compared with
what was recorded just as in a copy of files, each tar is hashed whole. What is made is the same at
every reading, so that a tar that an earlier try left whole need not be written again.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import xxhash

from fieldrec.core.past_cache import Take, aligned_buffer
from fieldrec.destinations import Destination, File
from fieldrec.jobs import manifest
from fieldrec.jobs.source import SLICE_BYTES, Item, Reader
from fieldrec.store.tar_frames import ENDING
from fieldrec.store.tar_layout import END, Part, TarLayout

_CHUNK = re.compile(r"(?P<chunk>.*?(?P<number>[0-9]{6,}))/(?P<name>[0-9]{6,}\.(?P<form>\w+))")


def wants_tars(destination: Destination) -> bool:
    """Whether stores go there as tars; a destination that does not say takes files."""
    return getattr(destination, "raw_as", "files") == "tar"


@dataclass(frozen=True, slots=True)
class _Inside:
    """What one tar is made of."""

    members: tuple[File, ...]
    layout: TarLayout


class TarSource:
    """The source of an item whose frames are given in tars. As
    :class:`~fieldrec.jobs.source.Reader` otherwise."""

    def __init__(self, item: Item, stop: threading.Event) -> None:
        self._reader = Reader(item, stop)
        self._inside, others = _sorted_out(item, self._reader)
        tars = [_tar(chunk, inside) for chunk, inside in self._inside.items()]
        self._inside = {f"{chunk}{ENDING}": inside for chunk, inside in self._inside.items()}
        self.item = replace(item, files=tuple(sorted([*tars, *others],
                                                     key=lambda file: file.relative)))
        self._digests: dict[str, str] = {}
        self._buffer: memoryview | None = None

    @property
    def files(self) -> Sequence[File]:
        """The tars, and what is in none."""
        return self.item.files

    def slices(self, file: File, take: Take | None = None) -> Iterator[memoryview]:
        """The file's bytes; see :meth:`Reader.slices`."""
        inside = self._inside.get(file.relative)
        if inside is None:
            yield from self._reader.slices(file, take)
            return
        whole = xxhash.xxh64()
        for data in _packed(self._stream(inside), take or self._own_buffer):
            whole.update(data)
            yield data
        self._digests[file.relative] = whole.hexdigest()

    def digest(self, file: File) -> str:
        """XXH64 of it, as it was given, or read for this."""
        if file.relative not in self._inside:
            return self._reader.digest(file)
        if file.relative not in self._digests:
            for _ in self.slices(file):
                pass
        return self._digests[file.relative]

    def _stream(self, inside: _Inside) -> Iterator[memoryview | bytes]:
        for piece in inside.layout.pieces():
            if isinstance(piece, Part):
                yield from self._reader.slices(inside.members[piece.number])
            else:
                yield piece
        yield END

    def _own_buffer(self) -> memoryview:
        if self._buffer is None:
            self._buffer = aligned_buffer(SLICE_BYTES)
        return self._buffer


def _sorted_out(item: Item, reader: Reader) -> tuple[dict[str, _Inside], list[File]]:
    """(what goes into the tar of each chunk's folder, all other files)."""
    chunks: dict[str, list[File]] = {}
    others = []
    for file in item.files if item.kind == manifest.STORE else ():
        match = _CHUNK.fullmatch(file.relative)
        if match is not None and match["form"] == reader.frame_extension:
            chunks.setdefault(match["chunk"], []).append(file)
        else:
            others.append(file)
    for tar in {file.relative for file in others} & {f"{chunk}{ENDING}" for chunk in chunks}:
        others += chunks.pop(tar.removesuffix(ENDING))  # unpacked beside it: both go as they are
    inside = {chunk: _Inside(tuple(members), TarLayout([
        replace(one, relative="/".join(one.relative.rsplit("/", 2)[-2:])) for one in members]))
        for chunk, members in chunks.items()}
    return inside, others if item.kind == manifest.STORE else list(item.files)


def _tar(chunk: str, inside: _Inside) -> File:
    """A tar as a file of the item."""
    return File(f"{chunk}{ENDING}", inside.members[0].base,
                inside.layout.total_bytes + len(END),
                max(member.mtime_ns for member in inside.members))


def _packed(pieces: Iterator[memoryview | bytes], take: Take) -> Iterator[memoryview]:
    """The same bytes, put together in what `take` gives: as many at once as it holds."""
    view, filled = memoryview(b""), 0
    for piece in pieces:
        left = memoryview(piece)
        while left:
            if filled == len(view):
                view, filled = take(), 0
            part = left[:len(view) - filled]
            view[filled:filled + len(part)] = part
            filled += len(part)
            left = left[len(part):]
            if filled == len(view):
                yield view
    if 0 < filled < len(view):
        yield view[:filled]
