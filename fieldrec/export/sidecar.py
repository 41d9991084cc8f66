"""What an export says of itself, beside its movie and inside it; and the proof that it is whole.

The sidecar is written last and atomically: an export exists when its sidecar matches it, not before
(I4). The copy inside the movie says all but what only verification can know. How the text is laid
out is :mod:`fieldrec.store.movie.content`'s; the keys are described in DESIGN.md.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np
from numpy.typing import NDArray

from fieldrec import __version__
from fieldrec.core import durable
from fieldrec.core.errors import FieldrecError, JobRefused
from fieldrec.core.model import Export, FrameSpec
from fieldrec.export.codecs import CODECS
from fieldrec.export.opening import encoder_name
from fieldrec.export.presets import Preset
from fieldrec.export.verify import Quality, file_digest
from fieldrec.store.encodings import from_pylon
from fieldrec.store.extra_data import jsonable
from fieldrec.store.extra_read import iter_extra_records
from fieldrec.store.layout import NO_DEVICE_TIME, seconds_of
from fieldrec.store.movie.columns import ENCODING, pack
from fieldrec.store.movie.content import (
    FORMAT,
    READABLE,
    TRANSCODE_FORMAT,
    VERSION,
    pack_records,
    read_head,
    sidecar_path,
    text,
)
from fieldrec.store.movie.gaps import KINDS, gaps
from fieldrec.store.reader import StoreReader
from fieldrec.store.spec import ours_in

__all__ = ["FORMAT", "TRANSCODE_FORMAT", "Source", "Unreadable", "commit", "committed", "content",
           "head", "kept_encoding", "sidecar_path", "source_of", "text"]

log = logging.getLogger(__name__)

_LIBRARIES = ("libavcodec", "libavformat", "libavutil", "libswscale")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A frame of the raw store that could not be read, and so is not in the movie."""

    index: int
    """In the raw store."""
    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Source:
    """What is told of the recording, or of a part of it; built from its store."""

    name: str
    uuid: str
    created_utc: str
    timezone: str
    spec: FrameSpec
    """Of the frames as they are stored."""
    user_metadata: Mapping[str, Any]
    numbers: NDArray[Any]
    times_ns: NDArray[np.int64]
    store: Mapping[str, Any] = field(default_factory=dict)
    """The ``__store`` mapping."""
    times_s: NDArray[np.float64] | None = None
    """`frame_time` as stored, where `times_ns` do not say it exactly."""
    device_times_ns: NDArray[np.int64] | None = None
    records: Iterable[Mapping[str, Any]] = ()
    """The extra data that belong to these frames; gone through more than once."""
    first_index: int = 0
    """Of the first frame in the raw store."""
    of: int = 0
    """Frames of the raw store; 0: these are all."""

    @property
    def end_index(self) -> int:
        """Behind the last frame in the raw store."""
        return self.first_index + len(self.numbers)

    @property
    def is_whole(self) -> bool:
        """Whether these are all frames of the recording."""
        return len(self.numbers) == (self.of or len(self.numbers))

    def described(self, found: Mapping[str, Sequence[Mapping[str, int]]]) -> dict[str, Any]:
        """The `recording` mapping. Dropped and lost frames are those of the whole recording, where
        the store says them; else those `found` between these frames."""
        known = ours_in(self.user_metadata)
        missing = {kind: sum(gap["count"] for gap in found[kind]) for kind in KINDS}
        return {
            "name": self.name, "uuid": self.uuid,
            "camera_serial": str(known.get("camera_serial", "")),
            "created_utc": self.created_utc, "timezone": self.timezone,
            "clock_quality": str(known.get("clock_quality", "none")),
            "first_time_ns": int(self.times_ns[0]), "last_time_ns": int(self.times_ns[-1]),
            "frame_count": self.of or len(self.numbers),
            "dropped": int(known.get("dropped", missing["dropped"])),
            "lost": int(known.get("lost", missing["lost"])),
            "paused": int(known.get("paused_frames", missing["paused"])),
            "shape": list(self.spec.shape), "dtype": self.spec.dtype,
            "pixel_format": self.spec.pixel_format, "nominal_hz": self.spec.nominal_hz,
            "raw_bytes": self.spec.frame_bytes * (self.of or len(self.numbers)),
        }


