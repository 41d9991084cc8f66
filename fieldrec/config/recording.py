"""The sections about recording: sessions, what begins and splits them, and what is done to every
frame before it is stored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from fieldrec.config.section import Bytes, SafeName, Section, parse_size


class SplitConfig(Section):
    """When a recording goes on in a new one, without losing a frame; whichever comes first."""

    seconds: float | None = Field(default=None, ge=1)
    bytes: Annotated[int, BeforeValidator(parse_size), Field(ge=1_000_000)] | None = None
    frames: int | None = Field(default=None, ge=2)


class MotionConfig(Section):
    """When `record.trigger` is `motion`: what counts as motion, and how much is kept around it."""

    threshold: float = Field(default=12.0, gt=0, le=255)
    """How much a pixel must have changed, in grey levels of 8 bits, to count as changed."""
    area_percent: float = Field(default=0.5, gt=0, le=100)
    """Share of the picture that must have changed for motion to begin…"""
    leave_percent: float = Field(default=0.2, ge=0, le=100)
    """…and below which it is over."""
    frames: int = Field(default=2, ge=1, le=1000)
    """In so many looks one after the other, so that a single flash begins nothing."""
    look_hz: float = Field(default=5.0, gt=0, le=120)
    """Looks a second; each costs about what a thousandth of the pixels cost."""
    postroll_s: float = Field(default=3.0, ge=0, le=3600)
    """Kept after motion was seen last; what comes before it is `record.preroll_s`."""

    @model_validator(mode="after")
    def _thresholds_are_ordered(self) -> MotionConfig:
        if self.leave_percent > self.area_percent:
            raise ValueError("expected leave_percent <= area_percent")
        return self


class RecordConfig(Section):
    """Recording sessions."""

    autostart: bool = False
    """Start recording from every camera as soon as the daemon runs."""
    name: SafeName = "recording"
    """First part of the name of recordings started without one."""
    duration_s: float | None = Field(default=None, gt=0)
    """Length of recordings started without one; none means until stopped."""
    ring_s: float = Field(default=2.0, gt=0, le=60)
    """Seconds of frames that each camera's ring holds while the disk is busy."""
    ring_max_bytes: Bytes = 512 * 1024 * 1024
    """Upper bound of all cameras' rings together; wins over `ring_s` and `preroll_s`."""
    preroll_s: float = Field(default=0.0, ge=0, le=60)
    """Seconds before a start that are kept too: cameras run, and cost energy, all the time."""
    split_after: SplitConfig = Field(default_factory=SplitConfig)
    """Length or size at which a recording goes on in a new one; none: never."""
    trigger: Literal["none", "motion"] = "none"
    """`motion`: after a start only what moves is kept, in a recording for each event."""
    motion: MotionConfig = Field(default_factory=MotionConfig)
    metadata: dict[str, Any] = Field(default_factory=dict)
    """User metadata written into every recording."""


class PrepareConfig(Section):
    """What is done to every frame before it is stored, in this order. A mosaic (BAYER_…) stays one
    where that can be: the pattern moves with region, flip and rotation; else it is refused."""

    every_nth: int = Field(default=1, ge=1, le=1_000_000)
    """Keep one frame of so many; frame_number is the camera's divided by it, rounded down."""
    region: tuple[int, int, int, int] | None = None
    """x, y, width, height in pixels of the camera's picture."""
    binning: Literal[1, 2, 4, 8] = 1
    """Mean of so many pixels in both directions."""
    scale: float = Field(default=1.0, gt=0, le=1)
    """Size of the stored picture against the camera's, by area interpolation."""
    grey: bool = False
    """Colour to MONO8 (weights of ITU-R BT.601)."""
    rotate: Literal[0, 90, 180, 270] = 0
    """Degrees clockwise; Motif's MotifImageRotate."""
    flip: Literal["none", "horizontal", "vertical", "both"] = "none"
    """After the rotation; horizontal: left becomes right."""
