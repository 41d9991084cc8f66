"""Configuration values: sizes, defaults, frozen."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from fieldrec.config.models import Config
from fieldrec.config.section import SAFE_NAME, parse_size


@pytest.mark.parametrize(("text", "count"), [
    ("1048576", 1_048_576), ("500 MB", 500_000_000), ("20GB", 20_000_000_000),
    ("512 MiB", 512 * 2**20), ("1.5 GiB", 3 * 2**29), ("2k", 2000), ("2 Ki", 2048),
    (" 7 B ", 7), ("1 TB", 10**12)])
def test_sizes(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "GB", "1 XB", "-1 GB", "1e9", "1 GB x", "1,5 GB", "1 i"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        parse_size(text)


def test_an_empty_file_is_a_valid_configuration() -> None:
    config = Config()
    assert config.store.chunksize == 200
    assert config.storage.stop_percent == 94.0
    assert config.cameras == {}
    assert config.drives.match == {"ID_BUS": "usb"}


def test_values_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Config().store.chunksize = 3


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a b", "ä", "-x", "a\n", "x" * 101])
def test_names_that_a_drive_may_not_carry(name: str) -> None:
    assert SAFE_NAME.match(name) is None


@pytest.mark.parametrize("name", ["a", "22713049", "Bees-2026_1.b", "x" * 100])
def test_names_that_it_may(name: str) -> None:
    assert SAFE_NAME.match(name)
