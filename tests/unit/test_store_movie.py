"""An exported movie read as a store: the same numbers, times, metadata and extra data, its own
pixels, and every frame the one that was asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldrec.core.errors import JobRefused, StoreDamaged
from fieldrec.core.model import FrameSpec
from fieldrec.export.sidecar import TRANSCODE_FORMAT
from fieldrec.store import iter_extra_records, new_for_filename, new_for_format
from fieldrec.store.api.imgstore_errors import NoStore, NotWritable, WrongArgument
from fieldrec.store.movie.content import sidecar_path
from fieldrec.store.reader import StoreReader
from fieldrec.store.visible import Visible
from fieldrec.store.writer import StoreWriter
from tests.fakes.export_content import BGR, MONO, Pixels, moving, uneven_times, write_store
from tests.fakes.movies import make_movie

COUNT = 16
ODD = FrameSpec((67, 91), "uint8", "MONO8", 60.0)
SPECS = {
    "mono": ODD, "bgr": FrameSpec((67, 91, 3), "uint8", "BGR8", 60.0),
    "rgb": FrameSpec((68, 92, 3), "uint8", "RGB8", 60.0),
    "mono12": FrameSpec((67, 91), "uint16", "MONO12", 60.0),
    "mono16": FrameSpec((67, 91), "uint16", "MONO16", 60.0),
    "bayer": FrameSpec((67, 91), "uint8", "BAYER_GB8", 60.0),
    "bayer12": FrameSpec((67, 91), "uint16", "BAYER_GB12", 60.0)}


def frames_of(kind: str) -> list[Pixels]:
    frames = moving(COUNT, SPECS[kind])
    return [frame >> 4 for frame in frames] if kind.endswith("12") else frames


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("stores")
    return {kind: write_store(folder / kind, frames_of(kind), spec)
            for kind, spec in SPECS.items()}


ORDER = (0, COUNT - 1, 7, 6, 5, 8, 1, 7)
"""Ahead, back, and again."""


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.parametrize("extension", [".mkv", ".avi"])
def test_a_lossless_movie_gives_the_raw_frames(stores: dict[str, Path], tmp_path: Path, kind: str,
                                               extension: str) -> None:
    movie = make_movie(stores[kind], tmp_path / f"{kind}.lossless{extension}", "Lossless").path
    with new_for_filename(stores[kind]) as raw, new_for_filename(movie) as found:
        assert found.lossless
        assert (found.image_shape, found.user_metadata) == (raw.image_shape, raw.user_metadata)
        for index in ORDER:
            image, place = found.get_image(None, frame_index=index)
            wanted, wanted_place = raw.get_image(None, frame_index=index)
            assert (place, image.dtype) == (wanted_place, wanted.dtype)
            assert np.array_equal(image, wanted)


@pytest.mark.parametrize(("kind", "name", "extension"), [
    *((kind, "High", ".mp4") for kind in SPECS),
    *((kind, name, extension) for kind in ("mono", "rgb") for name, extension in (
        ("High", ".mkv"), ("High", ".avi"), ("HEVC", ".mp4"), ("VP9", ".mkv")))])
def test_a_lossy_movie_gives_grey_or_bgr(stores: dict[str, Path], tmp_path: Path, kind: str,
                                         name: str, extension: str) -> None:
    movie = make_movie(stores[kind], tmp_path / f"{kind}{extension}", name).path
    colour = kind in ("bgr", "rgb", "bayer", "bayer12")
    with new_for_filename(movie) as found, StoreReader(stores[kind]) as raw:
        assert not found.lossless
        assert found.image_shape == (*raw.spec.shape[:2], 3) if colour else raw.spec.shape
        wanted = [raw.read(index) >> 8 if kind == "mono16" else Visible(raw).picture(index)
                  for index in range(COUNT)]
        for index in ORDER:
            image = found.get_image(None, frame_index=index)[0]
            assert (image.shape, str(image.dtype)) == (found.image_shape, "uint8")
            errors = [np.abs(image.astype(float) - other).mean() for other in wanted]
            assert int(np.argmin(errors)) == index
            assert errors[index] < (3.5 if not colour else 12)


def test_colours_are_what_was_recorded(tmp_path: Path) -> None:
    """By the tags of the movie, at sizes on both sides of the change of matrix."""
    bars = [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (30, 160, 90)]
    for lines in (64, 736):
        frame = np.zeros((lines, 96, 3), np.uint8)
        for at, bar in enumerate(bars):
            frame[:, at * 16:at * 16 + 16] = bar
        spec = FrameSpec(frame.shape, "uint8", "BGR8", 60.0)
        store = write_store(tmp_path / f"bars{lines}", [frame] * 2, spec)
        movie = make_movie(store, tmp_path / f"bars{lines}.mp4").path
        with new_for_filename(movie) as found:
            image = found.get_image(None, frame_index=1)[0]
        for at, bar in enumerate(bars):
            seen = image[lines // 2, at * 16 + 8].astype(int)
            assert np.abs(seen - bar).max() <= 3, (lines, bar, seen)


def test_grey_comes_back_over_its_whole_range(tmp_path: Path) -> None:
    frame = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
    spec = FrameSpec(frame.shape, "uint8", "MONO8", 60.0)
    store = write_store(tmp_path / "ramp", [frame] * 2, spec)
    movie = make_movie(store, tmp_path / "ramp.mp4").path
    with new_for_filename(movie) as found:
        image = found.get_image(None, frame_index=1)[0]
    assert np.abs(image.astype(int) - frame).max() <= 3


# --- the interface of a store -------------------------------------------------------------------

@pytest.fixture(scope="module")
def bees(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(store, movie) with gaps, device times and extra data."""
    folder = tmp_path_factory.mktemp("bees")
    writer = StoreWriter(folder / "bees", MONO, chunksize=6, timezone="Europe/Vienna",
                         created_epoch_ns=1_795_000_000_000_000_000, user_metadata={
                             "observer": "Ada", "fieldrec": {"nominal_hz": 60.0}})
    for at, pixels in enumerate(moving(COUNT)):
        number = at if at < 9 else at + 4
        writer.append(pixels, number, int(uneven_times(COUNT)[at]), 1000 + at)
        if at % 4 == 0:
            writer.add_extra_data(temperature=at / 2)
    writer.close({})
    store = folder / "bees"
    return store, make_movie(store, folder / "bees.lossless.mkv", "Lossless").path


