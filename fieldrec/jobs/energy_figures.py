"""What was used, entry by entry, and what an hour of it comes to. Pure; any thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fieldrec.jobs.forecast import Figure

RECORDING = "recording"
LEAST_PIECE_S = 10.0
"""What is shorter says little of an hour."""
LATEST = 50
"""Entries that a figure looks at: seasons and cameras change."""
FEW, FEW_LEAST, FEW_MOST = 3, 0.7, 1.4
"""With fewer entries than this the span of a figure is these parts of its mean."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One recording (a piece of it, an hour at most) or one finished job."""

    kind: str
    """"recording", or the job's."""
    label: str
    """Cameras, preset or destination."""
    ended_ns: int
    """Epoch."""
    seconds: float = 0.0
    """Under way; a job that is held is not."""
    measured_s: float = 0.0
    """Of these, with a power reading."""
    mwh: float = 0.0
    """Drawn meanwhile above idling…"""
    idle_mwh: float = 0.0
    """…and by idling."""
    cpu_s: float = 0.0
    size_bytes: int = 0
    """Written, exported or copied."""


@dataclass(frozen=True, slots=True)
class EnergyFigure:
    """What an hour of something costs, by its latest entries."""

    kind: str
    label: str
    """"" for all labels together."""
    entries: int
    hours: float
    measured_hours: float
    own_mw: float | None
    """Above idling; Wh per hour are W. None where no power was ever read."""
    whole_mw: float | None
    """With the idling of the box."""
    cpu_s_per_hour: float
    bytes_per_hour: int
    mwh_per_gb: float | None
    cpu_s_per_gb: float | None
    """None where nothing was written or copied."""


def figure_of(entries: Sequence[Entry], kind: str, label: str | None = None
              ) -> EnergyFigure | None:
    """By the latest entries of this kind (and label); None where there are none."""
    found = latest(entries, kind, label)
    seconds = sum(entry.seconds for entry in found)
    if seconds <= 0:
        return None
    measured_s = sum(entry.measured_s for entry in found)
    own, idle = sum(e.mwh for e in found), sum(e.idle_mwh for e in found)
    size, cpu_s = sum(e.size_bytes for e in found), sum(e.cpu_s for e in found)
    gigabytes = size / 1e9
    known = measured_s >= LEAST_PIECE_S
    return EnergyFigure(
        kind, label or "", len(found), seconds / 3600, measured_s / 3600,
        own_mw=own * 3600 / measured_s if known else None,
        whole_mw=(own + idle) * 3600 / measured_s if known else None,
        cpu_s_per_hour=cpu_s * 3600 / seconds, bytes_per_hour=int(size * 3600 / seconds),
        mwh_per_gb=own * seconds / measured_s / gigabytes if known and size else None,
        cpu_s_per_gb=cpu_s / gigabytes if size else None)


def latest(entries: Sequence[Entry], kind: str, label: str | None) -> list[Entry]:
    """The newest of a kind, and of a label unless that is None."""
    return [entry for entry in entries
            if entry.kind == kind and label in (None, entry.label)][-LATEST:]


def spread(amounts: Sequence[tuple[float, float]], what: str) -> Figure | None:
    """Of (amount, hours): the mean, and what the single ones lie between."""
    hours = sum(length for _, length in amounts)
    if hours <= 0:
        return None
    mean = sum(amount for amount, _ in amounts) / hours
    each = [amount / length for amount, length in amounts if length > 0]
    least, most = ((min(each), max(each)) if len(each) >= FEW
                   else (FEW_LEAST * mean, FEW_MOST * mean))
    return Figure(least, mean, most, f"mean of the last {hours:.1f} h {what}")
