"""The loop's side: real children, paused, resumed, cancelled, killed; never a half file."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path

import pytest

from fieldrec.core.errors import EncoderFailed, StateError
from fieldrec.core.model import Export
from fieldrec.export import work_folder
from fieldrec.export.encoder import Encoder, Progress
from fieldrec.export.presets import preset
from fieldrec.export.stopped import ExportStopped
from tests.fakes.export_content import moving, write_store
from tests.fakes.waiting import PATIENCE_S

WORK = ".work-bees.high.mp4"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write_store(tmp_path / "bees", moving(150))


def names(store: Path) -> list[str]:
    return sorted(path.name for path in store.parent.iterdir())


class Watched:
    """An encoder whose child is held as soon as it has begun to encode."""

    def __init__(self, store: Path, grace_s: float = 10.0, *, hold: bool = True) -> None:
        self.begun = asyncio.Event()
        self.phases: list[str] = []
        self.hold = hold
        self.encoder = Encoder(store, preset("High"), store.parent, self._on_progress,
                               grace_s=grace_s)

    def _on_progress(self, phase: str, done: int, total: int) -> None:
        if self.hold and not self.begun.is_set():
            self.encoder.pause()
        self.begun.set()
        self.phases.append(phase)

    async def until_begun(self) -> asyncio.Task[Export]:
        task = asyncio.create_task(self.encoder.run())
        await asyncio.wait_for(self.begun.wait(), PATIENCE_S)
        return task


async def until_held(pid: int) -> None:
    """Wait until the kernel has stopped the child."""
    stopped = asyncio.to_thread(os.waitid, os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
    await asyncio.wait_for(stopped, PATIENCE_S)


def exists(pid: int | None) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.asyncio
async def test_it_runs_a_child_and_returns_the_export(store: Path) -> None:
    watched = Watched(store, hold=False)
    made = await watched.encoder.run()
    assert (made.path, made.preset, made.frame_count) == (
        store.parent / "bees.high.mp4", "High", 150)
    assert list(dict.fromkeys(watched.phases)) == [
        "encoding", "joining", "verifying", "committing"]
    assert watched.encoder.pid is None
    assert names(store) == ["bees", "bees.high.mp4", "bees.high.mp4.json"]
    again = Watched(store)
    assert await again.encoder.run() == made
    assert again.phases == []


@pytest.mark.asyncio
async def test_pause_holds_it_and_resume_lets_it_finish(store: Path) -> None:
    watched = Watched(store)
    task = await watched.until_begun()
    pid = watched.encoder.pid
    assert pid is not None
    await until_held(pid)
    watched.encoder.pause()
    assert watched.encoder.paused
    assert not task.done()
    watched.encoder.resume()
    watched.encoder.resume()
    assert (await asyncio.wait_for(task, PATIENCE_S)).frame_count == 150


def fields(stat: Path) -> list[str]:
    """What the kernel says of a process or thread, from its state on."""
    return stat.read_text().rsplit(")", 1)[1].split()


def processor_ticks(pid: int) -> int:
    """Of all threads of a process, so far."""
    found = fields(Path(f"/proc/{pid}/stat"))
    return int(found[11]) + int(found[12])


def states(pid: int) -> set[str]:
    """Of the threads of a process: T is stopped."""
    return {fields(thread / "stat")[0] for thread in Path(f"/proc/{pid}/task").iterdir()}


@pytest.mark.asyncio
async def test_a_paused_child_takes_no_processor_time(store: Path) -> None:
    watched = Watched(store)
    task = await watched.until_begun()
    pid = watched.encoder.pid
    assert pid is not None
    await until_held(pid)
    before = processor_ticks(pid)
    await asyncio.sleep(0.3)
    assert (states(pid), processor_ticks(pid)) == ({"T"}, before)
    watched.encoder.resume()
    await asyncio.wait_for(task, PATIENCE_S)


@pytest.mark.asyncio
async def test_a_throttled_child_is_stopped_again_and_again_and_finishes(store: Path) -> None:
    watched = Watched(store)
    task = await watched.until_begun()
    pid = watched.encoder.pid
    assert pid is not None
    await until_held(pid)
    watched.encoder.throttle(0.05)
    await asyncio.sleep(0.15)
    assert states(pid) == {"T"}, "still paused"
    watched.encoder.resume()
    for _ in range(3):
        stopped = asyncio.to_thread(os.waitid, os.P_PID, pid, os.WSTOPPED)  # counted once
        assert await asyncio.wait_for(stopped, PATIENCE_S)
    assert not task.done()
    watched.encoder.throttle(1.0)
    assert (await asyncio.wait_for(task, PATIENCE_S)).frame_count == 150


@pytest.mark.asyncio
async def test_cancelled_in_a_throttled_childs_rest_it_ends(store: Path) -> None:
    watched = Watched(store, grace_s=1000)
    task = await watched.until_begun()
    pid = watched.encoder.pid
    assert pid is not None
    watched.encoder.throttle(0.01)
    watched.encoder.resume()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not exists(pid)


@pytest.mark.asyncio
async def test_it_tells_how_far_it_is(store: Path) -> None:
    watched = Watched(store, hold=False)
    told: list[Progress] = []
    watched.encoder = Encoder(store, preset("High"), store.parent,
                              lambda *_: told.append(watched.encoder.progress))
    made = await watched.encoder.run()
    assert {found.phase for found in told} == {"encoding", "joining", "verifying", "committing"}
    assert 0 < told[-1].size_bytes < made.size_bytes
    assert watched.encoder.size_bytes == told[-1].size_bytes
    assert [found.done for found in told if found.phase == "verifying"][-1] == 150


@pytest.mark.asyncio
async def test_paused_before_it_runs_it_begins_held(store: Path) -> None:
    watched = Watched(store, hold=False)
    watched.encoder.pause()
    task = asyncio.create_task(watched.encoder.run())
    while watched.encoder.pid is None:  # noqa: ASYNC110 - the encoder announces nothing
        await asyncio.sleep(0.005)
    await until_held(watched.encoder.pid)
    watched.encoder.resume()
    await asyncio.wait_for(task, PATIENCE_S)


@pytest.mark.asyncio
@pytest.mark.parametrize("resumed", [True, False], ids=["running", "paused"])
async def test_cancel_ends_the_child_and_leaves_only_the_working_folder(store: Path, resumed: bool
                                                                        ) -> None:
    watched = Watched(store, grace_s=1000)  # it must end by itself
    task = await watched.until_begun()
    pid = watched.encoder.pid
    if resumed:
        watched.encoder.resume()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names(store) in (["bees"], [WORK, "bees"])
    assert not exists(pid)
    work_folder.remove(store.parent / "bees.high.mp4")  # as when the operator cancelled it
    assert names(store) == ["bees"]


@pytest.mark.asyncio
async def test_a_child_that_does_not_stop_is_killed_after_the_grace(store: Path) -> None:
    watched = Watched(store, grace_s=0.0)
    task = await watched.until_begun()
    pid = watched.encoder.pid
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names(store) in (["bees"], [WORK, "bees"])
    assert not exists(pid)


@pytest.mark.asyncio
async def test_cancel_before_it_begins(store: Path) -> None:
    task = asyncio.create_task(Watched(store).encoder.run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names(store) == ["bees"]


@pytest.mark.asyncio
@pytest.mark.parametrize("seed", range(6))
async def test_killed_at_random_it_leaves_all_or_nothing(store: Path, seed: int) -> None:
    watched = Watched(store, hold=False)
    task = await watched.until_begun()
    pid = watched.encoder.pid
    await asyncio.sleep(random.Random(seed).uniform(0, 0.8))
    if pid is not None and not task.done():
        os.kill(pid, signal.SIGKILL)
    await asyncio.wait({task}, timeout=PATIENCE_S)
    error = task.exception()
    if error is not None:
        assert isinstance(error, EncoderFailed)
        assert str(error) == "the export process was killed by signal 9 before it was done"
        assert ".part-bees.high.mp4" not in names(store)
    beside = store.parent / "bees.high.mp4.json"
    told = beside.read_bytes() if beside.exists() else b""  # done, though perhaps not said any more
    made = await Watched(store, hold=False).encoder.run()
    assert made.size_bytes == made.path.stat().st_size
    assert not told or beside.read_bytes() == told, "what was whole is not made again"
    assert names(store) == ["bees", "bees.high.mp4", "bees.high.mp4.json"]


@pytest.mark.asyncio
async def test_stopped_by_somebody_else_it_may_be_tried_again(store: Path) -> None:
    watched = Watched(store)
    task = await watched.until_begun()
    assert watched.encoder.pid is not None
    os.kill(watched.encoder.pid, signal.SIGTERM)
    watched.encoder.resume()
    with pytest.raises(ExportStopped) as caught:
        await task
    assert caught.value.transient
    assert names(store) == [WORK, "bees"]


@pytest.mark.asyncio
async def test_the_childs_error_is_raised_here(store: Path) -> None:
    (store / ".lock").touch()
    with pytest.raises(StateError, match="still being recorded"):
        await Watched(store).encoder.run()

