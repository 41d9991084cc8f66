"""Stores of a camera's own packets: chunks, full disks, failed syncs, kills; nothing is decoded."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import pytest

from fieldrec.core import durable
from fieldrec.core.errors import StoreError, StoreFull, SyncFailed
from fieldrec.core.model import FrameSpec
from fieldrec.store import layout
from fieldrec.store.chunk_paths import chunk_paths
from fieldrec.store.reader import StoreReader
from fieldrec.store.recover import recover
from fieldrec.store.video import packet_chunk
from fieldrec.store.video.codec import video_form
from fieldrec.store.video.file import WrittenVideo
from fieldrec.store.video.pixels import PixelConverter
from fieldrec.store.writer import StoreWriter
from tests.fakes.coded_streams import h264_packets
from tests.fakes.kills import killed_at
from tests.fakes.packet_stores import CODINGS, PACKETS, START_NS, append, packet_writer, shown

codings = pytest.mark.parametrize("coding", CODINGS)


def counts(path: Path) -> list[int]:
    """Frames of each chunk."""
    return [len(layout.parse_index(index.read_bytes())) for index in sorted(path.glob("*.npz"))]


@contextmanager
def failing(step: str, ending: str, number: int = errno.ENOSPC) -> Iterator[None]:
    def hook(at: str, path: Path) -> None:
        if at == step and path.name.endswith(ending):
            raise OSError(number, os.strerror(number))

    durable.set_hook(hook)
    try:
        yield
    finally:
        durable.set_hook(None)


@pytest.mark.parametrize(("coding", "expected"), [("H264", [20, 20, 10]),
                                                  ("MJPEG", [15, 15, 15, 5])])
def test_chunks_begin_at_key_pictures(tmp_path: Path, coding: str, expected: list[int]) -> None:
    path = tmp_path / "s"
    store = packet_writer(path, coding)
    assert append(store, enumerate(PACKETS[coding](50))) == list(range(50))
    store.close()
    assert counts(path) == expected
    assert shown(path) == list(range(50))
    with StoreReader(path) as reader:
        assert reader.spec.pixel_format == "BGR8"
        assert reader.metadata.format == {"H264": "h264/mkv", "MJPEG": "mjpeg/avi"}[coding]
        assert reader.user_metadata["fieldrec"]["packets"] == coding


@codings
def test_the_packets_are_in_the_file_as_the_camera_sent_them(tmp_path: Path, coding: str) -> None:
    path = tmp_path / "s"
    store = packet_writer(path, coding, chunksize=100)
    packets = PACKETS[coding](15, start_codes=False) if coding == "H264" else PACKETS[coding](15)
    append(store, enumerate(packets))
    form = video_form(store.metadata)
    store.close()
    with WrittenVideo(path / f"000000{store.metadata.extension}", form.container) as video:
        found = video.head()
        assert found is not None
        written = [video.read(offset, head.size)
                   for head, offset in video.whole_frames(found[1])]
    assert written == [packet.data for packet in packets]


def test_recording_packets_needs_no_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                            ) -> None:
    packets = h264_packets(25)
    monkeypatch.setattr(packet_chunk, "PictureEncoder", None)
    store = packet_writer(tmp_path / "s")
    assert append(store, enumerate(packets)) == list(range(25))
    store.close()
    assert shown(tmp_path / "s") == list(range(25))


def test_a_chunk_without_key_pictures_ends_in_the_end(tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packet_chunk, "MOST_AFTER_END", 8)
    path = tmp_path / "s"
    store = packet_writer(path, chunksize=4)
    packets = h264_packets(40, key_every=25)
    assert append(store, enumerate(packets)) == [*range(12), *range(25, 37)]
    store.close()
    assert counts(path) == [12, 12]
    assert shown(path) == [*range(12), *range(25, 37)]


@codings
@pytest.mark.parametrize("count", [0, 1])
def test_stores_of_hardly_any_packets(tmp_path: Path, coding: str, count: int) -> None:
    path = tmp_path / "s"
    store = packet_writer(path, coding)
    append(store, enumerate(PACKETS[coding](count)))
    store.close()
    assert shown(path) == list(range(count))


def test_pixels_and_packets_are_not_mixed(tmp_path: Path) -> None:
    store = packet_writer(tmp_path / "s")
    append(store, enumerate(h264_packets(3)))
    with pytest.raises(StoreError, match="pixels for a store of packets"):
        store.append(np.zeros((180, 320, 3), np.uint8), 3, START_NS, None)
    store.close()
    assert shown(tmp_path / "s") == [0, 1, 2]
    spec = FrameSpec((180, 320, 3), "uint8", "BGR8", 25.0)
    pixels = StoreWriter(tmp_path / "p", spec, chunksize=4, timezone="UTC", user_metadata={},
                         created_epoch_ns=START_NS, form="h264/mkv")
    with pytest.raises(StoreError, match="a packet for a store of pixels"):
        append(pixels, enumerate(h264_packets(1)))
    pixels.close()
    with pytest.raises(StoreError, match="recorded as h264/mkv, not as npy"):
        StoreWriter(tmp_path / "n", FrameSpec((180, 320, 3), "uint8", "H264", 25.0), chunksize=4,
                    timezone="UTC", user_metadata={}, created_epoch_ns=START_NS)
    assert not (tmp_path / "n").exists()


@pytest.mark.parametrize("name", [".open", ".frames.log"])
def test_behind_a_packet_that_found_no_room_comes_a_key_picture(tmp_path: Path, name: str) -> None:
    path = tmp_path / "s"
    store = packet_writer(path)
    packets = list(enumerate(h264_packets(35)))
    append(store, packets[:13])
    with failing("write", name), pytest.raises(StoreFull):
        append(store, packets[13:14])
    assert append(store, packets[14:]) == list(range(20, 35))
    store.close()
    assert shown(path) == [*range(13), *range(20, 35)]


def test_a_first_packet_that_found_no_room_may_be_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "s"
    store = packet_writer(path)
    packets = list(enumerate(h264_packets(12)))
    with failing("write", ".open"), pytest.raises(StoreFull):
        append(store, packets[:1])
    with failing("fsync_directory", "s", errno.EIO), pytest.raises(StoreError):
        append(store, packets[:1])
    assert append(store, packets) == list(range(12))
    store.close()
    assert shown(path) == list(range(12))


@codings
def test_after_a_failed_sync_it_goes_on_in_a_new_chunk(tmp_path: Path, coding: str) -> None:
    path = tmp_path / "s"
    store = packet_writer(path, coding, chunksize=100)
    packets = list(enumerate(PACKETS[coding](35)))
    append(store, packets[:13])
    with failing("syncfs", "s", errno.EIO), pytest.raises(SyncFailed):
        store.sync()
    store.next_chunk_after_sync_failure()
    gap = range(13, 20) if coding == "H264" else range(0)
    kept = [number for number in range(35) if number not in gap]
    assert append(store, packets[13:]) == kept[13:]
    store.close()
    assert shown(path) == kept
    assert counts(path)[0] == 13


@codings
@pytest.mark.parametrize("params", ["", "fullrange=on:colormatrix=bt709"])
def test_colours_are_those_that_the_stream_says(tmp_path: Path, coding: str, params: str) -> None:
    """The container says nothing of them; pictures of our own encoders are of the full range."""
    packets = h264_packets(2, params=params) if coding == "H264" else PACKETS[coding](2)
    store = packet_writer(tmp_path / "s", coding)
    append(store, enumerate(packets))
    store.close()
    context = av.CodecContext.create(coding.lower(), "r")
    assert isinstance(context, av.VideoCodecContext)
    frame = context.decode(av.Packet(packets[0].data))[0]
    with StoreReader(tmp_path / "s") as reader:
        assert np.array_equal(reader.read(0), PixelConverter(True).pixels(frame, None))


@pytest.mark.parametrize(("coding", "step"), [
    *(("H264", step) for step in (14, 15, 17, 18, 28, 41, 44, 45)), ("MJPEG", 17), ("MJPEG", 44)])
def test_killed_where_packets_differ_from_pictures_nothing_written_is_missing(
        tmp_path: Path, coding: str, step: int) -> None:
    """Before and in the making of the video, which comes with a chunk's first packet, at the first
    packets, and at a chunk's end; all other steps are those of every video chunk."""
    path = tmp_path / "s"
    packets = h264_packets(9, key_every=4) if coding == "H264" else PACKETS[coding](9)
    taken: list[int] = []
    stores: list[StoreWriter] = []

    def life() -> None:
        stores.append(packet_writer(path, coding, chunksize=4))
        for item in enumerate(packets):
            taken.extend(append(stores[0], [item]))

    assert killed_at(step, life)
    stores[0].abandon()
    recover(path)
    found = shown(path)
    assert found[:len(taken)] == taken
    assert len(found) <= len(taken) + 1


