"""A recorded V4L2 device in the kernel's place: it answers each ioctl as uvcvideo (Linux 6.1) does,
down to its errnos, for a webcam with YUYV and MJPG, or for any formats given.

Its time is its own: waiting costs nothing. Frames bear their number in every byte (JPEGs: as grey),
and faults come at the frames that the test names. The buffers are real mappings.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import select
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from fieldrec.camera import v4l2_abi as abi
from fieldrec.camera.v4l2 import fourcc, fourcc_number

PAGE = mmap.PAGESIZE
INACTIVE = 0x10
UNPLUGGED = select.POLLERR | select.POLLHUP | select.POLLPRI
"""What the kernel's v4l2_poll says of a device that is no longer registered."""
BITS = {"YUYV": 16, "UYVY": 16, "GREY": 8, "NV12": 12, "Y16 ": 16, "RGGB": 8, "BA81": 8,
        "RG10": 16, "pRAA": 10, "BG12": 16, "pRCC": 12, "BGR3": 24, "RGB3": 24, "MJPG": 0,
        "H264": 0, "Y10 ": 16}
SIZES = ((640, 480), (320, 240), (1280, 720))


@dataclass
class FakeControl:
    """One control as VIDIOC_QUERY_EXT_CTRL tells it, and its value."""

    id: int
    type: int
    name: str
    minimum: int
    maximum: int
    step: int
    value: int
    flags: int = 0
    menu: Mapping[int, str] = field(default_factory=dict)


def webcam_controls() -> list[FakeControl]:
    """Of a common USB webcam, in the order of their numbers."""
    return [
        FakeControl(0x00980001, 6, "User Controls", 0, 0, 0, 0, flags=4),
        FakeControl(0x00980900, 1, "Brightness", 0, 255, 1, 128),
        FakeControl(0x0098090C, 2, "White Balance, Automatic", 0, 1, 1, 1),
        FakeControl(0x00980913, 1, "Gain", 0, 255, 1, 20),
        FakeControl(0x00980918, 3, "Power Line Frequency", 0, 2, 1, 2,
                    menu={0: "Disabled", 1: "50 Hz", 2: "60 Hz"}),
        FakeControl(0x0098091A, 1, "White Balance Temperature", 2000, 6500, 1, 4000,
                    flags=INACTIVE),
        FakeControl(0x009A0001, 6, "Camera Controls", 0, 0, 0, 0, flags=4),
        FakeControl(0x009A0901, 3, "Auto Exposure", 0, 3, 1, 3,
                    menu={1: "Manual Mode", 3: "Aperture Priority Mode"}),
        FakeControl(0x009A0902, 1, "Exposure Time, Absolute", 3, 2047, 1, 250, flags=INACTIVE),
        FakeControl(0x009A0908, 1, "Pan, Absolute", -36000, 36000, 3600, -3600),
        FakeControl(0x009A0913, 2, "Privacy", 0, 1, 1, 0, flags=4),
    ]


AUTOMATICS = {0x0098090C: (0x0098091A, 1), 0x009A0901: (0x009A0902, 3)}
"""An automatic: what it governs, and its value while it does."""


