"""One serial line or TTY, never waited for: lines out as room allows, lines in, bounded both ways.

Belongs to the event loop (O_NONBLOCK, add_reader, add_writer). Its own instead of an asyncio stream
because streams keep everything that a peer does not read; here the newest status replaces the older
one, replies are a short queue, and a line once begun is finished, so the peer sees whole lines.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import fcntl
import os
import struct
import termios
from collections.abc import Callable
from pathlib import Path

from fieldrec.core.errors import ConfigError
from fieldrec.status import wire

MOST_REPLIES = 16
READ_BYTES = 4096
SYSTEM_CONSOLES = Path("/sys/class/tty/console/active")


def open_port(device: Path, baud: int) -> Port:
    """Open and set the line raw.

    OSError when it is not there or another program holds it; ConfigError when it must not be used:
    the system's console, or not a serial line at all.
    """
    refuse_system_console(device)
    flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(device, flags)
    try:
        if not os.isatty(descriptor):
            raise ConfigError(f"{device}: not a serial line or TTY; see 'ls /dev/serial/*'")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(error.errno, "another program has it open") from error
        _make_raw(descriptor, baud)
        return Port(descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def refuse_system_console(device: Path, active: Path = SYSTEM_CONSOLES) -> None:
    """ConfigError when the kernel or a login prompt talks on `device`: both would mix with us."""
    try:
        names = active.read_text(encoding="ascii").split()
    except OSError:
        return
    name = device.resolve().name
    if name in (*names, "console"):
        raise ConfigError(
            f"{device}: the system's own console; remove console={name} from the kernel command "
            f"line and run 'systemctl mask serial-getty@{name}', or choose another port")


class Port:
    """One open line: bytes out as room allows, lines in; `gone` says why it ended."""

    def __init__(self, descriptor: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._descriptor = descriptor
        self._reader = wire.LineReader()
        self._replies: collections.deque[bytes] = collections.deque()
        self._status: bytes | None = None
        self._sending = b""
        self._writing = False
        self.gone: asyncio.Future[str] = self._loop.create_future()
        self.received = False
        self.sent_lines = 0

    @property
    def held_bytes(self) -> int:
        """All that waits in this process, in both directions."""
        return (len(self._sending) + len(self._status or b"") + sum(map(len, self._replies))
                + self._reader.held_bytes)

    def start(self, on_line: Callable[[bytes | None], None]) -> None:
        """Begin to read; `on_line` is called by the loop for every line."""
        self._loop.add_reader(self._descriptor, self._read, on_line)

    def offer_status(self, line: bytes) -> None:
        """Send this status as soon as there is room; it replaces one that has not begun."""
        self._status = line
        self._write()

    def reply(self, text: str) -> None:
        """Send a line after those that wait; dropped when MOST_REPLIES wait: nobody reads."""
        if len(self._replies) < MOST_REPLIES:
            self._replies.append(wire.reply_line(text))
            self._write()

    async def drain(self, longest_s: float) -> None:
        """Wait until everything has left, or `longest_s`."""
        end = self._loop.time() + longest_s
        # the kernel tells nobody when its buffer is empty: it has to be asked
        while not self.gone.done() and self._loop.time() < end and (  # noqa: ASYNC110
                self._sending or self._replies or self._status or self._unsent_bytes()):
            await asyncio.sleep(0.01)

    def close(self) -> None:
        """Give the port back without waiting for a peer that does not read. Idempotent."""
        if self._descriptor < 0:
            return
        self._end("closed")
        if self.gone.result() != "closed" or self._unsent_bytes():
            with contextlib.suppress(termios.error):  # close(2) may wait 30 s for unsent bytes
                termios.tcflush(self._descriptor, termios.TCIOFLUSH)
        os.close(self._descriptor)
        self._descriptor = -1

    def _read(self, on_line: Callable[[bytes | None], None]) -> None:
        try:
            data = os.read(self._descriptor, READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(f"line lost: {error.strerror}")
            return
        if not data:
            self._end("line lost: the other side hung up")
            return
        self.received = True
        for line in self._reader.feed(data):
            on_line(line)

    def _write(self) -> None:
        """Send what fits; the loop calls again when there is room for the rest."""
        while not self.gone.done() and (self._sending or self._next()):
            try:
                self._sending = self._sending[os.write(self._descriptor, self._sending):]
            except BlockingIOError:
                if not self._writing:
                    self._loop.add_writer(self._descriptor, self._write)
                    self._writing = True
                return
            except OSError as error:
                self._end(f"line lost: {error.strerror}")
                return
            self.sent_lines += not self._sending
        self._stop_writing()

    def _next(self) -> bool:
        """Take the next line to send: replies first, a person waits for them."""
        if self._replies:
            self._sending = self._replies.popleft()
        elif self._status is not None:
            self._sending, self._status = self._status, None
        return bool(self._sending)

    def _end(self, reason: str) -> None:
        if not self.gone.done():
            self.gone.set_result(reason)
            self._loop.remove_reader(self._descriptor)
            self._stop_writing()

    def _stop_writing(self) -> None:
        if self._writing:
            self._loop.remove_writer(self._descriptor)
            self._writing = False

    def _unsent_bytes(self) -> int:
        """Bytes the kernel still holds for the peer; 0 where the driver cannot say."""
        try:
            raw = fcntl.ioctl(self._descriptor, termios.TIOCOUTQ, b"\0" * 4)
        except OSError:
            return 0
        count: int = struct.unpack("i", raw)[0]
        return count


def _make_raw(descriptor: int, baud: int) -> None:
    """8N1, no echo, no signals, no flow control; CLOCAL: no carrier needed; no HUPCL: opening
    and closing must not reset a peer that listens to DTR."""
    try:
        settings = termios.tcgetattr(descriptor)
        speed = getattr(termios, f"B{baud}")
        control = list(settings[6])
        control[termios.VMIN], control[termios.VTIME] = 1, 0  # 0 would look like a hang-up
        raw = [termios.IGNBRK, 0, termios.CS8 | termios.CREAD | termios.CLOCAL, 0, speed, speed,
               control]
        termios.tcsetattr(descriptor, termios.TCSANOW, raw)
    except termios.error as error:
        raise OSError(*error.args) from error
