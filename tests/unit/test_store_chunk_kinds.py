"""A store of any kind lives, fails and recovers alike: frame files of every format, and videos."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imgstore import new_for_filename

from fieldrec.core import durable
from fieldrec.core.errors import StoreError, SyncFailed
from fieldrec.core.model import FrameSpec
from fieldrec.store.recover import recover
from fieldrec.store.writer import StoreWriter

SPEC = FrameSpec((48, 64), "uint8", "MONO8", 25.0)
FILES = ["npy", "png", "tif", "bmp", "pgm", "ppm", "jpg"]
VIDEOS = ["mjpeg/avi", "avc1/mp4", "h264/mkv"]


def picture(number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A smooth one, told apart by its brightness whatever the codec does to it."""
    return np.full(SPEC.shape, 20 + 15 * number, np.uint8)


def writer(path: Path, form: str, *, chunksize: int = 4) -> StoreWriter:
    return StoreWriter(path, SPEC, chunksize=chunksize, user_metadata={}, timezone="UTC",
                       created_epoch_ns=0, form=form)


def append(store: StoreWriter, *numbers: int) -> None:
    for number in numbers:
        store.append(picture(number), number, number * 40_000_000, None)
        store.add_extra_data(n=number)


def assert_imgstore_reads(path: Path, numbers: list[int], *, extra: list[int] | None = None
                          ) -> None:
    oracle = new_for_filename(str(path))
    try:
        assert oracle.frame_count == len(numbers)
        for number in numbers:
            image, (told, _time_s) = oracle.get_next_image()
            assert told == number
            assert abs(float(image.mean()) - float(picture(number).mean())) < 4
        if extra is not None:
            assert oracle.get_extra_data()["n"].tolist() == extra
    finally:
        oracle.close()


@pytest.mark.parametrize("form", [*FILES, *VIDEOS])
def test_a_life(tmp_path: Path, form: str) -> None:
    store = writer(tmp_path / "s", form)
    append(store, *range(9))
    store.close()
    assert_imgstore_reads(tmp_path / "s", list(range(9)), extra=list(range(9)))
    assert not list((tmp_path / "s").rglob("*.log"))
    assert not list((tmp_path / "s").rglob(".*"))


@pytest.mark.parametrize("form", [*FILES, *VIDEOS])
def test_an_exactly_full_last_chunk_is_the_last(tmp_path: Path, form: str) -> None:
    store = writer(tmp_path / "s", form)
    append(store, *range(8))
    store.close()
    assert_imgstore_reads(tmp_path / "s", list(range(8)))
    assert not list((tmp_path / "s").glob("000002*"))


@pytest.mark.parametrize("form", [*FILES, *VIDEOS])
def test_imgstore_opens_an_empty_store(tmp_path: Path, form: str) -> None:
    writer(tmp_path / "s", form).close()
    oracle = new_for_filename(str(tmp_path / "s"))
    assert (oracle.frame_count, oracle.chunks) == (0, [])
    with pytest.raises(EOFError):
        oracle.get_next_image()
    oracle.close()


@pytest.mark.parametrize("form", [*FILES, *VIDEOS])
def test_a_crash_costs_neither_frames_nor_synced_extra_data(tmp_path: Path, form: str) -> None:
    store = writer(tmp_path / "s", form)
    append(store, *range(6))
    store.sync()
    append(store, 6)
    store.abandon()
    recover(tmp_path / "s")
    assert_imgstore_reads(tmp_path / "s", list(range(7)), extra=list(range(6)))


@pytest.mark.parametrize("form", ["npy", "avc1/mp4"])
def test_a_crash_does_not_round_times(tmp_path: Path, form: str) -> None:
    times_s = [1 / 3, 5.0, 1.7e9 + 1 / 7]
    store = writer(tmp_path / "s", form)
    for number, time_s in enumerate(times_s):
        store.append(picture(number), number, round(time_s * 1e9), None, time_s)
    store.abandon()
    recover(tmp_path / "s")
    oracle = new_for_filename(str(tmp_path / "s"))
    assert oracle.get_frame_metadata()["frame_time"] == times_s
    oracle.close()


@pytest.mark.parametrize("form", [*FILES, *VIDEOS])
def test_a_failed_sync_has_the_chunk_verified(tmp_path: Path, form: str) -> None:
    store = writer(tmp_path / "s", form)
    append(store, *range(6))

    def no_sync(step: str, _path: Path) -> None:
        if step == "syncfs":
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    durable.set_hook(no_sync)
    with pytest.raises(SyncFailed):
        store.sync()
    durable.set_hook(None)
    store.next_chunk_after_sync_failure()
    append(store, 6, 7, 8)
    store.close()
    assert (store.frame_count, store.lost, store.chunks_finished) == (9, 0, 3)
    assert_imgstore_reads(tmp_path / "s", list(range(9)), extra=list(range(9)))


@pytest.mark.parametrize("form", VIDEOS)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_video_that_cannot_be_ended_is_tried_again(tmp_path: Path, form: str, number: int
                                                     ) -> None:
    store = writer(tmp_path / "s", form, chunksize=2)
    append(store, 0)

    def no_name(step: str, path: Path) -> None:
        if step == "rename" and path.name == "000000.open":
            raise OSError(number, os.strerror(number))

    durable.set_hook(no_name)
    append(store, 1)
    with pytest.raises(StoreError):
        append(store, 2)
    durable.set_hook(None)
    append(store, 2)
    store.close()
    assert_imgstore_reads(tmp_path / "s", [0, 1, 2])


@pytest.mark.parametrize(("form", "spec"), [
    ("avc1/mp4", FrameSpec((48, 64), "uint16", "MONO16", 25.0)),
    ("mjpeg/avi", FrameSpec((48, 64, 4), "uint8", "BGRA8", 25.0)),
])
def test_what_no_video_holds_is_refused_before_anything_is_made(
        tmp_path: Path, form: str, spec: FrameSpec) -> None:
    with pytest.raises(StoreError, match="use npy"):
        StoreWriter(tmp_path / "s", spec, chunksize=4, user_metadata={}, timezone="UTC",
                    created_epoch_ns=0, form=form)
    assert list(tmp_path.iterdir()) == []


def test_mosaics_are_decoded_before_they_are_stored_in_colour(tmp_path: Path) -> None:
    store = StoreWriter(tmp_path / "s", SPEC, chunksize=4, user_metadata={}, timezone="UTC",
                        created_epoch_ns=0, form="png+color", encoding="cv_bayerbg")
    mosaic = np.random.default_rng(1).integers(0, 255, SPEC.shape, np.uint8)
    store.append(mosaic, 0, 0, None)
    store.close()
    theirs = new_for_filename(str(tmp_path / "s"))
    stored = theirs.get_image(0)[0]
    theirs.close()
    kept = StoreWriter(tmp_path / "kept", SPEC, chunksize=4, user_metadata={}, timezone="UTC",
                       created_epoch_ns=0, form="png", encoding="cv_bayerbg")
    kept.append(mosaic, 0, 0, None)
    kept.close()
    decoded = new_for_filename(str(tmp_path / "kept"))
    assert np.array_equal(decoded.get_image(0)[0], stored)
    assert stored.shape == (48, 64, 3)
    decoded.close()
