"""What recording and jobs use: energy where the battery tells its power, processor time always.

Event loop; pure: the meters are read by the app (app/energy_watch.py), rows are kept by
:class:`fieldrec.jobs.book_rows.BookRows`. Losing the book loses no data (I6): forecasts begin anew.

The rule of attribution. Power counts only while the box runs on its battery, as the mean of the two
readings at the ends of a step, if both are believable and the step is short. What the box draws
while nothing is recorded and no job runs is its *idling*, learnt as it goes, and belongs to nobody.
Of what is above it a recording alone gets all. Beside jobs it gets what it drew alone before, and
the jobs share the rest by their processor time; where that is not known, all share by processor
time. Processor time of the daemon while recording is the recording's, but for its job threads',
which copies and deletions under way share; that of child processes is shared by the exports.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fieldrec.core.model import Job, JobKind
from fieldrec.jobs.energy_figures import (
    LEAST_PIECE_S,
    RECORDING,
    EnergyFigure,
    Entry,
    figure_of,
    latest,
    spread,
)
from fieldrec.jobs.forecast import Figure

MOST_MW = 2_000_000.0
"""A reading above this is a gauge's nonsense: no field box draws 2 kW."""
MOST_STEP_S = 90.0
"""A longer step was not watched (the box slept, the gauge was silent): its power is not counted."""
IDLE_OVER_S = 3600.0
"""Over so much time what idling draws is smoothed."""
LEAST_IDLE_S = 60.0
"""Before so much was seen, idling is not known."""
PIECE_S = 3600.0
"""A long recording is booked in pieces of an hour, so that little is lost and hours can differ."""
ENTRIES = 500
"""That are kept."""


@dataclass(frozen=True, slots=True)
class Meters:
    """What the box's meters say at one moment; counts only grow."""

    monotonic_ns: int
    power_mw: float | None
    """Drawn from the battery; None on mains, and where nothing tells."""
    daemon_cpu_s: float
    """Of this process."""
    job_threads_cpu_s: float
    """Of that, what its job threads used."""
    children_cpu_s: float
    """Of all child processes, running or ended."""
    written_bytes: int
    """By the recordings."""


@dataclass(slots=True)
class _Open:
    """Something under way."""

    entry: Entry
    running: bool = True
    before: tuple[float, float | None] = (0.0, None)
    """Processor seconds and mWh of a job before the last restart."""


