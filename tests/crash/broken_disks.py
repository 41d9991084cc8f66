"""Disks that break while several cameras record on them, and what must be left then.

A whole `App` records in the test's own process, into a folder on the disk and, where there is one,
a spare folder on another. Cameras never skip a number here, so that every number up to the last is
somewhere, unless it was written to the broken disk less than `durability_s` before it broke and
could not be read back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fieldrec.app import ONE_RECORDING, App
from fieldrec.app.recovery import recover_folder
from fieldrec.catalogue.check import check
from fieldrec.config import Config
from fieldrec.core.snapshot import RecorderStatus
from tests.crash.after_cut import drawn, key_of, read_store
from tests.crash.cut_plan import SAMPLES
from tests.crash.ledger import APPENDED, Ledger, Rows, latest_ns
from tests.fakes.waiting import PATIENCE_S

DURABILITY_S = 0.4
CAMERAS = {key: {**SAMPLES[key], "drop_when_late": False, "seed": 7}
           for key in ("big", "colour", "deep")}
"""One is written past the page cache, two through it."""


@dataclass(slots=True)
class Box:
    """An App that records."""

    app: App
    ledger: Ledger

    def status(self) -> tuple[RecorderStatus, ...]:
        """Of every camera, as last published."""
        return self.app.board.latest.recorders

    def said(self, text: str) -> int:
        """How many events hold `text`."""
        return sum(text in event.text for event in self.app.events.latest())

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it is so; the events are in the error when it never is."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():
                    await self.app.board.wait_changed(self.app.board.latest.version, 0.5)
        except TimeoutError:
            events = "\n".join(event.text for event in self.app.events.latest())
            raise AssertionError(f"waited in vain; events:\n{events}\n{self.status()}") from None

    async def recorded(self, more: int, folder: Path | None = None) -> None:
        """Wait until every camera has recorded so many frames more, and does so in `folder`."""
        before = {one.key: one.frame_count for one in self.status()}
        await self.until(lambda: all(
            one.frame_count >= before[one.key] + more
            and (folder is None or one.folder == str(folder)) for one in self.status()))


@contextlib.asynccontextmanager
async def recording(*folders: Path) -> AsyncIterator[Box]:
    """A box whose cameras record; stopped in order at the end."""
    first, *further = folders
    for folder in folders:
        folder.mkdir(exist_ok=True)
    config = Config.model_validate({
        "storage": {"directory": first, "directories": further, "reserve_bytes": 0,
                    "stop_percent": 100},
        "store": {"chunksize": 10, "durability_s": DURABILITY_S},
        "record": {"name": "box", "ring_s": 10.0},
        "cameras": {key: {"backend": "synthetic", "options": options}
                    for key, options in CAMERAS.items()},
        "export": {"automatic": False}, "drives": {"enabled": False},
        "power": {"source": "mains"}})
    ledger = Ledger()
    with ledger.following():
        async with App(config, ONE_RECORDING) as app:
            await app.control.start()
            box = Box(app, ledger)
            await box.until(lambda: len(box.status()) == len(CAMERAS))
            await box.recorded(12)
            yield box


@dataclass(frozen=True, slots=True)
class Kept:
    """What all folders together have of one camera."""

    numbers: list[int]
    """In order; a frame that is there twice twice."""
    missing: Rows
    """Appended somewhere and to be found nowhere."""


def kept(rows: Rows, *folders: Path) -> dict[str, Kept]:
    """Recover the folders as the daemon does at its start; what is there, by camera.

    Every frame's whole picture is compared; AssertionError for another one than was recorded, for
    a store that cannot be recovered, and for what `fieldrec check` finds.
    """
    numbers: dict[str, list[int]] = {key: [] for key in CAMERAS}
    said: list[str] = []
    for folder in folders:
        recover_folder(folder, lambda text, severity: said.append(f"{severity}: {text}"))
        problems = [f"{p.invariant} {p.path.relative_to(folder)}: {p.text}"
                    for p in check(folder, deep=True)]
        assert not problems, (problems, said)
        for path in folder.glob("box_*"):
            found = read_store(path, drawn(CAMERAS[key_of(path.name)]))
            assert not found.wrong, found.wrong
            numbers[key_of(path.name)] += found.numbers
    assert not any(text.startswith("error") for text in said), said
    appended = rows[rows["kind"] == APPENDED]
    keys = np.array([key_of(name.decode()) for name in appended["recording"]])
    return {key: Kept(sorted(numbers[key]), _missing(appended[keys == key], numbers[key]))
            for key in CAMERAS}


def _missing(appended: Rows, numbers: list[int]) -> Rows:
    found: Rows = appended[~np.isin(appended["number"], numbers)]
    return found


def promised_until_ns(rows: Rows, broken_ns: int) -> float:
    """What was appended before this is on the disk that broke then. Twice as much as a thread was
    woken late is excused: a sync waits for its own and for the kernel's."""
    return broken_ns - DURABILITY_S * 1e9 - 2 * latest_ns(rows, broken_ns, DURABILITY_S)


def assert_without_gap(numbers: list[int], least: int) -> None:
    """Every number from 0 on is there once."""
    assert numbers == list(range(len(numbers))), numbers
    assert len(numbers) >= least
