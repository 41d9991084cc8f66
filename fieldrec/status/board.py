"""The status board: the newest snapshot, and a way to wait for a newer one.

Belongs to the event loop: no threads, no locks, no history. A slow reader sees fewer snapshots,
never old ones, and costs the others nothing (I9). Also here: a snapshot as JSON-ready values and
back, so that a command line can show a remote box with the code that shows the local one.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import functools
import math
import types
import typing
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fieldrec.core.errors import FieldrecError
from fieldrec.core.snapshot import Snapshot

NOTHING = Snapshot(version=-1, time_ns=0, name="", recording=False, recording_since_ns=None)
"""What a board shows before anything was published."""


class Board:
    """The newest snapshot. The app publishes; any number of tasks wait."""

    def __init__(self, first: Snapshot = NOTHING) -> None:
        self._latest = first
        self._changed = asyncio.Event()

    @property
    def latest(self) -> Snapshot:
        """The newest snapshot; its version is -1 before the first was published."""
        return self._latest

    def publish(self, snapshot: Snapshot) -> None:
        """Show `snapshot` from now on and wake everybody who waits. Never blocks."""
        self._latest = snapshot
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_changed(self, version: int, timeout_s: float | None) -> Snapshot:
        """The newest snapshot as soon as its version is not `version`; after `timeout_s` (None:
        never) the newest whatever its version. A lower version counts: the box was restarted."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._latest.version == version:
                    await self._changed.wait()
        except TimeoutError:
            pass
        return self._latest

    async def wait_changed_until(self, version: int, until: asyncio.Event) -> Snapshot | None:
        """Like :meth:`wait_changed`, or None as soon as `until` is set with nothing new."""
        if self._latest.version != version:
            return self._latest
        waits = [asyncio.create_task(self.wait_changed(version, None)),
                 asyncio.create_task(until.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.wait(waits)
        return self._latest if self._latest.version != version else None


def snapshot_as_dict(snapshot: Snapshot) -> dict[str, Any]:
    """The snapshot as JSON-ready values: enums by value, paths as text, and beside every time
    ``<what>_ns`` the same as ISO 8601 UTC, ``<what>_utc``. Infinite numbers become null."""
    values: dict[str, Any] = _plain(snapshot)
    return values


def snapshot_from_dict(values: Mapping[str, Any]) -> Snapshot:
    """The reverse of :func:`snapshot_as_dict`.

    Keys that are not known are ignored and missing ones take their defaults, so that neighbouring
    versions understand each other. FieldrecError when the values are not a snapshot.
    """
    snapshot: Snapshot = _build(Snapshot, values, "status")
    return snapshot


def utc_text(time_ns: int) -> str:
    """Epoch nanoseconds as ISO 8601 UTC to the microsecond; "" for what no calendar holds."""
    try:
        moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ns % 1_000_000_000 // 1000:06d}Z"


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain: dict[str, Any] = {}
        for field in dataclasses.fields(value):
            item = getattr(value, field.name)
            plain[field.name] = _plain(item)
            if field.name.endswith("_ns"):
                stem = field.name.removesuffix("_ns")
                plain[f"{stem}_utc"] = None if item is None else utc_text(item)
        return plain
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _build(kind: Any, value: Any, where: str) -> Any:
    """`value` as the annotated type `kind`; `where` names it in errors."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        (inner,) = (argument for argument in arguments if argument is not type(None))
        return None if value is None else _build(inner, value, where)
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(kind, value, where)
    if origin is tuple:
        return _build_tuple(arguments, value, where)
    if kind is float:
        if value is None:
            return math.nan
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif kind is Path and isinstance(value, str):
        return Path(value)
    elif isinstance(kind, type) and issubclass(kind, enum.Enum):
        with_value = {member.value: member for member in kind}
        if isinstance(value, str) and value in with_value:
            return with_value[value]
    elif isinstance(kind, type) and type(value) is kind:
        return value
    raise _not_understood(where, f"got {str(value)[:40]!r}")


def _build_dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise _not_understood(where, "expected a mapping")
    hints = _hints(kind)
    arguments = {key: _build(hints[key], value[key], f"{where}.{key}")
                 for key in hints if key in value}
    try:
        return kind(**arguments)
    except TypeError:
        missing = sorted(f.name for f in dataclasses.fields(kind) if f.name not in arguments
                         and f.default is f.default_factory is dataclasses.MISSING)
        raise _not_understood(where, f"without {', '.join(missing)}") from None


def _build_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _not_understood(where, "expected a list")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        kinds: tuple[Any, ...] = (arguments[0],) * len(value)
    else:
        kinds = arguments
    if len(kinds) != len(value):
        raise _not_understood(where, f"expected {len(kinds)} items")
    return tuple(_build(kind, item, f"{where}[{index}]")
                 for index, (kind, item) in enumerate(zip(kinds, value, strict=True)))


def _not_understood(where: str, why: str) -> FieldrecError:
    return FieldrecError(f"{where}: the status cannot be understood ({why}); "
                         "is the other side of the same version?")
