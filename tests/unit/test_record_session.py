"""The session: who records, when it refuses, what ends it, and how cameras come back."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fieldrec.camera.synthetic import Options, SyntheticCamera
from fieldrec.config import RecordConfig, StorageConfig, StoreConfig
from fieldrec.config.recording import SplitConfig
from fieldrec.core import durable
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import (
    CameraError,
    CameraLost,
    ConfigError,
    NotFoundError,
    StateError,
    StoreError,
    StoreFull,
    UsageError,
)
from fieldrec.core.model import CameraState
from fieldrec.record.asked import Asked
from fieldrec.record.folders import Folders
from fieldrec.record.recorder import Recorder
from fieldrec.record.session import Session
from fieldrec.store.reader import StoreReader
from tests.fakes.cameras import ManualClock, ScriptedCamera, Watching
from tests.fakes.disks import FakeDisk
from tests.fakes.rigs import Disk, RecorderRig, check_complete, extra_data, names_in
from tests.fakes.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio

STAMP = r"_20261118_\d{6}"


class SessionRig:
    """Two cameras on one clock and one folder."""

    def __init__(self, folder: Path, *, keys: Sequence[str] = ("left", "right"),
                 record: RecordConfig | None = None, mend_delays_s: Sequence[float] = (0.0,),
                 metadata: dict[str, Any] | None = None, further: Sequence[Path] = ()) -> None:
        self.folder = folder
        self.clock = ManualClock()
        self.watching = Watching()
        self.disk = FakeDisk(10**12, 5 * 10**11)
        self.disks = {folder: self.disk,
                      **{path: FakeDisk(10**12, 5 * 10**11) for path in further}}
        self.rigs = {key: RecorderRig(key, clock=self.clock, watching=self.watching,
                                      metadata=metadata) for key in keys}
        loop = asyncio.get_running_loop()
        self.folders = Folders(
            (folder, *further), StorageConfig(), statvfs=lambda path: self.disks[path](path),
            on_event=lambda text, severity: void(
                loop.call_soon_threadsafe(self.watching.on_event, text, severity)))
        self.session = Session(
            {key: rig.recorder for key, rig in self.rigs.items()}, folders=self.folders,
            record=record or RecordConfig(name="bees"), timezone="UTC",
            clock=self.clock, on_event=self.watching.on_event, mend_delays_s=mend_delays_s)
        self.running: asyncio.Task[None] | None = None

    def camera(self, key: str) -> ScriptedCamera:
        return self.rigs[key].camera

    def recorder(self, key: str) -> Recorder:
        return self.rigs[key].recorder

    def run(self) -> None:
        self.running = asyncio.create_task(self.session.run())

    async def until_recording(self, key: str) -> None:
        await self.watching.until(lambda: self.recorder(key).state is CameraState.RECORDING)

    def stores(self) -> list[str]:
        return names_in(self.folder)


def frame_shape(path: Path) -> tuple[int, ...]:
    with StoreReader(path) as store:
        return store.metadata.imgshape


async def test_rings_for_a_preroll_are_weighed_by_what_the_cameras_give(tmp_path: Path) -> None:
    """A small camera does not take as much memory as a large one could use."""
    record = RecordConfig(ring_s=1.0, preroll_s=3.0, ring_max_bytes=2_000_000)
    watching = Watching()
    sizes = {"large": {"width": 160, "height": 120}, "small": {"width": 64, "height": 48}}
    recorders = {key: Recorder(
        key, SyntheticCamera(key, Options.model_validate({**size, "hz": 50.0})), serial=key,
        store=StoreConfig(), record=record, timezone="UTC", clock=SystemClock(),
        on_change=watching.on_change) for key, size in sizes.items()}
    folders = Folders((tmp_path,), StorageConfig(), on_event=lambda *_: None)
    session = Session(recorders, folders=folders, record=record, timezone="UTC",
                      clock=SystemClock(), on_event=watching.on_event)
    try:
        for key in ("small", "large"):
            await recorders[key].open()
        large, small = (recorders[key].status().ring_slots for key in sizes)
    finally:
        await session.close()
    assert small == 201  # all that it asks for, 827 kB
    assert large == (2_000_000 - 202 * 4096) // 20480 - 1  # the rest, but for a spare frame


async def test_frames_of_another_size_end_the_recording_and_begin_another(tmp_path: Path) -> None:
    """A real camera model that loses its size while it runs, and has the new one from then on."""
    camera = SyntheticCamera("syn", Options(width=128, height=192, hz=200.0, wrong_size_at=12,
                                            drop_when_late=False))
    watching = Watching()
    recorder = Recorder("syn", camera, serial="syn", store=StoreConfig(), timezone="UTC",
                        record=RecordConfig(), clock=SystemClock(), on_change=watching.on_change)
    loop = asyncio.get_running_loop()
    folders = Folders((tmp_path,), StorageConfig(reserve_bytes=0, stop_percent=100),
                      on_event=lambda text, severity: void(
                          loop.call_soon_threadsafe(watching.on_event, text, severity)))
    session = Session({"syn": recorder}, folders=folders, record=RecordConfig(), timezone="UTC",
                      clock=SystemClock(), on_event=watching.on_event, mend_delays_s=(0.0,))
    running = asyncio.create_task(session.run())
    try:
        await session.open_all()
        first, = await session.start(Asked())
        await watching.until(lambda: recorder.state is CameraState.RECORDING
                             and recorder.status().recording != first
                             and recorder.status().frame_count > 3)
        second = recorder.status().recording
        assert watching.said("sent a picture of 128x96, not 128x192")
        await session.stop()
    finally:
        running.cancel()
        await asyncio.wait([running])
        await session.close()
    assert (frame_shape(tmp_path / first), frame_shape(tmp_path / second)) == ((192, 128),
                                                                             (96, 128))
    with StoreReader(tmp_path / first) as store:
        assert "sent a picture of 128x96" in store.user_metadata["fieldrec"]["stop_reason"]
        assert store.numbers.tolist() == list(range(store.frame_count))
        assert 1 <= store.frame_count <= 12
    assert [".lock" in names_in(tmp_path / name) for name in (first, second)] == [False, False]


def void(_: object) -> None:
    """Drop a result."""


@asynccontextmanager
async def session_rig(folder: Path, **options: Any) -> AsyncIterator[SessionRig]:
    """A session with its watching task running, ended and closed whatever happens."""
    rig = SessionRig(folder, **options)
    rig.run()
    try:
        yield rig
    finally:
        for one in rig.rigs.values():
            one.release_gates()
        if rig.running is not None:
            rig.running.cancel()
            await asyncio.wait([rig.running])
        await rig.session.close()


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    durable.set_hook(disk)
    yield disk
    disk.may_write.set()
    durable.set_hook(None)


async def test_two_cameras_record_together_with_their_serials(tmp_path: Path) -> None:
    async with session_rig(tmp_path, metadata={"nest": 1, "site": "a"}) as rig:
        await rig.session.open_all()
        names = await rig.session.start(Asked("ants", {"site": "b"}))
        assert [re.sub(STAMP, "", name) for name in names] == ["ants_SN-left", "ants_SN-right"]
        assert rig.session.recording_since_ns == rig.clock.epoch_ns()
        times = {key: await rig.rigs[key].give(0, 1, 2) for key in ("left", "right")}
        assert [status.frame_count for status in rig.session.status()] == [3, 3]
        assert await rig.session.stop() == names
        assert not rig.session.recording
        assert await rig.session.stop() == []
    for name, key in zip(names, ("left", "right"), strict=True):
        metadata = check_complete(tmp_path / name, [0, 1, 2], times[key])
        assert (metadata["nest"], metadata["site"]) == (1, "b")


async def test_one_camera_bears_no_serial_and_the_configured_name(tmp_path: Path) -> None:
    async with session_rig(tmp_path) as rig:
        await rig.session.open_all()
        names = await rig.session.start(Asked(cameras=["right"]))
        assert len(names) == 1
        assert re.fullmatch("bees" + STAMP, names[0])
        assert rig.recorder("left").state is CameraState.READY
        await rig.rigs["right"].give(0)
        await rig.session.stop()
        again = await rig.session.start(Asked(cameras=["right"]))  # the clock went back
        assert again != names


async def test_name_taken_in_the_same_second_gets_a_number(tmp_path: Path) -> None:
    async with session_rig(tmp_path, keys=["left"]) as rig:
        await rig.session.open_all()
        first = await rig.session.start()
        await rig.rigs["left"].give(0)
        await rig.session.stop()
        rig.clock.forward(-1)
        second = await rig.session.start()
        assert second == [first[0] + "-2"]


async def test_refusals_say_why_and_make_nothing(tmp_path: Path) -> None:
    async with session_rig(tmp_path) as rig:
        with pytest.raises(CameraError, match="no camera is ready: left is closed; right is"):
            await rig.session.start()
        await rig.session.open_all()
        with pytest.raises(NotFoundError, match="no camera 'top'; known: left, right"):
            await rig.session.start(Asked(cameras=["top"]))
        with pytest.raises(CameraError, match="no camera to record from"):
            await rig.session.start(Asked(cameras=[]))
        with pytest.raises(UsageError, match="'/' is not allowed"):
            await rig.session.start(Asked("a/b"))
        for wrong in (0.0, -1.0, float("nan"), float("inf")):
            with pytest.raises(UsageError, match="above 0"):
                await rig.session.start(Asked(duration_s=wrong))
        with pytest.raises(UsageError, match="'timezone' is reserved"):
            await rig.session.start(Asked(metadata={"timezone": "UTC"}))
        rig.disk.free_bytes = 10**10
        with pytest.raises(StoreFull, match=r"99\.0 % used \(stop at 94 %\), 10\.0 GB free"):
            await rig.session.start()
        assert rig.stores() == []
        assert not rig.session.recording


async def test_missing_folder_refuses(tmp_path: Path) -> None:
    async with session_rig(tmp_path / "none") as rig:
        await rig.session.open_all()
        with pytest.raises(StoreError, match="does not exist; create it"):
            await rig.session.start()


async def test_recording_already(tmp_path: Path) -> None:
    async with session_rig(tmp_path) as rig:
        await rig.session.open_all()
        await rig.session.start()
        with pytest.raises(StateError, match="already recording"):
            await rig.session.start()
        assert all(status.state is CameraState.RECORDING for status in rig.session.status())


async def test_reserved_metadata_in_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'fieldrec' is reserved"):
        SessionRig(tmp_path, record=RecordConfig(metadata={"fieldrec": 1}))


async def test_camera_that_does_not_open_stops_nobody_and_joins_when_back(tmp_path: Path) -> None:
    async with session_rig(tmp_path) as rig:
        rig.camera("right").open_error = CameraError("no such device")
        await rig.session.open_all()
        assert rig.watching.said("camera right does not open: no such device")
        names = await rig.session.start()
        assert len(names) == 1
        assert names[0].endswith("_SN-left")
        await rig.rigs["left"].give(0, 1)
        rig.camera("right").open_error = None
        await rig.until_recording("right")
        assert rig.watching.said("camera right is back")
        await rig.rigs["right"].give(0)
        both = await rig.session.stop()
    assert len(both) == 2
    check_complete(tmp_path / names[0], [0, 1])
    check_complete(tmp_path / (set(both) - set(names)).pop(), [0])


async def test_trying_again_is_said_only_when_it_fails_in_a_new_way(tmp_path: Path) -> None:
    async with session_rig(tmp_path) as rig:
        camera = rig.camera("right")
        camera.open_error = CameraError("no such device")
        await rig.session.open_all()
        await rig.watching.until(lambda: camera.opens >= 4)
        camera.open_error = CameraError("in use by another program")
        await rig.watching.until(lambda: rig.watching.said("in use"))
        assert sum("no such device" in text for text, _ in rig.watching.events) == 1


async def test_camera_that_does_not_start_stops_nobody(tmp_path: Path) -> None:
    async with session_rig(tmp_path, mend_delays_s=(1e6,)) as rig:
        await rig.session.open_all()
        rig.camera("right").start_error = CameraError("no bandwidth")
        names = await rig.session.start()
        assert len(names) == 1
        assert rig.watching.said("camera right does not record: no bandwidth")
        await rig.rigs["left"].give(0)
        assert await rig.session.stop() == names
    assert rig.stores() == names


async def test_when_no_camera_starts_the_session_does_not(tmp_path: Path) -> None:
    async with session_rig(tmp_path, mend_delays_s=(1e6,)) as rig:
        await rig.session.open_all()
        for key in ("left", "right"):
            rig.camera(key).start_error = CameraError("no bandwidth")
        with pytest.raises(CameraError, match="no bandwidth"):
            await rig.session.start()
        assert not rig.session.recording
    assert rig.stores() == []


async def test_lost_camera_records_again_when_back_and_the_other_goes_on(tmp_path: Path) -> None:
    async with session_rig(tmp_path) as rig:
        await rig.session.open_all()
        await rig.session.start()
        await rig.rigs["left"].give(0, 1)
        await rig.rigs["right"].give(0)
        rig.camera("left").fail(CameraLost("cable"))
        await rig.watching.until(lambda: rig.watching.said("camera left: camera lost: cable"))
        await rig.until_recording("left")
        await rig.rigs["left"].give(5, 6)
        await rig.rigs["right"].give(1)
        names = await rig.session.stop()
    assert list(rig.session.last_names) == names
    left = [name for name in names if "SN-left" in name]
    assert len(left) == 2
    check_complete(tmp_path / left[0], [0, 1])
    check_complete(tmp_path / left[1], [5, 6])
    check_complete(tmp_path / next(name for name in names if "SN-right" in name), [0, 1])


async def test_camera_that_comes_back_after_the_end_does_not_record(tmp_path: Path) -> None:
    async with session_rig(tmp_path) as rig:
        await rig.session.open_all()
        await rig.session.start()
        await rig.rigs["left"].give(0)
        rig.camera("left").open_error = CameraError("away")
        rig.camera("left").fail(CameraLost("cable"))
        await rig.watching.until(lambda: rig.watching.said("does not open: away"))
        await rig.session.stop()
        rig.camera("left").open_error = None
        await rig.watching.until(lambda: rig.recorder("left").state is CameraState.READY)
        assert not rig.session.recording
    assert len(rig.stores()) == 1


async def test_camera_that_comes_back_while_stopping_does_not_start(tmp_path: Path, disk: Disk
                                                                    ) -> None:
    async with session_rig(tmp_path) as rig:
        await rig.session.open_all()
        await rig.session.start()
        left = rig.camera("left")
        left.open_error = CameraError("away")
        left.fail(CameraLost("cable"))
        await rig.watching.until(lambda: rig.watching.said("does not open: away"))
        left.in_start.clear()
        disk.may_write.clear()
        rig.camera("right").give(0)
        assert disk.holding.wait(PATIENCE_S)
        stopping = asyncio.create_task(rig.session.stop())
        await asyncio.sleep(0)
        left.open_error = None
        await rig.watching.until(lambda: rig.recorder("left").state is CameraState.READY)
        opens = left.opens
        disk.may_write.set()
        assert len(await stopping) == 1
        assert not left.in_start.is_set()
        assert left.opens == opens


async def test_full_disk_in_one_store_ends_the_session_in_order(tmp_path: Path, disk: Disk) -> None:
    async with session_rig(tmp_path) as rig:
        await rig.session.open_all()
        names = await rig.session.start()
        await rig.rigs["left"].give(0, 1)
        await rig.rigs["right"].give(0)
        disk.fail_at = 4
        rig.camera("left").give(2)
        await rig.session.wait_stopped()
        assert not rig.session.recording
        assert all(status.state is CameraState.READY for status in rig.session.status())
    check_complete(tmp_path / names[0], [0, 1])
    check_complete(tmp_path / names[1], [0])


async def test_limit_of_the_disk_ends_the_session_and_says_so(tmp_path: Path) -> None:
    async with session_rig(tmp_path) as rig:
        await rig.session.open_all()
        names = await rig.session.start()
        await rig.rigs["left"].give(0)
        await rig.rigs["right"].give(0)
        rig.disk.free_bytes = 5 * 10**10
        await rig.session.wait_stopped()
        assert rig.watching.said("recording stops: disk 95.0 % used (stop at 94 %), 50.0 GB free")
        assert rig.session.storage_status().used_percent == pytest.approx(95.0)
    for name in names:
        metadata = check_complete(tmp_path / name, [0])
        assert metadata["fieldrec"]["stop_reason"].startswith("disk 95.0 % used")


async def test_broken_store_is_left_and_a_new_one_begun(tmp_path: Path, disk: Disk) -> None:
    async with session_rig(tmp_path, keys=["left"]) as rig:
        await rig.session.open_all()
        first = await rig.session.start()
        await rig.rigs["left"].give(0)
        disk.fail_at, disk.fail_with = 2, 5
        rig.camera("left").give(1)
        await rig.watching.until(lambda: rig.watching.said("store failed"))
        disk.fail_at = None
        await rig.until_recording("left")
        await rig.rigs["left"].give(2)
        names = await rig.session.stop()
    assert len(names) == 2
    assert (tmp_path / first[0] / ".lock").exists()
    check_complete(tmp_path / next(name for name in names if name != first[0]), [2])


async def test_all_sources_played_out_end_the_session(tmp_path: Path) -> None:
    async with session_rig(tmp_path) as rig:
        await rig.session.open_all()
        names = await rig.session.start()
        for key, count in (("left", 2), ("right", 1)):
            await rig.rigs[key].give(*range(count))
            assert rig.session.recording
            rig.camera(key).end()
        await rig.session.wait_stopped()
    check_complete(tmp_path / names[0], [0, 1])
    check_complete(tmp_path / names[1], [0])


async def test_duration_ends_the_session(tmp_path: Path) -> None:
    async with session_rig(tmp_path, keys=["left"]) as rig:
        await rig.session.open_all()
        names = await rig.session.start(Asked(duration_s=2.5))
        await rig.rigs["left"].give(0, 1)
        assert rig.session.recording
        rig.camera("left").give(2)
        await rig.session.wait_stopped()
        assert rig.recorder("left").status().stop_reason == "duration over"
    check_complete(tmp_path / names[0], [0, 1, 2])


async def test_nothing_recorded_leaves_nothing(tmp_path: Path) -> None:
    async with session_rig(tmp_path, keys=["left"]) as rig:
        await rig.session.open_all()
        await rig.session.start()
        assert await rig.session.stop() == []
        assert rig.watching.said("nothing recorded")
    assert rig.stores() == []


async def test_cancelled_start_stops_the_camera_that_already_runs(tmp_path: Path) -> None:
    async with session_rig(tmp_path) as rig:
        await rig.session.open_all()
        rig.camera("right").may_start.clear()
        starting = asyncio.create_task(rig.session.start())
        await rig.until_recording("left")
        assert rig.camera("right").in_start.wait(PATIENCE_S)
        starting.cancel()
        rig.camera("right").may_start.set()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert not rig.session.recording
        assert all(status.state is CameraState.READY for status in rig.session.status())
        assert not [thread for thread in threading.enumerate()
                    if thread.name.startswith(("cap-", "store-", "sync-"))]
    assert rig.stores() == []


async def test_stop_given_during_start_stops_what_was_started(tmp_path: Path) -> None:
    async with session_rig(tmp_path, keys=["left"]) as rig:
        await rig.session.open_all()
        rig.camera("left").may_start.clear()
        starting = asyncio.create_task(rig.session.start())
        await asyncio.sleep(0)
        stopping = asyncio.create_task(rig.session.stop())
        rig.camera("left").may_start.set()
        await starting
        await stopping
        assert not rig.session.recording
        assert rig.recorder("left").state is CameraState.READY


async def test_no_frame_is_written_by_the_loop(tmp_path: Path, disk: Disk) -> None:
    async with session_rig(tmp_path) as rig:
        await rig.session.open_all()
        await rig.session.start()
        for number in range(6):
            await rig.rigs["left"].give(number)
            await rig.rigs["right"].give(number)
        await rig.session.stop()
    assert disk.frames == 12
    assert disk.writers == {"store-left", "store-right"}
    assert threading.current_thread().name not in disk.writers


async def test_close_while_recording_closes_every_store(tmp_path: Path) -> None:
    async with session_rig(tmp_path) as rig:
        await rig.session.open_all()
        names = await rig.session.start()
        await rig.rigs["left"].give(0)
        await rig.rigs["right"].give(0, 1)
    check_complete(tmp_path / names[0], [0])
    check_complete(tmp_path / names[1], [0, 1])


async def test_a_start_waits_for_cameras_that_are_being_opened(tmp_path: Path) -> None:
    async with session_rig(tmp_path) as rig:
        rig.camera("right").may_open.clear()
        opening = asyncio.create_task(rig.session.open_all())
        await rig.watching.until(lambda: rig.recorder("left").state is CameraState.READY)
        starting = asyncio.create_task(rig.session.start())
        rig.camera("right").may_open.set()
        assert len(await starting) == 2
        await opening
        assert all(rig.recorder(key).state is CameraState.RECORDING for key in rig.rigs)
        assert len(rig.stores()) == 2


async def test_a_camera_that_opens_late_joins_the_recording(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fieldrec.record.session.OPEN_PATIENCE_S", 0.0)
    async with session_rig(tmp_path) as rig:
        rig.camera("right").may_open.clear()
        opening = asyncio.create_task(rig.session.open_all())
        await rig.watching.until(lambda: rig.recorder("left").state is CameraState.READY)
        assert len(await rig.session.start()) == 1
        rig.camera("right").may_open.set()
        await rig.until_recording("right")
        await opening
        assert len(await rig.session.stop()) == 0  # no frame was given


# -- several folders -------------------------------------------------------------------------------


@asynccontextmanager
async def two_folders(tmp_path: Path, **options: Any) -> AsyncIterator[SessionRig]:
    """Recording to `a` with both cameras, a frame of each in it; `b` is there."""
    for name in "ab":
        (tmp_path / name).mkdir()
    async with session_rig(tmp_path / "a", further=[tmp_path / "b"], **options) as rig:
        await rig.session.open_all()
        await rig.session.start()
        for one in rig.rigs.values():
            await one.give(0)
        yield rig


async def test_a_failed_disk_sends_a_camera_on_and_the_other_after_it(tmp_path: Path, disk: Disk
                                                                      ) -> None:
    async with two_folders(tmp_path) as rig:
        disk.fail_at, disk.fail_with = disk.frames + 1, 5
        disk.fails_in = tmp_path / "a"
        rig.camera("left").give(1)
        await rig.watching.until(lambda: rig.watching.said("recording goes on in"))
        await rig.watching.until(lambda: rig.rigs["left"].status.frame_count >= 2)
        assert rig.watching.said(f"recordings folder {tmp_path / 'a'} has failed")
        shown = {status.key: status.folder for status in rig.session.status()}
        assert shown["left"] == str(tmp_path / "b")
        await rig.rigs["left"].give(2)
        disk.fail_at = None
        names = await rig.session.stop()
        assert not rig.watching.said("does not record")
    left = [name for name in names if "SN-left" in name]
    assert len(left) == 2
    check_complete(tmp_path / "b" / left[1], [1, 2])


async def test_cameras_leave_a_folder_that_is_full_and_the_session_goes_on(tmp_path: Path) -> None:
    async with two_folders(tmp_path) as rig:
        rig.disk.free_bytes = 10**10
        rig.session._wake.set()
        await rig.watching.until(lambda: rig.watching.said("takes no more"))
        number = 0
        while any(not status.folder for status in rig.session.status()):
            number += 1
            for one in rig.rigs.values():
                await one.give(number)
        assert {status.folder for status in rig.session.status()} == {str(tmp_path / "b")}
        rig.disks[tmp_path / "b"].free_bytes = 10**10  # now there is none left
        rig.session._wake.set()
        await rig.session.wait_stopped()
        assert rig.watching.said("recording stops: ")
    for key in ("left", "right"):
        parts = sorted(path for folder in "ab" for path in (tmp_path / folder).iterdir()
                       if key in path.name)
        assert {path.parent.name for path in parts} == {"a", "b"}
        numbers = [number for path in sorted(parts) for number in StoreReader(path).numbers]
        assert numbers == list(range(len(numbers)))


async def test_status_tells_of_every_folder(tmp_path: Path) -> None:
    async with two_folders(tmp_path) as rig:
        folders = rig.session.storage_status().folders
        assert [(Path(one.path).name, one.in_use, one.problem) for one in folders] == [
            ("a", True, ""), ("b", False, "")]


# -- together --------------------------------------------------------------------------------------


async def test_the_spread_of_first_frames_is_said_and_kept(tmp_path: Path) -> None:
    async with session_rig(tmp_path) as rig:
        await rig.session.open_all()
        names = await rig.session.start()
        rig.camera("left").give(0, after_s=0.25)
        rig.camera("right").give(0, after_s=0.5)
        await rig.watching.until(lambda: rig.session.skew_ms is not None)
        assert {rig.session.skew_ms} == {500.0}
        assert rig.watching.said("first frames within 500.0 ms (left +0.0, right +500.0)")
        await rig.session.stop()
        assert rig.session.skew_ms is None
    ids = set()
    for name, offset_ns in zip(names, (0, 500_000_000), strict=True):
        ids.add(check_complete(tmp_path / name, [0])["fieldrec"]["session_id"])
        (row,) = extra_data(tmp_path / name)
        assert (row["session_skew_ns"], row["session_offset_ns"]) == (500_000_000, offset_ns)
    assert len(ids) == 1


async def test_rings_share_the_memory_and_a_late_camera_gets_the_rest(tmp_path: Path) -> None:
    frame_bytes = 4096  # 48 x 64 in whole pages
    record = RecordConfig(name="bees", ring_s=2.0, ring_max_bytes=40 * frame_bytes)
    async with session_rig(tmp_path, record=record) as rig:
        await rig.session.open_all()
        await rig.session.start()
        assert [status.ring_slots for status in rig.session.status()] == [19, 19]
        assert [status.ring_bytes for status in rig.session.status()] == [20 * frame_bytes] * 2
        await rig.rigs["left"].give(0)
        rig.camera("left").fail(CameraLost("cable"))
        await rig.watching.until(lambda: rig.watching.said("camera left: camera lost: cable"))
        await rig.until_recording("left")
        assert rig.session.status()[0].ring_slots == 19


# -- verbs -----------------------------------------------------------------------------------------


async def test_pause_step_and_resume_reach_every_camera(tmp_path: Path) -> None:
    async with session_rig(tmp_path) as rig:
        await rig.session.open_all()
        with pytest.raises(StateError, match="nothing is being recorded; start it first"):
            await rig.session.pause()
        names = await rig.session.start()
        for one in rig.rigs.values():
            await one.give(0)
        assert await rig.session.pause() == ["left", "right"]
        assert all(status.paused for status in rig.session.status())
        for key in rig.rigs:
            rig.camera(key).give(1)
            rig.camera(key).wait_taken()
        with pytest.raises(UsageError, match="step 0: use a number of frames above 0"):
            await rig.session.step(0)
        await rig.session.step(1)
        for one in rig.rigs.values():
            await one.give(2)
        await rig.watching.until(lambda: all(s.paused for s in rig.session.status()))
        assert await rig.session.resume() == ["left", "right"]
        for one in rig.rigs.values():
            await one.give(3)
        await rig.session.stop()
    for name in names:
        check_complete(tmp_path / name, [0, 2, 3])


async def test_a_camera_that_comes_back_in_a_pause_joins_when_it_is_over(tmp_path: Path) -> None:
    async with session_rig(tmp_path) as rig:
        await rig.session.open_all()
        await rig.session.start()
        await rig.rigs["left"].give(0)
        await rig.rigs["right"].give(0)
        await rig.session.pause()
        rig.camera("left").fail(CameraLost("cable"))
        await rig.watching.until(lambda: rig.watching.said("camera left is back"))
        await rig.session._join(rig.recorder("left"))
        assert rig.session._active is not None
        assert rig.session._active.running == {"right"}
        await rig.session.resume()
        await rig.until_recording("left")
        await rig.rigs["left"].give(5)
        assert len(await rig.session.stop()) == 3


async def test_split_makes_new_recordings_without_a_gap(tmp_path: Path) -> None:
    async with session_rig(tmp_path) as rig:
        await rig.session.open_all()
        first = await rig.session.start()
        for one in rig.rigs.values():
            await one.give(0)
        assert await rig.session.split() == ["left", "right"]
        number = 0
        while {status.recording for status in rig.session.status()} & set(first):
            number += 1
            for one in rig.rigs.values():
                await one.give(number)
        names = await rig.session.stop()
    assert len(names) == len(set(names)) == 4
    for key in ("left", "right"):
        numbers = [number for name in names if key in name
                   for number in StoreReader(tmp_path / name).numbers]
        assert numbers == list(range(number + 1))


async def test_what_one_start_asks_for_is_not_what_the_next_one_gets(tmp_path: Path) -> None:
    async with session_rig(tmp_path, keys=["left"]) as rig:
        await rig.session.open_all()
        first = await rig.session.start(Asked(split_after=SplitConfig(frames=2)))
        number = 0
        while rig.rigs["left"].status.recording in first:
            await rig.rigs["left"].give(number)
            number += 1
        assert len(await rig.session.stop()) > 1
        await rig.session.start()
        for later in range(4):
            await rig.rigs["left"].give(number + later)
        assert len(await rig.session.stop()) == 1


async def test_configure_names_the_camera_and_near_matches(tmp_path: Path) -> None:
    async with session_rig(tmp_path) as rig:
        await rig.session.open_all()
        with pytest.raises(NotFoundError, match="no camera 'lef'; did you mean left"):
            await rig.session.configure("lef", {})
        with pytest.raises(UsageError, match="camera left: this camera has no parameters"):
            await rig.session.configure("all", {"Gain": 2})
        assert await rig.session.configure("all", {}) == {"left": (), "right": ()}


async def test_further_cameras_join_the_session_under_way(tmp_path: Path) -> None:
    async with session_rig(tmp_path) as rig:
        assert await rig.session.join(None) == []
        await rig.session.open_all()
        await rig.session.start(Asked("bees", cameras=["left"]))
        await rig.until_recording("left")
        assert await rig.session.join(["left"]) == []
        assert await rig.session.join(["left", "right"]) == ["right"]
        await rig.until_recording("right")
        with pytest.raises(NotFoundError, match="did you mean right"):
            await rig.session.join(["rihgt"])
        assert rig.session.to_ask_again() == Asked("bees", cameras=["left", "right"])
        await rig.session.stop()
        await rig.session.start(Asked("bees", by_schedule=True))
        assert rig.session.to_ask_again() is None
