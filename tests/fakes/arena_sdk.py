"""arena_api with cameras of ours: the calls of Lucid's Python package that the backend makes, as
its documentation and examples (py_image_buffer..., py_nodemaps_exploration of arena_api 2.x) show
them: system.device_infos, create_device, nodemaps, start_stream, get_buffer, requeue_buffer.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

from tests.fakes.genicam_camera import STREAM, FakeCamera, FakeFrame, FakeNode, Gone, NoFrame


class _Node:
    def __init__(self, camera: FakeCamera, node: FakeNode) -> None:
        self._camera, self._node = camera, node
        self.is_readable = True
        self.interface_type = SimpleNamespace(name=node.kind.upper())
        self.min, self.max, self.inc, self.unit = node.low, node.high, node.step, node.unit
        self.enumentry_names = list(node.choices)
        self.enumentry_nodes = {name: SimpleNamespace(is_readable=True) for name in node.choices}

    @property
    def is_writable(self) -> bool:
        return self._node.writable

    @property
    def value(self) -> Any:
        with _sdk_errors():
            self._camera.check()
        return self._node.value

    @value.setter
    def value(self, value: Any) -> None:
        with _sdk_errors():
            self._camera.write(self._node, value)


class _NodeMap:
    def __init__(self, camera: FakeCamera, nodes: dict[str, FakeNode]) -> None:
        self._camera, self._nodes = camera, nodes

    def get_node(self, name: str) -> _Node:
        if name not in self._nodes:
            raise ValueError(f"{name} node does not exist in this nodemap")
        return _Node(self._camera, self._nodes[name])


class _Buffer:
    """`data` is left out on purpose: it is a Python list of every byte."""

    def __init__(self, frame: FakeFrame) -> None:
        self._pixels = frame.pixels
        self.frame_id, self.timestamp_ns = frame.number, frame.device_ns
        self.is_incomplete = not frame.complete
        self.height, self.width = frame.pixels.shape[:2]
        self.size_filled = frame.pixels.nbytes
        self.pdata = frame.pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_ubyte))


class _Device:
    def __init__(self, camera: FakeCamera) -> None:
        self.camera = camera
        self.nodemap = _NodeMap(camera, camera.nodes)
        name, value, choices = STREAM
        self.stream = {name: FakeNode(name, "enumeration", value, choices=choices),
                       "StreamPacketResendEnable": FakeNode("StreamPacketResendEnable", "boolean",
                                                            False)}
        self.tl_stream_nodemap = _NodeMap(camera, self.stream)

    def is_connected(self) -> bool:
        return self.camera.there

    def start_stream(self, number_of_buffers: int = 10) -> None:
        assert self.stream["StreamBufferHandlingMode"].value == "OldestFirst"
        assert self.stream["StreamPacketResendEnable"].value is True
        with _sdk_errors():
            self.camera.start()

    def stop_stream(self) -> None:
        with _sdk_errors():
            self.camera.stop()

    def get_buffer(self, number_of_buffers: int = 1, timeout: int = 100_000) -> _Buffer:
        assert number_of_buffers == 1
        with _sdk_errors():
            return _Buffer(self.camera.next(timeout))

    def requeue_buffer(self, buffer: _Buffer) -> None:
        self.camera.out -= 1


class _System:
    def __init__(self, cameras: list[FakeCamera]) -> None:
        self._cameras = cameras
        self.created: list[_Device] = []

    @property
    def device_infos(self) -> list[dict[str, Any]]:
        return [{"model": "Fake TRI", "vendor": "Lucid Vision Labs", "serial": camera.serial,
                 "ip": "169.254.1.2", "name": ""} for camera in self._cameras if camera.there]

    def create_device(self, device_infos: Any = None) -> list[_Device]:
        wanted = [info["serial"] for info in device_infos]
        made = [_Device(camera) for camera in self._cameras if camera.serial in wanted]
        self.created += made
        return made

    def destroy_device(self, device: _Device) -> None:
        self.created.remove(device)


@contextlib.contextmanager
def _sdk_errors() -> Iterator[None]:
    try:
        yield
    except NoFrame:
        raise TimeoutError("GetBuffer timeout") from None
    except Gone:
        raise ConnectionError("the device is not connected") from None


@contextlib.contextmanager
def installed(*cameras: FakeCamera) -> Iterator[None]:
    """arena_api can be imported and sees `cameras`; at the end all is given back."""
    package, module = ModuleType("arena_api"), ModuleType("arena_api.system")
    system = _System(list(cameras))
    module.system = system  # type: ignore[attr-defined]
    with mock.patch.dict(sys.modules, {"arena_api": package, "arena_api.system": module}):
        yield
    assert not system.created
    assert all(camera.out == 0 for camera in cameras)
