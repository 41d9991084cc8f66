"""Cuts a life at each of its durable steps and checks what is left.

`python -m tests.crash.sweep LIFE MODE FOLDER [TURN FIRST STRIDE]` prints one JSON line per point;
the tests beside it run it. Without the three numbers every step is one. With them a step of each
kind is: a life does the same with each of its frames and files (:func:`kind_of`), which of them is
cut goes by TURN, and of these points each STRIDE-th is taken, from FIRST on. LIFE is `recording`
(life.py), `offload` (offload_life.py) or a format (store_life.py). Modes: `kill` (the process ends
at the step), `ENOSPC` and `EIO` (the step fails once), `power` (FOLDER is on an ext4 of its own,
DEVICE at MOUNT_POINT in the environment; the file system is cut off without flushing its log at the
step, mounted again, then checked). Each life runs in a forked child of this one, which never starts
a thread.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fieldrec.core import durable
from fieldrec.core.errors import FieldrecError
from tests.crash import life
from tests.crash.offload_life import OffloadLife
from tests.crash.store_life import StoreLife

FS_IOC_GOINGDOWN = 0x8004587D
NO_LOG_FLUSH = 2
CUT = 77
"""Exit code of a child that was cut."""
FAILED = 78
_NUMBER = re.compile(r"\d+")


class Life(Protocol):
    """What is cut. `told` hears "+" for each frame appended, "." for each known to be durable and
    "e" for each record of extra data that is: promises that the checks hold us to."""

    def live(self, root: Path, told: int) -> None:
        """All that is left to do of it."""
        ...

    def unrecovered(self, root: Path, promised: int) -> list[str]:
        """What is wrong with what a kill or a power cut left."""
        ...

    def recover_all(self, root: Path) -> None:
        """What comes before anything else."""
        ...

    def violations(self, root: Path, frames: int, extra: int) -> tuple[int, list[str]]:
        """After the recovery: frames that are there, and what is wrong."""
        ...

    def unfinished(self, root: Path) -> list[str]:
        """After a second try that nothing stood in the way of."""
        ...


def child(work: Callable[[], None]) -> int:
    """Run `work` in a fork; its exit code."""
    pid = os.fork()
    if pid == 0:
        code = FAILED
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - a fork must not run the parent's clean-up
            traceback.print_exc()
        finally:
            os._exit(code)
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except BaseException:  # broken off: nobody may go on with what is taken away now
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


@dataclass(frozen=True, slots=True)
class Point:
    """A step of a life: the so-and-so-many-th of its kind, from 1."""

    kind: str
    number: int


def kind_of(step: str, path: Path, root: Path) -> str:
    """What is done and to which file: numbers in names make no difference."""
    return f"{step} {_NUMBER.sub('#', os.path.relpath(path, root))}"


def every_step(life: Life, root: Path) -> list[Point]:
    """All that there are, in their order, in a life that nothing happens to."""
    told, report = os.pipe(), os.pipe()

    def note(step: str, path: Path) -> None:
        os.write(report[1], f"{kind_of(step, path, root)}\n".encode())

    def live() -> None:
        durable.set_hook(note)
        life.live(root, told[1])

    code = child(live)
    os.close(told[1])
    os.close(report[1])
    drain(told[0])
    if code != 0:
        raise SystemExit(f"a life that nothing happens to ended with {code}")
    seen: dict[str, int] = {}
    points = []
    for kind in drain(report[0]).decode().splitlines():
        seen[kind] = seen.get(kind, 0) + 1
        points.append(Point(kind, seen[kind]))
    return points


def one_of_each(points: list[Point], turn: int) -> list[Point]:
    """One step of each kind: by turns an early or a late one."""
    count = {point.kind: point.number for point in points}
    return [Point(kind, (turn + order) % count[kind] + 1) for order, kind in enumerate(count)]


class Cutter:
    """The hook: at one step does what its mode says."""

    def __init__(self, mode: str, point: Point, root: Path) -> None:
        self.mode, self.point, self.root = mode, point, root
        self.seen = 0
        self.where = ""

    def __call__(self, step: str, path: Path) -> None:
        self.seen += kind_of(step, path, self.root) == self.point.kind
        if self.where or self.seen != self.point.number:
            return
        self.where = f"{step} {path.name}"
        if self.mode == "kill":
            os._exit(CUT)
        if self.mode == "power":
            descriptor = os.open(self.root, os.O_RDONLY)
            fcntl.ioctl(descriptor, FS_IOC_GOINGDOWN, struct.pack("I", NO_LOG_FLUSH))
            os._exit(CUT)
        raise OSError(getattr(errno, self.mode), os.strerror(getattr(errno, self.mode)))


def first_life(life: Life, mode: str, point: Point, root: Path, told: int, report: int) -> None:
    cutter = Cutter(mode, point, root)
    durable.set_hook(cutter)
    try:
        life.live(root, told)
    except (FieldrecError, OSError) as error:
        if not cutter.where:
            raise
        os.write(report, f"{cutter.where}: {error}".encode()[:500])
        os._exit(CUT)
    if cutter.where:  # the step failed and was made good at once
        os.write(report, f"{cutter.where}: went on".encode()[:500])
        os._exit(CUT)


def second_life(life: Life, mode: str, root: Path, heard: bytes, told: int, report: int) -> None:
    frames, extra = heard.count(b"."), heard.count(b"e")
    wrong = life.unrecovered(root, frames) if mode in ("kill", "power") else []
    life.recover_all(root)
    kept, more = life.violations(root, frames, extra)
    life.live(root, told)
    wrong += [*more, *life.unfinished(root)]
    found = {"kept": kept, "wrong": [text[:300] for text in wrong[:9]]}
    os.write(report, json.dumps(found).encode())


def cut_at(life: Life, mode: str, point: Point, root: Path) -> dict[str, object]:
    """One point of the sweep."""
    told, report = os.pipe(), os.pipe()
    code = child(lambda: first_life(life, mode, point, root, told[1], report[1]))
    os.close(told[1])
    os.close(report[1])
    heard = drain(told[0])
    note = drain(report[0]).decode()
    if mode == "power" and code == CUT:
        remount(root)
    told, report = os.pipe(), os.pipe()
    again = child(lambda: second_life(life, mode, root, heard, told[1], report[1]))
    os.close(told[1])
    os.close(report[1])
    drain(told[0])
    text = drain(report[0]).decode()
    found: dict[str, Any] = json.loads(text) if text else {"kept": 0, "wrong": []}
    wrong = found["wrong"]
    if code != CUT:
        wrong.append(f"first life ended with {code}")
    if again != 0:
        wrong.append(f"second life ended with {again}")
    return {"point": f"{point.kind}, {point.number}", "note": note, "kept": found["kept"],
            "appended": heard.count(b"+"), "promised": heard.count(b"."),
            "extra": heard.count(b"e"), "wrong": wrong}


def drain(descriptor: int) -> bytes:
    text = b""
    while piece := os.read(descriptor, 65536):
        text += piece
    os.close(descriptor)
    return text


def remount(root: Path) -> None:
    """Power is back: what the log of the file system has is there, what it has not is gone."""
    mount_point = Path(os.environ["MOUNT_POINT"])
    subprocess.run(["umount", str(mount_point)], check=True)
    subprocess.run(["mount", os.environ["DEVICE"], str(mount_point)], check=True)
    root.mkdir(exist_ok=True)


def life_of(name: str) -> Life:
    if name == "recording":
        return life
    if name == "offload":
        return OffloadLife()
    import fieldrec.store.video.chunk
    import fieldrec.store.video.frames
    import fieldrec.store.video.repair  # noqa: F401 - here, once, and not in every fork

    return StoreLife(name)


@contextlib.contextmanager
def room(folder: Path, name: str) -> Iterator[Path]:
    """A folder for one life."""
    root = folder / name
    root.mkdir()
    try:
        yield root
    finally:
        shutil.rmtree(root)


def main() -> None:
    cut_life, mode, folder = life_of(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    with room(folder, "whole") as root:
        steps = every_step(cut_life, root)
    points = steps
    if len(sys.argv) > 4:
        turn, first, stride = (int(word) for word in sys.argv[4:7])
        points = one_of_each(steps, turn)[first::stride]
    for number, point in enumerate(points):
        with room(folder, f"life{number}") as root:
            print(json.dumps(cut_at(cut_life, mode, point, root)), flush=True)
    print(json.dumps({"steps": len(steps)}), flush=True)


if __name__ == "__main__":
    main()
