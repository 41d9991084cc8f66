"""What a caller asks for, as plain Python numbers: whatever kind of number numpy, SQLite or a
script makes of a frame number, index or time. Pure; any thread.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from fieldrec.store.api.imgstore_errors import NoSuchFrame, WrongArgument, WrongType

LARGEST_S = 9.2e9
"""Times further than this from 1970 do not fit into nanoseconds."""


def number_like(value: Any) -> int | float | None:
    """An int where the value is whole, else a float; None for what is no number (None, NaN, text
    that is none). WrongType for containers and the like."""
    if type(value) is int:
        return value
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, int | np.integer | np.bool_):
        return int(value)
    if isinstance(value, float | np.floating):
        return _whole_or_float(float(value))
    if value is None:
        return None
    if isinstance(value, str):
        return _number_in(value)
    try:
        return operator.index(value)
    except TypeError:
        raise WrongType(f"a {type(value).__name__} is not a number") from None


def _whole_or_float(value: float) -> int | float | None:
    if math.isnan(value):
        return None
    return int(value) if value.is_integer() else value


def _number_in(text: str) -> int | float | None:
    try:
        return _whole_or_float(float(text)) if not text.strip().isdecimal() else int(text)
    except ValueError:
        return None


def near(value: Any) -> int | float:
    """The same of what the nearest frame is asked for. WrongType and WrongArgument for what is no
    finite number: imgstore takes the store's first frame for it."""
    number = number_like(value)
    if number is None or math.isinf(number):
        kind = WrongType if value is None else WrongArgument
        raise kind(f"no frame is nearest to {value!r}; give a number")
    return number


def frame_index(value: Any, count: int) -> int:
    """An index into `count` frames. NoSuchFrame outside, WrongType for what is no number."""
    if isinstance(value, str | bytes):
        raise WrongType(f"a frame index is a number, not {value!r}")
    if value < 0:
        raise NoSuchFrame(f"there is no frame with the negative index {value}")
    at = int(value)
    if at >= count:
        raise NoSuchFrame(f"there is no frame with index {at}: the store has {count} frames")
    return at


def new_number(value: Any) -> int:
    """The number of a frame that is to be stored. WrongType for what is no number, WrongArgument
    for fractions and what does not fit 64 bits."""
    if type(value) is not int:
        number = None if isinstance(value, str) else number_like(value)
        if number is None:
            raise WrongType(f"a frame number is an integer, not {value!r}")
        if isinstance(number, float):
            raise WrongArgument(f"a frame number is an integer, not {value!r}")
        value = number
    if not -2 ** 63 <= value < 2 ** 63:
        raise WrongArgument(f"the frame number {value} does not fit 64 bits")
    return int(value)


def new_time(value: Any) -> float:
    """The time of a frame that is to be stored, in seconds since 1970. WrongType for what is no
    number, WrongArgument for NaN, infinities and times beyond 2261."""
    if type(value) is not float:
        if isinstance(value, str | bytes | bool):
            raise WrongType(f"a frame time is seconds since 1970, not {value!r}")
        try:
            value = float(value)
        except (TypeError, ValueError):
            raise WrongType(f"a frame time is seconds since 1970, not {value!r}") from None
    if not -LARGEST_S < value < LARGEST_S:
        raise WrongArgument(f"a frame time is seconds since 1970, not {value!r}")
    return float(value)


def nanoseconds(time_s: float) -> int:
    """The integer nanoseconds nearest to a time; whole seconds apart, as products round twice."""
    whole = math.floor(time_s)
    return int(whole) * 1_000_000_000 + round((time_s - whole) * 1e9)
