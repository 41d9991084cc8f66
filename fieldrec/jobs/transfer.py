"""Copy, verify, move and delete recordings. Blocking; ``copy`` thread; keeps I4 and I5.

A transfer has three parts: write everything that is missing; then read all of it back from the
medium and compare; then commit, item by item. Reading back begins only when everything was written,
because a drive that lies about its size overwrites its beginning with its end. What is there
already is known by uuid and digest, never by name. Every part looks at the evidence first, so it
may run again after a kill at any point: whole items are recognised by their manifest, whole files
of an unfinished item by size and read-back digest.
"""

from __future__ import annotations

import glob
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fieldrec.catalogue.scan import Catalogue
from fieldrec.catalogue.sidecar import is_sidecar
from fieldrec.core import durable
from fieldrec.core.clock import Clock, SystemClock
from fieldrec.core.errors import (
    DestinationFull,
    JobRefused,
    StateError,
    StoreDamaged,
    VerifyMismatch,
)
from fieldrec.core.model import Copy, JobState, Recording, RecordingState
from fieldrec.destinations import Destination, OnBytes, Sized, limits
from fieldrec.jobs import manifest
from fieldrec.jobs.drive_room import ENTRY_BYTES, MANIFEST_BYTES
from fieldrec.jobs.manifest import Entry, Manifest
from fieldrec.jobs.source import Item, Reader, Some, changed_since, check, items_of
from fieldrec.jobs.tars import TarSource, wants_tars
from fieldrec.store import layout
from fieldrec.store.metadata import METADATA_NAME

NAMES_TRIED = 10
_BUSY = frozenset({RecordingState.OPENING, RecordingState.RECORDING, RecordingState.PAUSED,
                   RecordingState.CLOSING, RecordingState.RECOVERING})

Progress = Callable[[int, int], None]
"""(done, total) bytes of the present phase."""
Kept = Callable[[int], None]
"""Told the bytes of each file that an earlier try left whole: progress that took no time."""
Phase = Callable[[JobState], None]
"""Told VERIFYING, COMMITTING, DELETING_SOURCE before each begins; an exception stops there."""


@dataclass(frozen=True, slots=True)
class TransferResult:
    """What a transfer did."""

    copied: tuple[Copy, ...]
    """Items written, verified and committed now…"""
    present: tuple[str, ...]
    """…and names of those that were there before."""
    items: tuple[Item, ...]
    """All of them, as listed at the source before anything was read."""

    @property
    def copied_bytes(self) -> int:
        return sum(copy.size_bytes for copy in self.copied)


def transfer(recording: Recording, destination: Destination, *, stop: threading.Event,
             on_progress: Progress = lambda _done, _total: None,
             on_phase: Phase = lambda _phase: None, on_kept: Kept = lambda _bytes: None,
             recheck_present: bool = False, clock: Clock | None = None) -> TransferResult:
    """Copy what is missing of a recording: its raw store and each export.

    With `recheck_present` items that are there already are read back and compared too. Raises
    Stopped when `stop` is set (what was written stays for the next try), VerifyMismatch naming the
    file (the unfinished item is thrown away), StoreDamaged for a source that is not what was
    recorded, DestinationError with the numbers when there is not enough room, DriveGone.
    """
    now = (clock or SystemClock()).epoch_ns
    works = [_Work(item, recording.uuid, destination, stop, on_kept)
             for item in items_of(recording)]
    missing = [work for work in works if not work.present]
    for work in missing:
        limits.check(destination, work.name, work._source_sizes())
        manifest.check_names(work.item.files)
    _check_room(destination, missing)
    _run(missing, on_progress, _Work.write)
    on_phase(JobState.VERIFYING)
    _run(works if recheck_present else missing, on_progress, _Work.verify)
    check(stop)
    on_phase(JobState.COMMITTING)
    copied = tuple(work.commit(now()) for work in missing)
    return TransferResult(copied, tuple(work.name for work in works if work.present),
                          tuple(work.listed for work in works))


