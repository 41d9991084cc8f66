"""Drives by udisks2 for real: a bus of our own, udisksd, udevd, loop devices."""

from __future__ import annotations

import asyncio
import os
import pwd
import subprocess
from pathlib import Path

import pytest

from fieldrec.core.errors import DriveBusy, DriveRejected
from fieldrec.core.model import DriveState
from fieldrec.drives import mount, udisks
from fieldrec.drives.mounts import mount_at, mounts_of
from fieldrec.drives.system_bus import Conversation
from fieldrec.drives.udev import BlockDevice, BlockEvents, Change
from fieldrec.drives.udisks import ByUdisks, UdisksAway
from tests.fakes.small_stores import make_store
from tests.fakes.waiting import PATIENCE_S
from tests.system.box import Box, Console
from tests.system.test_drives_udev import PROTECTED, command, in_thread, watching
from tests.system.udevd import Udevd, cannot_mount
from tests.system.udisksd import (
    ADDRESS,
    POLKITD,
    Udisksd,
    empty_bus,
    udisksd,
    why_no_polkit,
)

__all__ = ["empty_bus", "udisksd"]
pytestmark = pytest.mark.root
pytest.importorskip("dbus_fast", reason="dbus-fast is not installed (extra `udisks`)")
AUTO = {"mounter": "auto"}


def block_of(udevd: Udevd, device: str) -> BlockDevice:
    """What udev says of a device now."""
    found: list[BlockDevice] = []

    def take(change: Change, block: BlockDevice) -> None:
        if change is Change.ADDED and block.device == device:
            found.append(block)

    events = BlockEvents(udevd.match, take)
    events.start(frozenset())
    events.stop()
    return found[0]


@pytest.mark.asyncio
async def test_mounted_protected_ejected(udevd: Udevd, udisksd: Udisksd, tmp_path: Path) -> None:
    async with watching(udevd, tmp_path, **AUTO) as watched:
        device = udevd.insert(udevd.image(label="FIELD-U"))
        drive = await watched.until(device, DriveState.READY)
        assert drive.mount_point is not None
        assert drive.mount_point.parent.parent in (Path("/media"), Path("/run/media"))
        mounted = mount_at(drive.mount_point)
        assert mounted is not None and mounted.options >= PROTECTED
        with watched.watcher.lease(drive.fs_uuid) as lease:
            (lease.mount_point / "frames").write_bytes(b"x" * 100_000)
        await watched.watcher.eject("FIELD-U")
        await watched.until(device, DriveState.SAFE)
        assert not mounts_of(device, "-")
        assert not drive.mount_point.exists()
        udevd.take_out(device)
        await watched.until(device, DriveState.ABSENT)
    assert not any("without udisks2" in event for event in watched.events)


@pytest.mark.asyncio
@pytest.mark.parametrize("fs_type", ["exfat", "ntfs", "xfs", "btrfs"])
async def test_other_file_systems(udevd: Udevd, udisksd: Udisksd, tmp_path: Path, fs_type: str
                                  ) -> None:
    """Also those that udisks cannot mount here, because their FUSE program has another name."""
    if reason := cannot_mount(fs_type):
        pytest.skip(reason)
    device = udevd.insert(udevd.image(fs_type, size_mb={"xfs": 320, "btrfs": 128}.get(fs_type, 64)))
    async with watching(udevd, tmp_path, **AUTO) as watched:
        drive = await watched.until(device, DriveState.READY)
        assert drive.mount_point is not None
        mounted = mount_at(drive.mount_point)
        assert mounted is not None and mounted.options >= PROTECTED
        await watched.watcher.eject(device)
        await watched.until(device, DriveState.SAFE)
        assert not mounts_of(device, "-")


@pytest.mark.asyncio
async def test_an_orderly_stop_unmounts(udevd: Udevd, udisksd: Udisksd, tmp_path: Path) -> None:
    device = udevd.insert(udevd.image())
    async with watching(udevd, tmp_path, mounter="udisks") as watched:
        await watched.until(device, DriveState.READY)
        assert mounts_of(device, "-")
    assert not mounts_of(device, "-")
    assert not list((tmp_path / "mnt").iterdir())  # nor a note


