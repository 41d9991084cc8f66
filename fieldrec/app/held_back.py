"""The recording that CRITICAL power cut, kept over restarts and power-offs until it goes on.

One small file in the private folder, written whole or not at all, in a worker of its own
(`held-back`), so that a disk that does not answer holds up nothing else. The duration that was left
is kept as the moment at which it ends: what was cut at night is not made up for in the morning. A
recording that somebody stopped is forgotten here before anything else is done.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from fieldrec.core import durable
from fieldrec.core.clock import Clock
from fieldrec.core.errors import FieldrecError
from fieldrec.core.workers import Worker
from fieldrec.record.asked import Asked

log = logging.getLogger(__name__)

FILE_NAME = "held-back.json"


@dataclass(frozen=True, slots=True)
class HeldBack:
    """What was under way when the battery was CRITICAL. Times are epoch nanoseconds."""

    asked: Asked
    since_ns: int
    ends_ns: int | None
    """When the recording would have ended by its duration; None: it had none."""

    @classmethod
    def of(cls, asked: Asked, clock: Clock) -> HeldBack:
        """What is cut now."""
        now_ns = clock.epoch_ns()
        ends_ns = None if asked.duration_s is None else now_ns + int(asked.duration_s * 1e9)
        return cls(asked, now_ns, ends_ns)

    def now(self, clock: Clock) -> Asked | None:
        """What to start with now; None when its time is over.

        A clock that shows less than when it was cut has lost its time: it is not believed, and the
        recording lasts no longer than it would have then.
        """
        if self.ends_ns is None:
            return self.asked
        left_ns = min(self.ends_ns - clock.epoch_ns(), self.ends_ns - self.since_ns)
        return replace(self.asked, duration_s=left_ns / 1e9) if left_ns > 0 else None


_WRITTEN = TypeAdapter(HeldBack)


class HeldBackFile:
    """The file, and the order in which it is changed. On the loop."""

    def __init__(self, folder: Path) -> None:
        """`folder`: the private one of the recordings folder."""
        self._path = folder / FILE_NAME
        self._worker = Worker("held-back")

    async def read(self) -> HeldBack | None:
        """What was kept; None for nothing, or nothing that can be read."""
        try:
            data = await self._worker.run(lambda _stop: self._path.read_bytes())
            return _WRITTEN.validate_json(data)
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            log.error("%s cannot be used, the recording that it names does not go on: %s",
                      self._path, str(error).splitlines()[0])
            return None

    async def keep(self, held_back: HeldBack) -> None:
        """Durably; a disk that refuses is said in the log, the recording goes on all the same as
        long as this process runs."""
        try:
            data = _WRITTEN.dump_json(held_back, indent=1)
            await self._worker.run(lambda _stop: durable.write_atomic(self._path, data))
        except (OSError, ValueError, FieldrecError) as error:
            log.error("%s cannot be written: %s", self._path, error)

    async def forget(self) -> None:
        """Durably; after what was begun before it."""
        try:
            await self._worker.run(lambda _stop: durable.unlink(self._path, missing_ok=True))
        except (OSError, FieldrecError) as error:
            log.error("%s cannot be removed: %s", self._path, error)

    def close(self) -> None:
        """End the worker; blocks until what it does is done."""
        self._worker.close()
