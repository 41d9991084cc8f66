"""What of a store's metadata the real imgstore would refuse, though we read it, and how to mend it.

Pure but for looking up time zones and, where there is an encoding, loading OpenCV. Any thread.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fieldrec.store import encodings
from fieldrec.store.created import zone_of
from fieldrec.store.frame_files import directory_formats
from fieldrec.store.metadata import DIRECTORY_CLASS, STORE_KEY, STORE_VERSION

_NOTHING = object()


@dataclass(frozen=True, slots=True)
class MetadataFault:
    """One key that imgstore stumbles over."""

    key: str
    text: str
    """What is wrong with it."""
    better: Any = _NOTHING
    """What it should be."""

    @property
    def can_be_mended(self) -> bool:
        """Whether it is known what it should be."""
        return self.better is not _NOTHING


def metadata_faults(store: Mapping[str, Any], user: Mapping[str, Any]) -> list[MetadataFault]:
    """Every fault of a ``__store`` mapping that readers of ours can use."""
    return [*_creation(store, user), *_numbers(store), *_kind(store)]


def mended(store: Mapping[str, Any], faults: list[MetadataFault]) -> dict[str, Any]:
    """The mapping with everything mended that can be."""
    return {**store, **{fault.key: fault.better for fault in faults if fault.can_be_mended}}


def _creation(store: Mapping[str, Any], user: Mapping[str, Any]) -> Iterator[MetadataFault]:
    if "created_utc" not in store:
        return
    created = store["created_utc"]
    if isinstance(created, datetime.datetime | datetime.date):
        yield MetadataFault("created_utc", "created_utc is not in quotes", _utc_text(created))
    elif not _is_time(created):
        yield MetadataFault("created_utc", f"created_utc {created!r} is no time")
    zone = store.get("timezone_local")
    if not isinstance(zone, str) or zone_of(zone) is None:
        other = user.get("timezone")
        better = other if isinstance(other, str) and zone_of(other) is not None else "UTC"
        yield MetadataFault("timezone_local", f"timezone_local {zone!r} is no time zone" if zone
                            else "timezone_local is missing", better)


def _utc_text(created: datetime.date) -> str:
    if not isinstance(created, datetime.datetime):
        created = datetime.datetime(created.year, created.month, created.day)
    if created.tzinfo is not None:
        created = created.astimezone(datetime.UTC).replace(tzinfo=None)
    return created.isoformat(timespec="microseconds")


def _is_time(created: Any) -> bool:
    try:
        datetime.datetime.fromisoformat(created)
    except (TypeError, ValueError):
        return False
    return True


def _numbers(store: Mapping[str, Any]) -> Iterator[MetadataFault]:
    version = store.get("version")
    if version is None:
        yield MetadataFault("version", "version is missing", STORE_VERSION)
    elif version != STORE_VERSION:
        yield MetadataFault("version", f"version is {version!r}, not {STORE_VERSION}")
    chunksize = store["chunksize"]
    if isinstance(chunksize, str):
        yield MetadataFault("chunksize", "chunksize is in quotes", int(chunksize))
    shape = store["imgshape"]
    if not isinstance(shape, list) or not all(type(extent) is int for extent in shape):
        yield MetadataFault("imgshape", f"imgshape {shape!r} is no list of whole numbers",
                            [int(extent) for extent in shape])
    if not isinstance(store["imgdtype"], str):
        yield MetadataFault("imgdtype", "imgdtype is no text", np.dtype(store["imgdtype"]).name)


def _kind(store: Mapping[str, Any]) -> Iterator[MetadataFault]:
    if "encoding" not in store:
        yield MetadataFault("encoding", "encoding is missing", None)
    elif store["encoding"] and store["encoding"] not in encodings.codes():
        yield MetadataFault("encoding", f"encoding {store['encoding']!r} is not known to OpenCV")
    form = store["format"]
    if store["class"] == DIRECTORY_CLASS and form not in (*directory_formats(), "bpk"):
        yield MetadataFault("format", f"format {form!r} of a {store['class']} is not known")


def fault_line(fault: MetadataFault) -> str:
    """The fault in one line."""
    return f"{STORE_KEY}: {fault.text}; imgstore does not open the store"
