"""A whole box over several folders, beside what it has to recover, and without a trace where it was
refused: the real App, synthetic cameras, real disks."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imgstore
import numpy as np
import pytest

from fieldrec.app import DAEMON, FOLDER_ONLY, ONE_RECORDING, App, recovery
from fieldrec.catalogue.scan import scan
from fieldrec.cli.link import find_owner
from fieldrec.config import Config
from fieldrec.core import durable
from fieldrec.core.errors import CameraError, LockedError, StoreError
from fieldrec.core.folder import PRIVATE_NAME
from fieldrec.core.model import FrameSpec, JobState, RecordingState
from fieldrec.store.writer import StoreWriter
from tests.fakes.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio

CAMERA = {"backend": "synthetic", "options": {"width": 64, "height": 48, "hz": 50}}


def config_of(root: Path, *, folders: tuple[str, ...] = ("a", "b"), **more: Any) -> Config:
    return Config.model_validate({
        "storage": {"directory": root / folders[0],
                    "directories": [root / name for name in folders[1:]],
                    "stop_percent": 100, "reserve_bytes": 0},
        "cameras": {"left": CAMERA}, "export": {"automatic": False}, "drives": {"enabled": False},
        "power": {"source": "mains"}, **more})


async def until(app: App, condition: Callable[[], Any]) -> None:
    version = -2
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            version = (await app.board.wait_changed(version, 0.1)).version


async def recorded(app: App, frames: int = 3) -> list[str]:
    """One recording; its names."""
    await app.control.start("bees")
    await until(app, lambda: app.board.latest.recorders[0].frame_count >= frames)
    return await app.control.stop()


def said(app: App, text: str) -> bool:
    return any(text in event.text for event in app.events.latest())


def numbers(path: Path) -> list[int]:
    store = imgstore.new_for_filename(str(path))
    try:
        return [store.get_next_image()[1][0] for _ in range(store.frame_count)]
    finally:
        store.close()


async def test_a_further_folder_that_comes_later_is_used_when_the_first_goes(tmp_path: Path
                                                                             ) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.mkdir()
    async with App(config_of(tmp_path), ONE_RECORDING) as app:
        assert said(app, f"recordings folder {b} does not exist")
        (first,) = await recorded(app)
        b.mkdir()
        await until(app, lambda: said(app, f"recordings folder {b} can be used again")
                    or app._session._wake.set())  # type: ignore[union-attr]
        assert (b / PRIVATE_NAME).is_dir()
        a.rename(tmp_path / "away")
        (second,) = await recorded(app)
        assert [r.name for r in await app.recordings()] == [second]
        (tmp_path / "away").rename(a)
        assert {r.name: r.path.parent for r in await app.recordings()} == {first: a, second: b}


async def test_without_the_first_the_box_works_in_the_next_and_is_found_there(tmp_path: Path
                                                                              ) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    b.mkdir()
    async with App(config_of(tmp_path), ONE_RECORDING) as app:
        assert (b / PRIVATE_NAME / "control.sock").exists()
        assert await find_owner(a, b) is not None
        (name,) = await recorded(app)
        shown = app.board.latest.storage.folders
        assert [(Path(one.path), one.in_use, bool(one.problem)) for one in shown] == [
            (a, False, True), (b, True, False)]
    assert [r.name for r in scan(b)] == [name]


async def test_no_two_share_any_of_the_folders(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
    async with App(config_of(tmp_path), ONE_RECORDING):
        for folders in (("c", "b"), ("b", "c")):
            with pytest.raises(LockedError, match=f"works on {tmp_path / 'b'}"):
                async with App(config_of(tmp_path, folders=folders), FOLDER_ONLY):
                    pass
    assert [path.name for path in (tmp_path / "c").iterdir()] == []


async def test_a_refused_start_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    nowhere = {"left": {"backend": "file", "options": {"path": str(tmp_path / "no.mp4")}}}
    async with App(config_of(tmp_path, folders=("a",), cameras=nowhere), ONE_RECORDING) as app:
        with pytest.raises(CameraError):
            await app.control.start()
    assert [path.name for path in (tmp_path / "a").iterdir()] == []
    async with App(config_of(tmp_path, folders=("a",)), ONE_RECORDING) as app:
        (name,) = await recorded(app)
    assert {path.name for path in (tmp_path / "a").iterdir()} == {name, PRIVATE_NAME}
    with pytest.raises(StoreError, match="does not exist"):
        async with App(config_of(tmp_path, folders=("none",)), ONE_RECORDING):
            pass


# -- recovery beside recording ---------------------------------------------------------------------


def interrupted(path: Path) -> None:
    """A store as a kill leaves it."""
    store = StoreWriter(path, FrameSpec((4, 5), "uint8", "MONO8", 25.0), chunksize=10,
                        user_metadata={}, timezone="UTC", created_epoch_ns=10**18)
    for number in range(3):
        store.append(np.full((4, 5), number, np.uint8), number, 10**18 + number, None)
    store.abandon()


class Held:
    """A durable hook that holds the worker of recovery until it may go on."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()

    def __call__(self, _step: str, _path: Path) -> None:
        if threading.current_thread().name == "recovery":
            self.may_go_on.wait(PATIENCE_S)


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    durable.set_hook(held)
    yield held
    held.may_go_on.set()
    durable.set_hook(None)


