"""`fieldrec energy` on a real book."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from fieldrec.cli.energy import energy_command
from fieldrec.core.errors import FieldrecError
from fieldrec.jobs.book_rows import BookRows
from fieldrec.jobs.energy_figures import Entry


def asked(folder: Path, *more: str) -> str:
    done = CliRunner().invoke(energy_command, ["--recordings", str(folder), *more],
                              catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def book(folder: Path) -> None:
    rows = BookRows(folder / ".fieldrec" / "books.sqlite")
    rows.load()
    rows.save([Entry("recording", "left+right", 1, 7200, 3600, 5000, 2000, 2160, 72 * 10**9),
               Entry("export", "High", 2, 1800, 0, 0, 0, 6840, 5 * 10**9),
               Entry("copy", "nas", 3, 3600, 3600, 2500, 2000, 1800, 100 * 10**9)],
              (2000.0, 7200.0), [], [])
    rows.close()


def test_a_table_and_json(tmp_path: Path) -> None:
    book(tmp_path)
    said = asked(tmp_path)
    rows = {line.split()[0]: line.split() for line in said.splitlines() if line.strip()}
    assert rows["recording"] == ["recording", "left+right", "1", "2", "h", "5.00", "7.00", "18",
                                 "min", "36.0", "GB", "139", "mWh", "30", "s"]
    assert rows["copy"][-5:] == ["100", "GB", "25", "mWh", "18", "s"][-5:]
    assert rows["export"][5:8] == ["-", "-", "3"]
    assert "idling: 2.00 W, watched on battery for 2 h" in said
    assert said.index("recording") < said.index("copy") < said.index("export")
    told = json.loads(asked(tmp_path, "--json"))
    assert told["idle_mw"] == 2000 and len(told["figures"]) == 3
    assert told["figures"][0]["own_mw"] == 5000


def test_an_empty_book(tmp_path: Path) -> None:
    assert asked(tmp_path) == f"nothing was booked yet in {tmp_path}\n"


def test_a_broken_book_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".fieldrec").mkdir()
    (tmp_path / ".fieldrec" / "books.sqlite").write_bytes(b"x" * 5000)
    done = CliRunner().invoke(energy_command, ["--recordings", str(tmp_path)])
    assert isinstance(done.exception, FieldrecError)
    assert "\n" not in str(done.exception)
