"""What an export will come to, from what others came to."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from fieldrec.core.model import FrameSpec, Recording, RecordingState
from fieldrec.export.presets import preset
from fieldrec.jobs.history import Sample, predicted, time_left_s

SPEC = FrameSpec((100, 200), "uint8", "MONO8", 25.0)
HIGH = preset("High")
RECORDING = Recording(
    name="bees", uuid="u", camera_serial="C1", path=Path("/x/bees"), state=RecordingState.COMPLETE,
    spec=SPEC, frame_count=1000, first_time_ns=0, last_time_ns=40_000_000_000, dropped=0, lost=0,
    size_bytes=20_000_000, created_utc="", timezone="UTC")


def sample(bits: float, *, camera: str = "C1", name: str = "High", width: int = 200,
           height: int = 100, encode_s: float = 0.01, verify_s: float = 0.002) -> Sample:
    return Sample(camera, name, width, height, bits, encode_s, verify_s, 0.02)


def test_without_any_export_it_is_what_the_preset_typically_needs() -> None:
    told = predicted([], RECORDING, HIGH)
    assert told is not None
    assert told.size_bytes == 375_000  # 0.15 bits of 20 million pixels
    assert told.least_bytes < told.size_bytes < told.most_bytes
    assert (told.drawn_from, told.seconds) == (0, 0.0)


def test_a_bitrate_tells_the_size_by_the_length() -> None:
    slow = dataclasses.replace(HIGH, crf=None, bitrate_bits_per_s=80_000)
    told = predicted([], RECORDING, slow)
    assert told is not None
    assert told.size_bytes == 400_000


def test_the_same_camera_and_size_tell_most() -> None:
    others = [sample(9.0, camera="C2"), sample(5.0, width=400), sample(7.0, name="Low")]
    told = predicted([*others, sample(0.1), sample(0.2), sample(0.3)], RECORDING, HIGH)
    assert told is not None
    assert (told.size_bytes, told.drawn_from) == (500_000, 3)
    assert told.least_bytes == pytest.approx(50_000, rel=0.01)  # a tenth: the spread is large
    assert told.most_bytes == 1_000_000
    assert told.seconds == pytest.approx(12.0)


@pytest.mark.parametrize(("known", "bits"), [
    ([sample(0.4, camera="C2"), sample(5.0, width=400)], 0.4),
    ([sample(5.0, width=400), sample(7.0, name="Low")], 5.0),
])
def test_else_what_resembles_it(known: list[Sample], bits: float) -> None:
    told = predicted(known, RECORDING, HIGH)
    assert told is not None
    assert told.size_bytes == round(bits * 20_000_000 / 8)


def test_time_is_counted_by_pixels() -> None:
    told = predicted([sample(5.0, width=400, encode_s=0.02, verify_s=0.02)], RECORDING, HIGH)
    assert told is not None
    assert told.seconds == pytest.approx(20.0)


def test_of_many_the_latest_count() -> None:
    told = predicted([sample(5.0)] * 30 + [sample(0.1)] * 20, RECORDING, HIGH)
    assert told is not None
    assert told.size_bytes == 250_000


def test_never_more_than_the_raw_unless_that_is_usual() -> None:
    told = predicted([sample(6.0), sample(7.0)], RECORDING, HIGH)
    assert told is not None
    assert told.most_bytes == RECORDING.size_bytes


def test_nothing_is_said_of_nothing() -> None:
    assert predicted([], dataclasses.replace(RECORDING, frame_count=0), HIGH) is None
    assert predicted([], dataclasses.replace(RECORDING, spec=None), HIGH) is None
    exact = dataclasses.replace(HIGH, typical_bits_per_pixel=0.0)
    assert predicted([], RECORDING, exact) is None


def test_time_left_counts_the_verification_to_come() -> None:
    encoding = {"encoding": 0.1}
    assert time_left_s("encoding", 60, 100, encoding) == pytest.approx(4.0 + 3.5)
    assert time_left_s("encoding", 60, 100, encoding, [sample(1.0)]) == pytest.approx(4.0 + 2.0)
    joining = {"encoding": 0.1, "joining": 0.01}
    assert time_left_s("joining", 50, 100, joining) == pytest.approx(0.5 + 3.5)
    assert time_left_s("verifying", 60, 100, {"verifying": 0.1}) == pytest.approx(4.0)
    assert time_left_s("verifying", 60, 100, encoding) is None
