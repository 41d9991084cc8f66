"""The JSON file beside an export: what the movie cannot say, and the proof that it is whole.

Written last and atomically: an export exists when its sidecar matches it, not before (I4). The
catalogue reads the same format; the keys are described in DESIGN.md.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.core import durable
from fieldrec.core.errors import JobRefused
from fieldrec.core.model import Export, FrameSpec
from fieldrec.export.codecs import CODECS
from fieldrec.export.opening import encoder_name
from fieldrec.export.presets import Preset
from fieldrec.export.verify import Quality, file_digest

FORMAT = "fieldrec-export"
TRANSCODE_FORMAT = "fieldrec-transcode"
"""Of movies that somebody named and placed: they are no exports, no raw is deleted for them."""
VERSION = 1


@dataclass(frozen=True, slots=True)
class Source:
    """What the sidecar says of the recording; built from its store."""

    name: str
    uuid: str
    created_utc: str
    timezone: str
    spec: FrameSpec
    user_metadata: dict[str, Any]
    numbers: NDArray[np.int64]
    times_ns: NDArray[np.int64]

    def described(self) -> dict[str, Any]:
        """The `recording` mapping. Dropped frames are the gaps in the camera's numbers where
        the store does not say; a store of another program does not know of lost ones."""
        own = self.user_metadata.get("fieldrec")
        known: dict[str, Any] = own if isinstance(own, dict) else {}
        gaps = int(np.maximum(np.diff(self.numbers) - 1, 0).sum())
        return {
            "name": self.name, "uuid": self.uuid,
            "camera_serial": str(known.get("camera_serial", "")),
            "created_utc": self.created_utc, "timezone": self.timezone,
            "first_time_ns": int(self.times_ns[0]), "last_time_ns": int(self.times_ns[-1]),
            "dropped": int(known.get("dropped", gaps)), "lost": int(known.get("lost", 0)),
            "shape": list(self.spec.shape), "dtype": self.spec.dtype,
            "pixel_format": self.spec.pixel_format, "nominal_hz": self.spec.nominal_hz,
        }


def sidecar_path(export: Path) -> Path:
    """"name.high.mp4" has its sidecar at "name.high.mp4.json"."""
    return export.with_name(export.name + ".json")


def write(export: Export, source: Source, *, preset: Preset, quality: Quality,
          rules: dict[str, Any], form: str = FORMAT, more: Mapping[str, Any] | None = None) -> None:
    """Commit the export: after this it exists. Blocks for two syncs; StoreFull, SyncFailed.

    `more` is put beside the keys that every sidecar has; its `frames` are added to them.
    """
    more = dict(more or {})
    frames = {"number": source.numbers.tolist(), "time_ns": source.times_ns.tolist(),
              **more.pop("frames", {})}
    content = {
        "format": form, "version": VERSION, "recording": source.described(),
        "user_metadata": source.user_metadata,
        "file": {"name": export.path.name, "size_bytes": export.size_bytes,
                 "xxh64": export.digest},
        "preset": export.preset, "encoder": encoder_name(preset, CODECS[preset.codec].encoder),
        "codec": CODECS[preset.codec].title,
        "frame_count": export.frame_count, "verified_at_ns": export.verified_at_ns,
        "quality": asdict(quality),
        "frames": frames, "rules": rules, **more,
    }
    text = json.dumps(content, ensure_ascii=False, default=str, separators=(",", ":"))
    durable.write_atomic(sidecar_path(export.path), text.encode() + b"\n")


def committed(path: Path, uuid: str, preset: str, frame_count: int, stop: threading.Event
              ) -> Export | None:
    """The export at `path` if it is there whole (I4), else None; reads all of its bytes.

    JobRefused when a whole export of *another* recording has that name: it is never overwritten.
    """
    found = _read(sidecar_path(path), path)
    if found is None or not path.is_file() or path.stat().st_size != found[0].size_bytes:
        return None
    export, its_uuid = found
    if file_digest(path, stop) != export.digest:
        return None
    if its_uuid != uuid:
        raise JobRefused(f"{path} is an export of another recording (uuid {its_uuid}): "
                         "move it and its .json away first")
    is_same = export.preset == preset and export.frame_count == frame_count
    return export if is_same else None


def _read(sidecar: Path, path: Path) -> tuple[Export, str] | None:
    """What a sidecar says, with the recording's uuid; None when it is missing or not ours."""
    try:
        content = json.loads(sidecar.read_bytes())
        if (content["format"], content["version"]) != (FORMAT, VERSION):
            return None
        file = content["file"]
        return Export(path=path, preset=str(content["preset"]),
                      frame_count=int(content["frame_count"]), size_bytes=int(file["size_bytes"]),
                      digest=str(file["xxh64"]),
                      verified_at_ns=int(content["verified_at_ns"])), content["recording"]["uuid"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
