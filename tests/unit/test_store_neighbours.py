"""What is around a lost index: the nearest chunks that tell anything, and how far away they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fieldrec.store.chunk_paths import ChunkPaths, chunk_paths
from fieldrec.store.layout import Columns, Log, index_bytes, log_bytes
from fieldrec.store.metadata import store_mapping, store_metadata
from fieldrec.store.recovery.index_salvage import Salvaged
from fieldrec.store.recovery.neighbours import Neighbours, recorded

METADATA = store_metadata(store_mapping(
    (4, 6), "uint8", chunksize=10, timezone="UTC", created_epoch_ns=5 * 10**9, uuid="u"))


def columns(first: int, count: int) -> Columns:
    numbers = np.arange(first, first + count, dtype=np.int64)
    return Columns(numbers, numbers * 10**9, np.full(count, -1, np.int64),
                   numbers.astype(np.uint64))


def chunks(root: Path, *numbers: int) -> list[ChunkPaths]:
    found = [chunk_paths(root, number) for number in numbers]
    for paths in found:
        paths.frames.mkdir()
    return found


def test_the_frames_around(tmp_path: Path) -> None:
    found = chunks(tmp_path, 0, 1, 2)
    found[2].index.write_bytes(index_bytes(columns(20, 3), METADATA.raw))
    neighbours = Neighbours(tmp_path, METADATA, {"acquisitionframerate": 12.5}, found)
    neighbours.passed(found[0], columns(0, 10))
    around = neighbours.around(found[1])
    assert around.clues.before.numbers.tolist() == list(range(10))
    assert around.clues.after.numbers.tolist() == [20, 21, 22]
    assert (around.clues.nominal_hz, around.clues.start_ns) == (12.5, 5 * 10**9)
    assert (around.skipped, around.span) == (0, 10)


def test_chunks_that_tell_nothing_are_passed_over(tmp_path: Path) -> None:
    found = chunks(tmp_path, 0, 1, 2, 3)
    found[3].log.write_bytes(log_bytes(Log(np.arange(2), columns(30, 2))))
    found[2].index.write_bytes(b"garbage")
    around = Neighbours(tmp_path, METADATA, {}, found).around(found[0])
    assert around.clues.after.numbers.tolist() == [30, 31]
    assert around.span == 30
    assert len(around.clues.before) == 0


def test_a_gap_ends_the_look_ahead_and_counts_behind(tmp_path: Path) -> None:
    found = chunks(tmp_path, 0, 2, 4)
    found[2].index.write_bytes(index_bytes(columns(40, 3), METADATA.raw))
    neighbours = Neighbours(tmp_path, METADATA, {}, found)
    neighbours.passed(found[0], columns(0, 10))
    around = neighbours.around(found[1])
    assert (len(around.clues.after), around.span, around.skipped) == (0, 0, 10)


def test_empty_chunks_are_no_neighbours(tmp_path: Path) -> None:
    found = chunks(tmp_path, 0, 1, 2)
    neighbours = Neighbours(tmp_path, METADATA, {}, found)
    neighbours.passed(found[0], columns(0, 10))
    neighbours.passed(found[1], Columns.empty())
    around = neighbours.around(found[2])
    assert around.clues.before.numbers[-1] == 9
    assert around.skipped == 10


def test_frames_that_are_gone_were_recorded_all_the_same() -> None:
    flags = np.zeros(5, np.uint8)
    known = Salvaged(columns(0, 5), True, True, flags, flags, flags)
    assert len(recorded(columns(0, 3), known)) == 5
    assert len(recorded(columns(0, 8), known)) == 8
    partly = Salvaged(columns(0, 5), True, False, flags, flags, flags)
    assert len(recorded(columns(0, 3), partly)) == 3
