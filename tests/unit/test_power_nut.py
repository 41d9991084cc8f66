"""NUT: what a UPS's variables mean, and servers that misbehave; the real one: scenario/test_ups."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fieldrec.core.clock import SystemClock
from fieldrec.core.model import PowerLevel
from fieldrec.core.power_reading import PowerReading
from fieldrec.power.nut import Nut, Options, reading_of
from tests.fakes.upsd import MAINS, PASSWORD, UPS, USER


@pytest.mark.parametrize(("status", "on_mains", "charging", "says", "forced"), [
    ("OL", True, None, None, False),
    ("OL CHRG", True, True, None, False),
    ("OL CHRG LB", True, True, None, False),
    ("OL TRIM", True, None, None, False),
    ("OB", False, False, PowerLevel.BATTERY, False),
    ("OB DISCHRG", False, False, PowerLevel.BATTERY, False),
    ("OB DISCHRG LB", False, False, PowerLevel.CRITICAL, False),
    ("OB LB CAL", False, False, PowerLevel.BATTERY, False),
    ("LB", False, False, PowerLevel.CRITICAL, False),
    ("OL OB", False, False, PowerLevel.BATTERY, False),
    ("FSD OL", False, False, PowerLevel.CRITICAL, True),
    ("FSD OB LB", False, False, PowerLevel.CRITICAL, True),
])
def test_the_status(status: str, on_mains: bool, charging: bool | None, says: PowerLevel | None,
                    forced: bool) -> None:
    reading = reading_of({"ups.status": status}, "nut box@host")
    assert (reading.on_mains, reading.charging, reading.says, reading.forced, reading.problem) == (
        on_mains, charging, says, forced, "")


@pytest.mark.parametrize("status", ["WAIT", "", "OFF", "BYPASS"])
def test_a_status_that_says_nothing_of_the_mains_is_a_problem(status: str) -> None:
    reading = reading_of({"ups.status": status, "battery.charge": "90"}, "nut")
    assert reading.on_mains is None
    assert reading.problem == f"the UPS's status is {status or 'nothing'!r}: neither OL nor OB"


def test_figures() -> None:
    assert reading_of({**MAINS, "ups.status": "OB DISCHRG RB"}, "nut box@host") == PowerReading(
        on_mains=False, charge_percent=90.0, voltage_mv=13_100, power_mw=12_000, charging=False,
        source="nut box@host", runtime_s=3600.0, says=PowerLevel.BATTERY,
        note="nut box@host: the battery wants replacing")


@pytest.mark.parametrize("charge", ["255", "-1", "NA", "", "nan", "1e9"])
def test_a_charge_that_cannot_be_is_unknown(charge: str) -> None:
    assert reading_of({"ups.status": "OB", "battery.charge": charge}, "nut").charge_percent is None


@pytest.mark.parametrize(("options", "said"), [
    ({}, "Field required"), ({"ups": "a b"}, "pattern"), ({"ups": "a@host"}, "pattern"),
    ({"ups": "a", "port": 0}, "greater than"), ({"ups": "a", "user": "anna"}, "belong together"),
    ({"ups": "a", "password_file": "x"}, "belong together"),
])
def test_wrong_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Options.model_validate(options)


# -- servers that misbehave ------------------------------------------------------------------------


Answers = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(answers: Answers) -> AsyncIterator[int]:
    """A server on the loop; every connection is given to `answers` and closed after it."""
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError):
                await answers(reader, writer)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def saying(text: bytes) -> Answers:
    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(text)
        await writer.drain()
        await reader.read()
    return answers


@contextlib.asynccontextmanager
async def asking(port: int, **options: Any) -> AsyncIterator[Nut]:
    source = Nut(Options(ups=UPS, port=port, **options), SystemClock())
    try:
        yield source
    finally:
        source.close()
        await asyncio.sleep(0)


@pytest.mark.asyncio
@pytest.mark.parametrize(("text", "said"), [
    (b"ERR DATA-STALE\n", "its driver has lost the UPS (DATA-STALE)"),
    (b"ERR DRIVER-NOT-CONNECTED\n", "its driver does not run (DRIVER-NOT-CONNECTED)"),
    (b"ERR UNKNOWN-UPS\n", "it has no UPS of this name (UNKNOWN-UPS); see ups.conf"),
    (b"ERR ACCESS-DENIED\n", "it refuses this user or host (ACCESS-DENIED)"),
    (b"ERR SOMETHING-NEW really\n", "answers 'ERR SOMETHING-NEW really'"),
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", "answers 'HTTP/1.1 400 Bad Request', which is no list; "
                                          "is this upsd?"),
    (b"\xff\xfe\x00\x1b[31m\n", "answers '\ufffd\ufffd??[31m', which is no list; is this upsd?"),
    (b"\n", "answers '', which is no list; is this upsd?"),
    (b"BEGIN LIST VAR box\nVAR other ups.status \"OL\"\n",
     "answers 'VAR other ups.status \"OL\"' in its list; is this upsd?"),
    (b"BEGIN LIST VAR box\nVAR box ups.status OL\n",
     "answers 'VAR box ups.status OL' in its list; is this upsd?"),
    (b"BEGIN LIST VAR box\n" + b"x" * 1_000_000, "sends a line of more than 4096 bytes; "
                                                 "is this upsd?"),
    (b"BEGIN LIST VAR box\n" + b'VAR box a "b"\n' * 100_000, "lists more than 400 variables"),
])
async def test_an_answer_that_is_none_is_a_problem_in_words(text: bytes, said: str) -> None:
    async with serving(saying(text)) as port, asking(port) as source:
        reading = await source.read()
        assert reading.problem == f"NUT server 127.0.0.1:{port}: {said}"
        assert (reading.on_mains, reading.charge_percent) == (None, None)


@pytest.mark.asyncio
async def test_silence_has_an_end() -> None:
    async with serving(saying(b"BEGIN LIST VAR box\n")) as port, \
            asking(port, timeout_s=0.05) as source:
        assert (await source.read()).problem.endswith(": no answer in 0.05 s")


@pytest.mark.asyncio
async def test_a_server_that_hangs_up_while_it_answers() -> None:
    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"BEGIN LIST VAR box\nVAR box ups.st")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with serving(answers) as port, asking(port) as source:
        assert (await source.read()).problem.endswith(": closed the connection")


@pytest.mark.asyncio
async def test_nobody_listens_and_the_next_try_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(saying(b"")) as port:
        pass
    tries = []

    async def refused(*_: object, **__: object) -> None:
        tries.append(loop.time())
        raise ConnectionRefusedError(111, "Connection refused")

    loop = asyncio.get_running_loop()
    now_s = loop.time()
    monkeypatch.setattr(asyncio, "open_connection", refused)
    monkeypatch.setattr(loop, "time", lambda: now_s)
    async with asking(port) as source:
        for _ in range(400):
            assert (await source.read()).problem.endswith(": Connection refused")
            now_s += 1.0
        pauses = [round(after - before) for before, after in itertools.pairwise(tries)]
        assert pauses == [5, 10, 20, 40, 60, 60, 60, 60, 60]


@pytest.mark.asyncio
async def test_a_kept_connection_that_was_closed_meanwhile_is_opened_again_at_once() -> None:
    good = b'BEGIN LIST VAR box\nVAR box ups.status "OL \\"x\\" CHRG"\nEND LIST VAR box\n'
    connections = []

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(await reader.readline())
        writer.write(good)
        await writer.drain()
        if len(connections) > 1:
            await reader.read()

    async with serving(answers) as port, asking(port) as source:
        assert (await source.read()).on_mains is True
        assert (await source.read()).on_mains is True
        assert connections == [b"LIST VAR box\n"] * 2


@pytest.mark.asyncio
async def test_user_and_password_are_said_before(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n")
    heard = []

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            heard.append(await reader.readline())
            writer.write(b"OK\n" if len(heard) < 3 else b"ERR ACCESS-DENIED\n")

    async with serving(answers) as port, \
            asking(port, user=USER, password_file=file) as source:
        assert "ACCESS-DENIED" in (await source.read()).problem
        assert heard == [b"USERNAME anna\n", b'PASSWORD "p\\"ss\\\\word"\n', b"LIST VAR box\n"]
    async with asking(port, user=USER, password_file=tmp_path / "missing") as source:
        assert (await source.read()).problem.endswith("missing: No such file or directory")
