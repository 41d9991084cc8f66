"""A V4L2 device: what it is, and the formats, sizes and rates it sends.

Runs in the caller's thread, which holds the camera. Every call into the kernel goes through
:class:`Kernel`, so that tests can put a recorded device in its place. Knows nothing of controls
(v4l2_controls.py), buffers (v4l2_stream.py) or pixels (v4l2_pixels.py).
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import select
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from fieldrec.camera import v4l2_abi as abi
from fieldrec.core.errors import CameraError, CameraLost

MOST_ENTRIES = 1024
"""Of any enumeration: a driver that never says EINVAL must not hold us."""


class Kernel(Protocol):
    """All that is asked of the kernel; every call may raise OSError."""

    def open(self, device: str) -> int:
        """A non-blocking descriptor of the character device; ENOTTY for any other file."""
        ...

    def close(self, fd: int) -> None: ...

    def ioctl(self, fd: int, request: int, argument: Any) -> None:
        """One ioctl; `argument` (a ctypes object) is read and filled."""
        ...

    def map(self, fd: int, length: int, offset: int) -> mmap.mmap:
        """A buffer of the driver as memory of ours."""
        ...

    def wait(self, fd: int, timeout_s: float) -> int:
        """poll's events (POLLIN, POLLERR, POLLPRI…), 0 when nothing came in time."""
        ...

    def clock_ns(self) -> int:
        """CLOCK_MONOTONIC, in which drivers stamp their frames."""
        ...


