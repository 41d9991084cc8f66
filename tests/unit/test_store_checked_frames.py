"""A frame whose bytes are not those that were recorded is never handed out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fieldrec.core.errors import StoreDamaged
from fieldrec.core.model import FrameSpec
from fieldrec.store.checked_frames import CheckedFrames
from fieldrec.store.reader import StoreReader
from fieldrec.store.writer import StoreWriter

SPEC = FrameSpec((12, 16), "uint8", "MONO8", 25.0)
FRAMES = [np.random.default_rng(at).integers(0, 256, (12, 16), np.uint8) for at in range(5)]


@pytest.fixture(params=["npy", "png", "bmp", "pgm"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "bees"
    writer = StoreWriter(path, SPEC, chunksize=3, timezone="UTC", created_epoch_ns=0,
                         user_metadata={}, form=request.param)
    for number, frame in enumerate(FRAMES):
        writer.append(frame, number, number * 10**9, None)
    writer.close()
    return path


def test_whole_frames_come_as_they_were(store: Path) -> None:
    with StoreReader(store) as reader:
        assert reader.digests is not None
        checked = CheckedFrames(reader)
        assert all(map(np.array_equal, checked.each(), FRAMES))
        assert all(map(np.array_equal, checked.each(1, 4), FRAMES[1:4]))


@pytest.mark.parametrize("at", range(0, 200, 13))
def test_a_bit_that_flipped_anywhere_is_noticed(store: Path, at: int) -> None:
    with StoreReader(store) as reader:
        path = reader.frame_path(4)
        data = bytearray(path.read_bytes())
        data[-1 - at % len(data)] ^= 4
        path.write_bytes(data)
        checked = CheckedFrames(reader)
        assert np.array_equal(checked.read(3), FRAMES[3])
        try:
            pixels = checked.read(4)
        except StoreDamaged as error:
            assert "4" in str(error) or "000001" in str(error)
        else:  # a bit of npy's header that does not matter
            assert path.suffix == ".npy"
            assert np.array_equal(pixels, FRAMES[4])


def test_missing_and_cut_files_are_named(store: Path) -> None:
    with StoreReader(store) as reader:
        path = reader.frame_path(1)
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(StoreDamaged):
            CheckedFrames(reader).read(1)
        path.unlink()
        with pytest.raises(StoreDamaged, match=path.name):
            CheckedFrames(reader).read(1)
