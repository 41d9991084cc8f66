"""Pictures into packets: the video formats that can be written, and their encoders (PyAV's).

One thread per encoder; `encode` blocks for as long as the codec computes. Each picture's packet
comes out of the call that it went into: no B-frames, no look-ahead, no frame threads, so that what
was appended can be on disk at once. PyAV and OpenCV are imported when the first encoder is made.

Colours: full range, the matrix of BT.601, 4:2:0. That is how OpenCV, and so imgstore, reads a video
whatever it says of its matrix, and how JPEG has always been; with the full range a grey level
survives as it is (the usual limited range has 219 levels for 256). Chroma is averaged from OpenCV's
exact conversion: FFmpeg's own is off by one level and more on the average.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.core.errors import StoreError
from fieldrec.store.metadata import StoreMetadata
from fieldrec.store.video.avi import Avi
from fieldrec.store.video.growth import RATE_HZ, Container, Track
from fieldrec.store.video.matroska import Matroska
from fieldrec.store.video.mp4 import Mp4

KEYFRAME_EVERY = 30
"""Reading any one frame decodes 15 on the average; OpenCV's writer has 250 of them between key
frames. More key frames would cost size: a still scene's are most of its bytes."""

_MAX_THREADS = 4
"""Each thread has a slice of the picture of its own, and slices cost compression."""
_GLOBAL_HEADER = 1 << 22
_FULL_RANGE = 2
_BT601 = 6
_UNSPECIFIED = 2


@dataclass(frozen=True, slots=True)
class VideoForm:
    """How the chunks of a video store are written."""

    name: str
    """As in the store's metadata: "avc1/mp4", …"""
    encoder: str
    pixels: str
    """FFmpeg's name of the pixel format that is encoded."""
    options: Mapping[str, str]
    quantiser: int | None
    """Fixed for MJPEG; None where the options say it."""
    container: Container
    width: int
    height: int
    """Both even: an odd last row or column is not coded, as imgstore's are not."""


# veryfast costs no more than superfast here, and half the size; crf 20 without the look-ahead gives
# 1.5 to 2 dB more than what imgstore's OpenCV makes with (crf 23, medium). annexb=0: packets as mp4
# and Matroska have them. forced-idr: a key frame that is asked for must not refer to what was lost.
_H264: Mapping[str, str] = MappingProxyType({
    "preset": "veryfast", "tune": "zerolatency", "crf": "20", "g": str(KEYFRAME_EVERY),
    "forced-idr": "1", "x264-params": "annexb=0"})
# 3 of 2…31: a little better than what OpenCV's writer does, at about its size.
_JPEG_QUANTISER = 3
_ROWS: Mapping[str, tuple[str, str, Mapping[str, str], int | None, type[Container]]] = {
    "mjpeg/avi": ("mjpeg", "yuvj420p", {}, _JPEG_QUANTISER, Avi),
    "h264/mkv": ("libx264", "yuv420p", _H264, None, Matroska),
    "avc1/mp4": ("libx264", "yuv420p", _H264, None, Mp4),
}
_ALIASES = {"mjpeg": "mjpeg/avi"}


def video_form(metadata: StoreMetadata) -> VideoForm:
    """How this store's chunks are written. StoreError for a format that we only read, and for
    pictures that no video has."""
    name = _ALIASES.get(metadata.format, metadata.format)
    if name not in _ROWS:
        raise StoreError(f"video format {metadata.format} is not written, only read; use one of "
                         f"{', '.join(_ROWS)}")
    height, width = (extent & -2 for extent in metadata.imgshape[:2])
    if metadata.dtype != "uint8" or not (len(metadata.imgshape) == 2
                                         or metadata.imgshape[2] in (1, 3)):
        raise StoreError(f"{name} holds uint8 pictures, grey or BGR, not {metadata.dtype} "
                         f"{list(metadata.imgshape)}; use npy")
    if not (2 <= width <= 16384 and 2 <= height <= 16384):
        raise StoreError(f"{name} holds pictures of 2 to 16384 pixels a side, not "
                         f"{width} x {height}; use npy")
    encoder, pixels, options, quantiser, container = _ROWS[name]
    return VideoForm(name, encoder, pixels, options, quantiser, container(), width, height)


