"""One sync for all stores of a file system: syncfs(2) makes everybody's frames durable anyway.

Any thread. A request that comes before a sync begins is served by it; one that comes later waits
for the next, which serves all that came meanwhile. Sync threads ask for theirs together with those
that asked together with them before: whoever is first waits a moment for the others. Keeps I8; what
it may not do is lose a failure: the kernel tells of one once, to whoever asks next, so here every
member is told of every failure since it joined, at its next sync, whether or not it took part.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from fieldrec.core import durable
from fieldrec.core.errors import SyncFailed

TOGETHER_S = 0.01
"""How long the first waits for the others: threads that wake at one time come within a millisecond,
unless one is busy with the end of a chunk, which syncs by itself."""

_lock = threading.Lock()
_file_systems: dict[int, _FileSystem] = {}
"""By st_dev, while they have members."""


def join(path: Path) -> Member:
    """Take part in the syncs of the file system that the directory `path` is on. OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    device = os.fstat(descriptor).st_dev
    with _lock:
        shared = _file_systems.get(device)
        if shared is None:
            shared = _file_systems[device] = _FileSystem(device, descriptor)
        else:
            os.close(descriptor)
        return shared.enter(path)


class Member:
    """One store's part in the syncs of its file system."""

    def __init__(self, shared: _FileSystem, path: Path, failures: int) -> None:
        self._shared = shared
        self.path = path
        self.failures = failures
        """How many failures it knows of."""

    def sync(self) -> None:
        """Make all that was written so far durable, without waiting for anybody else's request.
        SyncFailed; blocks for as long as the disk takes."""
        self._shared.sync(self, patient=False)

    def sync_together(self) -> None:
        """As :meth:`sync`, but waits up to TOGETHER_S for those that came together before."""
        self._shared.sync(self, patient=True)

    def leave(self) -> None:
        """Take part no longer. Idempotent; not while one of its syncs is under way."""
        with _lock:
            self._shared.leave(self)


class _Turn:
    """One sync, from its first request to its end."""

    def __init__(self) -> None:
        self.asked: set[Member] = set()
        self.patient: set[Member] = set()
        self.led = False
        self.over = False

    @property
    def hurried(self) -> bool:
        """Whether somebody does not want to wait."""
        return len(self.asked) > len(self.patient)


class _FileSystem:
    """The members on one file system and their syncs; one at a time."""

    def __init__(self, device: int, descriptor: int) -> None:
        self._device = device
        self._descriptor = descriptor
        """Open as long as there are members: it is told of all that fails meanwhile."""
        self._members: set[Member] = set()
        self._changed = threading.Condition()
        self._next = _Turn()
        self._turn = self._next
        """The one under way, while there is one."""
        self._running = False
        self._companions: set[Member] = set()
        """Who asked together the last time."""
        self._failures = 0
        self._reason = ""

    def enter(self, path: Path) -> Member:
        with self._changed:
            member = Member(self, path, self._failures)
            self._members.add(member)
            return member

    def leave(self, member: Member) -> None:
        with self._changed:
            self._members.discard(member)
            self._companions.discard(member)
            self._changed.notify_all()
        if not self._members and _file_systems.get(self._device) is self:
            del _file_systems[self._device]
            os.close(self._descriptor)

    def sync(self, member: Member, *, patient: bool) -> None:
        if self._ask(member, patient=patient):
            self._lead(member)
        if member.failures != self._failures:
            member.failures = self._failures
            raise SyncFailed(f"{member.path}: {self._reason}")

    def _ask(self, member: Member, *, patient: bool) -> bool:
        """True when a turn is there and `member` has to do it; False when another has done it."""
        with self._changed:
            turn = self._next
            turn.asked.add(member)
            if patient:
                turn.patient.add(member)
            self._changed.notify_all()
            while turn.led and not turn.over:
                self._changed.wait()
            if turn.over:
                return False
            turn.led = True
            try:
                self._changed.wait_for(lambda: not self._running)
                self._changed.wait_for(lambda: turn.hurried or self._companions <= turn.asked,
                                       TOGETHER_S)
            except BaseException:  # an interrupt from the keyboard: somebody else shall lead
                turn.led = False
                self._changed.notify_all()
                raise
            if not turn.hurried:
                self._companions = set(turn.patient)
            self._running, self._turn, self._next = True, turn, _Turn()
            return True

    def _lead(self, member: Member) -> None:
        reason = "sync did not come to its end"
        try:
            durable.sync_filesystem(self._descriptor, member.path)
            reason = ""
        except SyncFailed as error:
            reason = str(error).removeprefix(f"{member.path}: ")
        finally:
            with self._changed:
                if reason:
                    self._failures += 1
                    self._reason = reason
                self._running, self._turn.over = False, True
                self._changed.notify_all()
