"""From a file to a configuration: absolute paths, destinations apart from recordings."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldrec.config import load_config, load_document
from fieldrec.core.errors import ConfigError
from tests.fakes.folder_config import path_of


def write(folder: Path, text: str) -> Path:
    path = folder / "box.yaml"
    path.write_text(text)
    return path


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/x")
    path = write(tmp_path, "storage: {directory: ./a/../rec}\n"
                           "destinations:\n  nas: {path: ../nas}\n  home: {path: ~/copies}\n")
    monkeypatch.chdir("/")
    config = load_config(path)
    assert config.storage.directory == tmp_path / "rec"
    assert path_of(config, "nas") == tmp_path.parent / "nas"
    assert path_of(config, "home") == Path("/home/x/copies")
    assert load_document(path)[1] == config


@pytest.mark.parametrize(("place", "how"), [
    ("rec", "inside"), ("rec/copies", "inside"), (".", "around"), ("link/x", "inside")])
def test_a_destination_among_the_recordings_is_refused(tmp_path: Path, place: str, how: str
                                                       ) -> None:
    (tmp_path / "rec").mkdir()
    (tmp_path / "link").symlink_to("rec")
    path = write(tmp_path, "storage: {directory: rec}\ndestinations:\n  nas:\n"
                           f"    path: {place}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    at = (tmp_path / place).resolve()
    assert str(caught.value) == (
        f"{path}:4: destinations.nas.path: {at} is {how} the recordings folder "
        f"{tmp_path / 'rec'}; choose a folder elsewhere")


def test_a_name_that_begins_alike_is_not_inside(tmp_path: Path) -> None:
    path = write(tmp_path, "storage: {directory: rec}\ndestinations: {nas: {path: rec2}}\n")
    assert path_of(load_config(path), "nas") == tmp_path / "rec2"


@pytest.mark.parametrize("value", ["~nobody-of-that-name/x", '"a\\0b"', "loop/x"])
def test_paths_that_cannot_be(tmp_path: Path, value: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    path = write(tmp_path, f"storage:\n  directory: {value}\n")
    with pytest.raises(ConfigError, match=r":2: storage\.directory: .* cannot be used as a path"):
        load_config(path)


def test_further_folders_are_relative_to_the_file_too(tmp_path: Path) -> None:
    path = write(tmp_path, "storage: {directory: rec, directories: [card, ../usb], "
                           "mount_points: [card]}\n")
    storage = load_config(path).storage
    assert storage.directories == (tmp_path / "card", tmp_path.parent / "usb")
    assert storage.mount_points == (tmp_path / "card",)


def test_a_mount_point_without_a_recordings_folder_guards_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, "storage:\n  directory: disk/rec\n  mount_points: [disk, desk]\n")
    with pytest.raises(ConfigError, match=r":3: storage\.mount_points\.1: .*desk holds none of"):
        load_config(path)


@pytest.mark.parametrize("value", ["rec", "rec/more", ".", "card/x/../../rec"])
def test_recordings_folders_are_beside_each_other(tmp_path: Path, value: str) -> None:
    path = write(tmp_path, "storage:\n  directory: rec\n  directories:\n    - card\n"
                           f"    - {value}\n")
    with pytest.raises(ConfigError, match=r":5: storage\.directories\.1: .* beside each other"):
        load_config(path)


def test_a_destination_in_a_further_folder_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "storage: {directory: rec, directories: [card]}\n"
                           "destinations:\n  nas: {path: card/copies}\n")
    with pytest.raises(ConfigError, match=f"inside the recordings folder {tmp_path / 'card'}"):
        load_config(path)
