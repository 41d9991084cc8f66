"""Frames in .npy files: read with one call, written without a copy, headers never trusted.

One thread at a time: the header buffer is reused. What a recording holds is uniform, so the header
of the frame before is the guess for the next one: a frame that begins with the same bytes is read
by one readv straight into its array, any other is parsed.

Only headers of plain numbers are read, nothing is unpickled or evaluated as code. A header must end
with the newline that the format prescribes: one whose length is wrong by a flipped bit would shift
the pixels.
"""

from __future__ import annotations

import ast
import math
import mmap
import os
import re
import struct
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import xxhash
from numpy.typing import DTypeLike, NDArray

from fieldrec.core.errors import StoreDamaged
from fieldrec.store import layout, tar_frames

Buffer: TypeAlias = Any
"""Bytes, an array, mapped pages: what can be written as it lies in memory."""
AnyPath = str | os.PathLike[str]

_LARGEST_GUESS = 1 << 30
"""Bytes of a frame; memory for more is not taken on the word of metadata alone."""

NUMBERS = "biufc"
"""numpy's kinds of plain numbers: what a frame may consist of."""


@dataclass(frozen=True, slots=True)
class NpyHeader:
    """What an .npy file says of itself."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran_order: bool
    offset: int
    """Where the pixels begin, in bytes."""

    @property
    def pixel_bytes(self) -> int:
        """Bytes of pixels; what follows them in the file is padding."""
        return math.prod(self.shape) * self.dtype.itemsize


class NpyFiles:
    """The frame files of a store of format npy."""

    extension = "npy"
    lossless = True

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        """Of a store that says to hold such frames; others are read and written too."""
        self._written_shape: tuple[int, ...] = shape
        self._written_dtype = np.dtype(dtype)
        self._store_bytes = math.prod(shape) * self._written_dtype.itemsize
        self._written = _in_own_page(layout.npy_header(shape, self._written_dtype.str))
        if self._store_bytes <= _LARGEST_GUESS:
            self._expect(bytes(self._written), shape, self._written_dtype)
        else:
            self._expect(b"", (0,), self._written_dtype)
            self._total = -1  # so that no file is like it

    # --- write ----------------------------------------------------------------------------------

    def buffers(self, pixels: NDArray[Any]) -> tuple[list[Buffer], int]:
        """[header, pixels] and their total size. The pixels are not copied when C-contiguous; the
        header of large frames fills whole pages and lies in pages of its own (O_DIRECT).

        ValueError for what is not an array of plain numbers.
        """
        dtype = pixels.dtype
        if dtype.kind not in NUMBERS:
            raise ValueError(f"a frame of {dtype} cannot be stored: it must consist of numbers")
        shape = pixels.shape
        if shape != self._written_shape or dtype != self._written_dtype:
            self._written = _in_own_page(layout.npy_header(shape, dtype.str))
            self._written_shape, self._written_dtype = shape, dtype
        if not pixels.flags.c_contiguous:
            pixels = pixels.copy("C")
        return [self._written, pixels], len(self._written) + pixels.nbytes

    def digest_of(self, pixels: NDArray[Any]) -> int:
        """XXH3-64 of the bytes of C-contiguous pixels, as they will lie in the file."""
        return xxhash.xxh3_64_intdigest(pixels)  # type: ignore[arg-type]  # a buffer it is

    def digest(self, pixels: NDArray[Any], buffers: list[Buffer]) -> int:
        """XXH3-64 of the pixel bytes as they lie in the file."""
        return xxhash.xxh3_64_intdigest(buffers[1])

    # --- check ----------------------------------------------------------------------------------

    def is_whole(self, data: memoryview, digest: int) -> bool:
        """Whether these are all bytes of a frame with this digest; padding may follow."""
        try:
            _, pixels = self._parts(data)
        except ValueError:
            return False
        return xxhash.xxh3_64_intdigest(pixels) == digest

    def looks_whole(self, data: memoryview) -> bool:
        """Whether the header can be read and as many bytes follow as it asks for."""
        try:
            self._parts(data)
        except ValueError:
            return False
        return True

    # --- read -----------------------------------------------------------------------------------

    def read(self, path: AnyPath, out: NDArray[Any] | None = None, digest: int | None = None
             ) -> NDArray[Any]:
        """The frame in this file, with the shape and dtype that the file says.

        Into `out` when it has just these and is C-contiguous; otherwise `out` is left as it is, or
        overwritten with pixels that do not count. StoreDamaged: missing, cut, no .npy frame, or
        not the pixels whose `digest` is given.
        """
        if (out is None or out.shape != self._shape or out.dtype != self._dtype
                or not out.flags.c_contiguous):
            pixels = np.empty(self._shape, self._dtype)
        else:
            pixels = out
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                got = os.readv(descriptor, (self._head, pixels))  # type: ignore[arg-type]
            finally:
                os.close(descriptor)
        except FileNotFoundError:
            got = -1  # perhaps it is in a tar
        except OSError as error:
            raise unreadable(path, error) from error
        if got != self._total or self._head != self._expected:
            pixels = self._read_any(path, out)
        if digest is not None and _digest_of(pixels) != digest:
            raise changed(path)
        return pixels

    def _read_any(self, path: AnyPath, out: NDArray[Any] | None) -> NDArray[Any]:
        """A frame with another header than the one before, or a broken one."""
        data = read_file(path)
        pixels = self.decode(memoryview(data), path, out)
        header = parse_header(memoryview(data))
        if not header.fortran_order and header.pixel_bytes:
            self._expect(data[:header.offset], header.shape, header.dtype)
        return pixels

    def decode(self, data: memoryview, path: AnyPath, out: NDArray[Any] | None = None
               ) -> NDArray[Any]:
        """The frame in these bytes of a file, as :meth:`read`; `path` is for the error."""
        pixels = self._view(data, path)
        if (out is None or out.shape != pixels.shape or out.dtype != pixels.dtype
                or not out.flags.c_contiguous):
            return pixels.copy("K")
        np.copyto(out, pixels)
        return out

    def mapped(self, path: AnyPath) -> NDArray[Any]:
        """The frame as a read-only view of the file itself: nothing is read until it is looked at.

        Holds one descriptor for as long as the array lives. The file must not be cut meanwhile:
        that kills the process (SIGBUS). StoreDamaged as :meth:`read`.
        """
        try:
            place = tar_frames.file_or_place(path)
            descriptor = os.open(place.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                before = place.begin % mmap.ALLOCATIONGRANULARITY
                size = place.size_bytes + before
                area = memoryview(mmap.mmap(descriptor, size, prot=mmap.PROT_READ,
                                            offset=place.begin - before)
                                  if place.size_bytes else b"")[before:]
            finally:
                os.close(descriptor)
        except OSError as error:
            raise unreadable(path, error) from error
        return self._view(area, path)

    def _view(self, data: memoryview, path: AnyPath) -> NDArray[Any]:
        """The pixels where they lie. StoreDamaged: the header is broken, or pixels are missing."""
        try:
            header, pixels = self._parts(data)
            flat: NDArray[Any] = np.frombuffer(pixels, header.dtype)
            return flat.reshape(header.shape, order="F" if header.fortran_order else "C")
        except ValueError as error:
            raise StoreDamaged(f"{os.fspath(path)}: {error}") from error

    def _parts(self, data: memoryview) -> tuple[NpyHeader, memoryview]:
        """The header and the bytes of the pixels. ValueError, saying what is wrong."""
        try:
            header = parse_header(data)
        except ValueError as error:
            raise ValueError(f"not a whole .npy frame: {error}") from error
        end = header.offset + header.pixel_bytes
        if len(data) < end:
            raise ValueError(f"cut short: {len(data)} of {end} bytes")
        if end < header.offset + self._store_bytes <= len(data):
            raise ValueError(f"its header is damaged: it says {header.dtype} {header.shape}, but "
                             "a whole frame of the store follows")
        return header, data[header.offset:end]

    def _expect(self, header: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._expected = header
        self._head = bytearray(len(header))
        self._shape, self._dtype = shape, dtype
        self._total = len(header) + math.prod(shape) * dtype.itemsize


def _in_own_page(header: bytes) -> bytes | mmap.mmap:
    """The header in memory of its own page where it is whole pages: O_DIRECT asks for it."""
    if len(header) % layout.PAGE_BYTES:
        return header
    page = mmap.mmap(-1, len(header))
    page[:] = header
    return page


# --- headers -----------------------------------------------------------------------------------

_MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 10_000
"""As numpy has it: what is longer is no frame of anybody's."""
_MOST_DIMENSIONS = 32
_USUAL = re.compile(
    rb"\{'descr': '([<>|=]?[biufc]\d{1,2})', 'fortran_order': (False|True), "
    rb"'shape': \(((?:\d{1,10}L?, ?)*(?:\d{1,10}L?)?)\),? ?\} *\n\Z")


