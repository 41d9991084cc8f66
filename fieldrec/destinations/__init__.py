"""Floor 3: places that recordings are copied to. One module per kind.

All calls block and are made by the ``copy`` thread. A destination holds no policy: what is copied,
and whether the source may go, is the job's business (jobs/transfer).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class Destination(Protocol):
    """What a destination must do. `item` is a name such as "bees_20261121_060000" or
    "bees_20261121_060000.high.mp4"; `relative` is a "/"-separated path inside the item, or "" when
    the item is a single file. DestinationError (or DriveGone) when the place cannot be used."""

    name: str

    def free_bytes(self) -> int:
        """Room left for us, after what must be kept free."""
        ...

    def committed(self, item: str) -> bytes | None:
        """The manifest of an item that is wholly there (I4), else None."""
        ...

    def begin(self, item: str) -> None:
        """Make room for unfinished work named ``.part-<item>``; what an earlier try left stays
        usable for resuming."""
        ...

    def size(self, item: str, relative: str) -> int | None:
        """Bytes of a file of the unfinished item, None when it is not there."""
        ...

    def put(self, item: str, relative: str, chunks: Any) -> None:
        """Write one file of the unfinished item from an iterator of bytes-like slices."""
        ...

    def sync(self, item: str) -> None:
        """Make everything put so far durable and drop it from the page cache. SyncFailed."""
        ...

    def read_slices(self, item: str, relative: str, slice_bytes: int) -> Any:
        """Iterate over a file of the unfinished item as it lies on the medium, past the cache."""
        ...

    def commit(self, item: str, manifest: bytes) -> None:
        """Write the manifest last, make it durable, give the item its final name (I4)."""
        ...

    def abort(self, item: str) -> None:
        """Throw the unfinished item away. Never raises for a place that is gone."""
        ...

    def items(self) -> Sequence[str]:
        """Names of all committed items."""
        ...
