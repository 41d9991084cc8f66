"""Drives pulled out, and recorders that lose their power, at random moments of copies, moves and
exports to a drive; and what is left of the recordings.

`python -m tests.crash.pulls --pulls 200 --cuts 100 --seed 1` prints a table, and each violation
above it; `--json` a line for each life instead. `--even` is for a few lives: each is struck in the
phase that was struck least so far, at a durable step, so that they reach many phases however fast
the machine is.

Every life is a job (the real queue, runner and export process, in a fork) onto a drive of its own
that has an earlier copy on it. It is struck at one moment, drawn from those that an undisturbed
life of its kind has: at an I/O of the device, at a durable step or shortly after one, or at any
time. A pull leaves the box running: the drive is put in again, as the moment left it, and the job
goes on by itself. A cut ends the process and cuts off the recordings' file system and the drive's;
both are mounted again, and a second process does what the daemon does at its start. I4 and I5 are
judged on what is left, and at the end. This process never starts a thread.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fieldrec.export.making  # noqa: F401 - here, once, and not in every fork
from fieldrec.app.recovery import recover_folder
from fieldrec.catalogue.scan import scan
from fieldrec.core import durable
from fieldrec.core.model import JobKind
from fieldrec.destinations.drive import DriveDestination
from fieldrec.jobs import transfer
from tests.crash import whole
from tests.crash.pull_life import PHASES, Moment, Told, live
from tests.crash.running import MEMORY
from tests.crash.whole import Original
from tests.fakes.export_content import moving, write_store
from tests.fakes.loop_devices import LoopDisk, loop_disk
from tests.fakes.small_stores import make_export, make_store
from tests.fakes.stick import Stick, missing, stick

STICK_BYTES = 12 << 20
DISK_BYTES = 24 << 20
KINDS = ("copy", "move", "export")
SYSTEMS = ("ext4", "ext4", "exfat")
"""How often which."""
WAYS = {"ext4": ("device", "shrink", "down"), "exfat": ("device", "shrink")}
FRAMES, EXPORT_BYTES = 60, 150_000
NOTICE_S = 0.02
"""The word that a drive went comes so much later, at most."""
NOT_IDLE = "import os\nos.nice = lambda _: 0\nos.sched_setscheduler = lambda *_: None\n"
"""For the export process: beside others' work it would take for ever."""
LONGEST_DELAY_S = 0.002


@dataclass(slots=True)
class Life:
    """What was done, and what came of it."""

    number: int
    kind: str
    file_system: str
    way: str
    phase: str = ""
    waited: bool = False
    state: str = ""
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Scene:
    """All that a life needs, used again by the next."""

    recordings: Path
    masters: Path
    sticks: dict[str, Stick]
    disk: LoopDisk | None
    """Of the recordings, where it is to be cut off."""
    usual: dict[tuple[str, str], Told]
    """An undisturbed life of each kind: what there is to be struck."""
    even: Counter[str] | None
    """How often a phase was chosen, where none is to be chosen more often than another."""


# -- what there is ---------------------------------------------------------------------------------

def make_masters(folder: Path) -> None:
    """A recording with an export, one to export, and one that was copied long ago."""
    folder.mkdir()
    make_export(folder, "bees", make_store(folder, "bees", FRAMES), FRAMES, EXPORT_BYTES)
    make_store(folder, "ants", 8, seed=5)
    write_store(folder / "moths", moving(12))


def copy_ants(masters: Path) -> Callable[[Path, Path], object]:
    def put(mount_point: Path, device: Path) -> None:
        ants = next(found for found in scan(masters) if found.name == "ants")
        place = DriveDestination("earlier", mount_point, "fieldrec", device=device,
                                 gone=lambda: False)
        with closing(place):
            transfer.transfer(ants, place, stop=threading.Event())
    return put


ITEMS = {"copy": ("bees", "bees.high.mp4"), "move": ("bees", "bees.high.mp4"),
         "export": ("moths",)}
