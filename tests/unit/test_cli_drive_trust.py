"""`fieldrec drive trust`: what is held against a drive lies in the books of the box."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from click.testing import CliRunner

from fieldrec.cli.main import cli
from fieldrec.jobs.book_rows import BOOKS_NAME, BookRows, look
from fieldrec.jobs.suspects import Suspect


def test_a_drive_is_trusted_again(tmp_path: Path) -> None:
    private = tmp_path / ".fieldrec"
    private.mkdir()
    books = BookRows(private / BOOKS_NAME)
    books.load()
    one = Suspect("AB-12", "FIELD1", 3, 50, "bees/000000/000001.npy differs", True, 50)
    assert books.save([], (0.0, 0.0), [], [], [one]) == ""
    books.close()

    def trust(which: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli, ["drive", "trust", which, "--recordings", str(tmp_path)])
        return done.exit_code, f"{done.output}{done.exception}"

    assert "drives with faults: FIELD1 (AB-12)" in trust("OTHER")[1]
    code, said = trust("FIELD1")
    assert code == 0 and "drive FIELD1 is trusted again; it gave back other bytes" in said
    (after,) = look(private / BOOKS_NAME).suspects
    assert (after.faults, after.is_suspect, after.distrusted_ns) == (0, False, 50)
    assert "drives with faults: none" in trust("AB-12")[1]


def test_books_of_an_earlier_version_have_no_faults(tmp_path: Path) -> None:
    path = tmp_path / BOOKS_NAME
    books = BookRows(path)
    books.load()
    books.save([], (0.0, 0.0), [], [])
    books.close()
    with sqlite3.connect(path) as rows:
        rows.execute("DROP TABLE faults")
        rows.execute("PRAGMA user_version=1")
    rows.close()
    assert look(path).suspects == ()
    again = BookRows(path)
    assert again.load()[1] == ""
    again.close()
