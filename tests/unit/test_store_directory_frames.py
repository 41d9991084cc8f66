"""DirectoryFrames: the pixels of the real imgstore's stores, frame by frame, over chunks."""

from __future__ import annotations

import sys
import uuid
from pathlib import Path
from typing import Any

import imgstore
import numpy as np
import pytest
from numpy.typing import NDArray

from fieldrec.core.errors import StoreDamaged, StoreError
from fieldrec.store.chunk_paths import ChunkPaths, chunk_paths, find_chunks
from fieldrec.store.directory_frames import DirectoryFrames
from fieldrec.store.frame_files import directory_formats, stored_format
from fieldrec.store.frame_source import FrameSource
from fieldrec.store.metadata import StoreMetadata, parse_metadata, store_mapping, store_metadata

RNG = np.random.default_rng(31)
CHUNKSIZE = 4
COUNT = 10


def imgstores(folder: Path, form: str, shape: tuple[int, ...], **options: Any
              ) -> tuple[StoreMetadata, list[ChunkPaths], list[NDArray[Any]]]:
    """A store by the real imgstore, and its undecoded frames as imgstore reads them."""
    store = imgstore.new_for_format(form, str(folder), imgshape=shape, imgdtype=np.uint8,
                                    chunksize=CHUNKSIZE, **options)
    for number in range(COUNT):
        store.add_image(RNG.integers(0, 256, shape, dtype=np.uint8), number, number / 10)
    store.close()
    mapping, _ = parse_metadata((folder / "metadata.yaml").read_text())
    metadata = store_metadata(mapping)
    reader = imgstore.new_for_filename(str(folder))
    reader.disable_decoding()
    frames = [reader.get_image(number)[0] for number in range(COUNT)]
    reader.close()
    return metadata, find_chunks(folder, metadata), frames


def of_shape(shape: tuple[int, ...], dtype: str = "uint8", form: str = "npy") -> StoreMetadata:
    return store_metadata(store_mapping(shape, dtype, chunksize=9, timezone="UTC",
                                        created_epoch_ns=0, uuid=uuid.uuid4().hex, form=form))


@pytest.mark.parametrize("form", directory_formats())
def test_every_frame_in_any_order(form: str, tmp_path: Path) -> None:
    options = {"encoding": "cv_bayergr"} if "+" in form else {}
    shape = (24, 30, 3) if form == "ppm" else (24, 30)
    metadata, chunks, frames = imgstores(tmp_path / "store", form, shape, **options)
    source: FrameSource = DirectoryFrames(metadata)
    out = np.zeros_like(frames[0])
    for index in [*range(COUNT), *RNG.permutation(COUNT).tolist()]:
        at, position = divmod(index, CHUNKSIZE)
        assert np.array_equal(source.read(chunks[at], position), frames[index])
        assert source.read(chunks[at], position, out) is out
        assert np.array_equal(out, frames[index])
    source.close()
    source.close()
    assert np.array_equal(source.read(chunks[0], 0), frames[0])
    assert stored_format(form) == metadata.format


def test_positions_may_be_numpys_and_have_seven_digits(tmp_path: Path) -> None:
    chunk = chunk_paths(tmp_path, 3)
    chunk.frames.mkdir()
    pixels = RNG.integers(0, 256, (4, 5), dtype=np.uint8)
    for position in (7, 1_234_567):
        np.save(chunk.frame(position, "npy"), pixels)
        source = DirectoryFrames(of_shape((4, 5)))
        for index in (position, np.int64(position), np.uint32(position)):
            assert np.array_equal(source.read(chunk, int(index)), pixels)
            assert np.array_equal(source.read(chunk, index), pixels)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["npy", "png"])
def test_a_damaged_frame_is_named_and_the_next_one_is_read(form: str, tmp_path: Path) -> None:
    metadata, chunks, frames = imgstores(tmp_path / "store", form, (24, 30))
    files = [chunks[0].frame(position, form) for position in range(CHUNKSIZE)]
    files[1].write_bytes(files[1].read_bytes()[:200])
    files[2].unlink()
    source = DirectoryFrames(metadata)
    for position, reason in ((1, "cut short"), (2, "No such file")):
        with pytest.raises(StoreDamaged, match=reason) as damaged:
            source.read(chunks[0], position)
        assert str(files[position]) in str(damaged.value)
        assert np.array_equal(source.read(chunks[0], 3), frames[3])
        assert np.array_equal(source.read(chunks[1], 0), frames[4])


def test_a_store_that_holds_more_than_it_says(tmp_path: Path) -> None:
    """imgstore checks neither shape nor dtype of what it is given."""
    chunk = chunk_paths(tmp_path, 0)
    chunk.frames.mkdir()
    mixture: list[NDArray[Any]] = [RNG.random((6, 7)), RNG.integers(0, 9, (3, 4)),
                                   np.zeros((4, 5), np.uint8)]
    for position, pixels in enumerate(mixture):
        np.save(chunk.frame(position, "npy"), pixels)
    source = DirectoryFrames(of_shape((4, 5)))
    for position in (0, 1, 2, 1, 0):
        read = source.read(chunk, position, np.zeros((4, 5), np.uint8))
        assert read.dtype == mixture[position].dtype
        assert np.array_equal(read, mixture[position])


def test_mapped_frames(tmp_path: Path) -> None:
    metadata, chunks, frames = imgstores(tmp_path / "store", "npy", (24, 30))
    source = DirectoryFrames(metadata)
    views = [source.mapped(chunks[index // CHUNKSIZE], index % CHUNKSIZE)
             for index in range(COUNT)]
    assert all(np.array_equal(view, pixels) for view, pixels in zip(views, frames, strict=True))
    assert not any(view.flags.writeable or view.flags.owndata for view in views)
    with pytest.raises(StoreDamaged, match="No such file"):
        source.mapped(chunks[0], CHUNKSIZE)


def test_only_npy_can_be_mapped(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="only npy frames can be mapped; read png frames instead"):
        DirectoryFrames(of_shape((4, 5), form="png")).mapped(chunk_paths(tmp_path, 0), 0)


def test_unknown_formats_are_refused_at_once() -> None:
    with pytest.raises(StoreError, match="format exr is not known"):
        DirectoryFrames(of_shape((4, 5), form="exr"))


@pytest.mark.parametrize("shape", [(24, 30), (480, 640)], ids=["small", "large"])
def test_reading_npy_is_one_open_one_read_one_close(shape: tuple[int, ...], tmp_path: Path) -> None:
    metadata, chunks, frames = imgstores(tmp_path / "store", "npy", shape)
    source = DirectoryFrames(metadata)
    source.read(chunks[1], 0)  # the header and the folder of the others are known from here on
    out = np.zeros_like(frames[0])
    calls: list[str] = []

    def count(_frame: object, event: str, what: Any) -> None:
        if event == "c_call":
            calls.append(what.__name__)

    sys.setprofile(count)
    try:
        source.read(chunks[1], 1, out)
    finally:
        sys.setprofile(None)
    assert np.array_equal(out, frames[5])
    assert calls == ["open", "readv", "close", "setprofile"]
