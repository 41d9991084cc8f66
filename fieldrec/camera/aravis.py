"""What we use of libaravis (GigE Vision and USB3 Vision), bound by ctypes, and the list of cameras
that it sees. What is done with an open camera is in aravis_device.py.

No policy. Any thread may call; one at a time for each camera. What may wait for the network or for
a frame releases the GIL; what only reads a struct in memory keeps it (``PyDLL``), for taking it
back may wait for other threads. The library's own threads (heartbeat, stream) never enter Python.
Strings and nodes that the library returns are its own; arrays of strings are ours to free, as is
every GError, which :meth:`Library.call` does.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint, c_uint64
from ctypes import c_void_p as _P
from dataclasses import dataclass
from typing import Any, Final

from fieldrec.core.errors import CameraError

SONAME = "libaravis-0.8.so.0"
_DEVICE_GONE: Final = frozenset({2, 4, 5})
"""ArvDeviceError: not connected, transfer error, timeout."""
_asking = threading.Lock()
"""The library has one list of cameras, which looking for one by its name changes too."""


class AravisError(Exception):
    """The library's own error; the message is one line."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(" ".join(message.split()))
        self.code = code

    @property
    def device_gone(self) -> bool:
        """Whether the camera did not answer at all."""
        return self.code in _DEVICE_GONE


class _GError(ctypes.Structure):
    _fields_ = (("domain", ctypes.c_uint32), ("code", c_int), ("message", c_char_p))


class GValue(ctypes.Structure):
    """GLib's box for a property."""

    _fields_ = (("type", c_size_t), ("data", c_uint64 * 2))


class GSList(ctypes.Structure):
    """GLib's list."""

    _fields_ = (("data", _P), ("next", _P))


_GERROR: Any = POINTER(_P)
"""Last argument of a function that can fail."""
_INT64 = POINTER(c_int64)
_DOUBLE = POINTER(c_double)
_SIZE = POINTER(c_size_t)
_COUNT = POINTER(c_uint)
_S = c_char_p

_MAY_WAIT: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "arv_update_device_list": (None, ()),
    "arv_camera_new": (_P, (_S, _GERROR)),
    "arv_camera_create_stream": (_P, (_P, _P, _P, _GERROR)),
    "arv_camera_start_acquisition": (None, (_P, _GERROR)),
    "arv_camera_stop_acquisition": (None, (_P, _GERROR)),
    "arv_camera_get_payload": (c_uint, (_P, _GERROR)),
    "arv_camera_is_gv_device": (c_int, (_P,)),
    "arv_camera_gv_auto_packet_size": (c_uint, (_P, _GERROR)),
    "arv_camera_gv_set_packet_size": (None, (_P, c_int, _GERROR)),
    "arv_camera_gv_get_packet_size": (c_uint, (_P, _GERROR)),
    "arv_camera_are_chunks_available": (c_int, (_P, _GERROR)),
    "arv_camera_set_chunks": (None, (_P, _S, _GERROR)),
    "arv_camera_create_chunk_parser": (_P, (_P,)),
    **{f"arv_camera_{verb}_{what}{tail}": (result, arguments)
       for what in ("frame_rate", "exposure_time", "gain")
       for verb, tail, result, arguments in (
           ("is", "_available", c_int, (_P, _GERROR)),
           ("get", "", c_double, (_P, _GERROR)),
           ("get", "_bounds", None, (_P, _DOUBLE, _DOUBLE, _GERROR)),
           ("set", "", None, (_P, c_double, _GERROR)))},
    "arv_device_read_register": (c_int, (_P, c_uint64, POINTER(ctypes.c_uint32), _GERROR)),
    "arv_device_is_feature_available": (c_int, (_P, _S, _GERROR)),
    "arv_device_execute_command": (None, (_P, _S, _GERROR)),
    "arv_device_get_boolean_feature_value": (c_int, (_P, _S, _GERROR)),
    "arv_device_set_boolean_feature_value": (None, (_P, _S, c_int, _GERROR)),
    "arv_device_get_string_feature_value": (_S, (_P, _S, _GERROR)),
    "arv_device_set_string_feature_value": (None, (_P, _S, _S, _GERROR)),
    "arv_device_get_integer_feature_value": (c_int64, (_P, _S, _GERROR)),
    "arv_device_set_integer_feature_value": (None, (_P, _S, c_int64, _GERROR)),
    "arv_device_get_integer_feature_bounds": (None, (_P, _S, _INT64, _INT64, _GERROR)),
    "arv_device_get_integer_feature_increment": (c_int64, (_P, _S, _GERROR)),
    "arv_device_get_float_feature_value": (c_double, (_P, _S, _GERROR)),
    "arv_device_set_float_feature_value": (None, (_P, _S, c_double, _GERROR)),
    "arv_device_get_float_feature_bounds": (None, (_P, _S, _DOUBLE, _DOUBLE, _GERROR)),
    "arv_device_get_float_feature_increment": (c_double, (_P, _S, _GERROR)),
    "arv_device_dup_available_enumeration_feature_values_as_strings":
        (POINTER(_S), (_P, _S, _COUNT, _GERROR)),
    "arv_gc_feature_node_get_actual_access_mode": (c_int, (_P,)),
    "arv_gc_float_get_unit": (_S, (_P,)),
    "arv_gc_integer_get_unit": (_S, (_P,)),
    "arv_stream_timeout_pop_buffer": (_P, (_P, c_uint64)),
    "arv_chunk_parser_get_integer_value": (c_int64, (_P, _P, _S, _GERROR)),
    "g_object_unref": (None, (_P,)),
}
_IN_MEMORY: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "arv_get_n_devices": (c_uint, ()),
    **{f"arv_get_device_{what}": (_S, (c_uint,))
       for what in ("id", "physical_id", "address", "vendor", "model", "serial_nbr", "protocol")},
    "arv_camera_get_device": (_P, (_P,)),
    "arv_gv_device_is_controller": (c_int, (_P,)),
    "arv_device_get_feature": (_P, (_P, _S)),
    "arv_gc_category_get_features": (POINTER(GSList), (_P,)),
    "arv_gc_feature_node_get_visibility": (c_int, (_P,)),
    "arv_stream_push_buffer": (None, (_P, _P)),
    "arv_stream_get_info_uint64_by_name": (c_uint64, (_P, _S)),
    "arv_buffer_new_allocate": (_P, (c_size_t,)),
    "arv_buffer_get_status": (c_int, (_P,)),
    "arv_buffer_get_frame_id": (c_uint64, (_P,)),
    "arv_buffer_get_timestamp": (c_uint64, (_P,)),
    "arv_buffer_get_system_timestamp": (c_uint64, (_P,)),
    "arv_buffer_get_image_data": (_P, (_P, _SIZE)),
    "arv_buffer_get_image_width": (c_int, (_P,)),
    "arv_buffer_get_image_height": (c_int, (_P,)),
    "g_error_free": (None, (_P,)),
    "g_free": (None, (_P,)),
    "g_type_from_name": (c_size_t, (_S,)),
    "g_type_check_instance_is_a": (c_int, (_P, c_size_t)),
    "g_value_init": (_P, (POINTER(GValue), c_size_t)),
    "g_value_set_enum": (None, (POINTER(GValue), c_int)),
    "g_value_unset": (None, (POINTER(GValue),)),
    "g_object_set_property": (None, (_P, _S, POINTER(GValue))),
}


