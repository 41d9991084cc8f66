"""Making a drive new: a partition table, one partition, a file system. Erases the whole disk.

For the command `fieldrec drive prepare` alone, on its own event loop; whether the disk may be
erased was decided, and confirmed by a person, before. While it works the whole disk is locked as
systemd's udevd asks for (flock), so that no daemon and no desktop takes the drive for ready half
way: it is announced when the lock is let go.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fieldrec.core.errors import DriveBusy, DriveError, UsageError
from fieldrec.drives.check import which
from fieldrec.drives.device import Device, block_of, probe
from fieldrec.drives.programs import run_heard
from fieldrec.drives.udev import BlockDevice, is_running

LOCK_PATIENCE_S = 15.0
"""udevd and desktops look at a disk for a few seconds after it came."""
LOCK_PAUSE_S = 0.1
STEP_TIMEOUT_S = 60.0
MAKE_TIMEOUT_S = 1800.0
"""A spinning disk of several TB at the speed of USB 2."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A file system that drives are formatted with."""

    command: tuple[str, ...]
    """Program and options; {label} is the label; the device comes after."""
    package: str
    partition_type: str
    """GPT's id of what is in the partition."""
    label: re.Pattern[str]
    longest_label: int


_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\Z")
KINDS = {
    # No blocks kept for root; an inode for 64 KiB: enough for frames of 100 kB, and a quarter of
    # the usual room for inodes. No discard: some USB bridges take minutes to answer it.
    "ext4": Kind(("mkfs.ext4", "-q", "-F", "-m", "0", "-i", "65536", "-E", "nodiscard",
                  "-L", "{label}"), "e2fsprogs",
                 "0FC63DAF-8483-4772-8E79-3D69D8477DE4", _LABEL, 16),
    "exfat": Kind(("mkfs.exfat", "-L", "{label}"), "exfatprogs",
                  "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", _LABEL, 11),
}
_TOOLS = {"wipefs": "util-linux", "sfdisk": "fdisk", "partx": "util-linux", "blkid": "util-linux"}


def check_wish(fs_type: str, label: str) -> None:
    """UsageError for a label that the file system cannot have; DriveError naming every program that
    is missing, and its package, before anything is touched."""
    kind = KINDS[fs_type]
    if not kind.label.match(label) or len(label) > kind.longest_label:
        raise UsageError(f"--label {label!r}: {fs_type} takes up to {kind.longest_label} letters, "
                         "digits, '-' and '_'")
    missing = {program: package for program, package
               in {**_TOOLS, kind.command[0]: kind.package}.items() if which(program) is None}
    if missing:
        raise DriveError(f"to format, {', '.join(missing)} must be installed: apt install "
                         + " ".join(sorted(set(missing.values()))))


@contextlib.asynccontextmanager
async def locked(device: Device) -> AsyncIterator[None]:
    """Hold the whole disk: nobody mounts it, nor looks at it through udev, until this ends.

    DriveBusy when somebody has it; DriveError without the right to it."""
    try:
        # Whoever has mounted it, or uses it for a volume, has claimed it: then this fails.
        os.close(os.open(device.disk, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC))
        descriptor = os.open(device.disk, os.O_RDWR | os.O_CLOEXEC)
    except PermissionError as error:
        raise DriveError(f"{device.disk} cannot be written: only root may; use sudo") from error
    except OSError as error:
        raise DriveBusy(f"{device.disk} cannot be had for ourselves ({error.strerror}); eject it "
                        "first") from error
    try:
        await _lock(descriptor, device.disk)
        yield
    finally:
        os.close(descriptor)  # udev looks at it anew now


async def _lock(descriptor: int, name: str) -> None:
    try:
        async with asyncio.timeout(LOCK_PATIENCE_S):
            while True:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                await asyncio.sleep(LOCK_PAUSE_S)
    except TimeoutError:
        raise DriveBusy(f"{name} is being looked at by another program; try again") from None


async def format_disk(device: Device, fs_type: str, label: str) -> BlockDevice:
    """Erase the disk, which is :func:`locked`, and make one partition with a file system on it.

    DriveError with the words of the program that failed: the disk is empty or half made then."""
    kind = KINDS[fs_type]
    old = [block.device for block in device.blocks if block.device != device.disk]
    for node in (*old, device.disk):  # else a new partition there would be taken for the old one
        await _do("wipefs", "--all", "--force", "--quiet", node)
    if old:
        await _do("partx", "--delete", device.disk)
    table = f'label: gpt\nstart=1MiB, type={kind.partition_type}, name="fieldrec"\n'
    await _do("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--wipe", "always",
              "--wipe-partitions", "always", device.disk, given=table.encode())
    await _do("partx", "--add", device.disk)
    part = next((at.parent for at in device.sysfs.glob("*/partition")), None)
    if part is None:
        raise DriveError(f"{device.disk}: the kernel does not see its new partition; pull it out, "
                         "put it in, and try again")
    node = f"/dev/{part.name}"
    command = [word.format(label=label) for word in kind.command]
    await _do(*command, node, timeout_s=MAKE_TIMEOUT_S)
    return block_of(part, device.blocks[0].usb_path, probe(node))


async def announce(nodes: list[str]) -> None:
    """Have udev look at devices anew, best effort, and wait until it has."""
    for command in (("udevadm", "trigger", "--action=change", *nodes),
                    ("udevadm", "settle", "--timeout=20")):
        program = which(command[0])
        if program is not None and is_running():
            await run_heard(program, *command[1:], timeout_s=STEP_TIMEOUT_S)


async def _do(program: str, *arguments: str, timeout_s: float = STEP_TIMEOUT_S,
              given: bytes = b"") -> None:
    ended = await run_heard(which(program) or program, *arguments, timeout_s=timeout_s,
                            given=given)
    if ended.timed_out:
        raise DriveError(f"{program} did not end in {timeout_s:g} s on {arguments[-1]}; pull the "
                         "drive out")
    if ended.code != 0:
        said = ended.text.strip().splitlines() or [f"exit code {ended.code}"]
        raise DriveError(f"{program} failed on {arguments[-1]}: {said[-1].strip()[:160]}")
