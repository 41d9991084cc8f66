"""OpenChunk: one file and one log record per frame, and nothing of a frame that failed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import xxhash

from fieldrec.core import durable
from fieldrec.core.errors import StoreError, StoreFull
from fieldrec.store import layout
from fieldrec.store.chunk import OpenChunk, as_store_error

HEADER = layout.npy_header((2, 3), "uint8")
PIXELS = np.arange(6, dtype=np.uint8).reshape(2, 3)


def test_files_and_log_say_the_same(tmp_path: Path) -> None:
    chunk = OpenChunk(tmp_path / "000000", 2, HEADER, 6)
    assert chunk.append(PIXELS, -5, 7, -1) == 128 + 6 + 48
    full = [chunk.full]
    chunk.append(PIXELS + 1, 9, 8, 3)
    full.append(chunk.full)
    assert full == [False, True]
    chunk.release()
    chunk.release()
    log = layout.parse_log((tmp_path / "000000" / "frames.log").read_bytes())
    for columns in (log.columns, chunk.columns):
        assert columns.numbers.tolist() == [-5, 9]
        assert columns.times_ns.tolist() == [7, 8]
        assert columns.device_times_ns.tolist() == [-1, 3]
        assert columns.digests is not None
        assert columns.digests.tolist() == [xxhash.xxh3_64_intdigest(PIXELS.tobytes()),
                                            xxhash.xxh3_64_intdigest((PIXELS + 1).tobytes())]
    assert np.array_equal(np.load(tmp_path / "000000" / "000001.npy"), PIXELS + 1)


def test_a_torn_log_record_is_cut_off_again(tmp_path: Path) -> None:
    chunk = OpenChunk(tmp_path / "000000", 4, HEADER, 6)
    chunk.append(PIXELS, 0, 0, -1)
    log = tmp_path / "000000" / "frames.log"

    def tear(step: str, path: Path) -> None:
        if step == "write" and path == log:
            with log.open("ab") as file:
                file.write(b"half a record")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    durable.set_hook(tear)
    with pytest.raises(StoreFull):
        chunk.append(PIXELS, 1, 1, -1)
    durable.set_hook(None)
    chunk.append(PIXELS, 2, 2, -1)
    chunk.release()
    assert layout.parse_log(log.read_bytes()).columns.numbers.tolist() == [0, 2]
    assert sorted(path.name for path in log.parent.glob("*.npy")) == ["000000.npy", "000001.npy"]


@pytest.mark.parametrize("step", ["make_directory", "create", "write", "fsync_directory"])
def test_a_chunk_that_cannot_be_made_leaves_nothing(tmp_path: Path, step: str) -> None:
    fired: list[str] = []

    def fail(at: str, path: Path) -> None:
        if at == step and not fired:
            fired.append(at)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    durable.set_hook(fail)
    with pytest.raises(StoreError):
        OpenChunk(tmp_path / "000000", 4, HEADER, 6)
    durable.set_hook(None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, StoreFull), (errno.EDQUOT, StoreFull),
                                              (errno.EIO, StoreError), (errno.EROFS, StoreError)])
def test_errors_in_our_words(number: int, kind: type[StoreError]) -> None:
    error = as_store_error(OSError(number, os.strerror(number)), Path("/x"))
    assert type(error) is kind
    assert "\n" not in str(error)
