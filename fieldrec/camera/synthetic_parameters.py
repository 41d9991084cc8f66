"""What the synthetic camera is set to, and its parameters: pure.

Ranges depend on each other as a real camera's do: the exposure is at most a frame period, and what
the size leaves of the sensor is what the offset can be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from fieldrec.camera.burnt_number import MIN_HEIGHT, MIN_WIDTH
from fieldrec.camera.parameters import Parameter, Value
from fieldrec.camera.synthetic_picture import Pattern, PixelFormat

STEP = 2
"""Of sizes and offsets: a mosaic keeps its pattern."""
DEFAULT_EXPOSURE_US = 10_000.0
LEAST_EXPOSURE_US = 10.0
LEAST_HZ, MOST_HZ = 0.001, 10_000.0
MOST_GAIN_DB = 24.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Values of all parameters."""

    sensor_width: int
    sensor_height: int
    width: int
    height: int
    hz: float
    exposure_us: float
    usual_exposure_us: float
    """That of a picture as bright as the pattern is."""
    pixel_format: str
    pattern: str
    gain_db: float = 0.0
    offset_x: int = 0
    offset_y: int = 0

    @classmethod
    def of(cls, *, width: int, height: int, hz: float, pixel_format: str, pattern: str) -> Settings:
        """A camera as it is switched on: the whole sensor, as bright as usual."""
        exposure_us = min(DEFAULT_EXPOSURE_US, 1e6 / hz)
        return cls(width, height, width, height, hz, exposure_us, exposure_us, pixel_format,
                   pattern)

    @property
    def brightness(self) -> float:
        """How many times brighter than the pattern."""
        return float(self.exposure_us / self.usual_exposure_us * 10 ** (self.gain_db / 20))


_FIELDS = {"AcquisitionFrameRate": "hz", "ExposureTime": "exposure_us", "Gain": "gain_db",
           "Width": "width", "Height": "height", "OffsetX": "offset_x", "OffsetY": "offset_y",
           "PixelFormat": "pixel_format", "TestPattern": "pattern"}


def as_parameters(settings: Settings) -> tuple[Parameter, ...]:
    """All of them, with what they may be now."""
    wide, high = settings.sensor_width, settings.sensor_height
    return (
        Parameter("AcquisitionFrameRate", settings.hz, LEAST_HZ, MOST_HZ, unit="Hz"),
        Parameter("ExposureTime", settings.exposure_us, LEAST_EXPOSURE_US,
                  max(LEAST_EXPOSURE_US, 1e6 / settings.hz), unit="us"),
        Parameter("Gain", settings.gain_db, 0.0, MOST_GAIN_DB, unit="dB"),
        _size("Width", settings.width, MIN_WIDTH, wide - settings.offset_x),
        _size("Height", settings.height, MIN_HEIGHT, high - settings.offset_y),
        _offset("OffsetX", settings.offset_x, wide - settings.width),
        _offset("OffsetY", settings.offset_y, high - settings.height),
        Parameter("PixelFormat", settings.pixel_format, choices=get_args(PixelFormat), live=False),
        Parameter("TestPattern", settings.pattern, choices=get_args(Pattern)),
        Parameter("SensorWidth", wide, unit="px", writable=False),
        Parameter("SensorHeight", high, unit="px", writable=False),
    )


def changed(settings: Settings, values: Mapping[str, Value]) -> Settings:
    """With `values`, which are within their ranges; an exposure that is longer than the new frame
    period becomes that."""
    fields: dict[str, Any] = {_FIELDS[name]: value for name, value in values.items()}
    settings = replace(settings, **fields)
    longest_us = max(LEAST_EXPOSURE_US, 1e6 / settings.hz)
    return replace(settings, exposure_us=min(settings.exposure_us, longest_us))


def _size(name: str, value: int, least: int, most: int) -> Parameter:
    """An odd sensor has odd sizes, an even one even ones."""
    return Parameter(name, value, least + (value - least) % STEP, most, STEP, unit="px", live=False)


def _offset(name: str, value: int, most: int) -> Parameter:
    return Parameter(name, value, 0, most - most % STEP, STEP, unit="px")
