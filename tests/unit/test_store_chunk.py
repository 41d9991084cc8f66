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
from fieldrec.store.chunk_paths import chunk_paths
from fieldrec.store.frame_files import frame_files
from fieldrec.store.metadata import store_mapping, store_metadata
from fieldrec.store.npy_frames import NpyFiles

FILES = NpyFiles((2, 3), "uint8")
PIXELS = np.arange(6, dtype=np.uint8).reshape(2, 3)


def test_files_and_log_say_the_same(tmp_path: Path) -> None:
    chunk = OpenChunk(chunk_paths(tmp_path, 0), 2, FILES)
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
    chunk = OpenChunk(chunk_paths(tmp_path, 0), 4, FILES)
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


def test_seconds_are_kept_exactly_where_nanoseconds_round_them(tmp_path: Path) -> None:
    chunk = OpenChunk(chunk_paths(tmp_path, 0), 4, FILES)
    chunk.append(PIXELS, 0, 1_500_000_000, -1, 1.5)
    assert chunk.columns.times_s is None
    chunk.append(PIXELS, 1, 1_666_666_667, -1, 5 / 3)
    chunk.append(PIXELS, 2, 1_750_000_000, -1)
    chunk.release()
    logged = layout.parse_log((tmp_path / "000000" / "frames.log").read_bytes()).columns
    for columns in (chunk.columns, logged):
        assert columns.seconds().tolist() == [1.5, 5 / 3, 1.75]
        assert columns.times_ns.tolist() == [1_500_000_000, 1_666_666_667, 1_750_000_000]


@pytest.mark.parametrize("form", ["png", "bmp", "tif", "jpg", "pgm", "ppm"])
def test_encoded_frames_are_logged_by_their_files_digests(tmp_path: Path, form: str) -> None:
    store = store_mapping((16, 24), "uint8", chunksize=3, timezone="UTC", created_epoch_ns=0,
                          uuid="0" * 32, form=form)
    chunk = OpenChunk(chunk_paths(tmp_path, 0), 3, frame_files(store_metadata(store)))
    pixels = np.arange(16 * 24, dtype=np.uint8).reshape(16, 24)
    written = chunk.append(pixels, 0, 0, -1)
    chunk.release()
    file = tmp_path / "000000" / f"000000.{form}"
    assert written == file.stat().st_size + 48
    digests = chunk.columns.digests
    assert digests is not None
    assert int(digests[0]) == xxhash.xxh3_64_intdigest(file.read_bytes())


@pytest.mark.parametrize("step", ["make_directory", "create", "write"])
def test_a_chunk_that_cannot_be_made_leaves_nothing(tmp_path: Path, step: str) -> None:
    fired: list[str] = []

    def fail(at: str, path: Path) -> None:
        if at == step and not fired:
            fired.append(at)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    durable.set_hook(fail)
    with pytest.raises(StoreError):
        OpenChunk(chunk_paths(tmp_path, 0), 4, FILES)
    durable.set_hook(None)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_chunk_goes_with_all_that_lies_in_it(tmp_path: Path) -> None:
    chunk = OpenChunk(chunk_paths(tmp_path, 0), 4, FILES)
    (tmp_path / "000000" / "index.npz").touch()
    (tmp_path / "000000" / "000000.npy").touch()
    chunk.discard_empty()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, StoreFull), (errno.EDQUOT, StoreFull),
                                              (errno.EIO, StoreError), (errno.EROFS, StoreError)])
def test_errors_in_our_words(number: int, kind: type[StoreError]) -> None:
    error = as_store_error(OSError(number, os.strerror(number)), Path("/x"))
    assert type(error) is kind
    assert "\n" not in str(error)
