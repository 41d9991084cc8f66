"""A program that says how power is: real programs, good ones and bad ones."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from fieldrec.core.clock import SystemClock
from fieldrec.core.model import PowerLevel
from fieldrec.core.power_reading import PowerReading
from fieldrec.power.command import Command, Options, reading_of
from tests.fakes.waiting import PATIENCE_S, wait_until

SYSTEM_CLOCK = SystemClock()

class OnceWritten(SystemClock):
    """An hour goes by between two looks at it, as soon as a file has been written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hours = 0

    def monotonic_ns(self) -> int:
        self._hours += self._path.exists() and self._path.stat().st_size > 0
        return super().monotonic_ns() + self._hours * 3600 * 10**9


def run(*argv: str, clock: SystemClock = SYSTEM_CLOCK) -> PowerReading:
    source = Command(Options(argv=argv, timeout_s=PATIENCE_S), clock)

    async def go() -> PowerReading:
        try:
            return await source.read()
        finally:
            source.close()

    return asyncio.run(go())


def test_a_program_that_prints_lines() -> None:
    assert run("printf", "percent=55\\nvolts = 12.6\\nwatts=-5.5\\nmains=no\\n") == PowerReading(
        on_mains=False, charge_percent=55.0, voltage_mv=12_600, power_mw=5_500, charging=None,
        source="command printf")


def test_a_program_that_prints_json() -> None:
    said = {"mains": False, "charging": False, "percent": 40, "energy_wh": 8, "energy_full_wh": 20,
            "minutes_left": 90, "level": "low", "colour": "green", "volts": None}
    assert run("echo", json.dumps(said)) == PowerReading(
        on_mains=False, charge_percent=40.0, voltage_mv=None, power_mw=None, charging=False,
        source="command echo", energy_mwh=8_000, energy_full_mwh=20_000, runtime_s=5_400.0,
        says=PowerLevel.LOW)


@pytest.mark.parametrize(("level", "on_mains", "says"), [
    ("mains", True, None), ("battery", False, PowerLevel.BATTERY), ("critical", False,
                                                                   PowerLevel.CRITICAL)])
def test_a_level_alone(level: str, on_mains: bool, says: PowerLevel | None) -> None:
    reading = reading_of(f"level={level}", "x")
    assert (reading.on_mains, reading.says) == (on_mains, says)


@pytest.mark.parametrize(("text", "said"), [
    ("", "expected a JSON object or lines KEY=VALUE, got nothing"),
    ("57 %", "expected a JSON object or lines KEY=VALUE, got '57 %'"),
    ("{", "its output is no JSON"),
    ("{" * 100_000, "its output is no JSON"),
    ("percent=255", "percent: expected a number from 0 to 100 (got '255')"),
    ("percent=-1", "percent: expected a number"),
    ('{"percent": NaN}', "percent: expected a number"),
    ('{"percent": true}', "percent: expected a number"),
    ('{"percent": [1]}', "percent: expected a number"),
    ('{"volts": %s}' % ("9" * 400), "volts: expected a number"),
    ("volts=twelve", "volts: expected a number"),
    ("mains=maybe", "mains: expected true or false (got 'maybe')"),
    ("level=fine", "level: expected mains, battery, low or critical (got 'fine')"),
    ('{"level": {}}', "level: expected mains"),
])
def test_output_that_cannot_be_understood(text: str, said: str) -> None:
    with pytest.raises(ValueError) as error:
        reading_of(text, "x")
    assert str(error.value).startswith(said)


@pytest.mark.parametrize(("argv", "said"), [
    (("false",), "exit code 1"),
    (("sh", "-c", "kill -9 $$"), "killed by signal 9"),
    (("/no/such/program",), "cannot be started: No such file or directory"),
    (("/etc/passwd",), "cannot be started: Permission denied"),
    (("a\0b",), "cannot be started: embedded null byte"),
    (("sh", "-c", "exec head -c 20000 /dev/zero"), "more than 16 KiB of output; killed"),
    (("sh", "-c", "exec cat /dev/zero"), "more than 16 KiB of output; killed"),
])
def test_a_program_that_fails(argv: tuple[str, ...], said: str) -> None:
    reading = run(*argv)
    assert (reading.problem, reading.on_mains, reading.charge_percent) == (said, None, None)


def test_a_program_that_hangs_is_killed_with_all_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    reading = run("sh", "-c", f"sleep 600 & echo $! $$ > {pids}; exec >&-; sleep 600",
                  clock=OnceWritten(pids))
    assert reading.problem == "no end after 60 s; killed"
    wait_until(lambda: not any(map(_runs, pids.read_text().split())), PATIENCE_S, "the end of all")


def test_what_it_leaves_running_is_neither_waited_for_nor_left(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    reading = run("sh", "-c", f"sleep 600 & echo $! > {pid}; echo percent=5")
    assert reading.charge_percent == 5.0
    wait_until(lambda: not _runs(pid.read_text().strip()), PATIENCE_S, "its end")


def test_leaving_fieldrec_ends_a_program_that_hangs() -> None:
    source = Command(Options(argv=(sys.executable, "-c", "import time; time.sleep(600)"),
                             timeout_s=60), SystemClock())

    async def go() -> Any:
        task = asyncio.create_task(source.read())
        await asyncio.sleep(0.05)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=PATIENCE_S)
        source.close()
        return done

    assert asyncio.run(go())


def _runs(pid: str) -> bool:
    """Whether this process is there and no zombie."""
    try:
        return "\nState:\tZ" not in Path("/proc", pid, "status").read_text()
    except OSError:
        return False
