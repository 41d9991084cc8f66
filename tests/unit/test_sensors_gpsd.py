"""The place from gpsd: a real gpsd with a receiver that is fed here, and servers that talk rot."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import reduce
from operator import xor
from pathlib import Path

import pytest

from fieldrec.sensors.gpsd import MOST_BYTES, MOST_LINE_BYTES, WATCH, Fix, NoFix, ask, fix_in
from tests.fakes.jumping_loop import JumpingClock, run_jumping
from tests.fakes.waiting import PATIENCE_S

GPSD = shutil.which("gpsd") or ("/usr/sbin/gpsd" if Path("/usr/sbin/gpsd").exists() else None)
HOST = "127.0.0.1"
NO_FIX = b'{"class":"TPV","device":"/dev/ttyACM0","mode":1}\n'
A_FIX = b'{"class":"TPV","mode":2,"lat":69.65,"lon":-18.96}\n'
Served = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]


@asynccontextmanager
async def serving(talk: Served) -> AsyncIterator[int]:
    """A server on a port of its own; each connection is closed when `talk` returns."""
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(answer, HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def told(*lines: bytes, then_closes: bool = True) -> Fix | NoFix:
    """What is made of a server that sends these lines once it is asked."""
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readline() == WATCH
        for line in lines:
            writer.write(line)
            await writer.drain()
        if not then_closes:
            await reader.read()

    async with serving(talk) as port:
        return await ask(HOST, port, PATIENCE_S)


# --- a real one -----------------------------------------------------------------------------------


def sentence(body: str) -> bytes:
    """An NMEA sentence with its checksum."""
    return f"${body}*{reduce(xor, body.encode()):02X}\r\n".encode()


async def receiver(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """What a receiver at 69°39' N 18°57.6' E says, until nobody listens."""
    for second in itertools.count():
        time = f"1200{second % 60:02d}.00"
        for body in (f"GPGGA,{time},6939.0000,N,01857.6000,E,1,08,0.9,10.0,M,20.0,M,,",
                     "GPGSA,A,3,01,02,03,04,05,06,07,08,,,,,1.5,0.9,1.2",
                     f"GPRMC,{time},A,6939.0000,N,01857.6000,E,0.0,0.0,210626,,,A"):
            writer.write(sentence(body))
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.mark.skipif(GPSD is None, reason="gpsd is not installed: sudo apt install gpsd")
def test_a_real_gpsd_tells_where_its_receiver_is() -> None:
    async def main() -> None:
        with socket.create_server((HOST, 0)) as free:
            port = free.getsockname()[1]
        async with serving(receiver) as feed:
            process = await asyncio.create_subprocess_exec(
                str(GPSD), "-N", "-n", "-b", "-S", str(port), f"tcp://{HOST}:{feed}",
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                async with asyncio.timeout(PATIENCE_S):
                    while not isinstance(found := await ask(HOST, port, PATIENCE_S), Fix):  # noqa: ASYNC110
                        await asyncio.sleep(0.02)  # until it listens
            finally:
                process.kill()
                await process.wait()
        assert found == Fix(69.65, 18.96)

    asyncio.run(main())


# --- others ---------------------------------------------------------------------------------------


def test_the_first_fix_counts_and_nothing_before_it() -> None:
    greeting = b'{"class":"VERSION","release":"3.22"}\n'
    assert asyncio.run(told(greeting, NO_FIX, b"{rot\n", A_FIX)) == Fix(69.65, -18.96)


@pytest.mark.parametrize(("lines", "reason"), [
    ((), "it closed the connection: no answer"),
    ((b"SSH-2.0-OpenSSH_9.2\r\n",),
     "it closed the connection: nothing that can be understood came"),
    ((b'{"class":"VERSION"}\n', b'{"class":"DEVICES","devices":[]}\n'),
     "it closed the connection: no receiver was connected"),
    ((NO_FIX,), "it closed the connection: the receiver had no fix"),
])
def test_a_server_without_a_fix_is_told_of_with_its_reason(lines: tuple[bytes, ...],
                                                           reason: str) -> None:
    assert asyncio.run(told(*lines)) == NoFix(reason)


def test_waiting_ends() -> None:
    assert run_jumping(JumpingClock(), told(NO_FIX, then_closes=False)) \
        == NoFix("the receiver had no fix within 60 s")
    assert run_jumping(JumpingClock(), told(then_closes=False)) \
        == NoFix("no answer within 60 s")


def test_endless_rot_is_not_read_for_ever() -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent = 0
        while True:
            writer.write(b"x" * 16_384)
            await writer.drain()
            sent += 16_384
            assert sent < 64 * MOST_BYTES

    async def main() -> Fix | NoFix:
        async with serving(flood) as port:
            return await ask(HOST, port, PATIENCE_S)

    assert asyncio.run(main()) == NoFix(f"no answer in {MOST_BYTES} bytes; is it gpsd?")


def test_a_line_that_is_too_long_is_passed_over() -> None:
    long = b'{"class":"TPV","rot":"' + b"x" * 2 * MOST_LINE_BYTES + b'"}\n'
    assert asyncio.run(told(long, A_FIX)) == Fix(69.65, -18.96)


def test_nobody_there() -> None:
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    found = asyncio.run(ask(HOST, port, PATIENCE_S))
    assert isinstance(found, NoFix)
    assert found.reason.startswith("cannot be reached: ")


@pytest.mark.parametrize("line", [
    b"", b"\n", b"null", b"[]", b"7", b'"TPV"', b"\xff\xfe\x00", b"[" * 60_000, b"9" * 5_000,
    b'{"class":"TPV"}', b'{"class":"TPV","mode":3}', b'{"class":"TPV","mode":3,"lat":1}',
    b'{"class":"TPV","mode":1,"lat":1,"lon":2}', b'{"class":"TPV","mode":0,"lat":1,"lon":2}',
    b'{"class":"TPV","mode":true,"lat":1,"lon":2}', b'{"class":"TPV","mode":"3","lat":1,"lon":2}',
    b'{"class":"TPV","mode":3,"lat":91,"lon":2}', b'{"class":"TPV","mode":3,"lat":1,"lon":-181}',
    b'{"class":"TPV","mode":3,"lat":NaN,"lon":2}',
    b'{"class":"TPV","mode":3,"lat":Infinity,"lon":2}',
    b'{"class":"TPV","mode":3,"lat":"1","lon":2}', b'{"class":"TPV","mode":3,"lat":[1],"lon":2}',
    b'{"class":"TPV","mode":3,"lat":1' + b"0" * 400 + b',"lon":2}',
    b'{"class":["TPV"],"mode":3,"lat":1,"lon":2}', b'{"class":"SKY","mode":3,"lat":1,"lon":2}',
])
def test_what_is_no_fix_is_none(line: bytes) -> None:
    assert fix_in(line) is None


def test_a_place_on_the_edge_is_one() -> None:
    assert fix_in(b'{"class":"TPV","mode":3,"lat":-90,"lon":180}') == Fix(-90.0, 180.0)
