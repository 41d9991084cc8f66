"""Frames that are written before their turn: they count when it has come, and not before."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fieldrec.core import durable
from fieldrec.core.errors import StoreFull
from fieldrec.core.model import FrameSpec
from fieldrec.store.ahead import Ahead
from fieldrec.store.api.new_store import recording_metadata
from fieldrec.store.chunk import OpenChunk
from fieldrec.store.reader import StoreReader
from fieldrec.store.recover import recover
from fieldrec.store.writer import StoreWriter

SPEC = FrameSpec((256, 1024), "uint8", "MONO8", 25.0)
"""Large enough to be written past the page cache."""
START_NS = 1_700_000_000_000_000_000


def frame(number: int) -> NDArray[Any]:
    """In pages of its own, as in the ring: others cannot be written past the page cache."""
    pixels = np.frombuffer(mmap.mmap(-1, SPEC.frame_bytes), SPEC.dtype).reshape(SPEC.shape)
    pixels[:] = number
    return pixels


def writer(path: Path, chunksize: int = 10) -> StoreWriter:
    return StoreWriter(path, SPEC, chunksize=chunksize, timezone="UTC", created_epoch_ns=START_NS,
                       user_metadata=recording_metadata({}, SPEC, "UTC"))


def append(store: StoreWriter, number: int) -> None:
    store.append(frame(number), number, START_NS + number, None)


def ahead(store: StoreWriter, number: int) -> None:
    store.write_ahead(frame(number), number, START_NS + number)


def numbers_in(path: Path) -> list[int]:
    """Of all frames, each of which is what was written."""
    with StoreReader(path) as reader:
        assert reader.problems == ()
        for stored in reader:
            assert (stored.pixels == stored.number).all()
        return [int(number) for number in reader.numbers]


def files_in(path: Path) -> list[str]:
    return sorted(file.name for file in path.glob("*/*.npy"))


class Watched:
    """A durable hook: who wrote which frame, and one that fails."""

    def __init__(self, failing: str = "", number: int = errno.ENOSPC) -> None:
        self.by: dict[str, str] = {}
        self._failing, self._number = failing, number

    def __call__(self, step: str, path: Path) -> None:
        if step != "write" or path.suffix != ".npy":
            return
        again = path.name in self.by
        self.by[path.name] = threading.current_thread().name.partition("-")[0]
        if path.name == self._failing and not again:
            raise OSError(self._number, os.strerror(self._number))


def test_what_is_written_ahead_is_there_when_its_turn_has_come(tmp_path: Path) -> None:
    watched = Watched()
    durable.set_hook(watched)
    store = writer(tmp_path / "s")
    for number in range(0, 8, 2):
        ahead(store, number + 1)
        append(store, number)
        append(store, number + 1)
    durable.set_hook(None)
    store.close()
    assert numbers_in(tmp_path / "s") == list(range(8))
    assert [watched.by[f"{number:06d}.npy"] for number in range(8)] == ["MainThread", "ahead"] * 4


@pytest.mark.parametrize("turned", ["number", "time"])
def test_another_frame_in_its_place_is_the_one_that_counts(tmp_path: Path, turned: str) -> None:
    """As when a pause began between the two, and its memory has another frame by now."""
    store = writer(tmp_path / "s")
    ahead(store, 1)
    append(store, 0)
    number, time_ns = (5, START_NS + 1) if turned == "number" else (1, START_NS + 5)
    store.append(frame(number), number, time_ns, None)
    append(store, 6)
    store.close()
    assert numbers_in(tmp_path / "s") == [0, number, 6]


@pytest.mark.parametrize("end", ["close", "abandon"])
def test_what_never_had_its_turn_leaves_nothing(tmp_path: Path, end: str) -> None:
    """And it is gone before the chunk counts as whole: nobody would look for it afterwards."""
    at_index: list[list[str]] = []

    def watch(step: str, path: Path) -> None:
        if path.name.endswith(".npz"):
            at_index.append(files_in(tmp_path / "s"))

    store = writer(tmp_path / "s")
    ahead(store, 1)
    append(store, 0)
    durable.set_hook(watch)
    store.close() if end == "close" else store.abandon()
    durable.set_hook(None)
    assert files_in(tmp_path / "s") == ["000000.npy"]
    assert at_index == [["000000.npy"]] * len(at_index)
    assert bool(at_index) == (end == "close")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_the_last_frame_of_a_chunk_is_not_passed_by(tmp_path: Path) -> None:
    watched = Watched()
    durable.set_hook(watched)
    store = writer(tmp_path / "s", chunksize=3)
    for number in range(7):
        ahead(store, number + 1)
        append(store, number)
    store.close()
    durable.set_hook(None)
    assert set(watched.by) == {f"{position:06d}.npy" for position in range(3)}
    assert numbers_in(tmp_path / "s") == list(range(7))
    assert len(files_in(tmp_path / "s")) == 7


def test_a_frame_that_cannot_be_written_ahead_is_written_in_its_turn(tmp_path: Path) -> None:
    watched = Watched(failing="000001.npy")
    durable.set_hook(watched)
    store = writer(tmp_path / "s")
    ahead(store, 1)
    append(store, 0)
    append(store, 1)
    durable.set_hook(None)
    store.close()
    assert numbers_in(tmp_path / "s") == [0, 1]
    assert watched.by["000001.npy"] == "MainThread"


def test_a_frame_before_it_that_fails_leaves_it_for_its_turn(tmp_path: Path) -> None:
    durable.set_hook(Watched(failing="000000.npy"))
    store = writer(tmp_path / "s")
    ahead(store, 1)
    with pytest.raises(StoreFull):
        append(store, 0)
    append(store, 1)  # at the place of the one that failed
    append(store, 2)  # where 1 was written ahead
    durable.set_hook(None)
    store.close()
    assert numbers_in(tmp_path / "s") == [1, 2]


@pytest.mark.parametrize("torn", [False, True])
def test_a_kill_before_its_turn_costs_what_had_none(tmp_path: Path, torn: bool) -> None:
    store = writer(tmp_path / "s")
    append(store, 0)
    append(store, 1)
    ahead(store, 3)
    assert isinstance(store._chunk, OpenChunk)
    second = store._chunk._ahead
    second.begin(lambda: None)  # after it in its thread: both have been done …
    assert [second.wait() for _ in range(2)] == [None, None]
    shutil.copytree(tmp_path / "s", tmp_path / "killed")
    second.begin(lambda: None)  # … and the store may ask for its end once more
    store.abandon()
    if torn:
        (tmp_path / "killed" / "000000" / "000002.npy").write_bytes(b"begun")
    assert "000003.npy" in files_in(tmp_path / "killed")
    recover(tmp_path / "killed")
    assert numbers_in(tmp_path / "killed") == [0, 1]
    assert files_in(tmp_path / "killed") == ["000000.npy", "000001.npy"]


def test_small_frames_and_pictures_are_written_in_their_turn_alone(tmp_path: Path) -> None:
    watched = Watched()
    durable.set_hook(watched)
    small = FrameSpec((6, 8), "uint8", "MONO8", 25.0)
    store = StoreWriter(tmp_path / "s", small, chunksize=10, timezone="UTC",
                        created_epoch_ns=START_NS,
                        user_metadata=recording_metadata({}, small, "UTC"))
    pixels = np.zeros(small.shape, small.dtype)
    store.write_ahead(pixels, 1, START_NS + 1)
    store.append(pixels, 0, START_NS, None)
    store.append(pixels, 1, START_NS + 1, None)
    durable.set_hook(None)
    store.close()
    assert set(watched.by.values()) == {"MainThread"}


def test_one_piece_of_work_after_the_other() -> None:
    second = Ahead("ahead-test")
    done: list[str] = []
    second.begin(lambda: done.append(threading.current_thread().name))
    assert second.wait() is None

    def fail() -> None:
        raise OSError("no")

    second.begin(fail)
    assert str(second.wait()) == "no"
    second.end()
    second.end()
    assert done == ["ahead-test"]
