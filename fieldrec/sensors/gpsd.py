"""Where the box is, asked once of gpsd (JSON over TCP, port 2947).

On the event loop, by streams; blocks nothing. Never raises for what a server or a network does:
each way of having no answer is a :class:`NoFix` with its reason. Whatever is sent, no more than
MOST_BYTES are read and no line longer than MOST_LINE_BYTES is looked at.

The protocol (gpsd_json(5)): after ``?WATCH`` gpsd sends objects, one a line; a ``TPV`` with mode 2
or 3 has latitude and longitude in degrees.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any

WATCH = b'?WATCH={"enable":true,"json":true};\n'
MOST_LINE_BYTES = 64 * 1024
"""gpsd's own longest (GPS_JSON_RESPONSE_MAX) is far shorter."""
MOST_BYTES = 1024 * 1024
NO_ANSWER, NOTHING_UNDERSTOOD = "no answer", "nothing that can be understood came"
TWO_DIMENSIONS = 2
"""The least mode that has latitude and longitude; 3 has the height as well."""


@dataclass(frozen=True, slots=True)
class Fix:
    """Where the receiver is, in degrees; north and east are positive."""

    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True)
class NoFix:
    """Why there is no fix, in words that follow "gpsd at HOST:PORT: "."""

    reason: str


async def ask(host: str, port: int, within_s: float) -> Fix | NoFix:
    """The first fix that gpsd reports within a time; a receiver that is cold takes a minute."""
    heard = _Heard()
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_connection(host, port, limit=MOST_LINE_BYTES)
            try:
                writer.write(WATCH)
                await writer.drain()
                return await _first_fix(reader, heard)
            finally:
                writer.transport.abort()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError:
        return NoFix(f"{heard.state} within {within_s:g} s")
    except OSError as error:
        return NoFix(f"cannot be reached: {error.strerror or error}")


@dataclass(slots=True)
class _Heard:
    """What was learnt so far, for a reason."""

    state: str = NO_ANSWER


async def _first_fix(reader: asyncio.StreamReader, heard: _Heard) -> Fix | NoFix:
    read_bytes = 0
    while read_bytes < MOST_BYTES:
        try:
            line = await reader.readline()
        except ValueError:  # longer than the limit; the reader has thrown it away
            read_bytes += MOST_LINE_BYTES
            continue
        if not line:
            return NoFix(f"it closed the connection: {heard.state}")
        read_bytes += len(line)
        found = fix_in(line)
        if found is not None:
            return found
        heard.state = _state(line, heard.state)
    return NoFix(f"{heard.state} in {MOST_BYTES} bytes; is it gpsd?")


def fix_in(line: bytes) -> Fix | None:
    """The fix in a line of gpsd's; None in any other, whatever it holds."""
    told = _object(line)
    mode, latitude, longitude = (_number(told.get(key), most)
                                 for key, most in (("mode", 3), ("lat", 90), ("lon", 180)))
    if told.get("class") != "TPV" or mode is None or mode < TWO_DIMENSIONS \
            or latitude is None or longitude is None:
        return None
    return Fix(latitude, longitude)


def _state(line: bytes, before: str) -> str:
    """What is known after a line without a fix."""
    told = _object(line)
    match told.get("class"):
        case "TPV" | "SKY":
            return "the receiver had no fix"
        case "DEVICES":
            return "the receiver said nothing" if told.get("devices") else \
                "no receiver was connected"
        case "VERSION":
            return "it told of no receiver"
    return NOTHING_UNDERSTOOD if before == NO_ANSWER else before


def _object(line: bytes) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _number(value: Any, most: int) -> float | None:
    """A finite number not further from 0 than `most`; None for all else that JSON can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) <= most else None  # NaN is not within anything
