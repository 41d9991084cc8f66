"""Camera SPECs of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldrec.camera import discovery
from fieldrec.camera.spec import EXAMPLES, CameraSpec, parse_spec, parse_specs
from fieldrec.config.section import SAFE_NAME
from fieldrec.core.errors import UsageError


@pytest.mark.parametrize(("text", "expected"), [
    ("synthetic", CameraSpec("synthetic", "synthetic", "synthetic")),
    ("synthetic:1280x1024@60,mono8", CameraSpec(
        "synthetic", "synthetic", "synthetic",
        {"width": "1280", "height": "1024", "hz": "60", "pixel_format": "MONO8"})),
    ("synthetic:640x480@29.97,bgr8", CameraSpec(
        "synthetic", "synthetic", "synthetic",
        {"width": "640", "height": "480", "hz": "29.97", "pixel_format": "BGR8"})),
    ("synthetic:@5,frames=7", CameraSpec(
        "synthetic", "synthetic", "synthetic", {"hz": "5", "frames": "7"})),
    ("synthetic:64X48", CameraSpec(
        "synthetic", "synthetic", "synthetic", {"width": "64", "height": "48"})),
    ("file:clips/Bees at noon, 2.mp4", CameraSpec(
        "Bees_at_noon_2", "file", "Bees_at_noon_2", {"path": "clips/Bees at noon, 2.mp4"})),
    ("file:/a/b:c.mp4", CameraSpec("b_c", "file", "b_c", {"path": "/a/b:c.mp4"})),
    ("opencv:/dev/video0", CameraSpec("video0", "opencv", "video0", {"device": "/dev/video0"})),
    ("opencv:/dev/video0,640x480@30,fourcc=MJPG", CameraSpec(
        "video0", "opencv", "video0", {"device": "/dev/video0", "width": "640", "height": "480",
                                       "hz": "30", "fourcc": "MJPG"})),
    ("basler:40012345", CameraSpec("40012345", "basler", "40012345")),
    ("basler:0815-0000,ExposureTime=5000,mono8", CameraSpec(
        "0815-0000", "basler", "0815-0000", {"ExposureTime": "5000", "pixel_format": "MONO8"})),
])
def test_a_spec_is_taken_apart(text: str, expected: CameraSpec) -> None:
    assert parse_spec(text) == expected
    discovery.make_camera(expected.backend, expected.serial, parse_spec(text).options)


def test_width_comes_first_in_a_spec_and_height_first_inside() -> None:
    spec = parse_spec("synthetic:128x64,mono8")
    camera = discovery.make_camera(spec.backend, spec.serial, spec.options)
    assert camera.open().shape == (64, 128)


@pytest.mark.parametrize(("text", "reason"), [
    ("", "no camera backend ''"),
    ("synthetik:64x48", "did you mean 'synthetic'?"),
    ("webcam", f"there are: {', '.join(discovery.backend_names())}; expected"),
    ("synthetic:", "nothing after ':'"),
    ("synthetic:1280", "'1280' is not WIDTHxHEIGHT[@HZ]"),
    ("synthetic:1280x", "'1280x' is not WIDTHxHEIGHT[@HZ]"),
    ("synthetic:64x48,,mono8", "'' is not WIDTHxHEIGHT[@HZ]"),
    ("synthetic:64x48,64x48", "height, width is there twice"),
    ("synthetic:64x48@5,hz=6", "hz is there twice"),
    ("synthetic:frames=", "'frames=' is not"),
    ("file", "the path is missing"),
    ("file:", "the path is missing"),
    ("opencv", "which device is missing"),
    ("opencv:", "nothing after ':'"),
    ("opencv:,64x48", "which device is missing"),
    ("basler", "which device is missing"),
])
def test_a_wrong_spec_says_what_is_expected(text: str, reason: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_spec(text)
    message = str(error.value)
    assert reason in message
    assert message.startswith(f"camera '{text}': ")
    assert "expected for example synthetic, synthetic:1280x1024@60,mono8" in message
    assert "\n" not in message


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_examples_are_right(text: str) -> None:
    parse_spec(text)


def test_cameras_of_one_run_have_names_of_their_own() -> None:
    specs = parse_specs(["synthetic", "synthetic", "file:a/x.mp4", "file:b/x.mp4", "synthetic"])
    assert [spec.key for spec in specs] == ["synthetic", "synthetic-2", "x", "x-2", "synthetic-3"]
    assert [spec.serial for spec in specs] == [spec.key for spec in specs]
    assert specs[3].options == {"path": "b/x.mp4"}


def test_a_file_called_like_a_number_of_another_clashes_with_nothing() -> None:
    specs = parse_specs(["file:x.mp4", "file:x-2.mp4", "file:y/x.mp4"])
    assert [spec.key for spec in specs] == ["x", "x-2", "x-3"]


def test_one_device_cannot_be_used_twice() -> None:
    with pytest.raises(UsageError, match="this camera is there twice"):
        parse_specs(["basler:1", "synthetic", "basler:1"])


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_any_path_gives_a_name_that_is_safe_in_file_names(path: str) -> None:
    spec = parse_spec("file:" + path)
    assert SAFE_NAME.match(spec.key)
    assert Path(spec.options["path"]) == Path(path)


def test_a_network_camera_is_named_by_its_host_and_never_by_its_password() -> None:
    spec = parse_spec("network:rtsp://ann:secret@10.0.0.7:554/live?a=1,store=packets")
    assert (spec.key, spec.serial) == ("10.0.0.7", "10.0.0.7")
    assert spec.options == {"url": "rtsp://ann:secret@10.0.0.7:554/live?a=1", "store": "packets"}
    assert parse_spec("network:axis-pond").options == {"axis": "axis-pond"}
