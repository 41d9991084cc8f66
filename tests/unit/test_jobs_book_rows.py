"""The file of the books: what is kept, what is bounded, and that a bad file harms nothing (I6)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fieldrec.core.errors import FieldrecError
from fieldrec.jobs import book_rows
from fieldrec.jobs.book_rows import BookRows, Books, look
from fieldrec.jobs.energy_book import ENTRIES
from fieldrec.jobs.energy_figures import Entry
from fieldrec.jobs.verified_copies import VerifiedCopy

ENTRY = Entry("copy", "nas", 7, 60.0, 30.0, 5.5, 2.0, 12.5, 10**13)
COPY = VerifiedCopy("u", "bees", "drive:1", "BEES1", 10**18, "f" * 16, 10**12)


def path_in(root: Path) -> Path:
    return root / ".fieldrec" / "books.sqlite"


def saved(path: Path, **more: object) -> BookRows:
    rows = BookRows(path)
    assert rows.load() == (Books(), "")
    assert rows.save([ENTRY], (2000.0, 300.0), [COPY], []) == ""
    rows.close()
    return rows


def test_nothing_is_written_before_there_is_something(tmp_path: Path) -> None:
    rows = BookRows(path_in(tmp_path))
    assert rows.load() == (Books(), "")
    rows.close()
    assert not path_in(tmp_path).exists()
    assert look(path_in(tmp_path)) == Books()


def test_what_is_kept(tmp_path: Path) -> None:
    saved(path_in(tmp_path))
    kept = Books((ENTRY,), 2000.0, 300.0, (COPY,))
    again = BookRows(path_in(tmp_path))
    assert again.load() == (kept, "")
    assert look(path_in(tmp_path)) == kept  # while it is open
    newer = VerifiedCopy("u", "bees", "drive:1", "BEES1", 2 * 10**18, "e" * 16, 10)
    other = VerifiedCopy("u", "bees", "nas", "", 10**18, "e" * 16, 10)
    assert again.save([], (1.0, 2.0), [newer, other], []) == ""
    assert again.save([], (1.0, 2.0), [], [other]) == ""
    again.close()
    again.close()
    assert look(path_in(tmp_path)).copies == (newer,)
    assert list(tmp_path.glob(".fieldrec/*")) == [path_in(tmp_path)]


def test_it_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_rows, "COPIES", 5)
    rows = BookRows(path_in(tmp_path))
    rows.load()
    rows.save([Entry("copy", "nas", number) for number in range(ENTRIES + 20)], (0, 0), [
        VerifiedCopy(f"u{number}", "x", "nas", "", number, "", 1) for number in range(9)], [])
    rows.close()
    books = look(path_in(tmp_path))
    assert [entry.ended_ns for entry in books.entries] == list(range(20, ENTRIES + 20))
    assert [copy.uuid for copy in books.copies] == [f"u{number}" for number in range(4, 9)]


@pytest.mark.parametrize("spoil", ["garbage", "cut", "version", "words"])
def test_a_bad_file_is_put_aside(tmp_path: Path, spoil: str) -> None:
    path = path_in(tmp_path)
    saved(path)
    match spoil:
        case "garbage":
            path.write_bytes(b"not a database " * 500)
        case "cut":
            path.write_bytes(path.read_bytes()[:5000])
        case "version":
            with closing(sqlite3.connect(path)) as file:
                file.execute("PRAGMA user_version=99")
        case "words":
            with closing(sqlite3.connect(path)) as file:
                file.execute("UPDATE energy SET seconds = 'long'")
                file.commit()
    with pytest.raises(FieldrecError, match="puts it aside"):
        look(path)
    rows = BookRows(path)
    books, trouble = rows.load()
    assert books == Books()
    assert "put aside as books.sqlite.bad, begun anew" in trouble
    assert rows.save([ENTRY], (0, 0), [], []) == ""
    rows.close()
    assert look(path).entries == (ENTRY,)


def test_what_only_sqlites_own_check_finds(tmp_path: Path) -> None:
    path = path_in(tmp_path)
    saved(path)
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA ignore_check_constraints=ON")
        file.execute("INSERT INTO idling VALUES (2, 1.0, 1.0)")
        file.commit()
    rows = BookRows(path)
    assert "CHECK constraint failed in idling): put aside" in rows.load()[1]
    rows.close()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    rows = BookRows(tmp_path / "file" / "books.sqlite")
    assert rows.load()[0] == Books()
    assert rows.save([ENTRY], (0, 0), [], []) != ""
    assert rows.save([ENTRY], (0, 0), [], []) == "the file could not be opened"
    rows.close()
