"""A converted store says of every frame what the source said, and imgstore reads it so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imgstore
import numpy as np
import pytest
import yaml

from fieldrec.core import durable
from fieldrec.core.errors import (
    FieldrecError,
    LockedError,
    StoreDamaged,
    StoreError,
    StoreFull,
    UsageError,
    VerifyMismatch,
)
from fieldrec.core.model import FrameSpec
from fieldrec.store.api.new_store import recording_metadata
from fieldrec.store.convert import DECODED, ConversionStopped, Converted, Wish, convert
from fieldrec.store.extra_read import iter_extra_records
from fieldrec.store.metadata import parse_metadata
from fieldrec.store.reader import StoreReader
from fieldrec.store.writer import StoreWriter

COUNT = 11
NUMBERS = [3, 4, 5, 9, 9, 10, 2, -1, 11, 12, 13]
"""Gaps, a number twice, numbers that run back, a negative one."""
TIMES_S = [0.1 * at + at % 3 / 7 for at in range(COUNT)]
"""Seconds from some start: doubles that whole nanoseconds do not say exactly."""
USER = {"species": "frög", "ids": {1, 2}, "deep": {"a": [1, 2.5, None]}, 7: "seven"}


def pixels(at: int, shape: tuple[int, ...] = (48, 64), dtype: str = "uint8") -> Any:
    ramp = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) + 10 * at
    values = ramp if len(shape) == 2 else np.dstack([ramp + 40 * n for n in range(shape[2])])
    if dtype[0] == "f":
        return (values / 37).astype(dtype)
    return (values % 251 * (1 if dtype == "uint8" else 256)).astype(dtype)


def foreign(path: Path, form: str = "npy", shape: tuple[int, ...] = (48, 64),
            dtype: str = "uint8", **options: Any) -> Path:
    """A store by imgstore itself."""
    store = imgstore.new_for_format(form, str(path), imgshape=shape, imgdtype=dtype, chunksize=4,
                                    metadata=dict(USER), **options)
    store.add_extra_data(before="the first")
    for at in range(COUNT):
        store.add_image(pixels(at, shape, dtype), NUMBERS[at], TIMES_S[at])
        if at % 3 == 0:
            store.add_extra_data(temperature=at / 2, door=None)
    store.close()
    return path


def make(source: Path, target: Path, form: str, stop: threading.Event | None = None,
         **wish: Any) -> Converted:
    with StoreReader(source) as store:
        return convert(store, target, Wish(form, **wish), stop=stop or threading.Event(),
                       on_progress=lambda *_: None)


def told(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    return parse_metadata((path / "metadata.yaml").read_text())


def assert_same_records(path: Path) -> None:
    """Numbers, times, metadata and extra data, as imgstore itself reads them."""
    store = imgstore.new_for_filename(str(path))
    frames = store.get_frame_metadata()
    assert frames["frame_number"] == NUMBERS
    assert frames["frame_time"] == TIMES_S
    user = {key: value for key, value in store.user_metadata.items() if key != "fieldrec"}
    assert user == USER
    extra = store.get_extra_data()
    assert extra["temperature"].dropna().tolist() == [0.0, 1.5, 3.0, 4.5]
    assert extra["frame_index"].tolist() == [-1, 0, 3, 6, 9]
    assert extra["frame_time"].tolist()[1:] == [TIMES_S[at] for at in (0, 3, 6, 9)]
    assert extra["frame_number"].tolist()[1:] == [NUMBERS[at] for at in (0, 3, 6, 9)]
    store.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return foreign(tmp_path / "frogs")


LOSSLESS = [
    ("npy", (48, 64), "uint8"), ("npy", (47, 63, 3), "uint8"), ("npy", (48, 64), "uint16"),
    ("npy", (48, 64, 3), "float32"), ("npy", (48, 64), "float64"), ("png", (47, 63, 3), "uint8"),
    ("png", (48, 64), "uint16"), ("tif", (48, 64), "float32"), ("bmp", (47, 63), "uint8"),
    ("pgm", (48, 64), "uint8"), ("ppm", (48, 64, 3), "uint8"), ("ppm", (48, 64), "uint8"),
    ("npy", (48, 64, 1), "uint8"), ("png", (48, 64, 1), "uint8"),
]


@pytest.mark.parametrize(("form", "shape", "dtype"), LOSSLESS)
def test_lossless_formats_keep_everything(tmp_path: Path, form: str, shape: tuple[int, ...],
                                          dtype: str) -> None:
    made = make(foreign(tmp_path / "frogs", "npy", shape, dtype), tmp_path / "new", form)
    assert (made.lossless, made.notes, made.skipped) == (True, [], [])
    assert (made.frame_count, made.extra_records, made.path) == (COUNT, 5, tmp_path / "new")
    assert_same_records(tmp_path / "new")
    with StoreReader(tmp_path / "new") as store:
        for at in range(COUNT):
            read = store.read(at)
            assert read.dtype == dtype
            assert np.array_equal(read.reshape(shape), pixels(at, shape, dtype))
    back = make(tmp_path / "new", tmp_path / "back", "npy")
    assert back.lossless
    assert_same_records(tmp_path / "back")


@pytest.mark.parametrize(("form", "shape"), [
    ("jpg", (48, 64)), ("jpg", (47, 63, 3)), ("mjpeg/avi", (48, 64, 3)), ("mjpeg/avi", (48, 64)),
    ("avc1/mp4", (47, 63, 3)), ("h264/mkv", (48, 64)), ("pgm", (48, 64, 3))])
def test_lossy_formats_say_so_and_keep_all_but_pixels(tmp_path: Path, form: str,
                                                      shape: tuple[int, ...]) -> None:
    made = make(foreign(tmp_path / "frogs", "npy", shape), tmp_path / "new", form)
    assert not made.lossless
    assert any("lossy" in note for note in made.notes)
    assert any("cut to 62x46" in note for note in made.notes) == (
        shape[0] == 47 and "/" in form)
    assert made.psnr_min_db > (10 if form == "pgm" else 25)
    assert_same_records(tmp_path / "new")


@pytest.mark.parametrize("form", ["mjpeg/avi", "png", "jpg"])
def test_from_video_and_pictures_by_imgstore_itself(tmp_path: Path, form: str) -> None:
    foreign(tmp_path / "frogs", form, (48, 64, 3))
    made = make(tmp_path / "frogs", tmp_path / "new", "npy")
    assert made.lossless
    assert_same_records(tmp_path / "new")
    with StoreReader(tmp_path / "frogs") as old, StoreReader(tmp_path / "new") as new:
        assert all(np.array_equal(old.read(at), new.read(at)) for at in range(COUNT))


def test_a_new_uuid_and_the_old_one_told(source: Path, tmp_path: Path) -> None:
    make(source, tmp_path / "new", "npy")
    (old, _), (new, user) = told(source), told(tmp_path / "new")
    assert new["uuid"] != old["uuid"]
    assert user["fieldrec"] == {"converted_from": old["uuid"], "interrupted": False}
    for key in ("created_utc", "timezone_local", "imgshape", "imgdtype", "chunksize"):
        assert new[key] == old[key], key


def test_our_own_recordings_keep_device_times_and_notes(tmp_path: Path) -> None:
    spec = FrameSpec((48, 64), "uint8", "MONO8", 50.0)
    writer = StoreWriter(
        tmp_path / "bees", spec, chunksize=4, timezone="Europe/Vienna",
        created_epoch_ns=1_795_000_000_123_456_000, user_metadata=recording_metadata(
            {"fieldrec": {"camera_serial": "cam-7"}}, spec, "Europe/Vienna"))
    for at in range(COUNT):
        writer.append(pixels(at), at * 2, 1_795_000_000_000_000_001 + at, at * 7)
    writer.close({"dropped": 10, "lost": 0})
    make(tmp_path / "bees", tmp_path / "new", "png", chunksize=6)
    (store, user), (_, before) = told(tmp_path / "new"), told(tmp_path / "bees")
    assert (store["chunksize"], store["timezone_local"]) == (6, "Europe/Vienna")
    assert store["created_utc"] == told(tmp_path / "bees")[0]["created_utc"]
    ours = user.pop("fieldrec")
    assert ours.pop("converted_from") == told(tmp_path / "bees")[0]["uuid"]
    assert ours == before.pop("fieldrec")
    assert user == before
    with StoreReader(tmp_path / "new") as reader:
        assert reader.device_times_ns.tolist() == [at * 7 for at in range(COUNT)]
        assert reader.times_ns.tolist() == [1_795_000_000_000_000_001 + at for at in range(COUNT)]


def test_somebody_elses_fieldrec_key_stays(tmp_path: Path) -> None:
    store = imgstore.new_for_format("npy", str(tmp_path / "frogs"), imgshape=(4, 4),
                                    imgdtype="uint8", metadata={"fieldrec": "a word"})
    store.add_image(np.zeros((4, 4), np.uint8), 0, 0.5)
    store.close()
    make(tmp_path / "frogs", tmp_path / "new", "png")
    assert told(tmp_path / "new")[1] == {"fieldrec": "a word"}


def test_an_empty_store(tmp_path: Path) -> None:
    store = imgstore.new_for_format("npy", str(tmp_path / "frogs"), imgshape=(4, 4),
                                    imgdtype="uint8")
    store.close()
    assert make(tmp_path / "frogs", tmp_path / "new", "png").frame_count == 0
    with StoreReader(tmp_path / "new") as reader:
        assert (reader.frame_count, reader.problems) == (0, ())


# -- encodings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "encoding", "stored", "decoded"), [
    ("png", None, "cv_bayerbg", False), ("png", DECODED, None, True),
    ("png", "cv_bayergr", "cv_bayergr", False), ("png+color", None, None, True),
    ("jpg", None, None, True), ("mjpeg/avi", None, None, True)])
def test_a_mosaic_is_kept_unless_the_format_would_spoil_it(
        tmp_path: Path, form: str, encoding: str | None, stored: str | None, decoded: bool) -> None:
    foreign(tmp_path / "frogs", "npy", encoding="cv_bayerbg")
    made = make(tmp_path / "frogs", tmp_path / "new", form, encoding=encoding)
    assert told(tmp_path / "new")[0]["encoding"] == stored
    assert any("decoded" in note for note in made.notes) == decoded
    with StoreReader(tmp_path / "frogs") as old, StoreReader(tmp_path / "new") as new:
        expected = old.decoded(5) if decoded else old.read(5)
        assert new.read(5).shape == expected.shape
        if made.lossless:
            assert np.array_equal(new.read(5), expected)
    assert_same_records(tmp_path / "new")


def test_a_mosaic_that_only_the_recorder_told_is_decoded_too(tmp_path: Path) -> None:
    spec = FrameSpec((48, 64), "uint8", "BAYER_RG8", 50.0)
    writer = StoreWriter(tmp_path / "bees", spec, chunksize=4, timezone="UTC", created_epoch_ns=0,
                         user_metadata=recording_metadata({}, spec, "UTC"))
    writer.append(pixels(1), 0, 0, None)
    writer.close()
    make(tmp_path / "bees", tmp_path / "new", "jpg")
    store, user = told(tmp_path / "new")
    assert (store["imgshape"], user["fieldrec"]["pixel_format"]) == ([48, 64, 3], "BGR8")


# -- damage ----------------------------------------------------------------------------------------


def damage(store: Path) -> None:
    (store / "000001" / "000001.npy").write_bytes(b"")
    (store / "000001" / "000003.npy").unlink()


def test_damaged_frames_are_refused_and_named(source: Path, tmp_path: Path) -> None:
    damage(source)
    with pytest.raises(StoreDamaged, match=r"frame 5 \(number 10\): .*--skip-damaged"):
        make(source, tmp_path / "new", "png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frogs"]


def test_damaged_frames_are_left_out_and_told_when_asked(source: Path, tmp_path: Path) -> None:
    damage(source)
    made = make(source, tmp_path / "new", "png", skip_damaged=True)
    assert [line.partition(":")[0] for line in made.skipped] == ["frame 5", "frame 7"]
    kept = [at for at in range(COUNT) if at not in (5, 7)]
    with StoreReader(tmp_path / "new") as reader:
        assert reader.numbers.tolist() == [NUMBERS[at] for at in kept]
        assert reader.index.times_s.tolist() == [TIMES_S[at] for at in kept]
        assert all(np.array_equal(reader.read(place), pixels(at))
                   for place, at in enumerate(kept))
    assert [record["frame_index"] for record in iter_extra_records(tmp_path / "new")] == [
        -1, 0, 3, 5, 7]


def test_damaged_indexes_and_extra_data(source: Path, tmp_path: Path) -> None:
    (source / "000000" / "index.npz").write_bytes(b"PK\3\4")
    with pytest.raises(StoreDamaged, match="--skip-damaged"):
        make(source, tmp_path / "new", "png")
    extra = source / "000001" / "index.extra.json"
    extra.write_text(extra.read_text()[:-20])
    made = make(source, tmp_path / "new", "png", skip_damaged=True)
    assert made.frame_count == COUNT - 4
    assert len(made.skipped) == 2


def test_a_store_of_which_nothing_can_be_read(source: Path, tmp_path: Path) -> None:
    for frame in source.rglob("*.npy"):
        frame.write_bytes(b"")
    with pytest.raises(StoreDamaged, match="not one frame"):
        make(source, tmp_path / "new", "png", skip_damaged=True)
    assert not (tmp_path / "new").exists()


# -- refused, stopped, failed ----------------------------------------------------------------------


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "frogs")


@pytest.mark.parametrize(("form", "wish", "error", "says"), [
    ("gif", {}, StoreError, "gif"), ("png", {"encoding": "cv_no"}, UsageError, "cv_no"),
    ("png", {"chunksize": -1}, StoreError, "chunksize"),
])
def test_wishes_that_cannot_be_met(source: Path, tmp_path: Path, form: str, wish: dict[str, Any],
                                   error: type[FieldrecError], says: str) -> None:
    with pytest.raises(error, match=says):
        make(source, tmp_path / "new", form, **wish)
    assert left(tmp_path) == []


@pytest.mark.parametrize("form", ["jpg", "bmp", "avc1/mp4"])
def test_what_the_format_cannot_hold_is_refused(tmp_path: Path, form: str) -> None:
    foreign(tmp_path / "frogs", dtype="float32")
    with pytest.raises(StoreError, match="float32"):
        make(tmp_path / "frogs", tmp_path / "new", form)
    assert left(tmp_path) == []


def test_numbers_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    store = imgstore.new_for_format("npy", str(tmp_path / "frogs"), imgshape=(4, 4),
                                    imgdtype="uint8")
    store.add_image(np.zeros((4, 4), np.uint8), 0.5, 0.5)
    store.close()
    with pytest.raises(StoreError, match=r"frame 0 is 0\.5"):
        make(tmp_path / "frogs", tmp_path / "new", "png")
    assert left(tmp_path) == []


def test_nothing_is_replaced(source: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    with pytest.raises(StoreError, match="exists already"):
        make(source, tmp_path / "new", "png")


@pytest.mark.parametrize("phase", ["converting", "comparing"])
def test_stopped_anywhere_nothing_is_left(source: Path, tmp_path: Path, phase: str) -> None:
    stop = threading.Event()
    with StoreReader(source) as store, pytest.raises(ConversionStopped):
        convert(store, tmp_path / "new", Wish("png"), stop=stop,
                on_progress=lambda at, *_: stop.set() if at == phase else None)
    assert left(tmp_path) == []


@pytest.fixture
def hook() -> Iterator[Any]:
    yield durable.set_hook
    durable.set_hook(None)


@pytest.mark.parametrize("name", ["000005.png", "index.npz", "metadata.yaml", "index.extra.json"])
def test_a_full_disk_leaves_nothing(source: Path, tmp_path: Path, hook: Any, name: str) -> None:
    def full(step: str, path: Path) -> None:
        if step in ("create", "write") and name in str(path):
            raise OSError(28, "No space left on device")

    hook(full)
    with pytest.raises(StoreFull):
        make(source, tmp_path / "new", "png", chunksize=100)
    assert left(tmp_path) == []


def test_what_a_killed_one_left_is_no_hindrance_and_a_living_one_is(
        source: Path, tmp_path: Path) -> None:
    part = tmp_path / ".part-new"
    spec = FrameSpec((48, 64), "uint8", "MONO8", 0.0)
    living = StoreWriter(part, spec, chunksize=4, timezone="UTC", created_epoch_ns=0,
                         user_metadata={})
    with pytest.raises(LockedError):
        make(source, tmp_path / "new", "png")
    living.abandon()
    assert list(part.iterdir())
    make(source, tmp_path / "new", "png")
    assert left(tmp_path) == ["new"]


@pytest.mark.parametrize("what", ["pixels", "numbers", "metadata"])
def test_what_reads_back_otherwise_is_thrown_away(source: Path, tmp_path: Path, what: str,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer writes something else than it was given."""
    append = StoreWriter.append

    def wrong(self: StoreWriter, image: Any, number: int, *rest: Any) -> None:
        if number == 11:
            image, number = (image + 1, number) if what == "pixels" else (image, 12)
        append(self, image, number, *rest)

    if what == "metadata":
        monkeypatch.setattr(StoreWriter, "add_extra_data", lambda *_, **__: None)
    else:
        monkeypatch.setattr(StoreWriter, "append", wrong)
    with pytest.raises(VerifyMismatch):
        make(source, tmp_path / "new", "png")
    assert left(tmp_path) == []


def test_the_source_is_not_touched(source: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}
    make(source, tmp_path / "new", "png")
    after = {path: path.read_bytes() for path in source.rglob("*")
             if path.is_file() and path.name != ".frames.index"}
    assert after == before
    assert yaml.safe_load((source / "metadata.yaml").read_text())["species"] == "frög"