def move(recording: Recording, destination: Destination, *, stop: threading.Event,
         on_progress: Progress = lambda _done, _total: None,
         on_phase: Phase = lambda _phase: None, on_kept: Kept = lambda _bytes: None,
         clock: Clock | None = None) -> TransferResult:
    """Transfer, then delete the source (I5).

    A copy from an earlier visit is not trusted: it is read back and compared with the source first.
    JobRefused, and nothing deleted, when the source changed since it was read, and before anything
    is copied where the destination's word is not enough for that.
    """
    check_proves(destination, stop)
    result = transfer(recording, destination, stop=stop, on_progress=on_progress,
                      on_phase=on_phase, on_kept=on_kept, recheck_present=True, clock=clock)
    for item in result.items:
        if (changed := changed_since(item)) is not None:
            raise JobRefused(f"{changed} changed after it was copied; the source is kept; "
                             "move it again")
    on_phase(JobState.DELETING_SOURCE)
    delete_recording(recording)
    return result


def verify_present(recording: Recording, destination: Destination, *, stop: threading.Event,
                   on_progress: Progress = lambda _done, _total: None) -> frozenset[str]:
    """Read a copy back and compare it with the source, writing nothing; the names here of the items
    that are there. Raises as :func:`transfer` does, JobRefused when the source changed
    meanwhile."""
    check_proves(destination, stop)
    works = [work for work in (_Work(item, recording.uuid, destination, stop, lambda _bytes: None)
                               for item in items_of(recording)) if work.present]
    _run(works, on_progress, _Work.verify)
    for work in works:
        if (changed := changed_since(work.listed)) is not None:
            raise JobRefused(f"{changed} changed while its copy was looked at; it is kept")
    return frozenset(work.item.path.name for work in works)


def check_proves(destination: Destination, stop: threading.Event) -> None:
    """JobRefused for a destination at which nothing can be verified on its medium (I5), or that may
    be smaller than it says; DriveCounterfeit for a drive that is: a later copy would destroy this
    one. Asked before anything is copied that is to be deleted here."""
    if not destination.proves:
        raise JobRefused(f"what is at {destination.name} can be verified in memory only, not on "
                         "the medium; nothing is deleted for it; copy instead, or have it proven: "
                         "of another computer by a key with a shell (or set count_cached), of a "
                         "drive that a FUSE program serves by running fieldrec as root")
    if isinstance(destination, Sized):
        destination.prove_capacity(stop)


def delete_recording(recording: Recording,
                     on_removed: durable.Removed = lambda _done, _total: None, *,
                     only: frozenset[str] | None = None) -> None:
    """Delete a recording's raw, then its exports: cut off between the two, the sidecars still say
    what it was, and nothing can be exported a second time. StateError while it is written.
    `on_removed` hears how far the raw is; `only`: names of the items that go, None for all."""
    if recording.state in _BUSY:
        raise StateError(f"{recording.name} is {recording.state.value}; stop it first")
    if recording.has_raw and (only is None or recording.path.name in only):
        delete_raw(recording.path, on_removed)
    delete_exports(recording, only)


def delete_raw(path: Path, on_removed: durable.Removed = lambda _done, _total: None) -> None:
    """Delete a store; it is renamed first (I5). No error when it is gone already."""
    if path.exists():
        durable.rmtree(path, on_removed)


def delete_exports(recording: Recording, only: frozenset[str] | None = None) -> None:
    """Delete a recording's exports, or those with a name in `only`: each is renamed first, then its
    sidecar goes, then the bytes.

    Slices of sets that were not complete go too, and sidecars that a cut left without their file.
    """
    folder = recording.path.parent
    beside = Catalogue(folder).exports_of(recording) if folder.is_dir() else ()
    for export in {export.path: export for export in (*recording.exports, *beside)}.values():
        if only is not None and export.path.name not in only:
            continue
        trash = export.path.with_name(durable.TRASH_PREFIX + export.path.name)
        if export.path.exists():
            durable.rename(export.path, trash)
        durable.unlink(_sidecar(export.path), missing_ok=True)
        durable.unlink(trash, missing_ok=True)
    sweep_sidecars(recording.path.parent, recording.name)


def sweep_sidecars(recordings: Path, name: str) -> None:
    """Remove sidecars of a recording's exports whose file is gone."""
    for sidecar in sorted(recordings.glob(f"{glob.escape(name)}.*.json")):
        if is_sidecar(sidecar.name) and not sidecar.with_suffix("").exists():
            durable.unlink(sidecar, missing_ok=True)


def verified_copy_exists(destination: Destination, name: str, uuid: str) -> bool:
    """Whether a committed item of this recording, all its files in their sizes, is there: the
    evidence that a recording which is gone from the source was moved."""
    for item in destination.items():
        if item.startswith(name):
            found = _known(destination, item)
            if (found is not None and found.uuid == uuid
                    and destination.sizes(item) == _sizes(found)):
                return True
    return False


