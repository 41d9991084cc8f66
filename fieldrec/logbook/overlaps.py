"""What is told twice, counted once: missed windows beside recordings and gaps. Pure.

A cut in the middle of a window is told by the camera, to the frame, and by the schedule. What the
camera tells wins; of what the schedule tells only the rest is a gap of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from fieldrec.logbook.record import Gap, Record

SHORTEST_MISSED_NS = 2_000_000_000
"""What is left of a missed window beside recordings and shorter than this is the time that cameras
take to begin and to end."""


def missed_besides(missed: Iterable[Gap], record: Record) -> list[Gap]:
    """What the schedule missed, without what a camera recorded then and what is a gap of its own
    already: a cut in the middle of a window is told by the camera and by the schedule."""
    cameras = sorted({*record.cameras, *(one.camera for one in record.recordings)}) or [""]
    wanted: dict[str, list[Gap]] = {}
    for gap in missed:
        for key in cameras if gap.camera == "" else [gap.camera]:
            wanted.setdefault(key, []).append(replace(gap, camera=key))
    left: list[Gap] = []
    for key, gaps in wanted.items():
        taken = [*((one.from_ns, one.until_ns) for one in record.recordings if one.camera == key),
                 *((gap.from_ns, gap.until_ns) for gap in record.gaps if gap.camera == key)]
        left += _outside(sorted(gaps, key=lambda gap: gap.from_ns), _union(taken))
    return left


def _union(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, those that meet as one."""
    out: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if out and begin <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        else:
            out.append((begin, end))
    return out


def _outside(gaps: list[Gap], taken: list[tuple[int, int]]) -> Iterator[Gap]:
    """The parts of gaps (in order) that no span of `taken` (apart from each other, in order) and no
    gap before covers."""
    at, reached_ns = 0, 0
    for gap in gaps:
        from_ns = max(gap.from_ns, reached_ns)
        while at < len(taken) and taken[at][1] <= from_ns:
            at += 1
        here = at
        while from_ns < gap.until_ns:
            begin, end = taken[here] if here < len(taken) else (gap.until_ns, gap.until_ns)
            if min(begin, gap.until_ns) - from_ns >= SHORTEST_MISSED_NS:
                yield replace(gap, from_ns=from_ns, until_ns=min(begin, gap.until_ns))
            from_ns = max(from_ns, end)
            here += 1
        reached_ns = max(reached_ns, gap.until_ns)
