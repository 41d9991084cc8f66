"""Which recordings are in a folder, read from the disk alone (I6).

Blocking; called by the ``db`` thread and by commands. Nothing but metadata, indexes and sidecars
is opened, and what has not changed since the last time is taken from memory. What cannot be read
is listed as DAMAGED; it never hides another recording.
"""

from __future__ import annotations

import dataclasses
import difflib
import fcntl
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fieldrec.catalogue.sidecar import SUFFIX, Sidecar, matches, read_sidecar
from fieldrec.core.errors import FieldrecError, NotFoundError, StoreDamaged
from fieldrec.core.model import ClockQuality, FrameSpec, Recording, RecordingState
from fieldrec.store import layout
from fieldrec.store.metadata import METADATA_NAME
from fieldrec.store.reader import (
    chunk_directories,
    created_text,
    frame_spec,
    read_index,
    read_metadata,
)

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Chunk:
    """What the catalogue keeps of one chunk's index."""

    count: int
    first_time_ns: int | None
    last_time_ns: int | None
    index_bytes: int


class Catalogue:
    """The recordings of one folder, cheap to ask again. One thread at a time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._known: dict[Path, tuple[tuple[int, ...], Any]] = {}
        self._seen: set[Path] = set()

    def refresh(self) -> tuple[Recording, ...]:
        """Look at the disk and return every recording, oldest first.

        NotFoundError when the folder is not there. Costs one stat per chunk for what is known.
        """
        self._seen = set()
        try:
            names = sorted(entry.name for entry in os.scandir(self.directory)
                           if not entry.name.startswith("."))
        except OSError as error:
            raise NotFoundError(f"{self.directory}: {error.strerror}; the recordings folder must "
                                "exist") from error
        found: dict[str, Recording] = {}
        for name in names:
            recording = self._store(self.directory / name)
            if recording is not None:
                found[name] = recording
        self._add_exports(found, names)
        self._known = {path: self._known[path] for path in self._seen}
        return tuple(sorted(found.values(), key=lambda known: (known.created_utc, known.name)))

    def _once(self, path: Path, load: Callable[[Path], T]) -> T:
        """`load(path)`, or what it returned when the file was last like this. OSError."""
        stat = path.stat()
        signature = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        known = self._known.get(path)
        if known is None or known[0] != signature:
            known = (signature, load(path))
            self._known[path] = known
        self._seen.add(path)
        value: T = known[1]
        return value

    # --- stores ---------------------------------------------------------------------------------

    def _store(self, path: Path) -> Recording | None:
        """The store at `path`; None when it is none."""
        try:
            if not path.is_dir():
                return None
            state = locked_state(path)
            if state is None and not (path / METADATA_NAME).exists():
                return None
            return self._recording(path, state)
        except (OSError, FieldrecError, ValueError, TypeError) as error:
            log.warning("%s: cannot be read: %s", path, error)
            return _unreadable(path, RecordingState.DAMAGED)

    def _recording(self, path: Path, state: RecordingState | None) -> Recording:
        if state is not None and not (path / METADATA_NAME).exists():
            return _unreadable(path, state)
        store, user = self._once(path / METADATA_NAME, lambda _: read_metadata(path))
        chunks = [(chunk, self._chunk(chunk)) for chunk in chunk_directories(path)]
        sound = [known for _, known in chunks if known is not None]
        if state is None:
            state = _unlocked_state(chunks)
        spec = frame_spec(store, user)
        filled = [known for known in sound if known.count]
        open_frames = sum(_logged(chunk) for chunk, known in chunks if known is None)
        count = sum(known.count for known in sound) + open_frames
        ours = user.get("fieldrec")
        ours = ours if isinstance(ours, dict) else {}
        return Recording(
            name=path.name, uuid=str(store.get("uuid") or ""),
            camera_serial=str(ours.get("camera_serial", "")), path=path, state=state, spec=spec,
            frame_count=count,
            first_time_ns=filled[0].first_time_ns if filled else None,
            last_time_ns=filled[-1].last_time_ns if filled else None,
            dropped=_integer(ours.get("dropped")), lost=_integer(ours.get("lost")),
            size_bytes=_size_bytes(path, store, count, sound),
            created_utc=created_text(store.get("created_utc")),
            timezone=str(store.get("timezone_local") or ""),
            clock_quality=_clock_quality(ours.get("clock_quality")), user_metadata=user)

    def _chunk(self, chunk: Path) -> _Chunk | None:
        """The chunk's index in short, None when there is none that can be read."""
        try:
            return self._once(chunk / layout.INDEX_NAME, lambda _: _summary(chunk))
        except FileNotFoundError:
            return None

    # --- exports --------------------------------------------------------------------------------

    def _add_exports(self, found: dict[str, Recording], names: list[str]) -> None:
        """Attach every committed export to its recording; make one where the raw is gone."""
        for name in names:
            if not name.endswith(SUFFIX):
                continue
            sidecar = self._sidecar(self.directory / name)
            if sidecar is None or not matches(sidecar):
                continue
            owner = found.get(sidecar.recording.name)
            if owner is None:
                found[sidecar.recording.name] = sidecar.recording
            elif owner.uuid == sidecar.recording.uuid:
                found[owner.name] = dataclasses.replace(
                    owner, exports=(*owner.exports, sidecar.export))
            else:
                log.warning("%s: made from another recording named %s", sidecar.path, owner.name)

    def _sidecar(self, path: Path) -> Sidecar | None:
        try:
            return self._once(path, _sidecar_or_none)
        except OSError:
            return None


