"""Mounting, unmounting and switching off by udisks2, which a desktop or a box may run.

On the event loop; every call has a time limit, a udisksd that ends or hangs is `UdisksAway` and
nothing else waits for it (I9). udisks mounts with nosuid and nodev always; noexec, noatime and
nosymfollow are asked for and read back from mountinfo. It names the mount point after the drive's
label: one that cannot be shown is not used. What udisks mounted, udisks unmounts: it may live in
another mount namespace than we, where our umount(8) would change nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fieldrec.core import durable
from fieldrec.core.errors import DriveBusy, DriveError, DriveRejected
from fieldrec.drives import mount
from fieldrec.drives.labels import identity, printable
from fieldrec.drives.mounts import Mount, mount_at, showable
from fieldrec.drives.system_bus import Conversation, NoAnswer, NoService, Refused
from fieldrec.drives.udev import BlockDevice

SERVICE = "org.freedesktop.UDisks2"
MANAGER = "/org/freedesktop/UDisks2/Manager"
BLOCK, DRIVE = f"{SERVICE}.Block", f"{SERVICE}.Drive"
FILE_SYSTEM = f"{SERVICE}.Filesystem"
PROPERTIES = "org.freedesktop.DBus.Properties"

ANSWER_S = 4.0
"""It answers in milliseconds; systemd may have to start it first."""
KNOWN_S = 6.0
"""It reads each new device by itself, after udev has announced it to both of us."""
POWER_OFF_S = 30.0
"""It flushes the device's cache and stops its motor."""
CANCELLED_S = 10.0

_OPTIONS = ("noexec,noatime,nosymfollow", "noexec,noatime", "noexec")
"""Best first: an older udisks or mount(8) does not know them all."""
_MAY_BE_OPTIONS = ("OptionNotPermitted", "Failed")
_NO_RIGHTS = ("NotAuthorized", "NotAuthorizedCanObtain", "NotAuthorizedDismissed")


PLACES = (Path("/media"), Path("/run/media"))
"""Where udisks mounts, and nobody else should."""


class UdisksAway(DriveBusy):
    """udisks2 does not answer, or does not let us: drives are mounted in another way."""


class NoUdisks(UdisksAway):
    """There is no udisks2 here, as on most small boxes; nothing is wrong."""


class ByUdisks:
    """The `Mounter` that asks udisks2. `root`: the folder of our own where it is noted what we had
    mounted, for a run after one that was killed; it lives as long as the machine is on."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def made(self, block: BlockDevice, found: Mount) -> bool:
        """By our note."""
        try:
            return _note(self._root, block).read_bytes() == os.fsencode(found.mount_point)
        except OSError:
            return False

    async def mount(self, block: BlockDevice) -> Mount:
        """Where udisks puts it, usually /media/USER/LABEL.

        UdisksAway when udisks cannot be asked, DriveRejected when it says no.
        """
        with _in_words(block):
            async with Conversation(SERVICE) as udisks:
                path = await _file_system(udisks, block)
                point = await _uncancelled_mount(udisks, path)
        try:
            if not showable(point):
                raise DriveRejected("its label has characters that cannot be shown; give it "
                                    "another label on a computer")
            mounted = await mount.harden(point)
            self._remember(block, point)
            return mounted
        except BaseException:
            with contextlib.suppress(DriveError):
                await self.unmount(block, point)
            raise

    async def unmount(self, block: BlockDevice, mount_point: Path) -> None:
        """Also what udisks mounted for others, if it lets us. DriveBusy, UdisksAway."""
        for attempt in range(mount.BUSY_RETRIES + 1):
            if mount_at(mount_point) is None:
                break
            try:
                with _in_words(block):
                    async with Conversation(SERVICE) as udisks:
                        path = await _object(udisks, block)
                        if not path:
                            raise NoAnswer(f"it does not know {block.device} any more")
                        await udisks.call(path, FILE_SYSTEM, "Unmount", "a{sv}", _quietly(),
                                          timeout_s=mount.UMOUNT_TIMEOUT_S)
            except UdisksAway:
                raise
            except DriveError as error:
                if attempt == mount.BUSY_RETRIES or not isinstance(error, DriveBusy):
                    raise DriveBusy(str(error)) from error
                await asyncio.sleep(mount.BUSY_PAUSE_S)
        with contextlib.suppress(OSError):
            durable.unlink_unsynced(_note(self._root, block))

    async def unmount_others(self, block: BlockDevice, mount_point: Path) -> None:
        """What udisks mounted, for whom ever, udisks unmounts, as its own eject button would; what
        was mounted by hand or by the machine is theirs."""
        if not any(mount_point.is_relative_to(place) for place in PLACES):
            raise DriveBusy(mount.mounted_by_others(mount_point))
        try:
            await self.unmount(block, mount_point)
        except UdisksAway as error:
            raise DriveBusy(f"{mount.mounted_by_others(mount_point)} ({error})") from error

    def _remember(self, block: BlockDevice, mount_point: Path) -> None:
        with contextlib.suppress(OSError):  # then an orderly stop after a kill leaves it mounted
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            _note(self._root, block).write_bytes(os.fsencode(mount_point))

    async def detach(self, block: BlockDevice, mount_point: Path) -> None:
        """Lazily; of a device that is gone udisks lets go by itself."""
        with contextlib.suppress(DriveError), _in_words(block):
            async with Conversation(SERVICE) as udisks:
                path = await _object(udisks, block)
                if path and mount_at(mount_point) is not None:
                    await udisks.call(path, FILE_SYSTEM, "Unmount", "a{sv}",
                                      _quietly(force=True), timeout_s=mount.MOUNT_TIMEOUT_S)

    async def power_off(self, block: BlockDevice) -> None:
        """Flush the device's cache, stop it, switch its port off. DriveBusy when udisks refuses."""
        with _in_words(block):
            async with Conversation(SERVICE) as udisks:
                path = await _object(udisks, block)
                drive = str(await _property(udisks, path, BLOCK, "Drive")) if path else "/"
                if drive == "/":
                    raise DriveBusy(f"{block.device} is part of nothing that can be switched off")
                await udisks.call(drive, DRIVE, "PowerOff", "a{sv}", _quietly(),
                                  timeout_s=POWER_OFF_S)