class EnergyBook:
    """The entries, and what is under way. Every method is called on the loop."""

    def __init__(self, entries: Iterable[Entry] = (), idle_mw: float = 0.0, idle_s: float = 0.0
                 ) -> None:
        """As kept from earlier; `idle_s`: how long idling was watched."""
        self._entries = list(entries)[-ENTRIES:]
        self._idle_mw = idle_mw
        self._idle_s = idle_s
        self._open: dict[int | None, _Open] = {}
        """By the job's number; None: the recording."""
        self._last: Meters | None = None
        self.new: list[Entry] = []
        """Entries that were not written yet; whoever writes them takes them out."""

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Oldest first."""
        return tuple(self._entries)

    @property
    def idle(self) -> tuple[float, float]:
        """(mW, seconds watched) of idling."""
        return self._idle_mw, self._idle_s

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return any(one.running for one in self._open.values())

    # -- what begins and ends: the meters are read first, so that each step has one set of users ---

    def recording_began(self, cameras: Sequence[str], meters: Meters) -> None:
        """Cameras began to record together."""
        self.update(meters)
        self._open[None] = _Open(Entry(RECORDING, "+".join(sorted(cameras)), 0))

    def recording_ended(self, meters: Meters, epoch_ns: int) -> None:
        """The recording is over; nothing where none was under way."""
        self.update(meters)
        one = self._open.pop(None, None)
        if one is not None:
            self._book(one.entry, epoch_ns)

    def job_began(self, job: Job, meters: Meters) -> None:
        """A job runs, or goes on."""
        self.update(meters)
        one = self._open.get(job.id)
        if one is not None:
            one.running = True
            return
        label = job.preset if job.kind in (JobKind.EXPORT, JobKind.DELETE_RAW) else job.destination
        self._open[job.id] = _Open(Entry(job.kind.value, label or "", 0),
                                   before=(job.cpu_s, job.energy_mwh))

    def job_held(self, job: Job, meters: Meters) -> None:
        """A job stands still: it waits or is queued again."""
        self.update(meters)
        if (one := self._open.get(job.id)) is not None:
            one.running = False

    def job_ended(self, job: Job, meters: Meters, epoch_ns: int) -> None:
        """A job is over, whatever came of it."""
        self.update(meters)
        one = self._open.pop(job.id, None)
        if one is not None and one.entry.seconds > 0:
            self._book(dataclasses.replace(one.entry, size_bytes=max(job.total_bytes, 0)), epoch_ns)

    def used(self, job_id: int) -> tuple[float, float | None] | None:
        """(processor seconds, mWh or None) of a job under way; None where it is not."""
        one = self._open.get(job_id)
        if one is None:
            return None
        cpu_s, mwh = one.before
        now = one.entry
        return cpu_s + now.cpu_s, (mwh or 0.0) + now.mwh if now.measured_s > 0 else mwh

    # -- the meters --------------------------------------------------------------------------------

    def update(self, meters: Meters, epoch_ns: int = 0) -> None:
        """Share out what was used since the last call. With `epoch_ns` a recording that has gone
        on for an hour is booked up to here."""
        last, self._last = self._last, meters
        if last is None or meters.monotonic_ns <= last.monotonic_ns:
            return
        step = _Step(last, meters)
        running = {key: one for key, one in self._open.items() if one.running}
        cpu_s = {key: self._cpu_s(key, running, step) for key in running}
        power_mw = step.power_mw
        if power_mw is not None and not running:
            self._learn_idle(power_mw, step.seconds)
        above = self._above(running.keys(), cpu_s, power_mw)
        for key, one in running.items():
            one.entry = _more(one.entry, step, cpu_s[key], above.get(key), self._idling(power_mw),
                              step.written_bytes if key is None else 0)
        recording = self._open.get(None)
        if epoch_ns and recording is not None and recording.entry.seconds >= PIECE_S:
            self._book(recording.entry, epoch_ns)
            recording.entry = Entry(RECORDING, recording.entry.label, 0)

    def _cpu_s(self, key: int | None, running: dict[int | None, _Open], step: _Step) -> float:
        if key is None:
            return max(step.daemon_cpu_s - step.job_threads_cpu_s, 0.0)
        exports = [k for k, one in running.items() if one.entry.kind == JobKind.EXPORT.value]
        if key in exports:
            return step.children_cpu_s / len(exports)
        return step.job_threads_cpu_s / (len(running) - len(exports) - (None in running))

    def _above(self, keys: Iterable[int | None], cpu_s: dict[int | None, float],
               power_mw: float | None) -> dict[int | None, float]:
        """mW above idling of each; {} where power is not known."""
        users = list(keys)
        if power_mw is None or not users:
            return {}
        rest = power_mw - self._idling(power_mw)
        shares: dict[int | None, float] = {}
        if None in users and len(users) > 1 and (alone := self._alone_mw()) is not None:
            shares[None] = min(alone, rest)
            rest -= shares[None]
            users.remove(None)
        total = sum(cpu_s[key] for key in users)
        for key in users:
            shares[key] = rest * (cpu_s[key] / total if total > 0 else 1 / len(users))
        return shares

    def _alone_mw(self) -> float | None:
        """What recording with these cameras drew above idling before."""
        one = self._open[None].entry
        figure = self.figure(RECORDING, one.label)
        if figure is not None and figure.own_mw is not None:
            return figure.own_mw
        return one.mwh * 3600 / one.measured_s if one.measured_s >= LEAST_PIECE_S else None

    def _idling(self, power_mw: float | None) -> float:
        known = self._idle_mw if self._idle_s >= LEAST_IDLE_S else 0.0
        return 0.0 if power_mw is None else min(known, power_mw)

    def _learn_idle(self, power_mw: float, seconds: float) -> None:
        over_s = max(min(self._idle_s + seconds, IDLE_OVER_S), seconds)
        self._idle_mw += (power_mw - self._idle_mw) * seconds / over_s
        self._idle_s = min(self._idle_s + seconds, 1e9)

    def _book(self, entry: Entry, epoch_ns: int) -> None:
        if entry.kind == RECORDING and entry.seconds < LEAST_PIECE_S:
            return
        entry = dataclasses.replace(entry, ended_ns=epoch_ns)
        self._entries = [*self._entries, entry][-ENTRIES:]
        self.new.append(entry)

    # -- what it comes to --------------------------------------------------------------------------

    def per_recorded_hour(self, cameras: Sequence[str] | None = None) -> EnergyFigure | None:
        """Of recording with these cameras; None: with any. None where nothing is known."""
        return self.figure(RECORDING, None if cameras is None else "+".join(sorted(cameras)))

    def per_export_hour(self, preset: str | None = None) -> EnergyFigure | None:
        """Of an hour in which an export runs."""
        return self.figure(JobKind.EXPORT.value, preset)

    def figure(self, kind: str, label: str | None = None) -> EnergyFigure | None:
        """By the latest entries of this kind (and label); None where there are none."""
        return figure_of(self._entries, kind, label)

    def bytes_per_hour(self, cameras: Sequence[str] | None = None) -> Figure | None:
        """What recording writes, for a forecast; None where nothing was recorded yet."""
        label = None if cameras is None else "+".join(sorted(cameras))
        entries = latest(self._entries, RECORDING, label)
        return spread([(entry.size_bytes, entry.seconds / 3600) for entry in entries], "recorded")

    def recording_mw(self, cameras: Sequence[str] | None = None) -> Figure | None:
        """What recording draws above idling, for a forecast."""
        label = None if cameras is None else "+".join(sorted(cameras))
        entries = latest(self._entries, RECORDING, label)
        return spread([(entry.mwh, entry.measured_s / 3600) for entry in entries
                        if entry.measured_s >= LEAST_PIECE_S], "recorded on battery")

    def idle_mw(self) -> Figure | None:
        """What the box draws while it does nothing, for a forecast; None before that was seen."""
        if self._idle_s < LEAST_IDLE_S:
            return None
        return Figure(0.9 * self._idle_mw, self._idle_mw, 1.1 * self._idle_mw,
                      f"idling, watched for {self._idle_s / 3600:.1f} h")


@dataclass(frozen=True, slots=True)
class _Step:
    """What was used between two looks at the meters. What cannot be is taken as nothing."""

    last: Meters
    now: Meters

    @property
    def seconds(self) -> float:
        return (self.now.monotonic_ns - self.last.monotonic_ns) / 1e9

    @property
    def power_mw(self) -> float | None:
        """The mean over the step; None where it is not known or not to be believed."""
        if self.seconds > MOST_STEP_S:
            return None
        ends = [self.last.power_mw, self.now.power_mw]
        known = [mw for mw in ends if mw is not None and math.isfinite(mw) and 0 < mw <= MOST_MW]
        return sum(known) / 2 if len(known) == 2 else None

    @property
    def daemon_cpu_s(self) -> float:
        return max(self.now.daemon_cpu_s - self.last.daemon_cpu_s, 0.0)

    @property
    def job_threads_cpu_s(self) -> float:
        return max(self.now.job_threads_cpu_s - self.last.job_threads_cpu_s, 0.0)

    @property
    def children_cpu_s(self) -> float:
        return max(self.now.children_cpu_s - self.last.children_cpu_s, 0.0)

    @property
    def written_bytes(self) -> int:
        return max(self.now.written_bytes - self.last.written_bytes, 0)


def _more(entry: Entry, step: _Step, cpu_s: float, above_mw: float | None, idling_mw: float,
          written_bytes: int) -> Entry:
    hours = step.seconds / 3600
    measured = above_mw is not None
    return dataclasses.replace(
        entry, seconds=entry.seconds + step.seconds, cpu_s=entry.cpu_s + cpu_s,
        size_bytes=entry.size_bytes + written_bytes,
        measured_s=entry.measured_s + (step.seconds if measured else 0.0),
        mwh=entry.mwh + (above_mw or 0.0) * hours,
        idle_mwh=entry.idle_mwh + (idling_mw * hours if measured else 0.0))


