"""What must hold of the recordings after a cut and a recovery, by the real imgstore.

Numbers and times are the ledger's from its first row on; every picture is the whole one that the
synthetic camera draws for that number; and whatever is missing at the end was recorded less than
`durability_s` before the cut (I8). Blocking; run in a child of the driver.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from imgstore import new_for_filename

from fieldrec.camera import Pixels
from fieldrec.camera.synthetic import Options, SyntheticCamera, read_number
from fieldrec.catalogue.check import check
from fieldrec.store import layout
from tests.crash.ledger import APPENDED, FAILED, LATE, SYNC_BEGAN, SYNCED, Rows, latest_ns
from tests.fakes.coded_streams import Packet, jpeg_packets

_KEY = re.compile(r"\d{8}_\d{6}_([a-z]+)(-\d+)?$")


@dataclass(frozen=True, slots=True)
class Promise:
    """What may be missing."""

    cut_ns: int
    """Everything before this had its power."""
    durability_s: float
    """0: nothing at all may be missing (a killed process, whose machine goes on)."""
    late_ns: int = 0
    """So late a thread was that should have been woken before the cut (:meth:`Ledger.late_ns`)."""


@dataclass(slots=True)
class Verdict:
    """What was found; sums and maxima over recordings."""

    stores: int = 0
    frames: int = 0
    """Read, and compared."""
    appended: int = 0
    lost_frames: int = 0
    """Appended before the cut and not there."""
    lost_ms: float = 0.0
    """So long before the cut the append of the oldest of them was over…"""
    lost_share: float = 0.0
    """…as a part of durability_s."""
    late_ms: float = 0.0
    """How late a thread that only sleeps was woken at the worst: the machine's, not the program's.
    A sync waits for its thread and for the kernel's, so twice as much is excused."""
    sync_ms: float = 0.0
    """The longest sync."""
    wrong: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    """Frames of each recording."""

    def add(self, other: Verdict) -> None:
        """What another life left."""
        self.stores += other.stores
        self.frames += other.frames
        self.appended += other.appended
        self.lost_frames += other.lost_frames
        for name in ("lost_ms", "lost_share", "late_ms", "sync_ms"):
            setattr(self, name, max(getattr(self, name), getattr(other, name)))
        self.wrong += other.wrong
        self.counts |= other.counts


def key_of(name: str) -> str:
    """Key of the camera that made a recording."""
    found = _KEY.search(name)
    return found.group(1) if found else ""


def check_life(recordings: Path, rows: Rows, cameras: dict[str, dict[str, Any]], promise: Promise
               ) -> Verdict:
    """Everything that one life left: each of its recordings."""
    verdict = Verdict()
    noted_ns = latest_ns(rows, promise.cut_ns, promise.durability_s)
    verdict.late_ms = max(promise.late_ns, noted_ns) / 1e6
    if np.any((rows["kind"] == FAILED) & (rows["done_ns"] < promise.cut_ns)):
        verdict.wrong.append("the program gave up before the cut")
    for name in np.unique(rows["recording"][rows["kind"] < LATE]):
        path = recordings / name.decode()
        try:
            _check_recording(path, rows[rows["recording"] == name], cameras[key_of(path.name)],
                             promise, verdict)
        except Exception as error:  # noqa: BLE001 - one broken store hides no other
            verdict.wrong.append(f"{path.name}: {type(error).__name__}: {error}")
    return verdict


def check_again(recordings: Path, counts: dict[str, int], cameras: dict[str, dict[str, Any]]
                ) -> list[str]:
    """That recordings of earlier lives are as they were after their recovery; `counts` and
    `cameras` by name."""
    wrong = [f"{p.invariant} {p.path.name}: {p.text}" for p in check(recordings, deep=True)]
    for name, count in counts.items():
        found = read_store(recordings / name, drawn(cameras[name]))
        wrong += found.wrong
        if len(found.numbers) != count:
            wrong.append(f"{name}: had {count} frames after its recovery, has {len(found.numbers)}")
    return wrong


def _check_recording(path: Path, rows: Rows, options: dict[str, Any], promise: Promise,
                     verdict: Verdict) -> None:
    appended = rows[rows["kind"] == APPENDED]
    found = read_store(path, drawn(options))
    verdict.stores += path.exists()
    verdict.counts[path.name] = len(found.numbers)
    verdict.frames += len(found.numbers)
    verdict.appended += len(appended)
    verdict.wrong += found.wrong
    known = appended[:len(found.numbers)]
    surplus = len(found.numbers) - len(known)
    if surplus > 1:  # one may have been cut off between its append and its note
        verdict.wrong.append(f"{path.name}: {surplus} frames that nobody appended")
    if found.numbers[:len(known)] != known["number"].tolist():
        verdict.wrong.append(f"{path.name}: numbers are not those appended")
    if found.times_s[:len(known)] != [layout.second_of(int(t)) for t in known["time_ns"]]:
        verdict.wrong.append(f"{path.name}: times are not those appended")
    missing = appended[len(known):]
    _check_missing(path.name, missing[missing["done_ns"] < promise.cut_ns], rows, promise, verdict)