@pytest.mark.parametrize("origin", ["sidecar", "carried"])
def test_it_answers_as_the_store_does(bees: tuple[Path, Path], tmp_path: Path, origin: str) -> None:
    movie = tmp_path / "x.mkv"
    movie.write_bytes(bees[1].read_bytes())
    if origin == "sidecar":
        sidecar_path(movie).write_bytes(sidecar_path(bees[1]).read_bytes())
    with new_for_filename(bees[0]) as raw, new_for_filename(str(movie)) as found:
        for name in ("frame_count", "frame_min", "frame_max", "frame_time_min", "frame_time_max",
                     "duration", "uuid", "created", "user_metadata", "image_shape", "lossless",
                     "has_extra_data"):
            assert getattr(found, name) == getattr(raw, name), name
        assert found.get_frame_metadata() == raw.get_frame_metadata()
        wanted = raw.get_extra_data()
        extra = found.get_extra_data()
        assert wanted is not None
        assert extra is not None
        assert extra.equals(wanted)
        assert [image[1] for image in found] == [image[1] for image in raw]
        for number in (0, 13, 8):
            assert found.get_image(number)[1] == raw.get_image(number)[1]
            assert found.get_next_framenumber() == raw.get_next_framenumber()
            assert found.get_next_image()[1] == raw.get_next_image()[1]
        assert found.get_image(10, exact_only=False)[1] == raw.get_image(10, exact_only=False)[1]
        moment = raw.frame_time_min + 0.1
        assert found.get_nearest_image(moment)[1] == raw.get_nearest_image(moment)[1]
        for number in (10, -1, 99):
            with pytest.raises(ValueError, match="no frame with the number"):
                found.get_image(number)
        assert found.refresh() == 0
        assert (found.filename, found.full_path, found.chunks) == (str(movie), str(movie), [0])
        assert found.find_extra_data_files() == []


