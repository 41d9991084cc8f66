"""Block devices coming and going, from udev's netlink socket on the event loop.

Runs in the loop's thread: the socket is drained without blocking; of sysfs only a few attributes
are read, which the kernel answers from memory. Subscribing comes before enumerating, so nothing
that appears in between is missed; when the socket overflows (ENOBUFS) everything is enumerated
again. Adapter only: which device is fit for use is decided elsewhere, but three kinds are not even
reported: boot and system partitions, partitions of a disk that carries the root or recordings file
system, and devices without the configured properties.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pyudev

from fieldrec.drives.labels import identity, printable

log = logging.getLogger(__name__)

RECEIVE_BUFFER_BYTES = 1 << 20
"""A hub full of card readers sends some hundred events of about 1 kB at once."""

MOST_OVERFLOWS = 100
"""In one go; beyond that the socket is broken, not full."""

SYSTEM_PARTITIONS = frozenset({
    "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",  # EFI system
    "e3c9e316-0b5c-4db8-817d-f92df00215ae",  # Microsoft reserved
    "de94bba4-06d1-4d40-a16a-bfd50179d6ac",  # Windows recovery
    "bc13c2ff-59e6-4262-a352-b275fd6f7172",  # extended boot loader
    "21686148-6449-6e6f-744e-656564454649",  # BIOS boot
    "0xef",                                  # EFI system, in a DOS partition table
    "0x27",                                  # Windows recovery, in a DOS partition table
})
"""Partition types (udev's ID_PART_ENTRY_TYPE) that belong to some machine's start-up."""

DATA_PARTITIONS = frozenset({
    "0fc63daf-8483-4772-8e79-3d69d8477de4",  # Linux
    "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7",  # Windows
    "0x6", "0x7", "0xb", "0xc", "0xe", "0x83",
})
"""Partition types that are meant to have a file system for people's files."""


CONTROL = Path("/run/udev/control")
NOT_RUNNING = "udev is not running, so no drive is noticed: start systemd-udevd"


def is_running() -> bool:
    """Whether a udevd is there to tell of anything; its socket alone may be left from an earlier
    one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK) as control:
        try:
            control.connect(str(CONTROL))
        except (BlockingIOError, PermissionError):  # it has many callers; it is root's
            return True
        except OSError:
            return False
    return True


class Change(enum.Enum):
    """What happened to a block device."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"
    TOUCHED = "touched"
    """Somebody wrote to it, a formatter or a checker perhaps; what is known of it is the same."""


@dataclass(frozen=True, slots=True)
class BlockDevice:
    """One block device as udev knows it; texts are already cleaned."""

    device: str
    """e.g. /dev/sdb1"""
    number: str
    """"major:minor", as in mountinfo."""
    fs_uuid: str
    """"" where the file system has none."""
    label: str
    fs_type: str
    """As blkid names it; "" = no file system, e.g. a new disk; "crypto" = encrypted."""
    size_bytes: int
    link_mbps: int | None
    """Negotiated speed of the USB link; None when it is no USB device."""
    usb_path: Path | None
    """The USB device in sysfs."""
    usage: str = "filesystem"
    """As blkid has it: "filesystem", "crypto", "raid" (LVM too), "other" (swap…); "" = nothing."""
    disk: str = ""
    """Kernel name of the whole disk: what is pulled out is the disk, with all its partitions."""
    partitioned: bool = False
    """A whole disk that has partitions."""
    in_reader: bool = False
    """A card: what is taken out is the card, and its reader stays on for the next one."""


class BlockEvents:
    """Calls back on the loop for every matching block device that comes, changes or goes.

    A file system that vanishes from a device which stays (``losetup -d``, a card taken out of its
    reader) counts as REMOVED; a new one on it as REMOVED, then ADDED.
    """

    def __init__(self, match: Mapping[str, str], on_event: Callable[[Change, BlockDevice], None],
                 *, receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES) -> None:
        self._match = dict(match)
        self._on_event = on_event
        self._buffer_bytes = receive_buffer_bytes
        self._known: dict[str, BlockDevice] = {}
        self._system_disks: frozenset[str] = frozenset()
        self._monitor: Any = None
        self._failed: asyncio.Future[None] | None = None

    def start(self, system_disks: frozenset[str]) -> asyncio.Future[None]:
        """Subscribe, then report what is there; `system_disks` are kernel names, e.g. "sda".

        Returns a future that is done only when reading fails (or at :meth:`stop`, cancelled).
        OSError where there is no netlink. A second start after stop reports only differences.
        """
        loop = asyncio.get_running_loop()
        self._system_disks = system_disks
        monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source="udev")
        monitor.filter_by("block")
        try:
            monitor.set_receive_buffer_size(self._buffer_bytes)
        except OSError as error:
            log.warning("drives: receive buffer not enlarged (%s)", error.strerror)
        monitor.start()
        self._monitor = monitor
        self._failed = loop.create_future()
        if not is_running():
            log.warning("drives: %s", NOT_RUNNING)
        loop.add_reader(monitor.fileno(), self._read)
        self.enumerate()
        return self._failed

    def stop(self) -> None:
        """Unsubscribe. Idempotent; what is known is kept for the next start."""
        if self._monitor is not None:
            asyncio.get_running_loop().remove_reader(self._monitor.fileno())
            self._monitor = None
        if self._failed is not None:
            self._failed.cancel()
            self._failed = None

    def forget(self, device: str) -> None:
        """Report this device as new when it is next looked at."""
        self._known.pop(device, None)

    def fail(self, error: BaseException) -> None:
        """Make the future that :meth:`start` returned fail."""
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)

    def enumerate(self) -> None:
        """Report the differences between what is there and what is known."""
        present = {}
        for device in pyudev.Context().list_devices(subsystem="block"):
            block = self._describe(device)
            if block is not None:
                present[block.device] = block
        for node in [node for node in self._known if node not in present]:
            self._note(node, None)
        for node, block in present.items():
            self._note(node, block)

    def _read(self) -> None:
        """Drain the socket; the loop calls this when it is readable."""
        lost = 0
        try:
            while True:
                try:
                    device = self._monitor.poll(timeout=0)
                except OSError:
                    if (lost := lost + 1) > MOST_OVERFLOWS:
                        raise
                    _clear_error(self._monitor.fileno())
                    continue
                if device is None:
                    break
                self._take(device)
            if lost:
                log.warning("drives: udev events were lost; looking at all devices again")
                self.enumerate()
        except Exception as error:  # noqa: BLE001 - belongs to the supervised task, not to the loop
            self.fail(error)

    def _take(self, device: Any) -> None:
        node = device.device_node
        if node is None:
            return
        known = self._known.get(node)
        block = None if device.action == "remove" else self._describe(device)
        self._note(node, block)
        if block is not None and block == known and device.action == "change":
            self._on_event(Change.TOUCHED, block)
        self._look_at_its_disk(device)

    def _look_at_its_disk(self, device: Any) -> None:
        """A partition that comes or goes changes what its disk is."""
        if device.device_type != "partition":
            return
        disk = device.find_parent("block", "disk")
        if disk is not None and disk.device_node in self._known:
            self._note(disk.device_node, self._describe(disk))

    def _note(self, node: str, block: BlockDevice | None) -> None:
        """Report the difference between what is known of a device node and what it is now."""
        known = self._known.pop(node, None)
        if block is not None:
            self._known[node] = block
        if known is not None and (block is None or _other_file_system(known, block)):
            self._on_event(Change.REMOVED, known)
            known = None
        if block is not None and known is None:
            self._on_event(Change.ADDED, block)
        elif block is not None and block != known:
            self._on_event(Change.CHANGED, block)

    def _describe(self, device: Any) -> BlockDevice | None:
        """The device's facts, or None if it is none of ours or has gone meanwhile."""
        properties = device.properties
        if device.device_node is None or any(
                key not in properties or not fnmatchcase(properties[key], pattern)
                for key, pattern in self._match.items()):
            return None
        if properties.get("ID_PART_ENTRY_TYPE", "").lower() in SYSTEM_PARTITIONS:
            return None
        if _disk_name(device) in self._system_disks:
            return None
        size_bytes = _integer(device, "size") * 512
        partitioned = _has_partitions(device)
        usage = _usage(device, size_bytes, partitioned)
        if usage is None:
            return None
        usb = device.find_parent("usb", "usb_device")
        number = device.device_number
        return BlockDevice(
            device=device.device_node,
            number=f"{os.major(number)}:{os.minor(number)}",
            fs_uuid=identity(properties.get("ID_FS_UUID", "")),
            label=printable(properties.get("ID_FS_LABEL", "")),
            fs_type="crypto" if usage == "crypto" else printable(properties.get("ID_FS_TYPE", "")),
            size_bytes=size_bytes,
            link_mbps=None if usb is None else _integer(usb, "speed") or None,
            usb_path=None if usb is None else Path(usb.sys_path),
            usage=usage, disk=_disk_name(device), partitioned=partitioned,
            in_reader=_in_reader(properties))


