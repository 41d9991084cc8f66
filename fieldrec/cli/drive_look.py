"""What `fieldrec drive list` and `show` say of the drives: what the running fieldrec knows of them,
or, without one, what udev and a short look at the drive say. On the command's own event loop."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldrec.cli.where import recordings_folders
from fieldrec.core import durable
from fieldrec.core.errors import DriveError, FieldrecError, NotFoundError, UsageError
from fieldrec.core.model import Drive, DriveState
from fieldrec.drives import accept, link, marker, mount, mounts
from fieldrec.drives.arrival import drive_of
from fieldrec.drives.device import device_at, file_system_of
from fieldrec.drives.udev import BlockDevice, BlockEvents
from fieldrec.status import words

if TYPE_CHECKING:
    from fieldrec.config.drives import DrivesConfig


@contextlib.contextmanager
def private_root() -> Iterator[Path]:
    """A folder to mount below for a moment. Only an empty one is removed: what is still mounted
    there is somebody's drive."""
    root = Path(tempfile.mkdtemp(prefix="fieldrec-drive-"))
    try:
        yield root
    finally:
        with contextlib.suppress(OSError):
            durable.remove_empty_directory(root)


async def drives_there(config: Any) -> list[Drive]:
    """What the running fieldrec knows of the drives; without one, what udev says of them."""
    from fieldrec.cli.link import find_owner
    from fieldrec.status.board import snapshot_from_dict

    owner = await find_owner(*recordings_folders(config))
    if owner is not None:
        drives = snapshot_from_dict(await owner.call("snapshot")).drives
        return [drive for drive in drives if drive.state is not DriveState.ABSENT]
    return [_judged(config, block)
            for block in sorted(blocks_there(config), key=lambda block: block.device)]


def blocks_there(config: Any) -> list[BlockDevice]:
    """Drives that udev has now; needs a running loop. DriveError where there is no udev."""
    found: list[BlockDevice] = []
    events = BlockEvents(config.drives.match, lambda _change, block: found.append(block))
    try:
        events.start(mounts.machine_disks(recordings_folders(config)))
    except OSError as error:
        raise DriveError(f"drives cannot be listed: {error.strerror}") from error
    events.stop()
    return found


def _judged(config: Any, block: BlockDevice) -> Drive:
    """A drive that no fieldrec has in hand: what would become of it, and why."""
    drive = accept.recognised(config.drives, drive_of(block))
    found = mounts.mounts_of(block.device, block.number)
    reason = (mount.unusable(block, config.drives.file_systems)
              or mount.recorded_on(block, recordings_folders(config)))
    if not reason and config.drives.require_usb3 and link.is_slow(block.link_mbps):
        reason = link.refusal(block.link_mbps or 0)
    if not reason and not accept.marker_decides(config.drives, drive):
        reason = accept.refusal(config.drives, drive)
    return dataclasses.replace(
        drive, mount_point=found[-1].mount_point if found else None, reason=reason,
        state=DriveState.REJECTED if reason else DriveState.SEEN)


async def one_drive(config: Any, which: str) -> tuple[Drive, str]:
    """One drive with its marker, and what kept us from reading that."""
    drives = await drives_there(config)
    real = _resolved(which)
    found = [d for d in drives if real in (d.device, d.fs_uuid, d.label)]
    if len(found) > 1:
        raise UsageError(f"{len(found)} drives are called {which}; name one by its device: "
                         + ", ".join(d.device for d in found))
    if found and (found[0].marker is not None or not found[0].fs_uuid):
        return found[0], ""
    if not found and not which.startswith("/"):
        names = ", ".join(f"{d.label or d.fs_uuid} ({d.device})" for d in drives) or "none"
        raise NotFoundError(f"no drive {which!r} is there; there are: {names}")
    block = file_system_of(device_at(found[0].device if found else real, config.drives.match))
    return await _with_marker(config, found[0] if found else _judged(config, block), block)


def _resolved(which: str) -> str:
    """A link in /dev/disk/by-id as the device that it leads to."""
    return str(Path(which).resolve()) if which.startswith("/") else which


async def _with_marker(config: Any, drive: Drive, block: BlockDevice) -> tuple[Drive, str]:
    try:
        keys = marker.keys_in(recordings_folders(config))
        if drive.mount_point is not None:
            found = marker.read(drive.mount_point, block.fs_uuid, keys)
        else:
            with private_root() as root:
                async with mount.read_only(block, root) as point:
                    found = marker.read(point, block.fs_uuid, keys)
    except (FieldrecError, OSError) as error:
        return drive, f"its marker cannot be read ({error})"
    return accept.recognised(config.drives,
                             dataclasses.replace(drive, marker=found.marker)), found.problem


# -- in words --------------------------------------------------------------------------------------

def gets_and_why(config: DrivesConfig, drive: Drive) -> tuple[str, str]:
    """What a drive gets, and why."""
    if drive.state is DriveState.REJECTED:
        return "nothing: it is not used", drive.reason
    gets = accept.serving(config, drive)
    return accept.described(gets), gets.why


def link_of(drive: Drive) -> str:
    """"USB 3 (5000 Mb/s)"; "-" where it is no USB drive."""
    return "-" if drive.link_mbps is None else f"{link.generation(drive.link_mbps)} " \
                                               f"({drive.link_mbps} Mb/s)"


def facts(config: DrivesConfig, drive: Drive) -> dict[str, Any]:
    """All that is known of it, for JSON."""
    gets, why = gets_and_why(config, drive)
    values = dataclasses.asdict(drive)
    return values | {"state": drive.state.name, "gets": gets, "why": why,
                     "mount_point": None if drive.mount_point is None else str(drive.mount_point)}


def lines(config: DrivesConfig, drive: Drive, problem: str) -> list[tuple[str, str]]:
    """The same for people, as (name, value); `problem`: why its marker is not known."""
    gets, why = gets_and_why(config, drive)
    mounted = "" if drive.mount_point is None else f", mounted at {drive.mount_point}"
    said = [("drive", f"{words.drive_label(drive)} ({drive.device})"),
            ("id", drive.fs_uuid or "-"),
            ("size", f"{words.size(drive.size_bytes)}, {drive.fs_type or 'no file system'}"),
            ("link", link_of(drive)),
            ("state", words.safe_text(f"{drive.state.value}{mounted}")),
            ("marker", problem or _marked(drive)),
            ("known", "yes" if drive.known else "no: it gets copies, and nothing is deleted for "
                                                "it"),
            ("gets", gets), ("why", why)]
    if drive.reason and drive.reason != why:
        said.append(("said", words.safe_text(drive.reason)))
    keep = accept.serving(config, drive).keep_free_bytes
    return [*said, ("kept free", words.size(keep))]


def _marked(drive: Drive) -> str:
    found = drive.marker
    if found is None:
        return "none"
    said = [f"{'this' if found.ours else 'another'} recorder's, {found.id}"]
    if found.owner:
        said.append(f"owner {found.owner}")
    if found.on_insert:
        said.append(f"on insert {found.on_insert}")
    if found.cameras is not None:
        said.append(f"cameras {words.safe_text(', '.join(found.cameras)) or 'all'}")
    return ", ".join(said)
