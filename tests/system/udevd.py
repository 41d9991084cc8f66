"""A real systemd-udevd and loop devices that pass for USB drives, for tests as root.

    def test_something(udevd: Udevd, tmp_path: Path) -> None:
        image = udevd.image("ext4", label="FIELD-01")   # a file with a file system
        device = udevd.insert(image)                    # /dev/loopN, announced by udev
        udevd.pull(device)                              # gone, without a word
        device = udevd.insert(image)                    # the same drive again, contents kept
        udevd.take_out(device)                          # after eject: the device is let go

Give ``udevd.match`` to ``drives.match``: it matches the loop devices of this test session alone,
and the default (ID_BUS=usb) none of them, so sessions beside each other, other fieldrecs and the
machine's own drives are left in peace. Where a udevd runs already it is used, after a reload of its
rules; otherwise one is started by hand and ended with the session. Every device still in at the end
of a test is torn out, and what the kernel has not let go of is waited for.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fieldrec.core.mountinfo import read_mounts
from tests.fakes.loop_devices import attached_from, backing, detach
from tests.fakes.waiting import PATIENCE_S, wait_until

DAEMONS = (Path("/lib/systemd/systemd-udevd"), Path("/usr/lib/systemd/systemd-udevd"))
RULES = Path("/run/udev/rules.d")
SHARED = Path("/run/fieldrec-test-udevd.pid")
LOCK = SHARED.with_suffix(".lock")
CONTROL = Path("/run/udev/control")
LOOP_CTL_ADD, LOOP_CTL_REMOVE = 0x4C80, 0x4C81

_MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,nodiscard", "-L", "{label}"],
    "exfat": ["mkfs.exfat", "-L", "{label}"],
    "ntfs": ["mkfs.ntfs", "-q", "-F", "-L", "{label}"],
    "vfat": ["mkfs.vfat", "-n", "{label}"],
    "xfs": ["mkfs.xfs", "-q", "-L", "{label}"],
    "btrfs": ["mkfs.btrfs", "--quiet", "--label", "{label}"],
}
_MOUNTS = {"ext4": ("ext4",), "exfat": ("exfat", "fuse:mount.exfat-fuse"),
           "ntfs": ("ntfs3", "fuse:mount.ntfs-3g"), "vfat": ("vfat",), "xfs": ("xfs",),
           "btrfs": ("btrfs",)}


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def cannot_mount(fs_type: str) -> str:
    """Why this machine cannot make and mount such a file system; "" if it can."""
    program = _MAKE[fs_type][0]
    if shutil.which(program) is None:
        return f"{program} is not installed"
    known = Path("/proc/filesystems").read_text().split()
    for driver in _MOUNTS[fs_type]:
        if driver in known:
            return ""
        if driver.startswith("fuse:") and shutil.which(driver[5:]) and Path("/dev/fuse").exists():
            return ""
    return f"neither the kernel nor FUSE can mount {fs_type} here"


@dataclass
class Udevd:
    """The running daemon, and the drives of this test."""

    token: str
    folder: Path
    match: dict[str, str] = field(default_factory=dict)
    """udev properties of our devices: what ``drives.match`` must be."""
    _inserted: dict[str, Path] = field(default_factory=dict)
    _slots: list[int] = field(default_factory=list)

    def image(self, fs_type: str | None = "ext4", *, label: str = "FIELD",
              size_mb: int = 64, fs_uuid: str | None = None) -> Path:
        """A new image file; `fs_type` None leaves it unformatted."""
        path = self.folder / f"drive-{len(list(self.folder.iterdir()))}.img"
        with path.open("wb") as file:
            file.truncate(size_mb << 20)
        if fs_type is not None:
            command = [word.format(label=label) for word in _MAKE[fs_type]]
            if fs_uuid is not None and fs_type == "ext4":
                command += ["-U", fs_uuid]
            _run(*command, str(path))
        return path

    def insert(self, image: Path, *, read_only: bool = False, slot: str | None = None,
               settled: bool = True) -> str:
        """Attach an image; returns its device when udev has announced it (`settled`), or at once.
        `slot`: to this device, as the next card in the slot of a reader."""
        options = ["--read-only"] if read_only else []
        if slot is None:
            device = _run("losetup", "--find", "--show", *options, str(image))
        else:
            device = slot
            # The kernel lets go of a card that was torn out when the last who used it has.
            wait_until(lambda: subprocess.run(
                ["losetup", *options, device, str(image)], capture_output=True,
                check=False).returncode == 0, PATIENCE_S, f"{device} is free")
        self._inserted[device] = image
        if settled:
            self.settle()
        return device

    def slot(self) -> str:
        """An empty loop device that nobody else takes as the first free one; see :meth:`insert`."""
        number = 5000 + os.getpid() % 5000
        with Path("/dev/loop-control").open("rb") as control, \
                contextlib.suppress(FileExistsError):
            fcntl.ioctl(control, LOOP_CTL_ADD, number)
        self._slots.append(number)
        self.settle()
        return f"/dev/loop{number}"

    def partition(self, device: str, *fs_types: str | None, table: str = "gpt") -> list[str]:
        """Give an inserted image a partition table with so many partitions, each formatted with a
        label P1, P2…; None leaves one unformatted. Returns their devices. What lay there before is
        not wiped. The image keeps them: after a later :meth:`insert` say :meth:`find_partitions`.
        """
        self.write_table(device, len(fs_types), table)
        nodes = self.find_partitions(device)
        for number, (node, fs_type) in enumerate(zip(nodes, fs_types, strict=True), 1):
            if fs_type is not None:
                _run(*(word.format(label=f"P{number}") for word in _MAKE[fs_type]), node)
        self.settle()
        return nodes

    def write_table(self, device: str, count: int, table: str = "gpt") -> None:
        """A partition table that the kernel has not read yet."""
        each = f"size={56 // max(1, count)}MiB\n"
        subprocess.run(
            ["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", "--wipe", "never", device],
            check=True, text=True, input=f"label: {table}\n" + each * count)
        self.settle()

    def find_partitions(self, device: str) -> list[str]:
        """Announce the partitions that are on an inserted image (no kernel parser here)."""
        subprocess.run(["partx", "--add", device], capture_output=True, check=False)
        self.settle()
        return sorted(str(path) for path in Path("/dev").glob(f"{Path(device).name}p*"))

    def _forget_partitions(self, device: str) -> None:
        if any(Path(f"/sys/class/block/{Path(device).name}").glob("*/partition")):
            subprocess.run(["partx", "--delete", device], capture_output=True, check=False)

    def pull(self, device: str) -> None:
        """Tear a drive out: its blocks are gone at once, even while it is mounted and written.

        The image keeps what had reached the medium; insert it again with :meth:`insert`.
        """
        image = self._inserted[device]
        kept = image.with_suffix(".kept")
        # Writes that the kernel still tries go to the emptied file, not to the one that is kept.
        _run("cp", "--sparse=always", "--reflink=auto", str(image), str(kept))
        self._tear_out(device)
        image.unlink()
        kept.rename(image)
        self.settle()

    def _tear_out(self, device: str) -> None:
        image = self._inserted.pop(device)
        self._forget_partitions(device)
        with image.open("r+b") as file:
            file.truncate(0)
        subprocess.run(["losetup", "--set-capacity", device], capture_output=True, check=False)
        with contextlib.suppress(OSError):
            Path(f"/sys/class/block/{Path(device).name}/uevent").write_text("remove")
        subprocess.run(["losetup", "--detach", device], capture_output=True, check=False)

    def take_out(self, device: str) -> None:
        """Detach a drive that is no longer mounted."""
        self._inserted.pop(device)
        self._forget_partitions(device)
        detach(device)
        self.settle()

    def settle(self) -> None:
        """Wait until udev has handled every event so far."""
        _run("udevadm", "settle", f"--timeout={PATIENCE_S:.0f}")

    def clear(self) -> None:
        """Tear out what is still in, unmount what a failed test left on it, and wait until the
        kernel has let go of all: of a drive that was pulled, when the last who used it has."""
        for device, image in list(self._inserted.items()):
            if backing(device) != str(image):  # let go of already, and somebody else's by now
                del self._inserted[device]
                continue
            for mount in read_mounts():
                if mount.source == device or mount.source.startswith(f"{device}p"):
                    subprocess.run(["umount", "-l", mount.mount_point], check=False)
            self._tear_out(device)
        self.settle()
        wait_until(lambda: not attached_from(self.folder), PATIENCE_S, "no drive is left")
        for number in self._slots:
            with Path("/dev/loop-control").open("rb") as control:
                fcntl.ioctl(control, LOOP_CTL_REMOVE, number)


def _why_not() -> str:
    if os.geteuid() != 0:
        return "needs root: loop devices and udev"
    if not any(path.exists() for path in DAEMONS):
        return "systemd-udevd is not installed"
    if not Path("/dev/loop-control").exists():
        return "no loop devices here"
    return ""


def _reloads() -> bool:
    """Have a udevd read its rules anew; whether one is there and answers."""
    return CONTROL.exists() and subprocess.run(
        ["udevadm", "control", "--reload", "--ping", f"--timeout={PATIENCE_S:.0f}"],
        capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """No other session of tests begins or ends in this block: two that find no udevd would both
    start one, and two udevds take each other's watches away."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _others() -> bool:
    """Whether another session of tests lives; one that was killed left its rules file behind."""
    return any(_lives(int(path.name.split("-")[3]))
               for path in RULES.glob("99-fieldrec-test-*-*.rules"))


