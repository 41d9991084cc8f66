"""The section of a Loopy destination: one key, never shown; an address that cannot give it away."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldrec.app.about_box import config_text
from fieldrec.config import Config, load_config
from fieldrec.config.loopy import LoopyConfig
from fieldrec.core.errors import ConfigError

KEY = "k3y0fTheAccount"


def load(folder: Path, *lines: str) -> Config:
    path = folder / "box.yaml"
    path.write_text("\n".join(["destinations:", "  loopy:", "    type: loopy",
                               *(f"    {line}" for line in lines)]))
    return load_config(path)


def test_a_key_in_a_file_beside_the_configuration(tmp_path: Path) -> None:
    loopy = load(tmp_path, "api_key_file: loopy.key").destinations["loopy"]
    assert isinstance(loopy, LoopyConfig)
    assert loopy.api_key_file == tmp_path / "loopy.key"
    assert loopy.url == "https://app.loopb.io/file-upload"
    assert (loopy.upload, loopy.automatic) == ("exported", False)


def test_the_key_is_in_no_copy_of_the_configuration(tmp_path: Path) -> None:
    config = load(tmp_path, f"api_key: {KEY}")
    loopy = config.destinations["loopy"]
    assert isinstance(loopy, LoopyConfig) and loopy.api_key is not None
    assert loopy.api_key.get_secret_value() == KEY
    for text in (repr(config), str(config), config.model_dump_json(), str(config.model_dump()),
                 *config_text(config)):
        assert KEY not in text


@pytest.mark.parametrize(("lines", "said"), [
    (("url: https://app.loopb.io/x",), "give api_key_file, or api_key, one of them"),
    ((f"api_key: {KEY}", "api_key_file: a"), "give api_key_file, or api_key, one of them"),
    ((f'api_key: "{KEY} more"',), "a key is one word of printable ASCII characters"),
    ((f'api_key: "{KEY}\\r\\nX-Other: 1"',), "a key is one word"),
    (("api_key: 4711471147",), "should be a valid string"),
    ((f"api_key: {KEY}", 'user: "a\\nb"'), "expected the e-mail address of an account"),
    ((f"api_key: {KEY}", "part_bytes: 1 kB"), "part_bytes"),
    ((f"api_key: {KEY}", "apikey: 3"), "did you mean 'api_key'?"),
])
def test_what_is_wrong_is_said_without_the_key(tmp_path: Path, lines: tuple[str, ...], said: str
                                               ) -> None:
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, *lines)
    assert said in str(raised.value)
    assert "box.yaml:" in str(raised.value) and "destinations.loopy" in str(raised.value)
    assert KEY not in str(raised.value) and "4711471147" not in str(raised.value)


@pytest.mark.parametrize(("url", "said"), [
    ("http://loopy.example.org/files", "use https"),
    ("http://8.8.8.8/files", "use https"),
    (f"https://me:{KEY}@loopy.example.org/files", "no user or password"),
    ("ftp://loopy.example.org/", "expected https://host/path"),
    ("https://", "expected https://host/path"),
    ("https://loopy.example.org:99999/", "port"),
    ("https://loopy.example.org/a?b=c", "nothing behind it"),
    ("https://loopy.example.org/a\\r\\nX: y", "nothing behind it"),
])
def test_addresses_that_are_refused(tmp_path: Path, url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        load(tmp_path, f'url: "{url}"', "api_key_file: a")
    assert KEY not in str(raised.value)


@pytest.mark.parametrize("url", [
    "https://loopy.example.org/files/", "http://localhost:8080/files", "http://192.168.1.7/files",
    "http://[::1]:1080/", "http://loopy.local/files", "http://loopy/files"])
def test_addresses_that_will_do(tmp_path: Path, url: str) -> None:
    loopy = load(tmp_path, f'url: "{url}"', "api_key_file: a").destinations["loopy"]
    assert isinstance(loopy, LoopyConfig) and loopy.url == url