class Library:
    """The functions above, by name. GLib's come along: libaravis is linked against it."""

    def __init__(self, soname: str) -> None:
        """CameraError when it is not installed, or too old."""
        try:
            waiting, quick = ctypes.CDLL(soname), ctypes.PyDLL(soname)
        except OSError as error:
            raise CameraError("GigE Vision and USB3 Vision cameras need libaravis, which is not "
                              "installed; run: apt install libaravis-0.8-0") from error
        self._functions: dict[str, tuple[Any, bool]] = {}
        try:
            for handle, table in ((waiting, _MAY_WAIT), (quick, _IN_MEMORY)):
                for name, (result, arguments) in table.items():
                    function = getattr(handle, name)
                    function.restype, function.argtypes = result, arguments
                    self._functions[name] = (function, arguments[-1:] == (_GERROR,))
        except AttributeError as error:
            raise CameraError(f"the libaravis here is too old ({error}); fieldrec is tested with "
                              "0.8.26, as Debian 12 has it") from error

    def function(self, name: str) -> Any:
        """The bare function, for the path of every frame."""
        return self._functions[name][0]

    def call(self, name: str, *arguments: Any) -> Any:
        """Call it; AravisError when it fails."""
        function, can_fail = self._functions[name]
        if not can_fail:
            return function(*arguments)
        failure = _P()
        result = function(*arguments, byref(failure))
        if failure.value:
            found = ctypes.cast(failure, POINTER(_GError)).contents
            error = AravisError((found.message or b"").decode(errors="replace"), found.code)
            self.call("g_error_free", failure)
            raise error
        return result


@functools.cache
def library() -> Library:
    """The installed library, loaded once; CameraError (tried again next time) without."""
    return Library(SONAME)


@dataclass(frozen=True, slots=True)
class Seen:
    """A camera that answered to discovery."""

    id: str
    """What :class:`Device` opens."""
    physical_id: str
    address: str
    vendor: str
    model: str
    serial: str
    protocol: str
    """"GigEVision", "USB3Vision"."""


def discover() -> list[Seen]:
    """Ask all networks and USB ports; takes a second."""
    lib = library()
    names = ("id", "physical_id", "address", "vendor", "model", "serial_nbr", "protocol")
    with _asking:
        lib.call("arv_update_device_list")
        return [Seen(*(text(lib.call(f"arv_get_device_{name}", place)) for name in names))
                for place in range(lib.call("arv_get_n_devices"))]


def open_camera(name: str) -> int:
    """An ArvCamera by device ID or IP address, with a reference that is the caller's. AravisError;
    a camera that does not answer takes 1 to 3 s to fail."""
    with _asking:
        camera: int = library().call("arv_camera_new", name.encode())
    return camera


def text(value: bytes | None) -> str:
    """A string of the library; "" for none."""
    return "" if value is None else value.decode(errors="replace")
