"""Cameras by serial and by USB path, as udev knows them (umockdev has the devices)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from fieldrec.camera.v4l2_nodes import Node, resolve
from fieldrec.core.errors import CameraError

pytestmark = pytest.mark.skipif(
    shutil.which("umockdev-run") is None,
    reason="umockdev-run is not installed: sudo apt install umockdev")

BUS = "/devices/pci0000:00/0000:00:14.0/usb1"
SCRIPT = """
import json, sys
from dataclasses import asdict
from fieldrec.camera.v4l2_nodes import nodes
json.dump([asdict(node) for node in nodes()], sys.stdout)
"""


def usb_camera(port: str, number: int, serial: str, *, speed: str = "480") -> str:
    """A camera with its second node, for metadata, as uvcvideo makes them."""
    long_serial = f"Acme_Cam_{serial}" if serial else "Acme_Cam"
    known = f"E: ID_SERIAL_SHORT={serial}\n" if serial else ""
    kept = f"A: serial={serial}\\n\n" if serial else ""
    blocks = [f"P: {BUS}/{port}\nE: DEVTYPE=usb_device\nE: SUBSYSTEM=usb\nA: speed={speed}\\n\n"
              + kept, f"P: {BUS}/{port}/{port}:1.0\nE: DEVTYPE=usb_interface\nE: SUBSYSTEM=usb\n"]
    for index, capabilities in enumerate((":capture:", ":")):
        name = f"video{number + index}"
        blocks.append(
            f"P: {BUS}/{port}/{port}:1.0/video4linux/{name}\nN: {name}\n"
            f"E: SUBSYSTEM=video4linux\nE: DEVNAME=/dev/{name}\n"
            f"E: ID_V4L_CAPABILITIES={capabilities}\nE: ID_V4L_PRODUCT=Acme Cam\n"
            f"E: ID_SERIAL={long_serial}\n{known}E: ID_PATH=pci-0000:00:14.0-usb-0:{port}:1.0\n"
            f"A: index={index}\\n\nA: name=Acme Cam\\n\n")
    return "\n".join(blocks)


BARE = """P: /devices/platform/sensor/video4linux/video7
N: video7
E: SUBSYSTEM=video4linux
E: DEVNAME=/dev/video7
A: index=0\\n
A: name=sensor
"""
"""A sensor on the board, on a system whose udev has said nothing."""
OUTPUT = """P: /devices/platform/codec/video4linux/video8
N: video8
E: SUBSYSTEM=video4linux
E: DEVNAME=/dev/video8
E: ID_V4L_CAPABILITIES=:video_output:
A: index=0\\n
A: name=codec
"""
"""Takes pictures instead of giving them."""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    described = tmp_path_factory.mktemp("udev") / "cameras.umockdev"
    described.write_text("\n".join([
        usb_camera("1-1.2", 4, "A1"), usb_camera("1-1.3", 0, "A1", speed="5000"),
        usb_camera("1-4", 2, "B2", speed="1.5"), usb_camera("1-5", 10, ""), BARE, OUTPUT]))
    ran = subprocess.run(["umockdev-run", "-d", described, "--", sys.executable, "-c", SCRIPT],
                         check=True, capture_output=True, text=True)
    yield [Node(**found) for found in json.loads(ran.stdout)]


def test_only_what_gives_pictures_in_the_order_of_their_numbers(seen: list[Node]) -> None:
    assert [node.device for node in seen] == [
        "/dev/video0", "/dev/video2", "/dev/video4", "/dev/video7", "/dev/video10"]


def test_what_udev_says_of_each(seen: list[Node]) -> None:
    by_device: dict[str, dict[str, Any]] = {node.device: asdict(node) for node in seen}
    assert by_device["/dev/video0"] == {
        "device": "/dev/video0", "model": "Acme Cam", "serial": "A1",
        "long_serial": "Acme_Cam_A1", "usb_path": "1-1.3:1.0",
        "id_path": "pci-0000:00:14.0-usb-0:1-1.3:1.0", "speed_mbps": 5000}
    assert by_device["/dev/video2"]["speed_mbps"] == 2
    assert by_device["/dev/video10"]["serial"] == ""
    assert by_device["/dev/video7"] == {
        "device": "/dev/video7", "model": "sensor", "serial": "", "long_serial": "",
        "usb_path": "", "id_path": "", "speed_mbps": None}
    assert [node.link for node in seen[:1]] == ["USB 5000 Mbit/s at 1-1.3:1.0"]


@pytest.mark.parametrize(("wanted", "usb_path", "device"), [
    ("B2", "", "/dev/video2"), ("Acme_Cam_B2", "", "/dev/video2"),
    ("A1", "1-1.2", "/dev/video4"), ("A1", "1-1.3:1.0", "/dev/video0"),
    ("", "1-5", "/dev/video10"), ("1-5:1.0", "", "/dev/video10"),
    ("pci-0000:00:14.0-usb-0:1-4:1.0", "", "/dev/video2"),
])
def test_which_one_is_meant(seen: list[Node], wanted: str, usb_path: str, device: str) -> None:
    assert resolve(wanted, usb_path, seen) == device


def test_two_of_one_serial_are_never_guessed_at(seen: list[Node]) -> None:
    with pytest.raises(CameraError) as error:
        resolve("A1", "", seen)
    assert str(error.value) == (
        "V4L2 A1: 2 cameras are called that: /dev/video0 (Acme Cam, serial A1, at 1-1.3:1.0), "
        "/dev/video4 (Acme Cam, serial A1, at 1-1.2:1.0); say which by the option usb_path")


@pytest.mark.parametrize(("wanted", "usb_path", "said"), [
    ("C3", "", "V4L2 C3: not found; cameras here: /dev/video0 (Acme Cam, serial A1, at 1-1.3:1.0)"),
    ("B2", "1-1.2", "V4L2 B2 at 1-1.2: not found"),
    ("", "9-9", "V4L2 9-9: not found"),
    ("/dev/video0", "1-4", "V4L2 /dev/video0 at 1-4: not found"),
    ("/dev/v4l/by-id/none", "", "/dev/v4l/by-id/none: No such file or directory; cameras here: "),
])
def test_none_that_fits_is_answered_with_those_there_are(
        seen: list[Node], wanted: str, usb_path: str, said: str) -> None:
    with pytest.raises(CameraError) as error:
        resolve(wanted, usb_path, seen)
    assert str(error.value).startswith(said)


def test_a_name_that_survives_replugging_is_followed(seen: list[Node], tmp_path: Path) -> None:
    by_id = tmp_path / "usb-Acme_Cam_B2-video-index0"
    by_id.symlink_to("/dev/null")
    assert resolve(str(by_id), "", seen) == "/dev/null"


def test_no_camera_at_all() -> None:
    with pytest.raises(CameraError, match="V4L2 left: not found; cameras here: none; check cable"):
        resolve("left", "", [])
