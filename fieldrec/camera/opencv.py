"""V4L2 cameras (USB webcams, capture cards) through OpenCV. For video files see file.py.

Runs in the caller's thread, starts none. OpenCV does not hand out V4L2's sequence number: frames
are counted here, so a frame that the driver dropped shows as a gap in time, not in number.
"""

from __future__ import annotations

import os
import re
import stat
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from fieldrec.camera import CameraOptions, Pixels
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import CameraError, CameraLost, CameraTimeout
from fieldrec.core.model import FrameHeader, FrameSpec

_FIRST_FRAME_S = 5
"""Cameras that take longer from power-up to the first frame are not usable."""
_QUEUE = 8
"""At least as many frames as the driver may hold from before a start."""
_STALE_NS = 5_000_000_000


class Options(CameraOptions):
    """Keys of a V4L2 camera. What is not given stays as the camera has it."""

    device: Path
    """/dev/video0, or better a name that survives replugging: /dev/v4l/by-id/…"""
    width: int | None = Field(default=None, ge=1)
    height: int | None = Field(default=None, ge=1)
    hz: float | None = Field(default=None, gt=0)
    """Frames per second."""
    fourcc: str | None = Field(default=None, pattern=r"^[ -~]{4}$")
    """Format on the wire, four characters: MJPG, YUYV, GREY…"""
    pixel_format: Literal["BGR8", "MONO8"] = "BGR8"


class OpenCvCamera:
    """See :class:`fieldrec.camera.Camera`."""

    def __init__(self, serial: str, options: Options) -> None:
        self.serial = serial
        self.options = options
        self._capture: Any = None
        self._scratch: Pixels | None = None
        self._spec: FrameSpec | None = None
        self._started = False
        self._number = 0
        self._last_ns = 0

    def open(self) -> FrameSpec:
        """Configure the camera and see one frame of it; blocks up to 5 s for that."""
        _check_device(self.options.device)
        self.close()
        self._capture = _open_capture(self.options)
        try:
            self._spec = self._configured()
        except CameraError:
            self.close()
            raise
        return self._spec

    def start(self) -> None:
        """Throw away what the driver has queued since the camera was opened; number 0 is next."""
        if self._capture is None:
            raise CameraError(f"{self.options.device}: start before open")
        self._started = True
        self._number = 0
        for _ in range(_QUEUE):
            if not self._arrived(0.001):
                break
            self._capture.retrieve()

    def grab(self, into: Pixels, timeout_s: float) -> FrameHeader:
        """`monotonic_ns` is the driver's stamp of the frame where it has one."""
        if not self._started:
            raise CameraError(f"{self.options.device}: grab before start")
        deadline_s = time.monotonic() + timeout_s
        while self._arrived(max(deadline_s - time.monotonic(), 0.001)):
            number = self._number
            self._number += 1
            if self._retrieve(into):
                return FrameHeader(number=number, monotonic_ns=self._stamp_ns())
            # Arrived but not to be decoded (a torn JPEG): its number is left out.
        raise CameraTimeout(f"{self.options.device}: no frame within {timeout_s:g} s")

    def stop(self) -> None:
        self._started = False

    def close(self) -> None:
        self.stop()
        if self._capture is not None:
            self._capture.release()
        self._capture = None
        self._scratch = None

    def _configured(self) -> FrameSpec:
        import cv2

        options, capture = self.options, self._capture
        ok, picture = capture.read()
        if not ok:
            raise CameraError(f"{options.device}: opens but gives no frame; is it used by another "
                              f"program, or no camera?")
        height, width = picture.shape[:2]
        asked = (options.width or width, options.height or height)
        if asked != (width, height):
            raise CameraError(f"{options.device}: cannot give {asked[0]}x{asked[1]}, offers "
                              f"{width}x{height}; see: v4l2-ctl --list-formats-ext")
        mono = options.pixel_format == "MONO8"
        self._scratch = np.empty_like(picture) if mono and picture.ndim == 3 else None
        return FrameSpec(shape=(height, width) if mono else (height, width, 3), dtype="uint8",
                         pixel_format=options.pixel_format,
                         nominal_hz=capture.get(cv2.CAP_PROP_FPS) or options.hz or 30.0)

    def _arrived(self, timeout_s: float) -> bool:
        """Wait for the next frame in the driver's queue; CameraLost when there will be none."""
        import cv2

        try:
            ready, _ = cv2.VideoCapture.waitAny([self._capture], int(timeout_s * 1e9))
        except cv2.error as error:
            raise CameraLost(f"{self.options.device}: the camera is gone; check its cable and "
                             f"power") from error
        if not ready and not self.options.device.exists():
            raise CameraLost(f"{self.options.device}: the camera was unplugged")
        return bool(ready)

    def _retrieve(self, into: Pixels) -> bool:
        if self._scratch is None:
            return retrieve_into(self._capture, into)
        import cv2

        if not retrieve_into(self._capture, self._scratch):
            return False
        cv2.cvtColor(self._scratch, cv2.COLOR_BGR2GRAY, dst=into)
        return True

    def _stamp_ns(self) -> int:
        """CLOCK_BOOTTIME of the frame: V4L2 stamps in CLOCK_MONOTONIC, which does not count
        suspended time; now, when the driver's stamp makes no sense. Never runs back."""
        import cv2

        now_ns = SystemClock().monotonic_ns()
        suspended_ns = now_ns - time.monotonic_ns()
        stamp_ns = round(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6) + suspended_ns
        if not 0 <= now_ns - stamp_ns < _STALE_NS:
            stamp_ns = now_ns
        self._last_ns = max(stamp_ns, self._last_ns)
        return self._last_ns


