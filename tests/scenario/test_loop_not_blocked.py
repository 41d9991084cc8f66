"""The event loop touches no file of a recording or of a copy (design: control, never pixels).

A whole box runs in a process of its own, because an audit hook cannot be removed again: two cameras
record, an older recording is copied meanwhile, another is exported, moved and deleted afterwards.
Every audited call (open, listdir, scandir, rename, remove, …), every durable step and every system
call that moves or syncs bytes is noted when the loop's thread makes it on a path of the recordings
or of the destination. Nothing is timed: one such call is one too many.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fieldrec.app import DAEMON, App
from fieldrec.config import Config
from fieldrec.control import Control
from fieldrec.core import durable
from fieldrec.core.folder import PRIVATE_NAME
from fieldrec.core.model import Job, JobState

from tests.fakes.small_stores import make_store

ROOT = Path(__file__).resolve().parents[2]
BY_DESCRIPTOR = ("writev", "write", "pwrite", "pwritev", "read", "pread", "preadv", "readv",
                 "fsync", "fdatasync", "fstat", "posix_fallocate", "posix_fadvise", "sendfile",
                 "copy_file_range", "ftruncate")
"""Calls of `os` that the interpreter does not audit."""
TWO_PATHS = ("os.rename", "os.link", "os.symlink", "shutil.move", "shutil.copyfile")
BY_PATH = ("stat", "lstat", "access", "statvfs", "readlink")


class Watch:
    """Notes what the thread that made it does to files below some folders."""

    def __init__(self, *folders: Path) -> None:
        self.found: list[str] = []
        self.elsewhere = 0
        """Durable steps by other threads: proof that the watch sees anything at all."""
        self._loop_thread = threading.get_ident()
        self._folders = [str(folder) for folder in folders]
        self._own_work = False

    def install(self) -> None:
        """For the rest of the process."""
        sys.addaudithook(self._audit)
        durable.set_hook(self._durable)
        for name in BY_DESCRIPTOR + BY_PATH:
            setattr(os, name, self._noting(name, getattr(os, name)))

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(("open", "os.", "shutil.", "fcntl.", "glob.", "pathlib.")):
            self._note(event, arguments[:2 if event in TWO_PATHS else 1])

    def _durable(self, step: str, path: Path) -> None:
        if threading.get_ident() != self._loop_thread:
            self.elsewhere += 1
        self._note(f"durable.{step}", (path,))

    def _noting(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*arguments: Any, **named: Any) -> Any:
            self._note(f"os.{name}", arguments[:1])
            return call(*arguments, **named)
        return noting

    def _note(self, what: str, arguments: tuple[Any, ...]) -> None:
        if threading.get_ident() != self._loop_thread or self._own_work:
            return
        self._own_work = True  # what is done here is not the loop's
        try:
            paths = [path for argument in arguments if (path := _path_of(argument)) is not None]
            self.found.extend(f"{what} {path}" for path in paths if self._is_watched(path))
        finally:
            self._own_work = False

    def _is_watched(self, path: str) -> bool:
        """Below a watched folder, or relative to some directory: the loop has none open."""
        if PRIVATE_NAME in path.split("/"):
            return False
        return not path.startswith("/") or any(
            path == folder or path.startswith(folder + "/") for folder in self._folders)


_readlink = os.readlink


def _path_of(argument: Any) -> str | None:
    if isinstance(argument, bytes):
        return os.fsdecode(argument)
    if isinstance(argument, str | os.PathLike):
        return os.fspath(argument)
    if isinstance(argument, int) and not isinstance(argument, bool) and argument > 2:
        try:
            target = _readlink(f"/proc/self/fd/{argument}")
        except OSError:
            return None
        return target if target.startswith("/") else None
    return None


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
    async with asyncio.timeout(60):
        while True:
            states = {job.id: job.state for job in app.control.jobs() if job.id in wanted}
            failed = [state for state in states.values()
                      if state.finished and state is not JobState.DONE]
            if failed:
                raise RuntimeError(f"{[job for job in app.control.jobs() if job.id in wanted]}")
            if set(states.values()) <= {JobState.DONE} and and_also():
                return
            version = (await app.board.wait_changed(version, None)).version


async def _life(config: Config, saboteur: Path | None) -> Watch:
    """Record and copy at the same time; then export, move, delete, and stop in order."""
    watch = Watch(config.storage.directory, config.destinations["copies"].path)
    watch.install()
    async with App(config, DAEMON) as app:
        control: Control = app.control
        copies = await control.copy(["older"], "copies")
        names = await control.start("guarded")
        await _finished(app, copies + await control.copy(["oldest"], "copies"),
                        lambda: all(r.frame_count > 45 for r in app.board.latest.recorders))
        if not app.board.latest.recording:
            raise RuntimeError("the copy was not made while recording")
        if saboteur is not None:
            saboteur.read_bytes()  # noqa: ASYNC240 - this is what must be seen
        await control.stop()
        await _finished(app, await control.export(names[:1]))
        await _finished(app, await control.move(names[:1], "copies"))
        await _finished(app, await control.delete(names[1:]))
    return watch


def _run(folder: Path, *sabotage: str) -> dict[str, Any]:
    """One life in a process of its own; what its watch saw."""
    (folder / "recordings").mkdir()
    (folder / "copies").mkdir()
    make_store(folder / "recordings", "older", frames=40, seed=1)
    make_store(folder / "recordings", "oldest", frames=40, seed=2)
    done = subprocess.run(
        [sys.executable, "-m", "tests.scenario.test_loop_not_blocked", str(folder), *sabotage],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return seen


@pytest.mark.slow
def test_the_loop_touches_no_file_of_a_recording_or_copy(tmp_path: Path) -> None:
    seen = _run(tmp_path)
    assert seen["found"] == []
    assert seen["elsewhere"] > 200  # the box did work, and the watch was there


@pytest.mark.slow
def test_the_watch_sees_one_read_on_the_loop(tmp_path: Path) -> None:
    frame = "recordings/older/000000/000000.npy"
    seen = _run(tmp_path, frame)
    assert f"open {tmp_path / frame}" in seen["found"]


def _main(folder: Path, *sabotage: str) -> None:
    saboteur = folder / sabotage[0] if sabotage else None
    watch = asyncio.run(_life(_config(folder), saboteur))
    print(json.dumps({"found": sorted(set(watch.found)), "elsewhere": watch.elsewhere}))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), *sys.argv[2:])
