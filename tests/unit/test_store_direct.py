"""Large frames are written past the page cache, and the bytes are the same whatever the way."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imgstore import new_for_filename
from numpy.typing import NDArray

from fieldrec.core import durable
from fieldrec.core.model import FrameSpec
from fieldrec.store import layout
from fieldrec.store.reader import StoreReader
from fieldrec.store.writer import StoreWriter

WHOLE_PAGES = FrameSpec((480, 640), "uint8", "MONO8", 25.0)
WITH_A_TAIL = FrameSpec((433, 577, 3), "uint8", "BGR8", 25.0)
SMALL = FrameSpec((48, 64), "uint8", "MONO8", 25.0)


def frames(spec: FrameSpec, count: int, *, shifted: int = 0) -> list[NDArray[Any]]:
    """Random frames in page-aligned memory, or `shifted` bytes away from it."""
    random = np.random.default_rng(7)
    made = []
    for _ in range(count):
        memory = np.empty(spec.frame_bytes + 2 * layout.PAGE_BYTES, np.uint8)
        start = -memory.ctypes.data % layout.PAGE_BYTES + shifted
        pixels = memory[start:start + spec.frame_bytes].reshape(spec.shape)
        pixels[...] = random.integers(0, 256, spec.shape, np.uint8)
        made.append(pixels)
    return made


def write(path: Path, spec: FrameSpec, images: list[NDArray[Any]],
          between: Callable[[StoreWriter, int], None] = lambda _writer, _index: None) -> None:
    writer = StoreWriter(path, spec, chunksize=4, user_metadata={}, timezone="UTC",
                         created_epoch_ns=0)
    for index, image in enumerate(images):
        between(writer, index)
        writer.append(image, index, index * 40_000_000, None)
    writer.close()


def assert_both_read(path: Path, images: list[NDArray[Any]]) -> None:
    with StoreReader(path) as ours:
        assert all(np.array_equal(ours.read(i), image) for i, image in enumerate(images))
    store = new_for_filename(str(path))
    try:
        assert store.frame_count == len(images)
        assert all(np.array_equal(store.get_image(i)[0], image) for i, image in enumerate(images))
    finally:
        store.close()


@pytest.fixture
def direct_writes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each write of a frame, whether it went past the cache."""
    seen: list[bool] = []
    real = durable.write

    def watched(descriptor: int, buffers: Any, path: Path | str, total_bytes: int) -> None:
        if str(path).endswith(".npy"):
            seen.append(bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT))
        real(descriptor, buffers, path, total_bytes)

    monkeypatch.setattr(durable, "write", watched)
    return seen


@pytest.fixture
def on_a_disk(tmp_path: Path) -> Path:
    descriptor = os.open(tmp_path, os.O_TMPFILE | os.O_WRONLY)
    try:
        if not durable.set_direct(descriptor, True):
            pytest.skip(f"{tmp_path} cannot be written past the page cache")
    finally:
        os.close(descriptor)
    return tmp_path


def test_whole_pages_go_past_the_cache(on_a_disk: Path, direct_writes: list[bool]) -> None:
    images = frames(WHOLE_PAGES, 6)
    write(on_a_disk / "store", WHOLE_PAGES, images)
    assert direct_writes == [True] * 6
    assert_both_read(on_a_disk / "store", images)


def test_what_is_not_a_whole_page_goes_through_it(on_a_disk: Path, direct_writes: list[bool]
                                                  ) -> None:
    images = frames(WITH_A_TAIL, 6)
    write(on_a_disk / "store", WITH_A_TAIL, images)
    assert direct_writes == [True, False] * 6
    assert_both_read(on_a_disk / "store", images)


def test_memory_that_is_not_aligned_falls_back_and_is_whole(tmp_path: Path) -> None:
    for spec in (WHOLE_PAGES, WITH_A_TAIL):
        images = frames(spec, 6, shifted=8)
        write(tmp_path / spec.pixel_format, spec, images)
        assert_both_read(tmp_path / spec.pixel_format, images)


def test_the_owner_may_send_frames_through_the_cache(on_a_disk: Path, direct_writes: list[bool]
                                                     ) -> None:
    images = frames(WHOLE_PAGES, 8)
    write(on_a_disk / "store", WHOLE_PAGES, images,
          lambda writer, index: writer.write_past_cache(index not in (2, 3, 4)))
    assert direct_writes == [True, True, False, False, False, True, True, True]
    assert_both_read(on_a_disk / "store", images)


def test_small_frames_keep_numpys_short_header(tmp_path: Path, direct_writes: list[bool]) -> None:
    images = frames(SMALL, 3)
    write(tmp_path / "store", SMALL, images)
    assert direct_writes == [False] * 3
    assert (tmp_path / "store" / "000000" / "000000.npy").stat().st_size == 128 + 48 * 64
    assert_both_read(tmp_path / "store", images)


def test_a_file_system_that_cannot_is_written_through_the_cache(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable, "set_direct", lambda _descriptor, direct: not direct)
    images = frames(WITH_A_TAIL, 6)
    write(tmp_path / "store", WITH_A_TAIL, images)
    assert_both_read(tmp_path / "store", images)
