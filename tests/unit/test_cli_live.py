"""Looking at a camera: which one is meant, who has it, what is shown of it."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import pytest
from click.testing import CliRunner

from fieldrec.camera import looking
from fieldrec.camera.burnt_number import read_number
from fieldrec.camera.found import FoundCamera
from fieldrec.camera.synthetic import Options, SyntheticCamera
from fieldrec.cli import live
from fieldrec.cli.view import view_command
from fieldrec.cli.where import Where
from fieldrec.core.errors import (
    CameraEnded,
    CameraError,
    CameraLost,
    ConfigError,
    NotFoundError,
    StateError,
    UsageError,
)
from fieldrec.core.model import FrameSpec
from fieldrec.record.preparing import PreparedCamera
from tests.fakes.cameras import SPEC, ManualClock, ScriptedCamera

BOX = """cameras:
  left: {backend: synthetic, serial: FAKE0, options: {width: 128, height: 96}}
  right: {backend: synthetic, options: {width: 64, height: 48}, prepare: {rotate: 90}}
"""


@pytest.fixture
def where(tmp_path: Path) -> Where:
    (tmp_path / "box.yaml").write_text("storage: {directory: rec}\n" + BOX)
    (tmp_path / "rec").mkdir()
    return Where(tmp_path / "box.yaml", None)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "GRAB_S", 0.01)
    monkeypatch.setattr(live, "SILENT_S", 0.0)


class Screen:
    """Notes what is drawn, and types the keys it was given, one after the other."""

    def __init__(self, *keys: str) -> None:
        self.drawn: list[tuple[Any, str]] = []
        self._keys = list(keys)

    def show(self, picture: Any, status: str) -> None:
        self.drawn.append((picture, status))

    def keys(self, timeout_s: float) -> list[str]:
        return [self._keys.pop(0)] if self._keys else ["q"]


@pytest.mark.parametrize(("name", "key", "shape"), [
    ("left", "left", (96, 128)), ("FAKE0", "left", (96, 128)), ("right", "right", (64, 48)),
    ("synthetic:80x60", "synthetic", (60, 80))])
def test_a_camera_is_named_by_key_serial_or_spec(where: Where, name: str, key: str,
                                                shape: tuple[int, int]) -> None:
    found, camera = live.camera_for(where, name)
    assert found == key
    assert camera.open().shape == shape  # as it would be recorded: the right one is turned
    assert isinstance(camera, PreparedCamera) == (key != "synthetic")
    camera.close()


def test_or_by_a_serial_that_is_found(where: Where, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = [FoundCamera("synthetic", "S1", spec="synthetic:80x60"),
            FoundCamera("x", "", problem="no SDK")]
    monkeypatch.setattr(looking, "finders", lambda: {"synthetic": lambda: seen})
    assert live.camera_for(where, "S1")[1].open().shape == (60, 80)
    with pytest.raises(NotFoundError, match="no camera 'S2'; `fieldrec cameras` lists them: S1"):
        live.camera_for(where, "S2")
    with pytest.raises(UsageError, match="which one is missing"):
        live.camera_for(where, "")
    with pytest.raises(ConfigError, match="no_such"):
        live.camera_for(where, "synthetic:no_such=1")


@pytest.mark.parametrize("name", ["left", "FAKE0", "synthetic:80x60"])
def test_a_camera_that_a_daemon_has_is_refused(
        where: Where, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    class Owner:
        async def call(self, verb: str) -> Any:
            assert verb == "snapshot"
            return {"recorders": [{"key": "left", "serial": "FAKE0"},
                                  {"key": "other", "serial": "synthetic"}]}

    async def found(*_: Path) -> Owner:
        return Owner()

    monkeypatch.setattr("fieldrec.cli.link.find_owner", found)
    with pytest.raises(StateError, match=r"camera (left|other) is in the hands of the fieldrec"):
        live.camera_for(where, name)
    live.camera_for(where, "right")


def test_a_socket_that_nobody_answers_at_is_no_daemon(where: Where, tmp_path: Path) -> None:
    (tmp_path / "rec" / ".fieldrec").mkdir()
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(tmp_path / "rec" / ".fieldrec" / "control.sock"))
    assert live.camera_for(where, "left")[0] == "left"


def test_the_newest_frame_is_shown_with_number_rate_and_dropped() -> None:
    clock = ManualClock()
    camera = ScriptedCamera(clock)
    with live.Live("left", camera) as running:
        assert running.status(None) == "left   no frame yet"
        assert running.next(0, 0.01) is None
        for number in (4, 5, 8):
            camera.give(number, after_s=0.5)
        camera.wait_taken()
        came = running.next(2, 30.0)
        assert came is not None
        given, header, pixels = came
        assert (given, header.number, int(pixels[0, 0])) == (3, 8, 8)
        assert running.status(header) == "left   #8   2.0 fps   2 dropped"
        assert running.facts() == "64x48 MONO8 · 2.00 fps · 2 dropped"
    assert camera.stopped.is_set()
    assert not camera.opened


def test_keys_hold_the_picture_and_quit() -> None:
    camera = ScriptedCamera(ManualClock(), replace(SPEC, nominal_hz=1000.0))
    camera.give(1)
    screen = Screen("", " ", "x", " ")
    with live.Live("left", camera) as running:
        live.show(running, screen)
    statuses = [status for _, status in screen.drawn]
    assert len(statuses) == 5
    assert statuses[0] == f"left   #1   0.0 fps   0 dropped   {live.KEYS_HELP}"
    assert "   held   " in statuses[2]
    assert "   held   " in statuses[3]
    assert "   NO FRAMES   " in statuses[4]
    assert screen.drawn[4][0].shape == (48, 64)


def test_a_camera_that_is_lost_ends_it_with_the_reason() -> None:
    camera = ScriptedCamera(ManualClock())
    camera.fail(CameraLost("pulled out"))
    with pytest.raises(CameraLost, match="pulled out"), live.Live("left", camera) as running:
        live.show(running, Screen(*["x"] * 50))
    assert not camera.opened


def test_a_camera_that_does_not_start_is_closed() -> None:
    camera = ScriptedCamera(ManualClock())
    camera.start_error = CameraError("no power")
    with pytest.raises(CameraError, match="no power"):
        live.Live("left", camera)
    assert not camera.opened


def test_packets_cannot_be_looked_at() -> None:
    camera = ScriptedCamera(ManualClock(), FrameSpec((48, 64, 3), "uint8", "H264", 25.0))
    with pytest.raises(CameraError, match="H264 packets, not pictures; set `store: frames`"):
        live.Live("left", camera)
    assert not camera.opened


@pytest.mark.parametrize(("pixel_format", "channels"), [
    ("MONO8", ()), ("MONO10", ()), ("MONO16", ()), ("BGR8", (3,)), ("BAYER_GR8", (3,)),
    ("BAYER_BG16", (3,))])
def test_every_format_becomes_a_picture(pixel_format: str, channels: tuple[int, ...]) -> None:
    camera = SyntheticCamera("a", Options.model_validate({
        "width": 320, "height": 240, "pixel_format": pixel_format, "frames": 2, "paced": False}))
    with live.Live("a", camera) as running:
        came = running.next(1, 30.0)
        assert came is not None
        picture = running.picture(came[2])
    assert picture.shape == (240, 320, *channels)
    assert picture.dtype.name == "uint8"
    assert read_number(picture) == 1


def test_a_sheet_of_the_next_frames(tmp_path: Path) -> None:
    done = CliRunner().invoke(view_command, [
        "camera:synthetic:64x48@200", "--recordings", str(tmp_path), "--count", "3", "--sheet",
        str(tmp_path / "s.png")], catch_exceptions=False)
    assert done.output == (f"{tmp_path}/s.png: contact sheet of camera synthetic:64x48@200, "
                           "3 frames\n")
    sheet = cv2.imread(str(tmp_path / "s.png"))
    assert sheet is not None
    assert sheet.shape[1] > 300


def test_a_camera_that_ends_gives_what_it_had() -> None:
    camera = ScriptedCamera(ManualClock())
    camera.give(7)
    camera.end()
    with live.Live("left", camera) as running:
        assert [cell.left for cell in live.cells(running, 5)] == ["#7"]
    camera = ScriptedCamera(ManualClock())
    camera.end()
    with live.Live("left", camera) as running, pytest.raises(CameraEnded):
        live.cells(running, 5)


def test_no_sheet_no_screen(where: Where) -> None:
    done = CliRunner().invoke(view_command, ["camera:left", "--terminal", "--config",
                                             str(where.config_file)])
    assert isinstance(done.exception, StateError)
    assert "nothing to show left on" in str(done.exception)
