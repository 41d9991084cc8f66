"""The frame number inside the picture: as cells for machines and as digits for people.

Pure functions on arrays, any thread, no I/O. A machine reads the number back from a decoded,
lossily compressed frame: that is how an export is shown to hold the frames it says it holds.

Layout, from the top left corner: square cells, black or white, wrapped into as many rows as the
width needs: 8 cells of marker, 32 of number (most significant first), 8 of CRC. The cell is 16, 8
or 4 pixels wide, the largest that keeps the rows within the upper quarter of the picture; so the
shape alone tells a reader where to look. Only luma carries information: 4:2:0 does no harm.
Below the cells: eight decimal digits.
"""

from __future__ import annotations

import functools
import zlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]

MIN_WIDTH, MIN_HEIGHT = 64, 48
"""Smallest picture in which the cells and the digits have room."""

_MARKER = 0b10110010
_CELLS = 48
_CELL_SIZES = (16, 8, 4)
_DIGITS = 8
_CERTAIN = 0.35
"""A cell counts as black below this part of full scale, as white above one minus it."""

# 3 x 5 dots per digit, rows from the top, most significant bit left.
_FONT = (0b111_101_101_101_111, 0b010_110_010_010_111, 0b111_001_111_100_111,
         0b111_001_111_001_111, 0b101_101_111_001_001, 0b111_100_111_001_111,
         0b111_100_111_101_111, 0b111_001_010_010_010, 0b111_101_111_101_111,
         0b111_101_111_001_111)


class _Layout(NamedTuple):
    cell: int
    rows: int
    columns: int
    scale: int


def burn_number(pixels: Pixels, number: int) -> None:
    """Write `number` (modulo 2**32) into `pixels` in place, as cells and as digits.

    `pixels`: (h, w) or (h, w, 3), uint8 or uint16, at least MIN_WIDTH x MIN_HEIGHT (ValueError).
    Touches less than a quarter of the picture and allocates nothing of its size.
    """
    layout = _layout(pixels.shape[0], pixels.shape[1])
    number &= 0xFFFFFFFF
    bits = _bits(number, layout.rows * layout.columns).astype(pixels.dtype)
    bits *= _white(pixels.dtype)
    cells = _cells(pixels, layout)
    cells[...] = bits.reshape((layout.rows, 1, layout.columns, 1) + (1,) * (pixels.ndim - 2))
    _draw_digits(pixels, number, layout)


def read_number(pixels: Pixels) -> int | None:
    """The number burnt into `pixels`, or None when there is none that can be trusted.

    Takes the same arrays as :func:`burn_number`, also after lossy compression at the same size.
    None for pictures without marker, with cells that are neither black nor white, or a wrong CRC.
    """
    if pixels.ndim not in (2, 3) or pixels.shape[0] < MIN_HEIGHT or pixels.shape[1] < MIN_WIDTH:
        return None
    layout = _layout(pixels.shape[0], pixels.shape[1])
    edge = layout.cell // 4
    inner = _cells(pixels, layout)[:, edge:layout.cell - edge, :, edge:layout.cell - edge]
    axes = (1, 3) if pixels.ndim == 2 else (1, 3, 4)
    levels = (inner.mean(axis=axes) / _white(pixels.dtype)).ravel()[:_CELLS]
    if bool(np.any((levels > _CERTAIN) & (levels < 1 - _CERTAIN))):
        return None
    marker, *number, check = np.packbits(levels > 0.5).tolist()
    if marker != _MARKER or check != _check(bytes(number)):
        return None
    return int.from_bytes(bytes(number), "big")


@functools.lru_cache(maxsize=32)
def _layout(height: int, width: int) -> _Layout:
    if height < MIN_HEIGHT or width < MIN_WIDTH:
        raise ValueError(f"{width}x{height} is too small for a burnt-in number: at least "
                         f"{MIN_WIDTH}x{MIN_HEIGHT}")
    for cell in _CELL_SIZES:
        columns = min(_CELLS, width // cell)
        rows = -(-_CELLS // columns)
        if rows * cell <= height // 4:
            break
    return _Layout(cell, rows, columns, scale=max(1, min(width // 128, height // 48)))


def _cells(pixels: Pixels, layout: _Layout) -> Pixels:
    """View of the cells as (row, y in cell, column, x in cell[, channel])."""
    cell, rows, columns, _ = layout
    area = pixels[:rows * cell, :columns * cell]
    # Splitting axes never copies, so writing to this view writes to `pixels`.
    return area.reshape((rows, cell, columns, cell, *pixels.shape[2:]))


def _bits(number: int, count: int) -> NDArray[np.uint8]:
    """Marker, number and CRC as zeros and ones, filled up with zeros to `count`."""
    payload = number.to_bytes(4, "big")
    line = bytes([_MARKER]) + payload + bytes([_check(payload)])
    bits = np.zeros(count, dtype=np.uint8)
    bits[:_CELLS] = np.unpackbits(np.frombuffer(line, dtype=np.uint8))
    return bits


def _check(payload: bytes) -> int:
    return zlib.crc32(payload) & 0xFF


def _white(dtype: np.dtype[Any]) -> int:
    return int(np.iinfo(dtype).max)


def _draw_digits(pixels: Pixels, number: int, layout: _Layout) -> None:
    glyphs = _glyphs(layout.scale)
    white = pixels.dtype.type(_white(pixels.dtype))
    top = layout.rows * layout.cell
    height, width = glyphs.shape[1:]
    for position, digit in enumerate(f"{number:0{_DIGITS}d}"[-_DIGITS:]):
        place = pixels[top:top + height, position * width:(position + 1) * width]
        glyph = glyphs[int(digit)] * white
        place[...] = glyph if pixels.ndim == 2 else glyph[:, :, np.newaxis]


@functools.lru_cache(maxsize=8)
def _glyphs(scale: int) -> NDArray[np.uint8]:
    """(10, height, width) of zeros and ones, with a black margin, `scale` pixels per dot."""
    dots = np.zeros((10, 7, 4), dtype=np.uint8)
    for digit, rows in enumerate(_FONT):
        for index in range(15):
            dots[digit, 1 + index // 3, index % 3] = rows >> (14 - index) & 1
    return dots.repeat(scale, axis=1).repeat(scale, axis=2)
