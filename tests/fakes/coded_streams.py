"""Packets as network cameras send them: the synthetic camera's pictures, coded by real encoders."""

from __future__ import annotations

import functools
from fractions import Fraction
from typing import NamedTuple

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
    context.options = {
        "preset": "ultrafast", "crf": "28",
        "x264-params": f"bframes=0:rc-lookahead=0:sync-lookahead=0:sliced-threads=0:threads=1:"
                       f"keyint={key_every}:min-keyint={key_every}:scenecut=0:"
                       f"annexb={int(start_codes)}:{params}"}
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


def _encoded(context: av.VideoCodecContext, count: int, first: int, pixels: str
             ) -> tuple[Packet, ...]:
    camera = SyntheticCamera("coded", Options(width=context.width, height=context.height,
                                              pixel_format="MONO8"))
    camera.open()
    grey = np.zeros((context.height, context.width), np.uint8)
    packets = []
    for number in range(first, first + count):
        camera.render(number, grey)
        frame = av.VideoFrame.from_ndarray(grey, "gray").reformat(format=pixels)
        frame.pts = number - first
        packets += context.encode(frame)
    packets += context.encode(None)
    camera.close()
    return tuple(Packet(bytes(packet), packet.is_keyframe) for packet in packets)
