"""What is done when the disks are nearly full, by `space.act` and in its order: verified recordings
are deleted, exports run on battery, recording stops. On the event loop; planned with everything
else that the box gives itself to do, so at every change that matters.

Each step only when those before it have nothing left to do. Deletions are ordinary jobs, which look
at the evidence again (I5); what cannot be proven is kept, and the next oldest is asked for. What
deletions came to is not known before the disks were looked at again, as often as a tier is judged
by: until then nothing more is deleted, and no further step taken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from fieldrec.app.space_watch import SpaceWatch
from fieldrec.config.space import SpaceConfig
from fieldrec.core.errors import StateError
from fieldrec.core.model import Conditions, JobKind, JobState, Recording
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.jobs.space_freeing import Freeing, freeings_wanted
from fieldrec.jobs.verified_copies import VerifiedCopies
from fieldrec.record.folders import Folders
from fieldrec.status import words

Say = Callable[[str, str], None]
_EXPORTING = (JobState.RUNNING, JobState.VERIFYING, JobState.COMMITTING)


class SpaceActing:
    """Owned by the app; :meth:`plan` is called by its planning."""

    def __init__(self, config: SpaceConfig, watch: SpaceWatch, queue: JobQueue, *, say: Say,
                 copies: Callable[[], VerifiedCopies], folders: Folders,
                 conditions: Callable[[], Conditions],
                 stop: Callable[[str], Awaitable[None]], refuse: Callable[[str], None],
                 wake: Callable[[], None]) -> None:
        """`stop` ends what records, `refuse` keeps it from beginning ("": no more), `wake` has the
        jobs decided anew."""
        self._config = config
        self._watch = watch
        self._queue = queue
        self._say = say
        self._copies = copies
        self._folders = folders
        self._conditions = conditions
        self._stop = stop
        self._refuse = refuse
        self._wake = wake
        self.export_on_battery = False
        """Whether exports may run on battery now."""
        self._refused = False
        self._done: set[int] = set()
        """Deletions."""
        self._settled_at_look: int | None = None
        """Of the watch; None while no deletion has ended of which it does not know yet."""

    def settled(self) -> bool:
        """Called after each look at the disks; whether it is known just now what the deletions came
        to, and the plan should be made again."""
        if self._settled_at_look is None or self._watch.looks < self._settled_at_look:
            return False
        self._settled_at_look = None
        return True

    async def plan(self, recordings: Sequence[Recording]) -> None:
        """Do what is to be done now, and undo it when there is room."""
        if not self._watch.beyond:
            self._let_export(False)
            self._stay_stopped("")
            return
        act = self._config.act
        if "delete_verified" in act and await self._delete(recordings):
            return
        self._let_export("export_on_battery" in act)
        if "stop" in act and not (self.export_on_battery and self._exporting()):
            why = f"disk space {self._watch.state.tier.value.upper()}: {self._watch.state.reason}"
            if not self._refused:
                self._say(f"recording stops: {why}; make room, and it may begin again", "error")
            self._stay_stopped(why)
            await self._stop(why)

    # -- the steps -------------------------------------------------------------------------------

    async def _delete(self, recordings: Sequence[Recording]) -> bool:
        """Queue deletions; whether any is under way, or not seen in the room that it made."""
        deletions = [job for job in self._queue.jobs() if job.kind is JobKind.DELETE]
        done = {job.id for job in deletions if job.state is JobState.DONE}
        if not done <= self._done:
            self._settled_at_look = self._watch.looks + self._config.readings
        self._done = done
        if self._settled_at_look is not None or any(not job.state.finished for job in deletions):
            return True
        room = {folder.path for folder in self._folders.status().folders if not folder.total_bytes}
        wanted = freeings_wanted(
            recordings, self._copies().of, self._queue.jobs(), needed_bytes=self._watch.to_free,
            copies=self._config.copies, present=self._conditions().present_destinations,
            folders=[path for path in self._folders.paths if str(path) not in room])
        for one in wanted:
            await self._give_up(one)
            await self._queue.add(JobKind.DELETE, one.recording.name, one.recording.uuid,
                                  destination=one.copy.destination)
            self._say(f"making room: {one.recording.name} ({words.size(one.frees_bytes)}) is to be "
                      f"deleted, {verified(one)}", "warning")
        return bool(wanted)

    async def _give_up(self, one: Freeing) -> None:
        for job_id in one.gives_up:
            try:
                await self._queue.set_state(
                    job_id, JobState.CANCELLED,
                    f"the recording is deleted to make room, {verified(one)}")
            except StateError:  # it has just begun to commit: the deletion waits for it
                continue

    def _let_export(self, allowed: bool) -> None:
        if allowed is self.export_on_battery:
            return
        self.export_on_battery = allowed
        if allowed:
            self._say("exports may run on battery: the disks would be full first", "info")
        self._wake()

    def _exporting(self) -> bool:
        return any(job.kind is JobKind.EXPORT and job.state in _EXPORTING
                   for job in self._queue.jobs())

    def _stay_stopped(self, why: str) -> None:
        if self._refused or why:
            self._refused = bool(why)
            self._refuse(why)


def verified(one: Freeing) -> str:
    """"verified at FIELD-01 on 2026-11-20 18:03 UTC"."""
    when = datetime.fromtimestamp(one.copy.verified_at_ns // 1_000_000_000, UTC)
    return f"verified at {one.copy.label or one.copy.destination} on {when:%Y-%m-%d %H:%M} UTC"
