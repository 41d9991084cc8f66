"""Removable drives as one part of the box: watched, shown with what they get and whether they may
be relied on, looked at, ejected. On the event loop; made with the box."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from fieldrec.app.conditions import destinations_of, folder_at
from fieldrec.app.deployment_log import DeploymentLog
from fieldrec.app.drive_faults import DriveFaults
from fieldrec.app.visits import drive_destination
from fieldrec.config import Config
from fieldrec.core.errors import NotFoundError
from fieldrec.core.model import Drive, Job, Recording
from fieldrec.drives.watcher import DriveWatcher
from fieldrec.jobs.drive_room import Room
from fieldrec.jobs.places import DestinationFactory
from fieldrec.jobs.survey import survey


class DrivePart:
    """`watcher` is None where no drives are watched; `told` says what a drive gets just now."""

    def __init__(self, config: Config, *, jobs: Callable[[], Sequence[Job]],
                 faults: Callable[[], DriveFaults | None], log: DeploymentLog) -> None:
        self._config = config
        self._jobs = jobs
        self._faults = faults
        self._log = log
        self.watcher: DriveWatcher | None = None
        self.told: Callable[[Drive], str] = lambda _drive: ""

    def drives(self) -> tuple[Drive, ...]:
        """All drives known now, with what is said of them."""
        if self.watcher is None:
            return ()
        faults = self._faults()
        return tuple(replace(drive, visit=self.told(drive),
                             suspect="" if faults is None else faults.why(drive))
                     for drive in self.watcher.drives())

    def destinations(self) -> Mapping[str, DestinationFactory]:
        """Every destination that can be opened now; no suspect drive."""
        return destinations_of(self._config, self.watcher, self.drives(), self._jobs())

    async def room(self, name: str, begun: Collection[str] = ()) -> Room:
        """What a destination has for us, also a folder that nothing was copied to yet;
        DestinationError, DriveGone."""
        places = dict(self.destinations())
        if name not in places and name.startswith("/"):
            places[name] = folder_at(name)
        found = await survey(places, name, begun)
        size = next((drive.size_bytes for drive in self.drives()
                     if drive_destination(drive) == name), 0)
        return replace(found, total_bytes=size)

    async def eject(self, which: str, note: str = "") -> None:
        """Bring the record of the deployment, then make the drive safe to remove; `note` is said
        beside SAFE."""
        if self.watcher is None:
            return
        for drive in self.watcher.drives():
            if drive.device == which:
                await self._log.travel(drive_destination(drive), self.destinations())
        await self.watcher.eject(which, note=note)

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
