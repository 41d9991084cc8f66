"""Which drives gave back other bytes than were written, or failed to read and write: how often, and
which are relied on no more. Event loop; pure but for the values it holds.

Counted by file-system id, over all visits, until a person trusts the drive again. What was copied
to a drive before it became suspect proves nothing (I5), also after it is trusted again: it counts
anew when it has been read back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from fieldrec.core.errors import DestinationError, DestinationFull, VerifyMismatch
from fieldrec.destinations.folder import FAULT_ERRNOS

DRIVE = "drive:"
"""How the name of a drive as a destination begins; its file system's id follows."""
LONGEST_WORDS = 300


@dataclass(frozen=True, slots=True)
class Suspect:
    """What is held against one drive."""

    fs_uuid: str
    label: str
    faults: int
    """Since it was trusted last."""
    last_ns: int
    """Epoch, of the latest."""
    words: str
    """What that was; which file."""
    is_suspect: bool = False
    distrusted_ns: int = 0
    """Epoch: copies that were verified before prove nothing; 0 where none are doubted."""


class Suspects:
    """All drives that had faults. Every method is called on the loop."""

    def __init__(self, suspects: Iterable[Suspect] = ()) -> None:
        self._of = {one.fs_uuid: one for one in suspects}
        self.new: list[Suspect] = []
        """Since they were written last; whoever writes them takes them out."""

    def of(self, fs_uuid: str) -> Suspect | None:
        """What is held against a drive; None for nothing."""
        return self._of.get(fs_uuid)

    def is_suspect(self, destination: str) -> bool:
        """Whether a destination is a drive that must not be relied on."""
        found = self._of.get(destination.removeprefix(DRIVE)) \
            if destination.startswith(DRIVE) else None
        return found is not None and found.is_suspect

    def doubts(self, destination: str, verified_ns: int) -> bool:
        """Whether a copy that was verified there then proves nothing."""
        found = self._of.get(destination.removeprefix(DRIVE)) \
            if destination.startswith(DRIVE) else None
        return found is not None and (found.is_suspect or verified_ns <= found.distrusted_ns)

    def fault(self, fs_uuid: str, label: str, words: str, now_ns: int, suspect_after: int
              ) -> Suspect:
        """Note one more; from `suspect_after` on the drive is suspect."""
        before = self._of.get(fs_uuid) or Suspect(fs_uuid, label, 0, 0, "")
        faults = before.faults + 1
        is_suspect = before.is_suspect or faults >= suspect_after
        return self._put(replace(
            before, label=label or before.label, faults=faults, last_ns=now_ns,
            words=words[:LONGEST_WORDS], is_suspect=is_suspect,
            distrusted_ns=now_ns if is_suspect else before.distrusted_ns))

    def trust(self, fs_uuid: str) -> Suspect | None:
        """Hold nothing against it any more; what was held, None for nothing."""
        before = self._of.get(fs_uuid)
        if before is None or not before.faults:
            return None
        self._put(replace(before, faults=0, is_suspect=False))
        return before

    def all(self) -> tuple[Suspect, ...]:
        """Every drive that something is held against, the latest first."""
        found = [one for one in self._of.values() if one.faults]
        return tuple(sorted(found, key=lambda one: -one.last_ns))

    def _put(self, one: Suspect) -> Suspect:
        self._of[one.fs_uuid] = one
        self.new = [other for other in self.new if other.fs_uuid != one.fs_uuid] + [one]
        return one


@dataclass(frozen=True, slots=True)
class Capacity:
    """A file system that was found to be as large as it says."""

    fs_uuid: str
    capacity_bytes: int
    proven_ns: int
    """Epoch."""


class Capacities:
    """All drives that were proven. Every method is called on the loop."""

    def __init__(self, known: Iterable[Capacity] = ()) -> None:
        self._of = {one.fs_uuid: one for one in known}
        self.new: list[Capacity] = []
        """Since they were written last; whoever writes them takes them out."""

    def of(self, fs_uuid: str) -> int:
        """Bytes that this file system was proven to have; 0 for none."""
        found = self._of.get(fs_uuid)
        return 0 if found is None else found.capacity_bytes

    def note(self, fs_uuid: str, capacity_bytes: int, now_ns: int) -> bool:
        """Proven just now; whether that is news."""
        if not fs_uuid or self.of(fs_uuid) == capacity_bytes:
            return False
        self._of[fs_uuid] = one = Capacity(fs_uuid, capacity_bytes, now_ns)
        self.new = [other for other in self.new if other.fs_uuid != fs_uuid] + [one]
        return True


def is_fault(destination: str | None, error: BaseException) -> bool:
    """Whether this error of a job speaks against the drive that it worked on; a full drive, or one
    that was pulled out, does not."""
    if destination is None or not destination.startswith(DRIVE):
        return False
    if isinstance(error, VerifyMismatch):
        return True
    return isinstance(error, DestinationError) and not isinstance(error, DestinationFull) \
        and _errno_of(error) in FAULT_ERRNOS


def describe(one: Suspect) -> str:
    """"gave back other bytes than were written, or failed, 3 times; last: …"."""
    times = "once" if one.faults == 1 else f"{one.faults} times"
    return f"gave back other bytes than were written, or failed, {times}; last: {one.words}"


def _errno_of(error: BaseException) -> int | None:
    """The operating system's number, however deep it lies."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError):
            return seen.errno
        seen = seen.__cause__
    return None
