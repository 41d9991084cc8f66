"""The sidecars of exports, ``<name>.<preset>.mp4.json`` and the like, read and judged.

Any thread, blocking. A sidecar is written last, so an export is there only if its sidecar is and
matches the file (I4). Of a long recording's only the first line is read: what it says of single
frames is looked at by a check alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from fieldrec.core.errors import StoreDamaged
from fieldrec.core.model import ClockQuality, Export, FrameSpec, Recording, RecordingState
from fieldrec.store.movie.columns import unpack
from fieldrec.store.movie.content import (
    EXTENSIONS,
    FORMAT,
    READABLE,
    TRANSCODE_FORMAT,
    is_sidecar,
    parse,
    read_head,
    sidecar_path,
    unpack_records,
)

__all__ = ["EXTENSIONS", "NoExport", "Sidecar", "file_digest", "is_sidecar", "matches",
           "read_sidecar", "sidecar_path", "transcode_problem", "whole_problem"]

_READ_BYTES = 8 * 1024 * 1024
_COLUMNS = ("number", "time_ns")


class NoExport(StoreDamaged):
    """A sidecar of a movie that is no export."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What is kept of a sidecar."""

    path: Path
    file: Path
    """The video beside it."""
    export: Export
    recording: Recording
    """The recording as the sidecar tells it, for when the raw is gone."""


def read_sidecar(path: Path) -> Sidecar:
    """Parse one sidecar. StoreDamaged with the reason when it is not what it should be."""
    try:
        head = read_head(path)
        if head["format"] == TRANSCODE_FORMAT:
            raise NoExport(f"{path}: belongs to a movie that is no export")
        if head["format"] != FORMAT or head["version"] not in READABLE:
            raise ValueError(f"format {head['format']!r} version {head['version']!r} is "
                             "not known; use a newer fieldrec")
        return _sidecar(path, head)
    except KeyError as error:
        raise StoreDamaged(f"{path}: key {error} is missing; export again") from error
    except (OSError, ValueError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise StoreDamaged(f"{path}: {error}; export again") from error


def whole_problem(path: Path) -> str:
    """What is wrong with what a sidecar says of single frames and of extra data; "" when nothing
    is. Reads all of it. OSError."""
    try:
        content = parse(path.read_bytes())
        _check_frames(content, int(content["frame_count"]))
        for _ in unpack_records(content.get("extra_data")):
            pass
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        return f"{error}; export again"
    return ""


def transcode_problem(path: Path, deep: bool) -> str:
    """What is wrong with the movie of this sidecar, which is a transcode's; "" when nothing is.
    `deep` reads all of its bytes. OSError."""
    try:
        told = read_head(path)["file"]
        name, size, digest = str(told["name"]), int(told["size_bytes"]), str(told["xxh64"])
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        return f"cannot be understood ({error}); delete it and its movie, and transcode again"
    file = path.with_name(path.name.removesuffix(".json"))
    if name != file.name:
        return f"it is about {name!r}: give both their names back"
    if not file.is_file() or file.stat().st_size != size:
        return f"{file.name} is missing or has another size; delete both and transcode again"
    if deep and file_digest(file) != digest:
        return f"the bytes of {file.name} are not those that were verified; transcode again"
    return ""


def file_digest(path: Path) -> str:
    """XXH64 of a file, in hexadecimal."""
    digest = xxhash.xxh64()
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            digest.update(data)
    return digest.hexdigest()


def matches(sidecar: Sidecar) -> bool:
    """Whether the video is there with the size the sidecar says."""
    try:
        return sidecar.file.stat().st_size == sidecar.export.size_bytes
    except OSError:
        return False


def _sidecar(path: Path, head: Mapping[str, Any]) -> Sidecar:
    file_name = path.name.removesuffix(".json")
    if head["file"]["name"] != file_name:
        raise ValueError(f"it is about {head['file']['name']!r}; do not rename exports")
    if not file_name.startswith(f"{head['recording']['name']}."):  # nor a path elsewhere
        raise ValueError(f"it tells of the recording {head['recording']['name']!r}")
    count = int(head["frame_count"])
    if "frames" in head:  # of version 1, which has to be read as a whole
        _check_frames(head, count)
    part = head.get("slice") or {"number": 0, "of": 0}
    export = Export(path=path.with_name(file_name), preset=str(head["preset"]),
                    frame_count=count, size_bytes=int(head["file"]["size_bytes"]),
                    digest=str(head["file"]["xxh64"]),
                    verified_at_ns=int(head["verified_at_ns"]),
                    slice_number=int(part["number"]), slice_count=int(part["of"]),
                    unreadable=int(head.get("unreadable_count", 0)))
    if not 0 <= export.slice_number <= export.slice_count:
        raise ValueError(f"it is slice {export.slice_number} of {export.slice_count}")
    recording = _recording(path.parent, head["recording"], dict(head["user_metadata"]), export)
    return Sidecar(path, export.path, export, recording)


def _check_frames(content: Mapping[str, Any], count: int) -> None:
    frames = content["frames"]
    for name in _COLUMNS:
        unpack(frames.get("columns", frames)[name], count)


def _recording(directory: Path, told: Any, user: dict[str, Any], export: Export) -> Recording:
    first, last = told["first_time_ns"], told["last_time_ns"]
    return Recording(
        name=str(told["name"]), uuid=str(told["uuid"]), camera_serial=str(told["camera_serial"]),
        path=directory / str(told["name"]), state=RecordingState.COMPLETE,
        spec=FrameSpec(tuple(int(extent) for extent in told["shape"]), str(told["dtype"]),
                       str(told["pixel_format"]), float(told["nominal_hz"])),
        frame_count=export.frame_count, first_time_ns=None if first is None else int(first),
        last_time_ns=None if last is None else int(last), dropped=int(told["dropped"]),
        lost=int(told["lost"]), size_bytes=0, created_utc=str(told["created_utc"]),
        timezone=str(told["timezone"]), clock_quality=_clock_quality(told.get("clock_quality")),
        user_metadata=user, exports=(export,), has_raw=False)


def _clock_quality(value: Any) -> ClockQuality:
    try:
        return ClockQuality(value)
    except ValueError:
        return ClockQuality.NONE
