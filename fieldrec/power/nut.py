"""A UPS through a NUT server (upsd): one connection, asked now and then.

On the event loop; nothing blocks it. The protocol is RFC 9271's: lines of text, of which we use
USERNAME, PASSWORD and LIST VAR. Every answer has a time (`timeout_s`) and a size (4 KiB a line, 400
lines); what breaks these or cannot be understood ends the connection, and the next try waits twice
as long, up to a minute. We do not LOGIN: a server counts those who did, and waits for them before
it lets the UPS cut the power; FSD tells us in time. STARTTLS is not spoken: the server is on this
box or its own small network, and what goes over the line is a battery's charge; a password there
is readable for whoever listens.

Meaning (networkupstools.org, developer guide, "ups.status"): OL is mains, OB is battery, LB beside
OB is a battery that the UPS itself calls empty (not while it calibrates, CAL), CHRG and DISCHRG say
what the battery does, RB wants a new one, FSD: the power is about to be cut.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import Field, model_validator

from fieldrec.core.clock import Clock
from fieldrec.core.model import PowerLevel
from fieldrec.core.power_reading import PowerReading
from fieldrec.core.workers import Worker
from fieldrec.power import SourceOptions

LINE_BYTES = 4096
MOST_LINES = 400
"""A large UPS has some 150 variables."""
FIRST_BACK_OFF_S = 5.0
LONGEST_BACK_OFF_S = 60.0
_VARIABLE = re.compile(r'^VAR (\S+) (\S+) "((?:[^"\\]|\\.)*)"$')
_ERRORS = {
    "DATA-STALE": "its driver has lost the UPS (DATA-STALE)",
    "DRIVER-NOT-CONNECTED": "its driver does not run (DRIVER-NOT-CONNECTED)",
    "UNKNOWN-UPS": "it has no UPS of this name (UNKNOWN-UPS); see ups.conf",
    "ACCESS-DENIED": "it refuses this user or host (ACCESS-DENIED)",
    "INVALID-USERNAME": "it does not know this user (INVALID-USERNAME)",
    "INVALID-PASSWORD": "it refuses the password (INVALID-PASSWORD)",
}
_REFUSALS = frozenset({"DATA-STALE", "DRIVER-NOT-CONNECTED"})
"""Of the driver, not of the server."""


class Options(SourceOptions):
    """Keys of the source `nut`."""

    ups: str = Field(pattern=r"^[^\s\"@]{1,100}$")
    """Its name in the server's ups.conf."""
    host: str = Field(default="127.0.0.1", pattern=r"^\S{1,253}$")
    port: int = Field(default=3493, ge=1, le=65535)
    user: str | None = Field(default=None, pattern=r"^[^\s\"]{1,100}$")
    """Only for servers that ask for it: reading needs none by default."""
    password_file: Path | None = None
    """A file with the password alone; relative to the configuration file."""
    timeout_s: float = Field(default=5.0, gt=0, le=60)
    """For connecting, and for each answer."""

    @model_validator(mode="after")
    def _both_or_none(self) -> Options:
        if (self.user is None) is not (self.password_file is None):
            raise ValueError("user and password_file belong together")
        return self


class _Trouble(Exception):
    """The server, or the way to it, in words: the connection ends, and the next try waits."""


class _Refused(_Trouble):
    """An answer after which the connection is as good as before."""


class _Closed(_Trouble):
    """The other side has ended the connection."""


class Nut:
    """One UPS of one server; the connection is kept between readings."""

    every_s: float | None = None

    def __init__(self, options: Options, clock: Clock) -> None:
        self.name = f"nut {options.ups}@{options.host}"
        self._options = options
        self._worker = Worker("power nut")
        self._line: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._problem = ""
        self._not_before_s = 0.0
        self._back_off_s = FIRST_BACK_OFF_S

    def start(self, changed: Callable[[], None]) -> bool:
        return False

    async def read(self) -> PowerReading:
        now_s = asyncio.get_running_loop().time()
        if self._line is None and now_s < self._not_before_s:
            return self._said(self._problem)
        kept = self._line is not None
        try:
            try:
                variables = await self._ask()
            except _Closed:
                if not kept:
                    raise
                variables = await self._ask()  # servers end connections that were quiet too long
        except _Trouble as trouble:
            if not isinstance(trouble, _Refused):
                self._not_before_s = now_s + self._back_off_s
                self._back_off_s = min(2 * self._back_off_s, LONGEST_BACK_OFF_S)
            self._problem = f"{self._where}: {trouble}"
            return self._said(self._problem)
        self._back_off_s = FIRST_BACK_OFF_S
        return reading_of(variables, self.name)

    def close(self) -> None:
        self._hang_up()
        self._worker.close()

    async def _ask(self) -> Mapping[str, str]:
        """All variables of the UPS; the connection is kept if that was answered."""
        answered = False
        try:
            async with asyncio.timeout(self._options.timeout_s):
                reader, writer = self._line or await self._connect()
                writer.write(f"LIST VAR {self._options.ups}\n".encode())
                variables = await _list(reader, self._options.ups)
            answered = True
            return variables
        except _Refused:
            answered = True
            raise
        except TimeoutError as error:
            raise _Trouble(f"no answer in {self._options.timeout_s:g} s") from error
        except ConnectionError as error:
            raise _Closed(_in_words(error)) from error
        except OSError as error:
            raise _Trouble(_in_words(error)) from error
        finally:
            if not answered:
                self._hang_up()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        options = self._options
        password = ""
        if options.password_file is not None:
            file = options.password_file
            password = await self._worker.run(lambda _stop: _password(file))
        line = await asyncio.open_connection(options.host, options.port, limit=LINE_BYTES)
        self._line = line
        if options.user is not None:
            for request in (f"USERNAME {options.user}", f'PASSWORD "{password}"'):
                line[1].write(f"{request}\n".encode())
                await _answer(line[0])
        return line

    def _hang_up(self) -> None:
        if self._line is not None:
            with contextlib.suppress(OSError, RuntimeError):
                self._line[1].transport.abort()
            self._line = None

    @property
    def _where(self) -> str:
        return f"NUT server {self._options.host}:{self._options.port}"

    def _said(self, problem: str) -> PowerReading:
        return PowerReading(None, None, None, None, None, self.name, problem=problem)


