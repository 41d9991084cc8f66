"""Bars of known values come back within rounding: in PyAV, OpenCV and the ffmpeg command.

Lossy movies are made at a quality at which the encoder changes no bar by more than a level.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fieldrec.core.model import FrameSpec
from fieldrec.export.pictures import plane
from fieldrec.export.pictures_exact import ExactPictures
from fieldrec.export.presets import Preset, preset
from tests.fakes.export_movie import make_movie

Pixels = NDArray[Any]
LOSSLESS = preset("Lossless")
FINE = dataclasses.replace(preset("High"), crf=2)
BARS_BGR = np.array([(255, 255, 255), (0, 255, 255), (255, 255, 0), (0, 255, 0), (255, 0, 255),
                     (0, 0, 255), (255, 0, 0), (0, 0, 0), (128, 128, 128), (30, 60, 200)], np.uint8)
LEVELS = np.array([0, 1, 16, 40, 100, 128, 180, 235, 254, 255])
WIDE = 32
PTS = np.arange(2) * 3000
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


def spec_of(pixel_format: str, pixels: Pixels) -> FrameSpec:
    return FrameSpec(pixels.shape, pixels.dtype.name, pixel_format, 30.0)


def bars(values: Pixels, lines: int, cut: int = 0) -> Pixels:
    """One bar of every value, 32 columns wide; `cut` columns less in all."""
    wide = np.repeat(values[np.newaxis], WIDE, axis=1).repeat(lines, axis=0)
    return np.ascontiguousarray(wide[:, : wide.shape[1] - cut])


def centres(picture: Pixels) -> Pixels:
    """The value in the middle of every bar."""
    return picture[picture.shape[0] // 2, WIDE // 2::WIDE]


def movie(folder: Path, pixels: Pixels, pixel_format: str, row: Preset) -> Path:
    path = folder / f"x{row.container}"
    make_movie(path, [pixels, pixels], spec_of(pixel_format, pixels), PTS, row)
    return path


def seen_by_ffmpeg(path: Path, pixel_format: str, shape: tuple[int, ...], dtype: str) -> Pixels:
    flags = ["-sws_flags", "accurate_rnd+full_chroma_int"]
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(path), *flags, "-frames:v", "1", "-f", "rawvideo",
         "-pix_fmt", pixel_format, "-"], capture_output=True, check=True)
    assert done.stderr == b""
    return np.frombuffer(done.stdout, dtype).reshape(shape)


def seen_by_opencv(path: Path) -> Pixels:
    capture = cv2.VideoCapture(str(path))
    found, picture = capture.read()
    capture.release()
    assert found
    return picture


def seen_by_pyav(path: Path, form: str) -> Pixels:
    with av.open(str(path)) as opened:
        opened.streams.video[0].codec_context.thread_count = 1
        return next(opened.decode(video=0)).to_ndarray(format=form)


def told_by_ffprobe(path: Path) -> dict[str, str]:
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", "stream=pix_fmt,width,height,color_range,"
         "color_space,color_transfer,color_primaries", "-of", "json", str(path)],
        capture_output=True, check=True, text=True)
    told: dict[str, str] = json.loads(done.stdout)["streams"][0]
    return told


# --- lossy --------------------------------------------------------------------------------------

@needs_ffmpeg
@pytest.mark.parametrize(("lines", "matrix"), [(64, "smpte170m"), (720, "bt709"), (721, "bt709")])
@pytest.mark.parametrize("pixel_format", ["BGR8", "RGB8"])
@pytest.mark.parametrize("movie_format", ["yuv420p", "yuv444p"])
def test_colours(tmp_path: Path, pixel_format: str, lines: int, matrix: str, movie_format: str
                 ) -> None:
    if movie_format == "yuv444p" and lines == 721:
        pytest.skip("one odd size will do")
    values = BARS_BGR if pixel_format == "BGR8" else BARS_BGR[:, ::-1]
    pixels = bars(values, lines, cut=lines % 2)
    row = dataclasses.replace(FINE, pixel_format=movie_format)
    path = movie(tmp_path, pixels, pixel_format, row)
    told = told_by_ffprobe(path)
    assert (told["pix_fmt"], told["color_range"], told["color_space"]) == (
        movie_format, "tv", matrix)
    assert {told["color_primaries"], told["color_transfer"]} == {matrix}
    shape = (lines + lines % 2, 320, 3)
    for picture in (seen_by_ffmpeg(path, "bgr24", shape, "uint8"), seen_by_opencv(path),
                    seen_by_pyav(path, "bgr24")):
        assert picture.shape == shape
        assert np.abs(centres(picture).astype(int) - BARS_BGR).max() <= 3  # 1 level is 1.2 to 2.1


@needs_ffmpeg
@pytest.mark.parametrize(("pixel_format", "bits"), [
    ("MONO8", 8), ("MONO10", 10), ("MONO12", 12), ("MONO16", 16)])
@pytest.mark.parametrize("cut", [0, 1])
def test_grey(tmp_path: Path, pixel_format: str, bits: int, cut: int) -> None:
    """Of deep values the upper eight bits."""
    values = (LEVELS << (bits - 8) | (1 << (bits - 8)) - 1).astype("uint8" if bits == 8
                                                                   else "uint16")
    pixels = bars(values, 48 + cut, cut)
    path = movie(tmp_path, pixels, pixel_format, FINE)
    told = told_by_ffprobe(path)
    assert (told["pix_fmt"], told["color_range"]) == ("yuv420p", "tv")
    for picture in (seen_by_opencv(path), seen_by_pyav(path, "bgr24"),
                    seen_by_ffmpeg(path, "bgr24", (48 + 2 * cut, 320, 3), "uint8")):
        assert np.abs(centres(picture).astype(int) - LEVELS[:, None]).max() <= 1


@needs_ffmpeg
@pytest.mark.parametrize(("pixel_format", "bits"), [("MONO8", 8), ("MONO12", 12), ("MONO16", 16)])
def test_grey_of_ten_bits(tmp_path: Path, pixel_format: str, bits: int) -> None:
    greatest = 2 ** bits - 1
    values = np.rint(LEVELS / 255 * greatest).astype("uint8" if bits == 8 else "uint16")
    row = dataclasses.replace(preset("HEVC"), crf=8, pixel_format="yuv420p10le")
    pixels = bars(values, 64)
    path = tmp_path / "x.mp4"
    make_movie(path, [pixels] * 8, spec_of(pixel_format, pixels), np.arange(8) * 3000, row)
    with av.open(str(path)) as opened:
        opened.streams.video[0].codec_context.thread_count = 1
        luma = centres(plane(next(opened.decode(video=0)), 0)).astype(float)
    assert np.abs(luma - (64 + values / greatest * 876)).max() <= 1.5
    for picture in (seen_by_opencv(path), seen_by_ffmpeg(path, "bgr24", (64, 320, 3), "uint8")):
        assert np.abs(centres(picture).astype(int) - LEVELS[:, None]).max() <= 2  # both: green


@needs_ffmpeg
@pytest.mark.parametrize("pattern", ["RG", "GR", "BG", "GB"])
def test_mosaics_are_developed(tmp_path: Path, pattern: str) -> None:
    """A surface of one colour, seen through each of the four patterns."""
    wanted = {"B": 40, "G": 120, "R": 200}
    other = {"RG": "GB", "GR": "BG", "BG": "GR", "GB": "RG"}[pattern]
    tile = np.array([[wanted[name] for name in line] for line in (pattern, other)], np.uint8)
    path = movie(tmp_path, np.tile(tile, (24, 32)), f"BAYER_{pattern}8", FINE)
    for picture in (seen_by_opencv(path), seen_by_ffmpeg(path, "bgr24", (48, 64, 3), "uint8")):
        assert np.abs(picture[24, 32].astype(int) - (40, 120, 200)).max() <= 3


# --- lossless -----------------------------------------------------------------------------------

def noise(shape: Sequence[int], bits: int) -> Pixels:
    values = np.random.default_rng(bits).integers(0, 2 ** bits, shape)
    return values.astype("uint8" if bits == 8 else "uint16")


@needs_ffmpeg
@pytest.mark.parametrize(("pixel_format", "bits", "form", "size"), [
    ("MONO8", 8, "gray", (48, 64)), ("MONO8", 8, "gray", (3, 37)), ("MONO8", 8, "gray", (47, 63)),
    ("MONO10", 10, "gray10le", (47, 63)), ("MONO12", 12, "gray12le", (47, 63)),
    ("MONO16", 16, "gray16le", (47, 63)), ("BAYER_RG8", 8, "gray", (47, 63)),
    ("BAYER_GB12", 12, "gray12le", (48, 64))])
def test_lossless_grey_and_mosaics(tmp_path: Path, pixel_format: str, bits: int, form: str,
                                   size: tuple[int, int]) -> None:
    pixels = noise(size, bits)
    path = movie(tmp_path, pixels, pixel_format, LOSSLESS)
    assert np.array_equal(seen_by_ffmpeg(path, form, size, pixels.dtype.name), pixels)
    told = told_by_ffprobe(path)
    assert [told["pix_fmt"], str(told["width"]), str(told["height"])] == [
        form, str(size[1]), str(size[0])]
    assert np.array_equal(read_back(path, pixel_format, pixels), pixels)
    shown = seen_by_opencv(path)[..., 1].astype(float)
    assert np.abs(shown - pixels / (2 ** bits - 1) * 255).max() <= (0 if bits == 8 else 2)


@needs_ffmpeg
@pytest.mark.parametrize("size", [(48, 64, 3), (47, 63, 3)])
@pytest.mark.parametrize("pixel_format", ["BGR8", "RGB8"])
def test_lossless_colours(tmp_path: Path, pixel_format: str, size: tuple[int, ...]) -> None:
    pixels = noise(size, 8)
    path = movie(tmp_path, pixels, pixel_format, LOSSLESS)
    wanted = pixels if pixel_format == "BGR8" else pixels[..., ::-1]
    assert np.array_equal(seen_by_ffmpeg(path, "bgr24", size, "uint8"), wanted)
    assert np.array_equal(seen_by_opencv(path), wanted)
    assert np.array_equal(read_back(path, pixel_format, pixels), pixels)
    told = told_by_ffprobe(path)
    assert (told["pix_fmt"], told["color_range"], told["color_space"]) == ("bgr0", "pc", "gbr")


def read_back(path: Path, pixel_format: str, pixels: Pixels) -> Pixels:
    """As our own verification and reading see the first frame."""
    pictures = ExactPictures(spec_of(pixel_format, pixels))
    with av.open(str(path)) as opened:
        opened.streams.video[0].codec_context.thread_count = 1
        return pictures.decoded(next(opened.decode(video=0))).copy()
