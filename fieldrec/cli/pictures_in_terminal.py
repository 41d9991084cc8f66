"""Pictures and keys in a text terminal: two pixels a character as coloured half blocks.

:func:`half_blocks` and :func:`parse_keys` are pure; :class:`Terminal` owns the terminal while a
viewer runs, and gives it back as it was however the viewer ends. One thread; writing blocks while
the terminal does not read.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import termios
import time
import tty
from types import FrameType
from typing import Any

import numpy as np

from fieldrec.cli.sheet import Picture, fitted

ESCAPE_PATIENCE_S = 0.05
"""After a lone Escape: the rest of an arrow key's bytes comes sooner, or not at all."""

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"  # another screen, no cursor, empty
_LEAVE = "\x1b[0m\x1b[?25h\x1b[?1049l"
_BEGIN, _END = "\x1b[?2026h\x1b[H", "\x1b[?2026l"  # shown in one go where the terminal can
_SEQUENCES = {
    b"[A": "up", b"[B": "down", b"[C": "right", b"[D": "left", b"OA": "up", b"OB": "down",
    b"OC": "right", b"OD": "left", b"[H": "home", b"[F": "end", b"[1~": "home", b"[4~": "end",
    b"OH": "home", b"OF": "end", b"[5~": "page up", b"[6~": "page down",
}


def half_blocks(picture: Picture, columns: int, rows: int) -> list[str]:
    """At most `rows` lines of at most `columns` characters that show the whole picture."""
    shown = fitted(picture, columns, 2 * rows)[:, :, ::-1]
    if shown.shape[0] % 2:
        shown = np.concatenate([shown, np.zeros_like(shown[:1])])
    return [_line(upper, lower)
            for upper, lower in zip(shown[::2].tolist(), shown[1::2].tolist(), strict=True)]


def _line(upper: list[Any], lower: list[Any]) -> str:
    """One line; a colour is said only where it changes."""
    parts, last_upper, last_lower = [], None, None
    for above, below in zip(upper, lower, strict=True):
        if above != last_upper:
            parts.append("\x1b[38;2;{};{};{}m".format(*above))
            last_upper = above
        if below != last_lower:
            parts.append("\x1b[48;2;{};{};{}m".format(*below))
            last_lower = below
        parts.append("▀")
    return "".join(parts) + "\x1b[0m"


def parse_keys(data: bytes, *, more: bool) -> tuple[list[str], bytes]:
    """The keys in what a terminal sent, and the rest that is no whole key yet. `more`: bytes may
    still follow, so an Escape at the end may be the beginning of an arrow key."""
    keys: list[str] = []
    while data:
        if data[0] != 0x1b:
            keys.append(chr(data[0]))
            data = data[1:]
            continue
        length = _sequence_length(data)
        if length is None:
            if more:
                break
            length = 1
        keys.append("escape" if length == 1 else _SEQUENCES.get(data[1:length], ""))
        data = data[length:]
    return keys, data


def _sequence_length(data: bytes) -> int | None:
    """Bytes of the escape sequence at the front; None when its end has not come."""
    if len(data) < 2:
        return None
    if data[1:2] == b"O":
        return 3 if len(data) >= 3 else None
    if data[1:2] != b"[":
        return 1
    for at in range(2, len(data)):
        if 0x40 <= data[at] <= 0x7e:
            return at + 1
    return None


class Terminal:
    """The terminal behind two descriptors, for as long as the with statement lasts."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing
        self._before: list[Any] | None = None
        self._signals: dict[int, Any] = {}
        self._bytes = b""

    def __enter__(self) -> Terminal:
        self._before = termios.tcgetattr(self._reading)
        self._signals = {number: signal.signal(number, _interrupt)
                         for number in (signal.SIGTERM, signal.SIGHUP)}
        tty.setcbreak(self._reading)
        self._write(_ENTER)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, termios.error):  # it may have been closed
            self._write(_LEAVE)
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetattr(self._reading, termios.TCSADRAIN, self._before or [])
        for number, handler in self._signals.items():
            signal.signal(number, handler)

    def size(self) -> tuple[int, int]:
        """Columns and rows now."""
        try:
            columns, rows = os.get_terminal_size(self._writing)
        except OSError:
            return 80, 24
        return (columns, rows) if columns > 0 and rows > 0 else (80, 24)

    def show(self, lines: list[str], status: str) -> None:
        """Draw lines from the top and the status at the bottom."""
        rows = self.size()[1]
        drawn = [*lines[:rows - 1], *[""] * (rows - 1 - len(lines)), f"\x1b[7m{status}\x1b[0m"]
        self._write(_BEGIN + "\r\n".join(f"{line}\x1b[K" for line in drawn) + _END)

    def keys(self, timeout_s: float) -> list[str]:
        """What was typed; waits for it up to `timeout_s`. A terminal that has gone says "q"."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            waiting_s = ESCAPE_PATIENCE_S if self._bytes else max(0.0, deadline_s
                                                                 - time.monotonic())
            data = self._read(waiting_s)
            keys, self._bytes = parse_keys(self._bytes + (data or b""), more=bool(data))
            if data == b"":
                return [*keys, "q"]
            if keys or data is None:
                return keys

    def _read(self, timeout_s: float) -> bytes | None:
        """What came in time, None for nothing, b"" at the end."""
        if not select.select([self._reading], [], [], timeout_s)[0]:
            return None
        try:
            return os.read(self._reading, 1024)
        except OSError:
            return b""

    def _write(self, text: str) -> None:
        data = memoryview(text.encode())
        while data:
            data = data[os.write(self._writing, data):]


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """A signal ends the viewer as Ctrl-C does: the terminal is given back first."""
    raise KeyboardInterrupt
