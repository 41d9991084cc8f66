"""V4L2's binary interface: the kernel's structures, ioctl numbers and constants, nothing else.

As in linux/videodev2.h on little-endian machines of 32 and 64 bits; a test compiles that header and
compares sizes, offsets and numbers. Fields keep the kernel's names.
"""

from __future__ import annotations

import ctypes
from ctypes import c_char, c_int32, c_int64, c_long, c_uint8, c_uint32, c_uint64, c_ulong
from typing import Any

CAPTURE = 1
"""V4L2_BUF_TYPE_VIDEO_CAPTURE, the only type of stream used here."""
MEMORY_MMAP = 1
CAP_VIDEO_CAPTURE = 0x00000001
CAP_VIDEO_CAPTURE_MPLANE = 0x00001000
CAP_STREAMING = 0x04000000
CAP_DEVICE_CAPS = 0x80000000
CAP_TIMEPERFRAME = 0x1000
FMT_EMULATED = 0x0002
"""The library on top made this format up; the kernel does not send it."""
DISCRETE = 1
EVENT_SOURCE_CHANGE = 5


class Capability(ctypes.Structure):
    """struct v4l2_capability"""

    _fields_ = (("driver", c_char * 16), ("card", c_char * 32), ("bus_info", c_char * 32),
                ("version", c_uint32), ("capabilities", c_uint32), ("device_caps", c_uint32),
                ("reserved", c_uint32 * 3))


class FmtDesc(ctypes.Structure):
    """struct v4l2_fmtdesc"""

    _fields_ = (("index", c_uint32), ("type", c_uint32), ("flags", c_uint32),
                ("description", c_char * 32), ("pixelformat", c_uint32), ("mbus_code", c_uint32),
                ("reserved", c_uint32 * 3))


class Stepwise(ctypes.Structure):
    """struct v4l2_frmsize_stepwise; of a discrete size only the first two, width and height."""

    _fields_ = (("min_width", c_uint32), ("max_width", c_uint32), ("step_width", c_uint32),
                ("min_height", c_uint32), ("max_height", c_uint32), ("step_height", c_uint32))


class FrmSizeEnum(ctypes.Structure):
    """struct v4l2_frmsizeenum"""

    _fields_ = (("index", c_uint32), ("pixel_format", c_uint32), ("type", c_uint32),
                ("size", Stepwise), ("reserved", c_uint32 * 2))


class Fract(ctypes.Structure):
    """struct v4l2_fract; as an interval, seconds a frame"""

    _fields_ = (("numerator", c_uint32), ("denominator", c_uint32))


class FrmIvalEnum(ctypes.Structure):
    """struct v4l2_frmivalenum; of a discrete interval only the first fraction"""

    _fields_ = (("index", c_uint32), ("pixel_format", c_uint32), ("width", c_uint32),
                ("height", c_uint32), ("type", c_uint32), ("shortest", Fract),
                ("longest", Fract), ("step", Fract), ("reserved", c_uint32 * 2))


class PixFormat(ctypes.Structure):
    """struct v4l2_pix_format"""

    _fields_ = (("width", c_uint32), ("height", c_uint32), ("pixelformat", c_uint32),
                ("field", c_uint32), ("bytesperline", c_uint32), ("sizeimage", c_uint32),
                ("colorspace", c_uint32), ("priv", c_uint32), ("flags", c_uint32),
                ("ycbcr_enc", c_uint32), ("quantization", c_uint32), ("xfer_func", c_uint32))


class _FormatUnion(ctypes.Union):
    _fields_ = (("pix", PixFormat), ("raw", c_uint8 * 200), ("aligns", ctypes.c_void_p))


class Format(ctypes.Structure):
    """struct v4l2_format"""

    _fields_ = (("type", c_uint32), ("fmt", _FormatUnion))


class StreamParm(ctypes.Structure):
    """struct v4l2_streamparm of a capture device"""

    _fields_ = (("type", c_uint32), ("capability", c_uint32), ("capturemode", c_uint32),
                ("timeperframe", Fract), ("rest", c_uint8 * 184))