def scan(directory: Path) -> list[Recording]:
    """Every recording in a folder, oldest first, with nothing remembered. NotFoundError."""
    return list(Catalogue(directory).refresh())


def find(directory: Path, name: str) -> Recording:
    """The recording of that name. NotFoundError, with the nearest name there is."""
    recordings = {recording.name: recording for recording in scan(directory)}
    if name in recordings:
        return recordings[name]
    near = difflib.get_close_matches(name, recordings, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; there are {len(recordings)} recordings"
    raise NotFoundError(f"no recording {name!r} in {directory}{hint}")


# --- judging one store ------------------------------------------------------------------------

def locked_state(path: Path) -> RecordingState | None:
    """RECORDING when somebody holds the store's flock, INTERRUPTED when its lock was left behind,
    None without one. The probe holds a shared flock for an instant."""
    try:
        descriptor = os.open(path / layout.LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return RecordingState.RECORDING
    finally:
        os.close(descriptor)
    return RecordingState.INTERRUPTED


def _unlocked_state(chunks: list[tuple[Path, _Chunk | None]]) -> RecordingState:
    """COMPLETE when chunks 0 … n are there with readable indexes (I1), else DAMAGED."""
    whole = all(known is not None and int(chunk.name) == number
                for number, (chunk, known) in enumerate(chunks))
    return RecordingState.COMPLETE if chunks and whole else RecordingState.DAMAGED


def _unreadable(path: Path, state: RecordingState) -> Recording:
    """What can be said of a store without metadata."""
    return Recording(name=path.name, uuid="", camera_serial="", path=path, state=state, spec=None,
                     frame_count=0, first_time_ns=None, last_time_ns=None, dropped=0, lost=0,
                     size_bytes=0, created_utc="", timezone="")


def _summary(chunk: Path) -> _Chunk | None:
    try:
        columns = read_index(chunk)
    except StoreDamaged as error:
        log.warning("%s", error)
        return None
    times_ns = columns.times_ns
    return _Chunk(len(columns), int(times_ns[0]) if len(columns) else None,
                  int(times_ns[-1]) if len(columns) else None,
                  (chunk / layout.INDEX_NAME).stat().st_size)


def _logged(chunk: Path) -> int:
    """Frames in the log of an open chunk, by its size."""
    try:
        size = (chunk / layout.LOG_NAME).stat().st_size
    except OSError:
        return 0
    return max(0, size - layout.LOG_HEADER.size) // layout.LOG_RECORD.size


def _size_bytes(path: Path, store: dict[str, Any], count: int, sound: list[_Chunk]) -> int:
    """Bytes of the store's files, frames by calculation: a stat each would take minutes."""
    shape = tuple(int(extent) for extent in store["imgshape"])
    frame = FrameSpec(shape, str(store["imgdtype"]), "", 0.0).frame_bytes
    header = len(layout.npy_header(shape, str(store["imgdtype"])))
    metadata = (path / METADATA_NAME).stat().st_size
    return count * (header + frame) + sum(known.index_bytes for known in sound) + metadata


def _integer(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _clock_quality(value: Any) -> ClockQuality:
    try:
        return ClockQuality(value)
    except ValueError:
        return ClockQuality.NONE


def _sidecar_or_none(path: Path) -> Sidecar | None:
    try:
        return read_sidecar(path)
    except StoreDamaged as error:
        log.warning("%s", error)
        return None