def parse_header(data: memoryview) -> NpyHeader:
    """Header of an .npy file of version 1, 2 or 3. ValueError: cut, damaged, or not of numbers."""
    start = bytes(data[:12])
    if len(start) < 10 or start[:6] != _MAGIC:
        raise ValueError(f"{len(data)} bytes, no .npy header" if len(data) < 10
                         else "it does not begin like one")
    if start[6] == 1:
        begin, length = 10, struct.unpack_from("<H", start, 8)[0]
    elif start[6] in (2, 3) and len(start) == 12:
        begin, length = 12, struct.unpack_from("<I", start, 8)[0]
    else:
        raise ValueError(f"version {start[6]} of the format is not known")
    if length > _LONGEST_HEADER:
        raise ValueError(f"a header of {length} bytes is not a frame's")
    text = bytes(data[begin:begin + length])
    if len(text) < length:
        raise ValueError(f"the header is cut short: {len(data)} bytes")
    if text[-1:] != b"\n":
        raise ValueError("the header does not end where it says")
    header = _parse_usual(text, begin + length) or _parse_unusual(text, begin + length)
    if len(header.shape) > _MOST_DIMENSIONS or math.prod(n or 1 for n in header.shape) > 1 << 50:
        raise ValueError("its shape is not a frame's")
    return header


