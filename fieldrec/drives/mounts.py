"""What is mounted where, by /proc/self/mountinfo; and which disks the machine itself lives on.

Pure but for reading /proc and /sys, which the kernel answers from memory; only
:func:`system_disks` and :func:`holders` may block and are called in a worker.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path

from fieldrec.core.mountinfo import MOUNTINFO, plain
from fieldrec.core.mountinfo import Mount as Mount
from fieldrec.core.mountinfo import read_mounts as read_mounts
from fieldrec.drives.labels import printable

FIRST_MOUNTINFO = Path("/proc/1/mountinfo")
SYSFS = Path("/sys")
MASS_STORAGE = "08"
"""Of bInterfaceClass."""
FSTAB = Path("/etc/fstab")

AUTOMOUNT_ROOTS = (Path("/media"), Path("/run/media"), Path("/mnt"))
"""Where desktops and people mount removable drives. A USB disk mounted anywhere else belongs to
the machine (/home, /boot, /srv) and is left alone."""
MACHINE = tuple(map(Path, ("/", "/boot", "/boot/firmware", "/boot/efi", "/usr", "/var", "/home")))
"""Whatever is on the disks of these is the machine's, mounted or not."""


def mounts_of(device: str, number: str) -> list[Mount]:
    """Every mount of a block device, by its number or (btrfs) by its node."""
    return [mount for mount in read_mounts() if number == mount.number or device == mount.source]


def mount_at(mount_point: Path) -> Mount | None:
    """The topmost mount at a mount point."""
    return next((m for m in reversed(read_mounts()) if m.mount_point == mount_point), None)


def seen_by_all(mount_point: Path) -> bool:
    """Whether the mount there is the machine's own, and not a copy in a mount namespace of ours, as
    a service with ProtectSystem= has one: unmounting the copy leaves the drive mounted."""
    ours = _ids_at(mount_point, MOUNTINFO)
    return bool(ours) and ours <= _ids_at(mount_point, FIRST_MOUNTINFO)


def _ids_at(mount_point: Path, source: Path) -> frozenset[str]:
    """The kernel's numbers of the mounts there, unique over all namespaces; none if hidden."""
    try:
        return frozenset(mount.ident for mount in read_mounts(source=source)
                         if mount.mount_point == mount_point)
    except OSError:
        return frozenset()


def showable(path: Path) -> bool:
    """Whether a path can be shown as it is: letters of any script, nothing that acts on a terminal
    or turns the line around. Mount points are often named after a stranger's label."""
    return str(path).isprintable()


def mount_holding(path: Path, mounts: Sequence[Mount] | None = None) -> Mount | None:
    """The mount that `path` lies on, by its name alone; `mounts`: default, those there are now."""
    found = None
    for mount in read_mounts() if mounts is None else mounts:
        if path.is_relative_to(mount.mount_point) and (
                found is None or mount.mount_point.is_relative_to(found.mount_point)):
            found = mount
    return found


def folder_on(device: str, number: str, folders: Sequence[Path], disk: str = "") -> Path | None:
    """The first of `folders` that lies on a mount of this block device, or of anything on the same
    `disk` (by its kernel name); None without one."""
    mounts = read_mounts()
    for folder in folders:
        held = mount_holding(folder, mounts)
        if held is None:
            continue
        names: set[str] = set()
        _disks_under(_entry_of(held, SYSFS), names)
        if held.number == number or held.source == device or disk in names:
            return folder
    return None


def folder_due(names: Container[str], folders: Sequence[Path], text: str | None = None,
               dev: Path = Path("/dev")) -> Path | None:
    """The first of `folders` below a mount point at which /etc/fstab has a device of one of these
    `names` ("/dev/sdb1", "UUID=…", "LABEL=…") mounted, or one that udev's links lead to from there
    ("PARTUUID=…", "/dev/disk/by-id/…"); `text` is fstab's, default: now."""
    for words in map(str.split, _fstab() if text is None else text.splitlines()):
        if len(words) < 2 or words[0].startswith("#"):
            continue
        word = words[0].replace('"', "")
        if word not in names and _node_of(word, dev) not in names:
            continue
        point = Path(plain(words[1]))
        for folder in folders:
            if point.is_absolute() and point != Path("/") and folder.is_relative_to(point):
                return folder
    return None


def _node_of(word: str, dev: Path) -> str:
    """The device that a word of fstab leads to; devtmpfs answers from memory."""
    tag, sign, value = word.partition("=")
    link = dev / "disk" / f"by-{tag.lower()}" / value if sign else Path(word)
    return str(link.resolve()) if link.is_relative_to(dev) else word


