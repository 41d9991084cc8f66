"""A line with a bar for each piece of work that is under way, at the foot of a terminal.

Told by the threads that work, drawn by whichever of them is the first to notice that it is time;
:meth:`Bars.say` puts a line for good above them. Where nobody looks on there are no bars.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType

from fieldrec.cli.out import echo
from fieldrec.status import words

REDRAW_S = 0.1
_BAR = 20
_NAME = 30
"""Characters of a bar, and of a name before it is cut."""
_DULL = ("dumb", "")
"""Terminals on which a cursor cannot be moved."""


@dataclass
class _Row:
    phase: str = "waiting"
    done: int = 0
    total: int = 0
    first: int = 0
    """What was done of the phase when it began: work that goes on where a dead run was."""
    began_s: float = field(default_factory=time.monotonic)


class Bars:
    """The bars of one command; a context manager that wipes them away at its end."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty() and os.environ.get("TERM", "") not in _DULL
        self._lock = threading.Lock()
        self._rows: dict[str, _Row] = {}
        self._lines = 0
        self._next_s = 0.0

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        with self._lock:
            self._rows.clear()
            self._wipe()

    def tell(self, name: str, phase: str, done: int, total: int) -> None:
        """So many of the `total` frames of a phase of this piece are done; any thread."""
        if not self._shown:
            return
        with self._lock:
            row = self._rows.setdefault(name, _Row())
            if row.phase != phase:
                row.phase, row.first, row.began_s = phase, done, time.monotonic()
            row.done, row.total = done, total
            if time.monotonic() >= self._next_s:
                self._draw()

    def end(self, name: str) -> None:
        """This piece has no bar any more; any thread."""
        with self._lock:
            self._rows.pop(name, None)

    def say(self, text: str, *, is_error: bool = False) -> None:
        """Print for good, on stdout or stderr; any thread."""
        with self._lock:
            self._wipe()
            if is_error:
                with contextlib.suppress(OSError):
                    sys.stderr.write(f"{text}\n")
                    sys.stderr.flush()
            else:
                echo(text)
            if self._rows:
                self._draw()

    def _draw(self) -> None:
        from rich.cells import cell_len

        columns, lines = _size()
        name = min(_NAME, max(map(cell_len, self._rows)))
        rows = [_cut(line_of(key, row, name), columns - 1)
                for key, row in list(self._rows.items())[:lines - 1]]
        self._wipe()
        self._write("\n".join(rows))
        self._lines = len(rows)
        self._next_s = time.monotonic() + REDRAW_S

    def _wipe(self) -> None:
        if self._shown and self._lines:
            up = f"\x1b[{self._lines - 1}A" if self._lines > 1 else ""
            self._write(f"\r{up}\x1b[J")
            self._lines = 0

    def _write(self, text: str) -> None:
        if self._shown:
            with contextlib.suppress(OSError):
                sys.stderr.write(text)
                sys.stderr.flush()


def line_of(name: str, row: _Row, width: int) -> str:
    """One bar: name, phase, bar, per cent, frames a second, time left in this phase."""
    share = min(row.done / row.total, 1.0) if row.total else 0.0
    passed_s = time.monotonic() - row.began_s
    bar = "#" * round(share * _BAR)
    line = (f"{_cut(words.safe_text(name), width, padded=True)}  {row.phase:<10} "
            f"[{bar:.<{_BAR}}] {share * 100:3.0f} %")
    done = row.done - row.first
    if passed_s < 1 or done < 1:
        return line
    left = words.duration(passed_s * (row.total - row.done) / done)
    return f"{line}  {done / passed_s:.0f} fps  {left} left"


def _cut(text: str, width: int, *, padded: bool = False) -> str:
    """At most so wide on a terminal, where some characters take two cells; or just so wide."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) > width:
        return set_cell_size(text, max(width - 1, 0)) + "…"
    return set_cell_size(text, width) if padded else text


def _size() -> tuple[int, int]:
    try:
        return os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):
        return 80, 24
