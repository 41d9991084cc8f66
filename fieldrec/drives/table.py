"""Which drives are there, in which state, and who holds them: a state machine without I/O.

Owned by the drive watcher; leases may be held, checked and given back in any thread (a lock guards
the table). States change only as ``core/states.DRIVE`` allows. Nobody writes to a drive without a
lease: EJECTING refuses new ones and waits for those that are out (jobs stop at a slice when their
drive is not READY any more), and a lease on a drive that was pulled out says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType

from fieldrec.core.errors import (
    DriveBusy,
    DriveError,
    DriveGone,
    DriveRejected,
    NotFoundError,
    UsageError,
)
from fieldrec.core.model import Drive, DriveMarker, DriveState
from fieldrec.core.states import DRIVE, step

Key = tuple[str, str]
"""(fs_uuid, device): ids are cloned easily, devices are reused; together they are one drive."""

LONGEST_MEMORY = 8
"""How many drives that are no longer there are still shown."""

_THERE = frozenset(DriveState) - {DriveState.ABSENT}
IN_USE = frozenset({DriveState.SEEN, DriveState.MOUNTING, DriveState.READY})
_BUSY = IN_USE | {DriveState.EJECTING}


class Lease:
    """The right to write to one drive until it is given back; a context manager.

    `gone` and :meth:`check` may be asked from any thread at every slice.
    """

    def __init__(self, drive: Drive, mount_point: Path, give_back: Callable[[Lease], None]) -> None:
        self.fs_uuid = drive.fs_uuid
        self.name = name_of(drive)
        self.mount_point = mount_point
        self.gone = False
        """The drive was pulled out: stop, nothing more will reach it."""
        self._give_back = give_back

    def check(self) -> None:
        """DriveGone if the drive was pulled out."""
        if self.gone:
            raise DriveGone(f"drive {self.name} was pulled out; put it in again to go on")

    def release(self) -> None:
        """Give it back. Idempotent; never raises."""
        self._give_back(self)

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.release()


@dataclass(slots=True)
class _Entry:
    drive: Drive
    leases: list[Lease] = field(default_factory=list)


def name_of(drive: Drive) -> str:
    """What people call it: the label, else the file system's id, else the device."""
    return drive.label or drive.fs_uuid or drive.device


