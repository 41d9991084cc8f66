"""V4L2 cameras, as far as it goes without one: frames into slots, and devices that are none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from fieldrec.camera.opencv import OpenCvCamera, Options, retrieve_into
from fieldrec.core.errors import CameraError
from tests.fakes.clips import write_clip


@pytest.fixture
def capture(tmp_path: Path) -> Iterator[Any]:
    opened = cv2.VideoCapture(str(write_clip(tmp_path / "clip.mp4", frames=4)))
    yield opened
    opened.release()


def test_opencv_writes_straight_into_the_slot(capture: Any) -> None:
    ring = np.full((3, 120, 160, 3), 7, dtype=np.uint8)
    capture.grab()
    ok, got = capture.retrieve(ring[1])
    assert ok
    assert np.shares_memory(got, ring)
    capture.grab()
    assert retrieve_into(capture, ring[1])
    assert (ring[1] != 7).any()
    assert (ring[0] == 7).all()
    assert (ring[2] == 7).all()


class _OwnArray:
    """A capture that hands out an array of its own, as older OpenCVs do."""

    def __init__(self, pixels: Any) -> None:
        self.pixels = pixels

    def retrieve(self, into: Any) -> tuple[bool, Any]:
        return self.pixels is not None, self.pixels


def test_an_array_of_opencvs_own_is_copied() -> None:
    into = np.zeros((4, 5, 3), np.uint8)
    assert retrieve_into(_OwnArray(np.full((4, 5, 3), 9, np.uint8)), into)
    assert (into == 9).all()


def test_a_frame_that_cannot_be_decoded_is_not_one() -> None:
    assert not retrieve_into(_OwnArray(None), np.zeros((4, 5, 3), np.uint8))


def test_a_picture_of_another_shape_is_an_error(capture: Any) -> None:
    capture.grab()
    with pytest.raises(CameraError, match=r"shape \(120, 160, 3\), not \(100, 160, 3\)"):
        retrieve_into(capture, np.zeros((100, 160, 3), np.uint8))


@pytest.mark.parametrize(("device", "reason"), [
    ("/dev/no-such-camera", "No such file or directory; cameras here: "),
    ("/etc/passwd", "not a camera device"),
    ("/dev", "not a camera device"),
    ("/dev/null", "cannot be opened as a camera"),
])
def test_a_device_that_is_no_camera_is_one_clear_line(
        device: str, reason: str, capfd: pytest.CaptureFixture[str]) -> None:
    camera = OpenCvCamera("left", Options(device=Path(device)))
    with pytest.raises(CameraError) as error:
        camera.open()
    camera.close()
    assert str(error.value).startswith(f"{device}: ")
    assert reason in str(error.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("fourcc", ["", "MJP", "MJPEG", "MJP\n", "ÄÖÜß"])
def test_a_fourcc_has_four_characters(fourcc: str) -> None:
    with pytest.raises(ValidationError):
        Options(device=Path("/dev/video0"), fourcc=fourcc)
