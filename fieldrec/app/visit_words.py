"""What is said of a drive's visit: what it gets, how long that takes, how far it is, what came of
it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fieldrec.core.model import Drive, Job, JobKind, JobState
from fieldrec.drives import link
from fieldrec.drives.accept import Serving, described
from fieldrec.jobs.moments import span
from fieldrec.record.storage import size_text
from fieldrec.status.words import plural

MOST_LISTED = 10
"""Jobs that did not end well and are named one by one."""
DONE_WORDS = {JobKind.COPY: "copied", JobKind.MOVE: "moved", JobKind.EXPORT: "exported",
              JobKind.DELETE: "deleted", JobKind.DELETE_RAW: "freed of its raw"}
_VERBS = {"copy": "copy", "move": "move", "export": "export"}
_PAST = {"copy": "copied", "move": "moved", "export": "exported"}


@dataclass(frozen=True, slots=True)
class Tally:
    """How far a visit is."""

    gets: Serving
    jobs: tuple[Job, ...]
    bytes_of: Mapping[str, int]
    """What each recording was reckoned to write there, by its name."""
    stays: Mapping[str, int]

    @property
    def failed(self) -> list[Job]:
        """Jobs that ended otherwise than they should; what does not fit is told apart."""
        return [job for job in self.jobs if job.state in (JobState.FAILED, JobState.CANCELLED)
                and job.item not in self.stays]

    @property
    def bringing(self) -> list[Job]:
        """Jobs that bring something that was not there."""
        return [job for job in self.jobs if job.kind in _BRING and self.bytes_of.get(job.item, 1)]

    @property
    def new(self) -> list[Job]:
        """Those of them that are done."""
        return [job for job in self.bringing if job.state is JobState.DONE]


_BRING = (JobKind.COPY, JobKind.MOVE, JobKind.EXPORT)


def asked_less(gets: Serving, drive: Drive, doubt: str = "") -> str:
    """Why a drive gets less than is configured, and what to do; `doubt`: of its size."""
    if gets.on_insert == "export" and doubt:
        return f"exports only: {doubt}"
    if gets.on_insert == "export" and not drive.known:
        return (f"exports only, and nothing is deleted here: it is unknown to this recorder; for "
                f"moves mark it with `fieldrec drive prepare {drive.device}`")
    return f"copies only: {gets.why}"


def seconds_for(size_bytes: int, write_rate: float, read_rate: float, link_mbps: int | None
                ) -> float:
    """How long writing so much and reading it back will take: as fast as the drive was before, else
    as its USB 2 link allows; 0 while nothing tells."""
    if link_mbps is not None and link.is_slow(link_mbps):
        limit = 1e9 / link.seconds_for(link_mbps, 1_000_000_000)
        write_rate, read_rate = (min(rate or limit, limit) for rate in (write_rate, read_rate))
    if write_rate <= 0:
        return 0.0
    return size_bytes / write_rate + size_bytes / (read_rate or write_rate)


def plan(gets: Serving, new: int, size_bytes: int, there: int, seconds: float) -> str:
    """"14 recordings to copy, 212.3 GB, about 1 h 50 min; 3 are there already (copies; then
    eject)"."""
    said = []
    if new:
        said.append(f"{plural(new, 'recording')} to {_VERBS.get(gets.on_insert, 'copy')}, "
                    f"{size_text(size_bytes)}" + (f", about {span(seconds)}" if seconds >= 1
                                                  else ""))
    if there:
        said.append(f"{there} {'is' if there == 1 else 'are'} there already")
    if not said:
        said.append("none of its recordings fits")
    return f"{'; '.join(said)} ({described(gets)})"


def progress(tally: Tally) -> str:
    """"5 of 14 copied, 80.2 of 212.3 GB, about 1 h 10 min left"; "" where there is nothing to
    do."""
    jobs = tally.bringing
    going = [job for job in jobs if not job.state.finished]
    if not going:
        return ""
    total = sum(tally.bytes_of.get(job.item, 0) for job in jobs)
    written = sum(_written(job, tally.bytes_of.get(job.item, 0)) for job in jobs)
    said = (f"{len(tally.new)} of {len(jobs)} {_PAST.get(tally.gets.on_insert, 'copied')}, "
            f"{size_text(written)} of {size_text(total)}")
    left = [job.seconds_left for job in going]
    if all(seconds is not None for seconds in left):
        said += f", about {span(sum(seconds or 0.0 for seconds in left))} left"
    waits = [job for job in going if job.state is JobState.WAITING and job.reason]
    return said + (f"; waiting: {waits[0].reason}" if len(waits) == len(going) else "")


def done(tally: Tally, seconds: float) -> str:
    """"14 recordings copied and verified, 212.3 GB in 1 h 44 min"."""
    if not tally.new:
        return "" if tally.jobs or tally.stays else "there is nothing to bring to it"
    return (f"{plural(len(tally.new), 'recording')} {_PAST.get(tally.gets.on_insert, 'copied')} "
            f"and verified, {size_text(_brought(tally))} in {span(seconds)}")


def note(tally: Tally) -> str:
    """What stands beside SAFE: "14 recordings, 212.3 GB", or what is missing; "" for a drive that
    had all before."""
    said = []
    if tally.failed:
        what = _PAST.get(tally.gets.on_insert, "copied")
        said.append(f"{len(tally.failed)} of {len(tally.jobs)} not {what}, see jobs")
    if tally.stays:
        said.append(f"{len(tally.stays)} did not fit, "
                    f"{size_text(sum(tally.stays.values()))}: use another drive")
    if tally.new:
        said.append(f"{plural(len(tally.new), 'recording')}, {size_text(_brought(tally))}")
    return "; ".join(said)


def _brought(tally: Tally) -> int:
    """Bytes; as reckoned where a job does not tell: an export counts those of its raw."""
    return sum((0 if job.kind is JobKind.EXPORT else job.total_bytes)
               or tally.bytes_of.get(job.item, 0) for job in tally.new)


def _written(job: Job, size_bytes: int) -> int:
    """What a job has brought, of so much: while it reads back all is written."""
    if job.state in (JobState.DONE, JobState.VERIFYING, JobState.COMMITTING,
                     JobState.DELETING_SOURCE):
        return size_bytes
    if job.state is not JobState.RUNNING or job.total_bytes <= 0:
        return 0
    return min(size_bytes * job.done_bytes // job.total_bytes, size_bytes)
