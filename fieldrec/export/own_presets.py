"""Presets of one's own, from the configuration: checked against the codecs, made into rows.

Pure, no I/O. What verification demands of them (I4) is taken from the codec's measurements at their
quality; a bitrate may be anything, so there only what is plainly broken is refused.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fieldrec.config.document import Document
from fieldrec.config.exporting import OwnPresetConfig
from fieldrec.config.models import Config
from fieldrec.core.errors import ConfigError, FieldrecError
from fieldrec.export.codecs import CODECS, HARDWARE_PICTURES, Codec, Quality
from fieldrec.export.containers import container_for
from fieldrec.export.presets import (
    AUTO,
    NATIVE_RATE,
    PRESETS,
    SOFTWARE,
    TRUE_TIMES,
    Geometry,
    Preset,
    built_in_names,
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}\Z")
"""Part of a file name; without a dot, which ends it there."""
_OTHER_KEYS = {"b": "bitrate", "crf": "crf", "qp": "crf", "cq": "crf", "g": "keyframe_s",
               "preset": "speed", "cpu-used": "speed", "threads": "threads",
               "pix_fmt": "pixel_format", "r": "rate"}
"""Options that have a key of their own here."""
_CUT_APART = ("open-gop", "open_gop", "intra-refresh", "keyint", "forced-idr", "stitchable", "pass",
              "stats")
"""What segments that are encoded one by one, and joined, cannot bear."""


@dataclass(frozen=True, slots=True)
class Floors:
    """What verification demands of a lossy preset."""

    db: float
    ssim: float
    block: float


LOOSE = Floors(10.0, 0.0, 110.0)
"""For a bitrate: uniform noise at the worst quality has 11 to 12 dB, with blocks off by 60 to 117
levels. Under this nothing can be made out; more bits are needed, and the raw is kept."""

_MEASURED: Mapping[str, tuple[tuple[int, float, float, float], ...]] = {
    "h264": ((1, 46.0, 0.995, 2.5), (10, 37.1, 0.97, 8.1), (18, 28.5, 0.84, 12.0),
             (23, 23.4, 0.60, 17.0), (28, 18.8, 0.22, 25.4), (35, 13.4, 0.08, 47.9),
             (43, 11.4, 0.01, 59.7), (51, 11.4, 0.01, 64.9)),
    "hevc": ((0, 44.9, 0.98, 1.7), (10, 38.5, 0.91, 3.2), (20, 27.3, 0.60, 12.0),
             (28, 20.9, 0.21, 16.5), (36, 13.3, 0.03, 44.9), (51, 5.1, 0.0, 160.0)),
    "vp9": ((0, 58.1, 0.99, 1.2), (12, 39.9, 0.90, 2.2), (24, 34.9, 0.76, 16.0),
            (40, 25.2, 0.25, 16.0), (52, 19.0, 0.24, 26.4), (63, 12.0, 0.01, 70.5)),
    "av1": ((1, 51.1, 0.99, 1.6), (12, 41.0, 0.92, 2.9), (25, 34.6, 0.76, 16.0),
            (40, 26.3, 0.36, 16.3), (52, 19.0, 0.24, 34.7), (63, 12.0, 0.01, 117.2)),
}
"""(crf, luma PSNR in dB, luma SSIM, levels a block's mean is off): the worst frame of uniform
noise, sensor noise of 3 to 28 levels, hard moving edges, flashes, cuts, coloured noise and coloured
blocks of 5, 8 and 16 pixels (320x240, 24 frames each, mono and BGR; 640x480 and 1280x720 where
those were worse), at the usual speed and, where they were worse, at the fastest and at medium."""
_SPARE_DB, _SPARE_SSIM, _SPARE_BLOCK = 4.0, 0.2, 1.5
"""Room between what was measured and what is refused: a false alarm keeps a recording from ever
being exported, and what floors are there to catch is far off."""
_LEAST_BLOCK = 12.0


def floors(codec: str, crf: int) -> Floors:
    """What verification demands at this quality: between the measured ones on straight lines, less
    4 dB and 0.2 of SSIM, blocks half as much again and never under 12 levels."""
    rows = _MEASURED[codec]
    after = next((i for i, row in enumerate(rows) if row[0] >= crf), len(rows) - 1)
    low, high = rows[max(after - 1, 0)], rows[after]
    share = 0.0 if high[0] == low[0] else min(max((crf - low[0]) / (high[0] - low[0]), 0.0), 1.0)
    db, ssim, block = (a + (b - a) * share for a, b in zip(low[1:], high[1:], strict=True))
    return Floors(round(max(db - _SPARE_DB, 1.0), 1), round(max(ssim - _SPARE_SSIM, 0.0), 2),
                  round(max(block * _SPARE_BLOCK, _LEAST_BLOCK), 1))


def own_presets(told: Mapping[str, OwnPresetConfig]) -> dict[str, Preset]:
    """The presets of `export.presets`, by name. ConfigError naming the key of what cannot be."""
    for key, message in _objections(told):
        raise ConfigError(f"export.presets.{'.'.join(key)}: {message}")
    return {name: _made(name, one) for name, one in told.items()}


def check_own_presets(document: Document, config: Config) -> None:
    """ConfigError naming file, line and key of every own preset's fault."""
    faults = [str(document.error(("export", "presets", *key), message))
              for key, message in _objections(config.export.presets)]
    if faults:
        raise ConfigError("\n".join(faults))


# --- what is wrong --------------------------------------------------------------------------------

_Objection = tuple[tuple[str, ...], str]
"""The key below `export.presets`, and what is wrong with it."""


def _objections(told: Mapping[str, OwnPresetConfig]) -> Iterator[_Objection]:
    taken = dict.fromkeys(built_in_names(), "a built-in preset's")
    for name, one in told.items():
        if not _NAME.match(name):
            yield (name,), ("this cannot be a name: use letters, digits, '_' and '-' (at most 40), "
                            "as it becomes part of file names")
        if name.lower() in taken:
            yield (name,), f"the name is {taken[name.lower()]}: choose another"
        taken[name.lower()] = f"that of another preset, {name}"
        codec = CODECS.get(one.codec)
        if codec is None:
            yield (name, "codec"), _none_of(one.codec, CODECS)
        else:
            yield from (((name, *key), text) for key, text in _faults(one, codec))
            if not any(_faults(one, codec)):
                yield from _container_faults(name, one)


def _faults(one: OwnPresetConfig, codec: Codec) -> Iterator[_Objection]:
    """Of one preset, against its codec; keys below it."""
    yield from _quality_faults(one, codec)
    if one.speed is not None and one.speed not in codec.speeds:
        yield ("speed",), _none_of(one.speed, codec.speeds) if codec.speeds else (
            f"{codec.title} has no speeds: leave it out")
    if one.pixel_format is not None and one.pixel_format not in codec.pixel_formats:
        yield ("pixel_format",), _none_of(one.pixel_format, codec.pixel_formats)
    if codec.is_lossless and "keyframe_s" in one.model_fields_set:
        yield ("keyframe_s",), f"every frame of {codec.title} is a key frame: leave it out"
    hardware = [row.encoder for row in codec.hardware]
    known = (SOFTWARE, AUTO, codec.encoder, *hardware)
    if one.encoder not in known:
        yield ("encoder",), _none_of(one.encoder, known)
    elif one.encoder in hardware and one.pixel_format not in (None, HARDWARE_PICTURES):
        yield ("pixel_format",), f"{one.encoder} takes {HARDWARE_PICTURES} only: leave it out"
    if one.rate not in (TRUE_TIMES, NATIVE_RATE) and not _is_rate(one.rate):
        yield ("rate",), (f"{one.rate!r} is no rate: use true (each frame at its own time), native "
                          "(evenly spaced), or 0.001 to 1000 Hz")
    if one.crop is not None and (min(one.crop) < 0 or min(one.crop[2:]) < 1):
        yield ("crop",), (f"{list(one.crop)}: expected [x, y, width, height] in pixels, x and y "
                          "from 0, width and height from 1")
    yield from _option_faults(one, codec)


def _quality_faults(one: OwnPresetConfig, codec: Codec) -> Iterator[_Objection]:
    if codec.crf_range is None:
        for key in ("crf", "bitrate"):
            if getattr(one, key) is not None:
                yield (key,), f"{codec.title} loses nothing, whatever that takes: leave it out"
        return
    best, worst = codec.crf_range
    if one.crf is not None and not best <= one.crf <= worst:
        yield ("crf",), (f"{one.crf} is not {best} (best) to {worst}, which {codec.title} has; the "
                         f"built-in preset has {_usual_crf(codec)}")


def _option_faults(one: OwnPresetConfig, codec: Codec) -> Iterator[_Objection]:
    fixed = codec.options(Quality(None, "", 1))
    for option, value in one.options.items():
        if option in _OTHER_KEYS:
            yield ("options", option), f"use the key `{_OTHER_KEYS[option]}` for it"
        elif option in fixed and not option.endswith("-params") and option != "slices":
            yield ("options", option), f"it is always {fixed[option]!r} here: leave it out"
        inner = [part.partition("=")[0] for part in value.split(":")]
        for word in (option, *inner):
            if word in _CUT_APART:
                yield ("options", option), (f"{word!r} does not go with encoding in segments: "
                                            "leave it out")


def _container_faults(name: str, one: OwnPresetConfig) -> Iterator[_Objection]:
    """Asked of the container itself, for a camera of a rate that any container can say."""
    preset = _made(name, one)
    try:
        container_for(preset, preset.container, 1.0)
    except FieldrecError as error:
        yield (name, "container"), str(error).partition(": ")[2]


def _is_rate(word: str) -> bool:
    try:
        return 0.001 <= float(word) <= 1000
    except ValueError:
        return False


def _none_of(value: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    near = difflib.get_close_matches(value, known, n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{value!r} is none of {', '.join(known)}{hint}"


# --- what it makes --------------------------------------------------------------------------------


def _made(name: str, one: OwnPresetConfig) -> Preset:
    codec = CODECS[one.codec]
    usual = _built_in(codec)
    crf = one.crf if one.crf is not None or one.bitrate is not None else usual.crf
    demanded = _demanded(codec, crf)
    return Preset(
        name, codec=one.codec, container=f".{one.container}" if one.container else usual.container,
        crf=crf, bitrate_bits_per_s=one.bitrate, speed=one.speed or usual.speed,
        keyframe_s=one.keyframe_s, threads=one.threads, encoder=one.encoder,
        pixel_format=one.pixel_format or codec.pixel_formats[0], options=dict(one.options),
        rate=one.rate, slice_s=one.slice_after.seconds, slice_bytes=one.slice_after.bytes,
        geometry=_geometry(one), lossless=codec.is_lossless, floor_db=demanded.db,
        floor_ssim=demanded.ssim, block_bound=demanded.block,
        typical_bits_per_pixel=_typical_bits_per_pixel(usual, crf))


def _demanded(codec: Codec, crf: int | None) -> Floors:
    if codec.is_lossless:
        return Floors(0.0, 0.0, 0.0)
    return LOOSE if crf is None else floors(codec.name, crf)


def _geometry(one: OwnPresetConfig) -> Geometry | None:
    wanted = Geometry(one.crop, one.scale, one.width, one.height, one.rotate, one.flip)
    return None if wanted == Geometry() else wanted


def _built_in(codec: Codec) -> Preset:
    return next(row for row in PRESETS if row.codec == codec.name)


def _usual_crf(codec: Codec) -> int | None:
    return _built_in(codec).crf


def _typical_bits_per_pixel(usual: Preset, crf: int | None) -> float:
    """Of the built-in preset, halved for every so many steps of the scale."""
    if crf is None or usual.crf is None:
        return usual.typical_bits_per_pixel
    step = _HALVED_EACH[usual.codec]
    return round(usual.typical_bits_per_pixel * 2 ** ((usual.crf - crf) / step), 5)


_HALVED_EACH = {"h264": 5.5, "hevc": 6.0, "vp9": 10.5, "av1": 15.0}
"""Steps of the quality scale that halve the size of the clips in presets.py."""