def _note(root: Path, block: BlockDevice) -> Path:
    return root / f"{block.fs_uuid}.udisks"


@contextlib.contextmanager
def _in_words(block: BlockDevice) -> Iterator[None]:
    """Turns what the bus says into errors of drives."""
    try:
        yield
    except NoService as error:
        raise NoUdisks("udisks2 does not run here") from error
    except NoAnswer as error:
        raise UdisksAway(f"udisks2 does not answer ({error})") from error
    except Refused as error:
        if error.name in _NO_RIGHTS:
            raise UdisksAway("udisks2 does not let this user; install "
                             "config/fieldrec-udisks.rules for polkit") from error
        if error.name == "DeviceBusy" or "busy" in str(error):
            raise DriveBusy(f"{block.device} is busy") from error
        raise DriveRejected(f"udisks2 cannot handle it as {block.fs_type} ({error}); check it for "
                            "errors on a computer") from error


async def _file_system(udisks: Conversation, block: BlockDevice) -> str:
    """The object of the file system, once udisks has seen what we have seen. NoAnswer if never."""
    await udisks.listen()
    try:
        async with asyncio.timeout(KNOWN_S):
            while True:
                udisks.heard.clear()
                path = await _object(udisks, block)
                if path and await _is_it(udisks, path, block):
                    return path
                await udisks.heard.wait()
    except TimeoutError:
        raise NoAnswer(f"it does not know of a file system on {block.device}") from None


async def _object(udisks: Conversation, block: BlockDevice) -> str:
    """The object of a block device; "" when udisks does not know it (yet, or any more)."""
    found = await udisks.call(MANAGER, f"{SERVICE}.Manager", "ResolveDevice", "a{sv}a{sv}",
                              {"path": _variant("s", block.device)}, _quietly(),
                              timeout_s=ANSWER_S)
    return str(found[0]) if found else ""


async def _is_it(udisks: Conversation, path: str, block: BlockDevice) -> bool:
    """Whether udisks sees this very file system: devices are reused faster than it looks."""
    try:
        fs_uuid = await _property(udisks, path, BLOCK, "IdUUID")
        fs_type = await _property(udisks, path, BLOCK, "IdType")
        await _property(udisks, path, FILE_SYSTEM, "MountPoints")
    except Refused:
        return False
    return (identity(fs_uuid), printable(fs_type)) == (block.fs_uuid, block.fs_type)


async def _property(udisks: Conversation, path: str, interface: str, name: str) -> Any:
    value = await udisks.call(path, PROPERTIES, "Get", "ss", interface, name, timeout_s=ANSWER_S)
    return value.value


async def _mounted(udisks: Conversation, path: str) -> Path:
    """Mount with as many of our options as udisks knows; the mount point it chose."""
    for options in _OPTIONS[:-1]:
        try:
            return await _mounted_with(udisks, path, options)
        except Refused as error:
            if error.name not in _MAY_BE_OPTIONS:
                raise
    return await _mounted_with(udisks, path, _OPTIONS[-1])


async def _mounted_with(udisks: Conversation, path: str, options: str) -> Path:
    return Path(await udisks.call(path, FILE_SYSTEM, "Mount", "a{sv}", _quietly(options=options),
                                  timeout_s=mount.MOUNT_TIMEOUT_S))


async def _uncancelled_mount(udisks: Conversation, path: str) -> Path:
    """A mount that is under way cannot be called back: on cancel its end is awaited and undone."""
    under_way = asyncio.ensure_future(_mounted(udisks, path))
    try:
        return await asyncio.shield(under_way)
    except asyncio.CancelledError:
        with contextlib.suppress(NoAnswer, Refused, TimeoutError):
            async with asyncio.timeout(CANCELLED_S):
                await under_way
            await udisks.call(path, FILE_SYSTEM, "Unmount", "a{sv}", _quietly(),
                              timeout_s=mount.UMOUNT_TIMEOUT_S)
        raise


def _quietly(**options: str | bool) -> dict[str, Any]:
    """Options of a call; polkit asks nobody, for nobody is there to answer."""
    given = {"auth.no_user_interaction": True} | options
    return {name: _variant("b" if isinstance(value, bool) else "s", value)
            for name, value in given.items()}


def _variant(signature: str, value: str | bool) -> Any:
    from dbus_fast import Variant

    return Variant(signature, value)
