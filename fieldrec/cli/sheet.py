"""A contact sheet: evenly spaced frames of a store on one picture, each with number and time.

Pure drawing on arrays, any thread; the caller reads the frames and writes the file. A frame that
cannot be read has a cell that says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fieldrec.status import words

Picture = NDArray[np.uint8]

SHEET_WIDTH = 1680
"""Pixels that the cells share; few small frames make a narrower sheet."""
SMALLEST_CELL = 150
"""A cell is at least as wide as its caption."""
MARGIN, SPACE = 20, 12
CAPTION, HEADER = 24, 76
SHAPE = 1.6
"""Width to height that the sheet comes close to."""
WIDEST, TALLEST = 6.0, 3.0
"""Frames beyond width to height or height to width of this are shown smaller inside their cell."""

_PAPER, _CELL = (24, 22, 20), (44, 41, 38)
_INK, _FAINT, _ALARM = (235, 235, 235), (165, 160, 155), (90, 110, 240)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_ONLY_ASCII = int(cv2.__version__.partition(".")[0]) < 5


@dataclass(frozen=True, slots=True)
class Cell:
    """One frame of the sheet."""

    picture: Picture | None
    """Grey or BGR; None when it cannot be read."""
    left: str
    """Below it at the left: the number."""
    right: str
    """Below it at the right: the time."""


def evenly(first: int, end: int, count: int) -> list[int]:
    """At most `count` places from `first` to before `end`, the first and the last among them."""
    found: list[int] = np.linspace(first, end - 1, min(count, end - first)).round().astype(
        int).tolist()
    return found if end > first else []


def contact_sheet(title: str, facts: str, cells: Sequence[Cell]) -> Picture:
    """The whole sheet, BGR: `title` large, `facts` below it, then the cells in reading order."""
    aspect = _aspect(cells)
    columns = _columns(len(cells), aspect)
    width = max(SMALLEST_CELL, min(_widest(cells), _share(columns)))
    height = max(1, round(width / aspect))
    rows = math.ceil(len(cells) / columns)
    sheet_width = max(2 * MARGIN + columns * (width + SPACE) - SPACE,
                      2 * MARGIN + min(_text_width(facts, 0.5), SHEET_WIDTH))
    sheet = np.full((HEADER + MARGIN + rows * (height + CAPTION + SPACE) - SPACE, sheet_width, 3),
                    _PAPER, np.uint8)
    _write(sheet, title, MARGIN, 36, 0.8, _INK)
    _write(sheet, facts, MARGIN, 61, 0.5, _FAINT)
    for place, cell in enumerate(cells):
        row, column = divmod(place, columns)
        _draw(sheet, cell, MARGIN + column * (width + SPACE),
              HEADER + row * (height + CAPTION + SPACE), width, height)
    return sheet


def _aspect(cells: Sequence[Cell]) -> float:
    """Width to height of a cell: that of the frames, within reason."""
    for cell in cells:
        if cell.picture is not None:
            height, width = int(cell.picture.shape[0]), int(cell.picture.shape[1])
            return min(max(width / height, 1 / TALLEST), WIDEST)
    return 4 / 3


def _widest(cells: Sequence[Cell]) -> int:
    """Twice the frames' width: small ones are enlarged so much, and not more."""
    return max((2 * cell.picture.shape[1] for cell in cells if cell.picture is not None),
               default=SHEET_WIDTH)


def _share(columns: int) -> int:
    return (SHEET_WIDTH - 2 * MARGIN + SPACE) // columns - SPACE


def _columns(count: int, aspect: float) -> int:
    """The number of columns that brings the sheet closest to its shape, full rows preferred."""

    def distance(columns: int) -> float:
        width, rows = _share(columns), math.ceil(count / columns)
        height = HEADER + rows * (width / aspect + CAPTION + SPACE)
        empty = columns * rows - count
        return abs(math.log(SHEET_WIDTH / height / SHAPE)) + 0.5 * empty / count

    most = max(1, min(count, (SHEET_WIDTH - 2 * MARGIN + SPACE) // (SMALLEST_CELL + SPACE)))
    return min(range(1, most + 1), key=distance, default=1)


def _draw(sheet: Picture, cell: Cell, x: int, y: int, width: int, height: int) -> None:
    box = sheet[y:y + height, x:x + width]
    box[:] = _CELL
    if cell.picture is None:
        text = "cannot be read"
        _write(box, text, max(0, (width - _text_width(text, 0.45)) // 2), height // 2, 0.45, _ALARM)
    else:
        shown = fitted(cell.picture, width, height)
        top, left = (height - shown.shape[0]) // 2, (width - shown.shape[1]) // 2
        box[top:top + shown.shape[0], left:left + shown.shape[1]] = shown
    room = width - _text_width(cell.left, 0.45) - 8
    _write(sheet, cell.left, x, y + height + 16, 0.45, _INK)
    if _text_width(cell.right, 0.45) <= room:
        _write(sheet, cell.right, x + width - _text_width(cell.right, 0.45), y + height + 16, 0.45,
               _FAINT)


def fitted(picture: Picture, width: int, height: int) -> Picture:
    """The whole picture, BGR, as large as fits into `width` and `height`."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = (max(1, min(width, round(picture.shape[1] * scale))),
            max(1, min(height, round(picture.shape[0] * scale))))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST if scale > 3 else cv2.INTER_CUBIC
    resized: Any = cv2.resize(picture, size, interpolation=way)
    shown: Picture = resized if resized.ndim == 3 else cv2.cvtColor(resized, cv2.COLOR_GRAY2BGR)
    return shown


def _printable(text: str) -> str:
    """What the font has: OpenCV before 5 draws ASCII only."""
    return words.ascii_text(text.replace("·", "-")) if _ONLY_ASCII else words.safe_text(text)


def _text_width(text: str, scale: float) -> int:
    return int(cv2.getTextSize(_printable(text), _FONT, scale, 1)[0][0])


def draw_line(on: Picture, text: str, x: int, y: int, scale: float) -> None:
    """One line of text on a dark BGR picture, its baseline at `y`."""
    _write(on, text, x, y, scale, _INK)


def _write(on: Picture, text: str, x: int, y: int, scale: float, ink: tuple[int, int, int]) -> None:
    """One line of text, its baseline at `y`; cut off with dots where it does not fit."""
    shown = _printable(text)
    while len(shown) > 1 and x + _text_width(shown, scale) > on.shape[1]:
        shown = shown.removesuffix("...")[:-1] + "..."
        if shown == "...":
            break
    cv2.putText(on, shown, (x, y), _FONT, scale, ink, 1, cv2.LINE_AA)