SOURCE = Nut


def reading_of(variables: Mapping[str, str], name: str) -> PowerReading:
    """What a UPS's variables say."""
    status = frozenset(variables.get("ups.status", "").split())
    forced = "FSD" in status
    if not status & {"OL", "OB", "FSD", "LB"}:
        said = " ".join(sorted(status))[:40] or "nothing"
        return PowerReading(None, None, None, None, None, name,
                            problem=f"the UPS's status is {said!r}: neither OL nor OB")
    on_mains = "OL" in status and "OB" not in status and not forced
    says = None
    if not on_mains:
        empty = "LB" in status and "CAL" not in status
        says = PowerLevel.CRITICAL if forced or empty else PowerLevel.BATTERY
    watts = _figure(variables, "ups.realpower", 1e6)
    volts = _figure(variables, "battery.voltage", 1e4)
    return PowerReading(
        on_mains=on_mains,
        charge_percent=_figure(variables, "battery.charge", 100.0),
        voltage_mv=None if volts is None else round(volts * 1000),
        power_mw=None if watts is None else round(watts * 1000),
        charging=_charging(status, on_mains), source=name,
        runtime_s=None if on_mains else _figure(variables, "battery.runtime", 1e7),
        says=says, forced=forced,
        note=f"{name}: the battery wants replacing" if "RB" in status else "")


def _charging(status: frozenset[str], on_mains: bool) -> bool | None:
    if "CHRG" in status:
        return True
    return False if "DISCHRG" in status or not on_mains else None


def _figure(variables: Mapping[str, str], key: str, most: float) -> float | None:
    """A variable as a number in its range; None where it is missing or is none."""
    try:
        number = float(variables[key])
    except (KeyError, ValueError):
        return None
    return number if 0 <= number <= most else None


def _in_words(error: OSError) -> str:
    """asyncio puts a call and an address in the place of the reason."""
    if isinstance(error, socket.gaierror) or error.errno is None:
        return error.strerror or str(error)
    return os.strerror(error.errno)


async def _list(reader: asyncio.StreamReader, ups: str) -> dict[str, str]:
    """The answer to LIST VAR."""
    first = await _answer(reader)
    if first != f"BEGIN LIST VAR {ups}":
        raise _Trouble(f"answers {first[:60]!r}, which is no list; is this upsd?")
    found: dict[str, str] = {}
    for _ in range(MOST_LINES):
        line = await _answer(reader)
        if line == f"END LIST VAR {ups}":
            return found
        variable = _VARIABLE.match(line)
        if variable is None or variable[1] != ups:
            raise _Trouble(f"answers {line[:60]!r} in its list; is this upsd?")
        found[variable[2]] = re.sub(r"\\(.)", r"\1", variable[3])
    raise _Trouble(f"lists more than {MOST_LINES} variables")


async def _answer(reader: asyncio.StreamReader) -> str:
    """One line of the server. _Trouble for its errors, for a line without end and for the end."""
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        raise _Closed("closed the connection") from error
    except asyncio.LimitOverrunError as error:
        raise _Trouble(f"sends a line of more than {LINE_BYTES} bytes; is this upsd?") from error
    text = "".join(c if c.isprintable() else "?" for c in
                   line.decode("utf-8", errors="replace").rstrip("\r\n"))
    if text.startswith("ERR "):
        word = text[4:].split(" ")[0]
        raise (_Refused if word in _REFUSALS else _Trouble)(
            _ERRORS.get(word, f"answers {text[:60]!r}"))
    return text


def _password(file: Path) -> str:
    """The first line of the file. Blocking; _Trouble when it cannot be read or sent."""
    try:
        text = file.read_text(encoding="utf-8").split("\n", 1)[0].rstrip("\r")
    except OSError as error:
        raise _Trouble(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _Trouble(f"{file} is not a text in UTF-8") from error
    return text.replace("\\", "\\\\").replace('"', '\\"')
