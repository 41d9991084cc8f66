"""Packets as network cameras send them: the synthetic camera's pictures, coded by real encoders."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np

from fieldrec.camera.synthetic import Options, SyntheticCamera

KEY_EVERY = 10


class Packet(NamedTuple):
    """One coded picture."""

    data: bytes
    key: bool


@functools.cache
def h264_packets(count: int, first: int = 0, *, width: int = 320, height: int = 180,
                 key_every: int = KEY_EVERY, params: str = "", start_codes: bool = True,
                 sets_in_band: bool = True) -> tuple[Packet, ...]:
    """Pictures `first` … with their numbers burnt in, a key picture every `key_every`.

    `params`: x264's, added to those of a stream without B-frames.
    """
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base = Fraction(1, 25)
    if not sets_in_band:
        context.flags |= 1 << 22  # global header
    context.options = _x264(key_every, f"annexb={int(start_codes)}:{params}")
    return _encoded(context, count, first, "yuv420p")


@functools.cache
def jpeg_packets(count: int, first: int = 0, *, width: int = 320, height: int = 180
                 ) -> tuple[Packet, ...]:
    """Pictures `first` … as JPEGs."""
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt = width, height, "yuvj420p"
    context.time_base = Fraction(1, 25)
    context.qmin = context.qmax = 5
    return _encoded(context, count, first, "yuvj420p")


def write_stream(path: Path, codec: str, *, frames: int, hz: int, width: int = 160,
                 height: int = 120, key_every: int = KEY_EVERY, params: str = "") -> None:
    """A Matroska file of pictures 0 …, for servers."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264" if codec == "h264" else codec, rate=hz)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv420p" if codec == "h264" else "yuvj420p"
        if codec == "h264":
            stream.options = _x264(key_every, params)
        for frame in _frames(width, height, range(frames), stream.pix_fmt):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _x264(key_every: int, params: str) -> dict[str, str]:
    return {"preset": "ultrafast", "crf": "28",
            "x264-params": f"bframes=0:rc-lookahead=0:sync-lookahead=0:sliced-threads=0:threads=1:"
                           f"keyint={key_every}:min-keyint={key_every}:scenecut=0:{params}"}


def _encoded(context: av.VideoCodecContext, count: int, first: int, pixels: str
             ) -> tuple[Packet, ...]:
    packets = []
    for frame in _frames(context.width, context.height, range(first, first + count), pixels):
        packets += context.encode(frame)
    packets += context.encode(None)
    return tuple(Packet(bytes(packet), packet.is_keyframe) for packet in packets)


def _frames(width: int, height: int, numbers: range, pixels: str) -> Iterator[av.VideoFrame]:
    camera = SyntheticCamera("coded", Options(width=width, height=height, pixel_format="MONO8"))
    camera.open()
    grey = np.zeros((height, width), np.uint8)
    for number in numbers:
        camera.render(number, grey)
        frame = av.VideoFrame.from_ndarray(grey, "gray").reformat(format=pixels)
        frame.pts = number - numbers.start
        yield frame
    camera.close()
