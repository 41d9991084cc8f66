"""The energy book: who is charged with what, against sums done by hand; and meters that lie."""

from __future__ import annotations

import random

import pytest

from fieldrec.core.model import Job, JobKind, JobState
from fieldrec.jobs.energy_book import ENTRIES, EnergyBook, Meters
from fieldrec.jobs.energy_figures import Entry

HOUR = 3600
GB = 10**9
EPOCH = 1_795_000_000 * 10**9


def used(box: Box, number: int) -> list[float | None]:
    told = box.book.used(number)
    assert told is not None
    return list(told)


def job(number: int, kind: JobKind = JobKind.EXPORT, size: int = 0, **more: float) -> Job:
    return Job(number, kind, "a", "u", "nas" if kind is JobKind.COPY else None, "High", False,
               False, JobState.RUNNING, "", 0, 0, size, 0, 0, **more)  # type: ignore[arg-type]


class Box:
    """Meters that go on as told, and a book that reads them twice a minute."""

    def __init__(self, book: EnergyBook | None = None) -> None:
        self.book = book or EnergyBook()
        self.now = Meters(0, None, 0.0, 0.0, 0.0, 0)
        self.book.update(self.now)

    def run(self, seconds: int, mw: float | None, *, daemon: float = 0.0, threads: float = 0.0,
            children: float = 0.0, write: int = 0, step: int = 30) -> None:
        """`daemon`, `threads`, `children` in processor seconds per second, `write` in bytes."""
        self.now = Meters(self.now.monotonic_ns, mw, *_rest(self.now))
        self.book.update(self.now)
        for _ in range(seconds // step):
            now = self.now
            self.now = Meters(
                now.monotonic_ns + step * 10**9, mw, now.daemon_cpu_s + daemon * step,
                now.job_threads_cpu_s + threads * step, now.children_cpu_s + children * step,
                now.written_bytes + write * step)
            self.book.update(self.now, EPOCH)

    def idle(self) -> None:
        self.run(2 * HOUR, 2000.0)


def _rest(now: Meters) -> tuple[float, float, float, int]:
    return now.daemon_cpu_s, now.job_threads_cpu_s, now.children_cpu_s, now.written_bytes


def record(box: Box, seconds: int, mw: float | None, *, write: int = 10_000_000,
           daemon: float = 0.3) -> None:
    box.book.recording_began(["right", "left"], box.now)
    box.run(seconds, mw, daemon=daemon, write=write)
    box.book.recording_ended(box.now, EPOCH)


def test_idling_is_learnt_and_belongs_to_nobody() -> None:
    box = Box()
    box.idle()
    idle = box.book.idle_mw()
    assert idle is not None and idle.likely == pytest.approx(2000)
    assert box.book.entries == ()


def test_a_recorded_hour() -> None:
    box = Box()
    box.idle()
    record(box, 3 * HOUR, 7000.0)
    assert len(box.book.entries) == 3  # a piece for each hour
    figure = box.book.per_recorded_hour(["left", "right"])
    both = box.book.per_recorded_hour()
    assert figure is not None and both is not None and figure.own_mw == both.own_mw
    assert figure.label == "left+right" and figure.hours == pytest.approx(3)
    assert figure.own_mw == pytest.approx(5000) and figure.whole_mw == pytest.approx(7000)
    assert figure.cpu_s_per_hour == pytest.approx(0.3 * HOUR)
    assert figure.bytes_per_hour == pytest.approx(36 * GB)
    assert figure.mwh_per_gb == pytest.approx(5000 / 36)
    assert box.book.per_recorded_hour(["other"]) is None
    written = box.book.bytes_per_hour()
    assert written is not None and written.likely == pytest.approx(36 * GB)
    assert written.origin == "mean of the last 3.0 h recorded"


def test_without_a_power_reading_there_is_processor_time() -> None:
    box = Box()
    record(box, HOUR, None)
    figure = box.book.per_recorded_hour()
    assert figure is not None and figure.own_mw is figure.whole_mw is figure.mwh_per_gb is None
    assert figure.cpu_s_per_hour == pytest.approx(0.3 * HOUR)
    assert box.book.recording_mw() is None and box.book.idle_mw() is None


def test_an_export_pays_for_its_process_and_only_while_it_runs() -> None:
    box = Box()
    box.idle()
    box.book.job_began(job(1), box.now)
    box.run(1800, 12_000.0, children=3.8, daemon=0.01)
    box.book.job_held(job(1), box.now)
    box.run(HOUR, 2000.0)
    box.book.job_began(job(1), box.now)
    box.run(1800, 12_000.0, children=3.8, daemon=0.01)
    assert used(box, 1) == [pytest.approx(3.8 * HOUR), pytest.approx(10_000)]
    box.book.job_ended(job(1, size=5 * GB), box.now, EPOCH)
    figure = box.book.per_export_hour("High")
    assert figure is not None and figure.hours == pytest.approx(1)
    assert figure.own_mw == pytest.approx(10_000)
    assert figure.cpu_s_per_gb == pytest.approx(3.8 * HOUR / 5)
    assert box.book.used(1) is None


def test_a_copy_beside_a_recording_pays_for_what_is_more() -> None:
    """The recording is charged with what it drew alone, whatever its processor time is now."""
    box = Box()
    box.idle()
    record(box, HOUR, 6000.0)
    box.book.recording_began(["left", "right"], box.now)
    box.book.job_began(job(2, JobKind.COPY), box.now)
    box.run(HOUR - 60, 8500.0, daemon=0.8, threads=0.5)
    assert used(box, 2) == [pytest.approx(0.5 * (HOUR - 60)),
                            pytest.approx(2500 * (HOUR - 60) / HOUR)]
    box.book.job_ended(job(2, JobKind.COPY, 100 * GB), box.now, EPOCH)
    copied = box.book.figure("copy", "nas")
    assert copied is not None
    assert copied.mwh_per_gb == pytest.approx(25 * (HOUR - 60) / HOUR)
    box.book.recording_ended(box.now, EPOCH)
    entry = box.book.entries[-1]
    assert entry.cpu_s == pytest.approx(0.3 * (HOUR - 60))
    assert entry.mwh == pytest.approx(4000 * (HOUR - 60) / HOUR)


def test_before_anything_is_known_processor_time_decides() -> None:
    box = Box()
    box.book.recording_began(["left"], box.now)
    box.book.job_began(job(2, JobKind.COPY), box.now)
    box.run(HOUR, 8000.0, daemon=0.8, threads=0.2)
    assert used(box, 2)[1] == pytest.approx(2000)


def test_jobs_side_by_side_share() -> None:
    box = Box()
    box.idle()
    box.book.job_began(job(1), box.now)
    box.book.job_began(job(2, JobKind.COPY), box.now)
    box.book.job_began(job(3, JobKind.COPY), box.now)
    box.run(HOUR, 10_000.0, threads=0.5, daemon=0.6, children=1.5)
    assert [used(box, number)[0] for number in (1, 2, 3)] == [
        pytest.approx(1.5 * HOUR), pytest.approx(0.25 * HOUR), pytest.approx(0.25 * HOUR)]
    assert [used(box, number)[1] for number in (1, 2, 3)] == [
        pytest.approx(6000), pytest.approx(1000), pytest.approx(1000)]
    box.run(60, 10_000.0)  # nobody computes: equal shares
    assert used(box, 1)[1] == pytest.approx(6000 + 8000 / 60 / 3)


def test_a_job_goes_on_after_a_restart_with_what_it_had() -> None:
    box = Box()
    box.book.job_began(job(1, cpu_s=100.0, energy_mwh=50.0), box.now)
    assert box.book.used(1) == (100.0, 50.0)
    box.run(60, None, children=1.0)
    assert box.book.used(1) == (160.0, 50.0)
    box.book.job_began(job(4, cpu_s=100.0), box.now)
    assert box.book.used(4) == (100.0, None)


@pytest.mark.parametrize("mw", [-5000.0, 0.0, float("nan"), float("inf"), 1e12, None])
def test_power_that_cannot_be_is_not_counted(mw: float | None) -> None:
    box = Box()
    box.run(HOUR, mw)
    assert box.book.idle == (0.0, 0.0)
    record(box, HOUR, mw)
    entry = box.book.entries[-1]
    assert (entry.measured_s, entry.mwh, entry.idle_mwh) == (0, 0, 0)
    assert entry.seconds == pytest.approx(HOUR)


def test_a_step_that_nobody_watched_is_not_counted() -> None:
    box = Box()
    box.book.recording_began(["a"], box.now)
    box.run(8 * HOUR, 7000.0, step=HOUR)
    box.book.recording_ended(box.now, EPOCH)
    assert all(entry.measured_s == 0 for entry in box.book.entries)
    assert sum(entry.seconds for entry in box.book.entries) == pytest.approx(8 * HOUR)


def test_meters_that_run_back_give_nothing() -> None:
    box = Box()
    box.book.recording_began(["a"], box.now)
    box.run(60, 5000.0, daemon=1.0, write=GB)
    box.book.update(Meters(box.now.monotonic_ns - 10**9, 5000.0, 0, 0, 0, 0))
    box.book.update(Meters(box.now.monotonic_ns + 20 * 10**9, 5000.0, 0, 0, 0, 0))
    box.book.recording_ended(Meters(box.now.monotonic_ns + 21 * 10**9, None, 0, 0, 0, 0), EPOCH)
    entry = box.book.entries[-1]
    assert entry.cpu_s == pytest.approx(60) and entry.size_bytes == 60 * GB
    assert entry.mwh >= 0


def test_what_is_too_short_and_what_is_too_much_is_left_out() -> None:
    box = Box()
    record(box, 5, 5000.0)
    assert box.book.entries == ()
    box.book.recording_ended(box.now, EPOCH)  # none under way
    box.book.job_ended(job(9), box.now, EPOCH)
    many = EnergyBook([Entry("copy", "nas", number, 60) for number in range(2 * ENTRIES)])
    assert len(many.entries) == ENTRIES
    assert many.entries[-1].ended_ns == 2 * ENTRIES - 1


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_charged_twice_nor_lost(seed: int) -> None:
    """Whatever begins and ends beside each other: shares are never negative and add up to what the
    box drew while anything was under way."""
    rng = random.Random(seed)
    box, drawn = Box(), 0.0
    box.idle()
    under_way: set[int] = set()
    recording = False
    for _ in range(60):
        which = rng.randrange(5)
        if which == 0:
            recording = not recording
            if recording:
                box.book.recording_began(["a"], box.now)
            else:
                box.book.recording_ended(box.now, EPOCH)
        elif which in under_way:
            under_way.discard(which)
            box.book.job_ended(job(which, (JobKind.EXPORT, JobKind.COPY)[which % 2]), box.now,
                               EPOCH)
        else:
            under_way.add(which)
            box.book.job_began(job(which, (JobKind.EXPORT, JobKind.COPY)[which % 2]), box.now)
        power = rng.choice([1500.0, 4000.0, 9000.0])
        seconds = 30 * rng.randrange(1, 8)
        if recording or under_way:
            drawn += power * seconds / HOUR
        box.run(seconds, power if recording or under_way else None, daemon=rng.random(),
                threads=rng.random(), children=rng.random())
    box.book.recording_ended(box.now, EPOCH)
    for number in under_way:
        box.book.job_ended(job(number), box.now, EPOCH)
    own = sum(entry.mwh for entry in box.book.entries)
    assert all(entry.mwh >= 0 and entry.idle_mwh >= 0 for entry in box.book.entries)
    alone = sum(entry.idle_mwh for entry in box.book.entries)
    assert own <= drawn + 1e-6
    assert own + alone >= 0.98 * drawn