class SystemKernel:
    """The kernel this program runs on."""

    def open(self, device: str) -> int:
        if not stat.S_ISCHR(Path(device).stat().st_mode):
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
        return os.open(device, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def close(self, fd: int) -> None:
        os.close(fd)

    def ioctl(self, fd: int, request: int, argument: Any) -> None:
        fcntl.ioctl(fd, request, argument)  # Python itself goes on after EINTR

    def map(self, fd: int, length: int, offset: int) -> mmap.mmap:
        return mmap.mmap(fd, length, offset=offset)

    def wait(self, fd: int, timeout_s: float) -> int:
        poll = select.poll()
        poll.register(fd, select.POLLIN | select.POLLPRI)
        ready = poll.poll(max(timeout_s, 0.0) * 1000)
        return ready[0][1] if ready else 0

    def clock_ns(self) -> int:
        return time.monotonic_ns()


@dataclass(frozen=True, slots=True)
class Sizes:
    """One size that a format comes in, or a range of them, in pixels."""

    min_width: int
    max_width: int
    step_width: int
    min_height: int
    max_height: int
    step_height: int

    def has(self, width: int, height: int) -> bool:
        """Whether pictures can be that big."""
        return (self.min_width <= width <= self.max_width
                and self.min_height <= height <= self.max_height
                and (width - self.min_width) % self.step_width == 0
                and (height - self.min_height) % self.step_height == 0)

    def __str__(self) -> str:
        low, high = f"{self.min_width}x{self.min_height}", f"{self.max_width}x{self.max_height}"
        return low if low == high else f"{low} to {high}"


@dataclass(frozen=True, slots=True)
class WireFormat:
    """One format that the driver sends."""

    fourcc: str
    sizes: tuple[Sizes, ...]
    """() when the driver does not say."""

    def __str__(self) -> str:
        return f"{self.fourcc} {', '.join(map(str, self.sizes)) or 'any size'}"


@dataclass(frozen=True, slots=True)
class Layout:
    """What the driver will send, as it said itself."""

    fourcc: str
    width: int
    height: int
    line_bytes: int
    """From one row to the next; 0 for compressed formats."""
    image_bytes: int


class Device:
    """One open V4L2 device."""

    def __init__(self, path: str, kernel: Kernel) -> None:
        """Open it and see that it is a camera; CameraError says what it is instead."""
        self.path = path
        self.kernel = kernel
        self._fd = -1
        try:
            self._fd = kernel.open(path)
            capability = self.ask(abi.QUERYCAP, abi.Capability())
        except OSError as error:
            self.close()
            raise CameraError(f"{path}: {_why_not_open(error)}") from error
        self.card = capability.card.decode(errors="replace")
        has = (capability.device_caps if capability.capabilities & abi.CAP_DEVICE_CAPS
               else capability.capabilities)
        if not has & abi.CAP_VIDEO_CAPTURE or not has & abi.CAP_STREAMING:
            self.close()
            planar = has & abi.CAP_VIDEO_CAPTURE_MPLANE
            reason = ("sends its planes in separate buffers, which fieldrec cannot read"
                      if planar else "gives no pictures (a camera often has a second device for "
                                     "metadata); use the other one")
            raise CameraError(f"{path}: {self.card}: {reason}")

    def close(self) -> None:
        """Idempotent; never raises."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            try:
                self.kernel.close(fd)
            except OSError:
                return

    def ask(self, request: int, argument: _T) -> _T:
        """One ioctl on this device; `argument` comes back filled. OSError."""
        self.kernel.ioctl(self._fd, request, argument)
        return argument

    def map(self, length: int, offset: int) -> mmap.mmap:
        """See :meth:`Kernel.map`."""
        return self.kernel.map(self._fd, length, offset)

    def wait(self, timeout_s: float) -> int:
        """See :meth:`Kernel.wait`."""
        return self.kernel.wait(self._fd, timeout_s)

    def formats(self) -> tuple[WireFormat, ...]:
        """All formats with their sizes: a few dozen ioctls, answered from memory."""
        entries = self._each(abi.ENUM_FMT, lambda index: abi.FmtDesc(index=index, type=abi.CAPTURE))
        return tuple(WireFormat(fourcc(entry.pixelformat), self._sizes(entry.pixelformat))
                     for entry in entries if not entry.flags & abi.FMT_EMULATED)

    def rates(self, code: str, width: int, height: int) -> tuple[float, ...]:
        """Frames per second at that size, the fastest first; () when the driver does not say. A
        range gives its two ends."""
        found: list[float] = []
        number = fourcc_number(code)
        for entry in self._each(abi.ENUM_FRAMEINTERVALS, lambda index: abi.FrmIvalEnum(
                index=index, pixel_format=number, width=width, height=height)):
            ends = [entry.shortest, *([entry.longest] if entry.type != abi.DISCRETE else [])]
            found += [end.denominator / end.numerator for end in ends if end.numerator]
        return tuple(sorted(found, reverse=True))

    def layout(self) -> Layout:
        """What it sends now. CameraError, CameraLost."""
        return _layout(self.try_(abi.G_FMT, abi.Format(type=abi.CAPTURE),
                                 "its format cannot be read"))

    def set_layout(self, code: str, width: int, height: int) -> Layout:
        """Ask for a format; what the driver made of it. No buffer may exist."""
        asked = abi.Format(type=abi.CAPTURE)
        asked.fmt.pix.width, asked.fmt.pix.height = width, height
        asked.fmt.pix.pixelformat = fourcc_number(code)
        return _layout(self.try_(abi.S_FMT, asked, f"{code} {width}x{height} cannot be set"))

    def rate(self) -> float:
        """Frames per second now; 0.0 when the driver does not say."""
        try:
            parm = self.ask(abi.G_PARM, abi.StreamParm(type=abi.CAPTURE))
        except OSError:
            return 0.0
        interval = parm.timeperframe
        return interval.denominator / interval.numerator if interval.numerator else 0.0

    def set_rate(self, hz: float) -> float:
        """Ask for a rate; the one that the driver chose, 0.0 when it has no say in it."""
        parm = abi.StreamParm(type=abi.CAPTURE)
        parm.timeperframe.numerator, parm.timeperframe.denominator = 1000, round(hz * 1000)
        try:
            self.ask(abi.S_PARM, parm)
        except OSError as error:
            if error.errno not in (errno.ENOTTY, errno.EINVAL):
                raise self.failure(error, f"{hz:g} Hz cannot be set") from error
        return self.rate()

    def try_(self, request: int, argument: _T, doing: str) -> _T:
        """:meth:`ask` whose failure is a CameraError that says what was being done."""
        try:
            return self.ask(request, argument)
        except OSError as error:
            raise self.failure(error, doing) from error

    def failure(self, error: OSError, doing: str) -> CameraError:
        """The error to raise for one of the kernel's: CameraLost when the device is gone."""
        if error.errno in (errno.ENODEV, errno.ENXIO):
            return CameraLost(f"{self.path}: the camera was unplugged or lost power")
        if error.errno == errno.EBUSY:
            return CameraError(f"{self.path}: is used by another program; end that first")
        if error.errno == errno.ENOSPC:
            return CameraError(f"{self.path}: too little bandwidth on its USB bus for this size "
                               "and rate; use MJPG, a lower rate, or another port")
        return CameraError(f"{self.path}: {doing}: {os.strerror(error.errno or 0)}")

    def _sizes(self, pixel_format: int) -> tuple[Sizes, ...]:
        found = []
        for entry in self._each(abi.ENUM_FRAMESIZES, lambda index: abi.FrmSizeEnum(
                index=index, pixel_format=pixel_format)):
            size = entry.size
            if entry.type == abi.DISCRETE:
                width, height = size.min_width, size.max_width  # the union's first two numbers
                found.append(Sizes(width, width, 1, height, height, 1))
            else:
                found.append(Sizes(size.min_width, size.max_width, max(size.step_width, 1),
                                   size.min_height, size.max_height, max(size.step_height, 1)))
                break  # a range is one entry
        return tuple(found)

    def _each(self, request: int, make: Callable[[int], _T]) -> Iterator[_T]:
        for index in range(MOST_ENTRIES):
            try:
                yield self.ask(request, make(index))
            except OSError:
                return


_T = TypeVar("_T")


def fourcc(number: int) -> str:
    """Four characters of the kernel's number, e.g. "YUYV"; the big-endian flag is left out."""
    return (number & 0x7FFFFFFF).to_bytes(4, "little").decode("latin-1")


def fourcc_number(code: str) -> int:
    """The kernel's number of four characters."""
    return int.from_bytes(code.encode("latin-1"), "little")


def _layout(said: abi.Format) -> Layout:
    pix = said.fmt.pix
    return Layout(fourcc(pix.pixelformat), pix.width, pix.height, pix.bytesperline, pix.sizeimage)


def _why_not_open(error: OSError) -> str:
    if error.errno in (errno.ENOTTY, errno.EINVAL):
        return "not a camera device (for a video file use the backend 'file')"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "not allowed; add this user to the group 'video' and log in again"
    if error.errno == errno.EBUSY:
        return "is used by another program; end that first"
    return os.strerror(error.errno or 0)