JOBS: dict[str, dict[str, Any]] = {
    "copy": {"kind": JobKind.COPY, "name": "bees"},
    "move": {"kind": JobKind.MOVE, "name": "bees"},
    "export": {"kind": JobKind.EXPORT, "name": "moths", "preset": "Low", "delete_source": True}}
STANDS_FOR = {"moths": "moths.low.mp4"}


def job_of(scene: Scene, kind: str) -> dict[str, Any]:
    """What is asked for, with the recording's uuid, which it has even when it is gone."""
    asked = JOBS[kind]
    found = next(found for found in scan(scene.masters) if found.name == asked["name"])
    return {**asked, "uuid": found.uuid}


# -- one life --------------------------------------------------------------------------------------

def lay_out(scene: Scene, file_system: str) -> Stick:
    """Recordings and drive as they are before every life."""
    for path in scene.recordings.iterdir() if scene.recordings.exists() else []:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    scene.recordings.mkdir(exist_ok=True)
    for path in scene.masters.iterdir():
        if path.is_dir():
            shutil.copytree(path, scene.recordings / path.name)
        else:
            shutil.copy2(path, scene.recordings)
    durable.write_back(scene.recordings)
    drive = scene.sticks[file_system]
    drive.reset()
    drive.put_in()
    return drive


def draw(dice: random.Random, scene: Scene, kind: str, file_system: str, way: str) -> Moment:
    """A moment of such a life; phases that take a short time come as often as the long ones."""
    usual = scene.usual[kind, file_system]
    if scene.even is not None:
        return least_struck(scene.even, usual, way)
    if way == "device" and dice.random() < 0.4:
        return Moment(way, operation=dice.randint(1, usual.operations))
    phase = dice.choice(sorted({*usual.phase_s, *usual.steps}))
    steps = [number for number, its in enumerate(usual.steps, 1) if its == phase]
    if steps and (phase not in usual.phase_s or dice.random() < 0.6):
        delay_s = dice.uniform(0, LONGEST_DELAY_S) if dice.random() < 0.5 else 0.0
        return Moment(way, step=dice.choice(steps), delay_s=delay_s)
    return Moment(way, phase=phase, delay_s=dice.uniform(0, usual.phase_s[phase]))


