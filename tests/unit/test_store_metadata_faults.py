"""Every fault of metadata that is named is one that the real imgstore stumbles over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imgstore
import numpy as np
import pytest
import yaml

from fieldrec.store.metadata import metadata_text, parse_metadata
from fieldrec.store.recovery.metadata_faults import fault_line, mended, metadata_faults

FAULTS: dict[str, tuple[str, bool]] = {
    "created_utc: 2020-01-01 10:00:00.5": ("created_utc", True),
    "created_utc: 2020-01-01T10:00:00+02:00": ("created_utc", True),
    "created_utc: 2020-01-01": ("created_utc", True),
    "created_utc: yesterday": ("created_utc", False),
    "timezone_local: Wherever/Land": ("timezone_local", True),
    "timezone_local: null": ("timezone_local", True),
    "version: 3": ("version", False),
    "version:": ("version", True),
    "imgshape: [a, 8]": ("imgshape", False),
    "encoding: cv_nonsense": ("encoding", False),
    "format: gif": ("format", False),
}


def store(path: Path) -> Path:
    written = imgstore.new_for_format("npy", path=str(path), imgshape=(6, 8), imgdtype="uint8",
                                      chunksize=3, metadata={"timezone": "Europe/Vienna"})
    written.add_image(np.zeros((6, 8), np.uint8), 1, 1.0)
    written.close()
    return path


def changed(text: str, line: str) -> str:
    """The metadata with one key of __store set as YAML says; removed where it says nothing."""
    content = yaml.safe_load(text)
    key, _, value = line.partition(":")
    del content["__store"][key]
    if value:
        content["__store"][key] = yaml.safe_load(value)
    return str(yaml.safe_dump(content))


def opens(path: Path) -> bool:
    try:
        imgstore.new_for_filename(str(path)).get_next_image()
    except Exception:  # noqa: BLE001 - each fault has an exception of its own
        return False
    return True


@pytest.mark.parametrize(("line", "fault"), FAULTS.items(), ids=FAULTS)
def test_a_fault_is_named_and_mended_where_that_can_be(tmp_path: Path, line: str,
                                                       fault: tuple[str, bool]) -> None:
    path = store(tmp_path / "s")
    file = path / "metadata.yaml"
    file.write_text(changed(file.read_text(), line))
    key, can_be_mended = fault
    mapping, user = parse_metadata(file.read_text())
    if line.startswith("imgshape"):
        with pytest.raises(ValueError, match="invalid literal"):
            metadata_faults(mapping, user)  # no reader of ours would get so far
        return
    found, = metadata_faults(mapping, user)
    assert (found.key, found.can_be_mended) == (key, can_be_mended)
    assert key in fault_line(found)
    assert not opens(path)
    file.write_text(metadata_text(mended(mapping, [found]), user))
    assert opens(path) == can_be_mended
    if key == "timezone_local":
        assert parse_metadata(file.read_text())[0][key] == "Europe/Vienna"


@pytest.mark.parametrize("store_change", [
    {}, {"encoding": "cv_bayerbg"}, {"encoding": ""}, {"created_utc": "2020-01-01T00:00:00Z"},
    {"uuid": None}, {"something": "else"}])
def test_what_imgstore_reads_has_no_fault(tmp_path: Path, store_change: dict[str, Any]) -> None:
    path = store(tmp_path / "s")
    mapping, user = parse_metadata((path / "metadata.yaml").read_text())
    mapping |= store_change
    assert metadata_faults(mapping, user) == []
    (path / "metadata.yaml").write_text(metadata_text(mapping, user))
    assert opens(path)


def test_old_stores_without_a_creation_time_have_no_fault(tmp_path: Path) -> None:
    mapping, user = parse_metadata((store(tmp_path / "s") / "metadata.yaml").read_text())
    del mapping["created_utc"], mapping["timezone_local"], mapping["uuid"]
    assert metadata_faults(mapping, user) == []
    (tmp_path / "s" / "metadata.yaml").write_text(metadata_text(mapping, user))
    assert opens(tmp_path / "s")


def test_unquoted_times_keep_their_moment() -> None:
    base = {"imgshape": [6, 8], "chunksize": 3, "imgdtype": "uint8", "format": "npy",
            "class": "DirectoryImgStore", "version": 2, "encoding": None, "timezone_local": "UTC"}
    for told, better in (("2020-01-01T10:00:00+02:00", "2020-01-01T08:00:00.000000"),
                         ("2020-01-01 10:00:00.25", "2020-01-01T10:00:00.250000"),
                         ("2020-01-01", "2020-01-01T00:00:00.000000")):
        mapping = {**base, "created_utc": yaml.safe_load(told)}
        assert mended(mapping, metadata_faults(mapping, {}))["created_utc"] == better


def test_quoted_numbers() -> None:
    mapping = {"imgshape": ["6", 8], "chunksize": "3", "imgdtype": "uint8", "format": "npy",
               "class": "DirectoryImgStore", "version": 2, "encoding": None}
    found = metadata_faults(mapping, {})
    assert [fault.key for fault in found] == ["chunksize", "imgshape"]
    assert mended(mapping, found) == {**mapping, "chunksize": 3, "imgshape": [6, 8]}