class RecordedDevice:
    """See the file's head; it is a Kernel (fieldrec/camera/v4l2.py) with one camera."""

    def __init__(self, *, path: str = "/dev/video0",
                 formats: Mapping[str, tuple[tuple[int, int], ...]] | None = None,
                 rates: tuple[float, ...] = (30.0, 15.0, 1.0),
                 slow: Mapping[tuple[str, int], tuple[float, ...]] | None = None,
                 faults: Mapping[int, str] | None = None, padding: int = 0,
                 capabilities: int = abi.CAP_VIDEO_CAPTURE | abi.CAP_STREAMING) -> None:
        self.path = path
        self.formats = dict(formats or {"YUYV": SIZES, "MJPG": SIZES})
        self.rates = rates
        self.slow = dict(slow or {})
        """Rates of one format at one width."""
        self.faults = dict(faults or {})
        """By the sequence number of the frame they befall."""
        self.padding = padding
        self.capabilities = capabilities
        self.controls = webcam_controls()
        self.now_ns = time.monotonic_ns()
        self.gone = False
        self.descriptors: set[int] = set()
        self.asked: list[str] = []
        """Names of the ioctls that changed something, in order."""
        first = next(iter(self.formats))
        self.width, self.height = self.formats[first][0]
        self.code = first
        self.hz = rates[0] if rates else 30.0
        self.refuse: dict[int, int] = {}
        """Errno by request."""
        self._stop()

    # The calls of a Kernel.

    def open(self, device: str) -> int:
        if self.gone or device != self.path:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        fd = 1000 + len(self.descriptors)
        self.descriptors.add(fd)
        return fd

    def close(self, fd: int) -> None:
        self.descriptors.remove(fd)
        self._stop()

    def clock_ns(self) -> int:
        return self.now_ns

    def map(self, fd: int, length: int, offset: int) -> mmap.mmap:
        assert fd in self.descriptors
        assert offset % PAGE == 0
        return self._memory[offset // PAGE // 4096]

    def wait(self, fd: int, timeout_s: float) -> int:
        until_ns = self.now_ns + round(max(timeout_s, 0.0) * 1e9)
        if self.gone:
            return UNPLUGGED
        if not self._streaming or not self._queued:
            return select.POLLERR
        if not self._done:
            if self._due_ns > until_ns:
                self.now_ns = until_ns
                return 0
            self.now_ns = max(self.now_ns, self._due_ns)
            return self._next_frame()
        return select.POLLIN

    def ioctl(self, fd: int, request: int, argument: Any) -> None:
        assert fd in self.descriptors
        if self.gone:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        if request in self.refuse:
            raise OSError(self.refuse[request], os.strerror(self.refuse[request]))
        answer = _ANSWERS.get(request)
        if answer is None:
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
        answer(self, argument)

    # What the device does.

    def _next_frame(self) -> int:
        fault = self.faults.pop(self._sequence, "")
        if fault == "gone":
            self.gone = True
            return UNPLUGGED
        if fault == "changed":
            return select.POLLPRI
        if fault == "hangup":
            return select.POLLERR
        if fault == "eio":
            self.refuse[abi.DQBUF] = errno.EIO
            return select.POLLIN | select.POLLERR
        if fault == "dropped":
            self._sequence += 3
        self._due_ns += round(1e9 / self.hz)
        content = self._content(fault)
        index = self._queued.popleft()
        self._memory[index][:len(content)] = content
        self._done.append((index, len(content), self._sequence, fault))
        self._sequence += 1
        return select.POLLIN

    def _content(self, fault: str) -> bytes:
        value = self._sequence % 251
        if self.code == "MJPG":
            high, wide = (24, 32) if fault == "big" else (self.height, self.width)
            content = _jpeg(high, wide, value)
            return content[:-40] if fault == "torn" else content + bytes(100) * (fault == "padded")
        whole = bytes([value]) * self._image_bytes()
        return whole[:-PAGE // 2] if fault == "short" else whole

    def _line_bytes(self) -> int:
        if BITS[self.code] == 0:
            return 0
        return self.width * (8 if self.code == "NV12" else BITS[self.code]) // 8 + self.padding

    def _image_bytes(self) -> int:
        if BITS[self.code] == 0:
            return self.width * self.height * 2
        return self._line_bytes() * (self.height * 3 // 2 if self.code == "NV12" else self.height)

    def _stop(self) -> None:
        self._streaming = False
        self._memory: list[mmap.mmap] = []
        self._queued: deque[int] = deque()
        self._done: deque[tuple[int, int, int, str]] = deque()
        self._sequence = 0
        self._due_ns = 0

    # Its answers.

    def querycap(self, answer: abi.Capability) -> None:
        answer.driver, answer.card = b"uvcvideo", b"Fake Camera"
        answer.bus_info = b"usb-0000:00:14.0-2"
        answer.capabilities = 0x84A00001 | abi.CAP_DEVICE_CAPS
        answer.device_caps = self.capabilities

    def enum_fmt(self, answer: abi.FmtDesc) -> None:
        answer.pixelformat = fourcc_number(_entry(list(self.formats), answer.index))

    def enum_framesizes(self, answer: abi.FrmSizeEnum) -> None:
        sizes = self.formats.get(fourcc(answer.pixel_format), ())
        answer.type = abi.DISCRETE
        answer.size.min_width, answer.size.max_width = _entry(sizes, answer.index)

    def enum_frameintervals(self, answer: abi.FrmIvalEnum) -> None:
        rates = self.slow.get((fourcc(answer.pixel_format), answer.width), self.rates)
        hz = _entry(rates, answer.index)
        answer.type = abi.DISCRETE
        answer.shortest = abi.Fract(10_000_000, round(hz * 10_000_000))

    def g_fmt(self, answer: abi.Format) -> None:
        pix = answer.fmt.pix
        pix.width, pix.height, pix.pixelformat = self.width, self.height, fourcc_number(self.code)
        pix.bytesperline, pix.sizeimage, pix.field = self._line_bytes(), self._image_bytes(), 1

    def s_fmt(self, answer: abi.Format) -> None:
        if self._memory:
            raise OSError(errno.EBUSY, "busy")
        pix = answer.fmt.pix
        self.asked.append("S_FMT")
        self.code = fourcc(pix.pixelformat)
        sizes = self.formats.get(self.code, SIZES)
        self.width, self.height = min(sizes, key=lambda size: abs(size[0] - pix.width)
                                      + abs(size[1] - pix.height))
        self.g_fmt(answer)

    def g_parm(self, answer: abi.StreamParm) -> None:
        answer.capability = abi.CAP_TIMEPERFRAME
        answer.timeperframe = abi.Fract(1, round(self.hz))

    def s_parm(self, answer: abi.StreamParm) -> None:
        if self._streaming:
            raise OSError(errno.EBUSY, "busy")
        asked = answer.timeperframe.denominator / answer.timeperframe.numerator
        rates = self.slow.get((self.code, self.width), self.rates)
        self.hz = min(rates, key=lambda hz: abs(hz - asked))
        self.g_parm(answer)

    def reqbufs(self, answer: abi.RequestBuffers) -> None:
        if self._streaming and answer.count:
            raise OSError(errno.EBUSY, "busy")
        self._queued.clear()
        length = -(-self._image_bytes() // PAGE) * PAGE
        self._memory = [mmap.mmap(-1, length) for _ in range(answer.count)]

    def querybuf(self, answer: abi.Buffer) -> None:
        answer.length = len(self._memory[answer.index])
        answer.m = answer.index * PAGE * 4096

    def qbuf(self, answer: abi.Buffer) -> None:
        assert answer.index not in self._queued, "a buffer was given back twice"
        self._queued.append(answer.index)

    def dqbuf(self, answer: abi.Buffer) -> None:
        if not self._streaming:
            raise OSError(errno.EINVAL, "not streaming")
        if not self._done:
            raise BlockingIOError(errno.EAGAIN, "nothing yet")
        index, length, sequence, fault = self._done.popleft()
        answer.index, answer.bytesused, answer.sequence = index, length, sequence
        answer.flags = 0x2001 | 0x40 * (fault == "damaged")
        stamp_ns = self.now_ns - 3_000_000
        if fault == "old stamp":
            stamp_ns -= 3600 * 10**9
        if fault == "other clock":
            answer.flags &= ~0xE000
        answer.tv_sec, answer.tv_usec = stamp_ns // 10**9, stamp_ns % 10**9 // 1000

    def streamon(self, argument: ctypes.c_int32) -> None:
        assert argument.value == abi.CAPTURE
        self._streaming = True
        self._sequence = 0
        self._due_ns = self.now_ns

    def streamoff(self, argument: ctypes.c_int32) -> None:
        self._streaming = False
        self._queued.clear()
        self._done.clear()

    def query_ext_ctrl(self, answer: abi.QueryExtCtrl) -> None:
        wanted = answer.id & 0x7FFFFFFF
        later = [control for control in self.controls if control.id > wanted]
        if not later:
            raise OSError(errno.EINVAL, "no more controls")
        control = later[0]
        answer.id, answer.type, answer.name = control.id, control.type, control.name.encode()
        answer.minimum, answer.maximum = control.minimum, control.maximum
        answer.step, answer.flags, answer.elems = control.step, control.flags, 1

    def querymenu(self, answer: abi.QueryMenu) -> None:
        text = self._control(answer.id).menu.get(answer.index)
        if text is None:
            raise OSError(errno.EINVAL, "no such entry")
        ctypes.memmove(answer.name, text.encode("latin-1").ljust(32, b"\0"), 32)

    def g_ext_ctrls(self, answer: abi.ExtControls) -> None:
        one = answer.controls[0]
        control = self._control(one.id)
        one.value64 = control.value if control.type == 5 else control.value & 0xFFFFFFFF

    def s_ext_ctrls(self, answer: abi.ExtControls) -> None:
        one = answer.controls[0]
        control = self._control(one.id)
        if control.flags & 4:
            raise OSError(errno.EACCES, "read only")
        if control.flags & INACTIVE:
            raise OSError(errno.EACCES, "inactive")
        value = ctypes.c_int32(one.value64 & 0xFFFFFFFF).value
        if not control.minimum <= value <= control.maximum:
            raise OSError(errno.ERANGE, "out of range")
        self.asked.append(f"{control.name} = {value}")
        control.value = value
        if control.id in AUTOMATICS:
            governed, on = AUTOMATICS[control.id]
            self._control(governed).flags = INACTIVE if value == on else 0

    def _control(self, id_: int) -> FakeControl:
        for control in self.controls:
            if control.id == id_:
                return control
        raise OSError(errno.EINVAL, "no such control")


def _entry(entries: Any, index: int) -> Any:
    if index >= len(entries):
        raise OSError(errno.EINVAL, "no more entries")
    return entries[index]


def _jpeg(high: int, wide: int, value: int) -> bytes:
    ok, packed = cv2.imencode(".jpg", np.full((high, wide, 3), value, np.uint8))
    assert ok
    return packed.tobytes()


_ANSWERS: dict[int, Callable[[RecordedDevice, Any], None]] = {
    abi.QUERYCAP: RecordedDevice.querycap, abi.ENUM_FMT: RecordedDevice.enum_fmt,
    abi.ENUM_FRAMESIZES: RecordedDevice.enum_framesizes,
    abi.ENUM_FRAMEINTERVALS: RecordedDevice.enum_frameintervals,
    abi.G_FMT: RecordedDevice.g_fmt, abi.S_FMT: RecordedDevice.s_fmt,
    abi.G_PARM: RecordedDevice.g_parm, abi.S_PARM: RecordedDevice.s_parm,
    abi.REQBUFS: RecordedDevice.reqbufs, abi.QUERYBUF: RecordedDevice.querybuf,
    abi.QBUF: RecordedDevice.qbuf, abi.DQBUF: RecordedDevice.dqbuf,
    abi.STREAMON: RecordedDevice.streamon, abi.STREAMOFF: RecordedDevice.streamoff,
    abi.QUERY_EXT_CTRL: RecordedDevice.query_ext_ctrl, abi.QUERYMENU: RecordedDevice.querymenu,
    abi.G_EXT_CTRLS: RecordedDevice.g_ext_ctrls, abi.S_EXT_CTRLS: RecordedDevice.s_ext_ctrls,
}
