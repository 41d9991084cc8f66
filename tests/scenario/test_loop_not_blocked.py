"""The event loop touches no file of a recording or of a copy (design: control, never pixels).

A whole box runs in a process of its own, under a watch (tests/fakes/loop_watch.py): two cameras
record, older recordings are copied meanwhile, another is exported, moved and deleted afterwards.
Every audited call (open, listdir, scandir, rename, remove, …), every durable step and every system
call that asks about files or moves or syncs bytes is noted when the loop's thread makes it on a
path of the recordings or of the destination. Nothing is timed: one such call is one too many.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fieldrec.app import DAEMON, App
from fieldrec.config import Config
from fieldrec.core import durable
from fieldrec.core.folder import PRIVATE_NAME
from fieldrec.core.model import Job, JobState
from tests.fakes.folder_config import path_of
from tests.fakes.loop_watch import LoopWatch
from tests.fakes.small_stores import make_store
from tests.fakes.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
CHILD = """
import sys
from tests.fakes import loop_watch
watch = loop_watch.install()
from tests.scenario import test_loop_not_blocked
test_loop_not_blocked.live(watch, *sys.argv[1:])
"""


def _config(folder: Path) -> Config:
    def camera(seed: int) -> dict[str, Any]:
        return {"backend": "synthetic",
                "options": {"width": 320, "height": 240, "hz": 60, "seed": seed}}
    return Config.model_validate({
        "storage": {"directory": folder / "recordings", "stop_percent": 100, "reserve_bytes": 0},
        "store": {"chunksize": 20, "durability_s": 0.2},
        "cameras": {"a": camera(1), "b": camera(2)},
        "export": {"automatic": False, "allow_battery": True},
        "destinations": {"copies": {"path": folder / "copies"}},
        "drives": {"enabled": False}, "power": {"source": "mains"}})


async def _finished(app: App, jobs: list[Job], and_also: Callable[[], bool] = lambda: True) -> None:
    """Until all of `jobs` are DONE and the condition holds."""
    version = -1
    wanted = {job.id for job in jobs}
    async with asyncio.timeout(PATIENCE_S):
        while True:
            now = [job for job in app.control.jobs() if job.id in wanted]
            if any(job.state.finished and job.state is not JobState.DONE for job in now):
                raise RuntimeError(f"not done: {now}")
            if all(job.state is JobState.DONE for job in now) and and_also():
                return
            version = (await app.board.wait_changed(version, None)).version


async def _life(config: Config, sabotage: Path | None) -> None:
    """Record and copy at the same time; then export, move, delete, and stop in order."""
    async with App(config, DAEMON) as app:
        control = app.control
        copies = await control.copy(["older"], "copies")
        names = await control.start("guarded")
        copies += await control.copy(["oldest"], "copies")
        await _finished(app, copies,
                        lambda: all(r.frame_count > 45 for r in app.board.latest.recorders))
        if not app.board.latest.recording:
            raise RuntimeError("the copies were not made while recording")
        if sabotage is not None:
            sabotage.read_bytes()  # noqa: ASYNC240 - this is what must be seen
        await control.stop()
        await _finished(app, await control.export(names[:1]))
        await _finished(app, await control.move(names[:1], "copies"))
        await _finished(app, await control.delete(names[1:]))


def live(watch: LoopWatch, folder: str, sabotage: str = "") -> None:
    """In the child: a life under the watch, then a line of JSON with what was seen."""
    config = _config(Path(folder))
    durable.set_hook(lambda step, path: watch.note(f"durable.{step}", (path,)))
    watch.watch([config.storage.directory, path_of(config, "copies")], but=PRIVATE_NAME)
    asyncio.run(_life(config, Path(sabotage) if sabotage else None))
    print(json.dumps({"found": sorted(set(watch.found)), "elsewhere": watch.elsewhere}))


def _run(folder: Path, sabotage: str = "") -> dict[str, Any]:
    """One life in a process of its own; what its watch saw."""
    (folder / "recordings").mkdir()
    (folder / "copies").mkdir()
    make_store(folder / "recordings", "older", frames=40, seed=1)
    make_store(folder / "recordings", "oldest", frames=40, seed=2)
    done = subprocess.run([sys.executable, "-c", CHILD, str(folder), sabotage],
                          cwd=ROOT, capture_output=True, text=True, check=False,
                          timeout=5 * PATIENCE_S)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


@pytest.mark.slow
def test_the_loop_touches_no_file_of_a_recording_or_copy(tmp_path: Path) -> None:
    seen = _run(tmp_path)
    assert seen["found"] == []
    assert seen["elsewhere"] > 1000  # the box did work, and the watch was there


@pytest.mark.slow
def test_one_read_on_the_loop_is_seen(tmp_path: Path) -> None:
    frame = tmp_path / "recordings/older/000000/000000.npy"
    assert f"open {frame}" in _run(tmp_path, str(frame))["found"]
