"""The sidecar of an export, ``<name>.<preset>.mp4.json``: read and judged; any thread, blocking.

It is written last, so an export is there only if its sidecar is and matches the file (I4). The
export stage writes it; this is the one reader.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from fieldrec.core.errors import StoreDamaged
from fieldrec.core.model import Export, FrameSpec, Recording, RecordingState

SUFFIX = ".mp4.json"
_READ_BYTES = 8 * 1024 * 1024
FORMAT = "fieldrec-export"
TRANSCODE_FORMAT = "fieldrec-transcode"
"""Of movies that somebody named and placed here; they are no exports."""
VERSION = 1


class NoExport(StoreDamaged):
    """A sidecar of a movie that is no export."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What is kept of a sidecar; the frame arrays are only counted."""

    path: Path
    file: Path
    """The video beside it."""
    export: Export
    recording: Recording
    """The recording as the sidecar tells it, for when the raw is gone."""


def read_sidecar(path: Path) -> Sidecar:
    """Parse one sidecar. StoreDamaged with the reason when it is not what it should be."""
    try:
        content = json.loads(path.read_bytes())
        if content["format"] == TRANSCODE_FORMAT:
            raise NoExport(f"{path}: belongs to a movie that is no export")
        if content["format"] != FORMAT or content["version"] != VERSION:
            raise ValueError(f"format {content['format']!r} version {content['version']!r} is "
                             "not known; use a newer fieldrec")
        return _sidecar(path, content)
    except KeyError as error:
        raise StoreDamaged(f"{path}: key {error} is missing; export again") from error
    except (OSError, ValueError, TypeError, IndexError, RecursionError) as error:
        raise StoreDamaged(f"{path}: {error}; export again") from error


def transcode_problem(path: Path, deep: bool) -> str:
    """What is wrong with the movie of this sidecar, which is a transcode's; "" when nothing is.
    `deep` reads all of its bytes. OSError."""
    try:
        told = json.loads(path.read_bytes())["file"]
        name, size, digest = str(told["name"]), int(told["size_bytes"]), str(told["xxh64"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
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


def _sidecar(path: Path, content: Any) -> Sidecar:
    file_name = path.name.removesuffix(".json")
    if content["file"]["name"] != file_name:
        raise ValueError(f"it is about {content['file']['name']!r}; do not rename exports")
    if not file_name.startswith(f"{content['recording']['name']}."):  # nor a path elsewhere
        raise ValueError(f"it tells of the recording {content['recording']['name']!r}")
    count = int(content["frame_count"])
    frames = content["frames"]
    if len(frames["number"]) != count or len(frames["time_ns"]) != count:
        raise ValueError(f"it lists {len(frames['number'])} numbers and "
                         f"{len(frames['time_ns'])} times of {count} frames")
    export = Export(path=path.with_name(file_name), preset=str(content["preset"]),
                    frame_count=count, size_bytes=int(content["file"]["size_bytes"]),
                    digest=str(content["file"]["xxh64"]),
                    verified_at_ns=int(content["verified_at_ns"]))
    recording = _recording(path.parent, content["recording"], dict(content["user_metadata"]),
                           export)
    return Sidecar(path, export.path, export, recording)


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
        timezone=str(told["timezone"]), user_metadata=user, exports=(export,), has_raw=False)
