"""Which files of an item are not what they have to be: all are read whole, after everything was
written. Blocking; the caller's thread, and those of _reading_back.py. Not a kind of destination.

What a FUSE file system's daemon reads stays in the page cache of its device, which O_DIRECT does
not pass: it is dropped before, and now and then meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable

from fieldrec.destinations import Expected, OnBytes, _reading_back
from fieldrec.destinations._item_files import ItemFiles

FORGET_BYTES = 128 * 1024 * 1024
Forget = Callable[[], None]
"""Drops what the page cache has of the device."""


def differing(expected: Expected, open_item: Callable[[], ItemFiles], on_bytes: OnBytes, *,
              forget: Forget, by_daemon: bool) -> list[str]:
    """These files, by `relative`. `by_daemon`: a daemon reads for the kernel."""
    if by_daemon:
        forget()
        on_bytes = _forgetting(on_bytes, forget)
    digests = _reading_back.digests(expected.files, open_item, on_bytes,
                                    threads=1 if by_daemon else 2)
    return sorted(file.relative for file, digest in digests if digest != expected.digest(file))


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
