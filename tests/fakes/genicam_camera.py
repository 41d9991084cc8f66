"""A GenICam camera without any SDK: nodes and frames, on which the fakes of vendors' SDKs rest.

Its time is its own: waiting costs nothing. A frame's pixels all hold its number, modulo 251.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

START_NS = 5_000_000_000
"""The camera's clock at its first frame."""


@dataclass
class FakeNode:
    """One feature."""

    name: str
    kind: str
    """integer, float, boolean, enumeration, string, command"""
    value: Any = None
    low: float | None = None
    high: float | None = None
    step: float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()
    writable: bool = True


def camera_nodes(serial: str) -> dict[str, FakeNode]:
    """Of a small colour camera whose exposure is automatic when it starts."""
    nodes = [
        FakeNode("DeviceSerialNumber", "string", serial, writable=False),
        FakeNode("DeviceModelName", "string", "Fake 13C", writable=False),
        FakeNode("DeviceType", "enumeration", "USB3Vision", choices=("USB3Vision",),
                 writable=False),
        FakeNode("AcquisitionMode", "enumeration", "SingleFrame",
                 choices=("Continuous", "SingleFrame")),
        FakeNode("PixelFormat", "enumeration", "Mono8",
                 choices=("Mono8", "Mono16", "BGR8", "BayerRG8", "Mono12Packed")),
        FakeNode("Width", "integer", 640, 16, 1280, 16), FakeNode("Height", "integer", 480, 2,
                                                                  1024, 2),
        FakeNode("AcquisitionFrameRateEnable", "boolean", False),
        FakeNode("AcquisitionFrameRate", "float", 30.0, 0.5, 500.0, unit="Hz"),
        FakeNode("ExposureAuto", "enumeration", "Continuous",
                 choices=("Off", "Once", "Continuous")),
        FakeNode("ExposureTime", "float", 10000.0, 12.0, 1e6, unit="us"),
        FakeNode("GainAuto", "enumeration", "Off", choices=("Off", "Once", "Continuous")),
        FakeNode("Gain", "float", 0.0, 0.0, 48.0, unit="dB"),
        FakeNode("ReverseX", "boolean", False),
        FakeNode("TriggerSoftware", "command")]
    return {node.name: node for node in nodes}


STREAM = ("StreamBufferHandlingMode", "NewestOnly", ("NewestOnly", "OldestFirst"))


@dataclass
class FakeFrame:
    """One frame on its way."""

    number: int
    pixels: np.ndarray[Any, Any]
    complete: bool
    device_ns: int


class Gone(Exception):
    """The camera was unplugged."""


class NoFrame(Exception):
    """None came in time."""


@dataclass
class FakeCamera:
    """One camera as the world has it, whether or not somebody opened it."""

    serial: str
    nodes: dict[str, FakeNode]
    first_number: int = 0
    faults: dict[int, str] = field(default_factory=dict)
    """By how many frames came before: incomplete, dropped, gone, other size."""
    there: bool = True
    streaming: bool = False
    out: int = 0
    """Frames that were taken and not given back."""

    def write(self, node: FakeNode, value: Any) -> None:
        """As a camera takes it; ValueError when it does not."""
        self.check()
        if not node.writable or (node.name in ("Width", "Height", "PixelFormat")
                                 and self.streaming):
            raise ValueError(f"{node.name} is not writable")
        if node.name == "ExposureTime" and self.nodes["ExposureAuto"].value != "Off":
            raise ValueError("ExposureTime is not writable")
        if node.kind in ("integer", "float") and not node.low <= value <= node.high:
            raise ValueError(f"{node.name} is out of range")
        if node.kind == "enumeration" and value not in node.choices:
            raise ValueError(f"{node.name} has no {value}")
        kinds: Mapping[str, type] = {"integer": int, "float": float, "boolean": bool}
        assert type(value) is kinds.get(node.kind, str), (node.name, value)
        node.value = value

    def check(self) -> None:
        """Gone unless it is plugged in."""
        if not self.there:
            raise Gone

    def start(self) -> None:
        self.check()
        assert not self.streaming
        self.streaming = True
        self._came = 0
        self._skipped = 0
        self._now_ns = self._due_ns = START_NS

    def stop(self) -> None:
        self.check()
        self.streaming = False

    def next(self, timeout_ms: int) -> FakeFrame:
        """The next frame; NoFrame when it comes later."""
        assert isinstance(timeout_ms, int)
        assert self.streaming
        fault = self.faults.pop(self._came, "")
        self.there = self.there and fault != "gone"
        self.check()
        until_ns = self._now_ns + timeout_ms * 1_000_000
        if self._due_ns > until_ns:
            self._now_ns = until_ns
            raise NoFrame
        self._now_ns = max(self._now_ns, self._due_ns)
        self._due_ns += round(1e9 / self.nodes["AcquisitionFrameRate"].value)
        if fault == "dropped":
            self._skipped += 2
        high, wide = self.nodes["Height"].value, self.nodes["Width"].value
        if fault == "other size":
            high //= 2
        name = self.nodes["PixelFormat"].value
        shape = (high, wide, 3) if name == "BGR8" else (high, wide)
        number = self.first_number + self._came + self._skipped
        self._came += 1
        self.out += 1
        return FakeFrame(number, np.full(shape, number % 251,
                                         np.uint16 if name == "Mono16" else np.uint8),
                         fault != "incomplete", self._now_ns)
