"""Disk and battery over the time to come: what is planned, times what it has cost so far. Pure.

Printed by `fieldrec schedule simulate`. Nothing here is known for sure: each figure is a span of
least, likely and most, and says in words where it comes from. Not in it: a sun that charges, drives
that come and take recordings away, and what exports add and free.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

HOUR_NS = 3_600_000_000_000


@dataclass(frozen=True, slots=True)
class Figure:
    """Something that is not known for sure."""

    least: float
    likely: float
    most: float
    origin: str = ""
    """Where it comes from, for people: "mean of 12 recordings with left, right"."""


@dataclass(frozen=True, slots=True)
class Disk:
    """What recordings have to lie on."""

    left_bytes: int
    """Until recording must stop, over all folders."""
    bytes_per_hour: Figure
    """While something is recorded."""


@dataclass(frozen=True, slots=True)
class Battery:
    """What the box runs on."""

    charge_mwh: float
    """In it now."""
    idle_mw: Figure
    """Drawn all the time that the box is awake."""
    recording_mw: Figure
    """Drawn on top of that while something is recorded."""


@dataclass(frozen=True, slots=True)
class Left:
    """What is left at one moment: never below 0; `least` goes with the most that may be used."""

    time_ns: int
    least: float
    likely: float
    most: float


@dataclass(frozen=True, slots=True)
class Course:
    """One stock over time, straight between the points."""

    points: tuple[Left, ...]
    """At the beginning, at each start and end of recording, and at the end."""
    empty_ns: tuple[int | None, int | None, int | None]
    """When it is used up: earliest, likely, latest, epoch; None: not in the time looked at."""
    origin: str
    """Where the figures come from."""


Span = tuple[int, int]
"""(begins, ends) of a recording, epoch ns."""


def disk_course(spans: Iterable[Span], since_ns: int, until_ns: int, disk: Disk) -> Course:
    """How the room shrinks; `spans` may overlap and reach beyond the time looked at."""
    edges = _edges(spans, since_ns, until_ns)
    return _course(edges, disk.left_bytes, _NOTHING, disk.bytes_per_hour)


def battery_course(spans: Iterable[Span], since_ns: int, until_ns: int, battery: Battery
                   ) -> Course:
    """How the charge shrinks while nothing charges, for a box that is awake all the time."""
    edges = _edges(spans, since_ns, until_ns)
    return _course(edges, battery.charge_mwh, battery.idle_mw, battery.recording_mw)


def recorded_hours(spans: Iterable[Span], since_ns: int, until_ns: int) -> float:
    """Hours in which anything is recorded; what overlaps counts once."""
    return sum(end - begin for begin, end in _merged(spans, since_ns, until_ns)) / HOUR_NS


_NOTHING = Figure(0.0, 0.0, 0.0)


def _course(edges: Sequence[tuple[int, int, bool]], stock: float, always: Figure,
            while_recording: Figure) -> Course:
    """`edges`: (begins, ends, recording) of stretches that follow each other."""
    columns = []
    for name in ("most", "likely", "least"):  # what is used most leaves least
        rate, more = getattr(always, name), getattr(while_recording, name)
        columns.append(_column(edges, stock, rate, rate + more))
    times = [edges[0][0], *(end for _, end, _ in edges)]
    points = tuple(Left(time_ns, *lefts) for time_ns, lefts in
                   zip(times, zip(*(lefts for lefts, _ in columns), strict=True), strict=True))
    origins = dict.fromkeys(filter(None, (while_recording.origin, always.origin)))
    return Course(points, (columns[0][1], columns[1][1], columns[2][1]), "; ".join(origins))


def _column(edges: Sequence[tuple[int, int, bool]], stock: float, rate: float,
            recording_rate: float) -> tuple[list[float], int | None]:
    """What is left at each edge, and when nothing is, at so much per hour."""
    left, empty_ns = max(float(stock), 0.0), None
    lefts = [left]
    for begin, end, recording in edges:
        per_hour = max(recording_rate if recording else rate, 0.0)
        used = per_hour * (end - begin) / HOUR_NS
        if empty_ns is None and used > 0 and used >= left:
            empty_ns = begin + round((end - begin) * (left / used))
        left = max(left - used, 0.0)
        lefts.append(left)
    return lefts, empty_ns


def _edges(spans: Iterable[Span], since_ns: int, until_ns: int) -> list[tuple[int, int, bool]]:
    """The whole time, cut into stretches with and without recording."""
    edges, at_ns = [], since_ns
    for begin, end in _merged(spans, since_ns, until_ns):
        if begin > at_ns:
            edges.append((at_ns, begin, False))
        edges.append((begin, end, True))
        at_ns = end
    if at_ns < until_ns or not edges:
        edges.append((at_ns, max(until_ns, at_ns), False))
    return edges


def _merged(spans: Iterable[Span], since_ns: int, until_ns: int) -> list[Span]:
    """In order, cut to the time looked at, none overlapping another."""
    merged: list[Span] = []
    for begin, end in sorted((max(begin, since_ns), min(end, until_ns)) for begin, end in spans):
        if begin >= end:
            continue
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged
