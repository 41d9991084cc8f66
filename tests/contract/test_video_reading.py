"""Frames of video stores against the real imgstore: the same pixels, byte for byte, whatever the
codec, container, rate and size. Its OpenCV cannot seek in every file exactly; without seeking it
can, so that is what it is asked for."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldrec.store.chunk_paths import find_chunks
from fieldrec.store.metadata import MOTIF_VIDEO_CLASS, StoreMetadata, parse_metadata, store_metadata
from fieldrec.store.video.frames import VideoFrames
from tests.fakes.videos import copy_packets, video_metadata, video_store, write_video

imgstore = pytest.importorskip("imgstore", reason="the imgstore package is the oracle")

COUNTS = (14, 1, 11)
FRAMES = sum(COUNTS)


def as_imgstore_reads(root: Path) -> list[np.ndarray[Any, Any]]:
    """Every frame by the real imgstore, from the first to the last."""
    with imgstore.new_for_filename(str(root), seek=False) as store:
        return [store.get_next_image()[0] for _ in range(store.frame_count)]


def as_we_read(root: Path, metadata: StoreMetadata, order: list[int]) -> dict[int, Any]:
    """The frames by us, asked for in any order."""
    places = [(chunk, position) for chunk, count in zip(find_chunks(root, metadata), COUNTS,
                                                        strict=True)
              for position in range(count)]
    with closing(VideoFrames(metadata)) as source:
        return {index: source.read(*places[index]) for index in order}


def assert_reads_as_imgstore(root: Path, metadata: StoreMetadata) -> None:
    """Forwards and in a random order."""
    theirs = as_imgstore_reads(root)
    shuffled = np.random.default_rng(1).permutation(FRAMES).tolist()
    for order in (list(range(FRAMES)), shuffled):
        ours = as_we_read(root, metadata, order)
        assert all(np.array_equal(ours[index], theirs[index]) for index in range(FRAMES))
    assert len({image.tobytes() for image in theirs}) == FRAMES


CODED: dict[str, dict[str, Any]] = {
    "x264.mp4": {"gop": 250, "b_frames": 0},
    "x264-b.mp4": {"gop": 250, "b_frames": 3},
    "x264-b-gop5.mp4": {"gop": 5, "b_frames": 3},
    "x264-open.mp4": {"gop": 6, "b_frames": 2,
                      "options": {"x264-params": "open-gop=1:scenecut=0:b-adapt=0"}},
    "x264-refresh.mp4": {"gop": 8, "options": {"x264-params": "intra-refresh=1:scenecut=0"}},
    "x264-b.mkv": {"gop": 10, "b_frames": 3},
    "x264-b.avi": {"gop": 10, "b_frames": 3},
    "x264-444.mkv": {"pixels": "yuv444p"},
    "x264-full.mp4": {"pixels": "yuvj420p", "b_frames": 2},
    "x264-10bit.mkv": {"pixels": "yuv420p10le", "b_frames": 2},
    "x264rgb.mp4": {"codec": "libx264rgb", "pixels": "bgr24", "options": {"qp": "0"}},
    "mjpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "mjpeg-422.mkv": {"codec": "mjpeg", "pixels": "yuvj422p"},
    "ffv1.avi": {"codec": "ffv1", "pixels": "bgr0"},
    "ffv1.mkv": {"codec": "ffv1", "pixels": "bgr0"},
    "ffv1-yuv.mkv": {"codec": "ffv1", "pixels": "yuv420p"},
    "ffv1-gray.avi": {"codec": "ffv1", "pixels": "gray"},
    "ffv1-gray.mkv": {"codec": "ffv1", "pixels": "gray"},
    "raw.avi": {"codec": "rawvideo", "pixels": "bgr24"},
    "mpeg4.avi": {"codec": "mpeg4", "pixels": "yuv420p"},
}


@pytest.mark.parametrize(("shape", "name"), [
    *((shape, name) for name in CODED for shape in ((48, 64, 3), (48, 64))),
    ((48, 64, 1), "x264-b.mp4"), ((48, 64, 1), "ffv1-gray.avi")])
def test_codecs_and_containers(tmp_path: Path, shape: tuple[int, ...], name: str) -> None:
    metadata = video_metadata(shape, Path(name).suffix)
    root = video_store(tmp_path / "store", metadata, COUNTS, lambda path, first, count:
                       write_video(path, first=first, frames=count, **CODED[name]))
    assert_reads_as_imgstore(root, metadata)


@pytest.mark.parametrize(("size", "name"), [
    *((size, name) for size in ((34, 26), (26, 34)) for name in ("x264-b.mp4", "mjpeg.avi")),
    *((size, name) for size in ((31, 17), (17, 31), (34, 26))
      for name in ("ffv1.mkv", "ffv1-yuv.mkv", "ffv1-gray.avi")),
    ((480, 640), "x264-b.mp4"), ((480, 640), "mjpeg.avi"), ((480, 640), "ffv1.mkv")])
def test_sizes(tmp_path: Path, size: tuple[int, int], name: str) -> None:
    for shape in (size, (*size, 3)):
        metadata = video_metadata(shape, Path(name).suffix)
        root = video_store(tmp_path / str(len(shape)), metadata, COUNTS, lambda path, first, count:
                           write_video(path, first=first, frames=count, size=size, **CODED[name]))
        assert_reads_as_imgstore(root, metadata)


@pytest.mark.parametrize("hz", [1, 10, 25, Fraction(30_000, 1001), 60, 120], ids=str)
@pytest.mark.parametrize("name", ["x264-b.mp4", "x264-b.mkv", "mjpeg.avi", "ffv1.mkv"])
def test_rates(tmp_path: Path, name: str, hz: float) -> None:
    metadata = video_metadata(extension=Path(name).suffix)
    root = video_store(tmp_path / "store", metadata, COUNTS, lambda path, first, count:
                       write_video(path, first=first, frames=count, hz=hz, **CODED[name]))
    assert_reads_as_imgstore(root, metadata)


@pytest.mark.parametrize("name", ["x264-b.mp4", "x264-b.mkv", "ffv1.mkv"])
def test_variable_rate(tmp_path: Path, name: str) -> None:
    """Gaps of 1 ms to a second: OpenCV's seeking is lost in it, its reading is not."""
    steps = np.random.default_rng(3).choice([90, 450, 3600, 90_000], FRAMES)
    times = np.cumsum(steps).tolist()
    metadata = video_metadata(extension=Path(name).suffix)
    root = video_store(tmp_path / "store", metadata, COUNTS, lambda path, first, count:
                       write_video(path, first=first, frames=count, times=times[:count],
                                   **CODED[name]))
    assert_reads_as_imgstore(root, metadata)