class Shown(Protocol):
    """What is needed of the rules for a movie's pictures; :class:`Pictures` has it."""

    spec: FrameSpec
    is_exact: bool
    width: int
    height: int
    pixel_format: str


def source_of(store: StoreReader, name: str, first: int = 0, end: int | None = None) -> Source:
    """All that the frames `first` … `end` - 1 of a store have to tell. Blocks for its extra data;
    what is damaged of them is left out, and logged."""
    end = store.frame_count if end is None else end
    times_ns, times_s = store.times_ns[first:end], store.index.times_s[first:end]
    device_ns = store.device_times_ns[first:end]
    return Source(
        name=name, uuid=store.uuid, created_utc=store.created_utc, timezone=store.timezone,
        spec=store.spec, user_metadata=jsonable(store.user_metadata),
        numbers=store.numbers[first:end], times_ns=times_ns,
        store=jsonable(dict(store.metadata.raw)),
        times_s=None if np.array_equal(times_s, seconds_of(times_ns)) else times_s,
        device_times_ns=device_ns if (device_ns != NO_DEVICE_TIME).any() else None,
        records=_Records(store, first, end), first_index=first, of=store.frame_count)


class _Records:
    """The records beside some frames of a store, read anew each time: there may be as many as
    frames. Those from before the first frame of all belong to it."""

    def __init__(self, store: StoreReader, first: int, end: int) -> None:
        self._path, self._first, self._end = store.path, first, end
        self._all = first == 0 and end == store.frame_count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        try:
            for record in iter_extra_records(self._path, ignore_corrupt=True):
                if self._all or self._first <= max(_integer(record.get("frame_index")),
                                                   0) < self._end:
                    yield jsonable(record)
        except (FieldrecError, ImportError) as error:
            log.warning("%s: extra data left out: %s", self._path, error)


def _integer(value: Any) -> int:
    return value if isinstance(value, int) else -1


# --- what is written ----------------------------------------------------------------------------

def content(source: Source, *, preset: Preset, pictures: Shown, rules: Mapping[str, Any],
            encoder: str, unreadable: Sequence[Unreadable] = (), slice_number: int = 0,
            slice_count: int = 0, form: str = FORMAT) -> dict[str, Any]:
    """All that is known before the movie is verified: what it carries, and most of its sidecar.

    `source` is of the frames of this movie (of this slice); those that are `unreadable` are not in
    it. `encoder` is libavcodec's name of what encoded it. `text` makes bytes of it.
    """
    kept = np.ones(len(source.numbers), np.bool_)
    records = pack_records(source.records)
    kept[[one.index - source.first_index for one in unreadable]] = False
    found = gaps(source.numbers, source.times_ns, source.records,
                 ours_in(source.user_metadata).get("lost_runs"))
    return {
        "format": form, "version": VERSION, "recording": source.described(found),
        "user_metadata": source.user_metadata, "store": source.store,
        "frame_count": int(kept.sum()), "preset": preset.name, "request": preset.to_request(),
        "codec": CODECS[preset.codec].title, "encoder": encoder_name(preset, encoder),
        "versions": versions(),
        "pictures": _pictures(pictures, source),
        "part": {"first_index": source.first_index, "end_index": source.end_index,
                 "of": source.of or len(source.numbers)},
        "slice": {"number": slice_number, "of": slice_count} if slice_number else None,
        "missing": {kind: sum(gap["count"] for gap in found[kind]) for kind in KINDS},
        "unreadable_count": len(unreadable), "extra_data_count": records["count"],
        "rules": dict(rules),
        "gaps": found, "unreadable": [asdict(one) for one in unreadable],
        "frames": _frames(source, kept),
        **({"extra_data": records} if records["count"] else {}),
    }


def versions() -> dict[str, str]:
    """Of what made the movie."""
    return {"fieldrec": __version__, "PyAV": av.__version__,
            **{name: ".".join(map(str, av.library_versions[name])) for name in _LIBRARIES
               if name in av.library_versions}}


