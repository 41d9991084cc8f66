"""Who sits at a terminal."""

from __future__ import annotations

import os
from pathlib import Path

from fieldrec.power.people import Person, people

NOW_NS = 1_795_000_000 * 10**9


def terminal(devices: Path, name: str, last_key_ns: int) -> None:
    path = devices / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    os.utime(path, ns=(last_key_ns, NOW_NS))


def test_a_key_on_a_terminal_is_somebody(tmp_path: Path) -> None:
    terminal(tmp_path, "pts/0", 5)
    terminal(tmp_path, "pts/ptmx", 7)
    long_after_ns = 4 * NOW_NS  # a file's ctime is now, whatever a test wants
    terminal(tmp_path, "tty1", long_after_ns)
    terminal(tmp_path, "tty2", 3)  # nobody has typed since it was made or given away
    for name in ("tty", "tty0", "ttyS0", "ttyUSB0", "null"):
        terminal(tmp_path, name, long_after_ns)
    assert people(tmp_path) == (Person("pts/0", 5), Person("tty1", long_after_ns))


def test_no_terminals_nobody(tmp_path: Path) -> None:
    assert people(tmp_path) == ()


def test_a_real_terminal() -> None:
    ours, theirs = os.openpty()
    try:
        name = os.ttyname(theirs).removeprefix("/dev/")
        found = {person.terminal: person for person in people()}
        assert found[name].last_key_ns == os.fstat(theirs).st_atime_ns
    finally:
        os.close(ours)
        os.close(theirs)
