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

import difflib
from dataclasses import dataclass

from fieldrec.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Preset:
    """How a recording is encoded, and what its verification demands."""

    name: str
    """As shown to people; lower-case it is part of the file name."""
    aliases: tuple[str, ...]
    """Other names that scripts written for other recorders use."""
    crf: int
    """Constant rate factor, on the scale of the codec: lower is better and larger."""
    speed: str = "veryfast"
    """The encoder's speed preset."""
    codec: str = "h264"
    """Row of codecs.py."""
    keyframe_s: float = 1.0
    """Seconds between key frames: how far a player has to decode when it seeks."""
    floor_db: float = 0.0
    """Luma PSNR under which no frame of this preset may be; uniform noise stays above it."""
    block_bound: float = 0.0
    """Levels of luma, Cb and Cr by which the mean of no 8x8 block may be off."""
    typical_bits_per_pixel: float = 0.0
    """For predicting the size; quiet scenes need less, noise needs more."""


PRESETS = (
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
)

_BY_NAME = {name.lower(): row for row in PRESETS for name in (row.name, *row.aliases)}


def preset(name: str) -> Preset:
    """The preset of that name or alias, whatever its case; UsageError listing the valid ones."""
    found = _BY_NAME.get(name.strip().lower())
    if found is None:
        near = difflib.get_close_matches(name.strip().lower(), _BY_NAME, n=1, cutoff=0.6)
        hint = f"; did you mean {_BY_NAME[near[0]].name}?" if near else ""
        valid = ", ".join(row.name for row in PRESETS)
        raise UsageError(f"unknown preset {name!r}: the presets are {valid}{hint}")
    return found


def export_name(recording_name: str, preset: Preset) -> str:
    """File name of an export: "bees_20261121_060000" with High gives "….high.mp4"."""
    return f"{recording_name}.{preset.name.lower()}.mp4"
