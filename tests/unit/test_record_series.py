"""What is recorded between a start and its stop: splits, pauses, other folders, the clock."""

from __future__ import annotations

import datetime as dt
import errno
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fieldrec.camera.synthetic import Options, SyntheticCamera, read_number
from fieldrec.catalogue.report import store_report
from fieldrec.config import RecordConfig, StoreConfig
from fieldrec.config.recording import SplitConfig
from fieldrec.core import durable
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import CameraLost, StateError, StoreError, StoreFull
from fieldrec.core.model import CameraState
from fieldrec.record.outcome import Cause
from fieldrec.record.recorder import Recorder
from fieldrec.store.reader import StoreReader
from fieldrec.store.recover import recover
from tests.fakes.cameras import SECOND_NS, Watching
from tests.fakes.gates import Gate
from tests.fakes.places import SeveralFolders
from tests.fakes.rigs import (
    Disk,
    RecorderRig,
    check_complete,
    extra_data,
    gather,
    names_in,
    ours,
    recorder_rig,
)
from tests.fakes.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio


def splitting(**limits: Any) -> RecordConfig:
    return RecordConfig(ring_s=1.0, split_after=SplitConfig(**limits))


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    durable.set_hook(gate)
    yield gate
    gate.may_make.set()
    durable.set_hook(None)


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()
    durable.set_hook(disk)
    yield disk
    disk.may_write.set()
    durable.set_hook(None)


async def closed(rig: RecorderRig, count: int) -> None:
    """Until so many stores have ended."""
    await rig.watching.until(lambda: len(rig.closed) >= count)


async def made(rig: RecorderRig) -> None:
    """Until what the store thread asked of the turn thread is done."""
    series = rig.recorder._runs.series
    assert series is not None
    done = threading.Event()
    series._turning.do(done.set)
    assert done.wait(PATIENCE_S)


# -- split -----------------------------------------------------------------------------------------

async def test_split_by_frames_goes_on_without_a_frame_lost_or_repeated(tmp_path: Path) -> None:
    place = SeveralFolders(tmp_path)
    async with recorder_rig(record=splitting(frames=3)) as rig:
        await rig.recorder.start(place, {"species": "Bombus"})
        for number in range(8):
            await rig.give(number)
            await made(rig)
        assert rig.status.recording == "a-3"
        assert rig.status.frame_count == 8
        await rig.recorder.stop()
    assert rig.closed == [("a-1", 3), ("a-2", 3), ("a-3", 2)]
    for name, numbers in (("a-1", [0, 1, 2]), ("a-2", [3, 4, 5]), ("a-3", [6, 7])):
        metadata = check_complete(tmp_path / name, numbers)
        assert metadata["species"] == "Bombus"
    first, second, third = (ours(tmp_path / f"a-{n}") for n in (1, 2, 3))
    assert (first["part"], second["part"], third["part"]) == (1, 2, 3)
    assert "previous_name" not in first
    with StoreReader(tmp_path / "a-1") as store:
        assert (second["previous_name"], second["previous_uuid"]) == ("a-1", store.uuid)
    assert third["previous_name"] == "a-2"
    assert first["stop_reason"] == "split (3 frames); goes on in a-2"
    assert [outcome.cause for outcome in rig.outcomes] == [Cause.STOPPED]


