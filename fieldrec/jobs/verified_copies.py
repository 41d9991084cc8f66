"""Which copies of recordings were verified, where and when: what may be relied on while the
destination is away. Event loop, but for :func:`fingerprint`, which blocks.

An entry is made when a copy job of this box has ended well: every file was then written, read back
from the medium past the page cache, compared with what was recorded, and committed (I4, I5); what
was there already is on record, or is read back and compared in that job. It
holds a fingerprint of each item that was copied, raw and exports; what is another one now (an index
was repaired) or was made since (an export) is not covered by it. It proves what was, not what is: a
drive that was formatted or lost since then still counts, until it is put in and looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import xxhash

from fieldrec.core.errors import FieldrecError
from fieldrec.core.model import Recording
from fieldrec.jobs.source import Item, items_of

_READ = (".npz", ".yaml", ".json")
"""Files whose content is in the fingerprint: indexes, which hold a digest of every frame, and
metadata. Of all others it has the size."""


@dataclass(frozen=True, slots=True)
class VerifiedCopy:
    """A recording, all of it as it was then, at one destination."""

    uuid: str
    name: str
    destination: str
    label: str
    """What people call the destination; "" where it has no name but its own."""
    verified_at_ns: int
    """Epoch, when the copy was committed."""
    fingerprint: str
    """As :func:`fingerprint` gave it."""
    size_bytes: int


class VerifiedCopies:
    """All that are known, by recording. Every method is called on the loop."""

    def __init__(self, copies: Iterable[VerifiedCopy] = ()) -> None:
        self._copies: dict[tuple[str, str], dict[str, VerifiedCopy]] = {}
        for copy in copies:
            self._put(copy)
        self.new: list[VerifiedCopy] = []
        self.gone: list[VerifiedCopy] = []
        """Since they were written last; whoever writes them takes them out."""

    def of(self, recording: Recording) -> list[VerifiedCopy]:
        """Those of a recording, the latest first."""
        return self.named(recording.uuid, recording.name)

    def named(self, uuid: str, name: str) -> list[VerifiedCopy]:
        """The same, of a recording that may be gone."""
        found = self._copies.get((uuid, name), {}).values()
        return sorted(found, key=lambda copy: -copy.verified_at_ns)

    def add(self, copy: VerifiedCopy) -> None:
        """Note one; it takes the place of an earlier one at the same destination."""
        self._put(copy)
        self.new.append(copy)

    def forget(self, uuid: str, name: str, destination: str) -> None:
        """It was looked for and is not there, or not right; or the recording is gone."""
        copy = self._copies.get((uuid, name), {}).pop(destination, None)
        if copy is not None:
            self.new = [one for one in self.new if one != copy]
            self.gone.append(copy)

    def forget_all(self, destination: str) -> int:
        """Forget what is at one destination: it is not relied on any more; how many there were."""
        there = [copies[destination] for copies in self._copies.values() if destination in copies]
        for copy in there:
            self.forget(copy.uuid, copy.name, destination)
        return len(there)

    def _put(self, copy: VerifiedCopy) -> None:
        self._copies.setdefault((copy.uuid, copy.name), {})[copy.destination] = copy


def fingerprint(recording: Recording, before_ns: int | None = None) -> str:
    """Of the items of a recording as they are now: names, sizes, and the content of those files
    that are small and tell of the others. Items with a file newer than `before_ns` (epoch) are left
    out: what was copied then may have been something else; "" where that leaves none. Blocking;
    FieldrecError for what cannot be read.
    """
    prints = {item.path.name: _print(item) for item in items_of(recording)
              if before_ns is None or all(file.mtime_ns < before_ns for file in item.files)}
    return json.dumps(prints, sort_keys=True) if prints else ""


def covered(recording: Recording, copied: str) -> frozenset[str]:
    """Names of the recording's items that are now what they were when `copied`, a fingerprint, was
    taken. Blocking; as :func:`fingerprint`."""
    try:
        then = json.loads(copied)
    except ValueError:
        return frozenset()
    now = json.loads(fingerprint(recording) or "{}")
    if not isinstance(then, dict):
        return frozenset()
    return frozenset(name for name in now if now[name] == then.get(name))


def _print(item: Item) -> str:
    digest = xxhash.xxh64(f"{item.kind}\0{item.path.name}\0".encode())
    digest.update(item.sidecar or b"")
    for file in item.files:
        digest.update(f"{file.relative}\0{file.size_bytes}\0".encode())
        if file.path.suffix in _READ:
            try:
                digest.update(file.path.read_bytes())
            except OSError as error:
                raise FieldrecError(f"{file.path}: cannot be read: {error.strerror}") from error
    return digest.hexdigest()
