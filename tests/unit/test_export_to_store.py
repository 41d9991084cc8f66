"""A recording as a video store: the real imgstore reads every frame of it, wherever it jumps to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import imgstore
import numpy as np
import pytest

from fieldrec.catalogue.check import check_store
from fieldrec.core.errors import (
    FieldrecError,
    JobRefused,
    LockedError,
    StateError,
    StoreError,
    UsageError,
)
from fieldrec.core.model import FrameSpec
from fieldrec.export.presets import Geometry, Preset, preset
from fieldrec.export.stopped import ExportStopped
from fieldrec.export.to_store import StoreMade, chunk_borders, export_to_store
from fieldrec.store import iter_extra_records, layout
from fieldrec.store.reader import StoreReader
from tests.fakes.export_content import BGR, MONO, Pixels, moving, write_store

COUNT = 13
JUMPS = (0, COUNT - 1, 7, 6, 8, 5, 4, 11, 10, 3)
ODD = FrameSpec((91, 121, 3), "uint8", "BGR8", 60.0)


def make(store: Path, target: Path, row: Preset | str = "High", **options: Any) -> StoreMade:
    row = preset(row) if isinstance(row, str) else row
    options = {"stop": threading.Event(), "on_progress": lambda *_: None, "chunk_frames": 6,
               **options}
    return export_to_store(store, target, row, **options)


def assert_frame_exact(made: Path, frames: list[Pixels], numbers: list[int], levels: float
                       ) -> None:
    """Forwards, and at random, by the real imgstore."""
    for wanted in (range(len(frames)), JUMPS):
        store = imgstore.new_for_filename(str(made))
        for index in wanted:
            sequential = wanted is not JUMPS
            image, (number, _) = (store.get_next_image() if sequential
                                  else store.get_image(numbers[index]))
            assert number == numbers[index]
            errors = [np.abs(image.astype(float) - frame[:image.shape[0], :image.shape[1]]).mean()
                      for frame in frames[max(0, index - 2):index + 3]]
            own = errors[min(index, 2)]
            assert own == min(errors)
            assert own <= levels
        store.close()


@pytest.mark.parametrize(("name", "spec", "levels"), [
    ("High", MONO, 4.0), ("High", ODD, 5.0), ("Lossless", ODD, 0.0), ("Lossless", MONO, 0.0)])
def test_the_real_imgstore_reads_every_frame(tmp_path: Path, name: str, spec: FrameSpec,
                                             levels: float) -> None:
    frames = moving(COUNT, spec)
    store = write_store(tmp_path / "bees", frames, spec)
    made = make(store, tmp_path / "out", name)
    raw, found = (imgstore.new_for_filename(str(path)) for path in (store, made.path))
    assert found.get_frame_metadata() == raw.get_frame_metadata()
    assert found.user_metadata["observer"] == "Ada"
    assert found.created == raw.created
    lines, columns = (extent & -2 if name == "High" else extent for extent in spec.shape[:2])
    assert found.image_shape == (lines, columns, *spec.shape[2:])
    assert_frame_exact(made.path, frames, raw.get_frame_metadata()["frame_number"], levels)
    assert (made.frame_count, made.is_exact, made.unreadable) == (COUNT, levels == 0, 0)
    assert bool(made.notes) == ((lines, columns) != spec.shape[:2])
    with StoreReader(made.path) as ours, StoreReader(store) as original:
        assert np.array_equal(ours.times_ns, original.times_ns)
        assert check_store(made.path, deep=True) == []


@pytest.mark.parametrize("name", ["High", "Lossless"])
def test_chunks_are_evenly_spaced_and_times_true(tmp_path: Path, name: str) -> None:
    """imgstore seeks by counting frames: a pause in the recording must be none in the movie."""
    times_ns = 1_795_000_000_000_000_000 + np.arange(COUNT, dtype=np.int64) * 16_666_667
    times_ns[4:] += 7_000_000_000
    store = write_store(tmp_path / "bees", moving(COUNT), times_ns=times_ns)
    made = make(store, tmp_path / "out", name)
    chunk = sorted(made.path.glob("000000.m*"))[0]
    with av.open(str(chunk)) as movie:
        shown_s = [frame.time for frame in movie.decode(video=0)]
    steps = np.diff(np.array(shown_s, float))
    assert np.abs(steps - 1 / 60).max() < 0.000_02
    with StoreReader(made.path) as found:
        assert np.array_equal(found.times_ns, times_ns)
    assert_frame_exact(made.path, moving(COUNT), [*range(4), *range(6, COUNT + 2)], 4.0)


def test_extra_data_and_device_times_come_along(tmp_path: Path) -> None:
    written = imgstore.new_for_format("npy", str(tmp_path / "frogs"), imgshape=MONO.shape,
                                      imgdtype=np.uint8, chunksize=6, metadata={"species": "frög"})
    for number, frame in enumerate(moving(COUNT)):
        written.add_image(frame, number * 2, 1.7e9 + 0.1 + number / 30)
        if number % 4 == 0:
            written.add_extra_data(temperature=number / 2)
    written.close()
    made = make(tmp_path / "frogs", tmp_path / "out", "Lossless")
    raw, found = (imgstore.new_for_filename(str(path)) for path in (tmp_path / "frogs", made.path))
    assert found.get_frame_metadata() == raw.get_frame_metadata()
    assert found.get_extra_data().equals(raw.get_extra_data())


@pytest.mark.parametrize("encoding", ["cv_bayergr", "cv_rgb"])
def test_what_is_stored_encoded_is_shown_alike(tmp_path: Path, encoding: str) -> None:
    frames = moving(6, MONO if "bayer" in encoding else BGR)
    written = imgstore.new_for_format("npy", str(tmp_path / "frogs"), imgshape=frames[0].shape,
                                      imgdtype=np.uint8, encoding=encoding)
    for number, frame in enumerate(frames):
        written.add_image(frame, number, 1.7e9 + number / 30)
    written.close()
    made = make(tmp_path / "frogs", tmp_path / "out", "Lossless")
    raw, found = (imgstore.new_for_filename(str(path)) for path in (tmp_path / "frogs", made.path))
    for number in (5, 0, 3):
        assert np.array_equal(found.get_image(number)[0], raw.get_image(number)[0])


def test_an_unreadable_frame_is_left_out(tmp_path: Path) -> None:
    frames = moving(COUNT)
    store = write_store(tmp_path / "bees", frames)
    with StoreReader(store) as raw:
        damaged = raw.frame_path(7)
    data = bytearray(damaged.read_bytes())
    data[-5] ^= 1
    damaged.write_bytes(data)
    made = make(store, tmp_path / "out", "Lossless")
    assert (made.frame_count, made.unreadable) == (COUNT - 1, 1)
    with StoreReader(made.path) as found, StoreReader(store) as raw:
        kept = [at for at in range(COUNT) if at != 7]
        assert np.array_equal(found.numbers, raw.numbers[kept])
        assert all(np.array_equal(found.read(place), frames[at]) for place, at in enumerate(kept))


def test_a_preset_with_a_shape(tmp_path: Path) -> None:
    import dataclasses

    store = write_store(tmp_path / "bees", moving(6))
    row = dataclasses.replace(preset("High"), geometry=Geometry(rotate=90, crop=(10, 10, 51, 40)),
                              slice_s=0.01, rate="true")
    made = make(store, tmp_path / "out", row)
    with StoreReader(made.path) as found:
        assert found.read(0).shape == (50, 40)
    assert len(list(made.path.glob("*.mp4"))) == 1, "its slices do not count here"


@pytest.mark.parametrize(("count", "chunk", "expected"), [
    (2, 5, [(0, 2)]), (5, 5, [(0, 5)]), (6, 5, [(0, 4), (4, 6)]), (10, 5, [(0, 5), (5, 10)]),
    (11, 5, [(0, 5), (5, 9), (9, 11)]), (7, 3, [(0, 3), (3, 5), (5, 7)])])
def test_no_chunk_has_a_single_frame(count: int, chunk: int, expected: list[tuple[int, int]]
                                     ) -> None:
    assert chunk_borders(count, chunk) == expected
    with pytest.raises(UsageError, match="too small"):
        chunk_borders(count, 2)


# --- refused, stopped, failed: nothing is left --------------------------------------------------

def assert_only(folder: Path, *names: str) -> None:
    assert {path.name for path in folder.iterdir()} == set(names)


@pytest.mark.parametrize(("count", "spec", "row", "error", "says"), [
    (1, MONO, "High", JobRefused, "fewer than two frames"),
    (3, MONO, "VP9", UsageError, r"H\.264 or lossless FFV1"),
    (3, FrameSpec((60, 80), "uint16", "MONO16", 60.0), "Lossless", JobRefused, "8 bits a pixel")])
def test_what_no_such_store_can_hold(tmp_path: Path, count: int, spec: FrameSpec, row: str,
                                     error: type[FieldrecError], says: str) -> None:
    store = write_store(tmp_path / "bees", moving(count, spec), spec)
    with pytest.raises(error, match=says):
        make(store, tmp_path / "out", row)
    assert_only(tmp_path, "bees")


def test_targets_that_cannot_be(tmp_path: Path) -> None:
    store = write_store(tmp_path / "bees", moving(3))
    for target, says in (("bees", "exists already"), ("none/out", "no such folder")):
        with pytest.raises(StoreError, match=says):
            make(store, tmp_path / target)
    (store / ".lock").write_bytes(b"x")
    with pytest.raises(StateError, match="still being recorded"):
        make(store, tmp_path / "out")
    assert_only(tmp_path, "bees")


@pytest.mark.parametrize("phase", ["encoding", "joining", "verifying"])
def test_stopped_it_leaves_nothing(tmp_path: Path, phase: str) -> None:
    store = write_store(tmp_path / "bees", moving(COUNT))
    stop = threading.Event()

    def on_progress(now: str, done: int, total: int) -> None:
        assert done <= total == COUNT
        if now == phase and done > 7:
            stop.set()

    with pytest.raises(ExportStopped):
        make(store, tmp_path / "out", stop=stop, on_progress=on_progress)
    assert_only(tmp_path, "bees")


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    store = write_store(tmp_path / "bees", moving(3))
    (tmp_path / ".part-out" / "deep").mkdir(parents=True)
    make(store, tmp_path / "out")
    assert_only(tmp_path, "bees", "out")


def test_two_at_once(tmp_path: Path) -> None:
    store = write_store(tmp_path / "bees", moving(3, BGR), BGR)
    refused: list[Exception] = []

    def on_progress(_now: str, _done: int, _total: int) -> None:
        if not refused:
            with pytest.raises(LockedError) as raised:
                make(store, tmp_path / "out")
            refused.append(raised.value)

    make(store, tmp_path / "out", on_progress=on_progress)
    assert_only(tmp_path, "bees", "out")


def test_a_failure_in_the_middle_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                                ) -> None:
    store = write_store(tmp_path / "bees", moving(COUNT))
    whole: Callable[..., bytes] = layout.index_bytes
    calls: list[int] = []

    def failing(*arguments: Any) -> bytes:
        calls.append(1)
        if len(calls) == 3:
            raise OSError(5, "Input/output error")
        return whole(*arguments)

    monkeypatch.setattr("fieldrec.export.to_store.index_bytes", failing)
    with pytest.raises(FieldrecError, match=r"out.*Input/output error"):
        make(store, tmp_path / "out")
    assert_only(tmp_path, "bees")
    assert list(iter_extra_records(store)) == []
