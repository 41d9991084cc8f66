"""A serial line or TTY that shows the status and takes commands; the words are in wire.py.

Runs in the event loop; the port is never waited for (O_NONBLOCK and the loop's own polling). One
newest status line waits to be sent, older ones are replaced; replies wait in a short queue. So a
peer that does not read, floods, sends noise or unplugs costs a few kilobytes and nothing else (I9).
Commands run one after the other in a task of their own and outlive the line they came from: what
was asked is done even when the cable is pulled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from fieldrec.config import ConsoleConfig
from fieldrec.core.clock import Clock
from fieldrec.core.errors import FieldrecError
from fieldrec.core.model import DriveState
from fieldrec.core.snapshot import Snapshot
from fieldrec.status import wire, words
from fieldrec.status.board import Board
from fieldrec.status.serial_port import Port, open_port

log = logging.getLogger(__name__)

BACKOFF_S = (1.0, 10.0)
"""First and longest delay before a port is opened again."""
CLOSE_S = 0.15
"""How long an orderly stop waits for the last line to go out."""
MIN_GAP_S = 0.1
"""Ten status lines a second at most; fewer where they would fill half of a slow line."""
BITS_PER_BYTE = 10
"""On the line: start bit, eight bits, stop bit."""
MOST_COMMANDS = 4
"""Commands that wait for the one in hand; more are answered with ERR."""
_VERBS = ("start", "stop", "pause", "resume", "step", "split", "configure", "export",
          "eject")


class ConsoleCommands(Protocol):
    """What the console may ask for; each returns one line, FieldrecError becomes "ERR ..."."""

    async def start(self, name: str | None) -> str:
        """Start recording; `name` is the first part of the recordings' names."""
        ...

    async def stop(self) -> str:
        """Stop recording."""
        ...

    async def pause(self) -> str:
        """Keep no more frames until resume."""
        ...

    async def resume(self) -> str:
        """Go on."""
        ...

    async def step(self, frames: str | None) -> str:
        """While paused: keep so many frames; None: one."""
        ...

    async def split(self) -> str:
        """Go on in new recordings."""
        ...

    async def configure(self, text: str | None) -> str:
        """Set parameters: "CAMERA NAME=VALUE…"."""
        ...

    async def export(self, text: str | None) -> str:
        """Queue exports: "NAME… [PRESET]" or "all [PRESET]"; None: all."""
        ...

    async def eject(self, name: str | None) -> str:
        """Make a drive safe to remove; None: the only one there is."""
        ...


async def run(config: ConsoleConfig, board: Board, commands: ConsoleCommands, clock: Clock, *,
              on_problem: Callable[[str], None] | None = None,
              on_command: Callable[[], None] = lambda: None,
              backoff_s: tuple[float, float] = BACKOFF_S) -> None:
    """Serve one port until cancelled, opening it again whenever it fails.

    `on_problem` hears why the port cannot be used, and "" when it can; `on_command` is called for
    each command that orders something. ConfigError for a port that
    must not be used: the system's console, or not a serial line at all.
    """
    executor = _Executor(commands if config.commands else None, on_command)
    working = asyncio.create_task(executor.run(), name=f"console commands {config.device}")
    try:
        await _serve_for_ever(config, board, executor, clock, on_problem or _ignore, backoff_s)
    finally:
        working.cancel()
        await asyncio.wait([working])


async def _serve_for_ever(config: ConsoleConfig, board: Board, executor: _Executor, clock: Clock,
                          on_problem: Callable[[str], None],
                          backoff_s: tuple[float, float]) -> None:
    delay_s, problem = backoff_s[0], ""
    while True:
        try:
            port = open_port(config.device, config.baud)
        except OSError as error:
            now = f"cannot open {config.device}: {error.strerror or error}"
        else:
            log.info("console on %s", config.device)
            on_problem("")
            now = await _serve(port, config, board, executor, clock)
            if port.received or port.sent_lines > 1:
                delay_s = backoff_s[0]  # it did work: a new outage, not the old one
            problem = ""
        if now != problem:
            log.warning("console: %s; trying again", now)
            on_problem(now)
            problem = now
        await asyncio.sleep(delay_s)
        delay_s = min(delay_s * 2, backoff_s[1])


async def _serve(port: Port, config: ConsoleConfig, board: Board, executor: _Executor,
                 clock: Clock) -> str:
    """Talk on one open port; why it ended. On cancel the last line gets CLOSE_S to go out."""
    talker = _Talker(port, config, board, clock)
    port.start(lambda line: _answer(line, port, talker, board, executor))
    sending = asyncio.create_task(talker.run(), name=f"console {config.device}")
    try:
        ends: list[asyncio.Future[Any]] = [sending, port.gone]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
        return port.gone.result()
    except asyncio.CancelledError:
        talker.send_status()
        await port.drain(CLOSE_S)
        raise
    finally:
        sending.cancel()
        await asyncio.wait([sending])
        port.close()


