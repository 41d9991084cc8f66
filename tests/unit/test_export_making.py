"""Going on where a run was stopped, slices, frames that cannot be read, rates; small segments."""

from __future__ import annotations

import dataclasses
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from fieldrec.core import durable
from fieldrec.core.errors import FieldrecError, JobRefused, StoreDamaged, StoreFull, VerifyMismatch
from fieldrec.core.model import Export
from fieldrec.export import making, opening, segments, space
from fieldrec.export.making import Progress
from fieldrec.export.presets import Preset, preset
from fieldrec.export.run import run_export
from fieldrec.export.stopped import ExportStopped
from fieldrec.store.movie.content import parse, sidecar_path
from tests.fakes.export_content import moving, uneven_times, write_store

HIGH = dataclasses.replace(preset("High"), keyframe_s=0.2, threads=1, options={"mbtree": "0"})
"""Groups of 12 frames. With its mbtree x264 gives other bytes for the same frames now and then,
even with one thread."""
COUNT, PER_SEGMENT = 84, 24


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_PIXELS", PER_SEGMENT * 120 * 160)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write_store(tmp_path / "bees", moving(COUNT))


@pytest.fixture
def hook() -> Iterator[Callable[[durable.Hook | None], None]]:
    yield durable.set_hook
    durable.set_hook(None)


def export(store: Path, row: Preset = HIGH, on_progress: Progress = lambda *_: None,
           stop: threading.Event | None = None) -> Export:
    return run_export(store, row, output_folder=store.parent, stop=stop or threading.Event(),
                      on_progress=on_progress)


def stopped_at(store: Path, phase: str, frame: int, row: Preset = HIGH) -> None:
    stop = threading.Event()

    def on_progress(now: str, done: int, total: int) -> None:
        if (now, done) == (phase, frame):
            stop.set()

    with pytest.raises(ExportStopped):
        export(store, row, on_progress, stop)


def encoded(store: Path, row: Preset = HIGH) -> list[int]:
    """Export; which frames were encoded for it."""
    told: list[int] = []

    def on_progress(phase: str, done: int, total: int) -> None:
        if phase == "encoding":
            told.append(done)

    export(store, row, on_progress)
    return told


def names(store: Path) -> list[str]:
    return sorted(path.name for path in store.parent.iterdir())


def told_by(export: Path) -> dict[str, Any]:
    return parse(sidecar_path(export).read_bytes())


# --- going on -----------------------------------------------------------------------------------

@pytest.mark.parametrize(("phase", "frame", "left"), [
    ("encoding", 5, 0), ("encoding", PER_SEGMENT + 1, 24), ("encoding", 60, 48),
    ("encoding", COUNT, COUNT), ("joining", 10, COUNT), ("verifying", 10, COUNT)])
def test_what_was_encoded_is_not_encoded_again(store: Path, tmp_path: Path, phase: str, frame: int,
                                               left: int) -> None:
    once = tmp_path / "once"
    once.mkdir()
    shutil.copytree(store, once / "bees")
    stopped_at(store, phase, frame)
    assert names(store) == [".work-bees.high.mp4", "bees", "once"]
    assert encoded(store) == ([left] if left else []) + list(range(left + 1, COUNT + 1))
    assert names(store) == ["bees", "bees.high.mp4", "bees.high.mp4.json", "once"]
    movie = export(store).path.read_bytes()
    assert movie == export(once / "bees").path.read_bytes(), "as if it had never been stopped"


@pytest.mark.parametrize("change", ["preset", "version", "store", "damage"])
def test_segments_of_something_else_are_thrown_away(store: Path, monkeypatch: pytest.MonkeyPatch,
                                                    change: str) -> None:
    stopped_at(store, "encoding", 60)
    row = HIGH
    if change == "preset":
        row = dataclasses.replace(HIGH, crf=19)
    elif change == "version":
        monkeypatch.setattr(making, "__version__", "999")
    elif change == "store":
        shutil.rmtree(store)
        write_store(store, moving(COUNT))
    else:
        first = sorted((store.parent / ".work-bees.high.mp4").glob("*.segment"))[0]
        first.write_bytes(first.read_bytes()[:-1] + b"?")
    assert encoded(store, row) == list(range(1, COUNT + 1))