def retrieve_into(capture: Any, into: Pixels) -> bool:
    """Put the frame that `capture` has grabbed into `into`; False if it cannot be decoded.

    OpenCV writes straight into an array of the right shape and type; otherwise it hands out one of
    its own, which is copied. CameraError when the picture has another shape.
    """
    ok, got = capture.retrieve(into)
    if not ok:
        return False
    if got.shape != into.shape or got.dtype != into.dtype:
        raise CameraError(f"the camera sent a picture of shape {got.shape}, not {into.shape}; "
                          f"close and open it")
    if not np.may_share_memory(got, into):
        np.copyto(into, got)
    return True


def _check_device(device: Path) -> None:
    try:
        mode = device.stat().st_mode
    except OSError as error:
        raise CameraError(f"{device}: {os.strerror(error.errno or 0)}; cameras here: "
                          f"{_cameras_here()}") from error
    if not stat.S_ISCHR(mode):
        raise CameraError(f"{device}: not a camera device; cameras here: {_cameras_here()} "
                          f"(for a video file use the backend 'file')")


def _cameras_here() -> str:
    nodes = [path for path in Path("/dev").glob("video*") if re.fullmatch(r"video\d+", path.name)]
    return ", ".join(map(str, sorted(nodes))) or "none"


def _open_capture(options: Options) -> Any:
    # Read once by OpenCV, at its first wait; without it a dead camera blocks for 10 s.
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(_FIRST_FRAME_S))
    import cv2

    cv2.utils.logging.setLogLevel(0)  # what it has to say goes into our errors, in one line
    capture = cv2.VideoCapture(str(options.device.resolve()), cv2.CAP_V4L2)
    if not capture.isOpened():
        capture.release()
        raise CameraError(f"{options.device}: cannot be opened as a camera; is it used by another "
                          f"program, or are you not in the group 'video'?")
    if options.fourcc is not None:
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*options.fourcc))
    for key, value in ((cv2.CAP_PROP_FRAME_WIDTH, options.width),
                       (cv2.CAP_PROP_FRAME_HEIGHT, options.height),
                       (cv2.CAP_PROP_FPS, options.hz)):
        if value is not None:
            capture.set(key, value)
    return capture


BACKEND = OpenCvCamera
