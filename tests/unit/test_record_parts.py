"""Disks that fail while recording: the next folder, with the very frame; or the end."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fieldrec.camera.synthetic import Options, SyntheticCamera
from fieldrec.config import RecordConfig, StoreConfig
from fieldrec.core import durable
from fieldrec.core.clock import SystemClock
from fieldrec.core.model import CameraState
from fieldrec.record.outcome import Cause
from fieldrec.record.recorder import Recorder
from fieldrec.store.reader import StoreReader
from tests.fakes.cameras import Watching
from tests.fakes.gates import Gate
from tests.fakes.places import SeveralFolders
from tests.fakes.rigs import QUICK, check_complete, names_in, ours, recorder_rig

pytestmark = pytest.mark.asyncio


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    durable.set_hook(gate)
    yield gate
    gate.may_make.set()
    gate.may_go_on.set()
    durable.set_hook(None)


def folders(inside: Path) -> tuple[Path, Path]:
    one, two = inside / "one", inside / "two"
    one.mkdir()
    two.mkdir()
    return one, two


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EROFS])
async def test_failed_disk_is_left_for_the_next_with_the_very_frame(
        tmp_path: Path, gate: Gate, error: int) -> None:
    one, two = folders(tmp_path)
    place = SeveralFolders(one, two)
    async with recorder_rig(record=RecordConfig(ring_s=2.0)) as rig:
        await rig.recorder.start(place, {})
        times = await rig.give(0, 1, 2)
        gate.bad, gate.error, gate.bad_steps = one, error, ("write", "create")
        times += await rig.give(3, 4)
        assert rig.watching.said(str(one / "a-1"))
        assert rig.watching.said(f"recording goes on in {two / 'a-2'}")
        gate.bad = None
        times += await rig.give(5)
        assert (rig.status.lost, rig.status.frame_count) == (0, 6)
        await rig.recorder.stop()
        assert rig.in_state(CameraState.READY)
    check_complete(two / "a-2", [3, 4, 5], times[3:])
    assert [path for path, _ in place.failures] == [one / "a-1"]
    assert sorted(rig.closed) == [("a-1", 3), ("a-2", 3)]
    assert ours(two / "a-2")["previous_name"] == "a-1"
    if error != errno.ENOSPC:
        assert (one / "a-1" / ".lock").exists()


async def test_no_folder_left_ends_it_as_before(tmp_path: Path, gate: Gate) -> None:
    one, two = folders(tmp_path)
    async with recorder_rig() as rig:
        await rig.recorder.start(SeveralFolders(one, two), {})
        await rig.give(0, 1)
        gate.bad = tmp_path
        rig.camera.give(2)
        await rig.watching.until(lambda: bool(rig.outcomes))
        assert rig.outcomes[0].cause is Cause.STORE
        assert rig.in_state(CameraState.READY)
        gate.bad = None
    assert names_in(two) == []


async def test_sync_that_cannot_be_cured_is_a_failed_disk(tmp_path: Path, gate: Gate) -> None:
    one, two = folders(tmp_path)
    async with recorder_rig(chunksize=100, durability_s=0.1) as rig:
        await rig.recorder.start(SeveralFolders(one, two), {})
        await rig.give(0, 1)
        gate.bad, gate.bad_steps = one, ("syncfs", "fsync", "rename")
        await rig.watching.until(lambda: rig.watching.said("recording goes on in"))
        gate.bad = None
        await rig.give(2, 3)
        await rig.recorder.stop()
    check_complete(two / "a-2", [2, 3])
    assert (one / "a-1" / ".lock").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system that is full soon."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder = tmp_path / "one"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_really_full_file_system_loses_no_frame(tmp_path: Path, small_disk: Path) -> None:
    one, two = small_disk, tmp_path / "two"
    two.mkdir()
    camera = SyntheticCamera("syn", Options(width=96, height=64, hz=100.0, frames=200,
                                            paced=False))
    watching, closed = Watching(), []
    recorder = Recorder("syn", camera, serial="syn", store=StoreConfig(chunksize=16),
                        record=RecordConfig(ring_s=10), timezone="UTC", clock=SystemClock(),
                        on_change=watching.on_change)
    recorder.listen(watching.on_event, lambda *_: None,
                    lambda _, name, count: closed.append((name, count)))
    await recorder.open()
    await recorder.start(SeveralFolders(one, two), {})
    await watching.until(lambda: recorder.status().stop_reason != "")
    await recorder.close()
    numbers: list[int] = []
    for path in (one / "a-1", two / "a-2"):
        assert not (path / ".lock").exists()
        with StoreReader(path) as store:
            assert store.problems == ()
            numbers += store.numbers.tolist()
    assert numbers == list(range(200))
    assert 10 < closed[0][1] < 190


async def test_an_error_that_is_not_the_disks_blames_no_folder(tmp_path: Path) -> None:
    place = SeveralFolders(tmp_path, tmp_path / "other")
    async with recorder_rig() as rig:
        await rig.recorder.start(place, {})
        await rig.give(0)
        rig.camera.give(2**70)
        await rig.watching.until(lambda: bool(rig.outcomes))
        assert "does not fit 64 bits" in rig.outcomes[0].reason
    assert place.failures == []


async def test_disk_that_hangs_after_it_failed_holds_up_nothing(tmp_path: Path, gate: Gate) -> None:
    one, two = folders(tmp_path)
    async with recorder_rig(patience=replace(QUICK, hang_s=0.5)) as rig:
        await rig.recorder.start(SeveralFolders(one, two), {})
        await rig.give(0, 1)
        gate.bad, gate.error, gate.bad_suffix = one, errno.ENOSPC, ".npy"
        gate.held, gate.held_steps = one, ("rename", "fsync")
        gate.may_go_on.clear()
        await rig.give(2, 3)
        await rig.recorder.stop()
        await rig.watching.until(lambda: rig.watching.said("failed does not answer"))
        check_complete(two / "a-2", [2, 3])
        assert (one / "a-1" / ".lock").exists()
        gate.bad = None
        gate.may_go_on.set()
        await rig.watching.until(lambda: ("a-1", 2) in rig.closed)
