"""What a device file is: which disk, what is on it, who uses it; and whether it may be erased.

Blocking, for commands; reads sysfs, and what is on the disk by blkid(8), so that nothing depends on
a running udevd. A disk that this machine lives or records on is refused whatever else was said.
"""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyudev

from fieldrec.core.amounts import size
from fieldrec.core.errors import DriveError, NotFoundError, UsageError
from fieldrec.drives import mount, mounts
from fieldrec.drives.check import which
from fieldrec.drives.labels import identity, printable
from fieldrec.drives.udev import BlockDevice

PROBE_TIMEOUT_S = 30.0
SYSFS = Path("/sys")
SWAPS = Path("/proc/swaps")


@dataclass(frozen=True, slots=True)
class Device:
    """A block device that somebody named."""

    node: str
    """As the kernel calls it: /dev/sdb1."""
    disk: str
    """Of the whole disk: /dev/sdb."""
    sysfs: Path
    """Of the whole disk."""
    size_bytes: int
    """Of the whole disk."""
    title: str
    """Vendor and model, for showing; "" where they are not known."""
    removable: bool
    """Of a kind that people plug in: USB, a card, marked so by its driver, or by drives.match."""
    blocks: tuple[BlockDevice, ...]
    """The disk itself and its partitions, each with what is on it."""
    unreadable: str
    """Why what is on it could not be read; "" when it could."""

    @property
    def is_disk(self) -> bool:
        """Whether the whole disk was named."""
        return self.node == self.disk

    @property
    def names(self) -> frozenset[str]:
        """What people may call it: the device with and without /dev/, and the labels on it."""
        labels = {block.label for block in self.blocks if block.label}
        return frozenset({self.disk, self.disk.removeprefix("/dev/"), *labels})

    @property
    def described(self) -> str:
        """"/dev/sdb (SanDisk Ultra, 64.0 GB, with BEES exfat)"."""
        held = [f"{block.label or 'unnamed'} {block.fs_type}" for block in self.blocks
                if block.fs_type]
        facts = filter(None, (self.title, size(self.size_bytes),
                              f"with {', '.join(held)}" if held else "nothing found on it"))
        return f"{self.disk} ({', '.join(facts)})"


def device_at(path: str, match: Mapping[str, str], sysfs: Path = SYSFS) -> Device:
    """What `path` is. NotFoundError, UsageError in words."""
    real = Path(path).resolve()
    try:
        facts = real.stat()
    except OSError as error:
        raise NotFoundError(f"{printable(path, 80)}: {error.strerror}; `fieldrec drive list` shows "
                            "what is there") from error
    if not stat.S_ISBLK(facts.st_mode):
        raise UsageError(f"{printable(path, 80)} is no drive; name a device such as /dev/sdb")
    entry = (sysfs / "dev" / "block" / _number(facts.st_rdev)).resolve()
    disk = entry.parent if (entry / "partition").exists() else entry
    parts = sorted(part.parent for part in disk.glob("*/partition"))
    usb = next((up for up in disk.parents if (up / "idVendor").exists()), None)
    unreadable, on_it = "", {}
    try:
        on_it = {at: probe(_node(at)) for at in (disk, *parts) if _size(at)}
    except DriveError as error:
        unreadable = str(error)
    return Device(
        node=str(real), disk=_node(disk), sysfs=disk, size_bytes=_size(disk),
        title=_title(disk), removable=_removable(disk, usb) or _matches(real, match),
        blocks=tuple(block_of(at, usb, on_it.get(at, {})) for at in (disk, *parts)),
        unreadable=unreadable)


def file_system_of(device: Device) -> BlockDevice:
    """The one file system that is meant. UsageError, with what to do, where there is none, or more
    than one on the disk that was named; DriveError where it cannot be read."""
    if device.unreadable:
        raise DriveError(device.unreadable)
    found = [block for block in device.blocks if block.fs_type
             and (device.is_disk or block.device == device.node)]
    if not found:
        raise UsageError(f"{device.node} has no file system; give --format exfat or --format ext4, "
                         "which erases the disk")
    if len(found) > 1:
        raise UsageError(f"{device.node} has {len(found)} file systems; name one of them: "
                         + ", ".join(f"{b.device} ({b.label or b.fs_type})" for b in found))
    return found[0]


