"""How late the event loop is: a task that wants to wake every 10 ms, and what else happens.

Three cases: the loop alone; the loop of a fieldrec that records two cameras and copies an older
recording again and again; and the loop alone while another process does the same. The last is the
control: what is as late there is the machine's scheduler, not fieldrec's loop.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import processes
import table

from fieldrec.app import DAEMON, App
from fieldrec.config import Config
from fieldrec.core.model import FrameSpec, Job
from fieldrec.store.api.new_store import recording_metadata
from fieldrec.store.writer import StoreWriter

TICK_S = 0.01
SPEC = FrameSpec((1024, 1280), "uint8", "MONO8", 30.0)
OLDER_FRAMES = 150


def measure(folder: Path, quick: bool, repetitions: int) -> None:
    """Children do the work; every repetition gets folders of its own."""
    seconds = 5 if quick else 15
    older = folder / "older"
    make_recording(older)

    def place(name: str) -> Path:
        made = folder / name
        (made / "recordings").mkdir(parents=True)
        linked(older, made / "recordings" / "older")
        return made

    results = table.interleaved({
        "loop alone": lambda _: table.child("lag", "alone", seconds),
        "loop of a busy fieldrec":
            lambda n: table.child("lag", "busy", seconds, place(f"busy-{n}")),
        "loop beside a busy fieldrec": lambda n: beside(seconds, place(f"beside-{n}")),
    }, repetitions)
    table.show(f"lag of a {TICK_S * 1000:.0f} ms heartbeat over {seconds} s: 2 x 1280x1024 at "
               "30 Hz recorded, copies running", results, ratios=("p50 ms", "p99 ms", "max ms"))


def make_recording(path: Path) -> None:
    """Something to copy: 200 MB."""
    writer = StoreWriter(path, SPEC, chunksize=200, timezone="UTC",
                         created_epoch_ns=1_700_000_000_000_000_000,
                         user_metadata=recording_metadata({}, SPEC, "UTC"))
    random = np.random.default_rng(1)
    for number in range(OLDER_FRAMES):
        pixels = random.integers(0, 256, SPEC.shape, np.uint8)
        writer.append(pixels, number, number * 33_000_000, None)
    writer.close()


def linked(source: Path, target: Path) -> None:
    """The same recording elsewhere: copies only read it."""
    for path in sorted(source.rglob("*")):
        there = target / path.relative_to(source)
        there.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            os.link(path, there)


async def heartbeat(seconds: float) -> list[float]:
    """Milliseconds by which each wake-up was late."""
    loop = asyncio.get_running_loop()
    late = []
    end = loop.time() + seconds
    while (now := loop.time()) < end:
        await asyncio.sleep(TICK_S)
        late.append((loop.time() - now - TICK_S) * 1000)
    return late


def figures(late: list[float], frames: int = 0, lost: int = 0, copied: int = 0) -> table.Figures:
    """What a table shows."""
    p50, p99 = np.percentile(late, [50, 99])
    return {"p50 ms": float(p50), "p99 ms": float(p99), "max ms": max(late), "frames": frames,
            "lost": lost, "copied MB": copied / 1e6}


def beside(seconds: int, place: Path) -> table.Figures:
    """The heartbeat in one process, the busy fieldrec in another; figures of both."""
    with processes.started(sys.executable, __file__, "busy", seconds + 2, place,
                           stdout=subprocess.PIPE) as busy:
        if busy.stdout is None:
            raise RuntimeError("no output")
        busy.stdout.readline()  # it records
        found = table.child("lag", "alone", seconds)
        last = busy.stdout.readlines()[-1]
    load = table.parse(last)
    return {**found, **{key: load[key] for key in ("frames", "lost", "copied MB")}}


async def busy(seconds: float, place: Path) -> table.Figures:
    """Record two cameras and copy without a pause; the heartbeat runs in the same loop."""
    camera = {"backend": "synthetic", "options": {"width": 1280, "height": 1024, "hz": 30}}
    config = Config.model_validate({
        "storage": {"directory": place / "recordings"},
        "cameras": {"a": camera, "b": {**camera, "serial": "b"}},
        "export": {"automatic": False}, "drives": {"enabled": False}, "power": {"source": "mains"}})
    async with App(config, DAEMON) as app:
        await app.control.start("busy")
        copying = asyncio.create_task(copy_for_ever(app, place))
        print("recording", flush=True)
        late = await heartbeat(seconds)
        copying.cancel()
        status = app.board.latest.recorders
        copied = sum(job.done_bytes for job in app.control.jobs())
        await app.control.stop()
    return figures(late, sum(r.frame_count for r in status), sum(r.lost for r in status), copied)


async def copy_for_ever(app: App, place: Path) -> None:
    """One copy after the other, each into a fresh folder."""
    number = 0
    while True:
        number += 1
        target = place / f"copies-{number}"
        target.mkdir()
        job, = await app.control.copy(["older"], str(target))
        await done(app, job)


async def done(app: App, job: Job) -> None:
    """Until the job has ended."""
    version = -1
    while not next(j for j in app.control.jobs() if j.id == job.id).state.finished:
        version = (await app.board.wait_changed(version, 1.0)).version


def main(case: str, seconds: float, place: str = "") -> table.Figures:
    """One repetition of one case, in this process."""
    time.sleep(0.2)  # what starting up left to do
    if case == "alone":
        return figures(asyncio.run(heartbeat(seconds)))
    return asyncio.run(busy(seconds, Path(place)))


if __name__ == "__main__":
    table.answer(main(sys.argv[1], float(sys.argv[2]), *sys.argv[3:]))
