"""Which recordings are in a folder, or in several, read from the disk alone (I6).

Blocking; called by the ``db`` thread and by commands. Nothing but metadata, indexes and sidecars
is opened, and what has not changed since the last time is taken from memory. What cannot be read
is listed as DAMAGED; it never hides another recording.
"""

from __future__ import annotations

import dataclasses
import difflib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from fieldrec.catalogue.contents import ContentsMemory
from fieldrec.catalogue.copied import store_of
from fieldrec.catalogue.exports import whole, without_raw
from fieldrec.catalogue.sidecar import NoExport, Sidecar, is_sidecar, matches, read_sidecar
from fieldrec.core.errors import FieldrecError, NotFoundError, StoreDamaged
from fieldrec.core.holding import is_held
from fieldrec.core.model import ClockQuality, Export, Recording, RecordingState
from fieldrec.store import layout
from fieldrec.store.metadata import METADATA_NAME, StoreMetadata, store_metadata
from fieldrec.store.reader import created_text, read_metadata
from fieldrec.store.spec import frame_spec, ours_in

log = logging.getLogger(__name__)
T = TypeVar("T")


class Catalogue:
    """The recordings of one folder, cheap to ask again. One thread at a time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._known: dict[Path, tuple[tuple[int, ...], Any]] = {}
        self._seen: set[Path] = set()
        self._contents = ContentsMemory()

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
        self._contents.keep_only(recording.path for recording in found.values())
        return tuple(sorted(found.values(), key=lambda known: (known.created_utc, known.name)))

    def one(self, name: str) -> Recording | None:
        """The store of that name with the exports beside it, without a look at the others; None
        when it is no store. OSError when the folder cannot be listed."""
        recording = self._store(self.directory / name)
        if recording is None:
            return None
        found = {name: recording}
        self._add_exports(found, sorted(entry.name for entry in os.scandir(self.directory)
                                        if entry.name.startswith(f"{name}.")))
        return found[name]

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
        """The store at `path`, or in the copy there; None when it is none."""
        try:
            if not path.is_dir():
                return None
            path = store_of(path)
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
        metadata, user, metadata_bytes = self._once(path / METADATA_NAME, _metadata)
        contents = self._contents.look(path, metadata)
        if state is None:
            state = RecordingState.COMPLETE if contents.whole else RecordingState.DAMAGED
        ours = ours_in(user)
        return Recording(
            name=path.name, uuid=metadata.uuid or "",
            camera_serial=str(ours.get("camera_serial", "")), path=path, state=state,
            spec=frame_spec(metadata, user), frame_count=contents.frame_count,
            first_time_ns=contents.first_time_ns, last_time_ns=contents.last_time_ns,
            dropped=_integer(ours.get("dropped")), lost=_integer(ours.get("lost")),
            size_bytes=contents.size_bytes + metadata_bytes,
            created_utc=created_text(metadata.created_utc),
            timezone=metadata.timezone_local or "",
            clock_quality=_clock_quality(ours.get("clock_quality")), user_metadata=user,
            chunk_count=contents.chunk_count, frame_files=contents.frame_files)

    # --- exports --------------------------------------------------------------------------------

    def exports_of(self, recording: Recording) -> tuple[Export, ...]:
        """Every movie beside a recording that its sidecar calls an export of it, slices of sets
        that are not complete included. OSError when the folder cannot be listed."""
        names = sorted(entry.name for entry in os.scandir(self.directory)
                       if entry.name.startswith(f"{recording.name}."))
        return tuple(sidecar.export for sidecar in self._sidecars(names)
                     if sidecar.recording.name == recording.name
                     and sidecar.recording.uuid == recording.uuid)

    def _add_exports(self, found: dict[str, Recording], names: list[str]) -> None:
        """Attach every committed export to its recording; make one where the raw is gone."""
        told: dict[str, Recording] = {}
        for sidecar in self._sidecars(names):
            name = sidecar.recording.name
            owner = found.get(name) or told.get(name)
            if owner is None:
                told[name] = sidecar.recording
            elif owner.uuid != sidecar.recording.uuid:
                log.warning("%s: made from another recording named %s", sidecar.path, name)
            elif owner.has_raw:
                found[name] = dataclasses.replace(owner, exports=(*owner.exports, sidecar.export))
            else:
                told[name] = without_raw((owner, sidecar.recording))
        for name, recording in found.items():
            found[name] = dataclasses.replace(recording, exports=whole(recording.exports))
        found.update(told)

    def _sidecars(self, names: list[str]) -> Iterator[Sidecar]:
        """Those that match their movie, by the names of files."""
        for name in names:
            sidecar = self._sidecar(self.directory / name) if is_sidecar(name) else None
            if sidecar is not None and matches(sidecar):
                yield sidecar

    def _sidecar(self, path: Path) -> Sidecar | None:
        try:
            return self._once(path, _sidecar_or_none)
        except OSError:
            return None


class Catalogues:
    """The recordings of several folders together, cheap to ask again. One thread at a time."""

    def __init__(self, directories: Sequence[Path]) -> None:
        self._folders = [Catalogue(directory) for directory in directories]

    def refresh(self) -> tuple[Recording, ...]:
        """As :meth:`Catalogue.refresh`, over all folders; one that is not there hides no other.
        NotFoundError when none is."""
        found: list[Recording] = []
        missing: list[NotFoundError] = []
        for folder in self._folders:
            try:
                found += folder.refresh()
            except NotFoundError as error:
                missing.append(error)
        if len(missing) == len(self._folders):
            raise missing[0]
        return tuple(sorted(found, key=lambda known: (known.created_utc, known.name)))


def scan(*directories: Path) -> list[Recording]:
    """Every recording in these folders, oldest first, with nothing remembered. NotFoundError when
    none of them is there."""
    return list(Catalogues(directories).refresh())


def find(directory: Path, name: str) -> Recording:
    """The recording of that name. NotFoundError, with the nearest name there is."""
    return find_in((directory,), name)


def find_in(directories: Sequence[Path], name: str) -> Recording:
    """The same over several folders; of one that somebody copied, what lies in the first."""
    recordings: dict[str, Recording] = {}
    for recording in scan(*directories):
        recordings.setdefault(recording.name, recording)
    if name in recordings:
        return recordings[name]
    near = difflib.get_close_matches(name, recordings, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; there are {len(recordings)} recordings"
    where = " or ".join(str(directory) for directory in directories)
    raise NotFoundError(f"no recording {name!r} in {where}{hint}")


def look_at(path: Path) -> Recording:
    """The store at `path`, wherever that is, with the exports beside it. NotFoundError."""
    path = path.absolute()
    try:
        found = Catalogue(path.parent).one(path.name)
    except OSError as error:
        raise NotFoundError(f"{path.parent}: {error.strerror}") from error
    if found is None:
        raise NotFoundError(f"{path}: no store there (no {METADATA_NAME})")
    return found


# --- judging one store ------------------------------------------------------------------------

def locked_state(path: Path) -> RecordingState | None:
    """RECORDING when somebody holds the store's flock, INTERRUPTED when its lock was left behind,
    None without one."""
    try:
        held = is_held(path / layout.LOCK_NAME)
    except FileNotFoundError:
        return None
    return RecordingState.RECORDING if held else RecordingState.INTERRUPTED


def _unreadable(path: Path, state: RecordingState) -> Recording:
    """What can be said of a store without metadata."""
    return Recording(name=path.name, uuid="", camera_serial="", path=path, state=state, spec=None,
                     frame_count=0, first_time_ns=None, last_time_ns=None, dropped=0, lost=0,
                     size_bytes=0, created_utc="", timezone="")


def _metadata(file: Path) -> tuple[StoreMetadata, dict[str, Any], int]:
    """(``__store``, user metadata, bytes of the file). ValueError for what no reader could open."""
    store, user = read_metadata(file.parent)
    return store_metadata(store), user, file.stat().st_size


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
    except NoExport:
        return None
    except StoreDamaged as error:
        log.warning("%s", error)
        return None
