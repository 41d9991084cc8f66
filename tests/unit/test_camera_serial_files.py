"""config.d/SERIAL.yaml: what it lies over, what it may say, where its errors are."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldrec.camera.configured import check_cameras, configured_camera
from fieldrec.camera.serial_files import unused_files, with_serial_files
from fieldrec.config import CameraConfig, load_document
from fieldrec.core.errors import ConfigError

BOX = """cameras:
  left:
    backend: synthetic
    serial: FAKE0
    options: {hz: 30, width: 640, height: 480, Gain: 6}
    prepare: {rotate: 90, every_nth: 2}
    metadata: {site: pond, angle: side}
  top:
    backend: opencv
    options:
      device: /dev/video0
      controls: {sharpness: 3}
"""


def layered(folder: Path, box: str = BOX, **files: str) -> dict[str, CameraConfig]:
    """The cameras of a configuration with these files beside it, checked."""
    (folder / "box.yaml").write_text(box)
    (folder / "config.d").mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / "config.d" / f"{name}.yaml").write_text(text)
    document, config = load_document(folder / "box.yaml")
    config, taken = with_serial_files(document, config)
    check_cameras(document, config, taken)
    return config.cameras


def refused(folder: Path, **files: str) -> str:
    with pytest.raises(ConfigError) as caught:
        layered(folder, **files)
    return str(caught.value).replace(str(folder) + "/", "")


def test_without_files_all_is_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "box.yaml").write_text(BOX)
    document, config = load_document(tmp_path / "box.yaml")
    assert with_serial_files(document, config) == (config, {})
    assert unused_files(document, config) == []


def test_a_file_lies_over_the_entry_of_its_serial(tmp_path: Path) -> None:
    left = layered(tmp_path, FAKE0="options: {width: 320, seed: 4}\nprepare: {flip: both}\n"
                                   "metadata: {angle: top, lens: 8 mm}\n")["left"]
    assert left.options == {"hz": 30, "width": 320, "height": 480, "Gain": 6, "seed": 4}
    assert (left.prepare.rotate, left.prepare.every_nth, left.prepare.flip) == (90, 2, "both")
    assert left.metadata == {"site": "pond", "angle": "top", "lens": "8 mm"}
    assert configured_camera("left", left)


def test_the_key_is_the_serial_where_none_is_given(tmp_path: Path) -> None:
    cameras = layered(tmp_path, top="options: {width: 640}\n", left="options: {width: 1}\n")
    assert cameras["top"].options["width"] == 640
    assert cameras["left"].options["width"] == 640  # its serial is FAKE0: "left" is nobody's
    document, config = load_document(tmp_path / "box.yaml")
    assert [path.name for path in unused_files(document, config)] == ["left.yaml"]


def test_bare_genicam_names_are_options_as_motif_writes_them(tmp_path: Path) -> None:
    left = layered(tmp_path, FAKE0="AcquisitionFrameRate: 150.0\nExposureTime: 2000.0\n"
                                   "Width: 320\nPixelFormat: BayerRG8\nMotifImageRotate: 180\n"
                   )["left"]
    assert left.options == {"hz": 150.0, "width": 320, "height": 480, "Gain": 6,
                            "ExposureTime": 2000.0, "pixel_format": "BAYER_RG8"}
    assert left.prepare.rotate == 180
    top = layered(tmp_path, top="AcquisitionFrameRate: 25\nBinningHorizontal: 2\n")["top"]
    assert top.options["AcquisitionFrameRate"] == 25
    assert top.options["controls"] == {"sharpness": 3, "BinningHorizontal": 2}


@pytest.mark.parametrize("none", ["none", "None", "null", "~", ""])
def test_none_leaves_the_camera_alone(tmp_path: Path, none: str) -> None:
    left = layered(tmp_path, FAKE0=f"Gain: {none}\nAcquisitionFrameRate: {none}\n"
                                   f"MotifImageRotate: {none}\n")["left"]
    assert left.options == {"width": 640, "height": 480}
    assert left.prepare.rotate == 0
    top = layered(tmp_path, top=f"options:\n  controls:\n    sharpness: {none}\n")["top"]
    assert top.options == {"device": "/dev/video0", "controls": {}}


@pytest.mark.parametrize(("written", "meant"), [
    ("Off", "Off"), ("off", "Off"), ("'Off'", "Off"), ("Continuous", "Continuous")])
def test_on_and_off_need_no_quotes(tmp_path: Path, written: str, meant: str) -> None:
    """YAML makes truth values of them."""
    box = BOX.replace("controls:", f"GainAuto: {written}\n      controls:")
    options = layered(tmp_path, box, top=f"ExposureAuto: {written}\n")["top"].options
    assert options["ExposureAuto"] == options["GainAuto"] == meant
    assert configured_camera("top", CameraConfig(backend="opencv", options=options))


@pytest.mark.parametrize(("text", "says"), [
    ("options:\n  width: 1\n", "config.d/FAKE0.yaml:2: options.width: Input should be"),
    ("Gain: 3\n\nWidth: wide\n", "config.d/FAKE0.yaml:3: Width: Input should be"),
    ("Gian: 3\n", "config.d/FAKE0.yaml:1: Gian: unknown key; did you mean 'Gain'?"),
    ("AcquisitionFrameRate: -1\n", "config.d/FAKE0.yaml:1: AcquisitionFrameRate: "),
    ("options: {hz: 2}\nGain: 3\n", "config.d/FAKE0.yaml:2: Gain: beside 'options' there can only "
                                    "be options, prepare, metadata"),
    ("prepare: {rotate: 45}\n", "config.d/FAKE0.yaml:1: prepare.rotate: Input should be"),
    ("MotifImageRotate: 45\n", "config.d/FAKE0.yaml:1: MotifImageRotate: expected 0, 90, 180"),
    ("options: 3\n", "config.d/FAKE0.yaml:1: options: "),
    ("- a\n", "config.d/FAKE0.yaml:1: expected sections"),
    ("a: [\n", "config.d/FAKE0.yaml:2: not valid YAML")])
def test_errors_name_that_file_and_its_line(tmp_path: Path, text: str, says: str) -> None:
    found = refused(tmp_path, FAKE0=text)
    assert found.lower().startswith(says.lower())
    assert "\n" not in found


def test_what_is_wrong_in_the_configuration_is_said_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"box\.yaml:5: cameras\.left\.options\.hz: ") as caught:
        layered(tmp_path, BOX.replace("hz: 30", "hz: fast"), FAKE0="Gain: 3\n")
    assert "\n" not in str(caught.value)


def test_two_files_for_one_camera_are_refused(tmp_path: Path) -> None:
    layered(tmp_path, FAKE0="Gain: 3\n")
    (tmp_path / "config.d" / "FAKE0.yml").write_text("Gain: 4\n")
    assert "FAKE0.yaml is there too; keep one of them" in refused(tmp_path)


def test_a_file_may_give_what_the_entry_lacks(tmp_path: Path) -> None:
    box = "cameras:\n  clip:\n    backend: file\n"
    cameras = layered(tmp_path, box, clip="options: {path: a.mp4}\n")
    assert cameras["clip"].options == {"path": "a.mp4"}
