"""Removable drives as one part of the box: watched, shown with what they get and whether they may
be relied on, looked at, ejected. On the event loop; made with the box."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from fieldrec.app.conditions import destinations_of, folder_at, top_of
from fieldrec.app.deployment_log import DeploymentLog
from fieldrec.app.drive_faults import DriveFaults
from fieldrec.app.drive_top import About, has_readme, write_top
from fieldrec.app.visits import drive_destination
from fieldrec.config import Config
from fieldrec.core.answering import Answering
from fieldrec.core.clock import Clock
from fieldrec.core.errors import DestinationAway, FieldrecError, NotFoundError
from fieldrec.core.model import Drive, DriveState, Job, Recording
from fieldrec.drives.watcher import DriveWatcher
from fieldrec.jobs.drive_room import Room
from fieldrec.jobs.places import DestinationFactory, opened
from fieldrec.jobs.survey import survey
from fieldrec.jobs.threads import in_thread, within

Say = Callable[[str, str], None]
BRING_S = 60.0
"""For the record, README and report at the end of a visit: with them goes whatever the kernel still
holds for the drive."""


class DrivePart:
    """`watcher` is None where no drives are watched; `told` says what a drive gets just now."""

    def __init__(self, config: Config, clock: Clock, log: DeploymentLog,
                 jobs: Callable[[], Sequence[Job]], *, faults: Callable[[], DriveFaults | None],
                 say: Say, answers: Callable[[], None] = lambda: None,
                 bring_s: float = BRING_S) -> None:
        """`answers` is called when a destination that hung has come back; `bring_s`: how long an
        eject waits for what it writes first."""
        self._config = config
        self._answering = Answering(answers)
        self._jobs = jobs
        self._faults = faults
        self._log = log
        self._clock = clock
        self._say = say
        self._seen: dict[str, Recording] = {}
        """Every recording that was here since the start: what is moved away is told of too."""
        self._brought: set[int] = set()
        """Insertions of drives that something is brought to just now, before their eject."""
        self._bring_s = bring_s
        self.watcher: DriveWatcher | None = None
        self.told: Callable[[Drive], str] = lambda _drive: ""

    def drives(self) -> tuple[Drive, ...]:
        """All drives known now, with what is said of them."""
        if self.watcher is None:
            return ()
        faults = self._faults()
        found = [replace(drive, visit=self.told(drive)) for drive in self.watcher.drives()]
        if faults is None:
            return tuple(found)
        return tuple(replace(faults.capacity.known(drive), suspect=faults.why(drive))
                     for drive in found)

    def destinations(self) -> Mapping[str, DestinationFactory]:
        """Every destination that can be opened now; no suspect drive."""
        faults = self._faults()
        return destinations_of(self._config, self.watcher, self.drives(), self._jobs(),
                               self._answering, None if faults is None else faults.capacity)

    def recordings(self, found: Sequence[Recording]) -> None:
        """The catalogue was read."""
        if self.watcher is not None:
            self._seen.update((recording.name, recording) for recording in found)

    async def room(self, name: str, begun: Collection[str] = ()) -> Room:
        """What a destination has for us, also a folder that nothing was copied to yet;
        DestinationError, DriveGone."""
        places = dict(self.destinations())
        if name not in places and name.startswith("/"):
            places[name] = folder_at(name, self._answering)
        found = await survey(places, name, begun)
        size = next((drive.size_bytes for drive in self.drives()
                     if drive_destination(drive) == name), 0)
        return replace(found, total_bytes=size)

    async def bring_due(self) -> None:
        """Before the end: what is due at a destination and was not brought yet."""
        await self._log.travel_due(self.destinations, self._jobs)

    async def eject(self, which: str, note: str | None = None) -> None:
        """Bring the record of the deployment and write what is for people at its top, then make the
        drive (its device) safe to remove; `note` is said beside SAFE, "" where the drive had all
        before, None where nobody knows."""
        if self.watcher is None:
            return
        key = self.watcher.find(which)
        drive = next(one for one in self.drives() if (one.fs_uuid, one.device) == key)
        if drive.state is DriveState.READY and not drive.suspect:
            await self._bring(drive, is_news=note != "")
        await self.watcher.eject(drive.device, note=note or "")

    async def _bring(self, drive: Drive, *, is_news: bool) -> None:
        """What a drive is given last. Not waited for any longer when it hangs, nor begun again
        while it does: whoever ejects it must hear so."""
        async def bring() -> None:
            self._brought.add(drive.insertion)
            try:
                await self._log.travel(drive_destination(drive), self.destinations())
                await self._write_top(drive, is_news=is_news)
            finally:
                self._brought.discard(drive.insertion)

        if drive.insertion not in self._brought:
            try:
                await within(self._bring_s, bring(),
                             f"drive {drive.label or drive.fs_uuid} does not answer")
            except DestinationAway as error:
                self._say(f"{error}; record and README are not on it yet", "warning")

    async def _write_top(self, drive: Drive, *, is_news: bool) -> None:
        """README and report; not again where there is no news. What does not work is said."""
        watcher, places = self.watcher, self.destinations()
        name = drive.label or drive.fs_uuid
        if watcher is None:
            return

        def say(text: str) -> None:
            self._say(f"drive {name}: {text}", "warning")

        jobs = [job.item for job in self._jobs() if job.destination == drive_destination(drive)]
        recordings = list(self._seen.values())
        try:
            with opened(places, drive_destination(drive)) as folder, \
                    top_of(drive, self._config, watcher) as top:
                def write() -> list[str]:
                    said: list[str] = []
                    with contextlib.closing(top), contextlib.closing(folder):
                        if is_news or not has_readme(top):
                            write_top(top, folder.items(), self._about(), recordings, jobs,
                                      self._clock.epoch_ns(), said.append)
                    return said

                for text in await in_thread(f"readme {name}", lambda _stop: write()):
                    say(text)
        except (FieldrecError, OSError) as error:
            say(f"README and report were not written: {error}")

    def _about(self) -> About:
        system = self._config.system
        return About(system.name, self._config.drives.folder, system.timezone, self._log.logbooks)

    def elsewhere(self, recording: Recording, destination: str) -> bool:
        """Whether a recording has a verified copy at another destination than this one."""
        faults = self._faults()
        return faults is not None and faults.elsewhere(recording.uuid, recording.name, destination)

    def distrusted(self, destination: str) -> bool:
        """Whether a destination is a drive that proves nothing."""
        faults = self._faults()
        return faults is not None and faults.is_suspect(destination)

    async def trust(self, which: str) -> str:
        """Hold nothing against a drive any more; says what was held. NotFoundError."""
        faults = self._faults()
        if faults is None:
            raise NotFoundError("no drives are known here")
        return await faults.trust(which, self.drives())