def _parse_usual(text: bytes, offset: int) -> NpyHeader | None:
    """What numpy, fieldrec and most others write, told by sight."""
    match = _USUAL.match(text)
    if match is None:
        return None
    descr, order, extents = match.groups()
    shape = tuple(int(extent.rstrip(b"L ")) for extent in extents.split(b",") if extent.strip())
    return NpyHeader(shape, _number_dtype(descr.decode()), order == b"True", offset)


def _parse_unusual(text: bytes, offset: int) -> NpyHeader:
    """Other spellings of the same three keys: a literal, in any order and spacing."""
    if b"\\" in text:  # Python would warn of unknown escapes, aloud
        raise ValueError("the header cannot be understood")
    try:
        found = ast.literal_eval(text.decode("utf-8").strip())
        descr, order, shape = found["descr"], found["fortran_order"], found["shape"]
    except Exception as error:  # damaged text makes it raise half a dozen kinds
        raise ValueError(f"the header cannot be understood: {type(error).__name__}") from error
    if not (type(descr) is str and type(order) is bool and type(shape) is tuple
            and len(found) == 3 and all(type(extent) is int and extent >= 0 for extent in shape)):
        raise ValueError("the header does not describe an array of numbers")
    return NpyHeader(shape, _number_dtype(descr), order, offset)


def _number_dtype(descr: str) -> np.dtype[Any]:
    try:
        dtype = np.dtype(descr)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the header's dtype {descr!r} is not known") from error
    if dtype.kind not in NUMBERS:
        raise ValueError(f"it holds {dtype}, not numbers")
    return dtype


# --- files -------------------------------------------------------------------------------------

def read_file(path: AnyPath) -> bytes:
    """A whole frame file with one read. StoreDamaged, naming it, when that cannot be done."""
    try:
        return tar_frames.file_or_place(path).read()
    except OSError as error:
        raise unreadable(path, error) from error


def changed(path: AnyPath) -> StoreDamaged:
    """A frame file that is whole, but not what was recorded."""
    return StoreDamaged(f"{os.fspath(path)}: not what was recorded: its digest differs from the "
                        "index's; put it back from a copy")


def _digest_of(pixels: NDArray[Any]) -> int:
    """XXH3-64 of the pixels as they lay in the file."""
    if not pixels.flags.c_contiguous:  # the file has them in Fortran order
        pixels = pixels.T
    return xxhash.xxh3_64_intdigest(pixels.data)


def unreadable(path: AnyPath, error: OSError) -> StoreDamaged:
    """The operating system's error about a frame file in our words."""
    return StoreDamaged(f"{os.fspath(path)}: {error.strerror or error}: "
                        "the index lists this frame")
