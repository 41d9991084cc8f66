"""Frames of video chunks: the right picture or StoreDamaged, from any file, in any order."""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fieldrec.core.errors import StoreDamaged, StoreError
from fieldrec.store.chunk_paths import ChunkPaths, chunk_paths
from fieldrec.store.metadata import StoreMetadata
from fieldrec.store.video.chunk import OpenVideoChunk
from fieldrec.store.video.codec import video_form
from fieldrec.store.video.decoder import VideoDecoder
from fieldrec.store.video.frames import VideoFrames, picture_count, problems_of
from tests.fakes.videos import copy_packets, picture, video_metadata, write_index, write_video

SIZE = (48, 64)
COUNT = 40
B_FRAMES: dict[str, Any] = {"gop": 10, "b_frames": 2}
LOSSLESS: dict[str, Any] = {"codec": "ffv1", "pixels": "bgr0"}
FOREIGN: dict[str, dict[str, Any]] = {
    "b.mp4": B_FRAMES,
    "fast.mp4": {**B_FRAMES, "container_options": {"movflags": "faststart"}},
    "parts.mp4": {**B_FRAMES, "container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "b.mkv": B_FRAMES,
    "b.avi": B_FRAMES,
    "jpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "ffv1.mkv": LOSSLESS,
    "ffv1.avi": LOSSLESS,
}
OURS = {"ours.avi": "mjpeg/avi", "ours.mkv": "h264/mkv", "ours.mp4": "avc1/mp4"}


class Chunk:
    """One chunk of a video store and what its frames should be."""

    def __init__(self, root: Path, name: str, count: int = COUNT, **options: Any) -> None:
        self.metadata = video_metadata((*SIZE, 3), Path(name).suffix, OURS.get(name, "free text"))
        self.paths = chunk_paths(root, 0, self.metadata.extension)
        self.count = count
        root.mkdir(exist_ok=True)
        if name in OURS:
            _record(self.paths, self.metadata, count)
        else:
            write_video(self.paths.frames, frames=count, **(options or FOREIGN[name]))
        write_index(self.paths, self.metadata, 0, count)
        self.data = self.paths.frames.read_bytes()
        self.pictures = list(self.read(range(count)).values())

    def read(self, order: Any) -> dict[int, NDArray[Any]]:
        """The frames that can be read; no other error than StoreDamaged may come."""
        found = {}
        with closing(VideoFrames(self.metadata)) as source:
            for position in order:
                try:
                    found[position] = source.read(self.paths, position)
                except StoreDamaged as error:
                    assert str(self.paths.frames) in str(error)
        return found

    def damage(self, data: bytes | bytearray) -> None:
        self.paths.frames.write_bytes(data)

    def shown_as(self, pixels: NDArray[Any]) -> int:
        """Which frame these pixels are most like."""
        return int(np.argmin([np.abs(pixels.astype(int) - other).mean()
                              for other in self.pictures]))


def _record(paths: ChunkPaths, metadata: StoreMetadata, count: int) -> None:
    chunk = OpenVideoChunk(paths, count, video_form(metadata))
    for number in range(count):
        chunk.append(picture(number, *SIZE), number, number * 40_000_000, -1)
    chunk.finish()
    chunk.release()


def descriptors() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def lossless(tmp_path: Path) -> Chunk:
    return Chunk(tmp_path / "store", "ffv1.mkv")


@pytest.mark.parametrize("name", [*FOREIGN, *OURS])
def test_any_order_gives_what_the_row_gives(tmp_path: Path, name: str) -> None:
    chunk = Chunk(tmp_path / "store", name)
    assert [chunk.shown_as(picture(number, *SIZE)) for number in range(COUNT)] == list(range(COUNT))
    orders = [list(range(COUNT))[::-1], random.Random(1).choices(range(COUNT), k=80)]
    for order in orders:
        found = chunk.read(order)
        assert all(np.array_equal(found[at], chunk.pictures[at]) for at in order)
    assert picture_count(chunk.paths.frames) == COUNT
    assert problems_of(chunk.paths.frames, deep=True) is None


def test_lossless_video_is_lossless(lossless: Chunk) -> None:
    assert all(np.array_equal(pixels, picture(number, *SIZE))
               for number, pixels in enumerate(lossless.pictures))


def test_one_picture(tmp_path: Path) -> None:
    chunk = Chunk(tmp_path / "store", "ffv1.mkv", 1)
    assert np.array_equal(chunk.read([0, 0, 0])[0], picture(0, *SIZE))


@pytest.mark.parametrize("codec", ["libx264", "ffv1"])
def test_pictures_that_share_a_millisecond(tmp_path: Path, codec: str) -> None:
    """Matroska has whole milliseconds: at 3000 Hz three pictures claim to be shown at once."""
    times = [number * 30 for number in range(COUNT)]
    coded = {"libx264": B_FRAMES, "ffv1": LOSSLESS}[codec]
    chunk = Chunk(tmp_path / "store", "fast.mkv", times=times, **coded)
    found = chunk.read(random.Random(2).sample(range(COUNT), COUNT))
    assert all(chunk.shown_as(picture(at, *SIZE)) == at for at in range(COUNT))
    assert all(np.array_equal(found[at], chunk.pictures[at]) for at in range(COUNT))


@pytest.mark.parametrize("told", [0, 7, 41, 1000])
def test_an_avi_whose_header_lies_about_the_count(tmp_path: Path, told: int) -> None:
    chunk = Chunk(tmp_path / "store", "jpeg.avi")
    length_at = chunk.data.index(b"strh") + 8 + 32
    chunk.damage(chunk.data[:length_at] + told.to_bytes(4, "little") + chunk.data[length_at + 4:])
    found = chunk.read(range(COUNT))
    assert all(np.array_equal(found[at], chunk.pictures[at]) for at in range(COUNT))
    assert picture_count(chunk.paths.frames) == COUNT


def test_fewer_pictures_than_the_index_says(lossless: Chunk) -> None:
    write_index(lossless.paths, lossless.metadata, 0, COUNT + 3)
    assert sorted(lossless.read(range(COUNT + 3))) == list(range(COUNT))


def test_more_pictures_than_the_index_says(lossless: Chunk) -> None:
    write_index(lossless.paths, lossless.metadata, 0, COUNT - 3)
    assert np.array_equal(lossless.read([5])[5], lossless.pictures[5])


# --- arrays ------------------------------------------------------------------------------------

@pytest.mark.parametrize("shape", [(*SIZE, 3), SIZE, (*SIZE, 1)], ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_callers_array_is_filled(lossless: Chunk, shape: tuple[int, ...], dtype: Any) -> None:
    metadata = video_metadata(shape, ".mkv")
    with closing(VideoFrames(metadata)) as source:
        out = np.zeros(shape, dtype)
        assert source.read(lossless.paths, 3, out) is out
        alone = source.read(lossless.paths, 3)
        assert alone.shape == (shape if metadata.is_colour else SIZE)
        assert alone.dtype == np.uint8
        assert np.array_equal(out.reshape(alone.shape), alone)
        source.read(lossless.paths, 4, out)
        assert not np.array_equal(out.reshape(alone.shape), alone)
        assert alone.flags.owndata


def test_a_picture_of_another_size_than_the_store_says(lossless: Chunk) -> None:
    with closing(VideoFrames(video_metadata((50, 64, 3), ".mkv"))) as source:
        with pytest.raises(StoreDamaged, match=r"picture 0: .*\[48, 64, 3\].*\[50, 64, 3\]"):
            source.read(lossless.paths, 0, np.zeros((50, 64, 3), np.uint8))
        assert source.read(lossless.paths, 0).shape == (48, 64, 3)


# --- what is held open -------------------------------------------------------------------------

def test_two_chunks_are_open_at_most_and_none_after_close(tmp_path: Path) -> None:
    metadata = video_metadata((*SIZE, 3), ".mkv")
    chunks = [chunk_paths(tmp_path, number, ".mkv") for number in range(5)]
    for chunk in chunks:
        write_video(chunk.frames, frames=4, first=10 * chunk.number, **LOSSLESS)
        write_index(chunk, metadata, 0, 4)
    before = descriptors()
    source = VideoFrames(metadata)
    for _round in range(2):
        for chunk in chunks:
            assert np.array_equal(source.read(chunk, 1), picture(10 * chunk.number + 1, *SIZE))
            assert descriptors() - before <= 2
    source.close()
    source.close()
    assert descriptors() == before
    assert np.array_equal(source.read(chunks[2], 3), picture(23, *SIZE))
    source.close()
    assert descriptors() == before


def test_a_file_that_was_replaced_meanwhile(tmp_path: Path) -> None:
    metadata = video_metadata((*SIZE, 3), ".mkv")
    chunks = [chunk_paths(tmp_path, number, ".mkv") for number in range(3)]
    for chunk in chunks:
        write_video(chunk.frames, frames=6, first=10 * chunk.number, **LOSSLESS)
    with closing(VideoFrames(metadata)) as source:
        for chunk in chunks:
            source.read(chunk, 5)
        write_video(chunks[0].frames, frames=9, first=70, **LOSSLESS)
        assert np.array_equal(source.read(chunks[0], 8), picture(78, *SIZE))


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many packets went into decoders, in its only element."""
    count = [0]
    feed = VideoDecoder._feed

    def counting(self: VideoDecoder) -> bool:
        count[0] += 1
        return feed(self)

    monkeypatch.setattr(VideoDecoder, "_feed", counting)
    yield count


def test_going_on_and_small_steps_back_cost_little(tmp_path: Path, fed: list[int]) -> None:
    chunk = Chunk(tmp_path / "store", "long.mp4", gop=250, b_frames=2)
    with closing(VideoFrames(chunk.metadata)) as source:
        fed[0] = 0
        for position in range(COUNT):
            source.read(chunk.paths, position)
        assert fed[0] <= COUNT + 1
        source.read(chunk.paths, COUNT - 1)
        assert fed[0] <= COUNT + 1
        source.read(chunk.paths, 30)
        fed[0] = 0
        for position in (30, 29, 28, 27, 26, 25, 24, 28, 30):
            source.read(chunk.paths, position)
        assert fed[0] <= COUNT
        fed[0] = 0
        for position in (31, 32, 31, 32, 33):
            source.read(chunk.paths, position)
        assert fed[0] <= 6


def test_a_key_picture_ahead_is_gone_to_rather_than_decoded_up_to(tmp_path: Path, fed: list[int]
                                                                  ) -> None:
    chunk = Chunk(tmp_path / "store", "short.mp4", gop=5, b_frames=0)
    with closing(VideoFrames(chunk.metadata)) as source:
        fed[0] = 0
        for position in (0, 38, 3, 21, 12):
            assert chunk.shown_as(source.read(chunk.paths, position)) == position
        assert fed[0] <= 5 * 5


# --- files that are none -----------------------------------------------------------------------

def _nothing(_path: Path) -> None:
    pass


@pytest.mark.parametrize(("make", "said"), [
    (_nothing, "missing"), (Path.touch, "empty"), (Path.mkdir, "not a file"),
    (lambda path: os.mkfifo(path), "not a file"),
    (lambda path: path.write_bytes(b"no video " * 100), "not a video"),
    (lambda path: path.write_bytes(bytes(5000)), "not a video"),
    (lambda path: path.write_text("ffconcat version 1.0\nfile other.mkv\n"), "not a video"),
    (lambda path: path.write_text("#EXTM3U\n#EXTINF:1,\nother.mkv\n"), "not a video"),
], ids=["missing", "empty", "directory", "fifo", "text", "zeros", "concat list", "play list"])
def test_what_is_no_video_is_named(tmp_path: Path, make: Any, said: str) -> None:
    write_video(tmp_path / "other.mkv", frames=4, **LOSSLESS)
    paths = chunk_paths(tmp_path, 0, ".mp4")
    make(paths.frames)
    with closing(VideoFrames(video_metadata())) as source:
        for _again in range(2):
            with pytest.raises(StoreDamaged, match=said) as caught:
                source.read(paths, 0)
            assert str(paths.frames) in str(caught.value)
    with pytest.raises(StoreError, match=said):
        picture_count(paths.frames)
    assert said in str(problems_of(paths.frames))


def test_positions_outside_the_file(lossless: Chunk) -> None:
    assert not lossless.read([-1, COUNT, COUNT + 100])


# --- cut and damaged ---------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["b.mkv", "ffv1.mkv", "jpeg.avi", "ffv1.avi", "fast.mp4",
                                  "parts.mp4", "ours.mkv", "ours.avi"])
def test_what_was_cut_off_is_missing_and_nothing_else_is_wrong(tmp_path: Path, name: str) -> None:
    """B-frames: the last pictures of a cut file are coded before others that are shown earlier."""
    chunk = Chunk(tmp_path / "store", name)
    most = 0
    for tenth in range(1, 10):
        chunk.damage(chunk.data[:len(chunk.data) * tenth // 10])
        found = chunk.read(range(COUNT))
        assert list(found) == list(range(len(found)))
        assert all(np.array_equal(pixels, chunk.pictures[at]) for at, pixels in found.items())
        assert problems_of(chunk.paths.frames) is not None
        most = max(most, len(found))
    assert most >= COUNT // 2


def test_a_cut_file_of_uneven_times(tmp_path: Path) -> None:
    times = np.cumsum(np.random.default_rng(5).integers(300, 9000, COUNT)).tolist()
    chunk = Chunk(tmp_path / "store", "vfr.mkv", times=times, **B_FRAMES)
    for size in range(2000, len(chunk.data), 997):
        chunk.damage(chunk.data[:size])
        found = chunk.read(random.Random(size).sample(range(COUNT), COUNT))
        assert all(np.array_equal(pixels, chunk.pictures[at]) for at, pixels in found.items())


@pytest.mark.parametrize("name", ["ffv1.mkv", "ffv1.avi", "ours.mkv", "ours.mp4", "ours.avi"])
def test_frames_before_and_after_a_damaged_one_are_read(tmp_path: Path, name: str) -> None:
    """A flipped bit in the middle: at most the rest of its group of pictures is lost."""
    options = {**LOSSLESS, "gop": 5} if name in FOREIGN else {}
    chunk = Chunk(tmp_path / "store", name, **options)
    data = bytearray(chunk.data)
    data[len(data) // 2] ^= 0x10
    chunk.damage(data)
    found = chunk.read(range(COUNT))
    assert COUNT - 12 <= len(found) < COUNT
    assert all(np.array_equal(pixels, chunk.pictures[at]) for at, pixels in found.items())
    assert problems_of(chunk.paths.frames, deep=True) is not None


def test_a_lost_stretch_does_not_shift_what_follows(tmp_path: Path) -> None:
    """At an even rate the times say where the pictures behind the hole belong."""
    whole = write_video(tmp_path / "whole.mkv", frames=100, gop=10, b_frames=2,
                        options={"x264-params": "scenecut=0"})
    chunk = Chunk(tmp_path / "store", "b.mkv", 100, gop=10, b_frames=2,
                  options={"x264-params": "scenecut=0"})
    _without(whole, chunk.paths.frames, range(30, 40))
    found = chunk.read(range(100))
    assert {*range(26), *range(40, 100)} <= set(found) <= set(range(100)) - set(range(30, 40))
    assert all(chunk.shown_as(pixels) == at for at, pixels in found.items())


def test_a_lost_stretch_in_uneven_times_ends_what_is_certain(tmp_path: Path) -> None:
    times = np.cumsum(np.random.default_rng(6).integers(300, 9000, COUNT)).tolist()
    whole = write_video(tmp_path / "whole.mkv", frames=COUNT, times=times, **LOSSLESS)
    chunk = Chunk(tmp_path / "store", "vfr.mkv", times=times, **LOSSLESS)
    data = bytearray(whole.read_bytes())
    cluster = data.index(b"\x1f\x43\xb6\x75", len(data) // 3)
    data[cluster:cluster + 4] = b"\xec\x4f\xff\xff"  # now a part without meaning
    chunk.damage(data)
    found = chunk.read(range(COUNT))
    assert all(np.array_equal(pixels, chunk.pictures[at]) for at, pixels in found.items())


def _without(source: Path, path: Path, lost: range) -> None:
    """A file that lacks some packets, as if its clusters had been destroyed."""
    import av

    with av.open(str(source)) as reading, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(reading.streams.video[0])
        for ordinal, packet in enumerate(reading.demux(video=0)):
            if packet.size and ordinal not in lost:
                packet.stream = stream
                container.mux(packet)


def test_pictures_hidden_by_an_edit_list_are_not_counted(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", frames=COUNT, **B_FRAMES)
    paths = chunk_paths(tmp_path, 0, ".mp4")
    copy_packets(whole, paths.frames, lambda stamp: stamp - 13 * 512)
    metadata = video_metadata((*SIZE, 3))
    everything = Chunk(tmp_path / "store", "b.mp4")
    with closing(VideoFrames(metadata)) as source:
        assert [everything.shown_as(source.read(paths, position)) for position in (0, 9, 26, 5)] \
            == [13, 22, 39, 18]
    write_index(paths, metadata, 0, COUNT)  # the index says that none was meant to be hidden
    with closing(VideoFrames(metadata)) as source, pytest.raises(StoreDamaged):
        source.read(paths, 0)


def test_times_that_contradict_the_decoder_are_noticed(tmp_path: Path) -> None:
    """Every bit of the table that says when pictures are shown, flipped: no picture is taken for
    another, whichever is asked for first."""
    chunk = Chunk(tmp_path / "store", "b.mp4", 24, **B_FRAMES)
    start = chunk.data.index(b"ctts") + 12
    size = int.from_bytes(chunk.data[start - 4:start], "big") * 8
    shuffled = random.Random(7)
    for at in range(start, start + size):
        for bit in (0, 3, 7):
            data = bytearray(chunk.data)
            data[at] ^= 1 << bit
            chunk.damage(data)
            found = chunk.read(shuffled.sample(range(24), 6))
            assert all(np.array_equal(pixels, chunk.pictures[number])
                       for number, pixels in found.items())


KNOWN_BY_CHECKSUM = ("ours.mp4", "ours.mkv", "ours.avi", "b.mkv", "ffv1.mkv", "ffv1.avi")


@pytest.mark.parametrize("kind", ["flip", "zeros", "cut", "doubled"])
@pytest.mark.parametrize("name", KNOWN_BY_CHECKSUM)
def test_damage_anywhere_never_shows_a_wrong_picture(tmp_path: Path, name: str, kind: str) -> None:
    """In files that bear checksums, whatever is damaged."""
    chunk = Chunk(tmp_path / "store", name)
    chance = random.Random(f"{name} {kind}")
    for _round in range(12):
        chunk.damage(_damaged(chunk.data, kind, chance))
        found = chunk.read(chance.sample(range(COUNT), 12))
        assert all(np.array_equal(pixels, chunk.pictures[at]) for at, pixels in found.items())


@pytest.mark.parametrize("name", ["b.mp4", "fast.mp4", "jpeg.avi", "b.avi"])
def test_damaged_structure_never_shows_a_wrong_picture(tmp_path: Path, name: str) -> None:
    """In files without checksums, where what says what lies where is damaged. (A bit flipped in
    the coding itself, or in how it is set up, may go unnoticed.)"""
    chunk = Chunk(tmp_path / "store", name)
    with closing(VideoDecoder(chunk.paths.frames, COUNT)) as decoder:
        packets = decoder.listing.table.packets
    coded = np.zeros(len(chunk.data), np.bool_)
    for offset, size in zip(packets.offsets.tolist(), packets.sizes.tolist(), strict=True):
        coded[offset:offset + size] = True
    set_up = chunk.data.find(b"avcC")
    coded[set_up:set_up + 60] |= set_up >= 0
    chance = random.Random(name)
    for at in chance.choices(np.flatnonzero(~coded).tolist(), k=60):
        data = bytearray(chunk.data)
        data[at] ^= 1 << chance.randrange(8)
        chunk.damage(data)
        found = chunk.read(chance.sample(range(COUNT), 12))
        assert all(np.array_equal(pixels, chunk.pictures[number])
                   for number, pixels in found.items())


def _damaged(data: bytes, kind: str, chance: random.Random) -> bytes:
    at, length = chance.randrange(len(data)), chance.randrange(1, 600)
    if kind == "flip":
        return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1:]
    if kind == "zeros":
        return data[:at] + bytes(len(data[at:at + length])) + data[at + length:]
    return data[:at] if kind == "cut" else data[:at] + data[max(0, at - length):]


# --- checks of whole files ---------------------------------------------------------------------

def test_only_a_deep_look_finds_what_cannot_be_decoded(tmp_path: Path) -> None:
    chunk = Chunk(tmp_path / "store", "jpeg.avi")
    data = bytearray(chunk.data)
    scan = data.index(b"\xff\xda", len(data) // 2)
    data[scan + 30:scan + 34] = b"\xff\xd9\xff\xd9"
    chunk.damage(data)
    assert problems_of(chunk.paths.frames) is None
    assert "picture" in str(problems_of(chunk.paths.frames, deep=True))
    assert picture_count(chunk.paths.frames) == COUNT


def test_a_file_whose_writer_died_is_not_whole(tmp_path: Path) -> None:
    """Matroska without its end: all that is there can be read, and is counted."""
    chunk = Chunk(tmp_path / "store", "ours.mkv")
    cues = chunk.data.rindex(b"\x1c\x53\xbb\x6b")
    chunk.damage(chunk.data[:cues])
    assert picture_count(chunk.paths.frames) == COUNT
    assert "cut short" in str(problems_of(chunk.paths.frames))
    assert len(chunk.read(range(COUNT))) == COUNT
