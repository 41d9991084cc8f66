"""Runs the jobs: decides, starts, holds, stops and retries. Event loop; what blocks runs in threads
of the jobs' own.

Admission says whether a job may run, order which go first: one at a time on each resource. One loop
decides everything anew whenever something changed, or when a moment comes at which time alone
changes something, and sleeps otherwise (no polling, idle costs nothing). An export that may not go
on is held by a signal, everything else stops at a slice and is queued again, with its drive given
back. Whatever ends this part, jobs are left QUEUED with their evidence on disk (I5).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fieldrec.config.loopy import LoopyConfig
from fieldrec.core.errors import DestinationAway, DriveGone, FieldrecError, NotFoundError
from fieldrec.core.model import Conditions, Job, JobKind, JobState, Recording, SpaceTier
from fieldrec.export.presets import Preset
from fieldrec.jobs import again, order
from fieldrec.jobs.admission import (
    Refuse,
    Run,
    Verdict,
    Wait,
    decide,
    describe_place,
    next_look_ns,
)
from fieldrec.jobs.expecting import Expecting
from fieldrec.jobs.exporting import MakeEncoder
from fieldrec.jobs.freeing import Evidence
from fieldrec.jobs.held import Held
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.jobs.moments import clock_time, span
from fieldrec.jobs.perform import Performer
from fieldrec.jobs.places import DestinationFactory, NotYet
from fieldrec.jobs.room import NoRoom
from fieldrec.jobs.source import Stopped

log = logging.getLogger(__name__)

ROOM_AGAIN_S = 60.0
"""Before a job that would not fit looks for room again: somebody else may have made some."""
HOLD_S = 0.1
"""A start of a recording waits this long for an encoder to have stopped. It takes 1 ms, and longer
only where the processor is too busy to run its idle threads, which then do no harm either."""
SHORTEST_LOOK_S, LONGEST_LOOK_S = 0.05, 900.0
"""Before a moment is looked for again: the wall clock may be set meanwhile, and moments are told by
it."""
_HOLD_LOOK_S = 0.001
_SHORT = (SpaceTier.ACT, SpaceTier.STOP)
_HELD_IN = (JobState.RUNNING, JobState.VERIFYING, JobState.WAITING)


@dataclass
class _Running:
    """One job under way."""

    job_id: int
    kind: JobKind
    task: asyncio.Task[None]
    held: Held
    stopping: bool = False


class JobRunner:
    """Owned by the app; :meth:`run` is its supervised task, :meth:`wake` its only nudge."""

    def __init__(self, queue: JobQueue, *,
                 catalogue: Callable[[], Awaitable[Sequence[Recording]]],
                 recordings: Sequence[Path],
                 destinations: Callable[[], Mapping[str, DestinationFactory]],
                 make_encoder: MakeEncoder, conditions: Callable[[], Conditions],
                 own_presets: Mapping[str, Preset] | None = None, keep_free_bytes: int = 0,
                 on_event: Callable[[str, str], None] = lambda _text, _severity: None,
                 on_fault: Callable[[Job, FieldrecError], None] = lambda _job, _error: None,
                 first_retry_s: float = again.FIRST_S, evidence: Evidence | None = None,
                 uploads: Mapping[str, LoopyConfig] | None = None) -> None:
        """`recordings`: every folder they may lie in; `own_presets` are the configuration's;
        `keep_free_bytes` of the recordings' disks are not for exports; `evidence` is asked before
        a recording goes because it is verified elsewhere; `uploads`: the destinations that take
        uploads. `conditions` and `destinations` are asked on the loop and must not block;
        `on_event` gets (text, severity), `on_fault` every error of a job, whether or not it is
        tried again."""
        self._queue = queue
        self._performer = Performer(queue, catalogue=catalogue, recordings=recordings,
                                    destinations=destinations, make_encoder=make_encoder,
                                    own_presets=own_presets, keep_free_bytes=keep_free_bytes,
                                    evidence=evidence, uploads=uploads)
        self._expecting = Expecting(queue, catalogue, own_presets or {})
        self._holding = 0
        """Starts of recordings under way: no export runs, whatever the conditions say yet."""
        self._left_over: set[int] = set()
        """Exports that came to a bad end: what they left is to be removed…"""
        self._removing: asyncio.Task[None] | None = None
        """…and is being removed."""
        self._conditions = conditions
        self._on_event = on_event
        self._on_fault = on_fault
        self._changed = asyncio.Event()
        self._running: dict[int, _Running] = {}
        self._again = again.Again(self._changed.set, first_retry_s)
        self._room_timers: dict[int, asyncio.TimerHandle] = {}
        self._look_timer: asyncio.TimerHandle | None = None
        self._not_yet: dict[int, str] = {}
        """Jobs whose recording was not ready at the last look, until the next :meth:`wake`."""
        queue.subscribe(self._on_job)

    def wake(self) -> None:
        """The conditions changed (power, recording, drives, recordings): decide again at once."""
        self._not_yet.clear()
        self._changed.set()

    @contextlib.asynccontextmanager
    async def exports_held(self) -> AsyncIterator[None]:
        """No export's process runs inside this block: recording begins in it (I9). Entering waits
        until the kernel says so, HOLD_S at most."""
        self._holding += 1
        try:
            exports = [one for one in self._running.values() if one.kind is JobKind.EXPORT]
            if not await self._have_stopped(exports):
                self._on_event(f"the export did not stop within {HOLD_S * 1000:.0f} ms, the "
                               "processor is busy; recording begins all the same", "info")
            yield
        finally:
            self._holding -= 1
            self.wake()

    async def _have_stopped(self, exports: Sequence[_Running]) -> bool:
        for running in exports:
            if not running.held.hold():
                _stop(running)  # it checks or deletes: soon at a slice
        until_s = asyncio.get_running_loop().time() + HOLD_S
        while not all(running.held.is_stopped() for running in exports):
            if asyncio.get_running_loop().time() >= until_s:
                return False
            await asyncio.sleep(_HOLD_LOOK_S)
        return True

    async def run(self) -> None:
        """Run jobs until cancelled; then every job is at a slice, QUEUED, and no thread is left."""
        self._changed.set()
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                await self._review()
        finally:
            await self._expecting.close()
            await self._stop_all()

    # -- deciding --------------------------------------------------------------------------------

    async def _review(self) -> None:
        """Decide about every unfinished job; hold, stop and start accordingly."""
        for running in list(self._running.values()):
            await self._review_running(running)
        self._remove_left_over()
        self._expecting.look()
        conditions = self._now()
        verdicts = self._arrange(conditions)
        for job_id, verdict in verdicts.items():
            await self._tell(job_id, verdict)
        self._look_in_time(conditions)

    def _arrange(self, conditions: Conditions) -> dict[int, Verdict]:
        """Start what may run and has its place, let others make way; the verdicts on the rest. All
        at one moment: nothing changes meanwhile."""
        self._again.look(conditions.present_destinations)
        unfinished = [job for job in self._queue.jobs() if not job.state.finished]
        verdicts = {job.id: self._verdict(job, conditions) for job in unfinished
                    if job.id not in self._running}
        admitted = [job for job in unfinished if isinstance(verdicts.get(job.id), Run)
                    and not (job.kind is JobKind.EXPORT and self._removing is not None)]
        arranged = order.arrange(admitted, self._jobs_running(), unfinished,
                                 space_short=conditions.space.tier in _SHORT)
        for job in arranged.make_way:
            _stop(self._running[job.id])
        for job in arranged.start:
            del verdicts[job.id]
            self._start(job)
        verdicts.update(arranged.waits)
        return verdicts

    def _now(self) -> Conditions:
        """The conditions; a recording that begins just now counts."""
        conditions = self._conditions()
        return replace(conditions, recording=True, export_share=0.0) if self._holding \
            else conditions

    def _jobs_running(self) -> list[Job]:
        """What is under way, WAITING only if it is held: one that was started just now has not said
        yet that it runs."""
        return [job if running.held.is_held or job.state is not JobState.WAITING
                else replace(job, state=JobState.QUEUED) for running in self._running.values()
                for job in (self._queue.job(running.job_id),)]

    def _verdict(self, job: Job, conditions: Conditions) -> Verdict:
        """Admission's word, then whether the job waits to be tried again."""
        verdict = decide(job, conditions)
        if not isinstance(verdict, Run):
            return verdict
        for reason in (self._again.away(job.destination), self._again.reason(job.id),
                       self._not_yet.get(job.id)):
            if reason is not None:
                return Wait(reason)
        return verdict

    async def _tell(self, job_id: int, verdict: Verdict) -> None:
        """Put the verdict on a job that does not run into its row."""
        job = self._queue.job(job_id)
        if job.state.finished or job_id in self._running:
            return  # cancelled since it was judged
        match verdict:
            case Wait(reason):
                await self._queue.set_state(job.id, JobState.WAITING, reason)
            case Refuse(reason):
                await self._fail(job, reason)
            case Run() if job.state is JobState.WAITING:
                await self._queue.set_state(job.id, JobState.QUEUED)

    async def _review_running(self, running: _Running) -> None:
        """Hold, let go or stop a job under way. What is decided is done before anything is waited
        for: conditions that are a moment old may be those from before a recording began."""
        job = self._queue.job(running.job_id)
        if job.state is JobState.CANCELLED:
            _stop(running)
        if job.state.finished:
            return  # done or failed: it only has that to say yet
        conditions = self._now()
        verdict = decide(job, conditions)
        if isinstance(verdict, Run) and running.held.is_held:
            others = [other for other in self._jobs_running() if other.id != job.id]
            verdict = order.may_go_on(job, others) or verdict
        if isinstance(verdict, Run):
            if running.held.let_go(verdict.share):
                await self._queue.set_state(job.id, JobState.RUNNING)
            elif running.held.verifying and job.state is JobState.RUNNING:
                await self._queue.set_state(job.id, JobState.VERIFYING)
        elif conditions.shutting_down or _place_gone(job, conditions) or not running.held.hold():
            _stop(running)  # whoever ejects the drive waits for its lease
        elif job.state in _HELD_IN:
            await self._queue.set_state(job.id, JobState.WAITING, verdict.reason)

    def _look_in_time(self, conditions: Conditions) -> None:
        """Decide again at the next moment at which time alone changes what is said of a job."""
        if self._look_timer is not None:
            self._look_timer.cancel()
            self._look_timer = None
        export = next((job for job in self._queue.jobs() if job.kind is JobKind.EXPORT
                       and not job.state.finished and not job.paused), None)
        soonest_ns = None if export is None else next_look_ns(export, conditions)
        if soonest_ns is not None:
            left_s = (soonest_ns - conditions.now_ns) / 1e9
            self._look_timer = asyncio.get_running_loop().call_later(
                min(max(left_s, SHORTEST_LOOK_S), LONGEST_LOOK_S), self._changed.set)

    def _remove_left_over(self) -> None:
        """Exports that were cancelled or failed leave nothing, wherever their recording lies. In a
        task of its own: a dead disk must not hold up what is decided here."""
        ready = self._left_over - self._running.keys()
        if not ready or self._removing is not None:
            return
        self._left_over -= ready
        self._removing = asyncio.create_task(self._remove(ready), name="job leavings")
        self._removing.add_done_callback(self._removed)

    async def _remove(self, job_ids: set[int]) -> None:
        for job_id in job_ids:
            with contextlib.suppress(NotFoundError):  # forgotten meanwhile
                job = self._queue.job(job_id)
                if job.state.finished:
                    await self._performer.exporting.discard(job)

    def _removed(self, task: asyncio.Task[None]) -> None:
        self._removing = None
        self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("what exports left was not removed", exc_info=error)

    # -- one job ---------------------------------------------------------------------------------

    def _start(self, job: Job) -> None:
        held = Held(self._changed.set)
        task = asyncio.create_task(self._perform(job, held), name=f"job {job.id}")
        self._running[job.id] = _Running(job.id, job.kind, task, held)

        def ended(_task: asyncio.Task[None]) -> None:
            del self._running[job.id]
            self._changed.set()

        task.add_done_callback(ended)

    async def _perform(self, job: Job, held: Held) -> None:
        """Run one job to its end, and put what came of it into its row."""
        try:
            await self._queue.set_state(job.id, JobState.RUNNING)
            said = await self._performer.perform(job, held)
            self._again.went_well(job.destination or "")
            await self._queue.set_state(job.id, JobState.DONE, said)
        except asyncio.CancelledError:
            await self._interrupted(job)
            raise
        except NotYet as not_yet:
            await self._not_now(job, not_yet)
        except Stopped:
            await self._interrupted(job)
        except FieldrecError as error:
            await self._failed(job, error)
        except OSError as error:
            await self._fail(job, str(error))
        except Exception as error:  # a bug in one job stops neither this part nor another job
            log.exception("job %d failed", job.id)
            await self._fail(job, f"{type(error).__name__}: {error}; please report this")

    def _on_job(self, job: Job) -> None:
        """A job has changed. Its end is said here, before anybody can see it without that."""
        self._changed.set()
        if job.state.finished:
            self._again.forget(job.id)
        if job.kind is JobKind.EXPORT and job.state in (JobState.CANCELLED, JobState.FAILED):
            self._left_over.add(job.id)
        if job.state is JobState.DONE:
            self._not_yet.clear()  # there may be room, or what another one waits for
            self._on_event(f"{_title(job)}: {job.reason or 'done'}", "info")
        elif job.state is JobState.FAILED:
            self._on_event(f"{_title(job)} failed: {job.reason}", "error")

    async def _not_now(self, job: Job, why: NotYet) -> None:
        """Ask again when something changes; for room also after a while."""
        if self._queue.job(job.id).state.finished:
            return
        self._not_yet[job.id] = str(why)
        if isinstance(why, NoRoom):
            if (before := self._room_timers.pop(job.id, None)) is not None:
                before.cancel()
            self._room_timers[job.id] = asyncio.get_running_loop().call_later(
                ROOM_AGAIN_S, self.wake)
        await self._queue.set_state(job.id, JobState.QUEUED)

    async def _interrupted(self, job: Job) -> None:
        """Stopped at a slice: queued again, unless the operator cancelled it."""
        if not self._queue.job(job.id).state.finished:
            await self._queue.set_state(job.id, JobState.QUEUED)

    async def _failed(self, job: Job, error: FieldrecError) -> None:
        """Decide between trying again and giving up."""
        now = self._queue.job(job.id)
        if now.state.finished:
            return
        self._on_fault(now, error)
        if isinstance(error, DriveGone):
            times = self._again.was_gone(job.destination or "")
            pause_s = self._again.pause_s(times)
            away = f"{describe_place(now)} not present" if times < again.GONE_TOLD else \
                (f"{describe_place(now)} is there, but not mounted any more: take it out and put "
                 f"it in again; looked {times} times, next {self._when(pause_s)}")
            await self._try_later(now, pause_s, now.attempt, away, job.destination)
        elif isinstance(error, DestinationAway):
            await self._place_away(now, error)
        elif error.transient and now.attempt + 1 < again.ATTEMPTS:
            pause_s = self._again.pause_s(now.attempt + 1)
            await self._try_later(now, pause_s, now.attempt + 1,
                                  f"{error}; again {self._when(pause_s)} (attempt "
                                  f"{now.attempt + 1} of {again.ATTEMPTS} failed)")
        else:
            await self._fail(job, str(error))

    async def _place_away(self, job: Job, error: DestinationAway) -> None:
        """Every job for that destination waits, with pauses that grow; said once. Counts no
        attempt: nothing is wrong with the job."""
        destination = job.destination or ""
        if error.progressed:
            self._again.went_well(destination)
        times = self._again.was_gone(destination)
        pause_s = self._again.pause_s(times)
        self._again.is_away(destination, pause_s, f"{error}; again {self._when(pause_s)}")
        await self._queue.set_state(job.id, JobState.QUEUED)
        if times == 1:
            self._on_event(f"{_title(job)} waits: {error}", "warning")

    def answers(self) -> None:
        """A destination that hung has come back: what waits for it is tried at once."""
        self._again.all_back()
        self.wake()

    def _when(self, pause_s: float) -> str:
        """"in 8 s", or the time on the clock: what is said must be true for as long as it
        stands."""
        if pause_s < 60:
            return f"in {span(pause_s)}"
        now = self._conditions()
        return f"at {clock_time(now.now_ns + round(pause_s * 1e9), now.now_ns, now.timezone)}"

    async def _try_later(self, job: Job, pause_s: float, attempt: int, reason: str,
                         destination: str | None = None) -> None:
        self._again.later(job.id, pause_s, reason, destination)
        await self._queue.set_state(job.id, JobState.QUEUED)  # writes nothing: no one comes between
        await self._queue.set_state(job.id, JobState.WAITING, reason, attempt=attempt)
        self._on_event(f"{_title(job)}: {reason}", "warning")

    async def _fail(self, job: Job, reason: str) -> None:
        if not self._queue.job(job.id).state.finished:
            await self._queue.set_state(job.id, JobState.FAILED, reason)

    async def _stop_all(self) -> None:
        """Stop what runs, at a slice; the rows say QUEUED afterwards."""
        for running in self._running.values():
            _stop(running)
        tasks = [running.task for running in self._running.values()]
        if self._removing is not None:
            tasks.append(self._removing)  # it is soon done, and the next start would sweep it
        if tasks:
            await asyncio.wait(tasks)
        self._again.close()  # one that failed at its end may have asked to be tried again
        for timer in (*self._room_timers.values(), self._look_timer):
            if timer is not None:
                timer.cancel()
        self._room_timers.clear()


def _stop(running: _Running) -> None:
    """Let the work end at its next slice; once, because a second cancel would cut that short."""
    if not running.stopping:
        running.stopping = True
        running.task.cancel()


def _place_gone(job: Job, conditions: Conditions) -> bool:
    """Whether the drive or folder that a job writes to can be written to no more."""
    return job.destination is not None and job.destination not in conditions.present_destinations


def _title(job: Job) -> str:
    way = "verified at" if job.kind is JobKind.DELETE else "to"
    where = f" {way} {job.destination_label or job.destination}" if job.destination else ""
    return f"job {job.id}: {job.kind.value} {job.item}{where}"
