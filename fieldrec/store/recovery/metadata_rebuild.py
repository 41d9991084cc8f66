"""A metadata.yaml for a store that has lost its own: without it every frame is lost to readers.

Blocking, under the store's lock. Three sources, the best first: what can still be read of the file
itself; an index, which repeats the whole ``__store`` mapping; and, when asked, guesses from the
frames. The broken file is kept beside the new one as ``metadata.yaml.broken``.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fieldrec.core import durable
from fieldrec.core.errors import StoreDamaged
from fieldrec.store.metadata import (
    DIRECTORY_CLASS,
    METADATA_NAME,
    STORE_KEY,
    STORE_VERSION,
    VIDEO_CLASS,
    metadata_text,
    parse_metadata,
    plain,
    store_metadata,
)
from fieldrec.store.recovery.index_salvage import store_members
from fieldrec.store.recovery.rebuild import free_name

_NEEDED = ("class", "format", "imgshape", "imgdtype", "chunksize")
_WRITTEN = {*_NEEDED, "created_utc", "encoding", "timezone_local", "uuid", "version"}
"""What imgstore and fieldrec write into every store."""
_NUMBERED = re.compile(r"[0-9]{6,}\Z")
_VIDEO_FORMAT = {".avi": "mjpeg/avi", ".mkv": "h264/mkv", ".mp4": "avc1/mp4"}
_FRAME_FORMATS = ("npy", "png", "jpg", "bmp", "tif", "ppm", "pgm")
_CHUNKSIZE = 200
_MOST_INDEXES = 20
_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class Rebuilt:
    """A metadata.yaml that is to be written."""

    store: dict[str, Any]
    user: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def rebuild_metadata(root: Path, *, guess: bool) -> Rebuilt:
    """What the metadata was, as far as it can be found out; nothing is written.

    With `guess` also from the frames alone. StoreDamaged when that is not enough.
    """
    text = _text(root)
    read = _readable_part(text)
    from_file = read.pop(STORE_KEY, None)
    store: dict[str, Any] = dict(from_file) if isinstance(from_file, dict) else {}
    notes = [f"{METADATA_NAME} could not be read and was made again"]
    if not store.keys() >= _WRITTEN or not _is_enough(store):
        repeated = _from_index(root)
        store |= repeated
        if repeated:
            notes[0] += " from what an index repeats of it"
        elif guess and not _is_enough(store):
            store = {**_guessed(root, notes), **store}
    if not _is_enough(store):
        raise StoreDamaged(
            f"{root / METADATA_NAME}: cannot be read, and no index tells what it was; put it back "
            "from a copy, or let `fieldrec check --repair` guess it from the frames")
    store = {"version": STORE_VERSION, "encoding": None, **store}
    notes.append("user metadata: " + (f"kept {', '.join(map(str, read))}" if read
                                      else "none could be read"))
    return Rebuilt(*parse_metadata(metadata_text(store, read)), notes)


def write_metadata(root: Path, store: Mapping[str, Any], user: Mapping[str, Any]) -> None:
    """Put a metadata.yaml in place of one that cannot be read, which is kept beside it."""
    path = root / METADATA_NAME
    text = metadata_text(store, user)
    try:
        broken = path.read_bytes()
    except FileNotFoundError:
        broken = b""
    kept = path.with_name(f"{METADATA_NAME}.broken")
    if broken and not (kept.exists() and kept.read_bytes() == broken):
        durable.write_atomic(free_name(root, kept.name), broken)
    durable.write_atomic(path, text.encode("ascii"))


def _is_enough(store: Mapping[str, Any]) -> bool:
    """Whether a reader could work with it."""
    if any(key not in store for key in _NEEDED):
        return False
    try:
        store_metadata(store)
        metadata_text(store, {})
    except ValueError:
        return False
    return True


# --- from the file itself ----------------------------------------------------------------------

def _text(root: Path) -> str:
    try:
        return (root / METADATA_NAME).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _readable_part(text: str) -> dict[Any, Any]:
    """The top-level keys that can be read one by one, and those of ``__store``.

    The last key of a file is left out unless it can only be another one that made the file
    unreadable: cut off within it, its value would be half of what it was.
    """
    blocks = re.split(r"(?m)^(?=[^\s#\-])", text.replace("\0", ""))
    values = [_mapping_in(block) for block in blocks]
    elsewhere = any(value is None for value in values[:-1]) and text.endswith("\n")
    content: dict[Any, Any] = {}
    for at, (block, value) in enumerate(zip(blocks, values, strict=True)):
        last = at == len(blocks) - 1 and not elsewhere
        if block.startswith(f"{STORE_KEY}:"):
            content[STORE_KEY] = _store_lines(block, last)
        elif value and not last:
            content |= value
    return content


def _mapping_in(text: str) -> dict[Any, Any] | None:
    """The mapping that this text is; {} for nothing, None for what cannot be read."""
    try:
        value = yaml.load(text, Loader=_SafeLoader)
        plain(value)
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None if value is not None else {}


def _store_lines(block: str, cut: bool) -> dict[str, Any]:
    """The keys of a ``__store`` block one by one; `cut`: the last of them may be half."""
    keys = re.split(r"(?m)^(?=  [^\s\-])", block)[1:]
    found: dict[str, Any] = {}
    for text in keys[:-1] if cut else keys:
        found |= _mapping_in(text) or {}
    return found


# --- from an index -----------------------------------------------------------------------------

def _from_index(root: Path) -> dict[str, Any]:
    """The mapping that the first index with all of it repeats."""
    for path in _indexes(root):
        try:
            store = store_members(path.read_bytes())
        except OSError:
            continue
        store["encoding"] = store.get("encoding") or None
        if _is_enough(store):
            return store
    return {}


def _indexes(root: Path) -> Iterator[Path]:
    chunks = sorted(path for path in root.iterdir() if _NUMBERED.match(path.stem))
    found = [path / "index.npz" if path.is_dir() else path for path in chunks
             if path.is_dir() or path.suffix == ".npz"]
    yield from found[:_MOST_INDEXES]


# --- from the frames ---------------------------------------------------------------------------

def _guessed(root: Path, notes: list[str]) -> dict[str, Any]:
    """What frames and chunks look like; {} when there is nothing to look at."""
    store = _guessed_directory(root) or _guessed_video(root)
    if store:
        notes[0] += " from the frames"
        notes.append("guessed: chunksize, time and zone of the recording, and that the frames have "
                     "no encoding: set `encoding` in metadata.yaml if they are a mosaic")
    return store


def _guessed_directory(root: Path) -> dict[str, Any]:
    for chunk in sorted(path for path in root.iterdir()
                        if path.is_dir() and _NUMBERED.match(path.name)):
        for form in _FRAME_FORMATS:
            frames = sorted(chunk.glob(f"[0-9]*.{form}"))
            for frame in frames[:3]:
                seen = _frame_look(frame, form)
                if seen is not None:
                    return _mapping(DIRECTORY_CLASS, form, *seen,
                                    max(len(frames), _CHUNKSIZE), frame)
    return {}


def _frame_look(frame: Path, form: str) -> tuple[tuple[int, ...], str] | None:
    """(shape, dtype) of a frame file, None when it cannot be read."""
    try:
        if form == "npy":
            pixels = np.load(frame, mmap_mode="r", allow_pickle=False)
            return tuple(pixels.shape), pixels.dtype.name
        import cv2
        data = np.frombuffer(frame.read_bytes(), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    except Exception:  # noqa: BLE001 - numpy and OpenCV raise many kinds for bad bytes
        return None
    return None if image is None else (tuple(image.shape), image.dtype.name)


def _guessed_video(root: Path) -> dict[str, Any]:
    for path in sorted(root.iterdir()):
        form = _VIDEO_FORMAT.get(path.suffix)
        if form is None or not _NUMBERED.match(path.stem):
            continue
        import cv2
        capture = cv2.VideoCapture(str(path))
        got, image = capture.read()
        capture.release()
        if got:
            store = _mapping(VIDEO_CLASS, form, tuple(image.shape), "uint8", 10000, path)
            return {**store, "extension": path.suffix}
    return {}


def _mapping(kind: str, form: str, shape: tuple[int, ...], dtype: str, chunksize: int,
             oldest: Path) -> dict[str, Any]:
    created = datetime.datetime.fromtimestamp(oldest.stat().st_mtime, datetime.UTC)
    return {"class": kind, "format": form, "imgshape": [int(extent) for extent in shape],
            "imgdtype": dtype, "chunksize": chunksize, "version": STORE_VERSION, "encoding": None,
            "created_utc": created.replace(tzinfo=None).isoformat(timespec="microseconds"),
            "timezone_local": "UTC"}
