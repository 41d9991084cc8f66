"""All that can be said of one store without judging its pixels: what `fieldrec show` tells.

Blocking, any thread; reads the index, the metadata, the extra data and the notes of recoveries,
never a frame. What cannot be read is named, and the rest is told.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldrec.catalogue.statistics import (
    ClockStep,
    ExtraSummary,
    Gaps,
    Intervals,
    clock_steps,
    gaps,
    intervals,
    lost_runs,
    noted_lost_runs,
    paused_runs,
    summary,
)
from fieldrec.core.errors import FieldrecError
from fieldrec.store.extra_read import iter_extra_records
from fieldrec.store.metadata import StoreMetadata
from fieldrec.store.reader import StoreReader
from fieldrec.store.recovery.note import Entry, read_entries
from fieldrec.store.spec import nominal_rate, ours_in


@dataclass(frozen=True, slots=True)
class StoreReport:
    """One store as it is now."""

    path: Path
    metadata: StoreMetadata
    user_metadata: Mapping[str, Any]
    timezone: str
    frame_count: int
    chunk_count: int
    number_first: int | float | None
    number_last: int | float | None
    """None without frames; likewise the times."""
    first_time_ns: int | None
    last_time_ns: int | None
    told_hz: float | None
    """Frames per second that the metadata tells: the trigger hardware's, else the camera's."""
    intervals: Intervals | None
    gaps: Gaps
    lost: int
    """Frames that our ring lost, by the metadata or the runs written down, whichever is more: also
    those after the last frame of the store."""
    clock_steps: tuple[ClockStep, ...]
    extra: ExtraSummary
    recoveries: tuple[Entry, ...]
    problems: tuple[str, ...]
    """What cannot be read, one line each."""

    @property
    def length_s(self) -> float | None:
        """From the first frame to the last."""
        if self.first_time_ns is None or self.last_time_ns is None:
            return None
        return (self.last_time_ns - self.first_time_ns) / 1e9


def store_report(path: Path) -> StoreReport:
    """What there is to say of the store at `path`. The reader's errors for one that does not open;
    what else cannot be read is in `problems`."""
    with StoreReader(path) as store:
        problems = list(store.problems)
        records = _records(path, problems)
        numbers, times_ns = store.numbers, store.times_ns
        runs = lost_runs(records) or noted_lost_runs(ours_in(store.user_metadata).get("lost_runs"))
        has = store.frame_count > 0
        return StoreReport(
            path=path, metadata=store.metadata, user_metadata=store.user_metadata,
            timezone=store.timezone, frame_count=store.frame_count,
            chunk_count=len(store.index.chunk_numbers),
            number_first=numbers[0].item() if has else None,
            number_last=numbers[-1].item() if has else None,
            first_time_ns=int(times_ns[0]) if has else None,
            last_time_ns=int(times_ns[-1]) if has else None,
            told_hz=nominal_rate(store.user_metadata), intervals=intervals(numbers, times_ns),
            gaps=gaps(numbers, times_ns, runs, paused_runs(records)),
            lost=max(_noted_lost(store), sum(run.count for run in runs)),
            clock_steps=tuple(clock_steps(records)), extra=summary(records),
            recoveries=_recoveries(path, problems), problems=tuple(problems))


def _records(path: Path, problems: list[str]) -> list[dict[str, Any]]:
    """The extra data as far as it can be read."""
    try:
        try:
            return list(iter_extra_records(path))
        except FieldrecError as error:
            problems.append(str(error))
            return list(iter_extra_records(path, ignore_corrupt=True))
    except (FieldrecError, ImportError, OSError) as error:
        if str(error) not in problems:
            problems.append(f"extra data: {error}")
        return []


def _noted_lost(store: StoreReader) -> int:
    lost = ours_in(store.user_metadata).get("lost")
    return lost if isinstance(lost, int) else 0


def _recoveries(path: Path, problems: list[str]) -> tuple[Entry, ...]:
    if not path.is_dir():  # a movie
        return ()
    try:
        return tuple(read_entries(path))
    except (OSError, ValueError) as error:
        problems.append(f"{path}: the note of its recoveries cannot be read: {error}")
        return ()


def as_json(report: StoreReport) -> dict[str, Any]:
    """The report in types that JSON has; what a recording's own JSON says is not said again."""
    metadata = report.metadata
    found: dict[str, Any] = {
        "class": metadata.class_name, "format": metadata.format, "encoding": metadata.encoding,
        "shape": list(metadata.imgshape), "dtype": metadata.dtype,
        "chunksize": metadata.chunksize, "chunks": report.chunk_count,
        "number_first": report.number_first, "number_last": report.number_last,
        "length_s": report.length_s, "told_hz": report.told_hz,
        "intervals": None if report.intervals is None else dataclasses.asdict(report.intervals),
        "gaps": {**dataclasses.asdict(report.gaps), "dropped": report.gaps.dropped,
                 "largest": [{**dataclasses.asdict(gap), "missing": gap.missing,
                              "dropped": gap.dropped}
                             for gap in report.gaps.largest]},
        "lost": report.lost,
        "clock_steps": [dataclasses.asdict(step) for step in report.clock_steps],
        "extra_data": {"records": report.extra.records, "columns": dict(report.extra.columns),
                       "rate_hz": report.extra.rate_hz},
        "recoveries": [dataclasses.asdict(entry) for entry in report.recoveries],
        "problems": list(report.problems),
    }
    return found
