"""`fieldrec drive`: which drives are there and what each gets and why; making one ready for use."""

from __future__ import annotations

import dataclasses
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fieldrec.cli.out import echo
from fieldrec.cli.verbs import json_option
from fieldrec.cli.where import Where, recordings_folders, where_options
from fieldrec.core.errors import DriveError, UsageError
from fieldrec.core.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from fieldrec.core.model import DriveMarker
    from fieldrec.drives.capacity import Measured
    from fieldrec.drives.device import Device
    from fieldrec.drives.udev import BlockDevice


@click.group("drive")
def drive_command() -> None:
    """Removable drives: which are there, what each gets, and making one ready."""


@drive_command.command("list", short_help="Which drives are there, what each gets, and why.")
@where_options
@json_option
def list_(where: Where, as_json: bool) -> None:
    """List the drives that are there, what each gets when it is put in, and why."""
    from fieldrec.cli.drive_look import drives_there, facts, gets_and_why, link_of
    from fieldrec.cli.link import run
    from fieldrec.cli.tables import print_json, print_table
    from fieldrec.drives.udev import NOT_RUNNING, is_running
    from fieldrec.status import words

    config = where.load()
    drives = run(lambda: drives_there(config))
    if as_json:
        print_json([facts(config.drives, drive) for drive in drives])
    elif not drives:
        echo("no drives are there" if is_running() else NOT_RUNNING)
    else:
        rows = [(words.drive_label(drive), drive.device, words.size(drive.size_bytes),
                 drive.fs_type or "-", link_of(drive), drive.state.value,
                 *gets_and_why(config.drives, drive)) for drive in drives]
        print_table("", ("drive", "device", "size#", "type", "link", "state", "gets", "why"), rows)


@drive_command.command("show", short_help="All that is known of one drive.")
@click.argument("drive")
@where_options
@json_option
def show(where: Where, drive: str, as_json: bool) -> None:
    """Say what is known of one DRIVE (device, label or id): also what its marker says, for which
    it is mounted for a moment, read-only, where nobody has mounted it."""
    from fieldrec.cli.drive_look import facts, lines, one_drive
    from fieldrec.cli.link import run
    from fieldrec.cli.tables import print_json

    config = where.load()
    found, problem = run(lambda: one_drive(config, drive))
    if as_json:
        print_json(facts(config.drives, found) | ({"problem": problem} if problem else {}))
        return
    for name, value in lines(config.drives, found, problem):
        echo(f"{name + ':':<11}{value}")


@drive_command.command("trust", short_help="Use a drive again that was suspect.")
@click.argument("drive")
@where_options
def trust(where: Where, drive: str) -> None:
    """Use a DRIVE (id, label or device) again that was suspect: copies on it came out wrong, or it
    failed to read or write. What was copied to it before proves nothing, and is read back."""
    from fieldrec.cli.link import open_link, run

    config = where.load()

    async def act() -> Any:
        async with open_link(config) as link:
            return await link.call("trust_drive", drive=drive)

    echo(run(act))


@drive_command.command("prepare", short_help="Mark a drive as this recorder's; --format erases.")
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
    try:
        said = run(lambda: _prepare(config, folders, device, wanted, fs_type, label or "FIELDREC",
                                    yes_erase, any_disk=any_disk))
    except OSError as error:
        sudo = "; use sudo" if isinstance(error, PermissionError) else ""
        raise DriveError(f"{device}: {error.strerror or error}{sudo}") from error
    for line in said:
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
    from fieldrec.drives.device import (
        device_at,
        file_system_of,
        of_this_machine,
        why_not_erased,
    )

    device = device_at(path, config.drives.match)
    if fs_type is None:
        if reason := of_this_machine(device, recordings_folders(config)):
            raise DriveError(f"{device.disk} {reason}; it is no drive to mark")
        return await _mark(config, folders, file_system_of(device), wanted,
                           "; that counts when it is put in again")
    formatting.check_wish(fs_type, label)
    if reason := why_not_erased(device, recordings_folders(config), any_disk=any_disk):
        raise UsageError(reason)
    _confirm(device, yes_erase)
    async with formatting.locked(device):
        if device_at(path, config.drives.match) != device:
            raise UsageError(f"not erased: {device.disk} is another, or has changed, since it was "
                             "looked at; try again")
        if reason := why_not_erased(device, recordings_folders(config), any_disk=any_disk):
            raise UsageError(f"not erased: {reason}")  # mounted by a desktop meanwhile
        wanted = dataclasses.replace(wanted, capacity_bytes=await _measured(device.disk))
        block = await formatting.format_disk(device, fs_type, label)
        said = await _mark(config, folders, block, wanted, "")
    await formatting.announce([device.disk, block.device])
    return [f"{block.device}: formatted as {fs_type}, label {block.label}", *said]


