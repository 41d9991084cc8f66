"""The codecs that presets can ask for, one row each: encoders, their options, what holds them.

Pure values, no I/O; the encoder's own names are nowhere else. Options that an encoder does not know
are errors where the stream is opened (encoding.py), so a row with a mistake in it cannot be used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quality:
    """What a preset asks of its encoder."""

    crf: int
    """Constant quality: lower is better and larger; the scale is the codec's own."""
    speed: str
    """The encoder's speed preset."""
    group: int
    """Frames from key frame to key frame."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One codec."""

    name: str
    """As presets name it."""
    title: str
    """For people and for the sidecar."""
    encoder: str
    """libavcodec's software encoder, in the PyAV wheel."""
    options: Callable[[Quality], Mapping[str, str]]
    containers: tuple[str, ...]
    """File name extensions of what can hold it, the usual one first."""
    crf_range: tuple[int, int] = (0, 0)
    speeds: tuple[str, ...] = ()
    """Slowest last."""
    tag: str = ""
    """Code in mp4, where libavformat's choice is not what players take."""


def _x264(quality: Quality) -> Mapping[str, str]:
    return {"preset": quality.speed, "profile": "high", "g": str(quality.group),
            "crf": str(quality.crf)}


def _x265(quality: Quality) -> Mapping[str, str]:
    return {"preset": quality.speed, "g": str(quality.group), "crf": str(quality.crf),
            "x265-params": "log-level=error:open-gop=0"}


def _vp9(quality: Quality) -> Mapping[str, str]:
    return {"deadline": "good", "cpu-used": quality.speed, "row-mt": "1", "g": str(quality.group),
            "tile-columns": "1", "b": "0", "crf": str(quality.crf)}


_X26 = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower",
        "veryslow")

CODECS: Mapping[str, Codec] = {row.name: row for row in (
    Codec("h264", "H.264 High", "libx264", _x264, (".mp4", ".mkv"), (0, 51), _X26),
    Codec("hevc", "HEVC Main", "libx265", _x265, (".mp4", ".mkv"), (0, 51), _X26, tag="hvc1"),
    Codec("vp9", "VP9", "libvpx-vp9", _vp9, (".mp4", ".mkv"), (0, 63),
          ("8", "7", "6", "5", "4", "3", "2", "1", "0")),
)}
