"""Mounting and unmounting drives with mount(8) and umount(8), each as a process with a time limit.

Called by the drive watcher's tasks on the event loop; never blocks it: a driver that hangs on a
dying drive hangs in a process of its own, which is killed and left behind. The type is always
explicit (only what the configuration allows reaches a kernel driver), nothing on a drive can be
executed, be a device, gain rights or lead elsewhere by a symlink, and that is read back from
mountinfo: if the options are not there, the drive is not used. What others mounted is never
unmounted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

from fieldrec.core import durable
from fieldrec.core.errors import DriveBusy, DriveRejected
from fieldrec.drives.labels import printable
from fieldrec.drives.mounts import Mount, folder_due, folder_on, mount_at, mounts_of
from fieldrec.drives.programs import run
from fieldrec.drives.udev import BlockDevice
from fieldrec.drives.work import DriveWork

MOUNT_TIMEOUT_S = 60.0
"""A journal to replay on a slow stick takes tens of seconds."""
UMOUNT_TIMEOUT_S = 300.0
"""All that is still in the page cache goes out: at 5 MB/s a gigabyte takes 200 s."""
POWER_OFF_TIMEOUT_S = 15.0
BUSY_RETRIES = 20
BUSY_PAUSE_S = 0.25

REQUIRED = frozenset({"nosuid", "nodev", "noexec"})
WANTED = REQUIRED | {"noatime", "nosymfollow"}
_DRIVERS = {"ntfs": ("ntfs3", "ntfs-3g"), "ntfs3": ("ntfs3", "ntfs-3g"),
            "exfat": ("exfat", "exfat-fuse")}
"""What to try for a type, best first; any other type has one driver of the same name."""
_NO_REPLAY = {"ext4": ("noload",), "ext3": ("noload",), "xfs": ("norecovery",),
              "btrfs": ("rescue=nologreplay",)}
"""So that mounting read-only writes nothing; the others write nothing then anyway."""
_RIGHTS = ("must be superuser", "only root", "permission denied", "not permitted")
"""What mount(8) and the FUSE programs say to who may not."""
_ROOT = ("run fieldrec as root (scripts/install), or have udisks2 mount: "
         "pip install 'fieldrec[udisks]'")
_READ_ONLY_TYPES = ("iso9660", "squashfs", "erofs", "cramfs", "romfs")
_KERNEL_TYPE = {"ntfs3": "ntfs"}


class ByMount:
    """The `Mounter` that needs nothing but mount(8), umount(8) and the rights to use them."""

    def __init__(self, root: Path, work: DriveWork) -> None:
        self._root = root
        self._work = work

    def made(self, block: BlockDevice, found: Mount) -> bool:
        """What lies below the root under its id can only be ours."""
        return found.mount_point == self._root / block.fs_uuid

    async def mount(self, block: BlockDevice) -> Mount:
        """In a private folder below the root; see :func:`mount`."""
        return await mount(block, self._root)

    async def unmount(self, block: BlockDevice, mount_point: Path) -> None:
        """See :func:`unmount`."""
        await unmount(mount_point)

    async def unmount_others(self, block: BlockDevice, mount_point: Path) -> None:
        """Never: whoever mounted it knows why."""
        raise DriveBusy(mounted_by_others(mount_point))

    async def detach(self, block: BlockDevice, mount_point: Path) -> None:
        """See :func:`detach`."""
        await detach(mount_point)

    async def power_off(self, block: BlockDevice) -> None:
        """By the USB device's `remove` in sysfs; the kernel flushes the device's own cache before
        it lets it go. OSError without the right to, DriveBusy when it takes too long."""
        if block.usb_path is None:
            return
        switch = block.usb_path / "remove"
        await self._work.run((block.fs_uuid, block.device),
                             lambda _stop: switch.write_text("1\n"), POWER_OFF_TIMEOUT_S,
                             f"drive {block.device} does not switch off")


def mounted_by_others(mount_point: Path) -> str:
    """Why a drive is not let go, in words."""
    return f"others mounted it at {printable(str(mount_point), 80)}; unmount it there"


def recorded_on(block: BlockDevice, folders: Sequence[Path]) -> str:
    """Why a device is no drive: one of the recordings `folders` lies on its disk, or will on it
    once it is mounted as /etc/fstab says; "" when none does."""
    names = {block.device, f"UUID={block.fs_uuid}", f"LABEL={block.label}"}
    folder = (folder_on(block.device, block.number, folders, block.disk)
              or folder_due(names, folders))
    return "" if folder is None else f"it has the recordings folder {folder} on it"


def unusable(block: BlockDevice, file_systems: Iterable[str]) -> str:
    """Why a device cannot even be mounted, with what to do; "" when it can be tried."""
    advice = "format it as exFAT or ext4 on a computer, then put it in again"
    if block.usage == "" or (block.usage == "filesystem" and block.fs_type == ""):
        return f"not formatted; {advice}"
    if block.partitioned:
        return ("it has partitions, and what looks like a file system over all of them is left "
                "alone; if it was used as a whole, remove its partitions on a computer")
    if reason := _no_file_system(block):
        return f"{reason}; use another, or {advice}"
    allowed = {_KERNEL_TYPE.get(name, name) for name in file_systems}
    if _KERNEL_TYPE.get(block.fs_type, block.fs_type) not in allowed:
        return (f"file system {block.fs_type} is not among drives.file_systems; "
                f"add it there, or {advice}")
    if block.fs_uuid == "":
        return f"its file system has no id to know it by; {advice}"
    return ""


def _no_file_system(block: BlockDevice) -> str:
    """Why nothing can ever be written to such a thing as it is; "" when perhaps it can."""
    if block.fs_type == "crypto":
        return "encrypted, and fieldrec has no key"
    if block.usage == "raid":
        return f"a part of a set of disks ({block.fs_type}), of no use alone"
    if block.fs_type in ("swap", "swsuspend"):
        return "a computer's swap space"
    if block.usage != "filesystem":
        return f"no file system, but {block.fs_type}"
    if block.fs_type in _READ_ONLY_TYPES:
        return f"read-only by its nature ({block.fs_type}, as on CDs and boot sticks)"
    return ""


async def mount(block: BlockDevice, root: Path) -> Mount:
    """Mount in a private folder below `root` and return the mount as the kernel shows it.

    DriveRejected (one line, what to do) when it cannot be mounted for writing with our options;
    nothing is left mounted then, nor after a cancel.
    """
    folder = await _private_folder(root, block.fs_uuid)
    try:
        await _try_drivers(block, folder, ["rw", *(["errors=remount-ro"] if block.fs_type == "ext4"
                                                   else [])])
        return await harden(folder)
    except BaseException:
        try:
            await unmount(folder)
        except DriveBusy:
            await detach(folder)
        raise


@contextlib.asynccontextmanager
async def read_only(block: BlockDevice, root: Path) -> AsyncIterator[Path]:
    """Where the drive can be looked at without a byte being written to it: mounted in a private
    folder below `root`, its journal not replayed. DriveRejected when it cannot be mounted so."""
    folder = await _private_folder(root, block.fs_uuid)
    try:
        await _try_drivers(block, folder, ["ro", *_NO_REPLAY.get(block.fs_type, ())])
        yield folder
    finally:
        try:
            await unmount(folder)
        except DriveBusy:
            await detach(folder)


async def harden(folder: Path) -> Mount:
    """Make sure of the options of the mount at `folder`, and that it can be written to.

    FUSE programs drop options silently (exfat-fuse: noexec), and nosymfollow is younger than some
    mount(8): what is missing is set by a remount of the mount, which works for any file system.
    """
    found = mount_at(folder)
    if found is not None and not found.options >= WANTED:
        for options in (WANTED, WANTED - {"nosymfollow"}):
            code, _ = await run("mount", "-o", ",".join(["remount", "bind", *sorted(options)]),
                                str(folder), timeout_s=MOUNT_TIMEOUT_S)
            if code == 0:
                break
        found = mount_at(folder)
    if found is None or not found.options >= REQUIRED:
        missing = ", ".join(sorted(REQUIRED - (found.options if found else frozenset())))
        raise DriveRejected(f"mounted without {missing}; not used, as programs on it could run")
    if found.read_only:
        raise DriveRejected("read-only; move its write-protect switch, or check it for errors on "
                            "a computer")
    return found


async def unmount(mount_point: Path) -> None:
    """Write everything out and unmount; the folder goes too. No error if nothing is mounted.

    DriveBusy with umount's words when it stays busy for 5 s or does not finish writing in time.
    """
    for attempt in range(BUSY_RETRIES + 1):
        if mount_at(mount_point) is None:
            break
        code, text = await run("umount", str(mount_point), timeout_s=UMOUNT_TIMEOUT_S)
        if code == 0:
            continue  # there may be one mount on top of another
        if "busy" not in text or attempt == BUSY_RETRIES:
            raise DriveBusy(text.removeprefix("umount: ").rstrip("."))
        await asyncio.sleep(BUSY_PAUSE_S)
    _remove_folder(mount_point)


async def detach(mount_point: Path) -> None:
    """Let go of a mount whose drive is no longer there (umount -l); never raises.

    Only after removal: on a drive that is there it would hide that data is still being written.
    """
    if mount_at(mount_point) is not None:
        await run("umount", "-l", str(mount_point), timeout_s=MOUNT_TIMEOUT_S)
    _remove_folder(mount_point)


async def _try_drivers(block: BlockDevice, folder: Path, how: list[str]) -> None:
    """Mount it; again, for 5 s, while a program that checks or has just formatted it has it for
    itself: that it lets go is no event. DriveRejected."""
    complaint = ""
    for attempt in range(BUSY_RETRIES + 1):
        complaint = await _tried(block, folder, how)
        if not complaint:
            return
        if "busy" not in complaint or mounts_of(block.device, block.number):
            break
        if attempt < BUSY_RETRIES:
            await asyncio.sleep(BUSY_PAUSE_S)
    if "unknown filesystem type" in complaint:
        raise DriveRejected(f"this machine has no driver for {block.fs_type}; install one, or "
                            "format the drive as exFAT or ext4")
    if os.geteuid() != 0 and any(words in complaint.lower() for words in _RIGHTS):
        raise DriveRejected(f"only root may mount; {_ROOT}")
    complaint = complaint.removeprefix("mount: ").removeprefix(f"{folder}: ").rstrip(".")
    raise DriveRejected(f"cannot be mounted as {block.fs_type} ({complaint}); check it for errors "
                        "on a computer")


async def _tried(block: BlockDevice, folder: Path, how: list[str]) -> str:
    """Mount with the first driver that this machine has and that takes the drive; "" when one did,
    else what mount(8) said."""
    complaint = ""
    options = [*how, *sorted(WANTED - {"nosymfollow"})]
    for driver in _DRIVERS.get(block.fs_type, (block.fs_type,)):
        code, text = await run("mount", "-t", driver, "-o", ",".join(options), block.device,
                               str(folder), timeout_s=MOUNT_TIMEOUT_S)
        if code == 0:
            return ""
        if not (complaint and "unknown filesystem type" in text):
            complaint = text or f"mount ended with {code}"
    return complaint


async def _private_folder(root: Path, name: str) -> Path:
    """An empty folder of ours, mode 0700, for one drive; `name` is a cleaned id.

    What is mounted there is not this device (its own mount would have been taken over): the drive
    went while no fieldrec ran, and came back as another device. It is let go of before anything is
    asked of it. DriveRejected when something else is there under that name.
    """
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)  # noqa: ASYNC240 - on a tmpfs
    except OSError as error:
        raise DriveRejected(f"drives.mount_root {root} cannot be made: {error.strerror}; "
                            f"{_ROOT}") from error
    folder = root / name
    await detach(folder)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    facts = folder.lstat()
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.geteuid() or any(folder.iterdir()):
        raise DriveRejected(f"{folder} is not an empty folder of this user; remove it")
    folder.chmod(0o700)
    return folder


def _remove_folder(folder: Path) -> None:
    """Remove an empty mount folder; one that is not empty, or mounted, stays."""
    with contextlib.suppress(OSError):
        durable.remove_empty_directory(folder)


def sync(mount_point: Path) -> None:
    """Make all that was written to a mounted drive durable; blocks. SyncFailed."""
    descriptor = os.open(mount_point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        durable.sync_filesystem(descriptor, mount_point)
    finally:
        os.close(descriptor)