def _start(log: Path) -> None:
    daemon = next(path for path in DAEMONS if path.exists())
    # By a shell that ends at once: the daemon must outlive this process, and be nobody's child.
    process = int(_run("sh", "-c", 'exec 9>&1; "$0" >"$1" 2>&1 9>&- </dev/null & echo $! >&9',
                       str(daemon), str(log)))
    SHARED.write_text(str(process))
    wait_until(lambda: _reloads() or not _lives(process), PATIENCE_S, "systemd-udevd answers")
    if not _lives(process):
        SHARED.unlink()
        pytest.skip(f"systemd-udevd does not run here: {log.read_text()[-300:]}")


def _end(process: int) -> None:
    """SIGTERM to the daemon that a session of tests started, if it is that still."""
    SHARED.unlink()
    with contextlib.suppress(OSError):
        if "udevd" in Path(f"/proc/{process}/comm").read_text():
            os.kill(process, signal.SIGTERM)
            wait_until(lambda: not _lives(process), PATIENCE_S, "systemd-udevd ends")


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextlib.contextmanager
def session(folder: Path) -> Iterator[str]:
    """A running udevd with a rule for the images in `folder`; gives the token of our devices.

    The daemon is the machine's own, or one that test sessions share: who finds none starts it, the
    last one to leave ends it.
    """
    token = uuid.uuid4().hex
    RULES.mkdir(parents=True, exist_ok=True)
    rule = RULES / f"99-fieldrec-test-{os.getpid()}-{token}.rules"
    try:
        with _alone():
            rule.write_text(
                f'SUBSYSTEM=="block", KERNEL=="loop*", ATTRS{{loop/backing_file}}=="{folder}/*", '
                f'ENV{{FIELDREC_TEST}}="{token}", ENV{{UDISKS_IGNORE}}="1", '
                'ENV{UDISKS_SYSTEM}="0"\n')
            if not _reloads():
                _start(folder.parent / "udevd.log")
        yield token
    finally:
        with _alone():
            rule.unlink()
            if SHARED.exists() and not _others():
                _end(int(SHARED.read_text()))
            else:
                _reloads()


@pytest.fixture(scope="session")
def udevd_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The daemon and the rule, once per session: (token, folder of the images)."""
    if reason := _why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("drives")
    with session(folder) as token:
        yield token, folder


@pytest.fixture
def udevd(udevd_session: tuple[str, Path]) -> Iterator[Udevd]:
    """udev and drives for one test; what is still in at its end is pulled."""
    token, folder = udevd_session
    drives = Udevd(token, folder, {"FIELDREC_TEST": token})
    yield drives
    drives.clear()
