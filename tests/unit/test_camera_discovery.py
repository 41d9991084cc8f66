"""Backends are found by module name, cost nothing until they are used, and say what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import fieldrec.camera
from fieldrec.camera import discovery
from fieldrec.camera.synthetic import Options, SyntheticCamera
from fieldrec.core.errors import ConfigError

NEW_BACKEND = """
from fieldrec.camera import CameraOptions
class Options(CameraOptions):
    '''Keys.'''
    colour: str = 'green'
class BACKEND:
    def __init__(self, serial, options):
        self.serial, self.options = serial, options
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A second place for modules of the package; what they import is forgotten afterwards."""
    monkeypatch.setattr(fieldrec.camera, "__path__", [*fieldrec.camera.__path__, str(tmp_path)])
    for name in ("dragonfly", "notes"):
        monkeypatch.setitem(sys.modules, f"fieldrec.camera.{name}", None)
        monkeypatch.delitem(sys.modules, f"fieldrec.camera.{name}")
    return tmp_path


def test_backends_are_the_modules_with_a_camera_in_them() -> None:
    names = discovery.backend_names()
    assert {"synthetic", "file", "opencv", "basler"} <= set(names)
    assert not {"discovery", "spec", "pace", "burnt_number"} & set(names)
    assert names == sorted(names)


def test_no_vendor_package_is_loaded_to_look_around() -> None:
    code = ("import sys; from fieldrec.camera import discovery as d, spec; d.backend_names();"
            "spec.parse_spec('synthetic'); [d.options_model(n) for n in d.backend_names()];"
            "d.make_camera('basler', '1', {}); d.make_camera('opencv', '1', {'device': '/dev/x'});"
            "print(sorted({'cv2', 'av', 'pypylon'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_file_dropped_into_the_package_is_a_backend(folder: Path) -> None:
    (folder / "dragonfly.py").write_text(NEW_BACKEND)
    (folder / "notes.py").write_text("Options = 1")
    assert "dragonfly" in discovery.backend_names()
    assert "notes" not in discovery.backend_names()
    camera = discovery.make_camera("dragonfly", "d1", {"colour": "blue"})
    assert camera.options.colour == "blue"  # type: ignore[attr-defined]


def test_a_backend_without_its_vendors_package_names_the_extra(folder: Path) -> None:
    (folder / "dragonfly.py").write_text("import dragonfly_vendor_sdk\n" + NEW_BACKEND)
    assert "dragonfly" in discovery.backend_names()
    with pytest.raises(ConfigError, match=r"dragonfly_vendor_sdk.*fieldrec\[dragonfly\]"):
        discovery.options_model("dragonfly")


def test_an_unknown_backend_gets_the_names_and_a_near_match() -> None:
    with pytest.raises(ConfigError) as error:
        discovery.options_model("sinthetic")
    assert "did you mean 'synthetic'?" in str(error.value)
    assert f"there are: {', '.join(discovery.backend_names())}" in str(error.value)


@pytest.mark.parametrize("name", ["", "discovery", "spec", "..core", "os"])
def test_a_module_that_is_no_backend_is_not_one(name: str) -> None:
    with pytest.raises(ConfigError, match="no camera backend"):
        discovery.make_camera(name, "a", {})


def test_options_come_as_mapping_or_model() -> None:
    by_mapping = discovery.make_camera("synthetic", "a", {"width": "640"})
    by_model = discovery.make_camera("synthetic", "a", Options(width=640))
    assert isinstance(by_mapping, SyntheticCamera)
    assert isinstance(by_model, SyntheticCamera)
    assert by_mapping.options == by_model.options


def test_options_of_another_backend_are_refused() -> None:
    with pytest.raises(ConfigError, match="options of another backend than file"):
        discovery.make_camera("file", "a", Options())


def test_all_wrong_options_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        discovery.make_camera("synthetic", "left", {"widht": 640, "hz": 0})
    message = str(error.value)
    assert message.startswith("camera left: options for synthetic: ")
    assert "widht: unknown key; did you mean 'width'?" in message
    assert "hz: input should be greater than 0 (got 0)" in message


def test_a_missing_option_is_named() -> None:
    with pytest.raises(ConfigError, match="path: this key is required"):
        discovery.make_camera("file", "a", {})