@pytest.mark.asyncio
async def test_what_a_killed_run_left_is_ours(udevd: Udevd, udisksd: Udisksd, tmp_path: Path
                                              ) -> None:
    device = udevd.insert(udevd.image())
    await ByUdisks(tmp_path / "mnt").mount(block_of(udevd, device))
    async with watching(udevd, tmp_path, **AUTO) as watched:
        await watched.until(device, DriveState.READY)
    assert not mounts_of(device, "-")


@pytest.mark.asyncio
async def test_what_a_desktop_mounted_is_used_left_at_the_end_and_ejected_on_request(
        udevd: Udevd, udisksd: Udisksd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mount, "BUSY_RETRIES", 2)
    device = udevd.insert(udevd.image())
    desktop = await ByUdisks(tmp_path / "elsewhere").mount(block_of(udevd, device))
    async with watching(udevd, tmp_path, **AUTO) as watched:
        drive = await watched.until(device, DriveState.READY)
        assert drive.mount_point == desktop.mount_point
    assert mounts_of(device, "-")
    async with watching(udevd, tmp_path, **AUTO) as watched:
        await watched.until(device, DriveState.READY)
        held = os.open(desktop.mount_point, os.O_RDONLY)
        try:
            with pytest.raises(DriveBusy, match=rf"held by .*\({os.getpid()}\)"):
                await watched.watcher.eject(device)
        finally:
            os.close(held)
        await watched.until(device, DriveState.READY)
        await watched.watcher.eject(device)
        await watched.until(device, DriveState.SAFE)
    assert not mounts_of(device, "-")


@pytest.mark.asyncio
async def test_what_is_mounted_twice_is_not_safe_before_both_are_gone(
        udevd: Udevd, udisksd: Udisksd, tmp_path: Path) -> None:
    """A desktop that was slower than we: what it mounted goes too; by hand at /mnt: refused."""
    device = udevd.insert(udevd.image())
    place = Path("/mnt") / f"fieldrec-test-{udevd.token}"
    place.mkdir()
    try:
        async with watching(udevd, tmp_path, mounter="auto") as watched:
            await watched.until(device, DriveState.READY)
            await command("mount", device, str(place))
            with pytest.raises(DriveBusy, match="others mounted it at /mnt"):
                await watched.watcher.eject(device)
            await command("umount", str(place))
    finally:
        place.rmdir()
    async with watching(udevd, tmp_path, mounter="mount") as watched:
        await watched.until(device, DriveState.READY)
    assert not mounts_of(device, "-")


@pytest.mark.parametrize("label", ["\x1b[31m<b>", "a\u202eb", "a\x1cb"])
@pytest.mark.asyncio
async def test_a_label_that_cannot_be_shown_is_no_path(udevd: Udevd, udisksd: Udisksd,
                                                       tmp_path: Path, label: str) -> None:
    """udisks names its mount point so; we mount it under a name of our own, or not at all."""
    device = udevd.insert(udevd.image(label=label))
    async with watching(udevd, tmp_path, mounter="udisks") as watched:
        drive = await watched.until(device, DriveState.REJECTED)
        assert "cannot be shown" in drive.reason
        assert not mounts_of(device, "-")
    async with watching(udevd, tmp_path, **AUTO) as watched:
        drive = await watched.until(device, DriveState.READY)
        assert drive.mount_point == tmp_path / "mnt" / drive.fs_uuid
        await watched.until_said("is ready")
        assert all(event.isprintable() for event in watched.events)


@pytest.mark.asyncio
async def test_power_off_of_what_has_no_port(udevd: Udevd, udisksd: Udisksd, tmp_path: Path
                                             ) -> None:
    device = udevd.insert(udevd.image())
    with pytest.raises(DriveBusy, match="switched off"):
        await ByUdisks(tmp_path).power_off(block_of(udevd, device))


