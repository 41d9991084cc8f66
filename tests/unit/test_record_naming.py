"""Names of recordings."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldrec.core.errors import UsageError
from fieldrec.record.naming import check_name, recording_name, unused_name

EPOCH_NS = 1_782_907_200_123_456_789
"""2026-07-01 12:00:00.12 UTC"""


def test_local_time_of_the_zone_and_the_serial() -> None:
    assert recording_name("bees", EPOCH_NS, "UTC") == "bees_20260701_120000"
    assert recording_name("bees", EPOCH_NS, "Europe/Vienna") == "bees_20260701_140000"
    assert recording_name("bees", EPOCH_NS, "UTC", "left") == "bees_20260701_120000_left"


def test_times_before_1970_and_fractions_round_down() -> None:
    assert recording_name("a", -1, "UTC") == "a_19691231_235959"


@pytest.mark.parametrize("name", ["bees", "B-1_x.2", "0", "a" * 100])
def test_allowed(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(("name", "reason"), [
    ("", "it is empty"), ("a/b", "'/' is not allowed"), ("a\n", r"'\\n' is not allowed"),
    ("\x1b[2J", r"'\\x1b' is not allowed"), (".hidden", "it begins with '.'"),
    ("..", "it begins with '.'"), ("-rf", "it begins with '-'"), ("a b", "' ' is not allowed"),
    ("a" * 101, "it has 101 characters"), ("bienenstöcke", "'ö' is not allowed"),
    ("٣", "is not allowed")])
def test_refused_with_the_reason_and_what_is_allowed(name: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        check_name(name)
    text = str(caught.value)
    assert "letters, digits" in text
    assert text.isprintable()


def test_unused_name_adds_the_first_free_number(tmp_path: Path) -> None:
    name = "bees_20260701_120000"
    assert unused_name(tmp_path, name) == name
    (tmp_path / name).mkdir()
    assert unused_name(tmp_path, name) == f"{name}-2"
    (tmp_path / f"{name}-2").mkdir()
    assert unused_name(tmp_path, name) == f"{name}-3"


@pytest.mark.parametrize("entry", [
    "bees_1.high.mp4", "bees_1.high.mp4.json", ".part-bees_1", ".trash-bees_1",
    ".part-bees_1.high.mp4", ".work-bees_1.high.mp4"])
def test_exports_and_unfinished_things_hold_their_name(tmp_path: Path, entry: str) -> None:
    (tmp_path / entry).touch()
    assert unused_name(tmp_path, "bees_1") == "bees_1-2"
    assert unused_name(tmp_path, "bees_10") == "bees_10"
