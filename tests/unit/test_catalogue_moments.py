"""Places in a recording as people write them."""

from __future__ import annotations

import contextlib
from datetime import UTC
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldrec.catalogue.moments import place
from fieldrec.core.errors import UsageError

BERLIN = ZoneInfo("Europe/Berlin")
START_NS = 1_795_240_800_000_000_000
"""2026-11-21 06:00:00 UTC, 07:00:00 in Berlin."""
TIMES_NS = START_NS + np.arange(7200 * 2, dtype=np.int64) * 500_000_000  # two hours, 2 fps


@pytest.mark.parametrize(("text", "index"), [
    ("0", 0), ("1500", 1500), ("99999999", 14400), ("-100", 14300), ("-99999", 0),
    ("+0", 0), ("+90", 180), ("+90s", 180), ("+1.5", 3), ("+1.2", 3), ("+1:30", 180),
    ("+1:00:00", 7200), ("+1:00:00.5", 7201), ("+9:00:00", 14400),
    ("07:30", 3600), ("7:30", 3600), ("07:30:00", 3600), ("07:30:00.25", 3601),
    ("7:30:00.25", 3601), ("07:00", 0), ("08:59:59.5", 14399), ("06:59", 14400),
    ("2026-11-21T07:30:00", 3600), ("2026-11-21 07:30", 3600), ("2026-11-21T06:30:00Z", 3600),
    ("2026-11-21T06:30:00+00:00", 3600), ("2020-01-01", 0), ("2030-01-01", 14400), (" 12 ", 12),
])
def test_places(text: str, index: int) -> None:
    assert place(text, TIMES_NS, BERLIN) == index


def test_a_time_of_day_after_midnight() -> None:
    times_ns = START_NS + np.arange(26, dtype=np.int64) * 3600 * 10**9
    assert place("01:00", times_ns, BERLIN) == 18
    assert place("07:00", times_ns, BERLIN) == 0


@pytest.mark.parametrize("text", ["", "soon", "25:00", "1:2:3:4", "+", "+-5", "2026-13-01", "1.5",
                                  "0x10", "+1e9", "12:61", "9999-12-31T23:59:59-23:00x"])
def test_what_cannot_be_understood(text: str) -> None:
    with pytest.raises(UsageError, match="expected an index"):
        place(text, TIMES_NS, BERLIN)


def test_an_empty_recording_and_times_that_run_back() -> None:
    assert place("07:30", np.zeros(0, np.int64), BERLIN) == 0
    assert place("-5", np.zeros(0, np.int64), BERLIN) == 0
    back = np.array([10, 30, 20, 40], np.int64) * 10**9
    assert place("+15", back, UTC) == 1


@given(st.text(max_size=30))
def test_any_text_is_a_place_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert 0 <= place(text, TIMES_NS, BERLIN) <= len(TIMES_NS)
