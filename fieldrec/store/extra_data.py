"""Extra data of one chunk: records beside the frames, as imgstore's get_extra_data reads them.

Added from any thread; put on disk by the store thread when the chunk ends, always as one complete
JSON list that replaces the file atomically. What the last chunk got since is lost in a crash.
"""

from __future__ import annotations

import base64
import datetime
import enum
import json
import math
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fieldrec.core import durable
from fieldrec.store.layout import EXTRA_NAME


class ExtraData:
    """The records of the chunk that is being written."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: list[str] = []
        self._written = 0

    def add(self, values: Mapping[str, Any]) -> None:
        """Keep one record. Any thread, does not block, never raises for a value."""
        text = json.dumps(jsonable(values), allow_nan=False)
        with self._lock:
            self._records.append(text)

    def flush(self, chunk: Path) -> None:
        """Make the records of this chunk durable, if any are new. Store thread; StoreFull."""
        with self._lock:
            count = len(self._records)
            data = ("[" + ",\n ".join(self._records) + "]\n").encode("ascii")
        if count > self._written:
            durable.write_atomic(chunk / EXTRA_NAME, data)
            self._written = count

    @property
    def unwritten(self) -> int:
        """How many records are in memory only."""
        with self._lock:
            return len(self._records) - self._written

    def rewrite(self) -> None:
        """The chunk's file was given up: its records belong to the next one."""
        with self._lock:
            self._written = 0

    def next_chunk(self) -> None:
        """Forget what has been written; what has not goes into the next chunk's file."""
        with self._lock:
            del self._records[:self._written]
            self._written = 0


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