def test_another_head_of_the_encoder_begins_anew(store: Path, monkeypatch: pytest.MonkeyPatch
                                                 ) -> None:
    stopped_at(store, "encoding", 60)
    set_up = opening._set_up

    def other(context: Any, form: Any, *rest: Any) -> None:
        set_up(context, dataclasses.replace(form, preset=dataclasses.replace(
            form.preset, speed="ultrafast")), *rest)

    monkeypatch.setattr(opening, "_set_up", other)
    assert encoded(store) == [48, *range(49, 73), *range(1, COUNT + 1)]


def test_a_failure_leaves_nothing(store: Path) -> None:
    stopped_at(store, "encoding", 60)
    with pytest.raises(VerifyMismatch):
        export(store, dataclasses.replace(HIGH, floor_db=90.0))
    assert names(store) == ["bees"]


def test_a_working_folder_left_by_a_kill_after_the_commit_goes(store: Path) -> None:
    made = export(store)
    (store.parent / ".work-bees.high.mp4").mkdir()
    (store.parent / ".trash-.work-bees.high.mp4").mkdir()
    assert export(store) == made
    assert names(store) == ["bees", "bees.high.mp4", "bees.high.mp4.json"]


# --- room ---------------------------------------------------------------------------------------

def test_what_cannot_fit_is_refused_as_soon_as_it_is_known(
        store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "_free_bytes", lambda _: 4_003_500 + 24 * 120 * 160 // 4)
    told: list[int] = []
    with pytest.raises(StoreFull, match=r"bees\.high\.mp4 needs [45]\.\d MB more, 0\.\d MB of them "
                                        r"for the movie itself, and 4\.1 MB are free"):
        export(store, dataclasses.replace(HIGH, crf=1, typical_bits_per_pixel=0.0001),
               lambda _, done, __: told.append(done))
    assert told[-1] == PER_SEGMENT
    assert names(store) == ["bees"]


# --- slices -------------------------------------------------------------------------------------

def test_slices_by_time(store: Path) -> None:
    made = export(store, dataclasses.replace(HIGH, slice_s=0.6))
    times_ns = uneven_times(COUNT)
    count = int((times_ns[-1] - times_ns[0]) / 6e8) + 1
    assert names(store) == ["bees", *sorted(
        f"bees.high.{number:03d}.mp4{end}" for number in range(1, count + 1)
        for end in ("", ".json"))]
    assert (made.path.name, made.slice_number, made.slice_count) == ("bees.high.001.mp4", 1, count)
    first = 0
    for number in range(1, count + 1):
        told = told_by(store.parent / f"bees.high.{number:03d}.mp4")
        assert told["slice"] == {"number": number, "of": count}
        assert told["part"]["first_index"] == first
        first = told["part"]["end_index"]
        since = (times_ns[told["part"]["first_index"]:first] - times_ns[0]) / 6e8
        assert set(since.astype(int)) == {number - 1}
    assert first == COUNT
    assert encoded(store, dataclasses.replace(HIGH, slice_s=0.6)) == [], "it is there"


@pytest.mark.parametrize(("most", "expected"), [(30_000, 0.03), (16_000, 0.03), (21_000, 0.0)])
def test_slices_by_size_are_not_larger(store: Path, most: int, expected: float) -> None:
    """The last begins with a segment that is too large, as nobody knows how large they become."""
    export(store, dataclasses.replace(HIGH, slice_bytes=most, typical_bits_per_pixel=expected))
    found = sorted(store.parent.glob("*.mp4"))
    sizes = [path.stat().st_size for path in found]
    assert len(sizes) > 1
    for path, size in zip(found, sizes, strict=True):
        part = told_by(path)["part"]
        assert size <= most or part["end_index"] - part["first_index"] == 12
    assert sum(told_by(path)["frame_count"] for path in found) == COUNT


def test_a_slice_that_is_missing_is_made_again(store: Path) -> None:
    row = dataclasses.replace(HIGH, slice_s=0.6)
    export(store, row)
    before = {path.name: path.read_bytes() for path in store.parent.glob("*.mp4")}
    (store.parent / "bees.high.002.mp4").unlink()
    export(store, row)
    assert {path.name: path.read_bytes() for path in store.parent.glob("*.mp4")} == before


def test_slices_go_on_too(store: Path) -> None:
    row = dataclasses.replace(HIGH, slice_s=0.6)
    committed: list[int] = []
    stop = threading.Event()

    def on_progress(phase: str, done: int, total: int) -> None:
        if phase == "committing":
            committed.append(done)
        elif phase == "verifying" and len(committed) == 2:
            stop.set()

    with pytest.raises(ExportStopped):
        export(store, row, on_progress, stop)
    assert len(list(store.parent.glob("*.json"))) == 2
    first = (store.parent / "bees.high.001.mp4").stat()
    committed.clear()
    assert encoded(store, row) == [COUNT]
    assert (store.parent / "bees.high.001.mp4").stat().st_ino == first.st_ino


# --- frames that cannot be read -----------------------------------------------------------------

def damage(store: Path, index: int) -> None:
    chunk, position = divmod(index, 25)
    path = store / f"{chunk:06d}" / f"{position:06d}.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\0\0")