def discard_unfinished(recording: Recording, destination: Destination) -> None:
    """Throw away what a cancelled transfer left."""
    stems = [("", recording.name)]
    stems.extend((export.path.name.removeprefix(recording.name), recording.name)
                 for export in recording.exports)
    for extension, stem in stems:
        for name in _names(stem, extension, recording.uuid):
            destination.abort(name)


class _Work:
    """One item on its way: where it goes, and how far it is."""

    def __init__(self, item: Item, uuid: str, destination: Destination, stop: threading.Event,
                 on_kept: Kept) -> None:
        self.listed = item
        """As it lies here…"""
        self.item = item
        """…and as it lies there."""
        self._on_kept = on_kept
        self._uuid = uuid
        self._destination = destination
        self._stop = stop
        self._reader: Reader | TarSource = Reader(item, stop)
        self._kept: set[str] = set()
        self.name, self.present = self._place_in_any_way()
        self.left = {} if self.present else self._begin()

    def write(self, on_bytes: OnBytes) -> None:
        """Put every file that an earlier try did not leave in its full size."""
        check(self._stop)
        for file in self.item.files:
            if self.left.get(file.relative) == file.size_bytes:
                self._kept.add(file.relative)
                self._on_kept(file.size_bytes)
                on_bytes(file.size_bytes)
        self._destination.write(self.name, self._reader, self._stopping(on_bytes))

    def verify(self, on_bytes: OnBytes) -> None:
        """Read every file back from the medium; what an earlier try left damaged is put again."""
        check(self._stop)
        on_bytes = self._stopping(on_bytes)
        differ = self._destination.verify(self.name, self._reader, on_bytes)
        if differ and self._kept.issuperset(differ):
            self._destination.drop(self.name, differ)
            self._destination.write(self.name, self._reader, self._stopping(lambda _count: None))
            differ = self._destination.verify(self.name, Some(self._reader, differ), on_bytes)
        if differ:
            self._mismatch(differ[0])
        self._check_sidecar()

    def commit(self, now_ns: int) -> Copy:
        """Write the proof, give the item its name."""
        self._destination.commit(self.name, self._proof(now_ns))
        return Copy(self._destination.name, self.name, self.item.total_bytes, now_ns)

    def _place_in_any_way(self) -> tuple[str, bool]:
        """As :meth:`_place`: a store that is there already, as files or in tars, is there however
        it is wanted now."""
        if self.listed.kind != manifest.STORE:
            return self._place()
        tars = wants_tars(self._destination)
        found = self._place_as(tars)
        if found[1] or found[0] == self.listed.stem:
            return found
        there = self._place_as(not tars)  # something has our name
        return there if there[1] else self._place_as(tars)

    def _place_as(self, tars: bool) -> tuple[str, bool]:
        self._reader = (TarSource if tars else Reader)(self.listed, self._stop)
        self.item = self._reader.item
        return self._place()

    def _place(self) -> tuple[str, bool]:
        """(name at the destination, whether it is there): the same content under any of our names,
        else the first name that is free; a name taken by another recording gets a suffix."""
        names = list(_names(self.item.stem, self.item.extension, self._uuid))
        for name in names:
            if self._is_there(name):
                return name, True
        for name in names:
            if not self._destination.taken(name):
                return name, False
        raise JobRefused(f"destination {self._destination.name} has {NAMES_TRIED} other items "
                         f"named like {names[0]}; remove some")

    def _is_there(self, name: str) -> bool:
        if self.item.sidecar is not None:
            data = self._destination.committed(name, len(self.item.sidecar))
            return data == self.item.sidecar and self._sizes_match(name)
        data = self._destination.committed(name, manifest.size_limit(len(self.item.files)))
        if data is None:
            return False
        try:
            found = manifest.parse(data, name)
        except StoreDamaged:
            return False  # not ours to judge; another name is taken
        return (found.kind == self.item.kind and found.uuid == self._uuid
                and _sizes(found) == self._source_sizes() and self._sizes_match(name)
                and self._small_files_match(found))

    def _small_files_match(self, found: Manifest) -> bool:
        """Whether metadata and indexes are the same: the indexes carry every frame's digest, so
        that this tells equal content without reading any frame."""
        digests = {entry.path: entry.xxh64 for entry in found.files}
        return all(self._reader.digest(file) == digests[file.relative]
                   for file in self.item.files
                   if file.relative.rpartition("/")[2] in (METADATA_NAME, layout.INDEX_NAME))

    def _source_sizes(self) -> dict[str, int]:
        return {file.relative: file.size_bytes for file in self.item.files}

    def _sizes_match(self, name: str) -> bool:
        return self._destination.sizes(name) == self._source_sizes()

    def _begin(self) -> dict[str, int]:
        left = dict(self._destination.begin(self.name))
        if left.keys() - self._source_sizes().keys():  # of another recording, or of another time
            self._destination.abort(self.name)
            left = dict(self._destination.begin(self.name))
        return left

    def _stopping(self, on_bytes: OnBytes) -> OnBytes:
        def told(count: int) -> None:
            check(self._stop)
            on_bytes(count)
        return told

    def _mismatch(self, relative: str) -> None:
        what = f"{self.name}/{relative}" if relative else self.name
        if self.present:
            raise VerifyMismatch(f"{what} on {self._destination.name} is not what was recorded; "
                                 "remove that copy and try again; the source is kept")
        self._destination.abort(self.name)
        raise VerifyMismatch(f"{what} read back from {self._destination.name} differs from what "
                             "was written; the source is kept; check or replace that medium")

    def _check_sidecar(self) -> None:
        """StoreDamaged when an export is not the file that was verified when it was made."""
        if self.item.sidecar is not None:
            entry, = manifest.parse_sidecar(self.item.sidecar, f"{self.item.path}.json").files
            if entry.xxh64 != self._reader.digest(self.item.files[0]):
                raise StoreDamaged(f"{self.item.path} is not the file its sidecar describes "
                                   "(digest differs); export it again; nothing was committed")

    def _proof(self, now_ns: int) -> Mapping[str, bytes]:
        """What says that the item is there: written last, after everything was read back."""
        if self.item.sidecar is not None:
            return {"": self.item.sidecar}
        return manifest.history(self.name, self.item.stem, self._uuid,
                                [Entry(file.relative, file.size_bytes, self._reader.digest(file),
                                       file.mtime_ns) for file in self.item.files], now_ns)


