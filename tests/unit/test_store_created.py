"""When and where a store was made, from whatever its metadata tells; and this machine's zone."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fieldrec.store import created as module
from fieldrec.store.created import created, local_timezone
from fieldrec.store.metadata import StoreMetadata, store_mapping, store_metadata

MAPPING = store_mapping((4, 6), "uint8", chunksize=3, timezone="Europe/Vienna",
                        created_epoch_ns=1_700_000_000_123_456_000, uuid="0" * 32)
WHEN = datetime.datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=datetime.UTC)


def metadata(**changes: Any) -> StoreMetadata:
    mapping = {**MAPPING, **changes}
    return store_metadata({key: value for key, value in mapping.items() if value is not None})


@pytest.mark.parametrize("value", [
    "2023-11-14T22:13:20.123456", "2023-11-14 22:13:20.123456", "2023-11-14T22:13:20.123456Z",
    "2023-11-14T23:13:20.123456+01:00", WHEN, WHEN.replace(tzinfo=None)])
def test_every_way_in_which_files_say_it(value: Any) -> None:
    when, zone = created(Path("s"), metadata(created_utc=value), {})
    assert when == WHEN
    assert when.tzinfo is datetime.UTC
    assert zone == ZoneInfo("Europe/Vienna")


def test_text_without_a_zone_is_utc_wherever_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert created(Path("s"), metadata(), {})[0] == WHEN


@pytest.mark.parametrize("zone", ["Nowhere/City", "../../etc/passwd", "/etc/passwd", "Europe", ""])
def test_an_unknown_zone_is_no_reason_to_fail(zone: str) -> None:
    assert created(Path("s"), metadata(timezone_local=zone), {})[1] == ZoneInfo("UTC")


@pytest.mark.parametrize("name", ["cam_20230801_120000", "20230801_120000.serial",
                                  "a20230801_120000"])
def test_an_old_store_has_its_date_in_its_name(name: str) -> None:
    when, zone = created(Path("x") / name, metadata(created_utc=None, timezone_local=None),
                         {"timezone": "Europe/Vienna"})
    assert when == datetime.datetime(2023, 8, 1, 10, tzinfo=datetime.UTC)
    assert zone == ZoneInfo("Europe/Vienna")


@pytest.mark.parametrize("value", [None, "yesterday", 12, ""])
@pytest.mark.parametrize("name", ["old", "20231399_990000"])
def test_else_the_time_of_its_file(tmp_path: Path, value: Any, name: str) -> None:
    path = tmp_path / name
    path.mkdir()
    (path / "metadata.yaml").touch()
    os.utime(path / "metadata.yaml", (1e9, 1e9))
    assert created(path, metadata(created_utc=value), {})[0].timestamp() == 1e9


@pytest.mark.parametrize(("asked", "name"), [
    ("Europe/Vienna", "Europe/Vienna"), (":Europe/Vienna", "Europe/Vienna"),
    ("/usr/share/zoneinfo/Asia/Tokyo", "Asia/Tokyo"), ("CET-1CEST", "UTC"), ("nonsense", "UTC")])
def test_the_zone_that_the_environment_names(monkeypatch: pytest.MonkeyPatch, asked: str,
                                             name: str) -> None:
    monkeypatch.setenv("TZ", asked)
    assert local_timezone() == name


def test_the_zone_of_the_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TZ", raising=False)
    link, text = tmp_path / "localtime", tmp_path / "timezone"
    monkeypatch.setattr(module, "_LOCALTIME", link)
    monkeypatch.setattr(module, "_ZONE_FILE", text)
    assert local_timezone() == "UTC"
    text.write_text("Asia/Tokyo\n")
    assert local_timezone() == "Asia/Tokyo"
    zone = tmp_path / "zoneinfo" / "Europe" / "Vienna"
    zone.parent.mkdir(parents=True)
    zone.touch()
    link.symlink_to(zone)
    assert local_timezone() == "Europe/Vienna"