@pytest.mark.parametrize("shift", [5 * 12_800, -3 * 512], ids=["offset", "edit list"])
def test_times_that_do_not_begin_at_zero(tmp_path: Path, shift: int) -> None:
    """A negative shift makes an edit list that hides the first pictures, and hides them here."""

    def write(path: Path, first: int, count: int) -> None:
        hidden = 3 if shift < 0 else 0
        whole = write_video(tmp_path / "whole.mp4", first=first - hidden + 3,
                            frames=count + hidden, gop=10, b_frames=3)
        copy_packets(whole, path, lambda stamp: stamp + shift)

    metadata = video_metadata()
    root = video_store(tmp_path / "store", metadata, COUNTS, write)
    assert_reads_as_imgstore(root, metadata)


@pytest.fixture
def written_by_imgstore(tmp_path: Path) -> Iterator[Path]:
    """A store of MJPEG in AVI, the one video format that every OpenCV writes."""
    root = tmp_path / "theirs"
    store = imgstore.new_for_format("mjpeg/avi", str(root), imgshape=(49, 65), imgdtype="uint8",
                                    chunksize=20)
    random = np.random.default_rng(2)
    for number in range(FRAMES):
        grey = np.kron(random.integers(0, 256, (7, 13), np.uint8), np.ones((7, 5), np.uint8))
        store.add_image(grey, number, 1e9 + number / 25)
    store.close()
    yield root


def test_a_store_by_imgstore_itself(written_by_imgstore: Path) -> None:
    root = written_by_imgstore
    mapping, _user = parse_metadata((root / "metadata.yaml").read_text())
    metadata = store_metadata(mapping)
    assert metadata.imgshape == (48, 64)
    theirs = as_imgstore_reads(root)
    with closing(VideoFrames(metadata)) as source:
        chunks = find_chunks(root, metadata)
        ours = [source.read(chunks[index // 20], index % 20) for index in range(FRAMES)]
    assert all(map(np.array_equal, ours, theirs))


@pytest.mark.filterwarnings("ignore:The 'warn' method:DeprecationWarning")
def test_motifs_class_with_an_odd_size_and_an_encoding(tmp_path: Path) -> None:
    """The size is rounded down as the codec had to; decoding the mosaic is not this layer's."""
    metadata = video_metadata((49, 65), ".mp4", "libx264", MOTIF_VIDEO_CLASS, encoding="cv_bayerbg")
    root = video_store(tmp_path / "store", metadata, COUNTS, lambda path, first, count:
                       write_video(path, first=first, frames=count, b_frames=3))
    with imgstore.new_for_filename(str(root), seek=False) as store:
        store.disable_decoding()
        theirs = [store.get_next_image()[0] for _ in range(FRAMES)]
    ours = as_we_read(root, metadata, list(range(FRAMES)))
    assert ours[0].shape == (48, 64)
    assert all(np.array_equal(ours[index], theirs[index]) for index in range(FRAMES))


_UNITY = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_TURNED = {90: (0, 0x10000, 0, -0x10000, 0), 180: (-0x10000, 0, 0, 0, -0x10000),
           270: (0, -0x10000, 0, 0x10000, 0)}


@pytest.mark.parametrize("degrees", _TURNED)
def test_a_picture_that_the_container_turns(tmp_path: Path, degrees: int) -> None:
    """As telephones write them: OpenCV obeys, so imgstore's user has always seen them turned."""
    a, b, _u, c, d = _TURNED[degrees]

    def write(path: Path, first: int, count: int) -> None:
        data = write_video(path, first=first, frames=count).read_bytes()
        of_the_track = data.rindex(_UNITY)
        turned = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 0x40000000)
        path.write_bytes(data[:of_the_track] + turned + data[of_the_track + len(turned):])

    metadata = video_metadata((64, 48, 3) if degrees % 180 else (48, 64, 3))
    root = video_store(tmp_path / "store", metadata, COUNTS, write)
    assert as_imgstore_reads(root)[0].shape == metadata.imgshape
    assert_reads_as_imgstore(root, metadata)
