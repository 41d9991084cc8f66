"""Who writes a store still: open files and fresh ones speak for it, readers do not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from fieldrec.store.recovery.in_use import writer_of

LATER_S = 4_000_000_000.0


def test_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert writer_of(tmp_path, [tmp_path, tmp_path / "file"], LATER_S) is None


def test_an_open_file_that_is_written(tmp_path: Path) -> None:
    (tmp_path / "s" / "000000").mkdir(parents=True)
    program = "import sys; f = open(sys.argv[1], 'w'); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "s" / "000000" / "x.json")], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        why = writer_of(tmp_path / "s", [], LATER_S)
        assert why is not None
        assert why.startswith(f"process {writer.pid} (")
        assert why.endswith("has 000000/x.json open")
        assert writer_of(tmp_path / "s" / "000000" / "..", [], LATER_S) == why
        writer.communicate("")
    assert writer_of(tmp_path / "s", [], LATER_S) is None


def test_who_reads_or_holds_the_lock_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (tmp_path / "file").open(), (tmp_path / ".lock").open("w"):
        assert writer_of(tmp_path, [], LATER_S) is None


def test_a_store_whose_name_begins_alike_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "bees").mkdir()
    (tmp_path / "bees2").mkdir()
    with (tmp_path / "bees2" / "file").open("w"):
        assert writer_of(tmp_path / "bees", [], LATER_S) is None
        assert writer_of(tmp_path / "bees2", [], LATER_S) is not None


def test_what_was_changed_within_a_minute(tmp_path: Path) -> None:
    file = tmp_path / "metadata.yaml"
    file.touch()
    os.utime(file, (1000, 1000))
    assert writer_of(tmp_path, [file], 1059) == "metadata.yaml was changed 59 s ago"
    assert writer_of(tmp_path, [file], 1061) is None
    assert writer_of(tmp_path, [file], 990) == "metadata.yaml was changed 0 s ago"
    assert writer_of(tmp_path, [file], 500) is None  # a clock that was set back, not a writer
    assert writer_of(tmp_path, [tmp_path / "gone"], 1059) is None
