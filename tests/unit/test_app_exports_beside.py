"""Exports beside a recording, in a whole box with a real encoder: stopped before the first frame,
or throttled; and a policy that deletes raw, over a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fieldrec.app import DAEMON, App, beside
from fieldrec.catalogue.scan import scan
from fieldrec.core.errors import NotFoundError
from fieldrec.core.model import JobKind, JobState
from fieldrec.export.encoder import Encoder
from fieldrec.jobs import runner
from fieldrec.record.asked import AS_CONFIGURED, Asked
from tests.fakes.export_content import moving, write_store
from tests.unit.test_app_folders import config_of

pytestmark = pytest.mark.asyncio


def has_stopped(pid: int) -> bool:
    """Whether every thread of a child is stopped, by the kernel's word for each of them."""
    return {(thread / "stat").read_text().rpartition(")")[2].split()[0]
            for thread in Path(f"/proc/{pid}/task").iterdir()} == {"T"}


async def until(app: App, condition: Callable[[], Any]) -> None:
    """For as long as the test may take: encoders get only the time that nobody else wants."""
    version = -2
    while not condition():
        version = (await app.board.wait_changed(version, 0.1)).version


@asynccontextmanager
async def encoding(tmp_path: Path, **export: Any) -> AsyncIterator[tuple[App, Encoder]]:
    """A box whose encoder has begun, and waits in the midst of it to be resumed by the test."""
    recordings = tmp_path / "a"
    recordings.mkdir()
    write_store(recordings / "old", moving(60))
    config = config_of(tmp_path, folders=("a",), export={
        "automatic": False, **export, "presets": {"slow": {"speed": "medium"}}})
    async with App(config, DAEMON) as app:
        await app.control.export(["old"], "slow")
        await until(app, lambda: encoder_of(app) is not None)
        encoder = encoder_of(app)
        assert encoder is not None
        told = encoder._on_progress

        def pause_at_first(phase: str, done: int, total: int) -> None:
            encoder._on_progress = told
            encoder.pause()
            told(phase, done, total)

        encoder._on_progress = pause_at_first
        await until(app, lambda: encoder.paused)
        assert encoder.progress.phase == "encoding"
        yield app, encoder


def encoder_of(app: App) -> Encoder | None:
    exports = [one for one in app._runner._running.values() if one.kind is JobKind.EXPORT]
    found = exports[0].held._encoder if exports else None
    return found if isinstance(found, Encoder) else None


async def test_the_encoder_has_stopped_before_the_first_frame(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Idle threads of a busy machine take the signal when it is their turn.
    monkeypatch.setattr(runner, "HOLD_S", 30.0)
    async with encoding(tmp_path) as (app, encoder):
        assert encoder.pid is not None
        encoder.resume()
        assert not has_stopped(encoder.pid)
        seen: list[tuple[bool, int]] = []
        assert app._session is not None
        start = app._session.start

        async def look_then_start(asked: Asked = AS_CONFIGURED) -> list[str]:
            assert encoder.pid is not None
            seen.append((has_stopped(encoder.pid), app.clock.epoch_ns()))
            return await start(asked)

        app._session.start = look_then_start  # type: ignore[method-assign]
        await app.control.start("bees")
        ((stopped, at_ns),) = seen
        assert stopped
        await until(app, lambda: app.board.latest.recorders[0].first_frame_ns is not None)
        first_ns = app.board.latest.recorders[0].first_frame_ns
        assert first_ns is not None
        assert first_ns > at_ns
        await until(app, lambda: app.control.jobs()[0].state is JobState.WAITING)
        assert "recording since" in app.control.jobs()[0].reason
        assert has_stopped(encoder.pid)
        await until(app, lambda: app.board.latest.recorders[0].frame_count >= 3)
        assert has_stopped(encoder.pid)
        (name,) = await app.control.stop()
        await until(app, lambda: app.control.jobs()[0].state is JobState.DONE)
        found = {recording.name: recording for recording in scan(tmp_path / "a")}
        assert found[name].lost == 0
        assert [export.preset for export in found["old"].exports] == ["slow"]


async def test_a_start_that_fails_lets_the_export_go_on(tmp_path: Path) -> None:
    async with encoding(tmp_path) as (app, encoder):
        encoder.resume()
        with pytest.raises(NotFoundError, match="nosuch"):
            await app.control.start("bees", cameras=["nosuch"])
        await until(app, lambda: app.control.jobs()[0].state is JobState.DONE)
        assert not encoder.paused


async def test_throttled_it_goes_on_beside_the_recording_and_no_frame_is_lost(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "CALM_S", 0.0)
    async with encoding(tmp_path, while_recording="throttled", throttle_share=0.6
                        ) as (app, encoder):
        done = encoder.progress.done
        encoder.resume()
        await app.control.start("bees")
        await until(app, lambda: encoder._share == 0.6 and not encoder.paused)
        await until(app, lambda: encoder.progress.phase != "encoding"
                    or encoder.progress.done > done)
        assert app._session is not None
        assert app._session.recording
        (name,) = await app.control.stop()
        await until(app, lambda: app.control.jobs()[0].state is JobState.DONE)
        assert next(r.lost for r in scan(tmp_path / "a") if r.name == name) == 0


@pytest.mark.parametrize("raw", ["delete_verified", "delete_when_offloaded"])
async def test_the_policy_deletes_raw_also_what_was_exported_before_a_restart(
        tmp_path: Path, raw: str) -> None:
    recordings, usb = tmp_path / "a", tmp_path / "usb"
    for folder in (recordings, usb):
        folder.mkdir()
    write_store(recordings / "bees", moving(12))
    export = {"automatic": True, "preset": "lq"}
    destinations = {"usb": {"path": usb, "automatic": raw == "delete_when_offloaded"}}
    keeping = config_of(tmp_path, folders=("a",), export=export)
    async with App(keeping, DAEMON) as app:
        await until(app, lambda: [j.state for j in app.control.jobs()] == [JobState.DONE])
    assert scan(recordings)[0].has_raw
    for file in (recordings / ".fieldrec").glob("jobs.sqlite*"):
        file.unlink()
    deleting = config_of(tmp_path, folders=("a",), export=export | {"raw": raw},
                         destinations=destinations)
    async with App(deleting, DAEMON) as app:
        await until(app, lambda: not (recordings / "bees").exists()
                    and all(job.state is JobState.DONE for job in app.control.jobs()))
        kinds = [job.kind.value for job in app.control.jobs()]
        assert kinds == (["delete-raw"] if raw == "delete_verified" else ["delete-raw", "copy"])
        assert any("raw deleted" in event.text and "freed" in event.text
                   for event in app.events.latest())
    (left,) = scan(recordings)
    assert (left.has_raw, [e.preset for e in left.exports]) == (False, ["Low"])


async def test_an_export_goes_on_when_the_session_ends_later_than_its_cameras(tmp_path: Path
                                                                              ) -> None:
    async with encoding(tmp_path) as (app, _):
        await app.control.start("bees")
        await until(app, lambda: app.control.jobs()[0].state is JobState.WAITING)
        assert app._session is not None
        recorder = app._session._recorders["left"]
        stop = recorder.stop

        async def stop_and_be_seen(reason: str) -> None:
            await stop(reason)
            app.publish()
            for _ in range(50):  # whoever was woken by that has decided
                await asyncio.sleep(0)

        recorder.stop = stop_and_be_seen  # type: ignore[method-assign,assignment]
        await app.control.stop()
        await until(app, lambda: app.control.jobs()[0].state is JobState.DONE)