def _answer(line: bytes | None, port: Port, talker: _Talker, board: Board,
            executor: _Executor) -> None:
    """One line came in (None: too long). Called by the loop; never waits."""
    if line is None:
        port.reply(f"ERR line longer than {wire.MOST_COMMAND} characters; send help")
        return
    command = wire.parse_command(line)
    if command is None:
        return
    verb, argument = command
    if verb == "status":
        port.reply(f"OK {words.describe_snapshot(board.latest)}")
        talker.send_status()
    elif verb == "help":
        port.reply(executor.help())
    elif verb in _VERBS:
        executor.take(verb, argument, port)
    else:
        port.reply("ERR unknown command; send help")


class _Talker:
    """Makes the status lines of one port: at once on change, at the latest after the interval."""

    def __init__(self, port: Port, config: ConsoleConfig, board: Board, clock: Clock) -> None:
        self._port = port
        self._config = config
        self._board = board
        self._clock = clock
        self._seq = 0
        self._safe: set[str] = set()

    async def run(self) -> None:
        """Send until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            fields, length = self.send_status()
            due = loop.time() + self._config.interval_s
            await asyncio.sleep(max(MIN_GAP_S, 2 * BITS_PER_BYTE * length / self._config.baud))
            version = self._board.latest.version
            while wire.status_fields(self._board.latest) == fields and loop.time() < due:
                latest = await self._board.wait_changed(version, due - loop.time())
                version = latest.version

    def send_status(self) -> tuple[str, int]:
        """Offer the newest status; its fields and the length of the line in bytes."""
        snapshot = self._board.latest
        self._announce(snapshot)
        fields = wire.status_fields(snapshot)
        epoch_ns = self._clock.epoch_ns()
        line = wire.status_line(self._seq, fields, (epoch_ns - snapshot.time_ns) / 1e9, epoch_ns)
        self._seq += 1
        self._port.offer_status(line)
        return fields, len(line)

    def _announce(self, snapshot: Snapshot) -> None:
        """Say of each drive once that it may be pulled out."""
        safe = {drive.fs_uuid: drive for drive in snapshot.drives
                if drive.state is DriveState.SAFE}
        for uuid in sorted(safe.keys() - self._safe):
            self._port.reply(words.describe_drive(safe[uuid]))
        self._safe = set(safe)


class _Executor:
    """Runs commands one after the other, whichever line they came from."""

    def __init__(self, commands: ConsoleCommands | None, on_command: Callable[[], None]) -> None:
        self._commands = commands
        self._on_command = on_command
        self._queue: asyncio.Queue[tuple[str, str, Port]] = asyncio.Queue(MOST_COMMANDS)

    def help(self) -> str:
        """The reply to `help`."""
        if self._commands is None:
            return "OK commands: status, help (console.commands is off)"
        return ("OK commands: status, start [name], stop, pause, resume, step [frames], split, "
                "configure camera name=value, export all|name... [preset], eject [drive], help")

    def take(self, verb: str, argument: str, port: Port) -> None:
        """Queue one command, or answer at once why not."""
        if self._commands is None:
            port.reply(f"ERR {verb} is switched off here (console.commands)")
            return
        self._on_command()
        try:
            self._queue.put_nowait((verb, argument, port))
        except asyncio.QueueFull:
            port.reply("ERR busy with earlier commands; send it again later")

    async def run(self) -> None:
        """Work until cancelled; no command can end it."""
        while True:
            verb, argument, port = await self._queue.get()
            try:
                text = "OK " + await self._do(verb, argument)
            except FieldrecError as error:
                text = f"ERR {error}"
            except Exception:  # I9: a fault in a command must not cost the status
                log.exception("console command %s", verb)
                text = "ERR internal error; the log has more"
            port.reply(text)

    async def _do(self, verb: str, argument: str) -> str:
        if self._commands is None:
            return ""
        commands, given = self._commands, argument or None
        match verb:
            case "start":
                return await commands.start(given)
            case "step":
                return await commands.step(given)
            case "configure":
                return await commands.configure(given)
            case "export":
                return await commands.export(given)
            case "eject":
                return await commands.eject(given)
            case "pause":
                return await commands.pause()
            case "resume":
                return await commands.resume()
            case "split":
                return await commands.split()
        return await commands.stop()


def _ignore(_problem: str) -> None:
    """Nobody wants to hear it."""