def _clear_error(descriptor: int) -> None:
    """Take the pending error (ENOBUFS) off the socket: pyudev polls, sees it, and never reads it,
    so that it would be readable, and fail, for ever."""
    with socket.socket(fileno=os.dup(descriptor)) as twin:
        twin.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def _usage(device: Any, size_bytes: int, partitioned: bool) -> str | None:
    """What it is used for, as blkid has it; None = nothing here to speak of.

    What is empty and could be formatted is reported (""), so that its owner is told so: a disk
    with neither file system nor partitions, a partition for data. A slot without a card (size 0),
    a disk that is all partitions, and the odd partitions of phones and boot sticks are not.
    """
    properties = device.properties
    if usage := properties.get("ID_FS_USAGE", ""):
        return printable(usage)
    if properties.get("DEVTYPE") == "disk":
        empty = size_bytes > 0 and not partitioned
    else:
        empty = properties.get("ID_PART_ENTRY_TYPE", "").lower() in DATA_PARTITIONS
    return "" if empty else None


def _in_reader(properties: Mapping[str, str]) -> bool:
    """By what udisks' rules say of it where they are there, and by its model's name."""
    model = properties.get("ID_MODEL", "").lower()
    return any(name.startswith(("ID_DRIVE_FLASH", "ID_DRIVE_MEDIA_FLASH")) for name in properties
               ) or any(word in model for word in ("reader", "card", "sd_mmc", "sd/mmc"))


def _has_partitions(device: Any) -> bool:
    """Whether a whole disk has partitions, as the kernel sees them."""
    return device.properties.get("DEVTYPE") == "disk" and any(
        Path(device.sys_path).glob("*/partition"))


def _other_file_system(known: BlockDevice, block: BlockDevice) -> bool:
    return (known.fs_uuid, known.fs_type, known.usage, known.number, known.partitioned) != (
        block.fs_uuid, block.fs_type, block.usage, block.number, block.partitioned)


def _disk_name(device: Any) -> str:
    """Kernel name of the whole disk that a block device is, or is a part of."""
    if device.properties.get("DEVTYPE") == "partition":
        parent = device.find_parent("block", "disk")
        if parent is not None:
            return str(parent.sys_name)
    return str(device.sys_name)


def _integer(device: Any, attribute: str) -> int:
    """A sysfs attribute; 0 where it is missing or no integer ("unknown")."""
    try:
        return int(float(device.attributes.get(attribute, b"0")))
    except (ValueError, OSError, TypeError):
        return 0
