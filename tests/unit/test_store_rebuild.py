"""An index from frame files: what is known stays, what is not is marked, and a kill changes
nothing. (With the real imgstore's stores: contract/test_recover_foreign.py.)"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fieldrec.core import durable
from fieldrec.core.errors import StoreDamaged
from fieldrec.store.chunk_paths import ChunkPaths, chunk_paths
from fieldrec.store.frame_files import FrameFiles, frame_files
from fieldrec.store.layout import Columns, index_bytes
from fieldrec.store.metadata import StoreMetadata, store_mapping, store_metadata
from fieldrec.store.recovery import rebuild
from fieldrec.store.recovery.chunk_look import holes_plan, look_at
from fieldrec.store.recovery.estimate import Clues
from fieldrec.store.recovery.index_salvage import Salvaged

METADATA: StoreMetadata = store_metadata(store_mapping(
    (4, 6), "uint8", chunksize=9, timezone="UTC", created_epoch_ns=0, uuid="u"))
FILES: FrameFiles = frame_files(METADATA)
NOTHING = Columns.empty()


def columns(*numbers: int, digests: bool = False) -> Columns:
    told = np.array(numbers, np.int64)
    return Columns(told, told * 10**9, told * 7,
                   told.astype(np.uint64) if digests else None)


def known(listed: Columns) -> Salvaged:
    flags = np.zeros(len(listed), np.uint8)
    return Salvaged(listed, True, True, flags, flags, flags)


@pytest.fixture
def chunk(tmp_path: Path) -> ChunkPaths:
    """Frames at 0, 1, 3, 4, 6; that at 2 is cut; other files besides."""
    paths = chunk_paths(tmp_path, 0)
    paths.frames.mkdir()
    for position in (0, 1, 2, 3, 4, 6):
        np.save(paths.frame(position, "npy"), np.full((4, 6), position, np.uint8))
    paths.frame(2, "npy").write_bytes(b"cut")
    for name in ("7.npy", "000008.png", "x000009.npy", "000001.npy.tmp"):
        (paths.frames / name).write_bytes(b"")
    return paths


def test_frame_files_are_found_and_judged(chunk: ChunkPaths) -> None:
    found = rebuild.find_files(chunk, FILES)
    assert found.whole.tolist() == [0, 1, 3, 4, 6]
    assert found.broken_positions == [2]
    assert found.digests is None
    assert found.written_ns.tolist() == [chunk.frame(position, "npy").stat().st_mtime_ns
                                         for position in (0, 1, 3, 4, 6)]


def test_digests_are_those_that_the_writer_takes(chunk: ChunkPaths) -> None:
    found = rebuild.find_files(chunk, FILES, digests=True)
    assert found.digests is not None
    for position, digest in zip(found.whole, found.digests, strict=True):
        pixels = np.full((4, 6), position, np.uint8)
        assert digest == FILES.digest(pixels, FILES.buffers(pixels)[0])


def test_what_is_known_stays_and_the_rest_is_marked(chunk: ChunkPaths) -> None:
    found = rebuild.find_files(chunk, FILES)
    listed = columns(50, 51, 52, 53)
    new = rebuild.new_index(found, known(listed), Clues(columns(7), NOTHING))
    assert new.positions.tolist() == [0, 1, 3, 4, 6]
    assert new.columns.numbers.tolist() == [50, 51, 53, 54, 56]
    assert new.columns.times_ns.tolist()[:3] == [50 * 10**9, 51 * 10**9, 53 * 10**9]
    assert new.columns.device_times_ns.tolist() == [350, 357, 371, -1, -1]
    assert new.number_estimated.tolist() == new.time_estimated.tolist() == [0, 0, 0, 1, 1]
    assert new.numbers_by == "going on from 53 by 1"


def test_nothing_known(chunk: ChunkPaths) -> None:
    new = rebuild.new_index(rebuild.find_files(chunk, FILES), Salvaged.nothing(),
                            Clues(columns(7, 8), NOTHING), skipped=10)
    assert new.columns.numbers.tolist() == [19, 20, 22, 23, 25]
    assert new.columns.digests is None
    assert new.number_estimated.all()


def test_known_digests_stay_and_new_ones_are_marked_late(chunk: ChunkPaths) -> None:
    listed = columns(50, 51, 52, 53, digests=True)
    without = rebuild.new_index(rebuild.find_files(chunk, FILES), known(listed),
                                Clues(NOTHING, NOTHING))
    assert without.columns.digests is None  # half a column would be worse than none
    new = rebuild.new_index(rebuild.find_files(chunk, FILES, digests=True), known(listed),
                            Clues(NOTHING, NOTHING))
    assert new.columns.digests is not None
    assert new.columns.digests[:3].tolist() == [50, 51, 53]
    assert new.digest_late.tolist() == [0, 0, 0, 1, 1]


def test_holes_are_closed_whenever_it_is_killed(chunk: ChunkPaths, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    old = columns(*range(7))
    chunk.index.write_bytes(index_bytes(old, METADATA.raw))
    new = rebuild.new_index(rebuild.find_files(chunk, FILES), known(old), Clues(NOTHING, NOTHING))
    chunk.frame(2, "npy").unlink()
    for step in range(60):
        seen = 0

        def hook(name: str, path: Path, step: int = step) -> None:
            nonlocal seen
            seen += 1
            if seen > step:
                raise Killed

        durable.set_hook(hook)
        try:
            if holes_plan(chunk).exists():
                rebuild.carry_on(chunk, METADATA)
            else:
                rebuild.put_index(chunk, new, METADATA)
            break
        except Killed:
            listed = look_at(chunk).columns
            if not chunk.frame(2, "npy").exists():
                continue  # nothing was moved yet: the old index tells the truth
            assert listed is None or listed.numbers.tolist() == [0, 1, 3, 4, 6], (
                "an index would list frames that are others by now")
        finally:
            durable.set_hook(None)
    look = look_at(chunk)
    assert look.columns is not None
    assert look.columns.numbers.tolist() == [0, 1, 3, 4, 6]
    assert not look.holes
    for position, number in enumerate([0, 1, 3, 4, 6]):
        assert (np.load(chunk.frame(position, "npy")) == number).all()
    assert not chunk.frame(5, "npy").exists()
    assert step > 5


def test_a_plan_that_cannot_be_read(chunk: ChunkPaths) -> None:
    holes_plan(chunk).write_bytes(b"garbage")
    with pytest.raises(StoreDamaged, match="put the chunk back"):
        rebuild.carry_on(chunk, METADATA)


def test_files_are_put_aside_under_free_names(chunk: ChunkPaths, tmp_path: Path) -> None:
    (tmp_path / "000000.000002.npy.damaged").touch()
    (_, target), = rebuild.aside(tmp_path, chunk, (chunk.frame(2, "npy"),))
    assert target == tmp_path / "000000.000002.npy.damaged.2"


def test_how_late_files_are(chunk: ChunkPaths) -> None:
    import os
    listed = columns(1, 2)
    for position, late_s in ((0, 1.25), (1, 2.25)):
        os.utime(chunk.frame(position, "npy"), (late_s, late_s))
    assert rebuild.file_delay_ns(chunk, listed, "npy") == 250_000_000
    assert rebuild.file_delay_ns(chunk_paths(chunk.frames, 3), listed, "npy") is None
