"""Shared fixtures; every test fails that leaves a thread, a file descriptor, a mount or a task.

No test can switch the machine off or put it to sleep: the commands for that are replaced, first in
PATH, for this process and all that it starts (:func:`machine_commands`)."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from fieldrec.core import durable
from fieldrec.core.mountinfo import MOUNTINFO, read_mounts
from tests.crash.running import quick_folder
from tests.fakes.loop_devices import attached_from
from tests.fakes.waiting import wait_until


# Done before and after each of thousands of tests: by os, for pathlib takes twice as long.
def _descriptors() -> dict[str, str]:
    found = {}
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except OSError:
            continue
        if not target.startswith(("anon_inode:", "pipe:", "/proc/", "/dev/null", "/dev/pts/ptmx")):
            found[number] = target
    return found


@functools.lru_cache(maxsize=1)
def _mounts(ours: str, table: bytes) -> frozenset[str]:
    """Mount points in this run's temporary folder: other people's drives, and those of tests that
    run beside us, come and go. Between most tests the table stays as it is."""
    return frozenset(str(mount.mount_point)
                     for mount in read_mounts(table.decode("utf-8", "surrogateescape"))
                     if mount.mount_point.is_relative_to(ours))


LET_GO_S = 20.0
MACHINE_COMMANDS = ("systemctl", "poweroff", "shutdown", "halt", "reboot", "rtcwake", "pm-suspend")


@pytest.fixture(scope="session", autouse=True)
def machine_commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file in which each command that would have switched the machine off, or put it to sleep,
    leaves a line; nothing else happens."""
    folder = tmp_path_factory.mktemp("machine-commands")
    told = folder / "told"
    told.touch()
    for name in MACHINE_COMMANDS:
        program = folder / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> "{told}"\n')
        program.chmod(0o755)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{folder}:{before}"
    yield told
    os.environ["PATH"] = before


@pytest.fixture(autouse=True)
def nobody_switches_off(machine_commands: Path) -> Iterator[None]:
    """Fail the test in which somebody would have; one that means to reads the file and empties
    it."""
    yield
    if told := machine_commands.read_text():
        machine_commands.write_text("")
        pytest.fail(f"the machine would have been switched off or sent to sleep: {told}")


@pytest.fixture(autouse=True)
def no_leftovers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fail the test that leaves a thread, descriptor, mount, loop device or durable hook."""
    before = _held(str(tmp_path_factory.getbasetemp()))
    yield
    hook_left = durable._hook is not None
    durable.set_hook(None)
    left = _left(before, tmp_path_factory)
    if left:  # what only waits for the collector is not left; collecting each time costs minutes
        gc.collect()
        left = _let_go(before, tmp_path_factory)
    if hook_left:
        left["durable hook"] = ["set"]
    if left:
        pytest.fail(f"left behind: {left}")


@dataclass(frozen=True)
class _Held:
    """What this process, and this run, hold at one moment."""

    threads: frozenset[threading.Thread]
    descriptors: dict[str, str]
    mounts: frozenset[str]
    loops: frozenset[str]


def _held(ours: str) -> _Held:
    return _Held(frozenset(threading.enumerate()), _descriptors(),
                 _mounts(ours, MOUNTINFO.read_bytes()), frozenset(attached_from(Path(ours))))


def _left(before: _Held, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What is held now and was not before, by kind."""
    now = _held(str(tmp_path_factory.getbasetemp()))
    left = {
        "threads": [t.name for t in now.threads - before.threads if t.is_alive()],
        "descriptors": [f"{number} -> {target}" for number, target in now.descriptors.items()
                        if before.descriptors.get(number) != target],
        "mounts": sorted(now.mounts - before.mounts),
        "loop devices": sorted(now.loops - before.loops),
    }
    return {kind: items for kind, items in left.items() if items}


def _let_go(before: _Held, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What is left once the kernel has let go of loop devices: it keeps one that was unmounted
    (mount -o loop) until others, as udevd, have closed it."""
    with contextlib.suppress(AssertionError):
        wait_until(lambda: "loop devices" not in _left(before, tmp_path_factory), LET_GO_S, "")
    return _left(before, tmp_path_factory)


@pytest.fixture
def memory_path(tmp_path: Path) -> Iterator[Path]:
    """As tmp_path, in memory where there is some: for what is killed at each step, which does not
    depend on the medium and would wait for a disk most of the time."""
    with quick_folder(tmp_path) as folder:
        yield folder


@pytest.fixture(scope="session", autouse=True)
def asyncio_debug() -> Iterator[None]:
    """Slow callbacks and un-awaited coroutines are reported in every test."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONASYNCIODEBUG", "1")
        yield


@pytest_asyncio.fixture
async def _tasks_ended() -> AsyncIterator[None]:
    yield
    await asyncio.sleep(0)
    others = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
    if others:
        pytest.fail(f"tasks left behind: {others}")


@pytest.fixture(autouse=True)
def no_tasks_left(request: pytest.FixtureRequest) -> None:
    """Fail the async test that leaves a task behind; costs sync tests nothing."""
    if request.node.get_closest_marker("asyncio") is not None:
        request.getfixturevalue("_tasks_ended")
