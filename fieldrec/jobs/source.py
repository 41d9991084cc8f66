"""The files of a recording as they are copied: listed, read once, hashed while read.

Blocking; ``copy`` thread. Nothing is written. Every file is read through one generator that hashes
it, checks each frame's pixels against the digest that the store thread took when the frame arrived
(end to end, from the ring to the destination), notices that a file changed under it, and stops at a
slice when asked to.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import struct
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import xxhash

from fieldrec.core.errors import FieldrecError, StateError, StoreDamaged
from fieldrec.core.model import Recording, RecordingState
from fieldrec.core.past_cache import PastCache, Take, aligned_buffer
from fieldrec.destinations import Expected, File
from fieldrec.jobs import manifest
from fieldrec.mhl import FOLDER as HISTORY
from fieldrec.store import layout
from fieldrec.store.chunk_paths import chunk_paths
from fieldrec.store.indexing.chunk_index import read_rows
from fieldrec.store.indexing.compact_index import COMPACT_NAME
from fieldrec.store.metadata import store_metadata
from fieldrec.store.reader import read_metadata

SLICE_BYTES = 4 * 1024 * 1024
"""Between two looks at the stop flag; also what one read asks for."""
_NUMBER = re.compile(r"[0-9]{6,}\Z")
_NOT_COPIED = frozenset({layout.RESERVE_NAME, COMPACT_NAME})
"""Room kept for closing, and the compact index, which whoever reads the copy makes anew (and which
may come and go in a finished store)."""
_TEMPORARY = re.compile(r"\..*\.tmp\Z")


class Stopped(Exception):
    """The stop flag was set; everything done so far is kept for the next try."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to copy: a raw store, or an export."""

    kind: str
    """manifest.STORE or manifest.EXPORT."""
    stem: str
    """The recording's name; where it is taken at the destination, a suffix goes after this."""
    extension: str
    """".high.mp4" of an export, "" of a store."""
    path: Path
    files: tuple[File, ...]
    sidecar: bytes | None = None
    """An export's manifest, carried over as it is."""

    @property
    def total_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


def items_of(recording: Recording) -> list[Item]:
    """What there is to copy of a recording. StateError when its raw is there but not complete."""
    items = []
    if recording.has_raw:
        if recording.state is not RecordingState.COMPLETE:
            raise StateError(f"{recording.name} is {recording.state.value}, not complete; "
                             "it can be copied once it is")
        items.append(Item(manifest.STORE, recording.name, "", recording.path,
                          store_files(recording.path)))
    items.extend(_export_item(recording, export.path) for export in recording.exports)
    return items


def store_files(root: Path) -> tuple[File, ...]:
    """Every file of a store, sorted. StateError while it has a lock (I1); StoreDamaged for
    anything in it that is neither file nor directory.

    `relative` begins with the store's name: at a destination the store is a folder in a folder, and
    its history lies beside it, for imgstore opens no store that has a folder ``ascmhl/`` in it. One
    that somebody made in the store is no data and stays behind.
    """
    found: list[File] = []
    try:
        _list(root, found)
    except OSError as error:
        raise StoreDamaged(f"{root}: cannot be read: {error}") from error
    return tuple(sorted(found, key=lambda file: file.relative))


def changed_since(item: Item) -> str | None:
    """What differs now from the listing (name, size or time of a file), in words; None if nothing
    does. Asked before a source is deleted (I5)."""
    if item.kind == manifest.STORE:
        now = {file.relative: file for file in store_files(item.path)}
    else:
        now = {"": _single(item.path)}
    before = {file.relative: file for file in item.files}
    for relative in sorted(before.keys() | now.keys()):
        if before.get(relative) != now.get(relative):
            return str(item.path.parent / relative) if relative else str(item.path)
    return None


class Reader:
    """The source of an item's files for a destination; remembers their digests by `relative`."""

    def __init__(self, item: Item, stop: threading.Event) -> None:
        self.item = item
        self.digests: dict[str, str] = {}
        self._stop = stop
        self._buffer: memoryview | None = None
        self._frames_of: tuple[str, Mapping[int, int]] = ("", {})

    @property
    def files(self) -> Sequence[File]:
        """As listed."""
        return self.item.files

    def slices(self, file: File, take: Take | None = None) -> Iterator[memoryview]:
        """The file's bytes. StoreDamaged when it cannot be read, changed since it was listed, or
        is a frame whose pixels are not those that the camera gave; Stopped when asked to stop."""
        whole = xxhash.xxh64()
        path = file.path
        pixels = frame_hash(path) if self._frame_digest(file) is not None else None
        try:
            opened = PastCache(lambda flags: os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags))
            with contextlib.closing(opened):
                for data in opened.slices(take or self._own_buffer):
                    check(self._stop)
                    whole.update(data)
                    if pixels is not None:
                        pixels.update(data)
                    yield data
                status = os.fstat(opened.descriptor)
                opened.forget()  # what was read once is not read again soon
        except OSError as error:
            raise StoreDamaged(f"{path}: cannot be read: {error.strerror}") from error
        if (status.st_size, status.st_mtime_ns) != (file.size_bytes, file.mtime_ns):
            raise StoreDamaged(f"{path} changed while it was copied; nothing was committed")
        self._check_frame(file, pixels)
        self.digests[file.relative] = whole.hexdigest()

    def digest(self, file: File) -> str:
        """XXH64 of a source file, reading it unless that was done already."""
        if file.relative not in self.digests:
            for _ in self.slices(file):
                pass
        return self.digests[file.relative]

    def _own_buffer(self) -> memoryview:
        if self._buffer is None:
            self._buffer = aligned_buffer(SLICE_BYTES)
        return self._buffer

    def _frame_digest(self, file: File) -> int | None:
        directory, _, name = file.relative.rpartition("/")
        chunk = directory.rpartition("/")[2]
        position, _, extension = name.partition(".")
        if not (_NUMBER.match(chunk) and _NUMBER.match(position)
                and extension == self.frame_extension):
            return None
        if self._frames_of[0] != chunk:
            self._frames_of = (chunk, frame_digests(self.item.path / chunk))
        return self._frames_of[1].get(int(position))

    @functools.cached_property
    def frame_extension(self) -> str:
        """Of the files that hold frames. StoreDamaged when the store does not say."""
        try:
            return store_metadata(read_metadata(self.item.path)[0]).format
        except (FieldrecError, ValueError) as error:
            raise StoreDamaged(f"{self.item.path}: {error}") from error

    def _check_frame(self, file: File, pixels: FramePixels | WholeFile | None) -> None:
        if pixels is not None and pixels.digest() != self._frame_digest(file):
            raise StoreDamaged(f"{file.path}: the frame's pixels are not those that were recorded "
                               "(digest differs); nothing was committed")


