"""Which files of an item are not what they have to be, after everything was written. Blocking; the
caller's thread, and those of _reading_back.py. Not a kind of destination.

Files that were read back as they were written are looked at by samples, all others are read whole.
What a FUSE file system's daemon reads stays in the page cache of its device, which O_DIRECT does
not pass: it is dropped before, and now and then meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from fieldrec.destinations import Expected, OnBytes, _reading_back, _samples
from fieldrec.destinations._copying import Seen
from fieldrec.destinations._item_files import ItemFiles

FORGET_BYTES = 128 * 1024 * 1024
Forget = Callable[[], None]
"""Drops what the page cache has of the device."""


def differing(seen: Seen, expected: Expected, open_item: Callable[[], ItemFiles],
              on_bytes: OnBytes, *, forget: Forget | None, by_daemon: bool) -> list[str]:
    """These files, by `relative`. `by_daemon`: a daemon reads for the kernel."""
    if seen.differ:
        return seen.differ
    differ = _look_again(seen, open_item, forget)
    to_read = [file for file in expected.files if file.relative not in seen.good]
    on_bytes(sum(file.size_bytes for file in expected.files if file.relative in seen.good))
    if by_daemon and forget is not None:
        on_bytes = _forgetting(on_bytes, forget)
    digests = _reading_back.digests(to_read, open_item, on_bytes, threads=1 if by_daemon else 2)
    differ += [file.relative for file, digest in digests if digest != expected.digest(file)]
    return sorted(set(differ))


def _look_again(seen: Seen, open_item: Callable[[], ItemFiles], forget: Forget | None
                ) -> list[str]:
    pieces = seen.samples.all()
    if not pieces:
        return []
    if forget is not None:
        forget()  # what reading back has left
    with contextlib.closing(open_item()) as files:
        return _samples.differ(pieces, files)


def _forgetting(on_bytes: OnBytes, forget: Forget) -> OnBytes:
    left = FORGET_BYTES

    def told(count: int) -> None:
        nonlocal left
        left -= count
        if left < 0:
            forget()
            left = FORGET_BYTES
        on_bytes(count)
    return told
