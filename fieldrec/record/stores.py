"""The stores of one series: made where its place has room, and ahead of time where the need is
known.

:meth:`Stores.make` blocks for as long as the disk takes (worker, store thread, or turn thread);
the rest is for the store thread and returns at once: `turn-<camera>` does the work.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

from fieldrec.core.errors import FieldrecError
from fieldrec.record.outcome import disk_failed
from fieldrec.record.part import NewWriter, Part
from fieldrec.record.place import Place
from fieldrec.record.turning import Turning
from fieldrec.store.chunk import as_store_error


class Stores:
    """Makes one after the other; of those made ahead there is one at most."""

    def __init__(self, place: Place, new_writer: NewWriter, turning: Turning) -> None:
        self._place = place
        self._new_writer = new_writer
        self._turning = turning
        self._next: Future[Part] | None = None

    def make(self, epoch_ns: int, before: Part | None) -> Part:
        """A store in the first folder that can take one. StoreFull, StoreError, OSError: of the
        last that could not. `before`: the part that it goes on from."""
        number = 1 if before is None else before.number + 1
        ours: dict[str, Any] = {"part": number}
        if before is not None:
            ours |= {"previous_name": before.name, "previous_uuid": before.uuid}
        while True:
            path = self._place.next_path(epoch_ns)
            try:
                return Part(self._new_writer(path, epoch_ns, ours), number)
            except (FieldrecError, OSError) as error:
                if not self.there_is_another(path, error):
                    raise

    def there_is_another(self, path: Path, error: Exception) -> bool:
        """Whether the disk is to blame for the error and the place has another folder."""
        if not disk_failed(error):
            return False
        known = as_store_error(error, path) if isinstance(error, OSError) else error
        return isinstance(known, FieldrecError) and self._place.failed(path, known)

    # -- ahead -------------------------------------------------------------------------------------

    @property
    def preparing(self) -> bool:
        """Whether one was asked for and not taken yet."""
        return self._next is not None

    @property
    def ready(self) -> bool:
        """Whether the one that was asked for is there, or why it cannot be."""
        return self._next is not None and self._next.done()

    def prepare(self, epoch_ns: int, before: Part) -> None:
        """Have one made ahead, as :meth:`make` would; no effect while there is one."""
        if self._next is None:
            made: Future[Part] = Future()
            self._next = made
            self._turning.do(partial(_fulfil, made, partial(self.make, epoch_ns, before)))

    def take(self) -> Part:
        """The one that is ready; or its error, and there is none any more."""
        made, self._next = self._next, None
        if made is None:
            raise ValueError("nothing was prepared")
        return made.result(0)

    def forget(self) -> None:
        """Have the one that was made ahead removed: it will not be used."""
        made, self._next = self._next, None
        if made is not None:
            self._turning.do(partial(_take_back, made))


def _fulfil(made: Future[Part], make: Callable[[], Part]) -> None:
    """In the turn thread."""
    try:
        made.set_result(make())
    except Exception as error:  # noqa: BLE001 - it belongs to the store thread
        made.set_exception(error)


def _take_back(made: Future[Part]) -> None:
    """In the turn thread, after the making."""
    with contextlib.suppress(FieldrecError, OSError):
        made.result(0).remove()
