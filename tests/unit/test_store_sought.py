"""Numbers, indexes and times of whatever kind, and what is none of them."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldrec.store.api import sought
from fieldrec.store.layout import second_of

SEVEN = [7, 7.0, "7", " 7 ", "7.0", np.int8(7), np.uint64(7), True + 6, np.float32(7),
         np.array(7), np.array(7.0), np.float64(7)]
OTHERS: list[tuple[Any, float]] = [
    (7.5, 7.5), ("7.5", 7.5), (np.float32(7.5), 7.5), (True, 1), (np.bool_(True), 1),
    ("1e3", 1000), ("-4", -4), (2 ** 80, 2 ** 80), (math.inf, math.inf), ("inf", math.inf)]
NONE = [None, math.nan, "nan", "", "x", "7x", np.float32("nan")]
NEVER = [[7], (7,), {7}, b"7", object(), np.array([7, 8]), Fraction(7), 1 + 0j]


def test_numbers_of_every_kind() -> None:
    for value in SEVEN:
        found = sought.number_like(value)
        assert found == 7
        assert type(found) is int
        assert sought.near(value) == 7
    for value, number in OTHERS:
        found = sought.number_like(value)
        assert found == number
        assert type(found) is type(number)


def test_what_is_no_number() -> None:
    for value in NONE:
        assert sought.number_like(value) is None
        with pytest.raises((TypeError, ValueError), match="nearest"):
            sought.near(value)
    for never in NEVER:
        with pytest.raises(TypeError, match="not a number"):
            sought.number_like(never)
    for infinite in (math.inf, -math.inf, "inf"):
        with pytest.raises(ValueError, match="nearest"):
            sought.near(infinite)


INDEXES: list[tuple[Any, int]] = [(0, 0), (9, 9), (9.9, 9), (np.int64(3), 3), (np.float32(3), 3),
                                  (True, 1)]
NO_INDEXES: list[tuple[Any, type[Exception]]] = [
    (10, ValueError), (-1, ValueError), (-0.5, ValueError), (math.nan, ValueError),
    (2 ** 80, ValueError), ("3", TypeError), (b"3", TypeError), ([3], TypeError)]


def test_indexes() -> None:
    for value, index in INDEXES:
        assert sought.frame_index(value, 10) == index
    for value, kind in NO_INDEXES:
        with pytest.raises(kind):
            sought.frame_index(value, 10)


@given(st.floats(-9e9, 9e9))
def test_nanoseconds_are_the_nearest(time_s: float) -> None:
    time_ns = sought.nanoseconds(time_s)
    assert abs(Fraction(time_ns) - Fraction(time_s) * 10 ** 9) <= Fraction(1, 2) + Fraction(
        1, 10 ** 6)


@given(st.floats(32e6, 9e9))
def test_since_1971_nanoseconds_say_the_very_same(time_s: float) -> None:
    assert second_of(sought.nanoseconds(time_s)) == time_s
