"""The life of one store of a format, with extra data and interim indexes; and what must hold after
any cut of it. Shorter than life.py's: nothing is done with the store but to write it.

Run in a process of its own (sweep.py).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from imgstore import new_for_filename

from fieldrec.catalogue.check import check
from fieldrec.core import durable
from fieldrec.core.errors import FieldrecError, SyncFailed
from fieldrec.core.model import FrameSpec
from fieldrec.store.metadata import VIDEO_FORMATS
from fieldrec.store.recover import recover
from fieldrec.store.writer import StoreWriter

SPEC = FrameSpec((32, 48), "uint8", "MONO8", 25.0)
FRAMES = 7
CHUNKSIZE = 4
SYNC_EVERY = 2
PERIOD_NS = 40_000_000
NEAR = 6.0
"""How far a lossy picture may be from its own, on the average."""


def picture(number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Smooth, and far from every other one."""
    ramp = np.arange(SPEC.shape[1], dtype=np.uint8)[None, :] // 2
    return np.ascontiguousarray(np.broadcast_to(ramp + np.uint8(25 * number + 10), SPEC.shape))


class StoreLife:
    """See sweep.Life."""

    def __init__(self, form: str) -> None:
        self.form = form
        self.is_video = form in VIDEO_FORMATS

    def live(self, root: Path, told: int) -> None:
        """Write the store, as a recorder does; nothing when there is one."""
        path = root / "store"
        if path.exists():
            return
        store = StoreWriter(path, SPEC, chunksize=CHUNKSIZE, user_metadata={"animal": "frog"},
                            timezone="UTC", created_epoch_ns=0, form=self.form)
        store.interim.every_ns = 0
        try:
            for number in range(FRAMES):
                try:
                    store.append(picture(number), number, number * PERIOD_NS, None)
                except SyncFailed:
                    store.next_chunk_after_sync_failure()
                os.write(told, b"+")
                store.add_extra_data(n=number)
                if number % SYNC_EVERY == SYNC_EVERY - 1 and synced(store):
                    os.write(told, b".e" * SYNC_EVERY)
            store.close()
            os.write(told, b".e" * (FRAMES % SYNC_EVERY))
        except (FieldrecError, OSError):
            try:
                store.close()
            except (FieldrecError, OSError):
                store.abandon()
            raise

    def unrecovered(self, root: Path, promised: int) -> list[str]:
        """Whatever the crash left, the real imgstore reads as far as was promised."""
        path = root / "store"
        if self.is_video or not (path / "metadata.yaml").exists():
            return []
        count, wrong = frames_in(path)
        if count < promised:
            wrong.append(f"imgstore sees {count} of {promised} frames without a recovery")
        return wrong

    def recover_all(self, root: Path) -> None:
        """As the app does it at its start."""
        durable.sweep_unfinished(root)
        if (root / "store").exists():
            recover(root / "store")

    def violations(self, root: Path, frames: int, extra: int) -> tuple[int, list[str]]:
        """I1, I2, I7, or less than was promised (I8)."""
        path = root / "store"
        wrong = [f"{p.invariant} {p.path.name}: {p.text}" for p in check(root, deep=True)]
        if not path.exists():
            return 0, wrong + ([f"{frames} frames were durable"] if frames else [])
        count, more = frames_in(path)
        records = extra_in(path)
        if count < frames or len(records) < extra:
            more.append(f"I8: {frames} frames and {extra} records of extra data were durable, "
                        f"{count} and {len(records)} can be found")
        if records != list(range(len(records))):
            more.append(f"extra data: {records}")
        more += [f"left: {found.name}" for found in path.rglob("*")
                 if found.suffix in (".log", ".plan", ".tmp", ".open", ".lock", ".reserve")]
        return count, wrong + more

    def unfinished(self, root: Path) -> list[str]:
        """Nothing is done after a recovery; a store that was never begun is written."""
        return self.violations(root, 0, 0)[1]


def synced(store: StoreWriter) -> bool:
    """What the sync thread does, and the store thread when that failed."""
    try:
        store.sync()
        return True
    except SyncFailed:
        store.next_chunk_after_sync_failure()
        return False


def frames_in(path: Path) -> tuple[int, list[str]]:
    """Frames that the real imgstore reads, and what is wrong with them."""
    try:
        store = new_for_filename(str(path))
    except Exception as error:  # noqa: BLE001 - imgstore raises anything
        return 0, [f"imgstore cannot open it: {error!r}"]
    wrong = []
    try:
        for index in range(store.frame_count):
            image, (number, time_s) = store.get_image(None, frame_index=index)
            if (number, time_s) != (index, index * PERIOD_NS / 1e9):
                wrong.append(f"frame {index} bears number {number} and time {time_s}")
            elif np.abs(image.astype(float) - picture(number)).mean() > NEAR:
                wrong.append(f"frame {index} has other pixels than were recorded")
        return store.frame_count, wrong
    finally:
        store.close()


def extra_in(path: Path) -> list[int]:
    """The extra data that the real imgstore reads."""
    store = new_for_filename(str(path))
    try:
        table = store.get_extra_data()
        return [] if table is None else [int(n) for n in table["n"]]
    finally:
        store.close()
