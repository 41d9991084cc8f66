"""The section about deferred encoding, and the presets of one's own."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from fieldrec.config.section import Section, parse_size

_BITRATE = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*([kM])bit/s\s*\Z")


def parse_bitrate(value: object) -> object:
    """Bits per second from "800 kbit/s" or "4 Mbit/s"; a bare number would not say of what."""
    match = _BITRATE.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a rate such as 800 kbit/s or 4.5 Mbit/s")
    return round(float(match[1]) * (1_000 if match[2] == "k" else 1_000_000))


def _word(value: object) -> object:
    """What YAML takes for a number or a switch, as the word that encoders take."""
    if isinstance(value, bool):
        return "1" if value else "0"
    return format(value, "g") if isinstance(value, int | float) else value


def _rate_word(value: object) -> object:
    return "true" if value is True else _word(value)  # `rate: true` is a word to people


Word = Annotated[str, BeforeValidator(_word)]


class SliceConfig(Section):
    """When an export goes on in a new movie; whichever comes first."""

    seconds: float | None = Field(default=None, ge=1)
    bytes: Annotated[int, BeforeValidator(parse_size), Field(ge=1_000_000)] | None = None


class OwnPresetConfig(Section):
    """A preset of one's own; the key in `export.presets:` is its name. What a codec's encoder takes
    of it is checked by export/own_presets.py."""

    codec: str = "h264"
    """h264, hevc, vp9, av1, or ffv1, which loses nothing."""
    container: Literal["mp4", "mkv", "avi"] | None = None
    """None: the codec's usual one. avi needs a constant `rate`."""
    crf: int | None = None
    """Quality on the codec's scale, lower is better; the built-in presets' when neither this nor
    `bitrate` is given."""
    bitrate: Annotated[int, BeforeValidator(parse_bitrate), Field(ge=10_000, le=1_000_000_000)
                       ] | None = None
    """Mean rate instead of a quality, such as 4 Mbit/s."""
    speed: Word | None = None
    """The encoder's speed preset: veryfast for h264, 5 for vp9…"""
    pixel_format: str | None = None
    """yuv420p; yuv444p or, of mono cameras, yuv420p10le where the codec takes it."""
    keyframe_s: float = Field(default=1.0, gt=0, le=3600)
    """Seconds from key frame to key frame: how far a player decodes when it seeks."""
    threads: int = Field(default=0, ge=0, le=64)
    """Of the encoder; 0: as many as it wants."""
    encoder: str = "software"
    """software; auto: the machine's hardware encoder where one works; or the name of one."""
    rate: Annotated[str, BeforeValidator(_rate_word)] = "true"
    """true: every frame at its own time; native: evenly spaced, at the camera's nominal rate; or
    a rate in Hz."""
    slice_after: SliceConfig = Field(default_factory=SliceConfig)
    """Length or size at which an export goes on in a new movie; none: never."""
    crop: tuple[int, int, int, int] | None = None
    """x, y, width, height in pixels of the recording."""
    scale: float = Field(default=1.0, gt=0, le=1)
    """Of both sides, after the crop; or `width` and `height`."""
    width: int | None = Field(default=None, ge=1, le=65_535)
    height: int | None = Field(default=None, ge=1, le=65_535)
    rotate: Literal[0, 90, 180, 270] = 0
    """Degrees clockwise."""
    flip: Literal["none", "horizontal", "vertical", "both"] = "none"
    """After the rotation; horizontal: left becomes right."""
    options: dict[str, Word] = Field(default_factory=dict)
    """The encoder's own, such as tune: grain; one that it does not take is an error."""

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> OwnPresetConfig:
        if self.crf is not None and self.bitrate is not None:
            raise ValueError("expected crf (a quality) or bitrate, not both")
        if self.scale != 1 and (self.width is not None or self.height is not None):
            raise ValueError("expected scale or a width and height, not both")
        return self


class ExportConfig(Section):
    """Deferred encoding."""

    automatic: bool = True
    """Queue an export of every recording when it is complete."""
    preset: str = "High"
    """Preset of automatic exports and of commands that name none."""
    allow_battery: bool = False
    """Let exports run on battery (level BATTERY; never at LOW)."""
    raw: Literal["keep", "delete_verified", "delete_when_offloaded"] = "keep"
    """What becomes of the raw of a recording whose export with `preset` was verified:
    `delete_when_offloaded` deletes it once the export was also copied, and compared, to a
    destination. Never where a frame could not be read, or is missing in the export."""
    while_recording: Literal["wait", "throttled"] = "wait"
    """`wait`: exports are held while something is recorded. `throttled`: they take
    `throttle_share` of the processor's time, as long as the ring keeps nearly empty."""
    throttle_share: float = Field(default=0.25, ge=0.05, le=0.9)
    """Of the time that an export may run beside a recording."""
    presets: dict[str, OwnPresetConfig] = Field(default_factory=dict)
    """Presets of one's own, by name."""
