"""The recordings folders, best first: which can take a recording now, which have failed, and why.

Blocking but short; every method but the constructor may be called from any thread, by several store
threads at once. The lock is held for memory only, never while a disk is asked: a dead disk holds up
whoever asks it and nobody else. A folder that has failed is asked for nothing until :meth:`look`
finds it good again (really creating and removing a file); its last figures and names are kept.
That a folder is full, or cannot be asked, is believed when several looks in a row say so: one bad
answer of a disk must not end a recording.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from fieldrec.config import StorageConfig
from fieldrec.core.errors import FieldrecError, LockedError, StoreError, StoreFull
from fieldrec.core.snapshot import FolderStatus, StorageStatus
from fieldrec.record.naming import first_unused, names_taken
from fieldrec.record.space import NOT_READ, SpaceReading
from fieldrec.record.storage import StorageGuard

GIVEN_KEPT = 1024
"""Names given out and remembered: until a store lies under them on the disk."""


class _Folder:
    """One of them, and what is known of it."""

    def __init__(self, path: Path, guard: StorageGuard) -> None:
        self.path = path
        self.guard = guard
        self.claimed = False
        self.failed = ""
        """Why it is not asked any more; "" while it is."""
        self.full = ""
        """Why there is no room in it."""
        self.against = 0
        """Looks in a row that say the contrary of `full`…"""
        self.unread = 0
        """…and that got no answer."""
        self.status = StorageStatus()
        self.device: int | None = None
        self.names: frozenset[str] = frozenset()

    @property
    def problem(self) -> str:
        return self.failed or self.full

    @property
    def in_doubt(self) -> bool:
        return bool(self.against or self.unread) and not self.failed


class Folders:
    """All recordings folders of a box."""

    def __init__(self, paths: Sequence[Path], config: StorageConfig, *,
                 on_event: Callable[[str, str], None],
                 claim: Callable[[Path], None] = lambda _path: None,
                 statvfs: Callable[[Path], os.statvfs_result] = os.statvfs,
                 readings: int = 1) -> None:
        """`on_event(text, severity)` is called from any thread. `claim` makes a folder ours before
        it is used for the first time, FieldrecError when it is not to be had. `readings`: looks in
        a row that must say that a folder is full, or is so no more."""
        self._folders = [_Folder(path, StorageGuard(path, config, statvfs=statvfs))
                         for path in paths]
        self._stop_percent = config.stop_percent
        self._event = on_event
        self._claim = claim
        self._readings = readings
        self._lock = threading.Lock()
        self._given: deque[str] = deque(maxlen=GIVEN_KEPT)
        self.looks = 0
        """How often :meth:`refresh` has looked."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of them, good or not, in their order."""
        return tuple(folder.path for folder in self._folders)

    @property
    def some_failed(self) -> bool:
        """Whether :meth:`look` has something to find out."""
        return any(folder.failed for folder in self._folders)

    @property
    def in_doubt(self) -> bool:
        """Whether a look said something that is not believed yet: look again before long."""
        return any(folder.in_doubt for folder in self._folders)

    @property
    def room(self) -> SpaceReading:
        """The room of all that have not failed, as of the last look; each file system once."""
        shown = {one.device: one for one in self._folders
                 if not one.failed and not one.unread and one.status.total_bytes}
        if not shown:
            return NOT_READ
        return SpaceReading(
            sum(one.status.total_bytes for one in shown.values()),
            sum(one.status.free_bytes for one in shown.values()),
            sum(int(one.guard.left_bytes(one.status)) for one in shown.values()))

    def take(self) -> Path:
        """Claim every folder that can be used, at the start; the first of them. The others have
        failed. LockedError when somebody else works on one; when there is none, what is wrong."""
        errors: list[FieldrecError] = []
        for folder in self._folders:
            try:
                self._probe(folder)
            except LockedError:
                raise
            except FieldrecError as error:
                errors.append(error)
                self._fail(folder, str(error), said=len(self._folders) > 1)
        good = [folder for folder in self._folders if folder.claimed]
        if not good:
            raise errors[0] if len(errors) == 1 else self._none_left()
        return good[0].path

    def check_room(self) -> None:
        """Whether a recording can begin, found out by writing. StoreFull, StoreError say why not
        and what to do."""
        for folder in self._folders:
            try:
                self._probe(folder)
            except FieldrecError as error:
                if len(self._folders) == 1:
                    raise
                self._fail(folder, str(error))
                continue
            self._is_good(folder)
            if self._has_room(folder):
                return
        raise self._none_left()

    def take_path(self, name: str) -> Path:
        """Where the next recording goes: the first folder that can take it, under `name` or the
        first -2, -3… that nothing has in any of the folders and that was not given to anybody.
        StoreFull, StoreError when there is no folder."""
        folder = next((one for one in self._folders if self._can_take(one)), None)
        if folder is None:
            raise self._none_left()
        taken = frozenset().union(*(self._names(one) for one in self._folders))
        with self._lock:
            unused = first_unused(name, taken.union(self._given))
            self._given.append(unused)
        return folder.path / unused

    def failed(self, path: Path, error: FieldrecError) -> bool:
        """Writing to the recording `path` failed; whether there is another folder to go on in."""
        others = [one for one in self._folders if one.path != path.parent]
        for folder in self._folders:
            if folder.path == path.parent and (others or not isinstance(error, StoreFull)):
                self._fail(folder, str(error))
        return any(self._can_take(one) for one in others)

    def look(self) -> None:
        """Try the folders that have failed: those that can be written again are good."""
        for folder in self._folders:
            if not folder.failed:
                continue
            try:
                self._probe(folder)
            except FieldrecError as error:
                self._fail(folder, str(error), said=False)
            else:
                self._is_good(folder)

    def refresh(self, bytes_per_s: float = 0.0) -> StorageStatus:
        """Look how full they are, those that have not failed; see :meth:`status`."""
        for folder in self._folders:
            if not folder.failed:
                self._read(folder)
        self.looks += 1
        return self.status(bytes_per_s)

    def status(self, bytes_per_s: float = 0.0) -> StorageStatus:
        """How full the folder in use was, and how long all together last. Asks no disk."""
        in_use = next((one for one in self._folders if not one.problem), self._folders[0])
        left = {one.device: one.guard.left_bytes(one.status) for one in self._folders
                if not one.problem}  # two folders on one disk have its room once
        minutes = sum(left.values()) / bytes_per_s / 60 if bytes_per_s > 0 else None
        shown = in_use.status
        return StorageStatus(
            total_bytes=shown.total_bytes, free_bytes=shown.free_bytes,
            used_percent=shown.used_percent, stop_percent=self._stop_percent, minutes_left=minutes,
            folders=tuple(FolderStatus(
                str(one.path), one is in_use and not one.problem, one.problem,
                one.status.total_bytes, one.status.free_bytes, one.status.used_percent)
                for one in self._folders))

    @property
    def usable(self) -> bool:
        """Whether a folder is left, as of the last look."""
        return any(not one.problem for one in self._folders)

    def refusal(self) -> str | None:
        """Why recording must end, as of the last look: no folder is left and there is a full one.
        None otherwise: where all have failed, one that comes back is recorded into again."""
        if self.usable or all(one.failed for one in self._folders):
            return None
        return self._problems()

    def to_leave(self, folder: Path) -> bool:
        """Whether recordings in `folder` must go on in another one, and there is one."""
        return self.usable and any(one.problem for one in self._folders if one.path == folder)

    # -- one folder --------------------------------------------------------------------------------

    def _probe(self, folder: _Folder) -> None:
        """Really write, and claim it if it is not ours yet. FieldrecError says what is wrong."""
        folder.guard.check_usable()
        if not folder.claimed:
            self._claim(folder.path)
            folder.claimed = True
        folder.device = _device(folder.path)

    def _can_take(self, folder: _Folder) -> bool:
        """Whether a recording may begin there, as far as can be seen without writing."""
        if folder.failed:
            return False
        fault: str | None = ""
        for _ in range(self._readings):
            if (fault := folder.guard.fault()) is None:
                break
        if fault is not None:
            self._fail(folder, f"recordings folder {folder.path} {fault}")
            return False
        return self._has_room(folder)

    def _has_room(self, folder: _Folder) -> bool:
        """Look how full it is, until there is no doubt."""
        for _ in range(self._readings):
            self._read(folder)
            if not folder.in_doubt:
                break
        return not folder.problem

    def _read(self, folder: _Folder) -> None:
        """Look once how full it is; said when that begins to keep recordings out, and when no
        more."""
        status = folder.guard.status()
        if not status.total_bytes:
            folder.unread += 1
            if folder.unread >= self._readings:
                self._fail(folder, f"recordings folder {folder.path} cannot be read; check the "
                                   "disk")
            return
        if folder.device is None:
            folder.device = _device(folder.path)
        full = folder.guard.refusal_of(status) or ""
        with self._lock:
            folder.status, folder.unread = status, 0
            before = folder.full
            if before and not full and not folder.guard.has_room_again(status):
                full = before
            folder.against = folder.against + 1 if bool(before) != bool(full) else 0
            turned = folder.against >= self._readings
            if turned or bool(before) == bool(full):
                folder.full, folder.against = full, 0
        if turned and len(self._folders) > 1:
            self._event(f"recordings folder {folder.path} "
                        + (f"takes no more: {full}" if full else "has room again"),
                        "warning" if full else "info")

    def _fail(self, folder: _Folder, problem: str, *, said: bool = True) -> None:
        with self._lock:
            new, folder.failed = not folder.failed, problem
            folder.against = folder.unread = 0
        if new and said:
            others = [one for one in self._folders if not one.problem]
            then = f"; recordings go to {others[0].path}" if others else ""
            self._event(f"recordings folder {folder.path} has failed: {problem}{then}", "error")

    def _is_good(self, folder: _Folder) -> None:
        with self._lock:
            was, folder.failed = folder.failed, ""
        if was:
            self._event(f"recordings folder {folder.path} can be used again", "info")

    def _names(self, folder: _Folder) -> frozenset[str]:
        """What lies in it; of one that has failed, what lay in it at the last look."""
        if not folder.failed:
            try:
                folder.names = names_taken(folder.path)
            except OSError as error:
                self._fail(folder, f"recordings folder {folder.path} cannot be listed: "
                                   f"{error.strerror}; check the disk")
        return folder.names

    def _problems(self) -> str:
        if len(self._folders) == 1:
            return self._folders[0].problem
        return "; ".join(one.problem if str(one.path) in one.problem
                         else f"{one.path}: {one.problem}" for one in self._folders)

    def _none_left(self) -> StoreError:
        kind = StoreError if all(one.failed for one in self._folders) else StoreFull
        if len(self._folders) > 1:
            return kind(f"no recordings folder can be used: {self._problems()}; mend one, or "
                        "delete or move recordings")
        folder = self._folders[0]
        if folder.failed:
            return kind(folder.failed)
        return kind(f"no room to record in {folder.path}: {folder.full}; delete or move "
                    "recordings first")


def _device(path: Path) -> int | None:
    try:
        return path.stat().st_dev
    except OSError:
        return None
