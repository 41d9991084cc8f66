"""From putting a drive in to the first byte on it, and to SAFE: a real daemon, udevd, loop devices.

Needs root. The clock starts when udev announces the drive (as every program hears it); a file with
bytes in it below our folder on the drive is the first byte. Looked at 200 times a second.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import processes
import pyudev
import start
import table
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from fieldrec.core.mountinfo import read_mounts
from tests.system import udevd

NEEDED_BYTES = 3_000_000_000
LOOK_S = 0.005
GUARD_S = 120.0
KINDS = ("ext4", "exfat", "ntfs", "xfs", "btrfs")


def measure(folder: Path, quick: bool, repetitions: int) -> None:
    """Each file system that mounts here, in turn; with 60 recordings in the folder."""
    if reason := udevd._why_not():
        raise SystemExit(f"bench: insert: {reason}")
    recordings = folder / "recordings"
    recordings.mkdir()
    start.make_recordings(recordings, 10 if quick else 60)
    with drives(folder) as plugs, daemon(folder, recordings, plugs.match):
        cases: dict[str, Callable[[int], table.Figures]] = {
            kind: lambda number, kind=kind: visit(plugs, folder, kind, number)  # type: ignore[misc]
            for kind in KINDS if not udevd.cannot_mount(kind)}
        results = table.interleaved(cases, repetitions)
    table.show("s after udev's event", results, ratios=("first byte",))


@contextlib.contextmanager
def drives(folder: Path) -> Iterator[udevd.Udevd]:
    """udevd, and images that it announces as drives of this bench."""
    images = folder / "drives"
    images.mkdir()
    with udevd.session(images) as token:
        plugs = udevd.Udevd(token, images, {"FIELDREC_TEST": token})
        try:
            yield plugs
        finally:
            plugs.clear()


@contextlib.contextmanager
def daemon(folder: Path, recordings: Path, match: dict[str, str]) -> Iterator[None]:
    """A box that has been on for a while: it idles."""
    config = folder / "box.yaml"
    config.write_text(yaml.safe_dump({
        "storage": {"directory": str(recordings)}, "export": {"automatic": False},
        "power": {"source": "mains", "poweroff_command": "none"},
        "drives": {"match": match, "mount_root": str(folder / "mnt"), "mounter": "mount"}}))
    log = (folder / "log").open("wb")
    command = [str(start.FIELDREC), "run", "--config", str(config)]
    with log, processes.started(*command, stdout=log, stderr=log) as process:
        try:
            until(lambda: (recordings / ".fieldrec" / "control.sock").exists(), "the daemon is up")
            time.sleep(3.0)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def visit(plugs: udevd.Udevd, folder: Path, kind: str, number: int) -> table.Figures:
    """A new drive: in, served, safe, out."""
    image = plugs.image(kind, label=f"B{number}", size_mb=512)
    mounts = folder / "mnt"
    with announced() as wait:
        with processes.undisturbed():
            device = plugs.insert(image, settled=False)
        began_s = wait(device)
    mounted_s = until(lambda: on(mounts), f"{kind} is mounted") - began_s
    first_s = until(lambda: written(mounts), f"the first byte on {kind}") - began_s
    safe_s = until(lambda: not on(mounts), f"{kind} is safe") - began_s
    plugs.take_out(device)
    image.unlink()
    return {"mounted": mounted_s, "first byte": first_s, "safe": safe_s}


@contextlib.contextmanager
def announced() -> Iterator[Callable[[str], float]]:
    """Gives a function that waits for udev's word of a device; its moment."""
    monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source="udev")
    monitor.filter_by("block")
    monitor.start()

    def wait(device: str) -> float:
        ends_s = time.monotonic() + GUARD_S
        while True:
            found = monitor.poll(timeout=1.0)
            if time.monotonic() > ends_s:
                raise SystemExit(f"bench: insert: udev never announced {device}")
            if found is None or found.device_node != device:
                continue
            if "ID_FS_TYPE" in found.properties:
                return time.monotonic()

    yield wait


def on(mounts: Path) -> bool:
    """Whether a drive of this bench is mounted."""
    return any(mounts in mount.mount_point.parents for mount in read_mounts())


def written(mounts: Path) -> bool:
    """Whether a file with bytes lies in our folder on it."""
    for path, _, names in os.walk(mounts):
        for name in names:
            with contextlib.suppress(OSError):
                if "/fieldrec/" in f"{path}/" and os.stat(f"{path}/{name}").st_size:  # noqa: PTH116
                    return True
    return False


def until(true: Callable[[], bool], what: str) -> float:
    """The moment at which it is true."""
    ends_s = time.monotonic() + GUARD_S
    while not true():
        if time.monotonic() > ends_s:
            raise SystemExit(f"bench: insert: waited {GUARD_S:g} s in vain: {what}")
        time.sleep(LOOK_S)
    return time.monotonic()
