"""A look at both ends of a frame file notices every cut, and takes no whole file for cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fieldrec.catalogue.frame_look import cut_text

SHAPES = [(7, 9), (40, 51, 3)]
CUTS = ("npy", "png", "jpg", "bmp", "pgm", "ppm")


def written(path: Path, shape: tuple[int, ...]) -> Path:
    pixels: Any = np.random.default_rng(1).integers(0, 255, shape, np.uint8)
    if path.suffix == ".npy":
        np.save(path, pixels)
    else:
        if path.suffix == ".pgm":
            pixels = pixels.reshape(shape[0], -1)
        if path.suffix == ".ppm" and pixels.ndim == 2:
            pixels = np.repeat(pixels[:, :, None], 3, axis=2)
        cv2.imwrite(str(path), pixels)
    return path


def text_of(path: Path) -> str:
    return cut_text(path, path.stat().st_size, path.suffix[1:])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", [*CUTS, "tif"])
def test_whole_files(tmp_path: Path, form: str, shape: tuple[int, ...]) -> None:
    assert text_of(written(tmp_path / f"x.{form}", shape)) == ""


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", CUTS)
def test_every_cut_is_noticed(tmp_path: Path, form: str, shape: tuple[int, ...]) -> None:
    path = written(tmp_path / f"x.{form}", shape)
    whole = path.read_bytes()
    for size in {0, 1, 5, 20, 100, len(whole) // 2, len(whole) - 1}:
        if size >= len(whole) or (form == "jpg" and size == len(whole) - 1):
            continue
        path.write_bytes(whole[:size])
        assert text_of(path), size


@pytest.mark.parametrize("form", [*CUTS, "tif"])
def test_zeros_and_garbage_are_no_frame(tmp_path: Path, form: str) -> None:
    path = written(tmp_path / f"x.{form}", SHAPES[0])
    for data in (bytes(300), b"garbage" * 60, b"\x93NUMPY" * 3):
        path.write_bytes(data)
        assert text_of(path)


def test_longer_files_are_whole(tmp_path: Path) -> None:
    """Written past the page cache, a frame may end with padding."""
    for form in ("npy", "bmp", "pgm"):
        path = written(tmp_path / f"x.{form}", SHAPES[0])
        path.write_bytes(path.read_bytes() + bytes(500))
        assert text_of(path) == ""


def test_wide_headers_and_other_types(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    for pixels in (np.zeros((3, 4, 2), ">u2"), np.zeros((5,), "f8"), np.zeros((2, 3), bool),
                   np.asfortranarray(np.zeros((4, 6), "i4"))):
        with path.open("wb") as file:
            np.lib.format.write_array(file, pixels, version=(2, 0))
        assert text_of(path) == ""
        path.write_bytes(path.read_bytes()[:-1])
        assert text_of(path)


def test_unknown_formats_are_not_judged(tmp_path: Path) -> None:
    (tmp_path / "x.bpk").write_bytes(b"1")
    assert text_of(tmp_path / "x.bpk") == ""
    (tmp_path / "x.bpk").write_bytes(b"")
    assert text_of(tmp_path / "x.bpk") == "empty"
