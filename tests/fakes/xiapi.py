"""xiAPI with cameras of ours: the calls of Ximea's Python module that the backend makes, with the
names, types, statuses and texts of its xiapi.py and xidefs.py (4.27): Camera, Image, Xi_error.

Rows are padded, as those of some models are. Its time is its own: waiting costs nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np

PADDING = 32
TEXTS = {1: "Invalid handle", 10: "Timeout", 12: "Not supported", 13: "Attach buffers error",
         56: "No Devices Found", 100: "Unknown parameter", 109: "Read only parameter",
         114: "Parameter value cannot be set (might be out of range or invalid)."}
TYPES = {"XI_MONO8": (np.uint8, 1), "XI_MONO16": (np.uint16, 1), "XI_RGB24": (np.uint8, 3),
         "XI_RAW8": (np.uint8, 1), "XI_RAW16": (np.uint16, 1)}
RANGES = {"width": (16, 1280, 16), "height": (2, 1024, 2), "offsetX": (0, 1264, 16),
          "offsetY": (0, 1022, 2), "framerate": (0.5, 500.0, 0.01), "exposure": (15.0, 1e6, 1.0),
          "gain": (0.0, 24.0, 0.1)}
SWITCHES = {"aeag", "auto_wb", "isexist"}


class Xi_error(Exception):
    """As the module's."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status
        self.descr = TEXTS[status]


class Image(ctypes.Structure):
    """The fields of XI_IMG that are read."""

    _fields_ = (("bp", ctypes.c_void_p), ("width", ctypes.c_uint), ("height", ctypes.c_uint),
                ("nframe", ctypes.c_uint), ("tsSec", ctypes.c_uint), ("tsUSec", ctypes.c_uint),
                ("padding_x", ctypes.c_uint), ("acq_nframe", ctypes.c_uint))


@dataclass
class FakeXimea:
    """One camera as the world has it."""

    serial: str
    mosaic: str = "XI_CFA_BAYER_GBRG"
    there: bool = True
    faults: dict[int, str] = field(default_factory=dict)
    """By how many frames came before: dropped, gone, other size."""
    values: dict[str, Any] = field(default_factory=lambda: {
        "width": 640, "height": 480, "offsetX": 0, "offsetY": 0, "framerate": 30.0,
        "exposure": 10000.0, "gain": 0.0, "aeag": 1, "auto_wb": 0, "imgdataformat": "XI_MONO8",
        "acq_timing_mode": "XI_ACQ_TIMING_MODE_FREE_RUN", "buffers_queue_size": 4})
    opened: bool = False
    streaming: bool = False


def _camera_class(cameras: list[FakeXimea]) -> type:
    class Camera:
        """As the module's."""

        def __init__(self, dev_id: int = 0) -> None:
            self.dev_id = dev_id
            self._of: Any = None

        def get_number_devices(self) -> int:
            return len([camera for camera in cameras if camera.there])

        def get_device_info_string(self, param: str) -> bytes:
            camera = [camera for camera in cameras if camera.there][self.dev_id]
            return {"device_sn": camera.serial, "device_name": "MQ013CG-E2"}[param].encode()

        def open_device_by_SN(self, serial_number: str) -> None:
            self._of = next(camera for camera in cameras if camera.serial == serial_number)
            assert not self._of.opened
            self._of.opened = True

        def close_device(self) -> None:
            self._of.opened = False
            self._gone()

        def start_acquisition(self) -> None:
            self._gone()
            self._of.streaming = True
            self._came = self._skipped = self._now_us = self._due_us = 0

        def stop_acquisition(self) -> None:
            self._of.streaming = False
            self._gone()

        def get_param(self, param: str) -> Any:
            self._gone()
            name, _, word = param.partition(":")
            if name == "isexist":
                return True
            if name == "cfa":
                return self._of.mosaic
            if name == "offsetY" or (word and name not in RANGES):
                raise Xi_error(100 if name == "offsetY" else 12)
            if word:
                return RANGES[name][("min", "max", "inc").index(word)]
            value = self._of.values[name]
            return bool(value) if name in SWITCHES else value

        def set_param(self, param: str, val: Any) -> None:
            self._gone()
            if param in RANGES:
                low, high, _ = RANGES[param]
                assert type(val) is type(low)
                if not low <= val <= high:
                    raise Xi_error(114)
            if param in ("exposure", "gain"):
                assert not self._of.values["aeag"], "the automatic would set it back"
            if param == "framerate":
                assert self._of.values["acq_timing_mode"] == "XI_ACQ_TIMING_MODE_FRAME_RATE"
            if param in ("width", "height", "imgdataformat") and self._of.streaming:
                raise Xi_error(109)
            assert param in self._of.values
            self._of.values[param] = val

        def get_image(self, image: Image, timeout: int = 5000) -> None:
            assert isinstance(timeout, int)
            assert self._of.streaming
            fault = self._of.faults.pop(self._came, "")
            self._of.there = self._of.there and fault != "gone"
            self._gone()
            until_us = self._now_us + timeout * 1000
            if self._due_us > until_us:
                self._now_us = until_us
                raise Xi_error(10)
            self._now_us = max(self._now_us, self._due_us)
            self._due_us += round(1e6 / self._of.values["framerate"])
            self._skipped += 2 * (fault == "dropped")
            self._fill(image, halved=fault == "other size")
            self._came += 1

        def _fill(self, image: Image, *, halved: bool) -> None:
            dtype, channels = TYPES[self._of.values["imgdataformat"]]
            image.width, image.height = self._of.values["width"], self._of.values["height"]
            image.height //= 2 if halved else 1
            image.acq_nframe = self._came + self._skipped + 1
            image.padding_x = PADDING
            line = image.width * channels * np.dtype(dtype).itemsize
            rows = np.full((image.height, line + PADDING), 0xEE, np.uint8)
            rows[:, :line].view(dtype)[...] = image.acq_nframe % 251
            self._memory = rows  # it must live until the next image
            image.bp = rows.ctypes.data
            image.tsSec, image.tsUSec = 7 + self._now_us // 10**6, self._now_us % 10**6

        def _gone(self) -> None:
            if not self._of.there:
                raise Xi_error(13)

    return Camera


@contextlib.contextmanager
def installed(*cameras: FakeXimea) -> Iterator[None]:
    """ximea.xiapi can be imported and sees `cameras`; at the end all are closed."""
    package, module = ModuleType("ximea"), ModuleType("ximea.xiapi")
    module.Xi_error = Xi_error  # type: ignore[attr-defined]
    module.Image = Image  # type: ignore[attr-defined]
    module.Camera = _camera_class(list(cameras))  # type: ignore[attr-defined]
    package.xiapi = module  # type: ignore[attr-defined]
    with mock.patch.dict(sys.modules, {"ximea": package, "ximea.xiapi": module}):
        yield
    assert not any(camera.opened or camera.streaming for camera in cameras)
