"""Long columns of integers as a line of text: what a sidecar holds instead of millions of numbers.

Pure. Each value is replaced by its difference to the one before (the first stays), the differences
as little-endian 64-bit integers are laid out by the place of their bytes (all lowest bytes first),
compressed with zlib and written in base64. A column that ends is read back without fieldrec by::

    planes = numpy.frombuffer(zlib.decompress(base64.b64decode(text)), "u1").reshape(8, -1)
    values = numpy.ascontiguousarray(planes.T).view("<i8").ravel().cumsum()

and, where the file says "float64", ``values.view("<f8")``. The numbers of 8 hours at 60 Hz take a
few kB, their times 3 to 5 MB, as plain JSON 40 MB.
"""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

ENCODING = "differences, byte planes, zlib, base64"
"""As files name it."""
MOST_ROWS = 1 << 30
_LEVEL = 6


def pack(values: NDArray[Any]) -> dict[str, str]:
    """The column as JSON: of int64, or of anything else as float64."""
    dtype = "int64" if np.asarray(values).dtype.kind in "iu" else "float64"
    bits = np.ascontiguousarray(values, dtype=f"<{dtype[0]}8").view("<i8")
    steps = np.diff(bits, prepend=np.int64(0)).astype("<i8", copy=False)
    planes = np.ascontiguousarray(steps.view(np.uint8).reshape(-1, 8).T)
    packed = zlib.compress(planes.data, _LEVEL)
    return {"dtype": dtype, "data": base64.b64encode(packed).decode("ascii")}


def unpack(packed: Any, count: int) -> NDArray[Any]:
    """The column again. ValueError unless it is one of exactly `count` values; takes no more memory
    than they need, whatever the text claims."""
    if isinstance(packed, list):  # as version 1 had it
        return _from_list(packed, count)
    if not isinstance(packed, dict) or packed.get("dtype") not in ("int64", "float64"):
        raise ValueError("a column of frames is not what it should be")
    if not 0 <= count <= MOST_ROWS:
        raise ValueError(f"{count} frames are not possible")
    try:
        reader = zlib.decompressobj()
        data = reader.decompress(base64.b64decode(str(packed["data"]), validate=True),
                                 8 * count + 1)
    except (zlib.error, KeyError) as error:
        raise ValueError(f"a column of frames is damaged: {error}") from error
    if len(data) != 8 * count or not (reader.eof or count == 0):
        raise ValueError(f"a column of frames does not have {count} values")
    planes = np.frombuffer(data, np.uint8).reshape(8, -1)
    steps = np.ascontiguousarray(planes.T).view("<i8").ravel()
    with np.errstate(over="ignore"):
        bits = np.cumsum(steps, dtype=np.int64)
    return bits if packed["dtype"] == "int64" else bits.view(np.float64)


def _from_list(values: list[Any], count: int) -> NDArray[Any]:
    if len(values) != count or not all(type(value) in (int, float) for value in values):
        raise ValueError(f"it lists {len(values)} of {count} frames")
    kind = np.int64 if all(type(value) is int for value in values) else np.float64
    try:
        return np.array(values, kind)
    except OverflowError as error:
        raise ValueError(f"a number of a frame is not possible: {error}") from error
