"""Own presets: what is told becomes a row; each mistake is named with key, value and way out."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fieldrec.cli.config import config_command
from fieldrec.config.document import Document
from fieldrec.config.exporting import OwnPresetConfig
from fieldrec.config.models import Config
from fieldrec.core.errors import ConfigError
from fieldrec.export.codecs import CODECS
from fieldrec.export.own_presets import LOOSE, check_own_presets, floors, own_presets
from fieldrec.export.presets import PRESETS, Geometry, Preset, preset

FIELD_YAML = Path(__file__).parents[2] / "config" / "field.yaml"


def made(**told: Any) -> Preset:
    return own_presets({"Survey": OwnPresetConfig.model_validate(told)})["Survey"]


def checked(text: str) -> None:
    document = Document("own.yaml", text)
    check_own_presets(document, document.validate(Config))


def test_everything_that_is_told_is_in_the_row() -> None:
    row = made(codec="hevc", container="mkv", crf=24, speed="medium", pixel_format="yuv420p10le",
               keyframe_s=4, threads=3, encoder="auto", rate=25,
               slice_after={"seconds": 600, "bytes": "500 MB"}, crop=[8, 16, 320, 240], scale=0.5,
               rotate=90, flip="both", options={"tune": "grain", "bframes": 2})
    assert row == Preset(
        "Survey", codec="hevc", container=".mkv", crf=24, speed="medium", keyframe_s=4.0, threads=3,
        encoder="auto", pixel_format="yuv420p10le", options={"tune": "grain", "bframes": "2"},
        rate="25", slice_s=600.0, slice_bytes=500_000_000,
        geometry=Geometry((8, 16, 320, 240), 0.5, rotate=90, flip="both"),
        floor_db=row.floor_db, floor_ssim=row.floor_ssim, block_bound=row.block_bound,
        typical_bits_per_pixel=row.typical_bits_per_pixel)
    assert Preset.from_request(row.to_request()) == row


@pytest.mark.parametrize("built_in", PRESETS, ids=lambda row: row.name)
def test_what_is_not_told_is_as_in_the_built_in_preset(built_in: Preset) -> None:
    first = next(row for row in PRESETS if row.codec == built_in.codec)
    row = made(codec=built_in.codec)
    for name in ("codec", "container", "crf", "speed", "pixel_format", "lossless", "geometry",
                 "keyframe_s", "encoder", "rate", "typical_bits_per_pixel"):
        if not (row.lossless and name == "keyframe_s"):
            assert getattr(row, name) == getattr(first, name), name


def test_a_bitrate_takes_the_place_of_the_quality() -> None:
    row = made(bitrate="4.5 Mbit/s")
    assert (row.crf, row.bitrate_bits_per_s) == (None, 4_500_000)
    assert (row.floor_db, row.floor_ssim, row.block_bound) == (LOOSE.db, LOOSE.ssim, LOOSE.block)


@pytest.mark.parametrize("row", [row for row in PRESETS if not row.lossless],
                         ids=lambda row: row.name)
def test_floors_of_own_presets_are_those_of_the_built_in_ones(row: Preset) -> None:
    assert row.crf is not None
    demanded = floors(row.codec, row.crf)
    assert (row.floor_db, row.floor_ssim, row.block_bound) == (
        demanded.db, demanded.ssim, demanded.block)


@pytest.mark.parametrize("codec", [row.name for row in CODECS.values() if not row.is_lossless])
def test_floors_fall_with_the_quality(codec: str) -> None:
    best, worst = CODECS[codec].crf_range or (0, 0)
    rows = [floors(codec, crf) for crf in range(best, worst + 1)]
    for better, worse in itertools.pairwise(rows):
        assert better.db >= worse.db > 0
        assert better.ssim >= worse.ssim >= 0
        assert 0 < better.block <= worse.block


@pytest.mark.parametrize(("told", "said"), [
    ({"codec": "h246"}, "codec: 'h246' is none of h264, hevc, vp9, av1, ffv1; did you mean h264?"),
    ({"crf": 77}, "crf: 77 is not 1 (best) to 51, which H.264 has; the built-in preset has 18"),
    ({"codec": "vp9", "crf": -1}, "crf: -1 is not 0 (best) to 63, which VP9 has; "),
    ({"codec": "ffv1", "crf": 3}, "crf: FFV1 level 3 loses nothing"),
    ({"codec": "ffv1", "bitrate": "4 Mbit/s"}, "bitrate: FFV1 level 3 loses nothing"),
    ({"codec": "ffv1", "speed": "fast"}, "speed: FFV1 level 3 has no speeds: leave it out"),
    ({"codec": "ffv1", "keyframe_s": 1}, "keyframe_s: every frame of FFV1 level 3 is a key frame"),
    ({"codec": "ffv1", "pixel_format": "yuv420p"}, "pixel_format: 'yuv420p' is none of native"),
    ({"speed": "veryfat"}, "speed: 'veryfat' is none of ultrafast, "),
    ({"codec": "av1", "speed": 9}, "speed: '9' is none of 8, 7, "),
    ({"codec": "vp9", "pixel_format": "gray"}, "pixel_format: 'gray' is none of yuv420p, yuv444p"),
    ({"codec": "vp9", "container": "avi", "rate": 25},
     "container: VP9 cannot be put into a .avi: use .mp4 or .mkv"),
    ({"container": "avi"}, "container: .avi cannot say when a frame was taken: use .mp4 or .mkv, "),
    ({"container": "avi", "rate": 29.97}, "container: .avi takes whole frames per second, not 29."),
    ({"encoder": "h264_nvnc"}, "encoder: 'h264_nvnc' is none of software, auto, libx264, "),
    ({"encoder": "h264_qsv", "pixel_format": "yuv444p"},
     "pixel_format: h264_qsv takes yuv420p only"),
    ({"rate": "fast"}, "rate: 'fast' is no rate: use true"),
    ({"rate": "nan"}, "rate: 'nan' is no rate"),
    ({"crop": [0, 0, 0, 10]}, "crop: [0, 0, 0, 10]: expected [x, y, width, height]"),
    ({"options": {"crf": 3}}, "options.crf: use the key `crf` for it"),
    ({"options": {"profile": "main"}}, "options.profile: it is always 'high' here"),
    ({"codec": "hevc", "options": {"x265-params": "aq-mode=3:open-gop=1"}},
     "options.x265-params: 'open-gop' does not go with encoding in segments"),
])
def test_a_mistake_is_told_with_its_key_and_what_to_do(told: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=rf"^export\.presets\.Survey\.{re.escape(said)}"):
        made(**told)


@pytest.mark.parametrize(("told", "said"), [
    ({"crf": 20, "bitrate": "1 Mbit/s"}, "expected crf (a quality) or bitrate, not both"),
    ({"scale": 0.5, "width": 100}, "expected scale or a width and height, not both"),
    ({"bitrate": 4_000_000}, "expected a rate such as 800 kbit/s or 4.5 Mbit/s"),
    ({"bitrate": "1 kbit/s"}, "greater than or equal to 10000"),
    ({"crff": 20}, "unknown key; did you mean 'crf'?"),
    ({"container": "mov"}, "'mp4', 'mkv' or 'avi'"),
    ({"rotate": 45}, "rotate"),
])
def test_what_is_wrong_whatever_the_codec_is_told_with_its_line(told: dict[str, Any], said: str
                                                               ) -> None:
    text = yaml.safe_dump({"export": {"presets": {"Survey": told}}})
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        checked(text)
    assert re.match(r"own\.yaml:[345]: export\.presets\.Survey", str(caught.value))


@pytest.mark.parametrize(("name", "said"), [
    ("High", "the name is a built-in preset's"), ("LL", "the name is a built-in preset's"),
    ("my.preset", "this cannot be a name"), ("-x", "this cannot be a name"),
])
def test_names_that_would_be_mistaken_are_refused(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"^own\.yaml:3: export\.presets\..*: {said}"):
        checked(f"export:\n  presets:\n    {name}: {{crf: 20}}\n")


def test_two_names_that_differ_in_case_only_are_refused() -> None:
    with pytest.raises(ConfigError, match="the name is that of another preset, Survey"):
        checked("export:\n  presets:\n    Survey: {}\n    SURVEY: {}\n")


def test_every_fault_is_told_at_its_line() -> None:
    text = "export:\n  presets:\n    A:\n      crf: 99\n    B:\n      codec: theora\n"
    with pytest.raises(ConfigError) as caught:
        checked(text)
    lines = str(caught.value).splitlines()
    assert [line.split(" ")[0] for line in lines] == ["own.yaml:4:", "own.yaml:6:"]


def test_config_check_tries_the_options(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    (tmp_path / "recordings").mkdir()
    told = "export: {presets: {Fine: {codec: ffv1, options: {slice-crc: 1}}}}\n"
    file.write_text(told)
    with pytest.raises(ConfigError, match=r"own.yaml: export\.presets\.Fine\.options: ffv1 does "
                                          "not take slice-crc: correct"):
        config_command.main(["check", str(file)], standalone_mode=False)
    file.write_text(told.replace("slice-crc", "coder"))
    config_command.main(["check", str(file)], standalone_mode=False)
    file.write_text(told.replace("ffv1", "ffv2"))
    with pytest.raises(ConfigError, match=r"own.yaml:1: export\.presets\.Fine\.codec: 'ffv2' is"):
        config_command.main(["check", str(file)], standalone_mode=False)


def test_the_example_in_field_yaml_can_be_used_and_names_every_key() -> None:
    lines = FIELD_YAML.read_text().splitlines()
    first = lines.index("  # presets:")
    shown = [line.replace("# ", "", 1) for line in lines[first:] if line.startswith("  # ")]
    told = yaml.safe_load("\n".join(shown))["presets"]
    row = own_presets({name: OwnPresetConfig.model_validate(one) for name, one in told.items()})
    assert set(told["Survey"]) | {"bitrate", "width", "height"} == set(
        OwnPresetConfig.model_fields)
    assert preset("survey", row).slice_bytes == 500_000_000
