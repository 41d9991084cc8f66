"""Rules for features of all GenICam cameras."""

from __future__ import annotations

import math

import pytest

from fieldrec.camera import feature_rules as rules


@pytest.mark.parametrize(("name", "live"), [
    ("ExposureTime", True), ("TriggerMode", True), ("OffsetX", True), ("Width", False),
    ("PixelFormat", False), ("BinningVertical", False), ("UserSetLoad", False)])
def test_what_changes_the_pictures_size_is_not_live(name: str, live: bool) -> None:
    assert rules.is_live(name) is live


def test_bounds_that_stand_for_none_are_none() -> None:
    assert [rules.bound(value) for value in (3, -2.5, None, math.inf, 1.8e308, 2**63)] == [
        3, -2.5, None, None, None, None]


def test_steps_that_say_nothing_are_none() -> None:
    assert [rules.step(value, whole=True) for value in (1, 4, None)] == [None, 4, None]
    assert [rules.step(value, whole=False) for value in (1, 0.0, 2.3e-308)] == [1, None, None]
