"""A picture of tables: for each column a row of bars, the median with the smallest and largest."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import table
from numpy.typing import NDArray

WIDTH, ROW, LABEL, BARS = 1500, 22, 330, 520
COLUMNS_WIDE = 2
FONT = cv2.FONT_HERSHEY_SIMPLEX
INK, PALE = (40, 40, 40), (150, 150, 150)
COLOURS = ((180, 119, 31), (14, 127, 255), (44, 160, 44), (40, 39, 214), (189, 103, 148))
"""BGR, one per case, in the order of the table."""

Tables = list[tuple[str, dict[str, list[table.Figures]]]]


def draw(path: Path, tables: Tables) -> None:
    """Write the picture (PNG)."""
    height = sum(_height(results) for _, results in tables) + ROW
    picture = np.full((height, WIDTH, 3), 255, np.uint8)
    top = ROW
    for title, results in tables:
        _text(picture, title, 10, top, 0.55, INK)
        _bars(picture, results, top + ROW)
        top += _height(results)
    cv2.imwrite(str(path), picture)


def _height(results: dict[str, list[table.Figures]]) -> int:
    panels = len(next(iter(results.values()))[0])
    return (-(-panels // COLUMNS_WIDE)) * (len(results) + 1) * ROW + 3 * ROW


def _bars(picture: NDArray[Any], results: dict[str, list[table.Figures]], top: int) -> None:
    for place, column in enumerate(next(iter(results.values()))[0]):
        y = top + (place // COLUMNS_WIDE) * (len(results) + 1) * ROW
        x = 10 + (place % COLUMNS_WIDE) * (WIDTH // COLUMNS_WIDE)
        _text(picture, column, x, y + ROW // 2, 0.42, PALE)
        largest = max(run[column] for runs in results.values() for run in runs) or 1.0
        for at, (name, runs) in enumerate(results.items()):
            values = [run[column] for run in runs]
            _bar(picture, name, values, largest, (x, y + (at + 1) * ROW),
                 COLOURS[at % len(COLOURS)])


def _bar(picture: NDArray[Any], name: str, values: list[float], largest: float,
         corner: tuple[int, int], colour: tuple[int, int, int]) -> None:
    x, y = corner
    start, reach = x + LABEL // 2, BARS - LABEL // 2
    low, middle, high = (start + int(max(0.0, value) / largest * reach)
                         for value in (min(values), statistics.median(values), max(values)))
    _text(picture, name[:22], x, y + ROW // 2, 0.42, INK)
    cv2.rectangle(picture, (start, y - 2), (max(middle, start + 1), y + ROW - 10), colour, -1)
    cv2.line(picture, (low, y + 4), (high, y + 4), INK, 1)
    _text(picture, f"{statistics.median(values):.3g}", high + 6, y + ROW // 2, 0.42, INK)


def _text(picture: NDArray[Any], text: str, x: int, y: int, size: float,
          colour: tuple[int, int, int]) -> None:
    cv2.putText(picture, text, (x, y), FONT, size, colour, 1, cv2.LINE_AA)
