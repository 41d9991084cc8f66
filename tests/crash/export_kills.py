"""Exports that are killed, stopped and run out of room, again and again, and what is left of them.

`python -m tests.crash.export_kills FOLDER LIVES [SEED]` prints a JSON line for each life, then one
with the sums; test_export_kills.py runs a few lives, and any number by FIELDREC_EXPORT_KILLS. A
life is one recording, exported by the real export process, which ends early up to four times: at
one of its durable steps or at any moment, by SIGKILL, by SIGKILL of its parent, by SIGTERM, or by
a disk that is full once or from then on. Then it is run to its end. Everything is forked from this
process, which never starts a thread.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import errno
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from fieldrec.core import durable
from fieldrec.export import making as making  # here, once, and not in every fork
from fieldrec.export import process, segments
from fieldrec.export.presets import Preset, preset
from fieldrec.export.work_folder import WORK_PREFIX
from fieldrec.store.movie.content import read_head, sidecar_path
from tests.fakes.export_content import moving, write_store

HIGH = dataclasses.replace(preset("High"), keyframe_s=0.2, threads=1, options={"mbtree": "0"})
"""With its mbtree x264 gives other bytes for the same frames now and then, even with one thread."""
PRESETS = {"one": HIGH, "slices": dataclasses.replace(HIGH, slice_s=0.7)}
COUNT, PER_SEGMENT = 96, 12
AT_STEP = ("kill", "kill parent", "stop", "full once", "full")
AT_ANY_TIME = ("kill", "kill parent", "stop")
WHOLE_S = 1.5
"""A whole export takes about so long: kills at any moment are drawn from this."""
LAST_STEPS = 16
"""Around the commit and what comes after it; half of the ends at a step are there."""
_SUBREAPER = 36


@dataclass(frozen=True, slots=True)
class Fault:
    """How one run ends early."""

    kind: str
    step: int = 0
    """The durable step at which it happens; 0: at `after_s`."""
    after_s: float = 0.0

    @property
    def keeps(self) -> bool:
        """Whether what was encoded must still count; a disk that was full is given its room back.
        """
        return not self.kind.startswith("full")


@dataclass(slots=True)
class Seen:
    """What became of one life."""

    faults: list[str] = field(default_factory=list)
    kept: int = 0
    """Committed segments that ends by kill and stop left, and later runs did not encode again."""
    again: int = 0
    """Segments begun a second time, as they were not committed: one for each early end at most."""
    wrong: list[str] = field(default_factory=list)


def fault(dice: random.Random, steps: int) -> Fault:
    """The next end, of a run with so many durable steps."""
    where = dice.random()
    if where < 0.6:
        first = 1 if where < 0.3 else steps - LAST_STEPS
        return Fault(dice.choice(AT_STEP), step=dice.randint(first, steps))
    return Fault(dice.choice(AT_ANY_TIME), after_s=dice.uniform(0, WHOLE_S))


# --- one run ------------------------------------------------------------------------------------

def forked(work: Callable[[], int]) -> int:
    """The process that does `work` and ends with its result."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = work()
        finally:
            os._exit(code)
    return pid


def run(root: Path, row: Preset, end: Fault | None, log: Path) -> int:
    """One run of the export process under a parent of its own, until both have ended; its code, or
    less than 0 for the signal that ended it. `log` gets the names of the files it created."""
    told = os.pipe()

    def parent() -> int:
        own = os.getpid()
        pid = forked(lambda: child(root, row, end, log, own))
        os.write(told[1], pid.to_bytes(4, "little"))
        os.close(told[1])
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        log.with_suffix(".code").write_text(str(code))
        return 0

    log.with_suffix(".code").unlink(missing_ok=True)
    parent_pid = forked(parent)
    os.close(told[1])
    child_pid = int.from_bytes(os.read(told[0], 4), "little")
    os.close(told[0])
    if end is not None and not end.step:
        time.sleep(end.after_s)
        strike(end.kind, child_pid, parent_pid)
    while True:
        try:
            os.waitpid(-1, 0)  # the child too, when its parent was killed
        except ChildProcessError:
            break
    code = log.with_suffix(".code")
    return int(code.read_text()) if code.exists() else -signal.SIGKILL


def strike(kind: str, child_pid: int, parent_pid: int) -> None:
    number = signal.SIGTERM if kind == "stop" else signal.SIGKILL
    with_parent = kind == "kill parent"
    with contextlib.suppress(ProcessLookupError):  # it was through
        os.kill(parent_pid if with_parent else child_pid, number)


def child(root: Path, row: Preset, end: Fault | None, log: Path, parent: int) -> int:
    """The export process: its own code, with small segments and a hook at its durable steps."""
    segments.SEGMENT_PIXELS = PER_SEGMENT * 120 * 160
    process.be_idle = lambda: None  # beside others' work it would take for ever
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    steps = 0
    with log.open("a", buffering=1) as names:

        def hook(step: str, path: Path) -> None:
            nonlocal steps
            steps += 1
            if step == "create":
                names.write(f"{path.name}\n")
            if end is None or not end.step or steps < end.step:
                return
            if end.kind.startswith("full"):
                if steps == end.step or end.kind == "full":
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            elif steps == end.step:
                strike(end.kind, os.getpid(), parent)
                if end.kind == "kill parent":
                    time.sleep(60)  # the kernel ends this

        durable.set_hook(hook)
        code = process.main([json.dumps({
            "store": str(root / "bees"), "preset": row.to_request(), "output_folder": str(root),
            "parent": parent})])
        names.write(f"= {steps}\n")
    return code