def _run(works: list[_Work], on_progress: Progress,
         phase: Callable[[_Work, OnBytes], None]) -> None:
    """Run one phase over all items, adding up the bytes."""
    total = sum(work.item.total_bytes for work in works)
    done = 0

    def on_bytes(count: int) -> None:
        nonlocal done
        done = min(done + count, total)
        on_progress(done, total)

    on_progress(0, total)
    for work in works:
        phase(work, on_bytes)


def _check_room(destination: Destination, works: list[_Work]) -> None:
    """DestinationFull with the numbers unless everything fits, clusters and proofs counted."""
    cluster = destination.allocation_bytes()
    needed = 0
    for work in works:
        folders = {file.relative.rpartition("/")[0] for file in work.item.files}
        needed += ((len(folders) + 2) * cluster + len(work.item.sidecar or b"")
                   + (ENTRY_BYTES + MANIFEST_BYTES) * len(work.item.files))
        for file in work.item.files:
            clusters = -(-file.size_bytes // cluster)
            held = -(-work.left.get(file.relative, 0) // cluster)
            needed += max(clusters - held, 0) * cluster
    free = destination.free_bytes()
    if works and needed > free:
        raise DestinationFull(
            f"destination {destination.name}: {needed / 1e6:.1f} MB needed, {free / 1e6:.1f} MB "
            "free; make room there and try again")


def _names(stem: str, extension: str, uuid: str) -> Iterator[str]:
    """The names an item may have, best first; the uuid tells whose it is."""
    yield stem + extension
    short = "".join(letter for letter in uuid if letter.isalnum())[:8] or "copy"
    yield f"{stem}-{short}{extension}"
    for number in range(2, NAMES_TRIED):
        yield f"{stem}-{short}-{number}{extension}"


def _known(destination: Destination, item: str) -> Manifest | None:
    data = destination.committed(item)
    if data is None:
        return None
    for read in (manifest.parse, manifest.parse_sidecar):
        try:
            return read(data, item)
        except StoreDamaged:
            continue
    return None


def _sizes(found: Manifest) -> dict[str, int]:
    return {entry.path: entry.size_bytes for entry in found.files}


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + ".json")
