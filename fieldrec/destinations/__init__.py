"""Floor 3: places that recordings are copied to. One module per kind.

All calls block and are made by one thread at a time, the ``copy`` thread. A destination holds no
policy: what is copied, under which name, and whether the source may go, is the job's business
(jobs/transfer). Keeps I4 possible: an item has its final name only after its manifest, written
last; unfinished work is named ``.part-<item>``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

MANIFEST_NAME = "fieldrec-manifest.json"
"""Manifest of a directory item, in its root; that of a single file `x` is beside it, `x.json`."""
MANIFEST_LIMIT = 256 * 1024 * 1024
"""Bytes of the largest manifest that is ever read; callers who know better say less."""


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

    def free_bytes(self) -> int:
        """Room left for us, after what must be kept free; never negative."""
        ...

    def allocation_bytes(self) -> int:
        """Any file takes up a whole multiple of this: the cluster or block size."""
        ...

    def items(self) -> Sequence[str]:
        """Names of all committed items, sorted."""
        ...

    def committed(self, item: str, limit_bytes: int = MANIFEST_LIMIT) -> bytes | None:
        """The manifest of a committed item; None when there is none, or one over the limit."""
        ...

    def sizes(self, item: str) -> Mapping[str, int]:
        """Bytes of every file of a committed item by `relative`, its manifest left out."""
        ...

    def taken(self, item: str) -> bool:
        """Whether committing under this name would meet something, ours or not."""
        ...

    def begin(self, item: str) -> Mapping[str, int]:
        """Make ready for unfinished work; bytes by `relative` of what an earlier try left, which
        stays until it is put again or aborted."""
        ...

    def put(self, item: str, relative: str, slices: Iterable[Any]) -> None:
        """Write one file of the unfinished item, in place of what an earlier try left of it, from
        bytes-like slices. A FieldrecError from `slices` passes through; what was written
        stays."""
        ...

    def sync(self, item: str) -> None:
        """Make everything put so far durable."""
        ...

    def read_slices(self, item: str, relative: str, slice_bytes: int) -> Iterator[memoryview]:
        """A file of the unfinished item, or of the committed one where nothing is unfinished, as it
        lies on the medium, past the page cache. Each slice is valid until the next one is asked
        for. Only after :meth:`sync`."""
        ...

    def commit(self, item: str, manifest: bytes) -> None:
        """Write the manifest last, make it durable, give the item its final name (I4)."""
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
