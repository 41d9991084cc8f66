"""The jobs that the box gives itself; those of drives are visits.py's. On the loop only.

Called whenever a recording, a job or a drive changes; asks the pure functions of jobs/automation
and puts what they want into the queue, which drops what it already has.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from fieldrec.app.visits import EJECT_AGAIN_S, Elsewhere, Look, Visits
from fieldrec.config import Config
from fieldrec.config.loopy import LoopyConfig
from fieldrec.core.model import Drive, Job, JobKind, JobState, Recording
from fieldrec.export.presets import Preset, preset
from fieldrec.jobs import automation
from fieldrec.jobs.automation import Wanted
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.jobs.remembered import by_preset

Say = Callable[[str, str], None]


class Offload:
    """Automatic exports and copies, and eject when a drive has got all it lacks."""

    def __init__(self, config: Config, queue: JobQueue, *, say: Say, look: Look,
                 eject: Callable[[str, str], Awaitable[None]], again: Callable[[], None],
                 own_presets: Mapping[str, Preset] | None = None,
                 elsewhere: Elsewhere = lambda _recording, _destination: False,
                 distrusted: Callable[[str], bool] = lambda _destination: False,
                 eject_again_s: float = EJECT_AGAIN_S) -> None:
        """`look` tells the room at a destination, `elsewhere` whether another one has a recording,
        `distrusted` which destinations prove nothing; `eject` takes a drive's device and what to
        say beside SAFE; `again` asks the owner to plan anew."""
        self._config = config
        self._own_presets = own_presets or {}
        self._preset = preset(config.export.preset, self._own_presets).name
        self._queue = queue
        self._distrusted = distrusted
        self._visits = Visits(config, queue, say=say, look=look, eject=eject, again=again,
                              own_presets=self._own_presets, elsewhere=elsewhere,
                              eject_again_s=eject_again_s)
        self._given: set[tuple[object, ...]] = set()
        """What was queued since the start. The queue forgets old jobs; asking for what it has
        forgotten would go on for ever with more recordings than it remembers."""

    async def close(self) -> None:
        """End what visits have under way; each drive is READY again or safe."""
        await self._visits.close()

    async def plan(self, recordings: Sequence[Recording]) -> None:
        """Queue the exports and copies that the configuration asks for, each recording's with the
        preset that is remembered with it."""
        for its_preset, some in by_preset(recordings, self._preset, self._own_presets).items():
            await self._plan_with(its_preset, some)

    async def _plan_with(self, its_preset: str, recordings: Sequence[Recording]) -> None:
        export = self._config.export
        if export.automatic:
            await self._add(automation.exports_wanted(recordings, its_preset))
        for name, destination in self._config.destinations.items():
            if not destination.automatic:
                continue
            if isinstance(destination, LoopyConfig):
                await self._add(automation.uploads_wanted(
                    recordings, name, destination.upload,
                    exported_first=its_preset if export.automatic else None))
                continue
            await self._add(automation.copies_wanted(
                recordings, name, exported_first=its_preset if export.automatic else None))
            # What cannot be exported is copied all the same: the raw is what counts.
            await self._add(automation.copies_wanted(
                self._not_exportable(recordings, its_preset), name))
        await self._add(self._raw_to_delete(recordings, its_preset))

    def _raw_to_delete(self, recordings: Sequence[Recording], its_preset: str) -> list[Wanted]:
        """As the policy says. What it takes for proven is proven again when it is done."""
        match self._config.export.raw:
            case "delete_verified":
                return automation.raw_to_delete(recordings, its_preset)
            case "delete_when_offloaded":
                copied: dict[tuple[str, str], int] = {}
                for job in self._queue.jobs():
                    if job.kind is JobKind.COPY and job.state is JobState.DONE \
                            and not self._distrusted(job.destination or ""):
                        key = (job.item_uuid, job.destination or "")
                        copied[key] = max(job.changed_ns, copied.get(key, 0))
                return automation.raw_to_delete_offloaded(recordings, its_preset, copied)
        return []

    def _not_exportable(self, recordings: Sequence[Recording], its_preset: str
                        ) -> list[Recording]:
        """Recordings whose automatic export failed or was cancelled."""
        given_up = {job.item_uuid for job in self._queue.jobs() if job.kind is JobKind.EXPORT
                    and job.preset == its_preset
                    and job.state in (JobState.FAILED, JobState.CANCELLED)}
        return [recording for recording in recordings if recording.uuid in given_up]

    async def _add(self, wanted: Iterable[Wanted]) -> None:
        finished = {(j.kind, j.item_uuid, j.destination, j.preset)
                    for j in self._queue.jobs() if j.state.finished}
        for want in wanted:
            key = (want.kind, want.item_uuid, want.destination, want.preset)
            if key in finished or key in self._given:
                continue  # done, or failed or cancelled: a person may retry it
            self._given.add(key)
            await self._put(want)

    async def _put(self, want: Wanted) -> Job:
        may = want.kind is JobKind.EXPORT and self._config.export.allow_battery
        return await self._queue.add(want.kind, want.item, want.item_uuid, allow_battery=may,
                                     destination=want.destination, preset=want.preset,
                                     delete_source=want.delete_source)

    # -- drives ----------------------------------------------------------------------------------

    async def serve(self, drives: Sequence[Drive], recordings: Sequence[Recording]) -> None:
        """Begin a visit for each drive that has become READY, end those whose jobs have ended."""
        await self._visits.serve(drives, recordings)

    def told(self, drive: Drive) -> str:
        """What a drive is given now and how far that is; "" for nothing."""
        return self._visits.told(drive)
