"""PySpin with cameras of ours: the calls of Teledyne's Python API that the backend makes, as its
documentation and examples (Acquisition.py, NodeMapInfo.py, Enumeration.py of Spinnaker 4.x) show
them: System, CameraList, Camera, Image, node pointers, SpinnakerException with `errorcode`.

As the real one it counts references: releasing the system while a camera is open is refused.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any
from unittest import mock

from tests.fakes.genicam_camera import STREAM, FakeCamera, FakeFrame, FakeNode, Gone, NoFrame

KINDS = {"integer": 2, "boolean": 3, "command": 4, "float": 5, "string": 6, "enumeration": 9}


class SpinnakerException(Exception):
    """As PySpin's: str() has text and code."""

    def __init__(self, text: str, errorcode: int = -1001) -> None:
        super().__init__(f"Spinnaker: {text} [{errorcode}]")
        self.errorcode = errorcode


class _Node:
    def __init__(self, camera: FakeCamera, node: FakeNode) -> None:
        self.camera, self.node = camera, node

    def GetPrincipalInterfaceType(self) -> int:
        return KINDS[self.node.kind]


class _Pointer:
    """CIntegerPtr, CFloatPtr, CBooleanPtr, CStringPtr."""

    def __init__(self, node: _Node) -> None:
        self._camera, self._node = node.camera, node.node

    def GetValue(self) -> Any:
        with _sdk_errors():
            self._camera.check()
        return self._node.value

    def SetValue(self, value: Any) -> None:
        with _sdk_errors():
            self._camera.write(self._node, value)

    def GetMin(self) -> Any:
        return self._node.low

    def GetMax(self) -> Any:
        return self._node.high

    def GetInc(self) -> Any:
        assert self._node.kind == "integer", "floats have an increment only sometimes"
        return self._node.step

    def GetUnit(self) -> str:
        return self._node.unit


class _Entry:
    def __init__(self, name: str, value: int) -> None:
        self._name, self._value = name, value

    def GetSymbolic(self) -> str:
        return self._name

    def GetValue(self) -> int:
        return self._value


class _EnumerationPtr(_Pointer):
    def GetEntries(self) -> list[_Entry]:
        return [_Entry(name, value) for value, name in enumerate(self._node.choices)]

    def GetEntryByName(self, name: str) -> _Entry | None:
        return next((entry for entry in self.GetEntries() if entry.GetSymbolic() == name), None)

    def GetCurrentEntry(self) -> _Entry:
        with _sdk_errors():
            self._camera.check()
        return _Entry(self._node.value, 0)

    def SetIntValue(self, value: int) -> None:
        self.SetValue(self._node.choices[value])


class _NodeMap:
    def __init__(self, camera: FakeCamera, nodes: dict[str, FakeNode]) -> None:
        self._camera, self._nodes = camera, nodes

    def GetNode(self, name: str) -> _Node | None:
        return _Node(self._camera, self._nodes[name]) if name in self._nodes else None


class _Image:
    def __init__(self, camera: FakeCamera, frame: FakeFrame) -> None:
        self._camera, self._frame = camera, frame

    def IsIncomplete(self) -> bool:
        return not self._frame.complete

    def GetFrameID(self) -> int:
        return self._frame.number

    def GetTimeStamp(self) -> int:
        return self._frame.device_ns

    def GetNDArray(self) -> Any:
        return self._frame.pixels

    def Release(self) -> None:
        self._camera.out -= 1


class _Camera:
    def __init__(self, camera: FakeCamera, system: _System) -> None:
        self._camera, self._system = camera, system
        name, value, choices = STREAM
        self.stream = {name: FakeNode(name, "enumeration", value, choices=choices),
                       "StreamBufferCountMode": FakeNode("StreamBufferCountMode", "enumeration",
                                                         "Auto", choices=("Auto", "Manual")),
                       "StreamBufferCountManual": FakeNode("StreamBufferCountManual", "integer",
                                                           10, 1, 1000)}

    def Init(self) -> None:
        with _sdk_errors():
            self._camera.check()
        self._system.opened += 1

    def DeInit(self) -> None:
        self._system.opened -= 1

    def IsValid(self) -> bool:
        return self._camera.there

    def GetNodeMap(self) -> _NodeMap:
        return _NodeMap(self._camera, self._camera.nodes)

    def GetTLDeviceNodeMap(self) -> _NodeMap:
        return _NodeMap(self._camera, self._camera.nodes)

    def GetTLStreamNodeMap(self) -> _NodeMap:
        return _NodeMap(self._camera, self.stream)

    def BeginAcquisition(self) -> None:
        assert self.stream["StreamBufferHandlingMode"].value == "OldestFirst"
        with _sdk_errors():
            self._camera.start()

    def EndAcquisition(self) -> None:
        with _sdk_errors():
            self._camera.stop()

    def GetNextImage(self, timeout_ms: int) -> _Image:
        with _sdk_errors():
            return _Image(self._camera, self._camera.next(timeout_ms))


class _CameraList(list[_Camera]):
    def Clear(self) -> None:
        self.clear()


class _System:
    def __init__(self, cameras: list[FakeCamera]) -> None:
        self.cameras = cameras
        self.opened = 0
        self.instances = 0

    def GetInstance(self) -> _System:
        self.instances += 1
        return self

    def GetCameras(self) -> _CameraList:
        return _CameraList(_Camera(camera, self) for camera in self.cameras if camera.there)

    def ReleaseInstance(self) -> None:
        self.instances -= 1
        if self.instances == 0 and self.opened:
            raise SpinnakerException("Can't clear a camera because something still holds a "
                                     "reference to it", -1004)


@contextlib.contextmanager
def _sdk_errors() -> Iterator[None]:
    try:
        yield
    except NoFrame:
        raise SpinnakerException("Failed waiting for EventData on NEW_BUFFER_DATA event.",
                                 -1011) from None
    except Gone:
        raise SpinnakerException("Stream has been aborted.", -1012) from None
    except ValueError as error:
        raise SpinnakerException(f"GenICam::AccessException= {error}", -2006) from None


@contextlib.contextmanager
def installed(*cameras: FakeCamera) -> Iterator[None]:
    """PySpin can be imported and sees `cameras`; at the end all is given back."""
    module: Any = ModuleType("PySpin")
    system = _System(list(cameras))
    module.System = system
    module.SpinnakerException = SpinnakerException
    module.SPINNAKER_ERR_TIMEOUT = -1011
    for name, kind in (("Integer", "integer"), ("Float", "float"), ("Boolean", "boolean"),
                       ("String", "string"), ("Enumeration", "enumeration")):
        setattr(module, f"intfI{name}", KINDS[kind])
        setattr(module, f"C{name}Ptr", _EnumerationPtr if kind == "enumeration" else _Pointer)
    module.CEnumEntryPtr = lambda entry: entry
    module.IsReadable = lambda node: node is not None
    module.IsWritable = lambda node: node.node.writable
    with mock.patch.dict(sys.modules, {"PySpin": module}):
        yield
    assert (system.instances, system.opened) == (0, 0)
    assert all(camera.out == 0 for camera in cameras)
