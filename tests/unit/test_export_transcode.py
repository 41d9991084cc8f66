"""Movies of any store: true times, nothing lost of what the frames were known by, nothing half."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import imgstore
import numpy as np
import pytest
import xxhash

from fieldrec.core import durable
from fieldrec.core.errors import (
    FieldrecError,
    JobRefused,
    LockedError,
    StoreError,
    StoreFull,
    UsageError,
    VerifyMismatch,
)
from fieldrec.export.part import fresh_part, part_path
from fieldrec.export.presets import Geometry, preset
from fieldrec.export.stopped import ExportStopped
from fieldrec.export.transcode import Transcoded, container_of, transcode
from fieldrec.store.reader import StoreReader
from tests.fakes.export_content import BGR, START_NS, Pixels, moving, uneven_times, write_store
from tests.fakes.sidecar_content import told_by

HIGH = preset("High")
COUNT = 30


def make(store: Path, target: Path, *, stop: threading.Event | None = None,
         on_progress: Callable[[str, int, int], None] = lambda *_: None, **part: int) -> Transcoded:
    with StoreReader(store) as reader:
        return transcode(reader, target, HIGH, stop=stop or threading.Event(),
                         on_progress=on_progress, **part)


def shown(path: Path) -> tuple[list[Any], list[float], dict[str, str]]:
    """BGR pictures, seconds since the first, tags."""
    with av.open(str(path)) as movie:
        frames = list(movie.decode(video=0))
        return ([frame.to_ndarray(format="bgr24") for frame in frames],
                [float(frame.time) for frame in frames], dict(movie.metadata))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write_store(tmp_path / "bees", moving(COUNT, BGR), BGR)


def near(picture: Any, pixels: Any, levels: float = 25.0) -> bool:
    """Whether a decoded picture shows these BGR or grey pixels."""
    expected = pixels if pixels.ndim == 3 else np.dstack([pixels] * 3)
    height, width = expected.shape[:2]
    return bool(np.abs(picture[:height, :width].astype(float) - expected).mean() < levels)


@pytest.mark.parametrize(("name", "tick_s"), [("out.mp4", 1 / 90_000), ("out.mkv", 1 / 100_000)])
def test_every_frame_at_its_own_time(store: Path, tmp_path: Path, name: str, tick_s: float) -> None:
    made = make(store, tmp_path / name)
    pictures, times_s, tags = shown(tmp_path / name)
    true_s = (uneven_times(COUNT) - START_NS) / 1e9
    assert np.abs(np.array(times_s) - true_s).max() <= tick_s
    assert all(map(near, pictures, moving(COUNT, BGR)))
    assert (made.frame_count, made.moved, made.tick_s) == (COUNT, 0, tick_s)
    assert made.length_s == pytest.approx(true_s[-1])
    assert tags["title"] == "bees"
    description = tags.get("description") or tags["DESCRIPTION"]
    assert json.loads(description)["observer"] == "Ada"
    assert tags["creation_time"].startswith("2026-11-18T11:06:40")


def test_the_sidecar_has_numbers_and_exact_times(store: Path, tmp_path: Path) -> None:
    made = make(store, tmp_path / "out.mp4")
    content = told_by(made.path)
    assert content["format"] == "fieldrec-transcode"
    assert content["frames"] == {"number": [*range(4), *range(6, COUNT + 2)],
                                 "time_ns": uneven_times(COUNT).tolist()}
    assert content["part"] == {"first_index": 0, "end_index": COUNT, "of": COUNT}
    assert content["recording"]["dropped"] == 2
    assert content["user_metadata"]["observer"] == "Ada"
    assert content["file"] == {
        "name": "out.mp4", "size_bytes": made.size_bytes,
        "xxh64": xxhash.xxh64_hexdigest(made.path.read_bytes())}
    assert made.sidecar == tmp_path / "out.mp4.json"


def test_a_part_begins_at_zero_and_has_its_own_frames(store: Path, tmp_path: Path) -> None:
    made = make(store, tmp_path / "out.mkv", first=10, end=15)
    pictures, times_s, _ = shown(made.path)
    assert (len(pictures), times_s[0]) == (5, 0.0)
    assert all(map(near, pictures, moving(COUNT, BGR)[10:15]))
    content = told_by(made.path)
    assert content["frames"]["number"] == [12, 13, 14, 15, 16]
    assert content["frames"]["time_ns"] == uneven_times(COUNT)[10:15].tolist()
    assert content["part"] == {"first_index": 10, "end_index": 15, "of": COUNT}


def foreign(path: Path, form: str, frames: list[Pixels], **options: Any) -> list[float]:
    """A store by imgstore itself, at uneven times; the times."""
    written = imgstore.new_for_format(
        form, str(path), imgshape=frames[0].shape, imgdtype=frames[0].dtype, chunksize=7,
        metadata={"species": "frög", "ids": {1, 2}}, **options)
    times_s = [1.7e9 + 0.1 + at / 30 + at % 3 / 400 for at in range(len(frames))]
    for number, (frame, time_s) in enumerate(zip(frames, times_s, strict=True)):
        written.add_image(frame, number, time_s)
        if number % 10 == 0:
            written.add_extra_data(temperature=number / 2)
    written.close()
    return times_s


def twelve_bits() -> list[Pixels]:
    return [frame.astype(np.uint16) << 4 for frame in moving(COUNT)]


@pytest.mark.parametrize(("form", "frames", "options", "levels"), [
    ("png", moving(COUNT, BGR), {}, 25),
    ("pgm", moving(COUNT), {}, 25),
    ("npy", moving(COUNT), {"encoding": "cv_bayerbg"}, 40),
    ("npy", twelve_bits(), {}, 25),
    ("npy", [frame.astype(np.float32) / 255 for frame in moving(COUNT)], {}, 25),
    ("png", [frame[:119, :157] for frame in moving(COUNT, BGR)], {}, 25),
], ids=["png", "pgm", "bayer", "12 bit", "float", "odd"])
def test_stores_of_every_kind(tmp_path: Path, form: str, frames: list[Pixels],
                              options: dict[str, Any], levels: float) -> None:
    times_s = foreign(tmp_path / "frogs", form, frames, **options)
    made = make(tmp_path / "frogs", tmp_path / "out.mp4")
    pictures, shown_s, _ = shown(made.path)
    assert np.abs(np.array(shown_s) - (np.array(times_s) - times_s[0])).max() < 1 / 80_000
    content = told_by(made.path)
    exact_s = content["frames"].get("time_s") or [
        ns // 10**9 + ns % 10**9 / 1e9 for ns in content["frames"]["time_ns"]]
    assert exact_s == times_s
    assert [record["temperature"] for record in content["extra_data"]] == [0, 5, 10]
    assert len(pictures) == COUNT
    assert all(near(picture, pixels, levels)
               for picture, pixels in zip(pictures, eight_bits(frames), strict=True))


def eight_bits(frames: list[Pixels]) -> list[Pixels]:
    if frames[0].dtype == np.uint16:
        return [frame >> 4 for frame in frames]
    low, high = min(f.min() for f in frames), max(f.max() for f in frames)
    return frames if frames[0].dtype == np.uint8 else [
        (frame - low) / (high - low) * 255 for frame in frames]


def test_extra_data_of_a_part_is_that_of_its_frames(tmp_path: Path) -> None:
    foreign(tmp_path / "frogs", "npy", moving(COUNT))
    made = make(tmp_path / "frogs", tmp_path / "out.mp4", first=5, end=15)
    assert [record["frame_index"] for record in told_by(made.path)["extra_data"]] == [10]


def test_times_that_do_not_run_on_are_moved_and_counted(tmp_path: Path) -> None:
    times_ns = START_NS + np.array([0, 20, 20, 10, 60], np.int64) * 1_000_000
    write_store(tmp_path / "bees", moving(5), times_ns=times_ns)
    made = make(tmp_path / "bees", tmp_path / "out.mkv")
    assert made.moved == 2
    assert shown(made.path)[1] == pytest.approx([0, 0.02, 0.02001, 0.02002, 0.06])
    assert told_by(made.path)["frames"]["time_ns"] == times_ns.tolist()


# -- refused, stopped, failed: nothing is left, nothing is replaced --------------------------------


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "bees")


@pytest.mark.parametrize(("name", "error", "says"), [
    ("out.avi", UsageError, ".mp4 or .mkv"), ("out", UsageError, ".mp4 or .mkv"),
    ("none/out.mp4", StoreError, "no such folder"),
    ("bees.high.mp4", UsageError, "fieldrec export bees"),
])
def test_targets_that_cannot_be(store: Path, tmp_path: Path, name: str,
                                error: type[FieldrecError], says: str) -> None:
    with pytest.raises(error, match=says):
        make(store, tmp_path / name)
    assert left(tmp_path) == []


@pytest.mark.parametrize("taken", ["out.mp4", "out.mp4.json"])
def test_nothing_is_replaced(store: Path, tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_text("mine")
    with pytest.raises(StoreError, match="exists already"):
        make(store, tmp_path / "out.mp4")
    assert (left(tmp_path), (tmp_path / taken).read_text()) == ([taken], "mine")


def test_what_came_meanwhile_is_not_replaced(store: Path, tmp_path: Path) -> None:
    def come(phase: str, _done: int, _total: int) -> None:
        if phase == "verifying":
            (tmp_path / "out.mp4").write_text("mine")

    with pytest.raises(StoreError, match="exists already"):
        make(store, tmp_path / "out.mp4", on_progress=come)
    assert left(tmp_path) == ["out.mp4"]
    assert (tmp_path / "out.mp4").read_text() == "mine"


@pytest.mark.parametrize("when", ["encoding", "verifying"])
def test_stopped_in_the_middle_nothing_is_left(store: Path, tmp_path: Path, when: str) -> None:
    stop = threading.Event()
    with pytest.raises(ExportStopped):
        make(store, tmp_path / "out.mp4", stop=stop,
             on_progress=lambda phase, *_: stop.set() if phase == when else None)
    assert left(tmp_path) == []


@pytest.mark.parametrize("step", ["create", "write", "fsync", "rename", "fsync_directory"])
def test_a_full_disk_at_any_step_leaves_nothing(store: Path, tmp_path: Path, step: str) -> None:
    def full(at: str, path: Path) -> None:
        if at == step and (path == tmp_path or "out" in path.name):
            raise OSError(28, "No space left on device")

    durable.set_hook(full)
    try:
        with pytest.raises(FieldrecError):
            make(store, tmp_path / "out.mp4")
    finally:
        durable.set_hook(None)
    assert [name for name in left(tmp_path) if not name.startswith(".")] == []


def test_a_sidecar_that_cannot_be_written_takes_the_movie_with_it(store: Path, tmp_path: Path
                                                                  ) -> None:
    def full(at: str, path: Path) -> None:
        if at == "write" and path.name == "out.mp4.json":
            raise OSError(28, "No space left on device")

    durable.set_hook(full)
    try:
        with pytest.raises(StoreFull):
            make(store, tmp_path / "out.mp4")
    finally:
        durable.set_hook(None)
    assert left(tmp_path) == []


def test_a_movie_that_is_not_what_was_recorded_is_thrown_away(
        store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The frame that is shown and the frame that is verified come from two readings."""
    read = StoreReader.read
    reads: list[int] = []

    def swapped(self: StoreReader, index: int, out: Any = None) -> Any:
        reads.append(index)
        swaps = {7: 8, 8: 7} if len(reads) <= COUNT else {}
        return read(self, swaps.get(index, index), out)

    monkeypatch.setattr(StoreReader, "read", swapped)
    monkeypatch.setattr(StoreReader, "digests", None)
    with pytest.raises(VerifyMismatch, match="frame 7"):
        make(store, tmp_path / "out.mkv")
    assert left(tmp_path) == []


