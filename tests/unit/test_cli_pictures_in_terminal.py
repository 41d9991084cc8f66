"""Half blocks show the right colours, keys are understood, and the terminal is given back."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import termios
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldrec.cli.pictures_in_terminal import Terminal, half_blocks, parse_keys


def test_a_character_shows_two_pixels_in_their_colours() -> None:
    picture = np.zeros((2, 1, 3), np.uint8)
    picture[0, 0] = (3, 2, 1)  # BGR
    picture[1, 0] = (30, 20, 10)
    assert half_blocks(picture, 1, 1) == ["\x1b[38;2;1;2;3m\x1b[48;2;10;20;30m▀\x1b[0m"]


def test_a_colour_is_said_once_for_a_run() -> None:
    (line,) = half_blocks(np.full((2, 4), 7, np.uint8), 4, 1)
    assert line == "\x1b[38;2;7;7;7m\x1b[48;2;7;7;7m▀▀▀▀\x1b[0m"


@pytest.mark.parametrize(("shape", "columns", "rows", "size"), [
    ((480, 640), 80, 23, (61, 23)), ((480, 640), 40, 50, (40, 15)), ((1, 1000), 80, 24, (80, 1)),
    ((1000, 1), 80, 24, (1, 24)), ((2, 2), 1, 1, (1, 1))])
def test_the_whole_picture_fits_in_proportion(shape: tuple[int, int], columns: int, rows: int,
                                             size: tuple[int, int]) -> None:
    lines = half_blocks(np.full(shape, 9, np.uint8), columns, rows)
    assert (lines[0].count("▀"), len(lines)) == size


@pytest.mark.parametrize(("data", "keys"), [
    (b"q", ["q"]), (b" .,", [" ", ".", ","]), (b"\x1b[A\x1b[B\x1b[C\x1b[D", ["up", "down", "right",
                                                                            "left"]),
    (b"\x1bOA", ["up"]), (b"\x1b[5~\x1b[6~\x1b[H\x1b[4~", ["page up", "page down", "home", "end"]),
    (b"\x1b[1;5C", [""]), (b"\x1bq", ["escape", "q"]), (b"\x1b\x1b[A", ["escape", "up"]),
    (b"\xc3\xa4", ["\xc3", "\xa4"]),
])
def test_keys(data: bytes, keys: list[str]) -> None:
    assert parse_keys(data, more=False) == (keys, b"")


@pytest.mark.parametrize("data", [b"\x1b", b"\x1b[", b"\x1b[1;", b"\x1bO"])
def test_an_escape_may_be_the_beginning_of_a_key(data: bytes) -> None:
    assert parse_keys(data, more=True) == ([], data)
    assert parse_keys(data, more=False)[0][0] == "escape"


@given(st.binary(max_size=20), st.integers(0, 20))
def test_keys_do_not_depend_on_how_the_bytes_arrive(data: bytes, cut: int) -> None:
    keys, rest = parse_keys(data[:cut], more=True)
    later, end = parse_keys(rest + data[cut:], more=False)
    assert (keys + later, end) == parse_keys(data, more=False)


@pytest.fixture
def line() -> Iterator[tuple[int, int]]:
    """(our end, the terminal's end) of a terminal of 20 by 5."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 5, 20, 0, 0))
    try:
        yield ours, its
    finally:
        for descriptor in (ours, its):
            os.close(descriptor)


def received(descriptor: int) -> str:
    data = b""
    while select.select([descriptor], [], [], 0.1)[0]:
        data += os.read(descriptor, 65536)
    return data.decode()


def test_a_terminal_is_drawn_on_and_given_back(line: tuple[int, int]) -> None:
    ours, its = line
    before = termios.tcgetattr(its)
    with pytest.raises(KeyboardInterrupt), Terminal(its, its) as terminal:
        assert terminal.size() == (20, 5)
        assert not termios.tcgetattr(its)[3] & termios.ICANON
        terminal.show(["one", "two"], "status")
        raise KeyboardInterrupt
    assert termios.tcgetattr(its) == before
    said = received(ours)
    assert said.startswith("\x1b[?1049h")
    assert said.endswith("\x1b[?1049l")
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said).split("\r\n")
    assert [text.strip() for text in shown] == ["one", "two", "", "", "status"]


def test_keys_come_as_typed_and_nothing_is_nothing(line: tuple[int, int]) -> None:
    ours, its = line
    with Terminal(its, its) as terminal:
        assert terminal.keys(0.0) == []
        os.write(ours, b"\x1b[C.")
        assert terminal.keys(10.0) == ["right", "."]
        os.write(ours, b"\x1b")
        assert terminal.keys(10.0) == ["escape"]


def test_a_terminal_that_goes_away_ends_the_viewer() -> None:
    reading, writing = os.pipe()
    _, its = pty.openpty()
    try:
        terminal = Terminal(its, its)
        terminal._reading = reading
        os.close(writing)
        assert terminal.keys(10.0) == ["q"]
    finally:
        for descriptor in (reading, its, _):
            os.close(descriptor)