class DriveTable:
    """Every drive seen since the start, newest last. `on_change` is called, outside the lock, in
    the thread that made the change."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._lock = threading.Lock()
        self._entries: dict[Key, _Entry] = {}
        self._insertions = 0

    def drives(self) -> tuple[Drive, ...]:
        """All drives, those that are gone included until newer ones take their place."""
        with self._lock:
            return tuple(replace(entry.drive, leases=len(entry.leases))
                         for entry in self._entries.values())

    def get(self, key: Key) -> Drive | None:
        """One drive as it is now."""
        with self._lock:
            entry = self._entries.get(key)
            return None if entry is None else replace(entry.drive, leases=len(entry.leases))

    def find(self, which: str) -> Key:
        """The one drive that is there and has this id, label or device.

        One that is safe to remove, and perhaps out by now, does not stand in another's way.
        NotFoundError with what there is; UsageError when two have the label.
        """
        there = [drive for drive in self.drives() if drive.state in _THERE]
        for field_ in ("fs_uuid", "device", "label"):
            named = [d for d in there if which and getattr(d, field_) == which]
            found = [d for d in named if d.state is not DriveState.SAFE] or named
            if len(found) > 1:
                raise UsageError(f"drive {which}: {len(found)} drives are called so; name one by "
                                 f"its device: {', '.join(d.device for d in found)}")
            if found:
                return found[0].fs_uuid, found[0].device
        names = ", ".join(f"{name_of(d)} ({d.device})" for d in there) or "none"
        raise NotFoundError(f"no drive {which!r} is there; there are: {names}")

    def seen(self, drive: Drive) -> Key:
        """A drive has come: state SEEN. What was remembered of the same drive is forgotten.

        DriveRejected (and state REJECTED) if another drive with the same file-system id is in use.
        """
        key = (drive.fs_uuid, drive.device)
        with self._lock:
            before = self._entries.pop(key, None)
            if before is not None:
                state = before.drive.state
                if state is not DriveState.ABSENT:
                    state = step(DRIVE, state, DriveState.ABSENT, name_of(drive))
                step(DRIVE, state, DriveState.SEEN, name_of(drive))
                _forfeit(before)
            twins = [e.drive for k, e in self._entries.items()
                     if k[0] == drive.fs_uuid and drive.fs_uuid and e.drive.state in _BUSY]
            self._forget(drive.fs_uuid)
            self._insertions += 1
            self._entries[key] = _Entry(replace(drive, state=DriveState.SEEN, reason="", leases=0,
                                                insertion=self._insertions))
        self._on_change()
        if twins:
            reason = (f"same file-system id as {twins[0].device}; remove one of the two drives, "
                      "or give one a new id by formatting it")
            self.rejected(key, reason)
            raise DriveRejected(f"drive {name_of(drive)}: {reason}")
        return key

    def mounting(self, key: Key) -> None:
        """SEEN (or REJECTED, SAFE: once more) -> MOUNTING."""
        self._step(key, DriveState.MOUNTING)

    def ready(self, key: Key, mount_point: Path, size_bytes: int, free_bytes: int, *,
              known: bool = False, rule: int = -1, marker: DriveMarker | None = None) -> None:
        """MOUNTING -> READY: leases are given from now on."""
        self._step(key, DriveState.READY, mount_point=mount_point, size_bytes=size_bytes,
                   free_bytes=free_bytes, known=known, rule=rule, marker=marker)

    def measured(self, key: Key, free_bytes: int) -> None:
        """The free space was read again; no state changes. Unknown drives are ignored."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry.drive.free_bytes == free_bytes:
                return
            entry.drive = replace(entry.drive, free_bytes=free_bytes)
        self._on_change()

    def ejecting(self, key: Key) -> None:
        """READY -> EJECTING: no new leases.

        DriveBusy or DriveRejected in words when there is nothing to eject in this state.
        """
        with self._lock:
            drive = self._entries[key].drive
        if drive.state is not DriveState.READY:
            raise refusal(drive)
        self._step(key, DriveState.EJECTING)

    def waits(self, key: Key, reason: str) -> None:
        """Still EJECTING, and for what. Unknown drives, and those in another state, are ignored."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry.drive.state is not DriveState.EJECTING:
                return
            entry.drive = replace(entry.drive, reason=reason, mount_point=None)
        self._on_change()

    def eject_failed(self, key: Key, reason: str) -> None:
        """EJECTING -> READY: it is still mounted, leases are given again."""
        self._step(key, DriveState.READY, reason=reason)

    def safe(self, key: Key, reason: str = "") -> None:
        """EJECTING -> SAFE: unmounted, it may be taken out."""
        self._step(key, DriveState.SAFE, reason=reason, mount_point=None)

    def rejected(self, key: Key, reason: str) -> None:
        """Not fit for use; `reason` says what to do. Leases on it are void."""
        with self._lock:
            _forfeit(self._entries[key])
        self._step(key, DriveState.REJECTED, reason=reason, mount_point=None)

    def absent(self, key: Key) -> None:
        """Pulled out (or taken out when SAFE): every lease on it is gone. Idempotent."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or entry.drive.state is DriveState.ABSENT:
                return
            pulled = bool(entry.leases)
            _forfeit(entry)
        reason = "pulled out while it was being written" if pulled else ""
        self._step(key, DriveState.ABSENT, reason=reason, mount_point=None)

    def leases(self, key: Key) -> int:
        """How many leases are out."""
        with self._lock:
            entry = self._entries.get(key)
            return len(entry.leases) if entry else 0

    def lease(self, fs_uuid: str) -> Lease:
        """The right to write to the drive with this id.

        DriveGone when it has been pulled out, DriveBusy when it is being mounted or ejected,
        DriveRejected with the reason, NotFoundError when it was never there.
        """
        with self._lock:
            # The newest that is there, else the newest.
            found = [e for e in self._entries.values() if e.drive.fs_uuid == fs_uuid]
            found.sort(key=lambda e: (e.drive.state is DriveState.READY, e.drive.state in _THERE))
            if not found:
                raise NotFoundError(f"no drive {fs_uuid!r} was seen; put it in first")
            entry = found[-1]
            drive = entry.drive
            if drive.state is not DriveState.READY or drive.mount_point is None:
                raise refusal(drive)
            lease = Lease(drive, drive.mount_point, self._take_back)
            entry.leases.append(lease)
        self._on_change()
        return lease

    def _take_back(self, lease: Lease) -> None:
        with self._lock:
            holder = next((e for e in self._entries.values() if lease in e.leases), None)
            if holder is None:
                return
            holder.leases.remove(lease)
        self._on_change()

    def _step(self, key: Key, state: DriveState, *, reason: str = "",
              **changes: Path | int | DriveMarker | None) -> None:
        with self._lock:
            entry = self._entries[key]
            new = step(DRIVE, entry.drive.state, state, f"drive {name_of(entry.drive)}")
            entry.drive = replace(entry.drive, state=new, reason=reason,
                                  **changes)  # type: ignore[arg-type]
        self._on_change()

    def _forget(self, fs_uuid: str) -> None:
        """Drop memories of the drive that has come back, of those that nobody could tell apart (a
        drive that dies is seen once more, without a file system), and the oldest beyond the
        limit."""
        gone = [key for key, e in self._entries.items()
                if e.drive.state in (DriveState.ABSENT, DriveState.SAFE)]
        same = [key for key in gone if key[0] in (fs_uuid, "")]
        others = [key for key in gone if key not in same]
        for key in [*same, *others[:max(0, len(others) - LONGEST_MEMORY)]]:
            del self._entries[key]


def _forfeit(entry: _Entry) -> None:
    """Every lease on it is void: its holder is told at the next check."""
    for lease in entry.leases:
        lease.gone = True
    entry.leases.clear()


def refusal(drive: Drive) -> DriveError:
    """Why a drive that is not READY cannot be had, in words."""
    name = name_of(drive)
    if drive.state is DriveState.ABSENT:
        return DriveGone(f"drive {name} was pulled out; put it in again to go on")
    if drive.state is DriveState.REJECTED:
        return DriveRejected(f"drive {name}: {drive.reason}")
    if drive.state is DriveState.SAFE:
        return DriveBusy(f"drive {name} is safe to remove; take it out and put it in to use it")
    return DriveBusy(f"drive {name} is {drive.state.value}; wait a moment")
