"""An open GigE Vision or USB3 Vision camera as libaravis has it: its features, its stream.

No policy; errors are AravisError. One thread at a time for each camera. :class:`Device` and
:class:`Stream` hold one reference each and give it back in ``close``. A buffer belongs to the
stream from :meth:`Stream.give_back` until the :meth:`Stream.take` that returns it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from ctypes import POINTER, byref, c_char_p, c_double, c_int64, c_size_t, c_uint
from typing import Any, Final, Literal

from fieldrec.camera.aravis import (
    AravisError,
    GSList,
    GValue,
    Library,
    library,
    open_camera,
    text,
)

Kind = Literal["integer", "float", "enumeration", "boolean", "string", "command", "other"]
SUCCESS: Final = 0
"""Status of a buffer that holds a whole frame."""
_BUFFERS_AUTO: Final = 1
_RESEND_NEVER: Final = 0
_GURU: Final = 1
"""ArvGcVisibility; 0 is invisible, which some cameras give what should be seen."""
_WRITABLE: Final = (1, 2)
"""ArvGcAccessMode: write only, read and write."""


class Device:
    """An open camera. Every method but :meth:`close` raises AravisError."""

    def __init__(self, name: str) -> None:
        """Open by device ID or IP address; see :func:`fieldrec.camera.aravis.open_camera`."""
        self._lib = library()
        self._camera = open_camera(name)
        self._device: int = self._lib.call("arv_camera_get_device", self._camera)
        self._is_gige = bool(self._lib.call("arv_camera_is_gv_device", self._camera))

    def close(self) -> None:
        """Give the camera free. One that is gone takes seconds: it is told all the same."""
        camera, self._camera, self._device = self._camera, 0, 0
        if camera:
            self._lib.call("g_object_unref", camera)

    @property
    def is_gige(self) -> bool:
        """Whether it speaks GigE Vision."""
        return self._is_gige

    def is_ours(self) -> bool:
        """Whether we control it; False once the heartbeat failed, or it began anew, or (USB) it
        does not answer."""
        if self._is_gige:
            return bool(self._lib.call("arv_gv_device_is_controller", self._device))
        try:
            self._lib.call("arv_device_read_register", self._device, 0, byref(ctypes.c_uint32()))
        except AravisError:
            return False
        return True

    def camera(self, name: str, *arguments: Any) -> Any:
        """``arv_camera_NAME``, which knows how makers differ."""
        return self._lib.call(f"arv_camera_{name}", self._camera, *arguments)

    def camera_bounds(self, name: str) -> tuple[float, float]:
        """``arv_camera_get_NAME_bounds``."""
        low, high = c_double(), c_double()
        self.camera(f"get_{name}_bounds", byref(low), byref(high))
        return low.value, high.value

    def names(self) -> list[str]:
        """All features below the root category, in the camera's order; not those for gurus."""
        return list(dict.fromkeys(self._below("Root", set())))

    def kind(self, feature: str) -> Kind | None:
        """What it is; None when the camera does not describe it."""
        node = self._node(feature)
        return None if not node else self._kind_of(node)

    def is_available(self, feature: str) -> bool:
        """Whether it can be used in the camera's present state."""
        return bool(self._node(feature)) and bool(
            self._lib.call("arv_device_is_feature_available", self._device, feature.encode()))

    def is_writable(self, feature: str) -> bool:
        """Whether it may be set in the camera's present state."""
        node = self._node(feature)
        return bool(node) and self._lib.call(
            "arv_gc_feature_node_get_actual_access_mode", node) in _WRITABLE

    def read(self, feature: str) -> bool | int | float | str:
        """Its value."""
        kind = self.kind(feature)
        if kind == "boolean":
            return bool(self._call("get_boolean_feature_value", feature))
        if kind == "integer":
            return int(self._call("get_integer_feature_value", feature))
        if kind == "float":
            return float(self._call("get_float_feature_value", feature))
        return text(self._call("get_string_feature_value", feature))

    def write(self, feature: str, value: bool | int | float | str) -> None:
        """Set it; a command is executed."""
        kind = self.kind(feature)
        if kind == "command":
            self._call("execute_command", feature)
        elif kind == "boolean":
            self._call("set_boolean_feature_value", feature, int(value))
        elif kind == "integer":
            self._call("set_integer_feature_value", feature, int(value))
        elif kind == "float":
            self._call("set_float_feature_value", feature, float(value))
        else:
            self._call("set_string_feature_value", feature, str(value).encode())

    def limits(self, feature: str) -> tuple[float, float, float]:
        """Least and greatest value and the step between, of an integer or a float."""
        if self.kind(feature) == "integer":
            least, most = c_int64(), c_int64()
            self._call("get_integer_feature_bounds", feature, byref(least), byref(most))
            return least.value, most.value, self._call("get_integer_feature_increment", feature)
        low, high = c_double(), c_double()
        self._call("get_float_feature_bounds", feature, byref(low), byref(high))
        return low.value, high.value, self._call("get_float_feature_increment", feature)

    def unit(self, feature: str) -> str:
        """"us", "dB"… as the camera names it; "" for none."""
        kind = self.kind(feature)
        if kind not in ("integer", "float"):
            return ""
        return text(self._lib.call(f"arv_gc_{kind}_get_unit", self._node(feature)))

    def choices(self, feature: str) -> tuple[str, ...]:
        """What an enumeration can be now."""
        count = c_uint()
        array = self._call("dup_available_enumeration_feature_values_as_strings", feature,
                           byref(count))
        try:
            return tuple(text(array[place]) for place in range(count.value))
        finally:
            self._lib.call("g_free", array)  # the strings in it are the library's

    def stream(self, buffers: int, *, resend: bool, chunks: bool) -> Stream:
        """Make the stream and its buffers, of the payload that the camera has now; `chunks`: the
        frames' times are to be taken from their chunk data."""
        pointer = self.camera("create_stream", None, None)
        parser = self.camera("create_chunk_parser") if chunks else 0
        made = Stream(self._lib, pointer, parser, self._chunk_tick_ns() if chunks else 1.0)
        if self._is_gige:
            made.set_gige(resend=resend)
        try:
            payload = self.camera("get_payload")
            for _ in range(buffers):
                made.give_back(self._lib.call("arv_buffer_new_allocate", payload))
        except AravisError:
            made.close()
            raise
        return made

    def _chunk_tick_ns(self) -> float:
        """Unit of chunk timestamps: older GigE cameras count ticks, the others ns."""
        frequency = "GevTimestampTickFrequency"
        ticks_hz = float(self.read(frequency)) if self.is_available(frequency) else 0.0
        return 1e9 / ticks_hz if ticks_hz > 0 else 1.0

    def _call(self, name: str, feature: str, *arguments: Any) -> Any:
        return self._lib.call(f"arv_device_{name}", self._device, feature.encode(), *arguments)

    def _node(self, feature: str) -> int | None:
        node: int | None = self._lib.call("arv_device_get_feature", self._device, feature.encode())
        return node

    def _is_a(self, node: int, *types: bytes) -> bool:
        return any(self._lib.call("g_type_check_instance_is_a", node,
                                  self._lib.call("g_type_from_name", name)) for name in types)

    def _kind_of(self, node: int) -> Kind:
        """Enumerations are integers and strings as well: the order counts."""
        kinds: tuple[tuple[Kind, bytes], ...] = (
            ("other", b"ArvGcCategory"), ("command", b"ArvGcCommand"),
            ("enumeration", b"ArvGcEnumeration"), ("boolean", b"ArvGcBoolean"),
            ("float", b"ArvGcFloat"), ("integer", b"ArvGcInteger"), ("string", b"ArvGcString"))
        return next((kind for kind, name in kinds if self._is_a(node, name)), "other")

    def _below(self, category: str, been: set[str]) -> Iterator[str]:
        node = self._node(category)
        if not node or category in been:
            return
        been.add(category)
        entry = self._lib.call("arv_gc_category_get_features", node)
        while entry:
            name = text(ctypes.cast(entry.contents.data, c_char_p).value)
            entry = ctypes.cast(entry.contents.next, POINTER(GSList))
            child = self._node(name)
            if child and self._is_a(child, b"ArvGcCategory"):
                yield from self._below(name, been)
            elif child and self._lib.call("arv_gc_feature_node_get_visibility", child) != _GURU:
                yield name


