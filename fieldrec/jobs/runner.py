"""Runs the jobs: decides, starts, holds, stops and retries. Event loop; copies in thread ``copy``.

Two lanes: one offload (copy, move, delete) and one export at a time, each in order of age, deletes
first. One loop decides everything anew whenever something changed and sleeps otherwise (no polling,
idle costs nothing). An export that may not go on is held by a signal, an offload stops at a slice
and is queued again. Whatever ends this part, jobs are left QUEUED with their evidence on disk (I5).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fieldrec.core.errors import DriveGone, FieldrecError
from fieldrec.core.model import Conditions, Job, JobState, Recording
from fieldrec.jobs import order
from fieldrec.jobs.admission import Refuse, Run, Verdict, Wait, decide, describe_destination
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.jobs.perform import DestinationFactory, Held, MakeEncoder, NotYet, Performer
from fieldrec.jobs.source import Stopped

log = logging.getLogger(__name__)

ATTEMPTS = 5
"""Tries of a job before a transient error becomes final."""
FIRST_RETRY_S = 2.0

@dataclass
class _Running:
    """One job under way."""

    job_id: int
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
                 on_event: Callable[[str, str], None] = lambda _text, _severity: None,
                 first_retry_s: float = FIRST_RETRY_S) -> None:
        """`recordings`: every folder they may lie in. `conditions` and `destinations` are asked on
        the loop and must not block; `on_event` gets (text, severity)."""
        self._queue = queue
        self._performer = Performer(queue, catalogue=catalogue, recordings=recordings,
                                    destinations=destinations, make_encoder=make_encoder)
        self._conditions = conditions
        self._on_event = on_event
        self._first_retry_s = first_retry_s
        self._changed = asyncio.Event()
        self._lanes: dict[str, _Running] = {}
        self._later: dict[int, tuple[asyncio.TimerHandle, str]] = {}
        """Jobs that are tried again after a while: when, and what is said meanwhile."""
        self._not_yet: dict[int, str] = {}
        """Jobs whose recording was not ready at the last look, until the next :meth:`wake`."""
        queue.subscribe(self._on_job)

    def wake(self) -> None:
        """The conditions changed (power, recording, drives, recordings): decide again at once."""
        self._not_yet.clear()
        self._changed.set()

    async def run(self) -> None:
        """Run jobs until cancelled; then every job is at a slice, QUEUED, and no thread is left."""
        self._changed.set()
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                await self._review()
        finally:
            await self._stop_all()
            self._performer.close()

    # -- deciding --------------------------------------------------------------------------------

    async def _review(self) -> None:
        """Decide about every unfinished job; hold, stop and start accordingly."""
        conditions = self._conditions()
        for lane in list(self._lanes.values()):
            await self._review_running(lane, conditions)
        runnable: list[Job] = []
        busy = {running.job_id for running in self._lanes.values()}
        unfinished = [job for job in self._queue.jobs() if not job.state.finished]
        idle = [job for job in unfinished if job.id not in busy]
        for job in order.judging_order(idle):
            verdict = self._verdict(job, conditions, runnable, unfinished)
            if isinstance(verdict, Run):
                runnable.append(job)
            await self._tell(job.id, verdict)
        for lane_name in order.LANES:
            first = order.first(runnable, lane_name)
            if lane_name not in self._lanes and first is not None:
                self._start(lane_name, self._queue.job(first.id))

    def _verdict(self, job: Job, conditions: Conditions, runnable: Sequence[Job],
                 unfinished: Sequence[Job]) -> Verdict:
        """Admission's word, then the order among jobs."""
        verdict = decide(job, conditions)
        if not isinstance(verdict, Run):
            return verdict
        if job.id in self._later:
            return Wait(self._later[job.id][1])
        if job.id in self._not_yet:
            return Wait(self._not_yet[job.id])
        running = [self._queue.job(lane.job_id) for lane in self._lanes.values()]
        return order.behind(job, running, runnable, unfinished) or verdict

    async def _tell(self, job_id: int, verdict: Verdict) -> None:
        """Put the verdict on a job that does not run into its row."""
        job = self._queue.job(job_id)
        if job.state.finished:
            return  # cancelled since it was judged
        match verdict:
            case Wait(reason):
                await self._queue.set_state(job.id, JobState.WAITING, reason)
            case Refuse(reason):
                await self._fail(job, reason)
            case Run() if job.state is JobState.WAITING:
                await self._queue.set_state(job.id, JobState.QUEUED)

    async def _review_running(self, running: _Running, conditions: Conditions) -> None:
        """Hold, let go or stop a job under way."""
        job = self._queue.job(running.job_id)
        if job.state is JobState.CANCELLED:
            _stop(running)
        if job.state.finished:
            return  # done or failed: it only has that to say yet
        verdict = decide(job, conditions)
        if isinstance(verdict, Run):
            if running.held.let_go():
                await self._queue.set_state(job.id, JobState.RUNNING)
            elif running.held.verifying and job.state is JobState.RUNNING:
                await self._queue.set_state(job.id, JobState.VERIFYING)
        elif conditions.shutting_down or not running.held.hold():
            _stop(running)
        elif job.state in (JobState.RUNNING, JobState.VERIFYING, JobState.WAITING):
            await self._queue.set_state(job.id, JobState.WAITING, verdict.reason)

    # -- one job ---------------------------------------------------------------------------------

    def _start(self, lane: str, job: Job) -> None:
        held = Held(self._changed.set)
        task = asyncio.create_task(self._perform(job, held), name=f"job {job.id}")
        self._lanes[lane] = _Running(job.id, task, held)

        def ended(_task: asyncio.Task[None]) -> None:
            del self._lanes[lane]
            self._changed.set()

        task.add_done_callback(ended)

    async def _perform(self, job: Job, held: Held) -> None:
        """Run one job to its end, and put what came of it into its row."""
        try:
            await self._queue.set_state(job.id, JobState.RUNNING)
            await self._performer.perform(job, held)
            await self._queue.set_state(job.id, JobState.DONE)
        except asyncio.CancelledError:
            await self._interrupted(job)
            raise
        except NotYet as not_yet:
            self._not_yet[job.id] = str(not_yet)
            await self._queue.set_state(job.id, JobState.QUEUED)
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
        if job.state is JobState.DONE:
            self._on_event(f"{_title(job)}: done", "info")
        elif job.state is JobState.FAILED:
            self._on_event(f"{_title(job)} failed: {job.reason}", "error")

    async def _interrupted(self, job: Job) -> None:
        """Stopped at a slice: queued again, unless the operator cancelled it."""
        if not self._queue.job(job.id).state.finished:
            await self._queue.set_state(job.id, JobState.QUEUED)

    async def _failed(self, job: Job, error: FieldrecError) -> None:
        """Decide between trying again and giving up."""
        now = self._queue.job(job.id)
        if now.state.finished:
            return
        if isinstance(error, DriveGone):
            await self._again(job, self._first_retry_s, now.attempt,
                              f"{describe_destination(job.destination or '')} not present")
        elif error.transient and now.attempt + 1 < ATTEMPTS:
            delay_s = self._first_retry_s * 2 ** now.attempt
            await self._again(job, delay_s, now.attempt + 1, f"{error}; again in {delay_s:.0f} s "
                              f"(attempt {now.attempt + 1} of {ATTEMPTS} failed)")
        else:
            await self._fail(job, str(error))

    async def _again(self, job: Job, delay_s: float, attempt: int, reason: str) -> None:
        """Let a job wait before it is tried again."""

        def due() -> None:
            self._later.pop(job.id, None)
            self._changed.set()

        self._later[job.id] = (asyncio.get_running_loop().call_later(delay_s, due), reason)
        await self._queue.set_state(job.id, JobState.QUEUED, attempt=attempt)
        await self._tell(job.id, Wait(reason))
        self._on_event(f"{_title(job)}: {reason}", "warning")

    async def _fail(self, job: Job, reason: str) -> None:
        if not self._queue.job(job.id).state.finished:
            await self._queue.set_state(job.id, JobState.FAILED, reason)

    async def _stop_all(self) -> None:
        """Stop what runs, at a slice; the rows say QUEUED afterwards."""
        for timer, _ in self._later.values():
            timer.cancel()
        self._later.clear()
        for running in self._lanes.values():
            _stop(running)
        tasks = [running.task for running in self._lanes.values()]
        if tasks:
            await asyncio.wait(tasks)


def _stop(running: _Running) -> None:
    """Let the work end at its next slice; once, because a second cancel would cut that short."""
    if not running.stopping:
        running.stopping = True
        running.task.cancel()


def _title(job: Job) -> str:
    where = f" to {job.destination}" if job.destination else ""
    return f"job {job.id}: {job.kind.value} {job.item}{where}"


