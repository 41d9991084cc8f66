"""The console on real pseudo-terminals: status, commands, bad peers, hang-up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import select
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fieldrec.config import ConsoleConfig
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import ConfigError, StateError
from fieldrec.core.model import CameraState, Drive, DriveState
from fieldrec.core.snapshot import RecorderStatus, Snapshot
from fieldrec.status import console, serial_port
from fieldrec.status.board import Board
from fieldrec.status.serial_port import Port
from tests.unit.test_status_wire import checked

QUIET_S = 3600.0


def snapshot(version: int, **more: Any) -> Snapshot:
    return Snapshot(version=version, time_ns=0, name="box", recording=False,
                    recording_since_ns=None, **more)


class Commands:
    """What the app would do; records what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def start(self, name: str | None) -> str:
        self.asked.append(("start", name))
        await self.may_end.wait()
        return f"recording {name}\x1b[2J"

    async def stop(self) -> str:
        self.asked.append(("stop", None))
        raise StateError("nothing is\nrecording*")

    async def eject(self, name: str | None) -> str:
        raise ZeroDivisionError("a bug")

    async def pause(self) -> str:
        return self._noted("pause", None)

    async def resume(self) -> str:
        return self._noted("resume", None)

    async def step(self, frames: str | None) -> str:
        return self._noted("step", frames)

    async def split(self) -> str:
        return self._noted("split", None)

    async def configure(self, text: str | None) -> str:
        return self._noted("configure", text)

    async def export(self, text: str | None) -> str:
        return self._noted("export", text)

    def _noted(self, verb: str, argument: str | None) -> str:
        self.asked.append((verb, argument))
        return verb


class Peer:
    """The other end of the line: whole lines out of the master side of a pty."""

    def __init__(self, link: Path) -> None:
        self.master, slave = pty.openpty()
        self.slave = slave  # held until the console has it open: no hang-up before it began
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(slave))
        self._buffer = b""

    def release(self) -> None:
        """Let the console be the only one on its side."""
        if self.slave >= 0:
            os.close(self.slave)
            self.slave = -1

    def hang_up(self) -> None:
        self.release()
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    async def type(self, data: bytes) -> None:
        while data:
            await self._ready(write=True)
            data = data[os.write(self.master, data[:1024]):]

    async def line(self) -> str:
        """The next line, its checksum verified."""
        while b"\n" not in self._buffer:
            await self._ready()
            self._buffer += os.read(self.master, 4096)
        line, _, self._buffer = self._buffer.partition(b"\n")
        return checked(line + b"\n")

    async def line_with(self, text: str) -> str:
        while text not in (line := await self.line()):
            pass
        return line

    async def _ready(self, write: bool = False) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        add, remove = ((loop.add_writer, loop.remove_writer) if write
                       else (loop.add_reader, loop.remove_reader))
        add(self.master, ready.set)
        try:
            await ready.wait()
        finally:
            remove(self.master)


