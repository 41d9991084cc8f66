"""Work one step ahead: an iterator that is run in a thread while its items are used.

Reading and converting the next frames overlaps with encoding or decoding the present one; both
release the interpreter's lock for most of their time. The thread is joined when the block ends,
however it ends.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

_AHEAD_BYTES = 24_000_000
_DEEPEST = 8


@contextlib.contextmanager
def prefetched(items: Iterable[T], name: str, depth: int = 3) -> Iterator[Iterator[T]]:
    """Give an iterator over `items`, at most `depth` of which are made ahead in thread `name`.

    An error of `items` is raised where the item would have come. Leaving the block stops the
    thread after the item in hand and waits for it. `items` must not reuse what it has given out.
    """
    ready: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(depth)
    ended = threading.Event()
    thread = threading.Thread(target=_fill, args=(items, ready, ended), name=name)
    thread.start()
    try:
        yield _drain(ready)
    finally:
        ended.set()
        while thread.is_alive():  # it may be waiting for room
            with contextlib.suppress(queue.Empty):
                ready.get_nowait()
            thread.join(0.01)


def depth_for(item_bytes: int) -> int:
    """How many items of this size may be ahead: what keeps two threads busy, in bounded memory."""
    return max(1, min(_DEEPEST, _AHEAD_BYTES // max(item_bytes, 1)))


class _Exhausted(BaseException):
    """Says that there are no more items; never leaves this file."""


def _fill(items: Iterable[T], ready: queue.Queue[tuple[T | None, BaseException | None]],
          ended: threading.Event) -> None:
    try:
        for item in items:
            if ended.is_set():
                return
            ready.put((item, None))
        ready.put((None, _Exhausted()))
    except BaseException as error:  # noqa: BLE001 - it belongs to whoever uses the items
        ready.put((None, error))


def _drain(ready: queue.Queue[tuple[T | None, BaseException | None]]) -> Iterator[T]:
    while True:
        item, error = ready.get()
        if isinstance(error, _Exhausted):
            return
        if error is not None:
            raise error
        yield item  # type: ignore[misc]  # T, as there is no error
