"""The frame number inside the picture, as cells for machines and as digits for people; and its
time, as cells.

Pure functions on arrays, any thread, no I/O. A machine reads them back from a decoded, lossily
compressed frame: that is how an export is shown to hold the frames it says it holds.

Layout, from the top left corner: square cells, black or white, wrapped into as many rows as the
width needs: 8 cells of marker, 32 of number (most significant first), 8 of CRC. The cell is 16, 8
or 4 pixels wide, the largest that keeps the rows within the upper quarter of the picture; so the
shape alone tells a reader where to look. Only luma carries information: 4:2:0 does no harm.
Below the cells: eight decimal digits. The time has cells of the same size, in rows that end at the
bottom left corner: another marker, 40 of microseconds, 8 of CRC.
"""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]

MIN_WIDTH, MIN_HEIGHT = 64, 48
"""Smallest picture in which the cells and the digits have room."""

_MARKER, _TIME_MARKER = 0b10110010, 0b10011101
_NUMBER_BYTES, _TIME_BYTES = 4, 5
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
    time_rows: int
    time_columns: int
    scale: int


def burn_number(pixels: Pixels, number: int, *, white: int | None = None) -> None:
    """Write `number` (modulo 2**32) into `pixels` in place, as cells and as digits.

    `pixels`: (h, w) or (h, w, 3), uint8 or uint16, at least MIN_WIDTH x MIN_HEIGHT (ValueError).
    `white`: their largest value, where that is less than their type's (10 bits in 16).
    Touches less than a quarter of the picture and allocates nothing of its size.
    """
    layout = _layout(pixels.shape[0], pixels.shape[1])
    white = _white(pixels.dtype) if white is None else white
    number &= 0xFFFFFFFF
    _burn(_number_cells(pixels, layout), _MARKER, number.to_bytes(_NUMBER_BYTES, "big"), white)
    _draw_digits(pixels, number, layout, white)


def burn_time(pixels: Pixels, time_ns: int, *, white: int | None = None) -> None:
    """Write a time into `pixels` in place, in whole microseconds (modulo 2**40, twelve days); as
    :func:`burn_number` otherwise."""
    layout = _layout(pixels.shape[0], pixels.shape[1])
    white = _white(pixels.dtype) if white is None else white
    value = time_ns // 1000 % (1 << 8 * _TIME_BYTES)
    _burn(_time_cells(pixels, layout), _TIME_MARKER, value.to_bytes(_TIME_BYTES, "big"), white)


def read_number(pixels: Pixels) -> int | None:
    """The number burnt into `pixels`, or None when there is none that can be trusted.

    Takes the same arrays as :func:`burn_number`, also after lossy compression at the same size.
    None for pictures without marker, with cells that are neither black nor white, or a wrong CRC.
    """
    return _read(pixels, _number_cells, _MARKER, _NUMBER_BYTES)


def read_time_us(pixels: Pixels) -> int | None:
    """The microseconds burnt into `pixels`; None as :func:`read_number`."""
    return _read(pixels, _time_cells, _TIME_MARKER, _TIME_BYTES)


def _burn(cells: Pixels, marker: int, payload: bytes, white: int) -> None:
    rows, _, columns = cells.shape[:3]
    bits = np.zeros(rows * columns, dtype=cells.dtype)
    line = np.unpackbits(np.frombuffer(bytes([marker]) + payload + bytes([_check(payload)]),
                                       dtype=np.uint8))
    bits[:line.size] = line
    bits *= white
    # whole lines of pixels: numpy copies them as such, single cells would take ten times as long
    lines = bits.repeat(math.prod(cells.shape[3:])).reshape(rows, 1, *cells.shape[2:])
    cells[...] = lines