def test_frames_that_cannot_be_read_are_left_out_and_the_rest_is_compared(store: Path) -> None:
    for index in (0, 30, COUNT - 1):
        damage(store, index)
    (store / "000002" / "000007.npy").unlink()
    stopped_at(store, "encoding", 50)
    made = export(store)
    assert (made.frame_count, made.unreadable) == (COUNT - 4, 4)
    told = told_by(made.path)
    assert [row["index"] for row in told["unreadable"]] == [0, 30, 57, COUNT - 1]
    assert [row["number"] for row in told["unreadable"]] == [0, 32, 59, COUNT + 1]
    with av.open(str(made.path)) as movie:
        stream = movie.streams.video[0]
        shown = [picture.time for picture in movie.decode(stream)]
    kept = [index for index in range(COUNT) if index not in (0, 30, 57, COUNT - 1)]
    times_ns = uneven_times(COUNT)[kept]
    assert shown == pytest.approx((times_ns - times_ns[0]) / 1e9, abs=2e-5)


def test_when_none_can_be_read_there_is_no_export(store: Path) -> None:
    for index in range(COUNT):
        damage(store, index)
    with pytest.raises(JobRefused, match=r"bees: none of its 84 frames can be read: .*000000\.npy"):
        export(store)
    assert names(store) == ["bees"]


def test_a_disk_that_is_gone_is_an_error_and_no_export_of_the_rest(store: Path) -> None:
    last = [0]

    def on_progress(phase: str, done: int, total: int) -> None:
        last[0] = max(last[0], done)
        if done == 30 and store.exists():
            store.rename(store.with_name("away"))

    with pytest.raises(StoreDamaged, match="No such file"):
        export(store, HIGH, on_progress)
    assert last[0] < COUNT
    assert names(store) == ["away"]


# --- rates --------------------------------------------------------------------------------------

@pytest.mark.parametrize(("rate", "period_s"), [("native", 1 / 60), ("25", 1 / 25)])
def test_a_constant_rate_and_the_true_times_beside(store: Path, rate: str, period_s: float) -> None:
    made = export(store, dataclasses.replace(HIGH, rate=rate))
    with av.open(str(made.path)) as movie:
        shown = [picture.time for picture in movie.decode(video=0)]
    assert shown == pytest.approx([number * period_s for number in range(COUNT)], abs=2e-5)
    told = told_by(made.path)
    assert float(told["rules"]["rate_hz"]) == pytest.approx(1 / period_s)
    assert told["recording"]["last_time_ns"] == uneven_times(COUNT)[-1]


def test_errors_of_the_disk_at_random_leave_a_whole_or_nothing(
        store: Path, hook: Callable[[durable.Hook | None], None]) -> None:
    steps: list[str] = []
    hook(lambda step, _: steps.append(step))
    made = export(store)
    whole = made.path.read_bytes()
    for fail_at in range(3, len(steps) - 4, 7):
        hook(None)
        made.path.unlink(missing_ok=True)
        left = iter(range(fail_at))

        def fail(step: str, path: Path, left: Iterator[int] = left) -> None:
            if next(left, None) is None:  # and from then on
                raise OSError(28, os.strerror(28))

        hook(fail)
        with pytest.raises(FieldrecError):
            export(store)
        hook(None)
        assert export(store).path.read_bytes() == whole
        assert names(store) == ["bees", "bees.high.mp4", "bees.high.mp4.json"]