def available(form: str) -> str | None:
    """Why this format cannot be written here, in a few words; None when it can."""
    name = _ALIASES.get(form, form)
    if name not in _ROWS:
        return f"{form} is not a video format that fieldrec writes"
    try:
        import av
        import cv2  # noqa: F401 - pictures are converted by it
    except ImportError as error:
        return f"{error.name} is not installed"
    encoder = _ROWS[name][0]
    try:
        av.Codec(encoder, "w")
    except av.FFmpegError:
        return f"this FFmpeg has no encoder {encoder}"
    except ValueError:  # UnknownCodecError of older PyAV versions
        return f"this FFmpeg has no encoder {encoder}"
    return None


class PictureEncoder:
    """The encoder of one chunk: its first picture is a key frame."""

    def __init__(self, form: VideoForm) -> None:
        """Open the encoder. StoreError when there is none, or when it refuses the size."""
        reason = available(form.name)
        if reason is not None:
            raise StoreError(f"{form.name} cannot be written: {reason}")
        import av
        self._av = av
        self._form = form
        try:
            self._context = _context(av, form)
            self._context.open()
        except (av.FFmpegError, ValueError) as error:
            raise StoreError(f"{form.name} cannot be written: the encoder refuses "
                             f"{form.width} x {form.height}: {error}") from error
        self._pts = 0

    @property
    def track(self) -> Track:
        """What a decoder must know before the first packet."""
        return Track(self._form.width, self._form.height, bytes(self._context.extradata or b""))

    def encode(self, pixels: NDArray[Any], key: bool = False) -> tuple[bytes, bool]:
        """(packet, whether it is a key frame) of one picture; with `key` it must be one.

        `pixels`: uint8, (h, w), (h, w, 1) or (h, w, 3) in BGR, at least as large as the form; what
        is beyond it is cut off. StoreError when the encoder fails.
        """
        picture = self._picture(pixels[:self._form.height, :self._form.width])
        picture.pts = self._pts
        picture.time_base = Fraction(1, RATE_HZ)
        if key:
            picture.pict_type = self._av.video.frame.PictureType.I
        self._pts += 1
        try:
            packets = self._context.encode(picture)
        except self._av.FFmpegError as error:
            raise StoreError(f"{self._form.name}: the encoder fails: {error}") from error
        if len(packets) != 1:
            raise StoreError(f"{self._form.name}: the encoder gave {len(packets)} packets for a "
                             "picture; this FFmpeg cannot be used for recording")
        return bytes(packets[0]), bool(packets[0].is_keyframe)

    def blank(self) -> tuple[bytes, bool]:
        """A black picture's packet."""
        return self.encode(np.zeros((self._form.height, self._form.width), np.uint8), True)

    def _picture(self, pixels: NDArray[np.uint8]) -> Any:
        import cv2
        form = self._form
        picture = self._av.VideoFrame(form.width, form.height, form.pixels)
        luma, *chroma = (_plane(plane) for plane in picture.planes)
        if pixels.ndim == 2 or pixels.shape[2] == 1:
            luma[:] = pixels.reshape(pixels.shape[:2])
            for plane in chroma:
                plane[:] = 128
            return picture
        luma[:], red, blue = cv2.split(cv2.cvtColor(pixels, cv2.COLOR_BGR2YCrCb))
        half = (form.width // 2, form.height // 2)
        chroma[0][:] = cv2.resize(blue, half, interpolation=cv2.INTER_AREA)
        chroma[1][:] = cv2.resize(red, half, interpolation=cv2.INTER_AREA)
        return picture


def _plane(plane: Any) -> NDArray[np.uint8]:
    """A plane of a picture as an array, without what FFmpeg pads its rows with."""
    rows = np.frombuffer(plane, np.uint8)[:plane.height * plane.line_size]
    return rows.reshape(plane.height, plane.line_size)[:, :plane.width]


def _context(av: Any, form: VideoForm) -> Any:
    context = av.CodecContext.create(form.encoder, "w")
    context.width, context.height, context.pix_fmt = form.width, form.height, form.pixels
    context.time_base = Fraction(1, RATE_HZ)
    context.framerate = Fraction(RATE_HZ)
    context.color_range, context.colorspace = _FULL_RANGE, _BT601
    context.color_primaries = context.color_trc = _UNSPECIFIED
    context.flags |= _GLOBAL_HEADER
    context.thread_type = "SLICE"
    context.thread_count = min(os.cpu_count() or 1, _MAX_THREADS)
    context.options = dict(form.options)
    if form.quantiser is not None:
        context.qmin = context.qmax = form.quantiser
    return context