@pytest.mark.asyncio
async def test_udisksd_that_is_gone(udevd: Udevd, empty_bus: Udisksd, tmp_path: Path) -> None:
    """mount(8) takes its place, and it is said once."""
    devices = [udevd.insert(udevd.image(label=f"D{number}")) for number in range(2)]
    async with watching(udevd, tmp_path, **AUTO) as watched:
        for device in devices:
            drive = await watched.until(device, DriveState.READY)
            assert drive.mount_point == tmp_path / "mnt" / drive.fs_uuid
        said = [event for event in watched.events if "without udisks2" in event]
        assert said == ["info: drives are mounted without udisks2: udisks2 does not run here"]
    async with watching(udevd, tmp_path, mounter="udisks") as watched:
        drive = await watched.until(devices[0], DriveState.REJECTED)
        assert drive.reason.startswith("udisks2 does not run here")


@pytest.mark.asyncio
async def test_udisksd_that_is_killed_before_eject(udevd: Udevd, udisksd: Udisksd, tmp_path: Path
                                                   ) -> None:
    device = udevd.insert(udevd.image())
    async with watching(udevd, tmp_path, **AUTO) as watched:
        drive = await watched.until(device, DriveState.READY)
        assert drive.mount_point is not None and drive.mount_point.parent != tmp_path / "mnt"
        udisksd.kill()
        await watched.watcher.eject(device)
        await watched.until(device, DriveState.SAFE)
        assert not mounts_of(device, "-")


@pytest.mark.asyncio
async def test_udisksd_that_hangs_holds_nobody_else(
        udevd: Udevd, udisksd: Udisksd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udisks, "ANSWER_S", 0.5)
    first = udevd.insert(udevd.image(label="FIRST"))
    async with watching(udevd, tmp_path, **AUTO) as watched:
        ready = await watched.until(first, DriveState.READY)
        udisksd.stop()
        second = udevd.insert(udevd.image(label="SECOND"))
        with watched.watcher.lease(ready.fs_uuid) as lease:
            (lease.mount_point / "meanwhile").write_bytes(b"x")
        drive = await watched.until(second, DriveState.READY)
        assert drive.mount_point == tmp_path / "mnt" / drive.fs_uuid
        await watched.watcher.eject(second)
        assert any(event.startswith("warning: drives are mounted without udisks2: udisks2 does not "
                                    "answer") for event in watched.events)
        udisksd.go_on()
    assert not mounts_of(first, "-") and not mounts_of(second, "-")


@pytest.mark.asyncio
async def test_polkit_that_refuses(udevd: Udevd, empty_bus: Udisksd, tmp_path: Path) -> None:
    if reason := why_no_polkit():
        pytest.skip(reason)
    empty_bus.refuse()
    empty_bus.start()
    device = udevd.insert(udevd.image())
    with pytest.raises(UdisksAway, match=r"does not let this user; install .*udisks\.rules"):
        await ByUdisks(tmp_path / "mnt").mount(block_of(udevd, device))
    async with watching(udevd, tmp_path, mounter="udisks") as watched:
        drive = await watched.until(device, DriveState.REJECTED)
        assert "does not let this user" in drive.reason
    async with watching(udevd, tmp_path, **AUTO) as watched:
        drive = await watched.until(device, DriveState.READY)
        assert drive.mount_point == tmp_path / "mnt" / drive.fs_uuid


