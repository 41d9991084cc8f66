"""Drives for real: udevd, loop devices, mount(8). Events and states are awaited."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import subprocess
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fieldrec.config.drives import DrivesConfig
from fieldrec.core.errors import DriveBusy, DriveGone, DriveRejected, NotFoundError
from fieldrec.core.model import Drive, DriveState
from fieldrec.drives import mount, mounts, programs
from fieldrec.drives.mounts import mount_at, mounts_of, read_mounts
from fieldrec.drives.udev import BlockDevice, BlockEvents, Change
from fieldrec.drives.watcher import DriveWatcher
from tests.fakes.waiting import PATIENCE_S
from tests.system.udevd import Udevd, cannot_mount

pytestmark = [pytest.mark.root, pytest.mark.asyncio]
PROTECTED = {"nosuid", "nodev", "noexec", "noatime", "nosymfollow"}


@dataclass
class Watched:
    """A running watcher, and what it said."""

    config: DrivesConfig
    watcher: DriveWatcher
    task: asyncio.Task[None]
    events: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, device: str, state: DriveState) -> Drive:
        """The newest drive on this device, once it is in the state."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                self.changed.clear()
                found = [d for d in self.watcher.drives() if d.device == device]
                if found and found[-1].state is state:
                    return found[-1]
                await self.changed.wait()

    async def until_said(self, words: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not any(words in event for event in self.events):
                self.changed.clear()
                await self.changed.wait()


@contextlib.asynccontextmanager
async def watching(udevd: Udevd, root: Path, *further: Path, **options: object
                   ) -> AsyncIterator[Watched]:
    """`further` recordings folders, which need not be there."""
    recordings = root / "recordings"
    recordings.mkdir(exist_ok=True)
    config = DrivesConfig.model_validate(
        {"match": udevd.match, "mount_root": root / "mnt", "keep_free_bytes": 1_000_000,
         "mounter": "mount"} | options)
    box: list[Watched] = []

    def on_change() -> None:
        if box:
            box[0].changed.set()

    def on_event(text: str, severity: str) -> None:
        box[0].events.append(f"{severity}: {text}")
        box[0].changed.set()

    watcher = DriveWatcher(config, on_change=on_change, on_event=on_event,
                           in_use=[recordings, *further])
    box.append(Watched(config, watcher, asyncio.create_task(watcher.run())))
    try:
        yield box[0]
    finally:
        if not box[0].task.done():
            box[0].task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await box[0].task
        await watcher.close()


async def in_thread(call: Callable[..., object], *arguments: object) -> None:
    """Run a blocking command beside the loop, which goes on handling events."""
    done: list[BaseException | None] = []
    loop, finished = asyncio.get_running_loop(), asyncio.Event()

    def work() -> None:
        try:
            call(*arguments)
            done.append(None)
        except BaseException as error:  # noqa: BLE001 - handed over
            done.append(error)
        loop.call_soon_threadsafe(finished.set)

    thread = threading.Thread(target=work)
    thread.start()
    await finished.wait()
    thread.join()
    if done[0] is not None:
        raise done[0]


async def command(*words: str, ok: tuple[int, ...] = (0,)) -> None:
    def run() -> None:
        assert subprocess.run(words, check=False).returncode in ok

    await in_thread(run)


async def test_present_at_start(udevd: Udevd, tmp_path: Path) -> None:
    device = udevd.insert(udevd.image(label="FIELD-01"))
    async with watching(udevd, tmp_path) as watched:
        drive = await watched.until(device, DriveState.READY)
        assert (drive.label, drive.fs_type, drive.link_mbps) == ("FIELD-01", "ext4", None)
        assert 0 < drive.free_bytes < drive.size_bytes <= 64 << 20
        assert drive.mount_point == tmp_path / "mnt" / drive.fs_uuid
        assert drive.mount_point.stat().st_mode & 0o777 == 0o755  # the drive's own root…
        assert (tmp_path / "mnt").stat().st_mode & 0o777 == 0o700  # …behind our private folder
    assert not list((tmp_path / "mnt").iterdir())
    assert watched.watcher.drives()[0].state is DriveState.SAFE


@pytest.mark.parametrize("fs_type", ["ext4", "exfat", "ntfs", "vfat", "xfs"])
async def test_inserted_later_and_protected(udevd: Udevd, tmp_path: Path, fs_type: str) -> None:
    if reason := cannot_mount(fs_type):
        pytest.skip(reason)
    image = udevd.image(fs_type, size_mb=320 if fs_type == "xfs" else 64)
    async with watching(udevd, tmp_path) as watched:
        device = udevd.insert(image)
        drive = await watched.until(device, DriveState.READY)
        assert drive.mount_point is not None
        mounted = mount_at(drive.mount_point)
        assert mounted is not None
        assert mounted.options >= PROTECTED
        with watched.watcher.lease(drive.fs_uuid) as lease:
            (lease.mount_point / "frames").write_bytes(b"x" * 100_000)
            assert watched.watcher.drives()[0].leases == 1
        await watched.watcher.eject("FIELD")
        await watched.until(device, DriveState.SAFE)
        assert not mounts_of(device, "-")
        udevd.take_out(device)
        await watched.until(device, DriveState.ABSENT)
        assert "info: drive FIELD is safe to remove" in watched.events


async def test_a_label_cannot_act(udevd: Udevd, tmp_path: Path) -> None:
    device = udevd.insert(udevd.image(label="\x1b[31m<b>é\n"))
    async with watching(udevd, tmp_path) as watched:
        drive = await watched.until(device, DriveState.READY)
        await watched.until_said("is ready")
        assert drive.label.startswith("?[31m<b>?")
        for text in (drive.label, str(drive.mount_point), *watched.events):
            assert text.isprintable() and text.isascii()


async def test_read_only_is_rejected(udevd: Udevd, tmp_path: Path) -> None:
    device = udevd.insert(udevd.image(), read_only=True)
    async with watching(udevd, tmp_path) as watched:
        drive = await watched.until(device, DriveState.REJECTED)
        assert "write-protect" in drive.reason
        await watched.until_said("warning: drive FIELD is not used: read-only")
        assert not mounts_of(device, "-")
        with pytest.raises(DriveRejected, match="read-only"):
            watched.watcher.lease(drive.fs_uuid)


async def test_unformatted_is_rejected_until_it_is_formatted(udevd: Udevd, tmp_path: Path) -> None:
    device = udevd.insert(udevd.image(None))
    async with watching(udevd, tmp_path) as watched:
        assert "format it as exFAT" in (await watched.until(device, DriveState.REJECTED)).reason
        await command("mkfs.ext4", "-q", device)
        await watched.until(device, DriveState.READY)


async def test_type_that_is_not_allowed(udevd: Udevd, tmp_path: Path) -> None:
    device = udevd.insert(udevd.image())
    async with watching(udevd, tmp_path, file_systems=["exfat"]) as watched:
        drive = await watched.until(device, DriveState.REJECTED)
        assert "ext4 is not among drives.file_systems" in drive.reason


async def test_too_full(udevd: Udevd, tmp_path: Path) -> None:
    device = udevd.insert(udevd.image())
    async with watching(udevd, tmp_path, keep_free_bytes=10**9) as watched:
        drive = await watched.until(device, DriveState.REJECTED)
        assert drive.reason.startswith("full: ")
        assert not mounts_of(device, "-")


async def test_damaged_file_system(udevd: Udevd, tmp_path: Path) -> None:
    image = udevd.image()
    with image.open("r+b") as file:
        file.seek(2048)
        file.write(b"\xff" * 2048)  # the group descriptors
    device = udevd.insert(image)
    async with watching(udevd, tmp_path, check="never") as watched:
        drive = await watched.until(device, DriveState.REJECTED)
        assert "cannot be mounted as ext4" in drive.reason
        assert not list((tmp_path / "mnt").iterdir())


async def test_other_devices_are_not_touched(udevd: Udevd, tmp_path: Path) -> None:
    device = udevd.insert(udevd.image())
    async with watching(udevd, tmp_path, match=udevd.match | {"ID_MODEL": "other"}) as watched:
        other = DriveWatcher(DrivesConfig(match=udevd.match), on_change=lambda: None,
                             on_event=lambda _text, _severity: None, in_use=[tmp_path])
        assert watched.watcher.drives() == other.drives() == ()
    seen: list[BlockDevice] = []
    events = BlockEvents(udevd.match, lambda _change, block: seen.append(block))
    events.start(frozenset({Path(device).name}))  # as if the system were on this disk
    events.stop()
    assert not seen


async def test_mounted_by_others_at_a_place_of_the_machine(udevd: Udevd, tmp_path: Path) -> None:
    device = udevd.insert(udevd.image())
    place = tmp_path / "srv"
    place.mkdir()
    await command("mount", device, str(place))
    try:
        async with watching(udevd, tmp_path) as watched:
            drive = await watched.until(device, DriveState.REJECTED)
            assert "belongs to this machine" in drive.reason
        assert mount_at(place) is not None
    finally:
        await command("umount", str(place))


async def test_automounted_by_others_is_used_and_left(udevd: Udevd, tmp_path: Path) -> None:
    device = udevd.insert(udevd.image())
    place = Path("/media") / f"fieldrec-test-{udevd.token}"
    place.mkdir(parents=True)
    await command("mount", device, str(place))
    try:
        async with watching(udevd, tmp_path) as watched:
            drive = await watched.until(device, DriveState.READY)
            assert drive.mount_point == place
            with pytest.raises(DriveBusy, match="others mounted it"):
                await watched.watcher.eject(drive.fs_uuid)
            await watched.until(device, DriveState.READY)
        assert mount_at(place) is not None
        async with watching(udevd, tmp_path) as watched:
            await watched.until(device, DriveState.READY)
            await command("umount", str(place))
            place.rmdir()
            await watched.watcher.eject(device)  # they have done it, and their folder is gone
            await watched.until(device, DriveState.SAFE)
    finally:
        await command("umount", "-q", str(place), ok=(0, 1, 32))
        place.rmdir() if place.exists() else None


async def test_mounted_by_others_beside_us_stays_in_use(udevd: Udevd, tmp_path: Path) -> None:
    """An eject that cannot make it safe leaves it as it was, and can be repeated."""
    place = Path("/media") / f"fieldrec-test-{udevd.token}"
    place.mkdir(parents=True)
    device = udevd.insert(udevd.image())
    async with watching(udevd, tmp_path) as watched:
        drive = await watched.until(device, DriveState.READY)
        await command("mount", device, str(place))
        try:
            with pytest.raises(DriveBusy, match=f"others mounted it at {place}"):
                await watched.watcher.eject(device)
            assert drive.mount_point is not None and mount_at(drive.mount_point) is not None
            with watched.watcher.lease(drive.fs_uuid) as lease:
                (lease.mount_point / "more").write_bytes(b"frames")
        finally:
            await command("umount", str(place))
            place.rmdir()
        await watched.watcher.eject(device)
        await watched.until(device, DriveState.SAFE)


async def test_gone_and_there_again_at_once_is_mounted_anew(udevd: Udevd, tmp_path: Path) -> None:
    """A card that is taken out of its reader for a moment: the mount that was there is dead."""
    def number() -> str:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return next(line.split()[0] for line in lines if f" {tmp_path}/mnt/" in line)

    device = udevd.insert(udevd.image())
    async with watching(udevd, tmp_path) as watched:
        drive = await watched.until(device, DriveState.READY)
        lease, before = watched.watcher.lease(drive.fs_uuid), number()
        held = os.open(lease.mount_point, os.O_RDONLY)  # else its number would be free for the next
        uevent = Path(f"/sys/class/block/{Path(device).name}/uevent")
        for action in ("remove", "add"):  # read by us in one go
            uevent.write_text(action)  # noqa: ASYNC240
        udevd.settle()
        await watched.until_said("was pulled out while it was being written")
        await watched.until(device, DriveState.READY)
        after = number()
        os.close(held)
        assert lease.gone and after != before


async def test_a_mount_left_of_a_drive_that_came_back_as_another_device(udevd: Udevd,
                                                                       tmp_path: Path) -> None:
    """fieldrec was killed, and the drive pulled out before it ran again."""
    image = udevd.image()
    device = udevd.insert(image)
    async with watching(udevd, tmp_path) as watched:
        left = (await watched.until(device, DriveState.READY)).mount_point
    assert left is not None
    left.mkdir(parents=True)
    other = udevd.insert(udevd.image(label="GONE"))
    await command("mount", other, str(left))
    async with watching(udevd, tmp_path, match=udevd.match | {"ID_FS_LABEL": "FIELD"}) as watched:
        assert (await watched.until(device, DriveState.READY)).mount_point == left
        mounted = mount_at(left)
        assert mounted is not None and mounted.source == device
    assert not [m for m in read_mounts() if m.mount_point == left]


async def test_the_disk_of_a_recordings_folder_is_no_drive(udevd: Udevd, tmp_path: Path) -> None:
    """It is mounted where drives are, by others, before or after we looked at it."""
    place = Path("/media") / f"fieldrec-test-{udevd.token}"
    place.mkdir(parents=True)
    try:
        async with watching(udevd, tmp_path, place / "recordings") as watched:
            device = udevd.insert(udevd.image())
            ours = (await watched.until(device, DriveState.READY)).mount_point
            assert ours is not None
            with watched.watcher.lease((await watched.until(device, DriveState.READY)).fs_uuid
                                       ) as lease:
                await command("mount", device, str(place))
                watched.watcher.folder_came()
                drive = await watched.until(device, DriveState.REJECTED)
                assert f"recordings folder {place}/recordings" in drive.reason
                with pytest.raises(DriveGone):
                    lease.check()
            await command("udevadm", "settle")
        assert (mount_at(ours), mount_at(place) is None) == (None, False)
        async with watching(udevd, tmp_path, place / "recordings") as watched:
            await watched.until(device, DriveState.REJECTED)
        assert mount_at(place) is not None
    finally:
        await command("umount", str(place))
        place.rmdir()


async def test_a_mount_left_by_a_killed_run_is_taken_over(udevd: Udevd, tmp_path: Path) -> None:
    image = udevd.image(fs_uuid="11111111-2222-3333-4444-555555555555")
    device = udevd.insert(image)
    left = tmp_path / "mnt" / "11111111-2222-3333-4444-555555555555"
    left.mkdir(parents=True)
    await command("mount", device, str(left))
    async with watching(udevd, tmp_path) as watched:
        drive = await watched.until(device, DriveState.READY)
        assert drive.mount_point == left
        found = mount_at(left)
        assert found is not None and found.options >= PROTECTED
    assert mount_at(left) is None


async def test_a_mount_left_of_a_drive_that_is_gone_is_let_go_of(
        udevd: Udevd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left, theirs = tmp_path / "mnt" / "A", tmp_path / "mnt" / "B"
    for folder in (left, theirs):
        folder.mkdir(parents=True)
    await command("mount", udevd.insert(udevd.image()), str(left))
    await command("mount", "-t", "tmpfs", "none", str(theirs))
    device = udevd.insert(udevd.image(label="OTHER"))
    only_it = udevd.match | {"ID_FS_LABEL": "OTHER"}
    async with watching(udevd, tmp_path, match=only_it) as watched:
        await watched.until(device, DriveState.READY)
        assert mount_at(left) is not None  # it is there, and none of our business
    monkeypatch.setattr(mounts, "SYSFS", tmp_path)  # it is in no sysfs
    try:
        async with watching(udevd, tmp_path, match=only_it) as watched:
            await watched.until(device, DriveState.READY)
            assert not left.exists() and mount_at(theirs) is not None
    finally:
        await command("umount", str(theirs))


async def test_the_next_drive_in_the_same_port_is_ejected_as_the_first_was(udevd: Udevd,
                                                                          tmp_path: Path) -> None:
    """The first was switched off at its eject: no event tells that it was taken out."""
    slot = udevd.insert(udevd.image(label="FIELD"), slot=udevd.slot())
    async with watching(udevd, tmp_path) as watched:
        first = await watched.until(slot, DriveState.READY)
        await watched.watcher.eject("FIELD")
        watched.watcher._mounted._switched_off[first.fs_uuid, slot] = Path("/sys/devices/2-1")
        udevd.take_out(slot)
        udevd.insert(udevd.image(label="FIELD"), slot=slot)
        await watched.until(slot, DriveState.READY)
        assert [d.state for d in watched.watcher.drives()] == [DriveState.ABSENT, DriveState.READY]
        await watched.watcher.eject(slot)
        await watched.until(slot, DriveState.SAFE)


async def test_a_drive_that_another_program_has_for_itself_is_waited_for(
        udevd: Udevd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As whoever formats or checks it has; that it lets go is no event."""
    device = udevd.insert(udevd.image())
    held, run = [os.open(device, os.O_RDONLY | os.O_EXCL)], programs.run

    async def and_let_go(*words: str, timeout_s: float) -> tuple[int, str]:
        ended = await run(*words, timeout_s=timeout_s)
        if held and words[0] == "mount" and ended[0] != 0:
            os.close(held.pop())
        return ended

    monkeypatch.setattr(mount, "run", and_let_go)
    async with watching(udevd, tmp_path, check="never") as watched:
        await watched.until(device, DriveState.READY)
    assert not held


async def test_eject_waits_for_leases(udevd: Udevd, tmp_path: Path) -> None:
    device = udevd.insert(udevd.image())
    async with watching(udevd, tmp_path) as watched:
        drive = await watched.until(device, DriveState.READY)
        lease = watched.watcher.lease(drive.fs_uuid)
        eject = asyncio.create_task(watched.watcher.eject(device))
        await watched.until(device, DriveState.EJECTING)
        with pytest.raises(DriveBusy):
            watched.watcher.lease(drive.fs_uuid)
        await in_thread(lease.release)  # as the copy thread does
        await eject
        assert (await watched.until(device, DriveState.SAFE)).mount_point is None


async def test_eject_that_gets_no_lease_back_or_finds_it_busy(
        udevd: Udevd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mount, "BUSY_RETRIES", 2)
    device = udevd.insert(udevd.image())
    async with watching(udevd, tmp_path) as watched:
        drive = await watched.until(device, DriveState.READY)
        with watched.watcher.lease(drive.fs_uuid), \
                pytest.raises(DriveBusy, match="still being written"):
            await watched.watcher.eject(device, give_back_s=0.05)
        assert drive.mount_point is not None
        held = os.open(drive.mount_point, os.O_RDONLY)
        try:
            with pytest.raises(DriveBusy, match=rf"held by .*\({os.getpid()}\)"):
                await watched.watcher.eject(device)
        finally:
            os.close(held)
        assert (await watched.until(device, DriveState.READY)).reason.startswith("eject failed")
        await watched.watcher.eject(device)
        with pytest.raises(NotFoundError, match="no drive 'nonsense'"):
            await watched.watcher.eject("nonsense")


async def test_pulled_out_while_written_and_put_back(udevd: Udevd, tmp_path: Path) -> None:
    image = udevd.image()
    device = udevd.insert(image)
    async with watching(udevd, tmp_path) as watched:
        drive = await watched.until(device, DriveState.READY)
        lease = watched.watcher.lease(drive.fs_uuid)
        kept = lease.mount_point / "kept"
        kept.write_bytes(b"kept")
        os.sync()
        await in_thread(udevd.pull, device)
        await watched.until(device, DriveState.ABSENT)
        assert lease.gone
        with pytest.raises(DriveGone):
            lease.check()
        with pytest.raises(DriveGone):
            watched.watcher.lease(drive.fs_uuid)
        lease.release()
        await watched.until_said("error: drive FIELD was pulled out while it was being written")
        again = udevd.insert(image)
        drive = await watched.until(again, DriveState.READY)
        with watched.watcher.lease(drive.fs_uuid) as lease:
            assert (lease.mount_point / "kept").read_bytes() == b"kept"
        assert [d.state for d in watched.watcher.drives()] == [DriveState.READY]


async def test_pulled_out_while_eject_waits(udevd: Udevd, tmp_path: Path) -> None:
    device = udevd.insert(udevd.image())
    async with watching(udevd, tmp_path) as watched:
        drive = await watched.until(device, DriveState.READY)
        lease = watched.watcher.lease(drive.fs_uuid)
        eject = asyncio.create_task(watched.watcher.eject(device))
        await watched.until(device, DriveState.EJECTING)
        await in_thread(udevd.pull, device)
        with pytest.raises(DriveGone, match="before it was safe"):
            await eject
        assert lease.gone


async def test_two_drives_with_one_id(udevd: Udevd, tmp_path: Path) -> None:
    fs_uuid = "11111111-2222-3333-4444-555555555555"
    first = udevd.insert(udevd.image(fs_uuid=fs_uuid))
    async with watching(udevd, tmp_path) as watched:
        await watched.until(first, DriveState.READY)
        second = udevd.insert(udevd.image(fs_uuid=fs_uuid))
        assert first in (await watched.until(second, DriveState.REJECTED)).reason
        with watched.watcher.lease(fs_uuid) as lease:
            assert lease.mount_point.is_dir()
        await in_thread(udevd.pull, first)
        await watched.until(second, DriveState.READY)  # "remove one of the two", and that was done


async def test_run_again_after_a_failure(udevd: Udevd, tmp_path: Path) -> None:
    device = udevd.insert(udevd.image())
    async with watching(udevd, tmp_path) as watched:
        await watched.until(device, DriveState.READY)
        watched.watcher._events.fail(RuntimeError("broken"))
        with pytest.raises(RuntimeError, match="broken"):
            await watched.task
        udevd.settle()
        other = udevd.insert(udevd.image(label="OTHER"))  # nobody listens
        watched.task = asyncio.create_task(watched.watcher.run())
        await watched.until(other, DriveState.READY)
        assert len(watched.watcher.drives()) == 2


async def test_lost_events_are_made_good(udevd: Udevd) -> None:
    seen: list[tuple[Change, str]] = []
    came = asyncio.Event()

    def take(change: Change, block: BlockDevice) -> None:
        seen.append((change, block.device))
        came.set()

    events = BlockEvents(udevd.match, take, receive_buffer_bytes=4096)
    first = udevd.insert(udevd.image())
    events.start(frozenset())
    try:
        assert seen == [(Change.ADDED, first)]
        uevent = Path(f"/sys/class/block/{Path(first).name}/uevent")
        for _ in range(100):  # the loop does not read meanwhile: the small buffer overflows
            uevent.write_text("change")  # noqa: ASYNC240
        second = udevd.insert(udevd.image())
        udevd.take_out(first)
        async with asyncio.timeout(PATIENCE_S):
            while (Change.ADDED, second) not in seen or (Change.REMOVED, first) not in seen:
                await came.wait()
                came.clear()
        state = select.poll()
        state.register(events._monitor.fileno())
        async with asyncio.timeout(PATIENCE_S):  # no endless loop
            while [what for _, what in state.poll(0) if what & select.POLLERR]:  # noqa: ASYNC110
                await asyncio.sleep(0)  # others' events have made it overflow again
    finally:
        events.stop()


async def test_nothing_of_ours_is_left(udevd: Udevd, tmp_path: Path) -> None:
    devices = [udevd.insert(udevd.image(label=f"D{number}")) for number in range(3)]
    async with watching(udevd, tmp_path) as watched:
        for device in devices:
            await watched.until(device, DriveState.READY)
    assert not [m for m in read_mounts() if m.mount_point.is_relative_to(tmp_path)]
    assert not list((tmp_path / "mnt").iterdir())


async def test_the_end_waits_for_an_eject_in_hand(udevd: Udevd, tmp_path: Path) -> None:
    """Somebody still writes: their lease is waited for, nothing is unmounted under them."""
    device = udevd.insert(udevd.image())
    async with watching(udevd, tmp_path) as watched:
        drive = await watched.until(device, DriveState.READY)
        lease = watched.watcher.lease(drive.fs_uuid)
        ejecting = asyncio.create_task(watched.watcher.eject(device))
        await watched.until(device, DriveState.EJECTING)
        watched.task.cancel()
        await asyncio.wait({watched.task})
        closing = asyncio.create_task(watched.watcher.close())
        await asyncio.wait({closing}, timeout=0.5)  # without the wait it would be done by now
        assert not closing.done()
        assert mount_at(lease.mount_point) is not None
        (lease.mount_point / "last").write_bytes(b"frames")
        lease.release()
        await ejecting
        await closing
        assert watched.watcher.drives()[-1].state is DriveState.SAFE
    assert not mounts_of(device, "-")
    assert not any("stays mounted" in event for event in watched.events)
