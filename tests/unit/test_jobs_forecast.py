"""Forecasts: planned spans times what recording costs, against sums done by hand."""

from __future__ import annotations

import random

import pytest

from fieldrec.jobs.forecast import (
    HOUR_NS,
    Battery,
    Disk,
    Figure,
    battery_course,
    disk_course,
    recorded_hours,
)

NOW = 1_795_000_000 * 10**9
GB = 10**9


def hours(*spans: tuple[float, float]) -> list[tuple[int, int]]:
    return [(NOW + round(begin * HOUR_NS), NOW + round(end * HOUR_NS)) for begin, end in spans]


def at(course_ns: int | None) -> float | None:
    return None if course_ns is None else (course_ns - NOW) / HOUR_NS


def test_the_disk_shrinks_only_while_something_is_recorded() -> None:
    disk = Disk(100 * GB, Figure(8 * GB, 10 * GB, 20 * GB, "mean of 3 recordings"))
    course = disk_course(hours((2, 4), (10, 14)), NOW, NOW + 24 * HOUR_NS, disk)
    assert [(at(point.time_ns), point.least / GB, point.likely / GB, point.most / GB)
            for point in course.points] == [
        (0, 100, 100, 100), (2, 100, 100, 100), (4, 60, 80, 84), (10, 60, 80, 84),
        (14, 0, 40, 52), (24, 0, 40, 52)]
    assert [at(moment) for moment in course.empty_ns] == [13, None, None]
    assert course.origin == "mean of 3 recordings"


def test_the_battery_shrinks_all_the_time_and_faster_while_recording() -> None:
    battery = Battery(50_000, Figure(1000, 2000, 3000, "idle"), Figure(4000, 5000, 7000, "rec"))
    course = battery_course(hours((5, 10)), NOW, NOW + 20 * HOUR_NS, battery)
    last = course.points[-1]
    assert (last.least, last.likely, last.most) == (0, 0, 10_000)
    # most: 15, then 10 an hour from 5 h on; likely: 10, 35, then 2 an hour from 10 h on
    assert [at(moment) for moment in course.empty_ns] == [
        pytest.approx(8.5), pytest.approx(12.5), None]
    assert course.origin == "rec; idle"


def test_spans_that_overlap_count_once_and_what_is_outside_not_at_all() -> None:
    spans = hours((-5, 1), (0.5, 2), (2, 3), (8, 8), (9, 7), (22, 40), (50, 60))
    assert recorded_hours(spans, NOW, NOW + 24 * HOUR_NS) == pytest.approx(5)
    course = disk_course(spans, NOW, NOW + 24 * HOUR_NS, Disk(10 * GB, Figure(GB, GB, GB)))
    assert [at(point.time_ns) for point in course.points] == [0, 3, 22, 24]


@pytest.mark.parametrize(("left", "rate"), [(0, 10), (-5, 10), (10**18, 0), (0, 0)])
def test_nothing_left_and_nothing_used(left: int, rate: float) -> None:
    disk = Disk(left, Figure(rate, rate, rate))
    course = disk_course(hours((1, 2)), NOW, NOW + 5 * HOUR_NS, disk)
    assert all(point.likely == max(left, 0) for point in course.points)
    assert at(course.empty_ns[1]) == (1 if rate else None)


def test_no_time_and_no_spans() -> None:
    disk = Disk(GB, Figure(GB, GB, GB))
    assert len(disk_course([], NOW, NOW, disk).points) == 2
    course = disk_course([], NOW, NOW + HOUR_NS, disk)
    assert [point.likely for point in course.points] == [GB, GB]


def test_any_plan_agrees_with_a_minute_by_minute_sum() -> None:
    """Seeded, against the plainest other way to work it out."""
    rng = random.Random(20261121)
    minute_ns = HOUR_NS // 60
    for _ in range(150):
        spans = [(NOW + begin * minute_ns, NOW + (begin + rng.randrange(0, 300)) * minute_ns)
                 for begin in (rng.randrange(-100, 1500) for _ in range(rng.randrange(6)))]
        length, rate = rng.randrange(1, 1440), rng.randrange(0, 50) * GB
        stock = rng.randrange(0, 200) * GB
        left = stock
        for minute in range(length):
            begin = NOW + minute * minute_ns
            if any(one <= begin < other for one, other in spans):
                left -= rate // 60
        course = disk_course(spans, NOW, NOW + length * minute_ns,
                             Disk(stock, Figure(rate * 0.5, rate, rate * 2)))
        last = course.points[-1]
        assert last.likely == pytest.approx(max(left, 0), rel=1e-6, abs=1e5)
        assert last.least <= last.likely <= last.most
        earliest, likely, latest = course.empty_ns
        if abs(left) > 1e6:
            assert (likely is None) == (left > 0)
        known = [moment for moment in (earliest, likely, latest) if moment is not None]
        assert known == sorted(known)
