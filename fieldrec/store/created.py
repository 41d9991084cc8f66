"""When a store was made and in which time zone, whatever of it the metadata tells; and the zone of
this machine.

Reads at most /etc/localtime and a file's times; any thread. Never fails: UTC where nothing is
known.
"""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from fieldrec.store.metadata import METADATA_NAME, StoreMetadata

_LOCALTIME = Path("/etc/localtime")
_ZONE_FILE = Path("/etc/timezone")
_DATED_NAME = re.compile(r".*(20\d{6}_\d{6})")


def local_timezone() -> str:
    """IANA name of this machine's time zone: from $TZ, else the system's; "UTC" when in doubt."""
    asked = os.environ.get("TZ", "").removeprefix(":")
    if asked:
        return _zone_name(asked.partition("zoneinfo/")[2] or asked) or "UTC"
    try:
        linked = str(_LOCALTIME.resolve()).partition("zoneinfo/")[2]
        return _zone_name(linked) or _zone_name(_ZONE_FILE.read_text().strip()) or "UTC"
    except (OSError, UnicodeDecodeError):
        return "UTC"


def _zone_name(name: str) -> str:
    """The name when it is a zone that everybody knows, else nothing."""
    name = name.removeprefix("posix/").removeprefix("right/")
    return name if name and zone_of(name) is not None else ""


def zone_of(name: object) -> ZoneInfo | None:
    """The zone of this IANA name, None for anything else."""
    try:
        return ZoneInfo(str(name)) if name else None
    except (KeyError, ValueError, OSError):  # ZoneInfoNotFoundError; "../x"; a directory's name
        return None


def created(path: Path, metadata: StoreMetadata, user: Mapping[str, Any]
            ) -> tuple[datetime.datetime, ZoneInfo]:
    """(UTC time of creation, the recording's zone) of the store at `path`.

    Old stores do not say it: then the date in the directory's name is taken (local time), else the
    time of metadata.yaml. Text without a zone is UTC.
    """
    told = _utc(metadata.created_utc)
    zone = zone_of(metadata.timezone_local) or zone_of(user.get("timezone"))
    if told is not None:
        return told, zone or ZoneInfo("UTC")
    zone = zone or ZoneInfo(local_timezone())
    return _from_name(path.name, zone) or _from_file(path / METADATA_NAME), zone


def _utc(value: Any) -> datetime.datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime.datetime):
        return None
    if value.tzinfo is None:
        return value.replace(tzinfo=datetime.UTC)
    return value.astimezone(datetime.UTC)


def _from_name(name: str, zone: ZoneInfo) -> datetime.datetime | None:
    dated = _DATED_NAME.match(name)
    if dated is None:
        return None
    try:
        local = datetime.datetime.strptime(dated.group(1), "%Y%m%d_%H%M%S")
    except ValueError:
        return None
    return local.replace(tzinfo=zone).astimezone(datetime.UTC)


def _from_file(file: Path) -> datetime.datetime:
    try:
        modified_s = file.stat().st_mtime
    except OSError:
        modified_s = 0.0
    return datetime.datetime.fromtimestamp(modified_s, datetime.UTC)
