"""Whether the bytes of a png, jpg, bmp, tif, pgm or ppm are all there, told by their structure.

OpenCV's decoders differ by version in what they make of a cut file: some return a picture that is
grey from the cut on. These checks do not. They cost far less than decoding. A png has checksums,
so flipped bits are noticed too; in the other formats a flipped bit among the pixels is just another
picture, which only a digest tells. Pure functions, any thread.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable

_CUT = "cut short"


def problem(data: memoryview) -> str | None:
    """What keeps this from being a whole picture file, None when nothing does.

    The kind is told by its first bytes, as OpenCV does, not by a file's name.
    """
    start = bytes(data[:4])
    for begins, check in _CHECKS:
        if start.startswith(begins):
            try:
                found = check(data)
            except (struct.error, IndexError):
                found = _CUT
            return f"{found} ({len(data)} bytes are there)" if found == _CUT else found
    return f"{len(data)} bytes that do not begin like a picture"


# --- png ---------------------------------------------------------------------------------------

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def _png(data: memoryview) -> str | None:
    """Every chunk up to IEND must be there, with the right checksum."""
    if bytes(data[:8]) != _PNG_MAGIC:
        return "damaged in its first bytes"
    at = len(_PNG_MAGIC)
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            return _CUT
        if zlib.crc32(data[at + 4:end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            return f"damaged: a wrong checksum at byte {at}"
        if kind == b"IEND":
            return None
        at = end


# --- jpg ---------------------------------------------------------------------------------------

_JPG_END = re.compile(rb"\xff\xd9")
_JPG_SCAN, _JPG_EOI, _JPG_FILL = 0xDA, 0xD9, 0xFF
_JPG_BARE = frozenset((0x01, *range(0xD0, 0xD9)))
"""Markers without a length."""
_PADDING = b"\0\xff\r\n "


def _jpg(data: memoryview) -> str | None:
    """The segments up to the picture must follow each other, and its end must be the file's."""
    at = 2
    while True:
        marker = data[at + 1]
        if data[at] != _JPG_FILL or marker == _JPG_EOI:
            return f"damaged at byte {at}"
        if marker == _JPG_FILL:
            at += 1
        elif marker in _JPG_BARE:
            at += 2
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
            if marker == _JPG_SCAN:
                return _jpg_scan(data, at)


def _jpg_scan(data: memoryview, at: int) -> str | None:
    """From the first scan on the end marker stands for nothing but the end."""
    found = _JPG_END.search(data, at)
    if found is None:
        return _CUT
    if bytes(data[found.end():]).strip(_PADDING):
        return f"damaged: it ends at byte {found.end()}, but goes on"
    return None


# --- bmp ---------------------------------------------------------------------------------------

_BMP_OLD_HEADER = 12
_BMP_PLAIN = (0, 3, 6)
"""Compressions that are none: the size follows from width, height and depth."""


def _bmp(data: memoryview) -> str | None:
    size, pixels_at, header = struct.unpack_from("<I4xII", data, 2)
    if header == _BMP_OLD_HEADER:
        width, height, bits = struct.unpack_from("<HH2xH", data, 18)
        compression = 0
    else:
        width, height, bits, compression = struct.unpack_from("<ii2xHI", data, 18)
    if compression in _BMP_PLAIN:
        size = pixels_at + (width * bits + 31) // 32 * 4 * abs(height)
    if width < 1 or height == 0:
        return f"damaged: a picture of {width} x {height} pixels"
    return _CUT if len(data) < size else None


# --- pgm, ppm ----------------------------------------------------------------------------------

_PNM_GAP = rb"(?:\s|#[^\n\r]*[\n\r])+"
_PNM_HEADER = re.compile(rb"P([2356])" + _PNM_GAP + rb"(\d{1,9})" + _PNM_GAP + rb"(\d{1,9})"
                         + _PNM_GAP + rb"(\d{1,5})\s")
_PNM_LONGEST_HEADER = 4096


def _pnm(data: memoryview) -> str | None:
    """Binary: as many bytes as the header asks for. Text: as many numbers."""
    header = _PNM_HEADER.match(bytes(data[:_PNM_LONGEST_HEADER]))
    if header is None:
        return "damaged, or cut short: its header cannot be read"
    kind = int(header[1])
    width, height, largest = (int(text) for text in header.groups()[1:])
    values = width * height * (3 if kind in (3, 6) else 1)
    if values == 0 or not 0 < largest < 65536:
        return f"damaged: {width} x {height} pixels up to {largest}"
    if kind in (2, 3):
        return _CUT if len(bytes(data[header.end():]).split()) < values else None
    needed = header.end() + values * (1 if largest < 256 else 2)
    return _CUT if len(data) < needed else None


# --- tif ---------------------------------------------------------------------------------------

_TIF_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
              16: 8, 17: 8, 18: 8}
_TIF_LETTERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_TIF_STRIPS, _TIF_TILES = (273, 279), (324, 325)
"""Tags of where the pieces of the picture lie, and of how long they are."""
_TIF_BIG = 43
_TIF_MOST_ENTRIES = 4096


def _tif(data: memoryview) -> str | None:
    """The first directory and everything that it points at must lie in the file."""
    order = "<" if data[0] == ord("I") else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == _TIF_BIG
    count_as, entry_as, place_as = ("Q", "HHQ", "Q") if big else ("H", "HHI", "I")
    at = struct.unpack_from(order + place_as, data, 8 if big else 4)[0]
    if at < 8 or at > len(data):
        return _CUT
    count = struct.unpack_from(order + count_as, data, at)[0]
    if not 0 < count <= _TIF_MOST_ENTRIES:
        return f"damaged: {count} entries in its directory"
    at += struct.calcsize(order + count_as)
    inline = struct.calcsize(place_as)
    entry_size = struct.calcsize(order + entry_as) + inline
    found: dict[int, tuple[int, ...]] = {}
    for entry in range(at, at + count * entry_size, entry_size):
        tag, kind, number = struct.unpack_from(order + entry_as, data, entry)
        place = entry + entry_size - inline
        if number * _TIF_SIZES.get(kind, 1) > inline:
            place = struct.unpack_from(order + place_as, data, place)[0]
            if place + number * _TIF_SIZES.get(kind, 1) > len(data):
                return _CUT
        if tag in (*_TIF_STRIPS, *_TIF_TILES) and kind in _TIF_LETTERS:
            found[tag] = struct.unpack_from(f"{order}{number}{_TIF_LETTERS[kind]}", data, place)
    struct.unpack_from(order + place_as, data, at + count * entry_size)  # where the next one is
    return _tif_pieces(found, len(data))


def _tif_pieces(found: dict[int, tuple[int, ...]], size: int) -> str | None:
    places_tag, lengths_tag = _TIF_TILES if _TIF_TILES[0] in found else _TIF_STRIPS
    places, lengths = found.get(places_tag, ()), found.get(lengths_tag, ())
    if not places or len(places) != len(lengths):
        return "damaged: its directory does not say where the picture is"
    if any(place + length > size for place, length in zip(places, lengths, strict=True)):
        return _CUT
    return None


_CHECKS: tuple[tuple[bytes | tuple[bytes, ...], Callable[[memoryview], str | None]], ...] = (
    (_PNG_MAGIC[:4], _png), (b"\xff\xd8", _jpg), (b"BM", _bmp),
    ((b"P2", b"P3", b"P5", b"P6"), _pnm),
    ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tif))
