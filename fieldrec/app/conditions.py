"""What admission may look at, gathered; and destinations by name. Pure but for opening a lease."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from fieldrec.app.drive_capacity import DriveCapacity
from fieldrec.app.visits import drive_destination
from fieldrec.config import Config
from fieldrec.config.destinations import FolderConfig, RsyncConfig
from fieldrec.core.answering import Answering, Place
from fieldrec.core.errors import DestinationAway, JobRefused
from fieldrec.core.model import Conditions, Drive, DriveState, Job, PowerState
from fieldrec.core.snapshot import StorageStatus
from fieldrec.destinations import Destination
from fieldrec.destinations.drive import DriveDestination, is_mount
from fieldrec.destinations.folder import FolderDestination
from fieldrec.destinations.rsync import RsyncDestination
from fieldrec.drives.accept import serving
from fieldrec.drives.watcher import DriveWatcher
from fieldrec.jobs.places import DestinationFactory
from fieldrec.record.session import Session


def conditions_of(config: Config, session: Session | None, power: PowerState,
                  drives: Sequence[Drive], jobs: Sequence[Job], storage: StorageStatus, *,
                  stopping: bool, recovering: bool = False, export_share: float = 0.0
                  ) -> Conditions:
    """Folders count as present (a missing one is a transient error of the job); drives when they
    are READY and not suspect."""
    ready = {drive_destination(d) for d in drives
             if d.state is DriveState.READY and not d.suspect}
    folders = {job.destination for job in jobs
               if job.destination is not None and not job.destination.startswith("drive:")}
    return Conditions(
        recording=session is not None and session.recording,
        recording_since_ns=None if session is None else session.recording_since_ns,
        power=power, present_destinations=frozenset(ready | folders | set(config.destinations)),
        free_bytes=storage.free_bytes, shutting_down=stopping,
        recovering=recovering, export_share=export_share)


def labels_of(drives: Sequence[Drive]) -> dict[str, str]:
    """What people call the drives that have been seen, by the names of destinations."""
    return {drive_destination(drive): drive.label for drive in drives if drive.label}


def proves_at(config: Config, name: str) -> bool:
    """Whether a copy at the destination of that name is one that a source may be deleted for."""
    destination = config.destinations.get(name)
    return destination is None or destination.proves


def destinations_of(config: Config, watcher: DriveWatcher | None, drives: Sequence[Drive],
                    jobs: Sequence[Job], answering: Answering | None = None,
                    capacity: DriveCapacity | None = None) -> Mapping[str, DestinationFactory]:
    """Every destination that can be opened now: configured ones, drives that are READY and not
    suspect, and folders that a command named by their path."""
    found: dict[str, DestinationFactory] = {}
    answering = answering or Answering()
    for name, destination in config.destinations.items():
        if isinstance(destination, FolderConfig):
            found[name] = partial(_folder, name, destination, answering)
        elif isinstance(destination, RsyncConfig):
            found[name] = partial(_rsync, name, destination)
    for job in jobs:
        if job.destination is not None and job.destination.startswith("/"):
            found[job.destination] = folder_at(job.destination, answering)
    for drive in drives:
        if watcher is not None and drive.state is DriveState.READY and not drive.suspect:
            found[drive_destination(drive)] = partial(_drive, drive, config, watcher,
                                                      capacity=capacity)
    return found


def folder_at(path: str, answering: Answering | None = None) -> DestinationFactory:
    """A folder that a command names by its path."""
    return partial(_folder, path, FolderConfig(path=Path(path)), answering or Answering())


def folder_of(name: str, config: FolderConfig, place: Place | None = None) -> FolderDestination:
    """A configured folder, not opened yet."""
    def check_opened(descriptor: int) -> None:
        if config.must_be_mounted and not is_mount(descriptor):
            raise DestinationAway(f"destination {name}: nothing is mounted on {config.path}; "
                                   "nothing was written; mount what belongs there")

    return FolderDestination(name, config.path, keep_free_bytes=config.keep_free_bytes,
                             check_opened=check_opened, place=place, raw_as=config.raw_as)


@contextlib.contextmanager
def _folder(name: str, config: FolderConfig, answering: Answering) -> Iterator[Destination]:
    """Let go of at the end, unless a call to it still hangs: whoever hangs there does that."""
    folder = folder_of(name, config, answering.place(name))
    try:
        yield folder
    finally:
        if not answering.hangs(name):
            folder.close()


@contextlib.contextmanager
def _rsync(name: str, config: RsyncConfig) -> Iterator[Destination]:
    with contextlib.closing(RsyncDestination(name, config)) as destination:
        yield destination


def top_of(drive: Drive, config: Config, drives: DriveWatcher
           ) -> contextlib.AbstractContextManager[Destination]:
    """The uppermost folder of a drive, for what lies beside ours; leased, as ours is."""
    return _drive(drive, config, drives, "")


def _never(_folder: int, _path: Path, _stop: threading.Event) -> None:
    """Where the books are not open: nothing is deleted for a drive then."""
    raise JobRefused("whether the drive is as large as it says is not known yet; try again")


@contextlib.contextmanager
def _drive(drive: Drive, config: Config, drives: DriveWatcher, folder: str | None = None, *,
           capacity: DriveCapacity | None = None) -> Iterator[Destination]:
    """Our folder, or another one. The drive is leased for the block, so that eject waits for it and
    a pull is told apart from a bad disk. DriveGone when it has just gone."""
    gets = serving(config.drives, drive)
    prove = _never if capacity is None else capacity.prover(
        drive, unproven_moves=config.drives.unproven_moves)
    with drives.lease(drive.fs_uuid) as lease, contextlib.closing(DriveDestination(
            drive.label or drive.fs_uuid, lease.mount_point,
            config.drives.folder if folder is None else folder,
            device=Path(drive.device), gone=lambda: lease.gone,
            keep_free_bytes=gets.keep_free_bytes, raw_as=gets.raw_as, prove=prove)) as destination:
        yield destination