class Some:
    """Some of the files that are expected."""

    def __init__(self, expected: Expected, relatives: Collection[str]) -> None:
        self.files = [file for file in expected.files if file.relative in relatives]
        self.digest = expected.digest


class FramePixels:
    """XXH3-64 of what follows the header of a .npy file that arrives in slices."""

    def __init__(self) -> None:
        self._hash: xxhash.xxh3_64 | None = None

    def update(self, data: memoryview) -> None:
        """The next slice; the first one holds the header."""
        if self._hash is not None:
            self._hash.update(data)
        elif (start := header_bytes(bytes(data[:12]))) is not None:
            self._hash = xxhash.xxh3_64(data[start:])

    def digest(self) -> int | None:
        """None when the file had no whole header."""
        return None if self._hash is None else self._hash.intdigest()


class WholeFile:
    """XXH3-64 of a frame file that arrives in slices: what is kept of pictures (png, jpg …)."""

    def __init__(self) -> None:
        self._hash = xxhash.xxh3_64()

    def update(self, data: memoryview) -> None:
        """The next slice."""
        self._hash.update(data)

    def digest(self) -> int | None:
        """Of what has arrived."""
        return self._hash.intdigest()


def frame_hash(path: Path) -> FramePixels | WholeFile:
    """What takes the digest that the store keeps of a frame file of this kind."""
    return FramePixels() if path.suffix == ".npy" else WholeFile()


def header_bytes(head: bytes) -> int | None:
    """Where the pixels begin in a .npy file, from its first bytes; None if that is not one."""
    if len(head) < 12 or head[:6] != b"\x93NUMPY":
        return None
    if head[6] == 1:
        return 10 + int(struct.unpack_from("<H", head, 8)[0])
    return 12 + int(struct.unpack_from("<I", head, 8)[0])


def frame_digests(chunk: Path) -> dict[int, int]:
    """Digest by position of the frames in a chunk's directory; empty for stores by others."""
    try:
        rows = read_rows(chunk_paths(chunk.parent, int(chunk.name)))
    except FileNotFoundError:
        return {}
    return {} if rows.digests is None else dict(enumerate(rows.digests.tolist()))


def check(stop: threading.Event) -> None:
    """Raise Stopped when the flag is set."""
    if stop.is_set():
        raise Stopped


def _export_item(recording: Recording, path: Path) -> Item:
    sidecar = path.with_name(path.name + ".json")
    try:
        data = sidecar.read_bytes()
    except OSError as error:
        raise StoreDamaged(f"{sidecar}: cannot be read: {error.strerror}") from error
    extension = path.name.removeprefix(recording.name)
    stem = recording.name if extension != path.name else path.name
    return Item(manifest.EXPORT, stem, extension if stem != path.name else "", path,
                (_single(path),), data)


def _list(root: Path, found: list[File]) -> None:
    folders = [""]
    while folders:
        inside = folders.pop()
        with os.scandir(root / inside) as entries:
            for entry in entries:
                relative = inside + entry.name
                if entry.is_dir(follow_symlinks=False):
                    if relative != HISTORY:
                        folders.append(f"{relative}/")
                elif _is_data(entry, relative, root):
                    status = entry.stat(follow_symlinks=False)
                    found.append(File(f"{root.name}/{relative}", root.parent, status.st_size,
                                      status.st_mtime_ns))


def _is_data(entry: os.DirEntry[str], relative: str, root: Path) -> bool:
    if not entry.is_file(follow_symlinks=False):
        raise StoreDamaged(f"{entry.path} is neither a file nor a directory; remove it from the "
                           "store")
    if relative == layout.LOCK_NAME:
        raise StateError(f"{root} has a {layout.LOCK_NAME}: it is not complete")
    return relative not in _NOT_COPIED and not _TEMPORARY.match(entry.name)


def _single(path: Path) -> File:
    try:
        status = path.lstat()
    except OSError as error:
        raise StoreDamaged(f"{path}: cannot be read: {error.strerror}") from error
    return File("", path, status.st_size, status.st_mtime_ns)
