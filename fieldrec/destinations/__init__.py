"""Floor 3: places that recordings are copied to. One module per kind.

All calls block and are made by one thread at a time, the ``copy`` thread. A destination holds no
policy: what is copied, under which name, and whether the source may go, is the job's business
(jobs/transfer). Keeps I4 possible: an item has its final name only after its proof, written last;
unfinished work is named ``.part-<item>``. The proof of a directory is its ``ascmhl/`` (ASC MHL: the
manifest of the first generation, listed with its C4 by the chain), that of a single file `x` is
beside it, `x.json`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from fieldrec.core.past_cache import Take
from fieldrec.mhl import MANIFEST_LIMIT

PROOF_LIMIT = MANIFEST_LIMIT
"""Bytes of the largest proof that is ever read; callers who know better say less."""

OnBytes = Callable[[int], None]
"""Told how many bytes were done since the last call, often; what it raises (a stop) ends the call
there and passes through."""


@dataclass(frozen=True, slots=True)
class File:
    """One file to copy, at the moment of listing. A recording has a million of them: what they have
    in common is held once."""

    relative: str
    base: Path
    """The folder that `relative` begins in; the file itself where that is ""."""
    size_bytes: int
    mtime_ns: int

    @property
    def path(self) -> Path:
        """Where it lies; made anew at each call."""
        return Path(self.base, self.relative)


class Expected(Protocol):
    """What the files of an item have to be."""

    @property
    def files(self) -> Sequence[File]:
        """All files of the item, sorted."""
        ...

    def digest(self, file: File) -> str:
        """XXH64 of the file (16 hexadecimal digits): as it was read, or read for this."""
        ...


class Source(Expected, Protocol):
    """The files of one item as a destination takes them: read once, hashed while read.

    May raise FieldrecErrors of the source (it is damaged, it changed) and stop when asked to; both
    pass through a destination unchanged.
    """

    def slices(self, file: File, take: Take | None = None) -> Iterator[memoryview]:
        """The file's bytes; each slice is valid until the next one is asked for, or lies in memory
        of its own, each in what `take` gave last. Only when all were taken is the file known to be
        what was recorded. One file at a time; any thread."""
        ...


@runtime_checkable
class Heeding(Protocol):
    """A destination whose calls can be broken off from outside: those that wait for a network."""

    def heed(self, stop: threading.Event) -> None:
        """From now on any call ends soon after `stop` is set; it raises DestinationError."""
        ...


@runtime_checkable
class Sized(Protocol):
    """A destination on a medium that may be smaller than it says: drives."""

    def prove_capacity(self, stop: threading.Event) -> None:
        """Unless that was done before, look whether the medium is as large as it says; asked before
        anything is deleted for a copy there. DriveCounterfeit when it is not, JobRefused where it
        cannot be told."""
        ...


@runtime_checkable
class SetsAside(Protocol):
    """A destination that can give a folder of ours another name: folders and drives."""

    def set_aside(self, name: str, other: str) -> None:
        """Call what is beside the items otherwise, durably and at once."""
        ...


class Destination(Protocol):
    """What a destination must do.

    `item` is a name such as "bees_20261121_060000" or "bees_20261121_060000.high.mp4"; `relative`
    is a "/"-separated path inside the item, or "" when the item is a single file. Every call may
    raise DestinationError (cannot be used now, is full), DriveGone (was pulled out) or JobRefused
    (something that is not ours is in the way; never overwritten, never followed).
    """

    @property
    def name(self) -> str:
        """As the configuration or the drive table calls it; for messages and jobs."""
        ...

    @property
    def proves(self) -> bool:
        """Whether what :meth:`verify` finds is what the medium holds. Nothing is deleted for a copy
        at any other place (I5)."""
        ...

    def free_bytes(self) -> int:
        """Room left for us, after what must be kept free; never negative."""
        ...

    def allocation_bytes(self) -> int:
        """Any file takes up a whole multiple of this: the cluster or block size."""
        ...

    def items(self) -> Sequence[str]:
        """Names of all committed items, sorted."""
        ...

    def committed(self, item: str, limit_bytes: int = PROOF_LIMIT) -> bytes | None:
        """The proof of a committed item: the first generation's manifest of a directory, `x.json`
        of a file; None when there is none, or one over the limit. Generations that others added
        since then change nothing."""
        ...

    def sizes(self, item: str) -> Mapping[str, int]:
        """Bytes of every file of a committed item by `relative`, its proof left out."""
        ...

    def taken(self, item: str) -> bool:
        """Whether committing under this name would meet something, ours or not."""
        ...

    def begin(self, item: str) -> Mapping[str, int]:
        """Make ready for unfinished work; bytes by `relative` of what an earlier try left, which
        stays until it is written again, dropped or aborted."""
        ...

    def write(self, item: str, source: Source, on_bytes: OnBytes) -> None:
        """Put every file of `source` into the unfinished item that is not there in its full size;
        all of it is durable on return. What was written stays when it ends early."""
        ...

    def verify(self, item: str, source: Expected, on_bytes: OnBytes) -> Sequence[str]:
        """Which files of `source`, by `relative`, the place has otherwise: of the committed item,
        or of the unfinished one where none is committed. Looked at where they lie: past the page
        cache, or by digests that the far side takes. Called after everything was written."""
        ...

    def drop(self, item: str, relatives: Iterable[str]) -> None:
        """Remove files of the unfinished item, so that :meth:`write` puts them again."""
        ...

    def commit(self, item: str, last: Mapping[str, bytes]) -> None:
        """Write these files last, in their order, compare them as the rest, make them durable and
        give the item its final name (I4). By `relative` in a directory; "" is what goes beside a
        single file. VerifyMismatch when one reads back otherwise."""
        ...

    def abort(self, item: str) -> None:
        """Throw the unfinished item away. Never raises for a place that is gone."""
        ...

    def beside(self, relative: str, limit_bytes: int) -> bytes | None:
        """A file that is no item (the box's logbook), as the medium has it, past the page cache;
        None when there is none, or one over the limit."""
        ...

    def put_beside(self, relative: str, data: bytes) -> None:
        """Put such a file, in place of an older one: all of it, read back from the medium and
        compared, or what was there before. VerifyMismatch when it reads back otherwise."""
        ...

    def close(self) -> None:
        """Let go of the file system, so that it can be unmounted. Idempotent; any later call opens
        it anew."""
        ...