def test_the_times_are_exact_to_the_nanosecond(bees: tuple[Path, Path]) -> None:
    with StoreReader(bees[0]) as raw, StoreReader(bees[1]) as found:
        assert np.array_equal(found.times_ns, raw.times_ns)
        assert np.array_equal(found.device_times_ns, raw.device_times_ns)
        assert (found.spec, found.timezone, found.uuid) == (raw.spec, raw.timezone, raw.uuid)
        assert found.movie is not None
        assert raw.movie is None
        assert found.frame_path(3) == bees[1]
        out = np.zeros(MONO.shape, np.uint8)
        assert found.read(3, out) is out
        assert np.array_equal(out, raw.read(3))


def test_a_slice_knows_its_place(bees: tuple[Path, Path], tmp_path: Path) -> None:
    movie = make_movie(bees[0], tmp_path / "bees.lossless.002.mkv", "Lossless", first=6, end=13,
                       slices=(2, 3)).path
    with new_for_filename(bees[0]) as raw, new_for_filename(movie) as found:
        assert found.frame_count == 7
        for index in (6, 0, 3):
            image, place = found.get_image(None, frame_index=index)
            wanted, wanted_place = raw.get_image(None, frame_index=index + 6)
            assert place == wanted_place
            assert np.array_equal(image, wanted)
        assert list(iter_extra_records(movie)) == [
            {**record, "frame_index": record["frame_index"] - 6}
            for record in iter_extra_records(bees[0]) if 6 <= record["frame_index"] < 13]


def test_frames_that_were_unreadable_shift_nothing(bees: tuple[Path, Path], tmp_path: Path) -> None:
    movie = make_movie(bees[0], tmp_path / "bees.lossless.mkv", "Lossless", unreadable=(3, 8)).path
    with new_for_filename(bees[0]) as raw, new_for_filename(movie) as found:
        kept = [at for at in range(COUNT) if at not in (3, 8)]
        for index, at in enumerate(kept):
            image, place = found.get_image(None, frame_index=index)
            wanted, wanted_place = raw.get_image(None, frame_index=at)
            assert place == wanted_place
            assert np.array_equal(image, wanted)
        records = list(iter_extra_records(movie))
        assert [record["frame_index"] for record in records] == [0, 3, 6, 10]


def test_a_store_of_another_program_with_an_encoding(tmp_path: Path) -> None:
    frames = moving(4)
    with new_for_format("npy", tmp_path / "m", imgshape=frames[0].shape, imgdtype="uint8",
                        encoding="cv_bayergr", chunksize=3) as written:
        for at, frame in enumerate(frames):
            written.add_image(frame, 3 * at, 1.7e9 + at / 3)
    lossy = make_movie(tmp_path / "m", tmp_path / "m.mp4").path
    exact = make_movie(tmp_path / "m", tmp_path / "m.mkv", "Lossless").path
    for movie, levels in ((lossy, 12), (exact, 0)):
        with new_for_filename(tmp_path / "m") as raw, new_for_filename(movie) as found:
            assert found.get_frame_metadata() == raw.get_frame_metadata(), "to the last bit"
            assert found.image_shape == raw.image_shape
            near = found.get_image(3)[0].astype(float) - raw.get_image(3)[0]
            assert np.abs(near).mean() <= levels
            if movie == exact:
                raw.disable_decoding()
                found.disable_decoding()
                assert np.array_equal(found.get_image(3)[0], raw.get_image(3)[0])


def test_sidecars_of_version_one_are_read(tmp_path: Path) -> None:
    store = write_store(tmp_path / "bees", moving(4, BGR), BGR)
    movie = make_movie(store, tmp_path / "bees.high.mp4", embeds=False,
                       form=TRANSCODE_FORMAT).path
    beside = sidecar_path(movie)
    told = json.loads(beside.read_bytes())
    with StoreReader(store) as raw:
        told = {key: told[key] for key in ("format", "recording", "user_metadata", "file", "preset",
                                           "frame_count", "verified_at_ns")} | {
            "version": 1, "frames": {"number": raw.numbers.tolist(),
                                     "time_ns": raw.times_ns.tolist()},
            "extra_data": [{"a": 1, "frame_index": 2}]}
    beside.write_text(json.dumps(told))
    assert list(iter_extra_records(movie)) == [{"a": 1, "frame_index": 2}]
    with new_for_filename(store) as raw_store, new_for_filename(movie) as found:
        assert found.get_frame_metadata() == raw_store.get_frame_metadata()
        assert found.get_image(None, frame_index=3)[0].shape == BGR.shape


