"""A program that says how power is: for gauges that no driver of the kernel knows.

It is started anew for each reading, without a shell and with nothing on its standard input, in the
worker thread ``power command``, which waits for `timeout_s` at most and then kills it with all that
it started. It prints one JSON object, or lines KEY=VALUE, of these keys, each of which it may leave
out: mains, charging (true or false) · percent · volts · watts · energy_wh, energy_full_wh ·
minutes_left · level (mains, battery, low, critical). Unknown keys are let be; a value that cannot
be is a problem, as are an exit code other than 0, no output, and more than 16 KiB of it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import Field

from fieldrec.core.clock import Clock
from fieldrec.core.model import PowerLevel
from fieldrec.core.power_reading import PowerReading
from fieldrec.core.workers import Worker
from fieldrec.power import SourceOptions

MOST_BYTES = 16 * 1024
LOOK_S = 0.25
"""How soon the end of fieldrec ends a program that hangs."""
_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")


class Options(SourceOptions):
    """Keys of the source `command`."""

    argv: tuple[str, ...] = Field(min_length=1)
    """The program and its arguments."""
    timeout_s: float = Field(default=5.0, gt=0, le=60)
    every_s: float = Field(default=60.0, ge=1, le=3600)
    """Between two runs while nothing is doubtful: each costs starting a program."""


class Command:
    """One program, run for each reading."""

    def __init__(self, options: Options, clock: Clock) -> None:
        self.name = f"command {options.argv[0]}"
        self.every_s: float | None = options.every_s
        self._options = options
        self._clock = clock
        self._worker = Worker("power command")

    def start(self, changed: Callable[[], None]) -> bool:
        return False

    async def read(self) -> PowerReading:
        return await self._worker.run(self._read)

    def close(self) -> None:
        self._worker.close()

    def _read(self, stop: threading.Event) -> PowerReading:
        try:
            return reading_of(self._output(stop), self.name)
        except ValueError as error:
            return PowerReading(None, None, None, None, None, self.name, problem=str(error))

    def _output(self, stop: threading.Event) -> str:
        """What it printed; ValueError with the problem in words."""
        options = self._options
        try:
            process = subprocess.Popen(
                options.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, start_new_session=True)
        except OSError as error:
            raise ValueError(f"cannot be started: {error.strerror}") from error
        except ValueError as error:  # a NUL in an argument
            raise ValueError(f"cannot be started: {error}") from error
        with process:
            try:
                said = self._collect(process, stop)
            finally:
                with contextlib.suppress(OSError):  # whatever of its group is left
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode:
            how = (f"exit code {process.returncode}" if process.returncode > 0
                   else f"killed by signal {-process.returncode}")
            raise ValueError(how)
        return said.decode("utf-8", errors="replace")

    def _collect(self, process: subprocess.Popen[bytes], stop: threading.Event) -> bytes:
        """All that it prints until it has ended; what it leaves running is not waited for."""
        deadline_ns = self._clock.monotonic_ns() + int(self._options.timeout_s * 1e9)
        ended = os.pidfd_open(process.pid)
        try:
            return self._until(ended, _descriptor(process), deadline_ns, stop)
        finally:
            os.close(ended)

    def _until(self, ended: int, pipe: int, deadline_ns: int, stop: threading.Event) -> bytes:
        os.set_blocking(pipe, False)
        waiting = select.poll()
        waiting.register(ended, select.POLLIN)
        waiting.register(pipe, select.POLLIN)
        said = b""
        while True:
            left_s = (deadline_ns - self._clock.monotonic_ns()) / 1e9
            if left_s <= 0 or stop.is_set():
                raise ValueError(f"no end after {self._options.timeout_s:g} s; killed")
            ready = {descriptor for descriptor, _ in waiting.poll(min(left_s, LOOK_S) * 1000)}
            if pipe in ready or ended in ready:
                part = _read(pipe, MOST_BYTES + 1 - len(said))
                said += part
                if len(said) > MOST_BYTES:
                    raise ValueError(f"more than {MOST_BYTES // 1024} KiB of output; killed")
                if not part and ended in ready:
                    return said
                if not part:
                    waiting.unregister(pipe)


SOURCE = Command


def reading_of(text: str, name: str) -> PowerReading:
    """The reading that a program's output is; ValueError with the problem in words."""
    values = _values(text)
    level = _level(values.get("level"))
    mains = _truth(values, "mains")
    return PowerReading(
        on_mains=level is PowerLevel.MAINS if mains is None and level is not None else mains,
        charge_percent=_figure(values, "percent", most=100.0),
        voltage_mv=_milli(values, "volts"), power_mw=_milli(values, "watts"),
        charging=_truth(values, "charging"), source=name,
        energy_mwh=_milli(values, "energy_wh"), energy_full_mwh=_milli(values, "energy_full_wh"),
        runtime_s=None if (minutes := _figure(values, "minutes_left")) is None else minutes * 60,
        says=None if level is PowerLevel.MAINS else level)


def _descriptor(process: subprocess.Popen[bytes]) -> int:
    return -1 if process.stdout is None else process.stdout.fileno()


def _read(pipe: int, most: int) -> bytes:
    """What is there; b"" at the end, and where there is nothing (the writer has left it open)."""
    try:
        return os.read(pipe, most)
    except BlockingIOError:
        return b""


def _values(text: str) -> Mapping[str, Any]:
    if text.lstrip().startswith("{"):
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"its output is no JSON: {error}") from error
        return values if isinstance(values, dict) else {}
    pairs = [line.partition("=") for line in text.splitlines() if line.strip()]
    if not pairs or any(not equals for _, equals, _ in pairs):
        raise ValueError("expected a JSON object or lines KEY=VALUE, got " + (
            "nothing" if not pairs else repr(text.strip()[:60])))
    return {key.strip(): value.strip() for key, _, value in pairs}


def _level(value: object) -> PowerLevel | None:
    if value in (None, ""):
        return None
    if value not in ("mains", "battery", "low", "critical"):
        raise ValueError("level: expected mains, battery, low or critical "
                         f"(got {str(value)[:40]!r})")
    return PowerLevel(value)


def _truth(values: Mapping[str, Any], key: str) -> bool | None:
    value = values.get(key)
    if value in (None, ""):
        return None
    word = str(value).lower()
    if word not in _TRUE + _FALSE:
        raise ValueError(f"{key}: expected true or false (got {str(value)[:40]!r})")
    return word in _TRUE


def _figure(values: Mapping[str, Any], key: str, most: float = 1e9) -> float | None:
    value = values.get(key)
    if value in (None, ""):
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 <= number <= most:
        raise ValueError(f"{key}: expected a number from 0 to {most:g} (got {str(value)[:40]!r})")
    return number


def _milli(values: Mapping[str, Any], key: str) -> int | None:
    """In thousandths; the sign of watts says only how a shunt is wired."""
    if key == "watts":
        values = {key: str(values.get(key) or "").lstrip("-")}
    number = _figure(values, key)
    return None if number is None else round(number * 1000)