class Rig:
    """A console task, its board, its commands and the peer."""

    def __init__(self, link: Path, **config: Any) -> None:
        self.link = link
        self.peer = Peer(link)
        self.board = Board(snapshot(1))
        self.commands = Commands()
        self.problems: asyncio.Queue[str] = asyncio.Queue()
        self.config = ConsoleConfig(device=link, **({"interval_s": QUIET_S} | config))
        self.task = asyncio.create_task(console.run(
            self.config, self.board, self.commands, SystemClock(),
            on_problem=self.problems.put_nowait, backoff_s=(0.01, 0.05)))

    async def end(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(self.task)
        self.peer.hang_up()


@contextlib.asynccontextmanager
async def rig_on(folder: Path, **config: Any) -> AsyncIterator[Rig]:
    rig = Rig(folder / "tty", **config)
    try:
        assert (await rig.peer.line()).startswith("FREC,0,rec=0,")
        rig.peer.release()
        yield rig
    finally:
        await rig.end()


@pytest.mark.asyncio
async def test_status_comes_at_once_and_on_change(tmp_path: Path) -> None:
    async with rig_on(tmp_path) as rig:
        rig.board.publish(snapshot(2, recorders=(RecorderStatus("a", "1", CameraState.CLOSED),)))
        line = await rig.peer.line()
        assert line.startswith("FREC,1,")
        assert "cam=0/1" in line


@pytest.mark.asyncio
async def test_status_comes_without_change_too(tmp_path: Path) -> None:
    async with rig_on(tmp_path, interval_s=0.1) as rig:
        assert [(await rig.peer.line()).split(",")[1] for _ in range(3)] == ["1", "2", "3"]


@pytest.mark.asyncio
@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
async def test_commands(tmp_path: Path, end: bytes) -> None:
    async with rig_on(tmp_path) as rig:
        await rig.peer.type(b"START Night 1" + end)
        assert await rig.peer.line() == "OK recording Night 1?[2J"
        await rig.peer.type(b"stop" + end)
        assert await rig.peer.line() == "ERR nothing is recording_"
        await rig.peer.type(b"eject" + end)
        assert await rig.peer.line() == "ERR internal error; the log has more"
        await rig.peer.type(b"help" + end)
        assert await rig.peer.line() == (
            "OK commands: status, start [name], stop, pause, resume, step [frames], split, "
            "configure camera name=value, export all|name... [preset], eject [drive], help")
        await rig.peer.type(b"status" + end)
        assert (await rig.peer.line()).startswith("OK not recording, 0 of 0 cameras well,")
        assert (await rig.peer.line()).startswith("FREC,1,")
        await rig.peer.type(b"sudo" + end)
        assert await rig.peer.line() == "ERR unknown command; send help"
        assert rig.commands.asked == [("start", "Night 1"), ("stop", None)]


@pytest.mark.asyncio
async def test_commands_of_a_recording_under_way(tmp_path: Path) -> None:
    said = ["pause", "step", "step 20", "resume", "split", "configure left Gain=2"]
    async with rig_on(tmp_path) as rig:
        for line in said:
            await rig.peer.type(line.encode() + b"\r")
            assert await rig.peer.line() == f"OK {line.split()[0]}"
        assert rig.commands.asked == [
            ("pause", None), ("step", None), ("step", "20"), ("resume", None), ("split", None),
            ("configure", "left Gain=2")]


@pytest.mark.asyncio
async def test_commands_switched_off(tmp_path: Path) -> None:
    async with rig_on(tmp_path, commands=False) as rig:
        await rig.peer.type(b"stop\rhelp\r")
        assert await rig.peer.line() == "ERR stop is switched off here (console.commands)"
        assert await rig.peer.line() == "OK commands: status, help (console.commands is off)"
        assert rig.commands.asked == []


@pytest.mark.asyncio
async def test_too_many_commands_are_answered_not_kept(tmp_path: Path) -> None:
    async with rig_on(tmp_path) as rig:
        rig.commands.may_end.clear()
        await rig.peer.type(b"start a\r" * (console.MOST_COMMANDS + 5))
        assert (await rig.peer.line()).startswith("ERR busy")
        rig.commands.may_end.set()
        await rig.peer.line_with("OK recording a")


@pytest.mark.asyncio
async def test_a_drive_that_is_safe_is_announced_once(tmp_path: Path) -> None:
    drive = Drive("u", "BEES\x1b1", "/dev/sda1", None, "ext4", None, 1, 1, DriveState.SAFE)
    async with rig_on(tmp_path) as rig:
        rig.board.publish(snapshot(2, drives=(drive,)))
        assert await rig.peer.line() == "SAFE TO REMOVE BEES?1"
        assert "drv=BEES?1:SAFE" in await rig.peer.line()
        await rig.peer.type(b"status\r")
        assert (await rig.peer.line()).startswith("OK ")
        assert (await rig.peer.line()).startswith("FREC,2,")


@pytest.mark.asyncio
async def test_noise_and_a_megabyte_line_get_one_reply_each(tmp_path: Path) -> None:
    async with rig_on(tmp_path) as rig:
        await rig.peer.type(b"\xff\x1b\x00[2J\r")
        assert await rig.peer.line() == "ERR unknown command; send help"
        await rig.peer.type(b"x" * 2**20)
        await rig.peer.type(b"\r")
        assert await rig.peer.line() == "ERR line longer than 256 characters; send help"
        await rig.peer.type(b"help\r")
        assert (await rig.peer.line()).startswith("OK commands")


@pytest.mark.asyncio
async def test_what_we_said_is_not_answered_when_it_comes_back(tmp_path: Path) -> None:
    async with rig_on(tmp_path) as rig:
        await rig.peer.type(b"$FREC,1*00\rERR unknown*00\rOK*00\rSAFE TO REMOVE x*00\rhelp\r")
        assert (await rig.peer.line()).startswith("OK commands")


@pytest.mark.asyncio
async def test_the_line_comes_back_after_a_hang_up(tmp_path: Path) -> None:
    async with rig_on(tmp_path) as rig:
        assert await rig.problems.get() == ""
        rig.peer.hang_up()
        assert "line lost" in await rig.problems.get()
        rig.peer = Peer(rig.link)
        assert (await rig.peer.line()).startswith("FREC,0,")
        rig.peer.release()
        await rig.peer.type(b"help\r")
        await rig.peer.line_with("OK commands")


@pytest.mark.asyncio
async def test_a_command_outlives_its_line(tmp_path: Path) -> None:
    async with rig_on(tmp_path) as rig:
        rig.commands.may_end.clear()
        await rig.peer.type(b"start a\rstop\rhelp\r")
        await rig.peer.line_with("OK commands")
        await rig.problems.get()
        rig.peer.hang_up()
        await rig.problems.get()
        rig.peer = Peer(rig.link)
        await rig.peer.line()
        rig.commands.may_end.set()
        rig.peer.release()
        await rig.peer.type(b"stop\r")
        assert (await rig.peer.line()).startswith("ERR nothing")
        assert rig.commands.asked == [("start", "a"), ("stop", None), ("stop", None)]


@pytest.mark.asyncio
async def test_a_missing_port_is_reported_once_and_found_later(tmp_path: Path) -> None:
    board, problems = Board(snapshot(1)), asyncio.Queue[str]()
    link = tmp_path / "tty"
    task = asyncio.create_task(console.run(
        ConsoleConfig(device=link), board, Commands(), SystemClock(),
        on_problem=problems.put_nowait, backoff_s=(0.001, 0.001)))
    assert await problems.get() == f"cannot open {link}: No such file or directory"
    peer = Peer(link)
    try:
        assert (await peer.line()).startswith("FREC,0,")
        assert await problems.get() == ""
        assert problems.empty()
    finally:
        task.cancel()
        await asyncio.wait([task])
        peer.hang_up()


@pytest.mark.asyncio
async def test_the_last_status_goes_out_on_an_orderly_stop(tmp_path: Path) -> None:
    async with rig_on(tmp_path) as rig:
        rig.board.publish(snapshot(2, stopping=True))
        rig.task.cancel()
        await asyncio.wait([rig.task])
        assert "stop=1" in await rig.peer.line()


@pytest.mark.asyncio
async def test_a_peer_that_does_not_read_costs_nothing(tmp_path: Path) -> None:
    peer = Peer(tmp_path / "tty")
    port = serial_port.open_port(tmp_path / "tty", 115200)
    try:
        port.start(lambda _line: None)
        most = 0
        for number in range(10_000):
            port.offer_status(b"$FREC,%d,%s*00\r\n" % (number, b"x" * 200))
            port.reply(f"OK reply {number}")
            most = max(most, port.held_bytes)
            if number % 100 == 0:
                await asyncio.sleep(0)
        assert most < 2048
        assert b"FREC,9999," in (port._status or b"")  # the newest won
        assert not select.select([], [peer.slave], [], 0)[1]  # the kernel really was full
        seen = [await peer_raw_line(peer)]
        while b"FREC,9999," not in seen[-1]:
            seen.append(await peer_raw_line(peer))
        assert all(line.startswith((b"$FREC,", b"OK reply")) for line in seen)  # whole lines only
    finally:
        port.close()
        peer.hang_up()


async def peer_raw_line(peer: Peer) -> bytes:
    while b"\n" not in peer._buffer:
        await peer._ready()
        peer._buffer += os.read(peer.master, 4096)
    line, _, peer._buffer = peer._buffer.partition(b"\n")
    return line


@pytest.mark.asyncio
async def test_a_full_line_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    async with rig_on(tmp_path) as rig:
        while select.select([], [rig_slave(rig)], [], 0)[1]:
            await rig.peer.type(b"help\r" * 16)  # replies fill the line; nobody reads them
            await asyncio.sleep(0)
    assert rig.task.done()


def rig_slave(rig: Rig) -> int:
    if rig.peer.slave < 0:
        rig.peer.slave = os.open(rig.link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    return rig.peer.slave


@pytest.mark.asyncio
async def test_one_console_per_port(tmp_path: Path) -> None:
    peer = Peer(tmp_path / "tty")
    port = serial_port.open_port(tmp_path / "tty", 9600)
    try:
        with pytest.raises(OSError, match="another program has it open"):
            serial_port.open_port(tmp_path / "tty", 9600)
    finally:
        port.close()
        port.close()
        peer.hang_up()


@pytest.mark.asyncio
async def test_what_is_no_tty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    config = ConsoleConfig(device=tmp_path / "file")
    with pytest.raises(ConfigError, match="not a serial line"):
        await console.run(config, Board(), Commands(), SystemClock())


def test_the_system_console_is_refused_with_advice(tmp_path: Path) -> None:
    active = tmp_path / "active"
    active.write_text("tty0 ttyS0\n")
    (tmp_path / "by-id").symlink_to("/dev/ttyS0")
    for device in (Path("/dev/ttyS0"), tmp_path / "by-id", Path("/dev/console")):
        with pytest.raises(ConfigError, match="systemctl mask serial-getty@"):
            serial_port.refuse_system_console(device, active)
    serial_port.refuse_system_console(Path("/dev/ttyS1"), active)
    serial_port.refuse_system_console(Path("/dev/ttyS0"), tmp_path / "missing")


@pytest.mark.asyncio
async def test_replies_and_status_after_the_end_are_harmless(tmp_path: Path) -> None:
    peer = Peer(tmp_path / "tty")
    port: Port = serial_port.open_port(tmp_path / "tty", 9600)
    port.start(lambda _line: None)
    peer.hang_up()
    assert "line lost" in await port.gone
    port.close()
    for _ in range(100):
        port.reply("late")
        port.offer_status(b"late")
    assert port.held_bytes < 2048