# --- what is wrong is said ----------------------------------------------------------------------

def test_a_movie_is_not_written_to(bees: tuple[Path, Path]) -> None:
    with new_for_filename(bees[1]) as found:
        with pytest.raises(NotWritable):
            found.add_image(np.zeros(MONO.shape, np.uint8), 1, 1.0)
        with pytest.raises(NotWritable, match="not changed"):
            found.reindex()
        with pytest.raises(WrongArgument, match="say where"):
            found.save_index()
        assert type(found).supported_formats() == []
    with pytest.raises(NotWritable, match="fieldrec export"):
        new_for_filename(bees[1], mode="w")


def test_a_movie_of_nobody_is_refused(tmp_path: Path) -> None:
    store = write_store(tmp_path / "bees", moving(3))
    movie = make_movie(store, tmp_path / "bees.high.mp4", embeds=False).path
    sidecar_path(movie).unlink()
    with pytest.raises(NoStore, match="carries nothing"):
        new_for_filename(movie)
    with pytest.raises(NoStore):
        new_for_filename(tmp_path / "none.mp4")


@pytest.mark.parametrize("spoil", [
    {"frame_count": 4}, {"frame_count": -1}, {"pictures": {"shape": [0, 4], "dtype": "uint8"}},
    {"pictures": {"shape": "x"}}, {"user_metadata": 3}, {"frames": None}, {"recording": {}}])
def test_a_content_that_makes_no_sense(tmp_path: Path, spoil: dict[str, Any]) -> None:
    store = write_store(tmp_path / "bees", moving(3))
    movie = make_movie(store, tmp_path / "bees.high.mp4").path
    told = json.loads(sidecar_path(movie).read_bytes())
    sidecar_path(movie).write_text(json.dumps({**told, **spoil}))
    with pytest.raises(StoreDamaged, match=r"damaged|no such"), new_for_filename(movie) as found:
        found.get_frame_metadata()


def test_pictures_of_another_movie(tmp_path: Path) -> None:
    """Names and sizes may fit by chance; pictures that do not are never handed out."""
    bees = make_movie(write_store(tmp_path / "bees", moving(3)), tmp_path / "bees.mkv",
                      "Lossless").path
    ants = make_movie(write_store(tmp_path / "ants", moving(3, ODD), ODD), tmp_path / "ants.mkv",
                      "Lossless", embeds=False).path
    told = json.loads(sidecar_path(bees).read_bytes())
    told["file"]["size_bytes"] = ants.stat().st_size
    sidecar_path(ants).write_text(json.dumps(told))
    with new_for_filename(ants) as found, pytest.raises(StoreDamaged, match="another movie"):
        found.get_image(None, frame_index=0)


def test_a_flipped_bit_in_a_lossless_movie_is_an_error(bees: tuple[Path, Path], tmp_path: Path
                                                       ) -> None:
    movie = tmp_path / bees[1].name
    data = bytearray(bees[1].read_bytes())
    data[data.index(b"\x1f\x43\xb6\x75") + 2000] ^= 16
    movie.write_bytes(data)
    sidecar_path(movie).write_bytes(sidecar_path(bees[1]).read_bytes())
    failed = 0
    with new_for_filename(bees[0]) as raw, new_for_filename(movie) as found:
        for index in range(COUNT):
            try:
                image = found.get_image(None, frame_index=index)[0]
            except OSError:
                failed += 1
                continue
            assert np.array_equal(image, raw.get_image(None, frame_index=index)[0])
    assert failed, "those in the cluster whose checksum is wrong"


def test_mosaics_deeper_than_they_say_are_the_encoders_to_refuse(tmp_path: Path) -> None:
    spec = SPECS["mono12"]
    store = write_store(tmp_path / "deep", [frame << 4 for frame in frames_of("mono12")], spec)
    with pytest.raises(JobRefused, match="12 bits"):
        make_movie(store, tmp_path / "deep.mkv", "Lossless")