class Stream:
    """Buffers that the library fills. One thread uses it."""

    def __init__(self, lib: Library, pointer: int, parser: int = 0, tick_ns: float = 1.0) -> None:
        """`parser` reads the frames' chunk data, if that is where their time is, in ticks."""
        self._lib = lib
        self._stream = pointer
        self._parser = parser
        self._tick_ns = tick_ns
        self._size = c_size_t()
        self._pop = lib.function("arv_stream_timeout_pop_buffer")
        self._push = lib.function("arv_stream_push_buffer")
        self.status = lib.function("arv_buffer_get_status")
        """Of a buffer: :data:`SUCCESS`, or why the frame is not whole."""
        self.frame_id = lib.function("arv_buffer_get_frame_id")
        """The camera's number of a buffer's frame."""
        self.host_time_ns = lib.function("arv_buffer_get_system_timestamp")
        """When the first packet of a buffer's frame arrived, by the wall clock."""
        self._time = lib.function("arv_buffer_get_timestamp")
        self._data = lib.function("arv_buffer_get_image_data")
        self._height = lib.function("arv_buffer_get_image_height")
        self._width = lib.function("arv_buffer_get_image_width")

    def set_gige(self, *, resend: bool) -> None:
        """A socket buffer that takes a whole frame, as far as the system allows; and whether lost
        packets are asked for again."""
        self._set("socket-buffer", b"ArvGvStreamSocketBuffer", _BUFFERS_AUTO)
        if not resend:
            self._set("packet-resend", b"ArvGvStreamPacketResend", _RESEND_NEVER)

    def take(self, timeout_s: float) -> int | None:
        """Wait for the next buffer, in the order of frames, whole or not; None in vain."""
        buffer: int | None = self._pop(self._stream, int(timeout_s * 1e6))
        return buffer

    def give_back(self, buffer: int) -> None:
        """Let the library fill it again."""
        self._push(self._stream, buffer)

    def picture(self, buffer: int) -> tuple[int, int, int, int]:
        """Address, bytes there, height and width of a whole frame's picture."""
        address = self._data(buffer, byref(self._size))
        return address, self._size.value, self._height(buffer), self._width(buffer)

    def device_time_ns(self, buffer: int) -> int:
        """The frame's time by the camera's clock; 0 for none. AravisError for a frame without the
        chunk."""
        if self._parser:
            ticks = int(self._lib.call("arv_chunk_parser_get_integer_value", self._parser, buffer,
                                       b"ChunkTimestamp"))
            return ticks if self._tick_ns == 1.0 else round(ticks * self._tick_ns)
        return int(self._time(buffer))

    def count(self, name: str) -> int:
        """One of the library's counters: "n_missing_packets", "n_underruns"…"""
        return int(self._lib.call("arv_stream_get_info_uint64_by_name", self._stream,
                                  name.encode()))

    def close(self) -> None:
        """End its thread, free its buffers."""
        for pointer in (self._stream, self._parser):
            if pointer:
                self._lib.call("g_object_unref", pointer)
        self._stream = self._parser = 0

    def _set(self, name: str, enumeration: bytes, value: int) -> None:
        box = GValue()
        self._lib.call("g_value_init", byref(box), self._lib.call("g_type_from_name", enumeration))
        self._lib.call("g_value_set_enum", byref(box), value)
        self._lib.call("g_object_set_property", self._stream, name.encode(), byref(box))
        self._lib.call("g_value_unset", byref(box))