async def _measured(disk: str) -> int:
    """Bytes of the whole disk, all of which it keeps; DriveError, and nothing is formatted, for one
    that keeps less. Erases what is on it."""
    from fieldrec.drives import capacity

    click.echo(f"{disk}: looking whether it is as large as it says", err=True)
    found = await _in_thread(lambda check: capacity.prove_device(disk, check))
    if not found.is_true:
        raise DriveError(f"{disk}: {capacity.verdict(found)}; it was not formatted, what was on it "
                         "is destroyed")
    return int(found.told_bytes)


async def _proven(root: Path, block: BlockDevice) -> tuple[int, str]:
    """(bytes that the file system mounted there is proven to have, why it cannot be told). Nothing
    on it is touched. DriveError for a drive that keeps less."""
    from fieldrec.drives import capacity

    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = await _in_thread(lambda check: capacity.prove_file_system(
            folder, root, block.fs_type, block.device, check))
    except capacity.NotTold as why:
        return 0, str(why)
    finally:
        os.close(folder)
    if not found.is_true:
        raise DriveError(f"{block.device}: {capacity.verdict(found)}; it was not marked")
    return int(found.told_bytes), ""


async def _in_thread(look: Callable[[Callable[[], None]], Measured]) -> Measured:
    """An interrupted command waits for the write in hand: then it lets go of the drive."""
    def work(stop: threading.Event) -> Measured:
        def check() -> None:
            if stop.is_set():
                raise InterruptedError("it was stopped")

        return look(check)

    worker = Worker("capacity")
    try:
        return await worker.run(work)
    finally:
        worker.close()


def _confirm(device: Device, yes_erase: str | None) -> None:
    """The operator types the name of what is erased; UsageError when it is another."""
    name = device.disk.removeprefix("/dev/")
    typed = yes_erase
    if typed is None:
        if not _is_terminal():
            raise UsageError(f"{device.described}: everything on it would be erased; to go on "
                             f"without a terminal give --yes-erase {name}")
        labels = sorted(device.names - {device.disk, name})
        typed = click.prompt(f"{device.described}\nEverything on it will be erased. To go on, type "
                             f"{' or '.join([name, *labels])}", err=True)
    if typed.strip() not in device.names:
        raise UsageError(f"not erased: {typed!r} is not the name of {device.described}")


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


async def _mark(config: Any, folders: tuple[Path, ...], block: BlockDevice, wanted: DriveMarker,
                later: str) -> list[str]:
    """Write the marker where the drive is mounted, else where we mount it for that; what to tell,
    with `later` at its end."""
    from fieldrec.cli.drive_look import private_root
    from fieldrec.drives import accept, marker, mount, mounts
    from fieldrec.drives.arrival import drive_of

    if reason := mount.unusable(block, config.drives.file_systems):
        raise DriveError(f"{block.device}: {reason}")
    key = marker.key_for(folders)
    found = mounts.mounts_of(block.device, block.number)
    if found and found[-1].read_only:
        raise DriveError(f"{block.device} is mounted read-only; unmount it and try again")
    if found:
        marked, why = await _write(found[-1].mount_point, block, key, folders, wanted)
    else:
        with private_root() as root:
            mounted = await mount.mount(block, root)
            try:
                marked, why = await _write(mounted.mount_point, block, key, folders, wanted)
            finally:
                await mount.unmount(mounted.mount_point)
    drive = accept.recognised(config.drives, dataclasses.replace(drive_of(block), marker=marked))
    if marked.capacity_bytes:  # as large as the file system, whose size is the partition's here
        drive = dataclasses.replace(drive, capacity_bytes=max(marked.capacity_bytes,
                                                              drive.size_bytes))
    gets = accept.serving(config.drives, drive)
    said = [f"{block.device}: marked as this recorder's ({marked.id}); it gets "
            f"{accept.described(gets)} ({gets.why}){later}"]
    if why:
        then = "drives.unproven_moves lets it get moves all the same" \
            if config.drives.unproven_moves else "format it with --format, or it gets no moves"
        said.append(f"whether it is as large as it says {why}: {then}")
    if reason := accept.refusal(config.drives, drive):
        said.append(f"but it is not used: {reason}")
    return said


async def _write(root: Path, block: BlockDevice, key: bytes, folders: tuple[Path, ...],
                 wanted: DriveMarker) -> tuple[DriveMarker, str]:
    """The marker, and why it does not say how large the drive is, "" when it does. A drive that is
    marked anew stays the same destination, and what it was proven to have counts."""
    from fieldrec.drives import marker

    before = marker.read(root, block.fs_uuid, marker.keys_in(folders)).marker
    if before is not None and before.ours:
        wanted = dataclasses.replace(wanted, id=before.id, capacity_bytes=max(
            before.capacity_bytes, wanted.capacity_bytes))
    why = ""
    if not wanted.capacity_bytes:
        capacity_bytes, why = await _proven(root, block)
        wanted = dataclasses.replace(wanted, capacity_bytes=capacity_bytes)
    return marker.write(root, block.fs_uuid, key, wanted), why