def test_a_frame_that_is_not_what_was_recorded_is_left_out_and_named(store: Path, tmp_path: Path
                                                                     ) -> None:
    frame = store / "000000" / "000005.npy"
    data = bytearray(frame.read_bytes())
    data[-1] ^= 1
    frame.write_bytes(data)
    made = make(store, tmp_path / "out.mp4")
    assert (made.frame_count, made.unreadable) == (COUNT - 1, 1)
    assert "000005.npy: not what was recorded" in made.sidecar.read_text()


def test_stores_that_no_movie_can_be_made_of(tmp_path: Path) -> None:
    write_store(tmp_path / "bees", [])
    with pytest.raises(JobRefused, match="no frame"):
        make(tmp_path / "bees", tmp_path / "out.mp4")


def test_two_at_once_do_not_meet(store: Path, tmp_path: Path) -> None:
    import os

    part = part_path(tmp_path / "out.mp4")
    other = fresh_part(part)
    try:
        with pytest.raises(LockedError):
            make(store, tmp_path / "out.mp4")
        assert part.exists()
    finally:
        os.close(other)
    make(store, tmp_path / "out.mp4")  # what a dead one left is no hindrance


def test_the_kind_of_file_is_its_extension() -> None:
    assert container_of(Path("A.MKV")).muxer == "matroska"
    assert container_of(Path("a.b.mp4")).muxer == "mp4"


@pytest.mark.parametrize(("name", "out", "changes", "expected"), [
    ("High", "out.avi", {"rate": "native"}, ["out.avi"]),
    ("Lossless", "out.avi", {"rate": "25"}, ["out.avi"]),
    ("High", "out.mp4", {"geometry": Geometry(rotate=90, scale=0.5)}, ["out.mp4"]),
    ("High", "out.mkv", {"slice_s": 0.4}, ["out.001.mkv", "out.002.mkv"]),
], ids=["avi", "avi lossless", "turned", "slices"])
def test_what_a_preset_asks_beside_its_codec(store: Path, tmp_path: Path, name: str, out: str,
                                             changes: dict[str, Any], expected: list[str]) -> None:
    row = dataclasses.replace(preset(name), **changes)
    with StoreReader(store) as reader:
        made = transcode(reader, tmp_path / out, row, stop=threading.Event(),
                         on_progress=lambda *_: None)
    assert (made.frame_count, made.unreadable) == (COUNT, 0)
    assert made.quality.exact == row.lossless
    assert left(tmp_path) == sorted([*expected, *(f"{movie}.json" for movie in expected)])