def _read(pixels: Pixels, cells_of: Callable[[Pixels, _Layout], Pixels], marker: int, length: int
          ) -> int | None:
    if pixels.ndim not in (2, 3) or pixels.shape[0] < MIN_HEIGHT or pixels.shape[1] < MIN_WIDTH:
        return None
    layout = _layout(pixels.shape[0], pixels.shape[1])
    edge = layout.cell // 4
    inner = cells_of(pixels, layout)[:, edge:layout.cell - edge, :, edge:layout.cell - edge]
    axes = (1, 3) if pixels.ndim == 2 else (1, 3, 4)
    levels = inner.mean(axis=axes).ravel()[:8 * (length + 2)]
    levels = levels / _depth_of(levels, pixels.dtype)
    if bool(np.any((levels > _CERTAIN) & (levels < 1 - _CERTAIN))):
        return None
    found, *payload, check = np.packbits(levels > 0.5).tolist()
    if found != marker or check != _check(bytes(payload)):
        return None
    return int.from_bytes(bytes(payload), "big")


def _depth_of(levels: NDArray[Any], dtype: np.dtype[Any]) -> int:
    """What white is: there is some in every marker. Of 16 bits, fewer may be used."""
    if dtype.itemsize == 1:
        return _white(dtype)
    brightest = float(levels.max())
    return next(white for white in (1023, 4095, 16383, 65535) if brightest <= white)


@functools.lru_cache(maxsize=32)
def _layout(height: int, width: int) -> _Layout:
    if height < MIN_HEIGHT or width < MIN_WIDTH:
        raise ValueError(f"{width}x{height} is too small for a burnt-in number: at least "
                         f"{MIN_WIDTH}x{MIN_HEIGHT}")
    for cell in _CELL_SIZES:
        rows, columns = _wrapped(_NUMBER_BYTES, width // cell)
        if rows * cell <= height // 4:
            break
    return _Layout(cell, rows, columns, *_wrapped(_TIME_BYTES, width // cell),
                   scale=max(1, min(width // 128, height // 48)))


def _wrapped(length: int, most: int) -> tuple[int, int]:
    """Rows and columns of the cells of so many bytes, at most `most` in a row."""
    cells = 8 * (length + 2)
    columns = min(cells, most)
    return -(-cells // columns), columns


def _number_cells(pixels: Pixels, layout: _Layout) -> Pixels:
    """View of the cells as (row, y in cell, column, x in cell[, channel])."""
    cell, rows, columns, *_ = layout
    area = pixels[:rows * cell, :columns * cell]
    # Splitting axes never copies, so writing to this view writes to `pixels`.
    return area.reshape((rows, cell, columns, cell, *pixels.shape[2:]))


def _time_cells(pixels: Pixels, layout: _Layout) -> Pixels:
    cell, rows, columns = layout.cell, layout.time_rows, layout.time_columns
    area = pixels[pixels.shape[0] - rows * cell:, :columns * cell]
    return area.reshape((rows, cell, columns, cell, *pixels.shape[2:]))


def _check(payload: bytes) -> int:
    return zlib.crc32(payload) & 0xFF


def _white(dtype: np.dtype[Any]) -> int:
    return int(np.iinfo(dtype).max)


def _draw_digits(pixels: Pixels, number: int, layout: _Layout, most: int) -> None:
    glyphs = _glyphs(layout.scale)
    top = layout.rows * layout.cell
    height, width = glyphs.shape[1:]
    text = f"{number:0{_DIGITS}d}"[-_DIGITS:]
    line = np.concatenate([glyphs[int(digit)] for digit in text], axis=1).astype(pixels.dtype)
    line *= pixels.dtype.type(most)
    if pixels.ndim == 3:
        line = line[:, :, np.newaxis].repeat(pixels.shape[2], axis=2)
    place = pixels[top:top + height, :_DIGITS * width]
    place[...] = line[:, :place.shape[1]]


@functools.lru_cache(maxsize=8)
def _glyphs(scale: int) -> NDArray[np.uint8]:
    """(10, height, width) of zeros and ones, with a black margin, `scale` pixels per dot."""
    dots = np.zeros((10, 7, 4), dtype=np.uint8)
    for digit, rows in enumerate(_FONT):
        for index in range(15):
            dots[digit, 1 + index // 3, index % 3] = rows >> (14 - index) & 1
    return dots.repeat(scale, axis=1).repeat(scale, axis=2)
