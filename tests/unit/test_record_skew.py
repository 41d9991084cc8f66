"""The spread of first frames."""

from __future__ import annotations

from fieldrec.record.skew import skew_of


def test_spread_and_offsets() -> None:
    skew = skew_of({"left": 2_000_500_000, "right": 2_000_000_000, "top": 2_012_000_000})
    assert skew is not None
    assert skew.spread_ns == 12_000_000
    assert skew.offsets_ns == {"left": 500_000, "right": 0, "top": 12_000_000}
    assert str(skew) == "first frames within 12.0 ms (left +0.5, right +0.0, top +12.0)"


def test_not_before_every_camera_has_a_frame_and_not_of_one() -> None:
    assert skew_of({"left": 1, "right": None}) is None
    assert skew_of({"left": 1}) is None
    assert skew_of({}) is None