async def test_parts_are_named_by_when_they_were_expected_to_begin(tmp_path: Path) -> None:
    place = SeveralFolders(tmp_path)
    async with recorder_rig(record=splitting(seconds=60)) as rig:
        began_ns = rig.clock.epoch_ns()
        await rig.recorder.start(place, {})
        times = []
        for number in range(16):
            times.append(rig.camera.give(number, after_s=5))
            await rig.watching.until(lambda n=number: rig.status.frame_count == n + 1)  # type: ignore[misc]
            await made(rig)
        await rig.recorder.stop()
    assert place.epochs_ns == [began_ns, times[0] + 60 * SECOND_NS]
    check_complete(tmp_path / "a-1", list(range(12)), times[:12])
    check_complete(tmp_path / "a-2", list(range(12, 16)), times[12:])
    with StoreReader(tmp_path / "a-2") as store:
        expected = dt.datetime.fromtimestamp(place.epochs_ns[1] // SECOND_NS, dt.UTC)
        assert f"{expected:%H:%M:%S}" in str(store.created_utc)


async def test_a_disk_too_slow_for_the_next_store_makes_a_part_longer(tmp_path: Path, gate: Gate
                                                                     ) -> None:
    gate.name = "a-2"
    gate.may_make.clear()
    async with recorder_rig(record=splitting(frames=3), chunksize=100) as rig:
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await rig.give(0, 1, 2, 3, 4)
        assert gate.asked.wait(PATIENCE_S)
        assert rig.status.recording == "a-1"
        gate.may_make.set()
        await made(rig)
        await rig.give(5, 6)
        assert rig.status.lost == 0
        await rig.recorder.stop()
    check_complete(tmp_path / "a-1", [0, 1, 2, 3, 4])
    check_complete(tmp_path / "a-2", [5, 6])


async def test_store_made_ahead_and_not_used_is_removed(tmp_path: Path) -> None:
    async with recorder_rig(record=splitting(frames=4)) as rig:
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await rig.give(0, 1)
        await made(rig)
        assert names_in(tmp_path) == ["a-1", "a-2"]
        await rig.recorder.stop()
    assert names_in(tmp_path) == ["a-1"]
    assert rig.closed == [("a-1", 2)]


async def test_split_by_hand_and_by_bytes(tmp_path: Path) -> None:
    async with recorder_rig() as rig:
        with pytest.raises(StateError, match="not recording"):
            await rig.recorder.split()
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        with pytest.raises(StateError, match="nothing that could be split"):
            await rig.recorder.split()
        await rig.give(0, 1)
        await rig.recorder.split()
        await made(rig)
        await rig.give(2, 3, 4)
        assert rig.watching.said("a-1 goes on in a-2")
        await rig.recorder.stop()
    check_complete(tmp_path / "a-1", [0, 1])
    check_complete(tmp_path / "a-2", [2, 3, 4])


async def test_part_whose_closing_fails_is_left_for_recovery_and_said(tmp_path: Path, gate: Gate
                                                                     ) -> None:
    async with recorder_rig(record=splitting(frames=3), chunksize=100) as rig:
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await rig.give(0, 1, 2)
        await made(rig)
        gate.bad, gate.bad_steps = tmp_path / "a-1", ("rename", "fsync")
        await rig.give(3, 4)
        await closed(rig, 1)
        await rig.watching.until(lambda: rig.watching.said("a-1: closing failed"))
        gate.bad = None
        await rig.recorder.stop()
    assert (tmp_path / "a-1" / ".lock").exists()
    check_complete(tmp_path / "a-2", [3, 4])


async def test_next_store_that_cannot_be_made_is_said_and_tried_again(tmp_path: Path, gate: Gate
                                                                     ) -> None:
    class Full(SeveralFolders):
        full = True

        def next_path(self, epoch_ns: int) -> Path:
            if self.full and self.given:
                raise StoreFull("no room in any folder")
            return super().next_path(epoch_ns)

    place = Full(tmp_path)
    async with recorder_rig(record=splitting(frames=2), chunksize=100) as rig:
        await rig.recorder.start(place, {})
        for number in range(4):
            await rig.give(number)
            await made(rig)
        await rig.watching.until(lambda: rig.watching.said("not split yet: no room in any folder"))
        place.full = False
        for number in range(4, 12):
            await rig.give(number)
            await made(rig)
        await rig.recorder.stop()
    parts = [name for name, _ in rig.closed]
    seen: list[int] = []
    for name in parts:
        with StoreReader(tmp_path / name) as store:
            seen += store.numbers.tolist()
    assert seen == list(range(12))
    assert len(parts) > 2


@pytest.mark.parametrize("frames", [30, 7])
async def test_burnt_numbers_over_all_parts(tmp_path: Path, frames: int) -> None:
    """A real camera model as fast as it goes: every frame once, in order, with its own pixels."""
    camera = SyntheticCamera("syn", Options(width=96, height=64, hz=100.0, frames=120, paced=False))
    watching, closed = Watching(), []
    place = SeveralFolders(tmp_path)
    recorder = Recorder("syn", camera, serial="syn", store=StoreConfig(chunksize=16),
                        record=RecordConfig(ring_s=10, split_after=SplitConfig(frames=frames)),
                        timezone="UTC", clock=SystemClock(), on_change=watching.on_change)
    recorder.listen(watching.on_event, lambda *_: None,
                    lambda _, name, count: closed.append((name, count)))
    await recorder.open()
    await recorder.start(place, {})
    await watching.until(lambda: recorder.status().stop_reason != "")
    status = recorder.status()
    await recorder.close()
    assert (status.frame_count, status.lost, status.dropped) == (120, 0, 0)
    burnt: list[int] = []
    for name, count in closed:
        with StoreReader(tmp_path / name) as store:
            assert store.frame_count == count
            numbers = store.numbers.tolist()
            assert [read_number(store.read(at)) for at in range(count)] == numbers
            burnt += numbers
    assert burnt == list(range(120))
    assert len(closed) > 1
    assert names_in(tmp_path) == sorted(name for name, _ in closed)


# -- pause -----------------------------------------------------------------------------------------

async def test_pause_leaves_frames_out_in_the_same_store_and_says_so(tmp_path: Path) -> None:
    async with recorder_rig() as rig:
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        times = await rig.give(0, 1)
        await rig.recorder.pause()
        await rig.recorder.pause()
        states = [rig.status.paused]
        left_out = [rig.camera.give(number) for number in (2, 3, 4)]
        rig.camera.wait_taken()
        await rig.recorder.resume()
        assert [*states, rig.status.paused] == [True, False]
        times += await rig.give(5, 6)
        assert (rig.status.lost, rig.status.dropped) == (0, 0)
        await rig.recorder.stop()
    metadata = check_complete(tmp_path / "a-1", [0, 1, 5, 6], times)
    said = metadata["fieldrec"]
    assert (said["paused_frames"], said["lost"], said["dropped"]) == (3, 0, 0)
    gaps = [record for record in extra_data(tmp_path / "a-1") if record.get("paused") is True]
    assert len(gaps) == 1
    told = {key: value for key, value in gaps[0].items() if key.startswith(("paused_", "frame_n"))}
    assert told == {"paused_first_number": 2, "paused_last_number": 4, "paused_count": 3,
                    "paused_first_time_ns": left_out[0], "paused_last_time_ns": left_out[-1],
                    "frame_number": 1}
    found = store_report(tmp_path / "a-1").gaps
    assert (found.paused, found.dropped, found.lost) == (3, 0, 0)


async def test_steps_record_exactly_so_many_frames(tmp_path: Path) -> None:
    async with recorder_rig() as rig:
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await rig.give(0)
        with pytest.raises(StateError, match="not paused"):
            await rig.recorder.step(2)
        await rig.recorder.pause()
        await rig.recorder.step(2)
        with pytest.raises(StateError, match="still takes 2 frames"):
            await rig.recorder.step(1)
        await rig.give(1, 2)
        assert rig.status.paused
        for number in (3, 4, 5):
            rig.camera.give(number)
        rig.camera.wait_taken()
        await rig.recorder.step(1)
        await rig.give(6)
        assert rig.status.paused
        rig.camera.give(7)
        rig.camera.wait_taken()
        await rig.recorder.stop()
    metadata = check_complete(tmp_path / "a-1", [0, 1, 2, 6])
    assert metadata["fieldrec"]["paused_frames"] == 4
    gaps = [(record["paused_first_number"], record["paused_last_number"])
            for record in extra_data(tmp_path / "a-1") if record.get("paused") is True]
    assert gaps == [(3, 5), (7, 7)]


async def test_nothing_to_pause_resume_or_step(tmp_path: Path) -> None:
    async with recorder_rig() as rig:
        for verb in (rig.recorder.pause, rig.recorder.resume, lambda: rig.recorder.step(1)):
            with pytest.raises(StateError, match="not recording"):
                await verb()
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        with pytest.raises(StateError, match="is not paused"):
            await rig.recorder.resume()


async def test_limits_wait_for_the_end_of_a_pause(tmp_path: Path) -> None:
    async with recorder_rig(record=splitting(frames=2)) as rig:
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await rig.give(0, 1)
        await made(rig)
        await rig.recorder.pause()
        rig.camera.give(2)
        rig.camera.wait_taken()
        await rig.recorder.resume()
        await rig.give(3)
        await rig.recorder.stop()
    check_complete(tmp_path / "a-1", [0, 1])
    check_complete(tmp_path / "a-2", [3])


# -- what is missing -------------------------------------------------------------------------------

async def test_lost_and_dropped_are_told_to_the_part_they_lie_in(tmp_path: Path, disk: Disk
                                                                ) -> None:
    async with recorder_rig(record=RecordConfig(ring_s=0.1)) as rig:
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await rig.give(0, 1, 4)
        await rig.settled()
        gather(rig, disk, *range(5, 12))
        await rig.watching.until(lambda: rig.status.frame_count == 7)
        await rig.give(12)
        runs = rig.status.lost_runs
        await rig.recorder.split()
        await made(rig)
        await rig.give(13, 15)
        assert (rig.status.lost, rig.status.dropped) == (3, 3)
        await rig.recorder.stop()
    check_complete(tmp_path / "a-1", [0, 1, 4, 5, 6, 7, 8, 12])
    first, second = ours(tmp_path / "a-1"), ours(tmp_path / "a-2")
    assert (first["lost"], first["dropped"]) == (3, 2)
    assert (second["lost"], second["dropped"]) == (0, 1)
    assert [(run.first_number, run.last_number, run.count) for run in runs] == [(9, 11, 3)]
    assert first["lost_runs"] == [[9, 11, 3, runs[0].first_time_ns, runs[0].last_time_ns]]
    assert "lost_runs" not in second
    gaps = [(record["dropped_first_number"], record["dropped_last_number"])
            for record in extra_data(tmp_path / "a-1") if record.get("dropped_count") == 2]
    assert gaps == [(2, 3)]


async def test_recovery_knows_what_was_lost_and_left_out_without_extra_data(
        tmp_path: Path, disk: Disk) -> None:
    """Numbers 0 1 4 5 … 8 (9 to 11 lost) 12 (13 to 15 paused) 16 18, and then the end."""
    async with recorder_rig(record=RecordConfig(ring_s=0.1), chunksize=3) as rig:
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await rig.give(0, 1, 4)
        await rig.settled()
        gather(rig, disk, *range(5, 12))
        await rig.watching.until(lambda: rig.status.frame_count == 7)
        await rig.give(12)
        await rig.recorder.pause()
        for number in range(13, 16):
            rig.camera.give(number)
        rig.camera.wait_taken()
        await rig.recorder.resume()
        await rig.give(16, 18)
        shutil.copytree(tmp_path / "a-1", tmp_path / "crashed")
        await rig.recorder.stop()
    for path in (tmp_path / "crashed").rglob("*extra*"):
        path.unlink()
    recover(tmp_path / "crashed")
    found, expected = ours(tmp_path / "crashed"), ours(tmp_path / "a-1")
    for name in ("lost", "dropped", "paused_frames"):
        assert found[name] == expected[name], name
    assert (found["lost"], found["dropped"], found["paused_frames"]) == (3, 3, 3)
    with StoreReader(tmp_path / "crashed") as store:
        bounds = [store.times_ns[store.numbers == number].item() for number in (8, 12)]
    assert found["lost_runs"] == [[9, 11, 3, *bounds]]
    assert store_report(tmp_path / "crashed").gaps.lost == 3


async def test_what_is_missing_just_before_a_split_is_the_first_parts(tmp_path: Path) -> None:
    async with recorder_rig(record=splitting(frames=2)) as rig:
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await rig.give(0)
        await made(rig)
        for number in (2, 3, 5):  # too near to each other for a look at each
            rig.camera.give(number, after_s=0.01)
            rig.camera.wait_taken()
        await rig.settled()
        await rig.recorder.stop()
    assert [ours(tmp_path / name)["dropped"] for name in ("a-1", "a-2")] == [1, 1]


async def test_camera_lost_after_a_split_closes_both(tmp_path: Path) -> None:
    async with recorder_rig(record=splitting(frames=2)) as rig:
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await rig.give(0, 1)
        await made(rig)
        await rig.give(2)
        rig.camera.fail(CameraLost("cable"))
        await rig.watching.until(lambda: rig.in_state(CameraState.FAILED))
    check_complete(tmp_path / "a-1", [0, 1])
    check_complete(tmp_path / "a-2", [2])


# -- a disk that fails -----------------------------------------------------------------------------

def two_folders(inside: Path) -> tuple[Path, Path]:
    one, two = inside / "one", inside / "two"
    one.mkdir()
    two.mkdir()
    return one, two


async def test_the_frame_that_meets_a_failed_disk_goes_to_the_next(tmp_path: Path, disk: Disk
                                                                  ) -> None:
    one, two = two_folders(tmp_path)
    async with recorder_rig() as rig:
        await rig.recorder.start(SeveralFolders(one, two), {})
        times = await rig.give(0, 1)
        disk.fail_at, disk.fail_with, disk.fails_in = disk.frames + 1, errno.EIO, one
        times += await rig.give(2, 3)
        assert (rig.status.frame_count, rig.status.lost, rig.status.dropped) == (4, 0, 0)
        await rig.recorder.stop()
    check_complete(two / "a-2", [2, 3], times[2:])


async def test_each_folder_that_fails_passes_the_frame_on(tmp_path: Path, disk: Disk) -> None:
    one, two = two_folders(tmp_path)
    three = tmp_path / "three"
    three.mkdir()
    async with recorder_rig() as rig:
        await rig.recorder.start(SeveralFolders(one, two, three), {})
        await rig.give(0)
        disk.fail_at, disk.fail_with = disk.frames + 1, errno.EIO
        disk.works_in = three
        await rig.give(1, 2)
        await rig.recorder.stop()
    assert names_in(two) == []
    check_complete(three / "a-3", [1, 2])


@pytest.mark.parametrize("chunksize", [2, 3])
async def test_a_frame_given_up_with_its_chunk_is_written_again(tmp_path: Path, disk: Disk,
                                                               chunksize: int) -> None:
    """The sync at the chunk's end fails, and the newest frame does not read back right."""
    async with recorder_rig(chunksize=chunksize) as rig:
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await rig.give(*range(chunksize - 1))
        newest = chunksize - 1
        disk.fail_syncs = 1
        disk.damages = tmp_path / "a-1" / "000000" / f"{newest:06d}.npy"
        await rig.give(newest, newest + 1)
        assert rig.watching.said("going on in a new chunk")
        assert (rig.status.frame_count, rig.status.lost) == (newest + 2, 0)
        await rig.recorder.stop()
    assert check_complete(tmp_path / "a-1", list(range(newest + 2)))["fieldrec"]["lost"] == 0


async def test_a_frame_given_up_with_its_chunk_goes_elsewhere_if_it_must(tmp_path: Path,
                                                                        disk: Disk) -> None:
    one, two = two_folders(tmp_path)
    async with recorder_rig(chunksize=2) as rig:
        await rig.recorder.start(SeveralFolders(one, two), {})
        await rig.give(0)
        disk.fail_syncs, disk.damages = 1, one / "a-1" / "000000" / "000001.npy"
        disk.fail_at, disk.fail_with, disk.fails_in = disk.frames + 2, errno.EIO, one
        await rig.give(1, 2)
        assert (rig.status.frame_count, rig.status.lost) == (3, 0)
        await rig.recorder.stop()
    check_complete(two / "a-2", [1, 2])


# -- the clock -------------------------------------------------------------------------------------

async def test_times_go_on_over_steps_and_splits_and_names_ascend(tmp_path: Path) -> None:
    """Back an hour, forward a day, before 1990, and again."""
    place = SeveralFolders(tmp_path)
    steps = [-3600.0, 86_400.0, -1_200_000_000.0, 1_200_000_000.0]
    async with recorder_rig(record=splitting(frames=3), chunksize=100) as rig:
        await rig.recorder.start(place, {})
        times = await rig.give(0)
        for number in range(1, 13):
            if number % 3 == 2:
                rig.clock.step_wall(steps[number // 3])
            await rig.give(number)
            times.append(times[-1] + SECOND_NS)
            await made(rig)
        await rig.recorder.stop()
        assert sum("wall clock moved" in text for text, _ in rig.watching.events) == 4
    assert place.epochs_ns == sorted(place.epochs_ns)
    numbers: list[int] = []
    found: list[int] = []
    stepped: list[float] = []
    for path in (tmp_path / name for name, _ in rig.closed):
        with StoreReader(path) as store:
            numbers += store.numbers.tolist()
            found += store.times_ns.tolist()
        stepped += [(r["clock_wall_ns"] - r["clock_recording_ns"]) / 1e9
                    for r in extra_data(path) if r.get("clock_step") is True]
    assert numbers == list(range(13))
    assert found == times
    assert stepped == [-3600.0, 82_800.0, -1_199_917_200.0, 82_800.0]
    assert ours(tmp_path / rig.closed[-1][0])["clock_offset_ns"] == 82_800 * SECOND_NS
    assert "clock_offset_ns" not in ours(place.given[0])


async def test_extra_data_goes_beside_the_newest_frame(tmp_path: Path) -> None:
    async with recorder_rig() as rig:
        rig.recorder.add_extra_data(lost_in_nothing=1)
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await rig.give(0, 1)
        rig.recorder.add_extra_data(temperature=21.5)
        await rig.recorder.stop()
    records = [r for r in extra_data(tmp_path / "a-1") if r.get("temperature") == 21.5]
    assert [r["frame_number"] for r in records] == [1]


async def test_start_without_a_folder_leaves_nothing(tmp_path: Path) -> None:
    async with recorder_rig() as rig:
        with pytest.raises(StoreError, match="no folder is left"):
            await rig.recorder.start(SeveralFolders(), {})
        assert rig.in_state(CameraState.READY)
        assert not rig.camera.in_start.is_set()
