"""How colours become numbers in a movie: matrices, ranges and their names. Pure values.

The weights that encoding multiplies with and those that verification computes with are written
down apart, each as its standard prints them: a slip in one does not agree with the other.
"""

from __future__ import annotations

from dataclasses import dataclass

Row = tuple[float, float, float, float]
"""Weights of blue, green and red of 0 to 255, and what is added."""


@dataclass(frozen=True, slots=True)
class Colours:
    """A way to say colours, and the H.273 code points that name it in the stream."""

    name: str
    red: float
    """Weight of red in luma, for verification; 0 where there is no luma."""
    blue: float
    rows: tuple[Row, ...]
    """What Y, Cb and Cr of limited range are made of, for encoding."""
    matrix_code: int
    primaries_code: int
    transfer_code: int
    full_range: bool = False
    """Whether black is 0 and white the greatest value, or 16 and 235 of 255 (limited)."""


BT709 = Colours("bt709", 0.2126, 0.0722, (
    (0.06201, 0.61423, 0.18259, 16.0),
    (0.43922, -0.33857, -0.10064, 128.0),
    (-0.04027, -0.39894, 0.43922, 128.0)), 1, 1, 1)
BT601 = Colours("bt601", 0.299, 0.114, (
    (0.09791, 0.50413, 0.25679, 16.0),
    (0.43922, -0.29099, -0.14822, 128.0),
    (-0.07143, -0.36779, 0.43922, 128.0)), 6, 6, 6)
GREY = Colours("grey", 0.0, 0.0, (), 2, 2, 2, full_range=True)
"""Nothing but grey, as it is: no matrix, primaries or transfer to be told."""
RGB = Colours("rgb", 0.0, 0.0, (), 0, 1, 13, full_range=True)
"""Not YCbCr at all, with the primaries and transfer of sRGB."""