@pytest.mark.asyncio
async def test_a_cancelled_mount_leaves_nothing(
        udevd: Udevd, udisksd: Udisksd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before udisks was asked; and while it mounts, which nobody can call back."""
    device = udevd.insert(udevd.image())
    block = block_of(udevd, device)
    begun, mounts_it = asyncio.Event(), udisks._mounted

    async def mounted(conversation: Conversation, path: str) -> Path:
        begun.set()
        return await mounts_it(conversation, path)

    monkeypatch.setattr(udisks, "_mounted", mounted)
    early = asyncio.create_task(ByUdisks(tmp_path / "mnt").mount(block))
    await asyncio.sleep(0)
    late = asyncio.create_task(ByUdisks(tmp_path / "mnt").mount(block))
    early.cancel()
    await begun.wait()
    late.cancel()
    for mounting in (early, late):
        with pytest.raises(asyncio.CancelledError):
            await mounting
    assert not mounts_of(device, "-")


@pytest.mark.asyncio
async def test_damaged_and_read_only(udevd: Udevd, udisksd: Udisksd, tmp_path: Path) -> None:
    image = udevd.image()
    with image.open("r+b") as file:
        file.seek(2048)
        file.write(b"\xff" * 2048)  # the group descriptors
    damaged = udevd.insert(image)
    with pytest.raises(DriveRejected, match="udisks2 cannot handle it as ext4"):
        await ByUdisks(tmp_path / "mnt").mount(block_of(udevd, damaged))
    protected = udevd.insert(udevd.image(), read_only=True)
    with pytest.raises(DriveRejected, match="read-only"):
        await ByUdisks(tmp_path / "mnt").mount(block_of(udevd, protected))
    assert not mounts_of(damaged, "-") and not mounts_of(protected, "-")


@pytest.mark.asyncio
async def test_pulled_out_and_put_back(udevd: Udevd, udisksd: Udisksd, tmp_path: Path) -> None:
    image = udevd.image()
    device = udevd.insert(image)
    async with watching(udevd, tmp_path, **AUTO) as watched:
        await watched.until(device, DriveState.READY)
        await in_thread(udevd.pull, device)
        await watched.until(device, DriveState.ABSENT)
        again = udevd.insert(image)
        drive = await watched.until(again, DriveState.READY)
        assert drive.mount_point is not None
    assert not mounts_of(again, "-")


def test_the_rule_for_polkit_lets_one_user_mount_and_no_more(
        udevd: Udevd, empty_bus: Udisksd) -> None:
    """The real polkit reads the file that we ship; udisksctl asks as that user, and as another."""
    if not POLKITD.exists() or pwd.getpwnam("nobody").pw_uid == 0:
        pytest.skip("polkitd is not installed")
    rule = Path("config/fieldrec-udisks.rules").read_text()
    assert rule.count('"fieldrec"') == 1
    empty_bus.allow(rule.replace('"fieldrec"', '"nobody"'))
    empty_bus.start()
    device = udevd.insert(udevd.image())

    def ask(user: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["udisksctl", *words, "-b", device, "--no-user-interaction"], user=user,
            env=os.environ | {ADDRESS: empty_bus.address}, cwd="/", capture_output=True,
            text=True, check=False, timeout=PATIENCE_S)

    assert "NotAuthorized" in ask("daemon", "mount").stderr
    mounted = ask("nobody", "mount")
    assert mounted.returncode == 0, mounted.stderr
    assert "NotAuthorized" in ask("daemon", "unmount").stderr
    assert ask("nobody", "unmount").returncode == 0
    assert not mounts_of(device, "-")


def test_from_insertion_to_safe(udevd: Udevd, udisksd: Udisksd, tmp_path: Path) -> None:
    """The whole box with udisks2: mounted where a desktop would have it, offloaded, safe."""
    (tmp_path / "recordings").mkdir()
    make_store(tmp_path / "recordings", "old_20261121_060000")
    with Console() as console, \
            Box(tmp_path, console, match=udevd.match, export={"automatic": False},
                drives={"mounter": "auto"}, environment={ADDRESS: udisksd.address}) as box:
        device = udevd.insert(udevd.image(label="FIELD-U"))
        console.until("SAFE TO REMOVE FIELD-U")
        now = box.ask("snapshot")
        assert [job["state"] for job in now["jobs"]] == ["done"]
        assert not any("without udisks2" in event["text"] for event in now["events"])
        assert not list(box.mounts.glob("*")), "mount(8) was used"
        assert "SAFE TO REMOVE" in box.command("status")
        assert not mounts_of(device, "-")
