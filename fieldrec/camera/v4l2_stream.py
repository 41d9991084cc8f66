"""Frames out of a V4L2 driver: buffers that the driver fills and that are mapped here (mmap).

Read by ourselves and not through OpenCV's VideoCapture, which hides the driver's sequence number
(the only evidence of dropped frames), its error flag and its time stamp, and copies each frame
once more. Runs in the capture thread: one poll and two ioctls a frame, nothing allocated but the
frame's description. A buffer belongs to the driver, or to whoever has :meth:`Stream.take`-n it and
must give it back.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import select
from dataclasses import dataclass

import numpy as np

from fieldrec.camera import v4l2_abi as abi
from fieldrec.camera.v4l2 import Device
from fieldrec.camera.v4l2_pixels import Bytes
from fieldrec.core.errors import CameraError, CameraLost

_FLAG_ERROR = 0x40
_STAMP_MASK, _STAMP_MONOTONIC = 0xE000, 0x2000


@dataclass(frozen=True, slots=True)
class Arrival:
    """One buffer that the driver has filled."""

    index: int
    data: Bytes
    """The driver's own memory, as long as its content: read it before giving it back."""
    sequence: int
    """The driver's count of frames since the start, 32 bits."""
    stamp_ns: int | None
    """CLOCK_MONOTONIC by the driver; None when it stamps by another clock."""
    whole: bool
    """False when the driver says that the content may be damaged."""


class Stream:
    """One acquisition, from start to stop."""

    def __init__(self, device: Device, buffers: int) -> None:
        """Have the driver make `buffers` (or as many as it can), queue them and start.
        CameraError, CameraLost."""
        self._device = device
        self._maps: list[mmap.mmap] = []
        self._views: list[Bytes] = []
        self._broken: OSError | None = None
        try:
            self._map_buffers(buffers)
            for index in range(len(self._maps)):
                device.ask(abi.QBUF, _buffer(index))
            _subscribe(device)
            device.ask(abi.STREAMON, ctypes.c_int32(abi.CAPTURE))
        except OSError as error:
            self.stop()
            raise device.failure(error, "does not start") from error

    def take(self, timeout_s: float) -> Arrival | None:
        """The oldest filled buffer; None when none came in time. CameraLost when none will."""
        events = self._device.wait(timeout_s) if self._broken is None else select.POLLERR
        if not events:
            return None
        if events & select.POLLPRI and not events & select.POLLHUP:  # of an unplugged one: all set
            raise CameraLost(f"{self._device.path}: the size or format of its signal changed; it "
                             "is opened again")
        buffer = _buffer(0)
        try:
            if self._broken is not None:
                raise self._broken
            self._device.ask(abi.DQBUF, buffer)
        except BlockingIOError as error:
            if events & select.POLLERR:  # no frame, and poll would return at once for ever
                raise CameraLost(f"{self._device.path}: the driver has stopped sending") from error
            return None
        except OSError as error:
            raise self._lost(error) from error
        return self._arrival(buffer)

    def give_back(self, arrival: Arrival) -> None:
        """Let the driver fill it again. Never raises: the next :meth:`take` does."""
        try:
            self._device.ask(abi.QBUF, _buffer(arrival.index))
        except OSError as error:
            self._broken = error

    def stop(self) -> None:
        """End it and free the buffers. Idempotent; never raises."""
        with contextlib.suppress(OSError):
            self._device.ask(abi.STREAMOFF, ctypes.c_int32(abi.CAPTURE))
        self._views.clear()
        for mapped in self._maps:
            with contextlib.suppress(BufferError):  # somebody looks at it still: freed with that
                mapped.close()
        self._maps.clear()
        with contextlib.suppress(OSError):
            self._device.ask(abi.REQBUFS, abi.RequestBuffers(
                count=0, type=abi.CAPTURE, memory=abi.MEMORY_MMAP))

    def _map_buffers(self, wanted: int) -> None:
        device = self._device
        made = device.ask(abi.REQBUFS, abi.RequestBuffers(
            count=wanted, type=abi.CAPTURE, memory=abi.MEMORY_MMAP))
        if made.count < 2:
            raise OSError(errno.ENOMEM, "no buffers")
        for index in range(made.count):
            buffer = device.ask(abi.QUERYBUF, _buffer(index))
            mapped = device.map(buffer.length, buffer.m & 0xFFFFFFFF)
            self._maps.append(mapped)
            self._views.append(np.frombuffer(mapped, dtype=np.uint8))

    def _arrival(self, buffer: abi.Buffer) -> Arrival:
        stamp_ns = buffer.tv_sec * 1_000_000_000 + buffer.tv_usec * 1000
        known = buffer.flags & _STAMP_MASK == _STAMP_MONOTONIC
        return Arrival(buffer.index, self._views[buffer.index][:buffer.bytesused], buffer.sequence,
                       stamp_ns if known else None, not buffer.flags & _FLAG_ERROR)

    def _lost(self, error: OSError) -> CameraError:
        """Whatever stops a running stream ends the recording; the camera is then opened again."""
        failure = self._device.failure(error, "reading failed")
        return failure if isinstance(failure, CameraLost) else CameraLost(str(failure))


class SequenceNumbers:
    """Frame numbers that run on from the driver's 32-bit sequence; of a driver that does not count
    they are counted here."""

    def __init__(self) -> None:
        self._number = -1
        self._sequence = -1

    def number(self, sequence: int) -> int:
        """The number of a frame; the first has the driver's own."""
        if self._number < 0:
            self._number = sequence
        else:
            step = (sequence - self._sequence) & 0xFFFFFFFF
            self._number += step if 0 < step < 0x80000000 else 1
        self._sequence = sequence
        return self._number


def _buffer(index: int) -> abi.Buffer:
    return abi.Buffer(index=index, type=abi.CAPTURE, memory=abi.MEMORY_MMAP)


def _subscribe(device: Device) -> None:
    """Be told when a capture card's signal changes; cameras know no such event."""
    with contextlib.suppress(OSError):
        device.ask(abi.SUBSCRIBE_EVENT, abi.EventSubscription(type=abi.EVENT_SOURCE_CHANGE))
