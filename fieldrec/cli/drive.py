"""`fieldrec drive`: which drives are there and what each gets and why; making one ready for use."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fieldrec.cli.out import echo
from fieldrec.cli.verbs import json_option
from fieldrec.cli.where import Where, recordings_folders, where_options
from fieldrec.core import durable
from fieldrec.core.errors import DriveError, FieldrecError, NotFoundError, UsageError

if TYPE_CHECKING:
    from fieldrec.config.drives import DrivesConfig
    from fieldrec.core.model import Drive, DriveMarker
    from fieldrec.drives.device import Device
    from fieldrec.drives.udev import BlockDevice


@click.group("drive")
def drive_command() -> None:
    """Removable drives: which are there, what each gets, and making one ready."""


@drive_command.command("list")
@where_options
@json_option
def list_(where: Where, as_json: bool) -> None:
    """List the drives that are there, what each gets when it is put in, and why."""
    from fieldrec.cli.link import run
    from fieldrec.cli.tables import print_json, print_table
    from fieldrec.status import words

    config = where.load()
    drives = run(lambda: _drives(config))
    if as_json:
        print_json([_facts(config.drives, drive) for drive in drives])
    elif not drives:
        echo("no drives are there")
    else:
        rows = [(words.drive_label(drive), drive.device, words.size(drive.size_bytes),
                 drive.fs_type or "-", _link(drive), drive.state.value,
                 *_gets(config.drives, drive)) for drive in drives]
        print_table("", ("drive", "device", "size#", "type", "link", "state", "gets", "why"), rows)


@drive_command.command("show")
@click.argument("drive")
@where_options
@json_option
def show(where: Where, drive: str, as_json: bool) -> None:
    """Say what is known of one DRIVE (device, label or id): also what its marker says, for which
    it is mounted for a moment, read-only, where nobody has mounted it."""
    from fieldrec.cli.link import run
    from fieldrec.cli.tables import print_json

    config = where.load()
    found, problem = run(lambda: _one(config, drive))
    if as_json:
        print_json(_facts(config.drives, found) | ({"problem": problem} if problem else {}))
        return
    for name, value in _lines(config.drives, found, problem):
        echo(f"{name + ':':<11}{value}")


@drive_command.command("prepare")
@click.argument("device")
@click.option("--format", "fs_type", type=click.Choice(["exfat", "ext4"]),
              help="Erase the whole disk and make this file system on it: exfat is read "
                   "everywhere, ext4 bears being pulled out.")
@click.option("--label", help="Of the new file system; FIELDREC.")
@click.option("--on-insert", type=click.Choice(["copy", "move", "export", "nothing"]),
              help="What this drive gets when it is put in; as configured.")
@click.option("--camera", "cameras", multiple=True,
              help="Only recordings of this serial or pattern (again: and this).")
@click.option("--owner", default="", help="Whose drive it is, for people.")
@click.option("--yes-erase", metavar="NAME",
              help="With --format, for scripts: the device's or the drive's name, instead of "
                   "typing it.")
@click.option("--any-disk", is_flag=True, help="Also a disk that is not removable.")
@where_options
def prepare(where: Where, device: str, fs_type: str | None, label: str | None,
            on_insert: str | None, cameras: tuple[str, ...], owner: str, yes_erase: str | None,
            any_disk: bool) -> None:
    """Mark a drive as this recorder's, so that it may be given moves; with --format make it new.

    The mark is a small file at its root, which only this recorder can write and nobody can edit.
    What --on-insert and --camera say is in it; rules of the configuration come before it.
    """
    from fieldrec.cli.link import run

    wanted = _wanted(on_insert, cameras, owner)
    if fs_type is None and (label or yes_erase):
        raise UsageError("--label and --yes-erase are for --format")
    config = where.load()
    folders = where.folders()
    for line in run(lambda: _prepare(config, folders, device, wanted, fs_type,
                                     label or "FIELDREC", yes_erase, any_disk=any_disk)):
        echo(line)


def _wanted(on_insert: str | None, cameras: tuple[str, ...], owner: str) -> DriveMarker:
    from fieldrec.config.drives import check_camera
    from fieldrec.core.model import DriveMarker
    from fieldrec.drives import marker

    try:
        some = tuple(check_camera(camera) for camera in cameras)
    except ValueError as error:
        raise UsageError(f"--camera: {error}") from error
    if len(some) > marker.MOST_CAMERAS:
        raise UsageError(f"--camera: at most {marker.MOST_CAMERAS}; a pattern names more")
    return DriveMarker(marker.new_id(), ours=True, owner=owner, on_insert=on_insert or "",
                       cameras=some or None)


async def _prepare(config: Any, folders: tuple[Path, ...], path: str, wanted: DriveMarker,
                   fs_type: str | None, label: str, yes_erase: str | None, *, any_disk: bool
                   ) -> list[str]:
    """Format where that is asked for, then mark; what to tell the operator."""
    from fieldrec.drives import formatting
    from fieldrec.drives.device import device_at, file_system_of, why_not_erased

    device = device_at(path, config.drives.match)
    if fs_type is None:
        return await _mark(config, folders, file_system_of(device), wanted, device)
    formatting.check_wish(fs_type, label)
    if reason := why_not_erased(device, recordings_folders(config), any_disk=any_disk):
        raise UsageError(reason)
    _confirm(device, yes_erase)
    async with formatting.locked(device):
        block = await formatting.format_disk(device, fs_type, label)
        said = await _mark(config, folders, block, wanted, None)
    await formatting.announce([device.disk, block.device])
    return [f"{block.device}: formatted as {fs_type}, label {block.label}", *said]


def _confirm(device: Device, yes_erase: str | None) -> None:
    """The operator types the name of what is erased; UsageError when it is another."""
    name = device.disk.removeprefix("/dev/")
    typed = yes_erase
    if typed is None:
        if not click.get_text_stream("stdin").isatty():
            raise UsageError(f"{device.described}: everything on it would be erased; to go on "
                             f"without a terminal give --yes-erase {name}")
        labels = sorted(device.names - {device.disk, name})
        typed = click.prompt(f"{device.described}\nEverything on it will be erased. To go on, type "
                             f"{' or '.join([name, *labels])}", err=True)
    if typed.strip() not in device.names:
        raise UsageError(f"not erased: {typed!r} is not the name of {device.described}")


async def _mark(config: Any, folders: tuple[Path, ...], block: BlockDevice, wanted: DriveMarker,
                device: Device | None) -> list[str]:
    """Write the marker where the drive is mounted, else where we mount it for that. `device`: as
    it was found, where it was not just formatted."""
    from fieldrec.drives import accept, marker, mount, mounts

    if device is not None:
        _check_markable(config, block)
    key = marker.key_for(folders)
    found = mounts.mounts_of(block.device, block.number)
    if found and found[-1].read_only:
        raise DriveError(f"{block.device} is mounted read-only; unmount it and try again")
    if found:
        marked = _write(found[-1].mount_point, block, key, folders, wanted)
    else:
        with _private_root() as root:
            mounted = await mount.mount(block, root)
            try:
                marked = _write(mounted.mount_point, block, key, folders, wanted)
            finally:
                await mount.unmount(mounted.mount_point)
    drive = accept.recognised(config.drives, dataclasses.replace(_drive_of(block), marker=marked))
    gets = accept.serving(config.drives, drive)
    again = "" if device is None else "; that counts when it is put in again"
    said = [f"{block.device}: marked as this recorder's ({marked.id}); it gets "
            f"{accept.described(gets)} ({gets.why}){again}"]
    if reason := accept.refusal(config.drives, drive):
        said.append(f"but it is not used: {reason}")
    return said


def _check_markable(config: Any, block: BlockDevice) -> None:
    """DriveError for a file system that is not used anyway, or lies under recordings."""
    from fieldrec.drives import mount

    reason = mount.unusable(block, config.drives.file_systems) or mount.recorded_on(
        block, recordings_folders(config))
    if reason:
        raise DriveError(f"{block.device}: {reason}")


def _write(root: Path, block: BlockDevice, key: bytes, folders: tuple[Path, ...],
           wanted: DriveMarker) -> DriveMarker:
    """A drive that is marked anew stays the same destination."""
    from fieldrec.drives import marker

    before = marker.read(root, block.fs_uuid, marker.keys_in(folders)).marker
    if before is not None and before.ours:
        wanted = dataclasses.replace(wanted, id=before.id)
    return marker.write(root, block.fs_uuid, key, wanted)


# -- looking ---------------------------------------------------------------------------------------

async def _drives(config: Any) -> list[Drive]:
    """What the running fieldrec knows of the drives; without one, what udev says of them."""
    from fieldrec.cli.link import find_owner
    from fieldrec.core.model import DriveState
    from fieldrec.status.board import snapshot_from_dict

    owner = await find_owner(*recordings_folders(config))
    if owner is not None:
        drives = snapshot_from_dict(await owner.call("snapshot")).drives
        return [drive for drive in drives if drive.state is not DriveState.ABSENT]
    return [_judged(config, block) for block in _present(config)]


def _present(config: Any) -> list[BlockDevice]:
    """Drives that udev has now; needs a running loop. DriveError where there is no udev."""
    from fieldrec.drives.mounts import system_disks
    from fieldrec.drives.udev import BlockEvents

    found: list[BlockDevice] = []
    events = BlockEvents(config.drives.match, lambda _change, block: found.append(block))
    there = (path for path in recordings_folders(config) if path.exists())
    try:
        events.start(system_disks((Path("/"), *there)))
    except OSError as error:
        raise DriveError(f"drives cannot be listed: {error.strerror}") from error
    events.stop()
    return found


def _judged(config: Any, block: BlockDevice) -> Drive:
    """A drive that no fieldrec has in hand: what would become of it, and why."""
    from fieldrec.core.model import DriveState
    from fieldrec.drives import accept, link, mount, mounts

    drive = accept.recognised(config.drives, _drive_of(block))
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


async def _one(config: Any, which: str) -> tuple[Drive, str]:
    """One drive with its marker, and what kept us from reading that."""
    from fieldrec.drives.device import device_at, file_system_of

    drives = await _drives(config)
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
    from fieldrec.drives import accept, marker, mount

    try:
        keys = marker.keys_in(recordings_folders(config))
        if drive.mount_point is not None:
            found = marker.read(drive.mount_point, block.fs_uuid, keys)
        else:
            with _private_root() as root:
                async with mount.read_only(block, root) as point:
                    found = marker.read(point, block.fs_uuid, keys)
    except (FieldrecError, OSError) as error:
        return drive, f"its marker cannot be read ({error})"
    return accept.recognised(config.drives,
                             dataclasses.replace(drive, marker=found.marker)), found.problem


@contextlib.contextmanager
def _private_root() -> Iterator[Path]:
    """A folder to mount below for a moment. Only an empty one is removed: what is still mounted
    there is somebody's drive."""
    root = Path(tempfile.mkdtemp(prefix="fieldrec-drive-"))
    try:
        yield root
    finally:
        with contextlib.suppress(OSError):
            durable.remove_empty_directory(root)


