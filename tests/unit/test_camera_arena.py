"""Lucid cameras against a fake of arena_api; the rest is in test_camera_vendor_features.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from fieldrec.camera import arena
from fieldrec.camera.arena import ArenaCamera, Options
from fieldrec.core.errors import CameraError
from tests.fakes import arena_sdk
from tests.fakes.genicam_camera import FakeCamera, camera_nodes


@pytest.fixture
def real() -> Iterator[FakeCamera]:
    one = FakeCamera("18475994", camera_nodes("18475994"))
    with arena_sdk.installed(one, FakeCamera("2", camera_nodes("2"))):
        yield one


def test_cameras_found(real: FakeCamera) -> None:
    first, second = arena.find()
    assert (first.serial, first.model, first.spec) == ("18475994", "Fake TRI", "arena:18475994")
    assert first.link == "GigE 169.254.1.2"
    assert second.serial == "2"


def test_without_the_sdk_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "arena_api.system", None)
    made = ArenaCamera("2", Options())
    with pytest.raises(CameraError, match=r"arena_api.*Lucid's download page.*'genicam'"):
        made.open()
    made.close()
    found, = arena.find()
    assert "Lucid's download page" in found.problem