def why_not_erased(device: Device, folders: Sequence[Path], *, any_disk: bool) -> str:
    """Why a disk is not formatted, with what to do; "" when it may be, once that is confirmed."""
    if not device.is_disk:
        return (f"{device.node} is a part of {device.disk}; a whole disk is formatted: name "
                f"{device.disk}")
    if reason := of_this_machine(device, folders):
        return f"{device.disk} {reason}; it is never erased"
    if device.unreadable:
        return device.unreadable
    if device.size_bytes == 0:
        return f"{device.disk} is empty: no card, or no disk, is in it"
    for block in device.blocks:
        for mounted in mounts.mounts_of(block.device, block.number):
            where = printable(str(mounted.mount_point), 80)
            return (f"{block.device} is mounted at {where}; eject it first (`fieldrec eject "
                    f"{block.label or block.device}`, or `umount`)")
    if (device.sysfs / "ro").exists() and _text(device.sysfs / "ro") == "1":
        return f"{device.disk} is write-protected; move its switch"
    if not (device.removable or any_disk):
        return (f"{device.disk} is no removable drive; if it is really meant, give --any-disk")
    return ""


def of_this_machine(device: Device, folders: Sequence[Path]) -> str:
    """Why a disk is no drive to carry away: "carries / of this machine"; "" when it may be one."""
    for path in (*mounts.MACHINE, *folders):
        if path.exists() and device.sysfs.name in mounts.system_disks((path,)):
            return (f"carries {path} of this machine" if path in mounts.MACHINE
                    else f"has the recordings folder {path} on it")
    for block in device.blocks:
        if reason := mount.recorded_on(block, folders):
            return reason.replace("it has", "has")
        held = SYSFS / "dev" / "block" / block.number / "holders"
        if held.is_dir() and any(held.iterdir()):
            return f"is used by {', '.join(sorted(h.name for h in held.iterdir()))}"
        if block.device in _swaps():
            return "has swap in use"
    return ""


def _swaps() -> set[str]:
    try:
        lines = SWAPS.read_text(encoding="utf-8", errors="replace").splitlines()[1:]
    except OSError:
        return set()
    return {str(Path(line.split()[0]).resolve()) for line in lines if line.split()}


def probe(node: str) -> dict[str, str]:
    """What is on a device, by udev's names for it (ID_FS_TYPE…), read now; {}: nothing known.

    DriveError where it cannot be read."""
    program = which("blkid")
    if program is None:
        raise DriveError("blkid is not installed (package util-linux)")
    try:
        done = subprocess.run([program, "-p", "-o", "udev", node], capture_output=True,
                              check=False, timeout=PROBE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise DriveError(f"{node} does not answer; pull it out") from None
    # 2: nothing that it knows, 8: more than one thing
    if done.returncode not in (0, 2, 8) or (done.returncode == 2 and done.stderr):
        if os.geteuid() != 0:
            raise DriveError(f"{node} cannot be read: only root may; use sudo")
        said = printable(done.stderr.decode("utf-8", "replace").strip(), 120)
        raise DriveError(f"{node} cannot be read ({said or f'blkid ended with {done.returncode}'})")
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    return {key: value for key, sign, value in (line.partition("=") for line in lines) if sign}


def block_of(entry: Path, usb: Path | None, properties: Mapping[str, str]) -> BlockDevice:
    """One device of sysfs with what is on it."""
    usage = properties.get("ID_FS_USAGE", "")
    fs_type = printable(properties.get("ID_FS_TYPE", "")) if usage == "filesystem" else ""
    speed = _text(usb / "speed") if usb is not None else ""
    with contextlib.suppress(ValueError):
        speed = str(int(float(speed)))
    return BlockDevice(
        device=_node(entry), number=_text(entry / "dev"),
        fs_uuid=identity(properties.get("ID_FS_UUID", "")),
        label=printable(properties.get("ID_FS_LABEL", "")),
        fs_type="crypto" if usage == "crypto" else fs_type, size_bytes=_size(entry),
        link_mbps=int(speed) if speed.isdecimal() and speed != "0" else None, usb_path=usb)


def _matches(node: Path, match: Mapping[str, str]) -> bool:
    """Whether it is what the configuration takes for drives."""
    try:
        properties = pyudev.Devices.from_device_file(pyudev.Context(), str(node)).properties
    except (pyudev.DeviceNotFoundError, OSError, ValueError):
        return False
    return bool(match) and all(properties.get(key) == value for key, value in match.items())


def _removable(disk: Path, usb: Path | None) -> bool:
    return (usb is not None or _text(disk / "removable") == "1"
            or _text(disk / "device" / "type") == "SD")


def _title(disk: Path) -> str:
    told = [_text(disk / "device" / name) for name in ("vendor", "model", "name")]
    return printable(" ".join(" ".join(word.split()) for word in told if word), 48)


def _node(entry: Path) -> str:
    return f"/dev/{entry.name.replace('!', '/')}"


def _size(entry: Path) -> int:
    text = _text(entry / "size")
    return int(text) * 512 if text.isdecimal() else 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(device: int) -> str:
    return f"{os.major(device)}:{os.minor(device)}"