def least_struck(struck: Counter[str], usual: Told, way: str) -> Moment:
    """In the middle of the phase that was chosen least."""
    phase = min(sorted(set(usual.steps)), key=lambda one: struck[one])
    struck[phase] += 1
    steps = [number for number, its in enumerate(usual.steps, 1) if its == phase]
    return Moment(way, step=steps[len(steps) // 2])


def pulled(scene: Scene, life: Life, moment: Moment | None, notice_s: float) -> Told:
    """A life that goes on in the same process after the drive was pulled out."""
    drive = lay_out(scene, life.file_system)
    before = whole.original(scene.masters, *ITEMS[life.kind], **STANDS_FOR)

    def look() -> list[str]:
        again_in(drive)
        return judged(scene, drive, life.kind, before, between=True)

    text = in_fork(lambda: told_as(asyncio.run(live(
        scene.recordings, drive, job_of(scene, life.kind), moment, notice_s, lambda: None, look))))
    told = took(life, text)
    again_in(drive)  # a moment may have come when all was over: that must not matter
    life.wrong += judged(scene, drive, life.kind, before)
    life.wrong += ended(scene, drive, life.kind)
    drive.take_out()
    return told


def again_in(drive: Stick) -> None:
    """Out, and in again as it was left."""
    drive.take_out()
    drive.heal()
    drive.put_in()


def cut(scene: Scene, life: Life, moment: Moment) -> None:
    """A life that ends with the power of the recorder, and the next one."""
    drive = lay_out(scene, life.file_system)
    before = whole.original(scene.masters, *ITEMS[life.kind], **STANDS_FOR)
    disk = scene.disk
    assert disk is not None

    def cut_power() -> None:
        disk.go_down()
        if drive.file_system == "ext4":
            drive.go_down()
        drive.disk.pull()
        os.killpg(0, signal.SIGKILL)

    text = in_fork(lambda: told_as(asyncio.run(live(
        scene.recordings, drive, job_of(scene, life.kind), moment, 0, cut_power, list))))
    life.phase = PHASES[drive.disk.orders["mark_at_pull"]] if not text else ""
    disk.come_back()
    again_in(drive)
    life.waited = not text
    life.wrong += judged(scene, drive, life.kind, before, between=True)
    text = in_fork(lambda: told_as(second(scene, drive, job_of(scene, life.kind))))
    phase, waited = life.phase, life.waited
    took(life, text)
    life.phase, life.waited = phase, waited
    life.wrong += judged(scene, drive, life.kind, before)
    life.wrong += ended(scene, drive, life.kind)
    drive.take_out()


def second(scene: Scene, drive: Stick, job: dict[str, Any]) -> tuple[Told, list[str]]:
    """What the daemon does at its start."""
    said: list[str] = []
    recover_folder(scene.recordings, lambda text, severity: said.append(f"{severity}: {text}"))
    told, wrong = asyncio.run(live(scene.recordings, drive, job, None, 0, lambda: None, list))
    return told, wrong + [text for text in said if text.startswith("error")]


def judged(scene: Scene, drive: Stick, kind: str, before: Original, *, between: bool = False
           ) -> list[str]:
    """I4 and I5, now."""
    folder = drive.mount_point / "fieldrec"
    wrong = whole.broken_items(folder, between=between)
    wrong += whole.lost(scene.recordings, folder, before)
    if not whole.is_committed(folder, "ants", whole.files_in(scene.masters / "ants")):
        wrong.append("I4 the copy from an earlier visit is not what it was")
    if kind == "copy":
        wrong += [f"I5 {name} at the source is not what it was" for name, files in
                  before.items.items() if whole.files_in(scene.recordings / name) != files]
    return wrong


def ended(scene: Scene, drive: Stick, kind: str) -> list[str]:
    """What is not as it must be when all is done."""
    folder = drive.mount_point / "fieldrec"
    wrong = whole.unfinished(folder) + whole.unfinished(scene.recordings)
    names = {path.name for path in folder.iterdir()} - whole.NO_ITEMS
    wanted = {"ants", *(("moths.low.mp4", "moths.low.mp4.json") if kind == "export" else
                        ("bees", "bees.high.mp4", "bees.high.mp4.json"))}
    if names != wanted:
        wrong.append(f"the drive has {sorted(names)}")
    at_source = {name for name in ITEMS[kind] if (scene.recordings / name).exists()}
    if at_source != (set(ITEMS[kind]) if kind == "copy" else set()):
        wrong.append(f"the source still has {sorted(at_source)}")
    return wrong


def took(life: Life, text: str) -> Told:
    """What a fork told of a life."""
    if not text:
        life.wrong.append("the process of a life died")
        return Told()
    found = json.loads(text)
    told = Told(**found["told"])
    life.wrong += found["wrong"]
    life.phase, life.waited, life.state = told.phase, told.waited, told.state
    if told.state != "done":
        life.wrong.append(f"the job ended {told.state}: {told.reason}")
    return told


def told_as(result: tuple[Told, list[str]]) -> str:
    return json.dumps({"told": dataclasses.asdict(result[0]), "wrong": result[1]})


def in_fork(work: Callable[[], str]) -> str:
    """What `work` gives, in a process group of its own; "" when that was killed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setpgid(0, 0)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            logging.disable(logging.CRITICAL)  # of a drive that is gone
            os.write(writing, work().encode())
            code = 0
        except BaseException as error:  # noqa: BLE001 - a fork must not run the parent's clean-up
            os.write(2, f"a life failed: {error!r}\n".encode())
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        text = told.read().decode()
    os.waitpid(pid, 0)
    return text


# -- all of them -----------------------------------------------------------------------------------

@contextmanager
def scene_in(folder: Path, *, with_disk: bool, even: bool) -> Iterator[Scene]:
    """Drives, and the disk of the recordings."""
    masters = folder / "masters"
    make_masters(masters)
    sticks: dict[str, Stick] = {}
    with ExitStack() as stack:
        for system in sorted(set(SYSTEMS)):
            sticks[system] = stack.enter_context(
                stick(folder, system, STICK_BYTES, copy_ants(masters)))
        disk = stack.enter_context(loop_disk(folder, "ext4", DISK_BYTES)) if with_disk else None
        root = folder / "box" if disk is None else disk.mount_point / "box"
        root.mkdir()
        yield Scene(root / "recordings", masters, sticks, disk, {}, Counter() if even else None)


def run(folder: Path, pulls: int, cuts: int, seed: int, *, even: bool) -> Iterator[Life]:
    """All lives; those that nobody disturbs, from which the moments are drawn, come first and are
    not told."""
    (folder / "quick").mkdir()
    (folder / "quick" / "sitecustomize.py").write_text(NOT_IDLE)
    os.environ["PYTHONPATH"] = f"{folder / 'quick'}:{os.environ.get('PYTHONPATH', '')}"
    for count, with_disk in ((pulls, False), (cuts, True)):
        if not count:
            continue
        part = folder / ("cuts" if with_disk else "pulls")
        part.mkdir()
        with scene_in(part, with_disk=with_disk, even=even) as scene:
            for number in range(count):
                yield one(scene, number, random.Random(f"{seed} {with_disk} {number}"))


def one(scene: Scene, number: int, dice: random.Random) -> Life:
    """One life, struck."""
    kind = KINDS[number % len(KINDS)]
    system = dice.choice(SYSTEMS)
    way = "power" if scene.disk is not None else dice.choice(WAYS[system])
    life = Life(number, kind, system, way)
    if (kind, system) not in scene.usual:
        calm = Life(number, kind, system, "")
        scene.usual[kind, system] = pulled(scene, calm, None, 0)
        life.wrong += [f"undisturbed: {text}" for text in calm.wrong]
    moment = draw(dice, scene, kind, system, way)
    if scene.disk is not None:
        cut(scene, life, moment)
    else:
        pulled(scene, life, moment, dice.uniform(0, NOTICE_S))
    return life


def table(lives: list[Life]) -> str:
    """Moments by phase, and what was wrong."""
    phases = (*PHASES[1:], "")
    lines = [f"{'':18}" + "".join(f"{phase or 'after it':>12}" for phase in phases)
             + f"{'waited':>9}{'I4':>5}{'I5':>5}{'other':>7}"]
    groups = sorted({(life.way == "power", life.kind) for life in lives})
    for power, kind in [*groups, (None, "all")]:
        some = [life for life in lives if power is None
                or (life.way == "power", life.kind) == (power, kind)]
        count = Counter(life.phase for life in some)
        wrong = [text[:2] for life in some for text in life.wrong]
        lines.append(f"{kind + (', power cut' if power else ''):18}"
                     + "".join(f"{count[phase]:12}" for phase in phases)
                     + f"{sum(life.waited for life in some):9}{wrong.count('I4'):5}"
                     + f"{wrong.count('I5'):5}"
                     + f"{sum(text not in ('I4', 'I5') for text in wrong):7}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pulls", type=int, default=200)
    parser.add_argument("--cuts", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--even", action="store_true")
    asked = parser.parse_args()
    if why := next(filter(None, (missing(system) for system in set(SYSTEMS))), ""):
        sys.exit(why)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # which leaves nothing mounted
    lives = []
    with tempfile.TemporaryDirectory(prefix="fieldrec-pulls-",
                                     dir=MEMORY if MEMORY.is_dir() else None) as folder:
        for life in run(Path(folder), asked.pulls, asked.cuts, asked.seed, even=asked.even):
            lives.append(life)
            if asked.json:
                print(json.dumps(dataclasses.asdict(life)), flush=True)
            for text in life.wrong if not asked.json else ():
                print(f"{life.number} {life.kind} {life.file_system} {life.way} {life.phase}: "
                      f"{text}", flush=True)
    if not asked.json:
        print(table(lives))
        sys.exit(any(life.wrong for life in lives))


if __name__ == "__main__":
    main()
