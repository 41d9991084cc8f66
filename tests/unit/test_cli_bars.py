"""Bars: one line for each piece of work at the foot of a terminal, and none where nobody looks."""

from __future__ import annotations

import os
import pty
import sys
import termios
from collections.abc import Iterator
from fcntl import ioctl
from struct import pack

import pytest
from rich.cells import cell_len

from fieldrec.cli import bars
from fieldrec.cli.bars import Bars


class Terminal:
    """A pseudo-terminal of 60 columns and 4 lines, in the place of stderr and stdout in tests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._ours, its = pty.openpty()
        ioctl(its, termios.TIOCSWINSZ, pack("HHHH", 4, 60, 0, 0))
        self.stream = os.fdopen(its, "w")

    def bars(self) -> Bars:
        """Bars on it."""
        self._monkeypatch.setattr(sys, "stderr", self.stream)
        self._monkeypatch.setattr(sys, "stdout", self.stream)
        return Bars()

    def said(self) -> str:
        """All that came so far; the terminal hands it on in its own time."""
        self.stream.write("\0")
        self.stream.flush()
        said = b""
        while not said.endswith(b"\0"):
            said += os.read(self._ours, 65536)
        return said[:-1].decode()

    def close(self) -> None:
        self.stream.close()
        os.close(self._ours)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    there = Terminal(monkeypatch)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(bars, "REDRAW_S", 0.0)
    yield there
    there.close()


def test_each_piece_has_its_line_and_none_is_left(terminal: Terminal) -> None:
    with terminal.bars() as shown:
        shown.tell("bees", "encoding", 5, 10)
        shown.tell("wasps", "verifying", 10, 10)
    said = terminal.said()
    last, wiped = said.split("\x1b[J")[-2:]
    assert last == ("bees   encoding   [##########..........]  50 %\r\n"
                    "wasps  verifying  [####################] 100 %\r\x1b[1A")
    assert wiped == ""


def test_what_is_said_stands_above_the_bars(terminal: Terminal) -> None:
    with terminal.bars() as shown:
        shown.tell("bees", "encoding", 5, 10)
        shown.tell("wasps", "encoding", 5, 10)
        shown.end("bees")
        shown.say("bees.mp4: made")
        shown.say("fieldrec: ants: lost", is_error=True)
    said = terminal.said().split("\x1b[J")
    assert said[-3].startswith("bees.mp4: made\r\nwasps  encoding")
    assert said[-2].startswith("fieldrec: ants: lost\r\nwasps  encoding")


def test_lines_are_cut_to_the_terminal_and_to_its_height(terminal: Terminal) -> None:
    with terminal.bars() as shown:
        for name in ("\u87f2" * 40, "b\x1b[2J", "c", "d"):
            shown.tell(name, "encoding", 1, 10)
    drawn = terminal.said().split("\x1b[J")[-2].removesuffix("\r\x1b[2A").split("\r\n")
    assert len(drawn) == 3
    assert drawn[0].startswith("\u87f2" * 14 + " …  encoding")
    assert drawn[1].startswith("b\ufffd[2J ")
    assert [cell_len(line) for line in drawn] == [59] * 3


def test_there_are_no_bars_where_nobody_looks_on(capsys: pytest.CaptureFixture[str]) -> None:
    with Bars() as shown:
        shown.tell("bees", "encoding", 5, 10)
        shown.say("bees.mp4: made")
        shown.say("fieldrec: ants: lost", is_error=True)
    assert capsys.readouterr() == ("bees.mp4: made\n", "fieldrec: ants: lost\n")


def test_a_dull_terminal_gets_lines_only(terminal: Terminal, monkeypatch: pytest.MonkeyPatch
                                         ) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with terminal.bars() as shown:
        shown.tell("bees", "encoding", 5, 10)
        shown.say("bees.mp4: made")
    assert terminal.said() == "bees.mp4: made\r\n"


def test_rate_and_time_left_are_said_after_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    row = bars._Row("encoding", 130, 190, first=100, began_s=100.0)
    monkeypatch.setattr("fieldrec.cli.bars.time.monotonic", lambda: 110.0)
    assert bars.line_of("bees", row, 4).endswith(" 68 %  3 fps  20 s left")
    monkeypatch.setattr("fieldrec.cli.bars.time.monotonic", lambda: 100.5)
    assert bars.line_of("bees", row, 4).endswith(" 68 %")
