"""FLIR cameras against a fake of PySpin; the rest is in test_camera_vendor_features.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from fieldrec.camera import spinnaker
from fieldrec.camera.spinnaker import Options, SpinnakerCamera
from fieldrec.core.errors import CameraError
from tests.fakes import pyspin
from tests.fakes.genicam_camera import FakeCamera, camera_nodes


@pytest.fixture
def real() -> Iterator[FakeCamera]:
    one = FakeCamera("18475994", camera_nodes("18475994"))
    with pyspin.installed(one, FakeCamera("2", camera_nodes("2"))):
        yield one


def test_cameras_found(real: FakeCamera) -> None:
    first, second = spinnaker.find()
    assert (first.serial, first.model, first.spec) == ("18475994", "Fake 13C",
                                                       "spinnaker:18475994")
    assert first.link == "USB3Vision"
    assert second.serial == "2"


def test_without_the_sdk_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PySpin", None)
    made = SpinnakerCamera("2", Options())
    with pytest.raises(CameraError, match=r"PySpin.*Teledyne's download page.*'genicam'"):
        made.open()
    made.close()
    found, = spinnaker.find()
    assert "Teledyne's download page" in found.problem
