"""Cuts the power, or kills, at random moments of recording, and checks what is left.

`python -m tests.crash.power_cuts MODE FOLDER CUTS SEED [FIRST]` prints a JSON line per cut. MODE
is `ext4` or `xfs` (a loop device in FOLDER; the file system goes down without flushing its log, the
process is killed, the file system mounted anew) or `kill` (the process alone is killed; nothing may
be missing). Each life is a whole `App` with several cameras in a forked child; recovery and checks
run in another. Recordings of a round accumulate on the disk and are read again at its end. This
process itself never starts a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import json
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

import fieldrec.camera.synthetic  # noqa: F401 - here, once, and not in every fork
from fieldrec.app import ONE_RECORDING, App
from fieldrec.app.recovery import recover_folder
from fieldrec.catalogue.check import check
from fieldrec.config import Config
from fieldrec.core.errors import StateError
from tests.crash.after_cut import (
    Promise,
    Verdict,
    check_again,
    check_life,
    coded_pictures,
    drawn,
    key_of,
)
from tests.crash.cut_plan import CODED, Plan, plan
from tests.crash.ledger import FAILED, Ledger, Rows
from tests.crash.sweep import child, drain
from tests.fakes.loop_devices import LoopDisk, loop_disk, missing_for, now_ns
from tests.fakes.network_cameras import MjpegServer, part

DISK_BYTES = 512 << 20
ROUND = 4
"""Cuts between which recordings accumulate."""
STARTING, RUNNING = b"s", b"r"
START_PATIENCE_S = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Left:
    """A life that was cut."""

    rows: Rows
    planned: Plan
    promise: Promise


class Series:
    """Cuts one after the other on one disk."""

    def __init__(self, recordings: Path, seed: int, disk: LoopDisk | None) -> None:
        self.recordings = recordings
        self.seed = seed
        self.disk = disk
        self.ledger = Ledger()
        self.cameras: dict[str, dict[str, Any]] = {}
        self.counts: dict[str, int] = {}
        """Options of the camera, and frames, of every recording of this round, by its name."""
        self.unchecked: list[Left] = []

    def cut(self, number: int, *, last: bool) -> dict[str, Any]:
        """One life, cut; what was found, of lives before too that were left as they were. `last`:
        of its round."""
        planned = plan(self.seed, number)
        for options in planned.cameras.values():
            drawn(options)  # here, once, and not in every fork
        self.recordings.mkdir(exist_ok=True)
        self.ledger.clear()
        if self.unchecked:
            _wait_for_the_next_second()  # names tell lives apart
        cut_ns, note = self._live(planned)
        if self.disk is not None:
            self.disk.come_back()
        promise = Promise(cut_ns, 0.0 if self.disk is None else planned.durability_s,
                          self.ledger.late_ns(cut_ns))
        self.unchecked.append(Left(self.ledger.rows(), planned, promise))
        verdict = Verdict()
        if last or not planned.recover_beside:
            verdict = self._check()
        verdict.wrong += [note] if note else []
        found = dataclasses.asdict(verdict)
        del found["counts"]
        return {"cut": number, **found}

    def _check(self) -> Verdict:
        """Recover, look at what is left of the lives not looked at yet."""
        text = _told_by(lambda: _recover_and_check(self.recordings, self.unchecked))
        verdict = Verdict(**json.loads(text)) if text else Verdict(wrong=["the check died"])
        for left in self.unchecked:  # a name whose store was lost whole may come again
            names = {name.decode() for name in np.unique(left.rows["recording"])}
            self.cameras |= {name: left.planned.cameras[key_of(name)]
                             for name in names & verdict.counts.keys()}
        self.unchecked.clear()
        self.counts |= verdict.counts
        return verdict

    def end_round(self) -> list[str]:
        """Read all recordings of the round once more, then make room; what is wrong."""
        text = _told_by(lambda: check_again(self.recordings, self.counts, self.cameras))
        shutil.rmtree(self.recordings)
        self.cameras.clear()
        self.counts.clear()
        return list(json.loads(text)) if text else ["the second check died"]

    def _live(self, planned: Plan) -> tuple[int, str]:
        """Record in a child and cut it off; when that was, and what was wrong with it."""
        told, telling = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(told)
            os._exit(_record(planned, self.recordings, self.ledger, telling))
        os.close(telling)
        try:
            if os.read(told, 1) != STARTING or not (
                    planned.cut_starting or os.read(told, 1) == RUNNING):
                return now_ns(), "the recording process ended before it began"
            time.sleep(planned.cut_s)
            cut_ns = now_ns() if self.disk is None else self.disk.go_down()[0]
        finally:
            os.close(told)
            os.kill(pid, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if self.disk is None:
            cut_ns = now_ns()
        return cut_ns, "" if code == -signal.SIGKILL else f"the recording process ended by {code}"


def _wait_for_the_next_second() -> None:
    time.sleep(1 - time.time() % 1)


def _record(planned: Plan, recordings: Path, ledger: Ledger, telling: int) -> int:
    """The child: the program itself, until it is killed."""
    logging.disable(logging.CRITICAL)  # what it says when its disk is gone is of no interest here
    try:
        with ledger.following():
            asyncio.run(_run_app(planned, recordings, telling))
    except BaseException as error:  # noqa: BLE001 - a fork must not run the parent's clean-up
        ledger.note(FAILED, recordings)
        os.write(2, f"recording failed: {error!r}\n".encode())
    os.write(telling, b"f")
    signal.pause()  # a disk that is gone may end it before the kill does
    return 1


async def _run_app(planned: Plan, recordings: Path, telling: int) -> None:
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(network_camera()).url if "coded" in planned.cameras else ""
        await _run_with(planned, planned.config(recordings, url), telling)


def network_camera() -> MjpegServer:
    """Sends the coded pictures that :func:`after_cut.drawn` compares, again and again."""
    parts = [part(packet.data) for packet in coded_pictures()]
    return MjpegServer(lambda _: itertools.cycle(parts), hz=CODED["hz"])


async def _run_with(planned: Plan, config: Config, telling: int) -> None:
    async with App(config, ONE_RECORDING) as app:
        os.write(telling, STARTING)
        await app.control.start()
        os.write(telling, RUNNING)
        began = asyncio.get_running_loop().time()
        for at_s, verb in planned.verbs:
            await asyncio.sleep(began + at_s - asyncio.get_running_loop().time())
            with contextlib.suppress(*([StateError] if verb in ("pause", "resume") else [])):
                await getattr(app.control, verb)()  # a camera that ended cannot be paused
        await asyncio.sleep(START_PATIENCE_S)


def _recover_and_check(recordings: Path, lives: list[Left]) -> dict[str, Any]:
    """What the daemon does at its start, then the checks."""
    said: list[str] = []
    recover_folder(recordings, lambda text, severity: said.append(f"{severity}: {text}"))
    verdict = Verdict(wrong=[f"{p.invariant} {p.path.name}: {p.text}" for p in check(recordings)])
    verdict.wrong += [text for text in said if text.startswith("error")]
    for left in lives:
        verdict.add(check_life(recordings, left.rows, left.planned.cameras, left.promise))
    return dataclasses.asdict(verdict)


def _told_by(work: Callable[[], Any]) -> str:
    """What `work` returns in a fork, as JSON; "" when that died."""
    told, telling = os.pipe()
    child(lambda: void(os.write(telling, json.dumps(work()).encode()[:60_000])))
    os.close(telling)
    return drain(told).decode()


def void(_: object) -> None:
    """Drop a result."""


def cuts(mode: str, folder: Path, numbers: range, seed: int) -> Iterator[dict[str, Any]]:
    """Cut and check, one after the other."""
    with ExitStack() as stack:
        disk = None if mode == "kill" else stack.enter_context(loop_disk(folder, mode, DISK_BYTES))
        series = Series((folder if disk is None else disk.mount_point) / "recordings", seed, disk)
        for number in numbers:
            last = number % ROUND == ROUND - 1 or number == numbers[-1]
            found = series.cut(number, last=last)
            if last:
                found["wrong"] += series.end_round()
            yield found


def main() -> None:
    mode, folder, count, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    first = int(sys.argv[5]) if len(sys.argv) > 5 else 0
    missing = "" if mode == "kill" else missing_for(mode)
    if missing:
        sys.exit(f"power cuts on {mode}: {missing}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the disk is given back
    for found in cuts(mode, folder, range(first, first + count), seed):
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
