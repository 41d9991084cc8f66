"""recovered.json: one honest entry per recovery, however often it was killed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fieldrec import __version__
from fieldrec.store.recovery.note import (
    NOTE_NAME,
    Estimate,
    Journal,
    entries_text,
    parse_entries,
    read_entries,
)

NOW_S = 1_700_000_000.0


def test_a_recovery_is_told_in_full(tmp_path: Path) -> None:
    journal = Journal(tmp_path, NOW_S)
    journal.intend("000003", 9, Estimate("000003", 8, "going on", "evenly"))
    assert journal.settle("000003", 8) == 1
    journal.say("something")
    journal.say("something")
    journal.finish(800)
    assert json.loads((tmp_path / NOTE_NAME).read_text()) == [{
        "when": "2023-11-14T22:13:20+00:00", "program": f"fieldrec {__version__}",
        "frames_kept": 800, "frames_damaged": 1, "chunks_repaired": ["000003"],
        "estimated": [{"chunk": "000003", "frames": 8, "numbers": "going on", "times": "evenly"}],
        "notes": ["something"]}]


def test_nothing_is_written_while_nothing_changes(tmp_path: Path) -> None:
    journal = Journal(tmp_path, NOW_S)
    assert not journal.changed
    journal.finish(5)
    assert list(tmp_path.iterdir()) == []


def test_entries_add_up(tmp_path: Path) -> None:
    for count in (1, 2):
        journal = Journal(tmp_path, NOW_S)
        journal.say(f"recovery {count}")
        journal.finish(count)
    assert [entry.notes for entry in read_entries(tmp_path)] == [["recovery 1"], ["recovery 2"]]


def test_what_was_killed_goes_on_in_the_same_entry(tmp_path: Path) -> None:
    killed = Journal(tmp_path, NOW_S)
    killed.intend("000000", 10, Estimate("000000", 10, "a", "b"))
    assert not read_entries(tmp_path)[0].finished
    again = Journal(tmp_path, NOW_S + 60)
    assert again.unsettled == ["000000"]
    again.intend("000000", 7)  # what is left now; the first count stays
    assert again.settle("000000", 7) == 3
    assert again.settle("000000", 7) == 3  # counted once all the same
    again.finish(7)
    entry, = read_entries(tmp_path)
    assert entry.finished
    assert (entry.when_utc, entry.frames_damaged) == ("2023-11-14T22:13:20+00:00", 3)
    assert len(entry.estimated) == 1


def test_a_better_count_replaces_a_lower_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path, NOW_S)
    journal.intend("000000", 5)
    journal.count("000000", 6)
    journal.count("000000", 2)
    assert journal.settle("000000", 4) == 2


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"when": 1}]', "[", "\0" * 20, "[" * 5000])
def test_a_note_that_cannot_be_read_is_put_aside(tmp_path: Path, text: str) -> None:
    (tmp_path / NOTE_NAME).write_text(text)
    with pytest.raises(ValueError, match="not a list of recoveries"):
        read_entries(tmp_path)
    journal = Journal(tmp_path, NOW_S)
    journal.finish(1)
    assert (tmp_path / f"{NOTE_NAME}.broken").read_text() == text
    assert "could not be read" in read_entries(tmp_path)[0].notes[0]


def test_text_and_entries_are_the_same(tmp_path: Path) -> None:
    journal = Journal(tmp_path, NOW_S)
    journal.intend("000001", 3)
    journal.say("ünï")
    entries = [journal.entry]
    assert parse_entries(entries_text(entries)) == entries