def _fstab() -> list[str]:
    try:
        return FSTAB.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []


def machine_disks(folders: Iterable[Path]) -> frozenset[str]:
    """Kernel names of the disks that the machine lives on, and that these folders, where they are
    there, lie on. Blocks."""
    return system_disks(tuple(path for path in (*MACHINE, *folders) if path.exists()))


def system_disks(paths: tuple[Path, ...], sysfs: Path = SYSFS) -> frozenset[str]:
    """Kernel names of all disks under the file systems that hold `paths` (also through LVM, LUKS).

    Blocks (stat of the paths). Paths on something without a disk (tmpfs, NFS) add nothing.
    """
    names: set[str] = set()
    for path in paths:
        number = path.stat().st_dev
        if os.major(number) == 0:  # btrfs: the device is only in mountinfo
            number = _device_by_mount(path.resolve()) or number
        _disks_under(sysfs / "dev" / "block" / f"{os.major(number)}:{os.minor(number)}", names)
    return frozenset(names)


def _device_by_mount(path: Path) -> int | None:
    """Number of the node that is named as the source of the mount which holds `path`."""
    holding = [m for m in read_mounts() if path.is_relative_to(m.mount_point)]
    if not holding:
        return None
    source = max(holding, key=lambda m: len(m.mount_point.parts)).source
    try:
        return os.stat(source).st_rdev if source.startswith("/dev/") else None  # noqa: PTH116
    except OSError:
        return None


def _disks_under(entry: Path, names: set[str]) -> None:
    """Add the whole disk of a block device, and the disks that it is made of."""
    for one in _under(entry):
        names.add((one.parent if (one / "partition").exists() else one).name)


def _under(entry: Path) -> Iterator[Path]:
    """A block device in sysfs, and those that it is made of (LVM, LUKS), down to the disks."""
    if not entry.exists():
        return
    real = entry.resolve()
    yield real
    slaves = real / "slaves"
    for slave in slaves.iterdir() if slaves.is_dir() else ():
        yield from _under(slave)


def mounts_on(device: Path, sysfs: Path = SYSFS) -> list[Mount]:
    """Mounts of anything that hangs on one device in sysfs: the partitions of a disk, what is on a
    USB device, an encrypted file system that is open there."""
    root = device.resolve()
    return [mount for mount in read_mounts()
            if any(one.is_relative_to(root) for one in _under(_entry_of(mount, sysfs)))]


def _entry_of(mount: Mount, sysfs: Path) -> Path:
    """Its block device in sysfs; of FUSE and btrfs the one that is named as the source."""
    if mount.source.startswith("/dev/") and mount.number.startswith("0:"):
        return sysfs / "class" / "block" / Path(mount.source).name
    return sysfs / "dev" / "block" / mount.number


def dead_below(root: Path) -> list[Path]:
    """Where something is mounted right below `root` whose device is not there any more."""
    return [mount.mount_point for mount in read_mounts()
            if mount.mount_point.parent == root and mount.source.startswith("/dev/")
            and not _entry_of(mount, SYSFS).exists()]


def mounts_on_disk(disk: str) -> list[Mount]:
    """Mounts of a whole disk (by its kernel name) and of its partitions."""
    return mounts_on(Path("/sys/class/block") / disk) if disk else []


def is_more_than_a_disk(usb_path: Path) -> bool:
    """Whether a USB device is not only one disk: a reader for several kinds of cards, a modem or a
    camera that has a disk too. Whoever switches that off takes more away than the disk."""
    if len(list(usb_path.glob("*/host*/target*/*/block/sd*"))) > 1:
        return True
    return any(text.read_text().strip() != MASS_STORAGE
               for text in usb_path.glob("*:*/bInterfaceClass"))


def holders(mount_point: Path) -> list[str]:
    """Programs that keep a mount busy, e.g. "bash (4711)", as far as /proc shows them. Blocks."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            links = [process / "cwd", process / "root", *(process / "fd").iterdir()]
            if any(_points_into(link, mount_point) for link in links):
                name = (process / "comm").read_text(encoding="utf-8", errors="replace")
                found.append(f"{printable(name, 15)} ({process.name})")
        except OSError:
            continue  # ended meanwhile, or not ours to look at
    return found


def _points_into(link: Path, folder: Path) -> bool:
    try:
        return link.readlink().is_relative_to(folder)
    except OSError:
        return False


def automounted(mounted: Mount) -> bool:
    """Whether it is mounted where desktops and people mount removable drives."""
    return any(mounted.mount_point.is_relative_to(root) for root in AUTOMOUNT_ROOTS)
