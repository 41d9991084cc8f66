"""Extra data of one chunk: records beside the frames, as imgstore's get_extra_data reads them.

Added from any thread; journalled by the sync thread (extra_log.py); put in place by the store
thread when the next chunk begins or the store is closed, always as one complete JSON list that
replaces the file atomically. A crash costs at most what came after the last sync (I8).
"""

from __future__ import annotations

import base64
import datetime
import enum
import json
import logging
import math
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fieldrec.core import durable
from fieldrec.core.errors import StoreError
from fieldrec.store.chunk_paths import ChunkPaths
from fieldrec.store.extra_log import append_lines, records_bytes

log = logging.getLogger(__name__)


class ExtraData:
    """The records of the chunk that is being written, and of the time until the next one.

    :meth:`journal` and :meth:`finish` exclude each other; their caller sees to that.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: list[str] = []
        self._journalled = 0
        self._has_journal = False

    def add(self, values: Mapping[str, Any]) -> None:
        """Keep one record. Any thread, does not block, never raises."""
        try:
            text = json.dumps(jsonable(values), allow_nan=False)
        except Exception as error:  # noqa: BLE001 - an object whose text fails, a list in itself
            log.warning("extra data %s cannot be kept: %r", sorted(map(str, values)), error)
            return
        with self._lock:
            self._records.append(text)

    def journal_if_possible(self, paths: ChunkPaths) -> None:
        """As :meth:`journal`; what fails waits in memory: it is worth less than frames."""
        try:
            self.journal(paths)
        except (StoreError, OSError) as error:
            log.warning("%s: extra data cannot be journalled: %s", paths.folder, error)

    def journal(self, paths: ChunkPaths) -> None:
        """Append what is new to the chunk's extra.log, for a sync to come. StoreFull, OSError."""
        with self._lock:
            new = self._records[self._journalled:]
        if new:
            self._has_journal = True
            append_lines(paths, new, self._journalled)
            self._journalled += len(new)

    def finish(self, paths: ChunkPaths, earlier: Sequence[str] = ()) -> None:
        """Make the chunk's records durable in their final form and forget them; the journal goes.

        `earlier`: what the chunk's file has already and keeps, where it was finished before. What
        is added meanwhile belongs to the next chunk. StoreFull, SyncFailed, OSError: all is as
        before.
        """
        with self._lock:
            records = self._records.copy()
        if records and list(earlier[-len(records):]) != records:  # else it was done before
            durable.write_atomic(paths.extra, records_bytes([*earlier, *records]))
        if self._has_journal:
            durable.unlink(paths.extra_log, missing_ok=True)
            self.give_up_journal()
        with self._lock:
            del self._records[:len(records)]

    def give_up_journal(self) -> None:
        """The chunk was removed with its journal: the records belong to the next one."""
        self._journalled = 0
        self._has_journal = False

    @property
    def pending(self) -> int:
        """How many records are not in their final form."""
        return len(self._records)

    @property
    def unwritten(self) -> int:
        """How many records are in memory only."""
        return len(self._records) - self._journalled


def jsonable(value: Any) -> Any:
    """The value in types that strict JSON carries.

    imgstore drops records that hold numpy booleans, dates, sets, bytes or complex numbers; here
    dates become ISO text, sets lists, bytes text (base64 where they are not UTF-8), complex
    numbers [real, imaginary], NaN null, infinities and anything unknown text.
    """
    if value is None or isinstance(value, bool | str):
        return value if value is None or type(value) in (bool, str) else str(value)
    if isinstance(value, enum.Enum):
        return jsonable(value.value)
    if isinstance(value, np.generic | np.ndarray):
        return jsonable(value.item() if value.ndim == 0 else value.tolist())
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _finite(float(value))
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [jsonable(item) for item in value]
    return _text(value)


def _finite(value: float) -> float | str | None:
    if math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)


def _text(value: Any) -> Any:
    if isinstance(value, complex):
        return [_finite(value.real), _finite(value.imag)]
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        try:
            return bytes(value).decode("utf-8")
        except UnicodeDecodeError:
            return base64.b64encode(bytes(value)).decode("ascii")
    return str(value)
