"""The export presets, one row each; adding a preset is adding a row. Pure values, no I/O.

x264's speed preset "veryfast" was chosen by measurement (1280x1024 mono, sensor noise of 2 grey
levels, eight moving discs, CRF 18): medium takes 2.8 times the CPU time, and its file is 1.8 times
larger for 0.9 dB more; at CRF 23 and 28 it takes twice the CPU time for 1.3 dB. On a battery in
the field the cheaper one wins.

The bounds were measured on uniform noise, sensor noise, hard moving edges, flashes, cuts and random
coloured blocks of 640x480. Worst frame for High, Medium, Low: PSNR 28.5, 23.4, 18.8 dB (uniform
noise), blocks off by 12, 17, 25 levels (coloured blocks). The bounds leave room below that: a false
alarm would keep a recording from ever being exported, and what they are there to catch is far off.
HEVC and VP9 on the same content: 31.8 and 35.8 dB, blocks off by 8 and 16 levels.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fieldrec.core.errors import UsageError

TRUE_TIMES = "true"
"""`rate` of a movie in which every frame is shown at its own time."""
NATIVE_RATE = "native"
"""`rate` of a movie whose frames are evenly spaced, at the camera's nominal rate."""
SOFTWARE = "software"
"""`encoder`: the one of the codec's row, which every machine has."""
AUTO = "auto"
"""`encoder`: the first of the machine's hardware encoders that really encodes; else software."""
AS_RAW = "native"
"""`pixel_format`: that of the raw frames, nothing taken away."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """What is done to the shape of every picture, in this order; the default is nothing."""

    crop: tuple[int, int, int, int] | None = None
    """x, y, width, height in pixels of the raw frame."""
    scale: float = 1.0
    """Of both sides, after the crop."""
    width: int | None = None
    """Instead of `scale`: pixels; the other side follows unless it is given too."""
    height: int | None = None
    rotate: int = 0
    """Degrees clockwise: 0, 90, 180 or 270."""
    flip: str = "none"
    """"horizontal" (left becomes right), "vertical" or "both"; after the rotation."""


@dataclass(frozen=True, slots=True)
class Preset:
    """How a recording is encoded, and what its verification demands."""

    name: str
    """As shown to people; lower-case it is part of the file name."""
    aliases: tuple[str, ...] = ()
    """Other names that scripts written for other recorders use."""
    codec: str = "h264"
    """Row of codecs.py."""
    container: str = ".mp4"
    """Row of containers.py: the extension of the file."""
    crf: int | None = None
    """Constant rate factor, on the scale of the codec: lower is better and larger. None: a bitrate
    is asked for instead, or the codec is lossless."""
    bitrate_bits_per_s: int | None = None
    """Mean rate of the movie, whatever that does to its pictures."""
    speed: str = "veryfast"
    """The encoder's speed preset; "" where it has none."""
    keyframe_s: float = 1.0
    """Seconds between key frames: how far a player has to decode when it seeks."""
    threads: int = 0
    """Of the encoder; 0: as many as it wants."""
    encoder: str = SOFTWARE
    """SOFTWARE, AUTO, or the libavcodec name of the only one to be used."""
    pixel_format: str = "yuv420p"
    """libavutil's name, or AS_RAW."""
    options: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The encoder's own, over those of its row; one that it does not know is an error."""
    rate: str = TRUE_TIMES
    """TRUE_TIMES, NATIVE_RATE, or a constant rate in Hz as text."""
    slice_s: float | None = None
    """A new movie after so many seconds of the recording."""
    slice_bytes: int | None = None
    """A new movie before this one is larger."""
    geometry: Geometry | None = None
    """What is done to the shape of the pictures; None: nothing."""
    lossless: bool = False
    """Every value of every pixel comes back; verification demands just that."""
    floor_db: float = 0.0
    """Luma PSNR under which no frame of this preset may be; uniform noise stays above it."""
    floor_ssim: float = 0.0
    """Luma SSIM under which no compared frame may be."""
    block_bound: float = 0.0
    """Levels of luma, Cb and Cr by which the mean of no 8x8 block may be off."""
    typical_bits_per_pixel: float = 0.0
    """For predicting the size; quiet scenes need less, noise needs more."""

    def to_request(self) -> dict[str, Any]:
        """Every field as JSON knows it, for the export process."""
        return dataclasses.asdict(dataclasses.replace(self, options=dict(self.options)))

    @staticmethod
    def from_request(request: Mapping[str, Any]) -> Preset:
        """The preset that :meth:`to_request` told."""
        told = dict(request)
        told["aliases"] = tuple(told["aliases"])
        if told["geometry"] is not None:
            shape = dict(told["geometry"])
            shape["crop"] = None if shape["crop"] is None else tuple(shape["crop"])
            told["geometry"] = Geometry(**shape)
        return Preset(**told)


PRESETS = (
    Preset("Lossless", ("raw", "ll", "h264-ll", "ffv1"), codec="ffv1", container=".mkv", speed="",
           keyframe_s=0.0, pixel_format=AS_RAW, lossless=True, typical_bits_per_pixel=4.0),
    Preset("High", ("hq", "h264-hq", "h264", "libx264"), crf=18, floor_db=24.0, block_bound=18.0,
           typical_bits_per_pixel=0.03),
    Preset("Medium", ("mq", "h264-mq"), crf=23, floor_db=20.0, block_bound=24.0,
           typical_bits_per_pixel=0.015),
    Preset("Low", ("lq", "h264-lq"), crf=28, floor_db=16.0, block_bound=36.0,
           typical_bits_per_pixel=0.008),
    Preset("HEVC", ("h265", "libx265"), codec="hevc", crf=20, speed="superfast", floor_db=24.0,
           block_bound=18.0, typical_bits_per_pixel=0.02),
    Preset("VP9", ("libvpx-vp9",), codec="vp9", crf=24, speed="5", floor_db=24.0,
           block_bound=24.0, typical_bits_per_pixel=0.02),
    Preset("AV1", ("libsvtav1", "svt-av1"), codec="av1", crf=25, speed="8", floor_db=24.0,
           block_bound=24.0, typical_bits_per_pixel=0.02),
)

_BY_NAME = {name.lower(): row for row in PRESETS for name in (row.name, *row.aliases)}
_NONE_OF_ONES_OWN: Mapping[str, Preset] = {}


def preset(name: str, own: Mapping[str, Preset] = _NONE_OF_ONES_OWN) -> Preset:
    """The preset of that name or alias, whatever its case; UsageError listing the valid ones.

    `own` are those of the configuration, by name.
    """
    known = _BY_NAME | {own_name.lower(): row for own_name, row in own.items()}
    found = known.get(name.strip().lower())
    if found is None:
        near = difflib.get_close_matches(name.strip().lower(), known, n=1, cutoff=0.6)
        hint = f"; did you mean {known[near[0]].name}?" if near else ""
        valid = ", ".join(row.name for row in (*PRESETS, *own.values()))
        raise UsageError(f"unknown preset {name!r}: the presets are {valid}{hint}")
    return found


def export_name(recording_name: str, preset: Preset, slice_number: int = 0) -> str:
    """File name of an export: "bees_20261121_060000" with High gives "….high.mp4".

    The n-th slice of several (from 1) gives "….high.001.mp4"; 0: there is one only.
    """
    part = f".{slice_number:03d}" if slice_number else ""
    return f"{recording_name}.{preset.name.lower()}{part}{preset.container}"
