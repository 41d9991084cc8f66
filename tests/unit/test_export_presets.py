"""Presets: names, aliases, errors, file names."""

from __future__ import annotations

import dataclasses
import json

import pytest

from fieldrec.core.errors import UsageError
from fieldrec.export.codecs import CODECS
from fieldrec.export.presets import PRESETS, Geometry, Preset, export_name, preset


@pytest.mark.parametrize(("given", "name"), [
    ("High", "High"), ("high", "High"), ("HQ", "High"), ("h264", "High"), ("libx264", "High"),
    (" Medium ", "Medium"), ("mq", "Medium"), ("LOW", "Low"), ("lq", "Low"), ("raw", "Lossless"),
    ("ll", "Lossless"), ("ffv1", "Lossless"), ("h264-hq", "High"), ("libx265", "HEVC"),
])
def test_presets_are_found_by_any_case_and_alias(given: str, name: str) -> None:
    assert preset(given).name == name


def test_unknown_preset_lists_the_valid_ones_and_the_near_one() -> None:
    with pytest.raises(UsageError) as caught:
        preset("hihg")
    assert str(caught.value) == (
        "unknown preset 'hihg': the presets are Lossless, High, Medium, Low, HEVC, VP9, AV1; "
        "did you mean High?")
    with pytest.raises(UsageError, match=r"the presets are .*, HEVC, VP9, AV1$"):
        preset("prores")


def test_rows_are_what_was_promised() -> None:
    assert [(row.name, row.codec, row.container, row.crf) for row in PRESETS] == [
        ("Lossless", "ffv1", ".mkv", None), ("High", "h264", ".mp4", 18),
        ("Medium", "h264", ".mp4", 23), ("Low", "h264", ".mp4", 28), ("HEVC", "hevc", ".mp4", 20),
        ("VP9", "vp9", ".mp4", 24), ("AV1", "av1", ".mp4", 25)]
    for row in PRESETS:
        codec = CODECS[row.codec]
        assert codec.containers[0] == row.container
        assert row.pixel_format in codec.pixel_formats
        assert row.lossless == codec.is_lossless == (row.crf is None)
        if codec.crf_range is not None and row.crf is not None:
            assert codec.crf_range[0] <= row.crf <= codec.crf_range[1]
            assert row.speed in codec.speeds
            assert row.floor_db > 0
            assert row.block_bound > 0


def test_export_name() -> None:
    assert export_name("bees_20261121_060000", preset("High")) == "bees_20261121_060000.high.mp4"
    assert export_name("bees", preset("Low"), 12) == "bees.low.012.mp4"
    assert export_name("bees", dataclasses.replace(preset("High"), container=".mkv"), 1000) == (
        "bees.high.1000.mkv")


def test_own_presets_are_found_beside_the_built_in_ones() -> None:
    own = {"Field": Preset("Field", crf=20)}
    assert preset("field", own) is own["Field"]
    assert preset("hq", own).name == "High"
    with pytest.raises(UsageError, match=r"AV1, Field; did you mean Field\?$"):
        preset("fjeld", own)


@pytest.mark.parametrize("row", [
    *PRESETS,
    Preset("Night", ("n",), bitrate_bits_per_s=4_000_000, options={"aq-mode": "3"}, slice_s=600.0,
           geometry=Geometry((8, 16, 320, 240), 0.5, rotate=90, flip="both")),
], ids=lambda row: row.name)
def test_a_preset_travels_as_json(row: Preset) -> None:
    assert Preset.from_request(json.loads(json.dumps(row.to_request()))) == row
    assert hash(row) == hash(Preset.from_request(row.to_request()))