# --- one life -----------------------------------------------------------------------------------

@dataclass(frozen=True, slots=True)
class Right:
    """How it must be in the end, from an export that nobody disturbed."""

    files: dict[str, str]
    """Digests of the movies by their names."""
    raw: str
    steps: int
    segments: int


def raw_digest(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted((root / "bees").rglob("*")):
        if path.is_file() and path.name != ".frames.index":
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def movies(root: Path) -> dict[str, str]:
    return {path.name: xxhash.xxh64(path.read_bytes()).hexdigest() for path in root.glob("*.mp4")}


def committed_segments(root: Path) -> set[str]:
    return {path.name for path in root.glob(f"{WORK_PREFIX}*/*.segment")
            if not path.name.startswith(durable.PART_PREFIX)}


def begun(log: Path) -> list[str]:
    """Segments that were begun, in order."""
    names = log.read_text().splitlines() if log.exists() else []
    return [name.removeprefix(durable.PART_PREFIX) for name in names if name.endswith(".segment")]


def undisturbed(root: Path, row: Preset) -> Right:
    log = root / "log"
    raw = raw_digest(root)
    if run(root, row, None, log) != 0:
        raise RuntimeError("an export that nobody disturbs failed")
    steps = int(log.read_text().splitlines()[-1].split()[1])
    return Right(movies(root), raw, steps, len(begun(log)))


def live(root: Path, row: Preset, right: Right, dice: random.Random) -> Seen:
    """Export, end early a few times, finish; what is wrong."""
    seen = Seen()
    kept: set[str] = set()
    total = 0
    ends: list[Fault | None] = [fault(dice, right.steps) for _ in range(dice.randint(1, 4))]
    for number, end in enumerate([*ends, None]):
        log = root / f"log{number}"
        code = run(root, row, end, log)
        now = begun(log)
        seen.wrong += [f"run {number} encoded {name} again" for name in kept.intersection(now)]
        seen.kept += len(kept)
        total += len(now)
        seen.faults.append("end" if end is None else f"{end.kind} {'step' if end.step else 'time'}")
        seen.wrong += half(root)
        kept = committed_segments(root) if end is not None and end.keeps else set()
        if end is None and code != 0:
            seen.wrong.append(f"the last run ended with {code}")
    if all(end is None or end.keeps for end in ends):
        seen.again = total - right.segments
        if seen.again > len(ends):
            seen.wrong.append(f"{seen.again} segments were begun twice in {len(ends)} ends")
    return finished(root, right, seen)


def half(root: Path) -> list[str]:
    """Exports that are there and not whole."""
    wrong = []
    for beside in root.glob("*.mp4.json"):
        movie = beside.with_suffix("")
        told = read_head(beside)["file"]["xxh64"]
        if not movie.exists() or xxhash.xxh64(movie.read_bytes()).hexdigest() != told:
            wrong.append(f"I4 {movie.name} is not what its sidecar says")
    return wrong


def finished(root: Path, right: Right, seen: Seen) -> Seen:
    found = movies(root)
    if found != right.files:
        seen.wrong.append(f"other movies than of an export in one go: {found}")
    expected = {"bees", *right.files, *(sidecar_path(root / name).name for name in right.files)}
    left = {path.name for path in root.iterdir() if not path.name.startswith("log")} - expected
    seen.wrong += [f"left: {name}" for name in sorted(left)]
    seen.wrong += [f"no sidecar: {name}" for name in right.files
                   if not sidecar_path(root / name).exists()]
    if raw_digest(root) != right.raw:
        seen.wrong.append("I5 the raw is not what it was")
    return seen


def with_store(folder: Path) -> Path:
    """A recording, with a frame that cannot be read."""
    os.waitpid(forked(lambda: bool(write_store(folder / "bees", moving(COUNT))) - 1), 0)
    frame = folder / "bees" / "000001" / "000003.npy"
    frame.write_bytes(frame.read_bytes()[:-1])
    return folder


def main() -> None:
    folder, lives = Path(sys.argv[1]), int(sys.argv[2])
    seed = sys.argv[3] if len(sys.argv) > 3 else "1"
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    rights: dict[str, Right] = {}
    master = folder / "master"
    master.mkdir()
    with_store(master)
    sums: Counter[str] = Counter()
    for number in range(lives):
        dice = random.Random(f"{seed} {number}")
        kind = dice.choice(list(PRESETS))
        if kind not in rights:
            rights[kind] = undisturbed(copied(master, folder / f"right-{kind}"), PRESETS[kind])
        root = copied(master, folder / f"life{number}")
        seen = live(root, PRESETS[kind], rights[kind], dice)
        sums.update({"lives": 1, "kept": seen.kept, "again": seen.again,
                     "wrong": len(seen.wrong), "faults": len(seen.faults) - 1,
                     **Counter(seen.faults)})
        line: dict[str, Any] = {"life": number, "kind": kind, **dataclasses.asdict(seen)}
        print(json.dumps(line), flush=True)
        if not seen.wrong:
            shutil.rmtree(root)
    print(json.dumps({"sums": sums, "steps": {kind: right.steps for kind, right in rights.items()},
                      "segments": {kind: right.segments for kind, right in rights.items()}}))


def copied(master: Path, root: Path) -> Path:
    shutil.copytree(master, root)
    return root


if __name__ == "__main__":
    main()
