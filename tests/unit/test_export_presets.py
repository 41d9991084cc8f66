"""Presets: names, aliases, errors, file names."""

from __future__ import annotations

import pytest

from fieldrec.core.errors import UsageError
from fieldrec.export.codecs import CODECS
from fieldrec.export.presets import PRESETS, export_name, preset


@pytest.mark.parametrize(("given", "name"), [
    ("High", "High"), ("high", "High"), ("HQ", "High"), ("h264", "High"), ("libx264", "High"),
    (" Medium ", "Medium"), ("mq", "Medium"), ("LOW", "Low"), ("lq", "Low"),
])
def test_presets_are_found_by_any_case_and_alias(given: str, name: str) -> None:
    assert preset(given).name == name


def test_unknown_preset_lists_the_valid_ones_and_the_near_one() -> None:
    with pytest.raises(UsageError) as caught:
        preset("hihg")
    assert str(caught.value) == (
        "unknown preset 'hihg': the presets are High, Medium, Low, HEVC, VP9; "
        "did you mean High?")
    with pytest.raises(UsageError, match=r"the presets are High, Medium, Low, HEVC, VP9$"):
        preset("raw")


def test_rows_are_what_was_promised() -> None:
    assert [(row.name, row.codec, row.crf) for row in PRESETS] == [
        ("High", "h264", 18), ("Medium", "h264", 23), ("Low", "h264", 28), ("HEVC", "hevc", 20),
        ("VP9", "vp9", 24)]
    for row in PRESETS:
        codec = CODECS[row.codec]
        assert codec.crf_range[0] <= row.crf <= codec.crf_range[1]
        assert row.speed in codec.speeds
    assert all(row.floor_db > 0 and row.block_bound > 0 for row in PRESETS)


def test_export_name() -> None:
    assert export_name("bees_20261121_060000", preset("High")) == "bees_20261121_060000.high.mp4"
