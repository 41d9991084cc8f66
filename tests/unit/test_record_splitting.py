"""When a part is long enough, and when its successor is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest

from fieldrec.config.recording import SplitConfig
from fieldrec.record.part import Part
from fieldrec.record.splitting import LEAD_S, Limits

SECOND_NS = 1_000_000_000


@dataclass
class Figures:
    """What is looked at of a part."""

    first_monotonic_ns: int | None = 100 * SECOND_NS
    frame_count: int = 0
    written_bytes: int = 0


def part(**figures: Any) -> Part:
    return cast(Part, Figures(**figures))


def at(seconds: float) -> int:
    return int((100 + seconds) * SECOND_NS)


def test_none_is_never() -> None:
    limits = Limits(SplitConfig())
    assert not limits.any
    assert limits.reached(part(frame_count=10**9, written_bytes=10**15), at(1e6)) == ""


@pytest.mark.parametrize(("config", "before", "after"), [
    ({"frames": 10}, part(frame_count=9), part(frame_count=10)),
    ({"bytes": 1_000_000}, part(written_bytes=999_999), part(written_bytes=1_000_000))])
def test_by_number_and_by_size(config: dict[str, Any], before: Part, after: Part) -> None:
    limits = Limits(SplitConfig(**config))
    assert limits.any
    assert limits.reached(before, at(1)) == ""
    assert str(next(iter(config.values()))) in limits.reached(after, at(1))


def test_by_time_from_the_first_frame() -> None:
    limits = Limits(SplitConfig(seconds=60))
    assert limits.reached(part(), at(59.9)) == ""
    assert limits.reached(part(), at(60)) == "60 s"
    assert limits.reached(part(first_monotonic_ns=None), at(1e6)) == ""


def test_the_next_is_made_a_lead_ahead_of_a_long_part() -> None:
    limits = Limits(SplitConfig(seconds=600))
    assert not limits.near(part(), at(600 - LEAD_S - 0.1))
    assert limits.near(part(), at(600 - LEAD_S))
    assert limits.left_s(part(), at(600 - LEAD_S)) == pytest.approx(LEAD_S)


def test_and_from_the_half_on_of_a_short_one() -> None:
    limits = Limits(SplitConfig(frames=100))
    assert not limits.near(part(frame_count=49), at(0.5))
    assert limits.near(part(frame_count=50), at(0.5))
    assert limits.left_s(part(frame_count=50), at(0.5)) == pytest.approx(0.5)


def test_whichever_comes_first() -> None:
    limits = Limits(SplitConfig(seconds=600, frames=100, bytes=10**9))
    assert limits.reached(part(frame_count=100), at(1)) == "100 frames"
    assert limits.left_s(part(frame_count=50, written_bytes=1), at(10)) == pytest.approx(10)