async def test_a_long_recovery_goes_on_beside_recording_and_jobs_wait(
        tmp_path: Path, held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "PATIENCE_S", 0.05)
    a, b = tmp_path / "a", tmp_path / "b"
    a.mkdir()
    b.mkdir()
    interrupted(a / "ants_20260101_120000")
    interrupted(b / "wasps_20260101_120000")
    async with App(config_of(tmp_path), DAEMON) as app:
        assert said(app, "2 interrupted recordings left to complete; recording does not wait")
        await until(app, lambda: app.board.latest.recovery)
        assert app.board.latest.recovery == "completing ants_20260101_120000 (1 of 2)"
        (name,) = await recorded(app)
        (job,) = await app.control.export([name])
        await until(app, lambda: app.control.jobs()[0].state is JobState.WAITING)
        assert app.control.jobs()[0].reason == "interrupted recordings are completed first"
        await app.control.cancel(job.id)
        held.may_go_on.set()
        await until(app, app._recovered.is_set)
        assert app.board.latest.recovery == ""
        assert said(app, "wasps_20260101_120000: recovered, 3 frames kept")
        assert {r.state for r in await app.recordings()} == {RecordingState.COMPLETE}


async def test_a_short_recovery_comes_before_recording(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    interrupted(tmp_path / "a" / "ants_20260101_120000")
    config = config_of(tmp_path, folders=("a",), record={"autostart": True})
    async with App(config, ONE_RECORDING) as app:
        texts = [event.text for event in app.events.latest()]
        recovered = next(n for n, text in enumerate(texts) if "recovered, 3 frames" in text)
        started = next(n for n, text in enumerate(texts) if text.startswith("recording recording_"))
        assert recovered < started


# -- real disks ------------------------------------------------------------------------------------


def command(*words: str) -> str:
    """Run it; what went wrong."""
    return subprocess.run(words, capture_output=True, text=True, check=False).stderr.strip()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
async def test_a_disk_that_fills_while_recording(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.mkdir()
    b.mkdir()
    problem = command("mount", "-t", "tmpfs", "-o", "size=384k", "none", str(a))
    if problem:
        pytest.skip(f"cannot mount here: {problem}")
    try:
        async with App(config_of(tmp_path), ONE_RECORDING) as app:
            await app.control.start("bees")
            await until(app, lambda: app.board.latest.recorders[0].folder == str(b))
            before = app.board.latest.recorders[0].frame_count
            await until(app, lambda: app.board.latest.recorders[0].frame_count > before + 20)
            names = await app.control.stop()
            app.publish()
            (status,) = app.board.latest.recorders
        parts = {path.name: path for folder in (a, b) for path in folder.iterdir()}
        assert {parts[name].parent for name in names} == {a, b}
        kept = [number for name in names for number in numbers(parts[name])]
        assert len(set(kept)) + status.lost + status.dropped == kept[-1] - kept[0] + 1
    finally:
        command("umount", str(a))