class RequestBuffers(ctypes.Structure):
    """struct v4l2_requestbuffers"""

    _fields_ = (("count", c_uint32), ("type", c_uint32), ("memory", c_uint32),
                ("capabilities", c_uint32), ("flags", c_uint32))


class Buffer(ctypes.Structure):
    """struct v4l2_buffer; `m` holds the offset to map in its low 32 bits"""

    _fields_ = (("index", c_uint32), ("type", c_uint32), ("bytesused", c_uint32),
                ("flags", c_uint32), ("field", c_uint32), ("tv_sec", c_long), ("tv_usec", c_long),
                ("timecode", c_uint32 * 4), ("sequence", c_uint32), ("memory", c_uint32),
                ("m", c_ulong), ("length", c_uint32), ("reserved2", c_uint32),
                ("request_fd", c_int32))


class QueryExtCtrl(ctypes.Structure):
    """struct v4l2_query_ext_ctrl"""

    _fields_ = (("id", c_uint32), ("type", c_uint32), ("name", c_char * 32),
                ("minimum", c_int64), ("maximum", c_int64), ("step", c_uint64),
                ("default_value", c_int64), ("flags", c_uint32), ("elem_size", c_uint32),
                ("elems", c_uint32), ("nr_of_dims", c_uint32), ("dims", c_uint32 * 4),
                ("reserved", c_uint32 * 32))


class QueryMenu(ctypes.Structure):
    """struct v4l2_querymenu; of an integer menu the number is in the first 8 bytes of `name`"""

    _pack_ = 1
    _fields_ = (("id", c_uint32), ("index", c_uint32), ("name", c_uint8 * 32),
                ("reserved", c_uint32))


class ExtControl(ctypes.Structure):
    """struct v4l2_ext_control; a 32 bit value is in the low half of `value64`"""

    _pack_ = 1
    _fields_ = (("id", c_uint32), ("size", c_uint32), ("reserved2", c_uint32),
                ("value64", c_int64))


class ExtControls(ctypes.Structure):
    """struct v4l2_ext_controls"""

    _fields_ = (("which", c_uint32), ("count", c_uint32), ("error_idx", c_uint32),
                ("request_fd", c_int32), ("reserved", c_uint32),
                ("controls", ctypes.POINTER(ExtControl)))


class EventSubscription(ctypes.Structure):
    """struct v4l2_event_subscription"""

    _fields_ = (("type", c_uint32), ("id", c_uint32), ("flags", c_uint32),
                ("reserved", c_uint32 * 5))


def _request(direction: int, number: int, argument: Any) -> int:
    return direction << 30 | ctypes.sizeof(argument) << 16 | ord("V") << 8 | number


_WRITE, _READ, _BOTH = 1, 2, 3
QUERYCAP = _request(_READ, 0, Capability)
ENUM_FMT = _request(_BOTH, 2, FmtDesc)
G_FMT = _request(_BOTH, 4, Format)
S_FMT = _request(_BOTH, 5, Format)
REQBUFS = _request(_BOTH, 8, RequestBuffers)
QUERYBUF = _request(_BOTH, 9, Buffer)
QBUF = _request(_BOTH, 15, Buffer)
DQBUF = _request(_BOTH, 17, Buffer)
STREAMON = _request(_WRITE, 18, c_int32)
STREAMOFF = _request(_WRITE, 19, c_int32)
G_PARM = _request(_BOTH, 21, StreamParm)
S_PARM = _request(_BOTH, 22, StreamParm)
QUERYMENU = _request(_BOTH, 37, QueryMenu)
G_EXT_CTRLS = _request(_BOTH, 71, ExtControls)
S_EXT_CTRLS = _request(_BOTH, 72, ExtControls)
ENUM_FRAMESIZES = _request(_BOTH, 74, FrmSizeEnum)
ENUM_FRAMEINTERVALS = _request(_BOTH, 75, FrmIvalEnum)
SUBSCRIBE_EVENT = _request(_WRITE, 90, EventSubscription)
QUERY_EXT_CTRL = _request(_BOTH, 103, QueryExtCtrl)