def _drive_of(block: BlockDevice) -> Drive:
    from fieldrec.drives.arrival import drive_of

    return drive_of(block)


# -- in words --------------------------------------------------------------------------------------

def _gets(config: DrivesConfig, drive: Drive) -> tuple[str, str]:
    """What a drive gets, and why."""
    from fieldrec.core.model import DriveState
    from fieldrec.drives import accept

    if drive.state is DriveState.REJECTED:
        return "nothing: it is not used", drive.reason
    gets = accept.serving(config, drive)
    return accept.described(gets), gets.why


def _link(drive: Drive) -> str:
    from fieldrec.drives.link import generation

    return "-" if drive.link_mbps is None else f"{generation(drive.link_mbps)} " \
                                               f"({drive.link_mbps} Mb/s)"


def _facts(config: DrivesConfig, drive: Drive) -> dict[str, Any]:
    gets, why = _gets(config, drive)
    values = dataclasses.asdict(drive)
    return values | {"state": drive.state.name, "gets": gets, "why": why,
                     "mount_point": None if drive.mount_point is None else str(drive.mount_point)}


def _lines(config: DrivesConfig, drive: Drive, problem: str) -> list[tuple[str, str]]:
    from fieldrec.drives import accept
    from fieldrec.status import words

    gets, why = _gets(config, drive)
    mounted = "" if drive.mount_point is None else f", mounted at {drive.mount_point}"
    lines = [("drive", f"{words.drive_label(drive)} ({drive.device})"),
             ("id", drive.fs_uuid or "-"),
             ("size", f"{words.size(drive.size_bytes)}, {drive.fs_type or 'no file system'}"),
             ("link", _link(drive)),
             ("state", words.safe_text(f"{drive.state.value}{mounted}")),
             ("marker", problem or _marked(drive)),
             ("known", "yes" if drive.known else "no: it gets copies, and nothing is deleted for "
                                                 "it"),
             ("gets", gets), ("why", why)]
    if drive.reason and drive.reason != why:
        lines.append(("said", words.safe_text(drive.reason)))
    keep = accept.serving(config, drive).keep_free_bytes
    return [*lines, ("kept free", words.size(keep))]


def _marked(drive: Drive) -> str:
    from fieldrec.status import words

    marker = drive.marker
    if marker is None:
        return "none"
    said = [f"{'this' if marker.ours else 'another'} recorder's, {marker.id}"]
    if marker.owner:
        said.append(f"owner {marker.owner}")
    if marker.on_insert:
        said.append(f"on insert {marker.on_insert}")
    if marker.cameras is not None:
        said.append(f"cameras {words.safe_text(', '.join(marker.cameras)) or 'all'}")
    return ", ".join(said)