def _check_missing(name: str, missing: Rows, rows: Rows, promise: Promise, verdict: Verdict
                   ) -> None:
    syncs = rows[rows["done_ns"] < promise.cut_ns]
    synced_ns, longest_ns = _syncs(syncs)
    verdict.sync_ms = max(verdict.sync_ms, longest_ns / 1e6)
    if not len(missing):
        return
    oldest_ns = int(missing["done_ns"][0])
    lost_ns = promise.cut_ns - oldest_ns
    verdict.lost_frames += len(missing)
    verdict.lost_ms = max(verdict.lost_ms, lost_ns / 1e6)
    if promise.durability_s:
        verdict.lost_share = max(verdict.lost_share, lost_ns / 1e9 / promise.durability_s)
    if lost_ns > promise.durability_s * 1e9 + 2e6 * verdict.late_ms:
        verdict.wrong.append(f"I8 {name}: {len(missing)} frames missing, the oldest recorded "
                             f"{lost_ns / 1e6:.0f} ms before the cut; promised: "
                             f"{promise.durability_s * 1e3:.0f} ms, threads woken late by "
                             f"{verdict.late_ms:.0f} ms")
    if oldest_ns < synced_ns:
        verdict.wrong.append(f"I8 {name}: a frame is missing that was there when a sync began "
                             "that ended")


def _syncs(rows: Rows) -> tuple[int, int]:
    """(when the last sync began that ended, how long the longest took), ns; 0 when none did."""
    began_ns, until_ns, longest_ns = 0, 0, 0
    for row in rows:
        if row["kind"] == SYNC_BEGAN:
            began_ns = int(row["done_ns"])
        elif row["kind"] == SYNCED:
            until_ns = began_ns
            longest_ns = max(longest_ns, int(row["done_ns"]) - began_ns)
    return until_ns, longest_ns


@dataclass(slots=True)
class Found:
    numbers: list[int]
    times_s: list[float]
    wrong: list[str]


def read_store(path: Path, drawn: Drawn | Coded) -> Found:
    """Every frame, as the real imgstore gives it, beside the picture that it should be."""
    found = Found([], [], [])
    if not path.exists():
        return found
    same = drawn.comparison()
    store = new_for_filename(str(path))
    try:
        for index in range(store.frame_count):
            image, (number, time_s) = store.get_image(None, frame_index=index)
            found.numbers.append(int(number))
            found.times_s.append(float(time_s))
            if not same(int(number), np.asarray(image)):
                found.wrong.append(f"{path.name}: frame {index}, number {number}, shows another "
                                   f"picture (burnt in: {read_number(np.asarray(image))})")
    finally:
        store.close()
    return found


@dataclass(frozen=True, slots=True)
class Drawn:
    """A synthetic camera that draws its pictures again."""

    camera: SyntheticCamera
    blank: np.ndarray[Any, Any]
    """Room for one."""

    def comparison(self) -> Callable[[int, Pixels], bool]:
        """Whether the frame of this number in a store is the very picture that was recorded."""
        def same(number: int, image: Pixels) -> bool:
            self.camera.render(number, self.blank)
            return np.array_equal(image, self.blank)
        return same


class Coded:
    """A network camera that sends :func:`coded_pictures` over and over, numbered by who receives
    them: between two frames the picture goes on as the number does."""

    def comparison(self) -> Callable[[int, Pixels], bool]:
        """As :meth:`Drawn.comparison`, for one store read from its beginning."""
        first: list[int] = []

        def same(number: int, image: Pixels) -> bool:
            burnt = read_number(image)
            if burnt is None:
                return False
            if not first:
                first.append(burnt - number)
            return (burnt - number - first[0]) % len(coded_pictures()) == 0
        return same


def coded_pictures() -> tuple[Packet, ...]:
    """With their places burnt in."""
    return jpeg_packets(60, width=160, height=120)


@functools.lru_cache(maxsize=64)
def _drawn(options: str) -> Drawn:
    camera = SyntheticCamera("drawn", Options.model_validate_json(options))
    spec = camera.open()
    return Drawn(camera, np.empty(spec.shape, spec.dtype))


def drawn(options: dict[str, Any]) -> Drawn | Coded:
    """The camera with these options; made once in a process and its forks."""
    if "packets" in options:
        coded_pictures()
        return Coded()
    return _drawn(json.dumps(options, sort_keys=True))
