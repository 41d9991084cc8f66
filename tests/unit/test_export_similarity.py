"""SSIM: beside a plain computation of its definition, and beside the ffmpeg command's."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fieldrec.export.similarity import Similarity

Plane = NDArray[Any]


def soft(shape: tuple[int, int]) -> Plane:
    noise = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 2)


def worse(plane: Plane, levels: float) -> Plane:
    noisy = plane + np.random.default_rng(1).normal(0, levels, plane.shape)
    return noisy.clip(0, 255).astype(np.uint8)


def plain(own: Plane, decoded: Plane) -> float:
    """Window by window, by the definition."""
    found = []
    for line in range(0, own.shape[0] - own.shape[0] % 4 - 7, 4):
        for column in range(0, own.shape[1] - own.shape[1] % 4 - 7, 4):
            x, y = (plane[line:line + 8, column:column + 8].astype(float).ravel()
                    for plane in (own, decoded))
            c_1, c_2 = 2.55 ** 2, 7.65 ** 2
            covariance = float(((x - x.mean()) * (y - y.mean())).mean())
            found.append((2 * x.mean() * y.mean() + c_1) * (2 * covariance + c_2)
                         / ((x.mean() ** 2 + y.mean() ** 2 + c_1) * (x.var() + y.var() + c_2)))
    return float(np.mean(found))


@pytest.mark.parametrize("shape", [(96, 128), (70, 61), (8, 8)])
@pytest.mark.parametrize("levels", [0.0, 3.0, 30.0])
def test_it_is_what_the_definition_says(shape: tuple[int, int], levels: float) -> None:
    own = soft(shape)
    found = Similarity(shape).of(own, worse(own, levels))
    assert found == pytest.approx(plain(own, worse(own, levels)), abs=1e-4)
    assert (found == pytest.approx(1.0)) == (levels == 0)


def test_of_less_than_a_window_it_is_that_of_all_pixels() -> None:
    own = soft((5, 40))
    assert Similarity((5, 40)).of(own, own) == pytest.approx(1.0)
    assert Similarity((5, 40)).of(own, 255 - own) < 0.5


def test_ffmpeg_says_the_same(tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    own = soft((96, 128))
    decoded = worse(own, 8)
    names = []
    for name, plane in (("own", own), ("decoded", decoded)):
        (tmp_path / name).write_bytes(plane.tobytes())
        names += ["-f", "rawvideo", "-pix_fmt", "gray", "-s", "128x96", "-i", str(tmp_path / name)]
    told = subprocess.run(["ffmpeg", "-hide_banner", *names, "-lavfi", "ssim", "-f", "null", "-"],
                          capture_output=True, text=True, check=True).stderr
    match = re.search(r"SSIM Y:([\d.]+)", told)
    assert match is not None
    assert Similarity((96, 128)).of(own, decoded) == pytest.approx(float(match[1]), abs=0.005)