def _pictures(pictures: Shown, source: Source) -> dict[str, Any]:
    """What a reader gets from the movie: the raw frames themselves where it is exact, else grey or
    BGR of 8 bits; and how large the coded pictures are, which may be padded."""
    spec = pictures.spec
    exact = {"shape": list(spec.shape), "dtype": spec.dtype, "pixel_format": spec.pixel_format}
    is_mono = spec.pixel_format.startswith("MONO")
    seen = {"shape": [*spec.shape[:2]] if is_mono else [*spec.shape[:2], 3], "dtype": "uint8",
            "pixel_format": "MONO8" if is_mono else "BGR8"}
    encoding = kept_encoding(source.store.get("encoding"), spec) if pictures.is_exact else None
    return {**(exact if pictures.is_exact else seen), "exact": pictures.is_exact,
            "encoding": encoding, "width": pictures.width, "height": pictures.height,
            "coded_as": pictures.pixel_format}


def kept_encoding(encoding: str | None, spec: FrameSpec) -> str | None:
    """The encoding of frames that were kept as they were stored, under which readers show them:
    that of the store, or of the mosaic that a crop or a turn made of it."""
    if encoding and spec.pixel_format.startswith("BAYER_"):
        return from_pylon(spec.pixel_format)
    return encoding or None


def _frames(source: Source, kept: NDArray[np.bool_]) -> dict[str, Any]:
    columns = {"number": source.numbers, "time_ns": source.times_ns}
    if source.times_s is not None:
        columns["time_s"] = source.times_s
    if source.device_times_ns is not None:
        columns["device_time_ns"] = source.device_times_ns
    if not kept.all():
        columns["index"] = np.arange(source.first_index, source.end_index)
    return {"count": int(kept.sum()), "encoding": ENCODING,
            "columns": {name: pack(values[kept]) for name, values in columns.items()}}


def commit(export: Export, told: Mapping[str, Any], quality: Quality) -> None:
    """Commit the export: after this it exists. Blocks for two syncs; StoreFull, SyncFailed.

    `told` is what :func:`content` made, and what the movie carries.
    """
    file = {"name": export.path.name, "size_bytes": export.size_bytes, "xxh64": export.digest}
    durable.write_atomic(sidecar_path(export.path), text(
        {**told, "file": file, "verified_at_ns": export.verified_at_ns,
         "quality": asdict(quality)}))


# --- whether it is there ------------------------------------------------------------------------

def committed(path: Path, uuid: str, preset: str, frame_count: int, stop: threading.Event
              ) -> Export | None:
    """The export at `path` if it is there whole (I4), else None; reads all of its bytes.

    `frame_count`: of the raw frames that it must be of, unreadable ones included. JobRefused when a
    whole export of *another* recording has that name: it is never overwritten.
    """
    found = _read(path)
    if found is None or not path.is_file() or path.stat().st_size != found[0].size_bytes:
        return None
    export, its_uuid = found
    if file_digest(path, stop) != export.digest:
        return None
    if its_uuid != uuid:
        raise JobRefused(f"{path} is an export of another recording (uuid {its_uuid}): "
                         "move it and its .json away first")
    is_same = export.preset == preset and export.frame_count + export.unreadable == frame_count
    return export if is_same else None


def head(path: Path) -> dict[str, Any] | None:
    """All but the long parts of the sidecar of the export at `path`; None when it is missing, or
    not of an export, or of a newer fieldrec."""
    try:
        told = read_head(sidecar_path(path))
    except (FileNotFoundError, ValueError):
        return None
    return told if told.get("format") == FORMAT and told.get("version") in READABLE else None


def _read(path: Path) -> tuple[Export, str] | None:
    """The export that the sidecar of `path` tells of, with the recording's uuid."""
    told = head(path)
    if told is None:
        return None
    try:
        file, part = told["file"], told.get("slice") or {"number": 0, "of": 0}
        return Export(path=path, preset=str(told["preset"]),
                      frame_count=int(told["frame_count"]), size_bytes=int(file["size_bytes"]),
                      digest=str(file["xxh64"]), verified_at_ns=int(told["verified_at_ns"]),
                      slice_number=int(part["number"]), slice_count=int(part["of"]),
                      unreadable=int(told.get("unreadable_count", 0))), told["recording"]["uuid"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
