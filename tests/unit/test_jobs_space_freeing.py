"""Which recordings go when room is short: a table, and rules that hold for any box."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest

from fieldrec.core.model import Export, Job, JobKind, JobState, Recording, RecordingState
from fieldrec.jobs.space_freeing import Freeing, freeings_wanted, size_of
from fieldrec.jobs.verified_copies import VerifiedCopies, VerifiedCopy

GB = 10**9
HERE = Path("/rec")


def recording(number: int, gigabytes: int = 10, **more: object) -> Recording:
    made = Recording(f"r{number}", f"u{number}", "cam", HERE / f"r{number}",
                     RecordingState.COMPLETE, None, 5, number * 100, number * 100 + 50, 0, 0,
                     gigabytes * GB, "", "UTC")
    return dataclasses.replace(made, **more)  # type: ignore[arg-type]


def copy(number: int, destination: str = "nas", at: int = 1000) -> VerifiedCopy:
    return VerifiedCopy(f"u{number}", f"r{number}", destination, "", at, "f", GB)


def job(number: int, kind: JobKind, state: JobState = JobState.WAITING,
        destination: str | None = None, changed: int = 2000, job_id: int = 7) -> Job:
    return Job(job_id, kind, f"r{number}", f"u{number}", destination, "High", False, False, state,
               "", 0, 0, 0, 0, changed)


def wanted(recordings: list[Recording], copies: list[VerifiedCopy], jobs: list[Job] | None = None,
           *, needed: int = 25 * GB, least: int = 1, present: tuple[str, ...] = ()
           ) -> list[Freeing]:
    return freeings_wanted(recordings, VerifiedCopies(copies).of, jobs or [], needed_bytes=needed,
                           copies=least, present=present, folders=[HERE])


def names(found: list[Freeing]) -> list[str]:
    return [one.recording.name for one in found]


FIVE = [recording(number) for number in (3, 1, 5, 2, 4)]
COPIES = [copy(number) for number in range(1, 6)]


def test_the_oldest_first_and_only_as_many_as_needed() -> None:
    assert names(wanted(FIVE, COPIES)) == ["r1", "r2", "r3"]
    assert names(wanted(FIVE, COPIES, needed=20 * GB)) == ["r1", "r2"]
    assert names(wanted(FIVE, COPIES, needed=1)) == ["r1"]
    assert wanted(FIVE, COPIES, needed=0) == wanted(FIVE, COPIES, needed=-GB) == []
    assert len(wanted(FIVE, COPIES, needed=10**18)) == 5


def test_only_what_is_verified() -> None:
    assert names(wanted(FIVE, [copy(2), copy(4)])) == ["r2", "r4"]
    other = dataclasses.replace(copy(1), uuid="another recording of that name")
    assert wanted(FIVE, [other]) == []
    both = [copy(1), copy(1, "drive:A"), copy(2), copy(3, "drive:A")]
    assert names(wanted(FIVE, both, least=2)) == ["r1"]


@pytest.mark.parametrize(("one", "goes"), [
    (job(1, JobKind.EXPORT), True),
    (job(1, JobKind.DELETE_RAW), True),
    (job(1, JobKind.EXPORT, JobState.RUNNING), False),
    (job(1, JobKind.EXPORT, destination="nas"), False),
    (job(1, JobKind.COPY, destination="drive:B"), False),
    (job(1, JobKind.MOVE, destination="drive:B"), False),
    (job(1, JobKind.COPY, JobState.DONE, "nas"), True),
    (job(1, JobKind.COPY, JobState.FAILED, "drive:B"), True),
    (job(1, JobKind.DELETE), False),
    (job(1, JobKind.DELETE, JobState.FAILED, "nas"), False),
    (job(1, JobKind.DELETE, JobState.CANCELLED, "nas"), False),
    (job(1, JobKind.DELETE, JobState.FAILED, "nas", changed=999), True),
    (job(1, JobKind.DELETE, JobState.FAILED, "drive:B"), True),
    (job(2, JobKind.COPY, destination="drive:B"), True),
])
def test_jobs_that_want_the_recording(one: Job, goes: bool) -> None:
    """By default the destination's copy is of time 1000, jobs changed at 2000."""
    found = wanted([recording(1)], [copy(1)], [one])
    assert names(found) == (["r1"] if goes else [])
    if found:
        assert found[0].gives_up == (
            (7,) if not one.state.finished and one.item == "r1" else ())


@pytest.mark.parametrize("state", [state for state in RecordingState
                                   if state is not RecordingState.COMPLETE])
def test_only_what_is_complete(state: RecordingState) -> None:
    assert wanted([recording(1, state=state)], [copy(1)]) == []


def test_a_disk_that_is_not_there_has_nothing_to_give() -> None:
    away = recording(1, path=Path("/dead/r1"))
    assert names(wanted([away, recording(2)], [copy(1), copy(2)])) == ["r2"]


def test_what_is_being_deleted_counts_already() -> None:
    jobs = [job(1, JobKind.DELETE, JobState.RUNNING, "nas"), job(2, JobKind.DELETE, job_id=8)]
    assert names(wanted(FIVE, COPIES, jobs)) == ["r3"]
    assert wanted(FIVE, COPIES, jobs, needed=20 * GB) == []


def test_exports_count_and_a_raw_that_is_gone_does_not() -> None:
    export = Export(HERE / "x.mp4", "High", 5, 2 * GB, "", 0)
    assert size_of(recording(1, exports=(export,))) == 12 * GB
    assert size_of(recording(1, exports=(export,), has_raw=False)) == 2 * GB


def test_a_present_destination_is_looked_at_rather_than_a_later_one() -> None:
    copies = [copy(1, "nas", 10), copy(1, "drive:A", 20)]
    assert wanted([recording(1)], copies)[0].copy.destination == "drive:A"
    assert wanted([recording(1)], copies, present=("nas",))[0].copy.destination == "nas"


@pytest.mark.parametrize("seed", range(20))
def test_any_box(seed: int) -> None:
    """Never more than needed, never what is not verified, always the oldest that may go."""
    rng = random.Random(seed)
    recordings = [recording(number, rng.randrange(1, 30)) for number in range(30)]
    rng.shuffle(recordings)
    copies = [copy(number) for number in range(30) if rng.random() < 0.7]
    jobs = [job(number, rng.choice(list(JobKind)), rng.choice(list(JobState)),
                rng.choice([None, "nas"]), job_id=number) for number in range(30)
            if rng.random() < 0.4]
    needed = rng.randrange(1, 300) * GB
    found = wanted(recordings, copies, jobs, needed=needed)
    covered = {one.uuid for one in copies}
    assert all(one.recording.uuid in covered for one in found)
    ages = [one.recording.first_time_ns or 0 for one in found]
    assert ages == sorted(ages)
    assert sum(one.frees_bytes for one in found[:-1]) < needed
    again = wanted(recordings, copies, [*jobs, *(
        job(int(one.recording.name[1:]), JobKind.DELETE, JobState.QUEUED, "nas", job_id=99)
        for one in found)], needed=needed)
    if sum(one.frees_bytes for one in found) >= needed:
        assert again == []