@codings
@pytest.mark.parametrize("at", [70, 200])
def test_a_damaged_head_is_made_again_from_the_stream(tmp_path: Path, coding: str, at: int) -> None:
    whole, path = tmp_path / "whole", tmp_path / "s"
    for root in (whole, path):
        store = packet_writer(root, coding, chunksize=100)
        append(store, enumerate(PACKETS[coding](15)))
        if root == whole:
            store.close()
        else:
            store.abandon()
    video = chunk_paths(path, 0, store.metadata.extension).open_video
    assert video is not None
    data = bytearray(video.read_bytes())
    data[at:at + 8] = bytes(8)
    video.write_bytes(data)
    recover(path)
    assert shown(path) == list(range(15))
    with StoreReader(whole) as expected, StoreReader(path) as found:
        assert np.array_equal(found.read(7), expected.read(7))


def test_a_set_up_that_changes_makes_another_chunk_which_shows_the_right_pictures(tmp_path: Path
                                                                                  ) -> None:
    path = tmp_path / "s"
    store = packet_writer(path, chunksize=100)
    packets = (*h264_packets(10), *h264_packets(10, first=10, params="cabac=1:8x8dct=1"),
               *h264_packets(10, first=20, start_codes=True))
    assert append(store, enumerate(packets)) == list(range(30))
    store.close()
    assert counts(path) == [10, 10, 10]
    assert shown(path) == list(range(30))


