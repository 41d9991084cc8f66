"""Open chunks of video stores: every picture at once on disk, whole after every error."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fieldrec.core import durable
from fieldrec.core.errors import StoreError, StoreFull, SyncFailed
from fieldrec.store import layout
from fieldrec.store.chunk_paths import chunk_paths
from fieldrec.store.metadata import StoreMetadata, store_mapping, store_metadata
from fieldrec.store.video import avi as video_avi
from fieldrec.store.video.chunk import OpenVideoChunk
from fieldrec.store.video.codec import KEYFRAME_EVERY, PictureEncoder, available, video_form
from fieldrec.store.video.file import WrittenVideo
from tests.fakes.video_chunks import (
    FORMS,
    START_NS,
    append,
    decoded,
    new_store,
    number_in,
    open_chunk,
    picture,
    pictures_for,
    shown,
)

forms = pytest.mark.parametrize("form", FORMS)


@contextmanager
def failing(step: str, name: str, number: int = errno.ENOSPC, after: int = 0) -> Iterator[None]:
    """From the `after`th time on, this step on files of this name fails."""
    times = 0

    def hook(at: str, path: Path) -> None:
        nonlocal times
        if at == step and path.name.endswith(name):
            times += 1
            if times > after:
                raise OSError(number, os.strerror(number))

    durable.set_hook(hook)
    try:
        yield
    finally:
        durable.set_hook(None)


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def whole_positions(path: Path, metadata: StoreMetadata) -> list[int]:
    with WrittenVideo(path, video_form(metadata).container) as video:
        found = video.head()
        assert found is not None
        return [head.position for head, _offset in video.whole_frames(found[1])]


# --- what is written ---------------------------------------------------------------------------

@forms
@pytest.mark.parametrize("shape", [(48, 64), (48, 64, 1), (49, 65, 3)])
def test_pictures_come_back_in_order_and_at_a_constant_rate(tmp_path: Path, form: str,
                                                            shape: tuple[int, ...]) -> None:
    metadata = new_store(tmp_path, form, shape)
    chunk = open_chunk(tmp_path, metadata)
    append(chunk, range(70), shape)
    assert chunk.count == 70 and not chunk.full
    chunk.finish()
    chunk.release()
    images = decoded(chunk.paths.frames)
    assert [number_in(image) for image in images] == list(range(70))
    assert images[0].shape == (48, 64, 3)
    assert names(tmp_path) == sorted(["000000" + metadata.extension, "000000.frames.log",
                                      "metadata.yaml"])


@forms
def test_each_picture_is_in_the_file_when_append_returns(tmp_path: Path, form: str) -> None:
    metadata = new_store(tmp_path, form)
    chunk = open_chunk(tmp_path, metadata)
    path = tmp_path / "000000.open"
    size = path.stat().st_size + chunk.paths.log.stat().st_size
    for number in range(35):
        size += chunk.append(picture(number), number, START_NS + number, -1)
        assert path.stat().st_size + chunk.paths.log.stat().st_size == size
        assert whole_positions(path, metadata) == list(range(number + 1))
    log = layout.parse_log(chunk.paths.log.read_bytes())
    assert log.positions.tolist() == list(range(35))
    with av.open(str(path)) as growing:  # by any player, while it grows
        assert [number_in(frame.to_ndarray(format="bgr24"))
                for frame in growing.decode(video=0)] == list(range(35))
    chunk.release()


@forms
def test_seeking_decodes_few_pictures(tmp_path: Path, form: str) -> None:
    metadata = new_store(tmp_path, form)
    chunk = open_chunk(tmp_path, metadata)
    append(chunk, range(2 * KEYFRAME_EVERY + 1))
    chunk.finish()
    chunk.release()
    with av.open(str(chunk.paths.frames)) as video:
        keys = [packet.is_keyframe for packet in video.demux(video=0) if packet.size]
    assert sum(keys) >= 3
    assert max(len(run) for run in "".join("K" if key else "." for key in keys).split("K")) \
        < KEYFRAME_EVERY


@forms
def test_opencv_reads_any_picture_and_knows_how_many(tmp_path: Path, form: str) -> None:
    metadata = new_store(tmp_path, form)
    chunk = open_chunk(tmp_path, metadata)
    append(chunk, range(80))
    chunk.finish()
    chunk.release()
    video = cv2.VideoCapture(str(chunk.paths.frames))
    try:
        assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 80
        assert video.get(cv2.CAP_PROP_FPS) == 25.0
        for number in (79, 0, 31, 30, 29, 78):
            video.set(cv2.CAP_PROP_POS_FRAMES, number)
            image = video.read()[1]
            assert image is not None
            assert number_in(image) == number
    finally:
        video.release()


def through_opencv(path: Path) -> NDArray[Any]:
    video = cv2.VideoCapture(str(path))
    try:
        image = video.read()[1]
        assert image is not None
        return image
    finally:
        video.release()


@forms
def test_grey_levels_are_not_shifted(tmp_path: Path, form: str) -> None:
    metadata = new_store(tmp_path, form, (64, 256))
    levels = np.repeat(np.arange(0, 256, 16), 16).astype(np.uint8)
    image = np.tile(levels, (64, 1))
    chunk = open_chunk(tmp_path, metadata)
    chunk.append(image, 0, START_NS, -1)
    chunk.finish()
    chunk.release()
    for read in (through_opencv(chunk.paths.frames), decoded(chunk.paths.frames)[0]):
        grey = cv2.cvtColor(read, cv2.COLOR_BGR2GRAY).astype(float)
        inner = np.s_[:, 4::16]  # away from the steps, where a codec rings
        assert np.abs(grey - image)[inner].max() <= 2
        assert abs(float((grey - image)[inner].mean())) < 0.5


@forms
def test_colours_are_not_shifted(tmp_path: Path, form: str) -> None:
    metadata = new_store(tmp_path, form, (64, 256, 3))
    colours = np.random.default_rng(5).integers(20, 236, (4, 16, 3), np.uint8)
    image = np.repeat(np.repeat(colours, 16, 0), 16, 1)
    chunk = open_chunk(tmp_path, metadata)
    chunk.append(image, 0, START_NS, -1)
    chunk.finish()
    chunk.release()
    for read in (through_opencv(chunk.paths.frames), decoded(chunk.paths.frames)[0]):
        off = (read.astype(float) - image)[7::16, 7::16]
        assert np.abs(off.mean((0, 1))).max() < 2
        assert np.abs(off).max() < 12


def test_an_odd_last_row_and_column_are_cut_off(tmp_path: Path) -> None:
    shape = (49, 65)
    image = picture(5, shape)
    image[48] = 255
    image[:, 64] = 255
    chunk = open_chunk(tmp_path, new_store(tmp_path, "mjpeg/avi", shape))
    chunk.append(image, 5, START_NS, -1)
    chunk.append(image[:48, :64], 6, START_NS, -1)
    chunk.finish()
    chunk.release()
    first, second = decoded(chunk.paths.frames)
    assert np.array_equal(first, second)
    assert np.abs(first[..., 0].astype(int) - image[:48, :64]).max() < 20


@forms
@pytest.mark.parametrize("count", [0, 1])
def test_every_reader_opens_a_video_of_no_frame_or_one(tmp_path: Path, form: str, count: int
                                                       ) -> None:
    chunk = open_chunk(tmp_path, new_store(tmp_path, form))
    append(chunk, [7] * count)
    chunk.finish()
    assert len(chunk.columns) == count
    chunk.release()
    assert shown(chunk.paths.frames) == ([7, 7] if count else [0])


def test_an_avi_of_several_riffs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_avi, "SEGMENT_BYTES", 20_000)
    metadata = new_store(tmp_path, "mjpeg/avi")
    chunk = open_chunk(tmp_path, metadata)
    append(chunk, range(100))
    chunk.finish()
    chunk.release()
    data = chunk.paths.frames.read_bytes()
    assert data.count(b"AVIX") >= 3
    assert whole_positions(chunk.paths.frames, metadata) == list(range(100))
    assert shown(chunk.paths.frames) == list(range(100))
    video = cv2.VideoCapture(str(chunk.paths.frames))
    try:
        for number in (99, 0, 50, 51, 3):
            video.set(cv2.CAP_PROP_POS_FRAMES, number)
            image = video.read()[1]
            assert image is not None
            assert number_in(image) == number
    finally:
        video.release()


def test_an_avi_cannot_be_larger_than_its_indexes(tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_avi, "SEGMENT_BYTES", 6_000)
    monkeypatch.setattr(video_avi, "MAX_SEGMENTS", 2)
    chunk = open_chunk(tmp_path, new_store(tmp_path, "mjpeg/avi"))
    with pytest.raises(StoreError, match="as large as an AVI can be"):
        append(chunk, range(100))
    kept = chunk.count
    chunk.finish()
    chunk.release()
    assert kept > 2
    assert shown(chunk.paths.frames) == list(range(kept))


# --- what it knows -----------------------------------------------------------------------------

def test_columns_tell_what_was_appended(tmp_path: Path) -> None:
    chunk = open_chunk(tmp_path, new_store(tmp_path, "mjpeg/avi", chunksize=3))
    chunk.append(picture(0), 5, 10**18, -1)
    chunk.append(picture(1), -6, 10**18 + 1, 77)
    assert chunk.columns.times_s is None
    chunk.append(picture(2), 7, 10**18 + 2, -1, time_s=1.5)
    columns = chunk.columns
    chunk.release()
    assert columns.numbers.tolist() == [5, -6, 7]
    assert columns.times_ns.tolist() == [10**18, 10**18 + 1, 10**18 + 2]
    assert columns.device_times_ns.tolist() == [-1, 77, -1]
    assert columns.digests is None
    assert columns.seconds().tolist() == [1e9, 1e9, 1.5]
    assert chunk.full


def test_nothing_goes_into_a_chunk_that_is_full_or_closed(tmp_path: Path) -> None:
    chunk = open_chunk(tmp_path, new_store(tmp_path, "mjpeg/avi", chunksize=2))
    append(chunk, range(2))
    with pytest.raises(StoreError, match="full"):
        append(chunk, [2])
    chunk.finish()
    chunk.finish()
    with pytest.raises(StoreError, match="closed"):
        append(chunk, [2])
    chunk.release()
    chunk.release()
    assert shown(chunk.paths.frames) == [0, 1]


@pytest.mark.parametrize("image", [
    np.zeros((48, 66), np.uint8), np.zeros((46, 64), np.uint8), np.zeros((48, 64), np.uint16),
    np.zeros((48, 64, 4), np.uint8), np.zeros((48,), np.uint8), np.zeros((48, 64), np.float32)],
    ids=lambda image: f"{image.dtype}{image.shape}")
def test_other_pictures_than_the_stores_are_refused(tmp_path: Path, image: NDArray[Any]) -> None:
    chunk = open_chunk(tmp_path, new_store(tmp_path, "mjpeg/avi"))
    append(chunk, [0])
    with pytest.raises(StoreError, match="64 x 48"):
        chunk.append(image, 1, START_NS, -1)
    with pytest.raises(StoreError, match="64 bits"):
        chunk.append(picture(1), 2**63, START_NS, -1)
    append(chunk, [1])
    chunk.finish()
    chunk.release()
    assert shown(chunk.paths.frames) == [0, 1]


def test_what_no_video_can_hold_is_refused() -> None:
    def of(form: str, shape: tuple[int, ...], dtype: str = "uint8") -> StoreMetadata:
        return store_metadata(store_mapping(
            shape, dtype, chunksize=3, timezone="UTC", created_epoch_ns=0, uuid="",
            class_name="VideoImgStore", form=form, extension=".mp4"))

    with pytest.raises(StoreError, match="not written, only read"):
        video_form(of("libx264", (48, 64)))
    with pytest.raises(StoreError, match="not uint16"):
        video_form(of("avc1/mp4", (48, 64), "uint16"))
    with pytest.raises(StoreError, match="grey or BGR"):
        video_form(of("avc1/mp4", (48, 64, 4)))
    with pytest.raises(StoreError, match="pixels a side"):
        video_form(of("avc1/mp4", (1, 64)))
    assert video_form(of("mjpeg", (48, 64))).name == "mjpeg/avi"


def test_every_format_can_be_written_here() -> None:
    assert [available(form) for form in (*FORMS, "mjpeg")] == [None] * 4
    assert "not a video format" in str(available("npy"))


# --- errors ------------------------------------------------------------------------------------

@forms
@pytest.mark.parametrize("name", [".open", ".frames.log"])
def test_a_frame_that_finds_no_room_is_not_there_and_the_rest_is(tmp_path: Path, form: str,
                                                                 name: str) -> None:
    metadata = new_store(tmp_path, form)
    chunk = open_chunk(tmp_path, metadata)
    append(chunk, range(5))
    for _ in range(2):
        with failing("write", name), pytest.raises(StoreFull, match="000000"):
            append(chunk, [99])
        assert chunk.count == 5
        assert whole_positions(tmp_path / "000000.open", metadata) == list(range(5))
    append(chunk, range(5, 10))
    with failing("write", name, errno.EIO), pytest.raises(StoreError, match="cannot write"):
        append(chunk, [99])
    append(chunk, range(10, 12))
    chunk.finish()
    chunk.release()
    log = layout.parse_log(chunk.paths.log.read_bytes())
    assert log.columns.numbers.tolist() == list(range(12))
    assert shown(chunk.paths.frames) == list(range(12))


def test_a_torn_record_does_not_shift_those_behind_it(tmp_path: Path) -> None:
    chunk = open_chunk(tmp_path, new_store(tmp_path, "mjpeg/avi"))
    append(chunk, range(3))

    def half(step: str, path: Path) -> None:
        if path == chunk.paths.log:
            os.write(chunk._coded._log, bytes(20))
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    durable.set_hook(half)
    with pytest.raises(StoreFull):
        append(chunk, [99])
    durable.set_hook(None)
    append(chunk, range(3, 6))
    chunk.release()
    log = layout.parse_log(chunk.paths.log.read_bytes())
    assert log.columns.numbers.tolist() == list(range(6))


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """The kernel takes part of a write that crosses the limit, and then none: as a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@forms
@pytest.mark.parametrize("room", [1, 30, 700])
def test_a_write_that_stops_half_way_leaves_nothing(tmp_path: Path, form: str, room: int) -> None:
    metadata = new_store(tmp_path, form, chunksize=200)
    chunk = open_chunk(tmp_path, metadata)
    append(chunk, range(4))
    path = tmp_path / "000000.open"
    size = path.stat().st_size
    with no_file_larger_than(size + room), pytest.raises(StoreFull):
        append(chunk, range(4, 100))
    kept = chunk.count
    assert whole_positions(path, metadata) == list(range(kept))
    with no_file_larger_than(path.stat().st_size + 5), pytest.raises(StoreFull):
        chunk.finish()
    assert whole_positions(path, metadata) == list(range(kept))
    append(chunk, range(kept, kept + 4))
    chunk.finish()
    chunk.release()
    assert shown(chunk.paths.frames) == list(range(kept + 4))


