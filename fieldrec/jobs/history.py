"""What exports came to, and what the next one will: sizes and times from earlier ones. Pure.

An export resembles those of the same camera with the same preset and picture size most; where
there is none, those with the same preset and size, then those with the same preset, then what the
preset typically needs. Size is counted in bits per pixel of the raw frames, time in seconds per
frame.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fieldrec.core.model import FrameSpec, Prediction, Recording
from fieldrec.export.presets import Preset

ENCODING, JOINING, VERIFYING = "encoding", "joining", "verifying"
"""Phases that an export tells of."""
LATEST = 20
"""Exports that a prediction looks at: light and season change."""
TYPICAL_LEAST, TYPICAL_MOST = 0.3, 3.0
"""Of what a preset typically needs: measured on quiet and on noisy scenes."""
FEW_LEAST, FEW_MOST = 0.7, 1.4
"""Of the mean, while there are too few exports for their spread to say much…"""
FEW = 3
"""…that is, fewer than this."""
VERIFYING_SHARE = 0.35
"""Of encoding time that verification takes, where nothing is known."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one finished export came to."""

    camera: str
    preset: str
    width: int
    height: int
    """Pixels of the raw frames."""
    bits_per_pixel: float
    """Mean over the movie; 0 where that is not known."""
    encode_s_per_frame: float
    verify_s_per_frame: float
    """Of its own time, pauses left out; 0 where that is not known."""
    cpu_s_per_frame: float
    """Of all cores, encoding and verifying; 0 where that is not known."""


def predicted(samples: Sequence[Sample], recording: Recording, preset: Preset
              ) -> Prediction | None:
    """What this export will come to; `samples` oldest first. None where nothing tells."""
    spec, count = recording.spec, recording.frame_count
    if spec is None or count == 0:
        return None
    like = _like(samples, recording.camera_serial, preset.name, spec)
    pixels = spec.shape[0] * spec.shape[1] * count
    sizes = [sample.bits_per_pixel for sample in like if sample.bits_per_pixel > 0]
    if sizes:
        likely, least, most = _spread(sizes)
        bits = likely * pixels, least * pixels, most * pixels
    else:
        typical = _typical_bits(preset, recording, pixels)
        if typical == 0:
            return None
        bits = typical, typical * TYPICAL_LEAST, typical * TYPICAL_MOST
    most_bytes = min(round(bits[2] / 8), max(recording.size_bytes, round(bits[0] / 8)))
    return Prediction(round(bits[0] / 8), round(bits[1] / 8), most_bytes,
                      _seconds(like, spec) * count, len(sizes))


def time_left_s(phase: str, done: int, total: int, frame_s: Mapping[str, float],
                samples: Sequence[Sample] = ()) -> float | None:
    """Of an export that has done so many frames of `phase`; `frame_s` are its own seconds per frame
    in each phase so far. None while unknown."""
    pace_s = frame_s.get(phase, 0.0)
    if pace_s <= 0 or total <= 0:
        return None
    left_s = (total - done) * pace_s
    if phase in (ENCODING, JOINING):
        left_s += total * frame_s.get(ENCODING, 0.0) * _verifying_share(samples)
    return left_s


def _verifying_share(samples: Sequence[Sample]) -> float:
    """Of the encoding time, as it was lately."""
    shares = [s.verify_s_per_frame / s.encode_s_per_frame for s in samples[-LATEST:]
              if s.encode_s_per_frame > 0 and s.verify_s_per_frame > 0]
    return statistics.fmean(shares) if shares else VERIFYING_SHARE


def _like(samples: Sequence[Sample], camera: str, preset: str, spec: FrameSpec) -> list[Sample]:
    """The latest of those that resemble it most."""
    same_preset = [s for s in samples if s.preset.lower() == preset.lower()]
    same_size = [s for s in same_preset if (s.height, s.width) == spec.shape[:2]]
    same_camera = [s for s in same_size if s.camera == camera]
    return (same_camera or same_size or same_preset)[-LATEST:]


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean, and what nearly all of them lie between."""
    mean = statistics.fmean(values)
    if len(values) < FEW:
        return mean, mean * FEW_LEAST, mean * FEW_MOST
    deviation = statistics.stdev(values)
    return (mean, max(min(values) - deviation, mean * 0.1), max(values) + deviation)


def _typical_bits(preset: Preset, recording: Recording, pixels: int) -> float:
    if preset.bitrate_bits_per_s is not None and recording.spec is not None:
        first, last = recording.first_time_ns, recording.last_time_ns
        seconds = (last - first) / 1e9 if first is not None and last is not None else 0.0
        return preset.bitrate_bits_per_s * max(seconds, 1 / max(recording.spec.nominal_hz, 1.0))
    return preset.typical_bits_per_pixel * pixels


def _seconds(like: Iterable[Sample], spec: FrameSpec) -> float:
    """Per frame, encoding and verifying; of other sizes by their pixels. 0: not known."""
    own_pixels = spec.shape[0] * spec.shape[1]
    each = [(s.encode_s_per_frame + s.verify_s_per_frame) * own_pixels / (s.width * s.height)
            for s in like if s.encode_s_per_frame > 0 and s.verify_s_per_frame > 0]
    return statistics.fmean(each) if each else 0.0
