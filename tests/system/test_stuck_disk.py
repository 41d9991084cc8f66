"""CRITICAL while the disk of the recordings does not answer: an ext4 that is frozen, writes to it
in the kernel. What is stuck is named, all else is done in order, the machine is switched off."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fieldrec.app.recovery import recover_folder
from fieldrec.store.reader import StoreReader
from tests.fakes.commands import Daemon, daemon, is_leaving, write_config
from tests.fakes.loop_devices import LoopDisk, loop_disk, missing_for
from tests.fakes.waiting import PATIENCE_S, wait_until
from tests.system.box import Battery, Console
from tests.system.udevd import Udevd

pytestmark = [pytest.mark.root,
              pytest.mark.skipif(bool(missing_for("ext4")), reason=missing_for("ext4"))]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopDisk]:
    """Thawed at the end, whatever happens."""
    with loop_disk(tmp_path, "ext4", 32 << 20) as disk:
        yield disk


def config_of(tmp_path: Path, disk: LoopDisk, battery: Battery, console: Console,
              off: Path, budget_s: float, **sections: Any) -> Path:
    """The command that switches off says what is mounted just then."""
    return write_config(
        tmp_path, storage={"directory": str(disk.mount_point / "recordings")},
        system={"shutdown_budget_s": budget_s},
        power={"source": "sysfs", "path": str(battery.root), "poll_s": 0.05, "dwell_s": 0.1,
               "poweroff_command": ["cp", "/proc/self/mountinfo", str(off)]},
        console=[{"device": console.device, "interval_s": 0.5}], **sections)


def recording(box: Daemon) -> None:
    box.ask("start", name="night")
    box.recorded(5)


def said(console: Console, text: str) -> None:
    wait_until(lambda: any(text in line for line in console.texts()), PATIENCE_S, text)


def test_what_is_stuck_is_named_the_drive_is_ejected_and_the_machine_switched_off(
        udevd: Udevd, tmp_path: Path, disk: LoopDisk) -> None:
    battery, off, mounts = Battery(tmp_path / "power"), tmp_path / "off", tmp_path / "mnt"
    with Console() as console:
        config = config_of(tmp_path, disk, battery, console, off, 2.0, drives={
            "enabled": True, "match": udevd.match, "mounter": "mount", "mount_root": str(mounts),
            "on_insert": "nothing", "keep_free_bytes": 1_000_000})
        udevd.insert(udevd.image())
        with daemon(config) as box:
            box.wait(lambda: [d["state"] for d in box.ask("snapshot")["drives"]] == ["ready"],
                     "the drive is mounted")
            recording(box)
            with disk.frozen():
                battery.drains(5)
                said(console, "err=stuck: recordings (left_ right)")
                box.wait(lambda: off.exists() and off.stat().st_size, "the machine is switched off")
                # Before that, the drive was ejected.
                assert f" {mounts}/".encode() not in off.read_bytes()
                box.wait_said("stuck: recordings (left, right)")
            assert box.ended() == 8
        assert any(",stop=1," in line and "err=stuck: recordings" in line
                   for line in console.texts()[-4:])  # the last one says so, too
    recordings = disk.mount_point / "recordings"
    recover_folder(recordings, lambda _text, _severity: None)  # as the next start does
    for path in recordings.glob("night_*"):
        with StoreReader(path) as store:
            assert store.problems == ()
            assert len(store.numbers) >= 5


def test_a_second_signal_leaves_at_once_and_switches_nothing_off(
        tmp_path: Path, disk: LoopDisk) -> None:
    battery, off = Battery(tmp_path / "power"), tmp_path / "off"
    with Console() as console:
        config = config_of(tmp_path, disk, battery, console, off, 600.0)
        with daemon(config) as box:
            recording(box)
            with disk.frozen():
                battery.drains(5)
                said(console, ",stop=1,")
                box.signal(signal.SIGTERM)
                box.signal(signal.SIGINT)
                wait_until(lambda: is_leaving(box.pid), PATIENCE_S, "it leaves")
            assert box.ended() == 130
    assert not off.exists()


def test_a_disk_that_is_thawed_again(tmp_path: Path, disk: LoopDisk) -> None:
    """The fake itself: what is written to it waits, and is there afterwards."""
    path = disk.mount_point / "x"
    with disk.frozen():
        child = os.fork()
        if child == 0:
            path.write_text("waited")
            os._exit(0)
        wait_until(lambda: Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
                   == "D", PATIENCE_S, "it waits in the kernel")
        assert not path.exists()
    assert os.waitpid(child, 0)[1] == 0
    assert path.read_text() == "waited"