@forms
def test_a_picture_after_a_lost_one_does_not_refer_to_it(tmp_path: Path, form: str) -> None:
    metadata = new_store(tmp_path, form)
    chunk = open_chunk(tmp_path, metadata)
    append(chunk, range(3))
    with failing("write", ".open"), pytest.raises(StoreFull):
        append(chunk, [255])
    append(chunk, [3])
    chunk.release()
    with WrittenVideo(tmp_path / "000000.open", video_form(metadata).container) as video:
        found = video.head()
        assert found is not None
        assert [head.key for head, _offset in video.whole_frames(found[1])][3]


@forms
@pytest.mark.parametrize("count", [0, 1, 9])
def test_finishing_may_be_tried_again(tmp_path: Path, form: str, count: int) -> None:
    metadata = new_store(tmp_path, form)
    chunk = open_chunk(tmp_path, metadata)
    append(chunk, range(count))
    steps: list[tuple[str, str, int, type[StoreError], int]] = [
        ("write", ".open", errno.ENOSPC, StoreFull, after) for after in range(3)]
    steps += [("fsync", ".open", errno.ENOSPC, StoreFull, 0),
              ("rename", ".open", errno.EIO, StoreError, 0)]
    for step, name, number, kind, after in steps:
        with failing(step, name, number, after):
            try:
                chunk.finish()
            except kind:
                assert not chunk.paths.frames.exists()
            else:
                assert after == 2  # the last write, where there are so many
                break
    chunk.finish()
    chunk.release()
    assert shown(chunk.paths.frames)[:count] == list(range(count))
    assert len(shown(chunk.paths.frames)) == pictures_for(count)


