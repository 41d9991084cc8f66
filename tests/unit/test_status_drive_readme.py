"""README.txt of a drive: what lies on it, for people; plain text whatever names are in it."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from fieldrec.export.containers import CONTAINERS
from fieldrec.status.drive_readme import FIRST_LINE, Row, rows_of, text

NOW = datetime(2026, 11, 22, 6, 30, tzinfo=UTC)
T = 1_795_240_800_000_000_000


def row(name: str, begin_ns: int | None = T, camera: str = "C1") -> Row:
    return Row(name, camera, begin_ns, None if begin_ns is None else begin_ns + 10**10, 250, 2, 1,
               ())


def test_items_are_told_by_their_recordings_oldest_first() -> None:
    known = {one.name: one for one in (row("bees_1", T + 1), row("ants_1", T), row("bees", T))}
    rows, others = rows_of(["ants_1", "ants_1.high.mp4", "bees_1.high.mp4", "bees_1-0a0a0a0a",
                            "bees_10", "theirs"], known)
    assert [(one.name, one.items) for one in rows] == [
        ("ants_1", ("ants_1", "ants_1.high.mp4")),
        ("bees_1", ("bees_1-0a0a0a0a", "bees_1.high.mp4"))]
    assert others == ["bees_10", "theirs"]


def test_what_it_says() -> None:
    rows, others = rows_of(["bees_1", *(f"bees_1.high{one.extension}" for one in CONTAINERS), "x"],
                           {"bees_1": row("bees_1")})
    told = text(box="meadow", deployment="spring", folder="fieldrec", rows=rows,
                others=len(others), report="fieldrec-report-meadow.html", now=NOW,
                zone=ZoneInfo("Europe/Vienna")).decode()
    lines = told.split("\r\n")
    assert lines[0] == FIRST_LINE and lines[-1] == ""
    assert "on 2026-11-22 07:30 (Europe/Vienna)." in lines
    (line,) = [line for line in lines if line.startswith("bees_1 ")]
    assert line.split() == ["bees_1", "C1", "2026-11-21", "07:00:00", "2026-11-21", "07:00:10",
                            "250", "2", "1", "raw,", "3", "exports"]
    assert "1 item in the folder come from other recorders" in told
    for word in ("fieldrec verify fieldrec", "ascmhl-debug verify fieldrec/bees_1",
                 'imgstore.new_for_filename("fieldrec/bees_1/bees_1")', "fieldrec.store",
                 "fieldrec-report-meadow.html", "fieldrec/DESIGN.md"):
        assert word in told, word


def test_no_character_that_a_terminal_acts_on() -> None:
    evil = row("a\x1b[2Jb\u202e", camera="\x9b31m")
    data = text(box="b\x07", deployment="d\n\x1b", folder="f", rows=[evil], others=0, report="",
                now=NOW, zone=UTC)
    assert all(character == "\r\n"[0] or character == "\n" or character.isprintable()
               for character in data.decode())


def test_nothing_and_very_much() -> None:
    assert "none of this recorder" in text(box="b", deployment="d", folder="f", rows=[], others=0,
                                           report="", now=NOW, zone=UTC).decode()
    many = [row(f"r{number:05}", None) for number in range(6000)]
    told = text(box="b", deployment="d", folder="f", rows=many, others=2, report="", now=NOW,
                zone=UTC).decode()
    assert "and 1000 older ones" in told and "r05999" in told and "r00500" not in told