def test_a_failed_sync_is_said(tmp_path: Path) -> None:
    chunk = open_chunk(tmp_path, new_store(tmp_path, "avc1/mp4"))
    append(chunk, range(3))
    with failing("fsync", ".open", errno.EIO), pytest.raises(SyncFailed):
        chunk.finish()
    chunk.release()
    assert (tmp_path / "000000.open").exists()


@pytest.mark.parametrize("step", range(12))
def test_nothing_is_left_of_a_chunk_that_cannot_be_opened(tmp_path: Path, step: int) -> None:
    metadata = new_store(tmp_path, "avc1/mp4")
    seen: list[str] = []

    def hook(at: str, path: Path) -> None:
        seen.append(at)
        if len(seen) == step + 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    durable.set_hook(hook)
    try:
        chunk = open_chunk(tmp_path, metadata)
    except (StoreFull, SyncFailed):
        assert names(tmp_path) == ["metadata.yaml"]
    else:
        assert len(seen) <= step
        chunk.release()
    finally:
        durable.set_hook(None)


def test_an_encoder_that_refuses_leaves_nothing(tmp_path: Path) -> None:
    metadata = new_store(tmp_path, "avc1/mp4")
    form = video_form(metadata)
    broken = type(form)(form.name, form.encoder, "no such pixels", form.options, None,
                        form.container, 64, 48)
    with pytest.raises(StoreError, match="refuses"):
        OpenVideoChunk(chunk_paths(tmp_path, 0, ".mp4"), 3, broken)
    assert names(tmp_path) == ["metadata.yaml"]


def test_an_empty_chunk_can_be_discarded(tmp_path: Path) -> None:
    metadata = new_store(tmp_path, "avc1/mp4")
    for finished in (False, True):
        chunk = open_chunk(tmp_path, metadata)
        if finished:
            chunk.finish()
        chunk.discard_empty()
        assert names(tmp_path) == ["metadata.yaml"]


def test_a_chunk_is_never_written_over_another(tmp_path: Path) -> None:
    metadata = new_store(tmp_path, "avc1/mp4")
    chunk = open_chunk(tmp_path, metadata)
    append(chunk, range(3))
    with pytest.raises(StoreError, match="File exists"):
        open_chunk(tmp_path, metadata)
    chunk.finish()
    chunk.release()
    assert shown(chunk.paths.frames) == [0, 1, 2]


def test_the_encoder_gives_one_packet_a_picture(tmp_path: Path) -> None:
    for form in FORMS:
        encoder = PictureEncoder(video_form(new_store(tmp_path, form)))
        keys = [encoder.encode(picture(number), key=number == 7)[1] for number in range(10)]
        assert keys[0] and keys[7]
        assert form == "mjpeg/avi" or sum(keys) == 2
