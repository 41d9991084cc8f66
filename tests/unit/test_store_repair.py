"""Mending one chunk: what counts as whole, and closing holes without confusing frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldrec.core import durable
from fieldrec.core.model import FrameSpec
from fieldrec.store import layout, repair
from fieldrec.store.chunk import OpenChunk
from fieldrec.store.metadata import store_mapping

SPEC = FrameSpec((2, 3), "uint8", "MONO8", 1.0)
HEADER = layout.npy_header(SPEC.shape, SPEC.dtype)
STORE = store_mapping(SPEC.shape, SPEC.dtype, chunksize=20, timezone="UTC", created_epoch_ns=0,
                             uuid="0" * 32)


def chunk_of(path: Path, values: list[int]) -> Path:
    """A chunk with one frame per value: frames of equal value have equal pixels and digests."""
    chunk = OpenChunk(path, 20, HEADER, SPEC.frame_bytes)
    for number, value in enumerate(values):
        chunk.append(np.full(SPEC.shape, value, np.uint8), number, number, -1)
    chunk.release()
    return path


class Killed(BaseException):
    """Not to be caught by any except clause of ours."""


@settings(max_examples=80, deadline=None)
@given(values=st.lists(st.integers(0, 2), min_size=2, max_size=6), data=st.data())
def test_holes_close_alike_whenever_it_is_killed(tmp_path_factory: pytest.TempPathFactory,
                                                 values: list[int], data: st.DataObject) -> None:
    """Equal frames too: a digest cannot tell which of them a file is, only the plan can."""
    chunk = chunk_of(tmp_path_factory.mktemp("mend") / "000000", values)
    bad = data.draw(st.sets(st.sampled_from(range(len(values)))))
    for position in bad:
        (chunk / layout.frame_name(position)).write_bytes(b"torn")
    left = data.draw(st.integers(0, 12))

    def hook(step: str, path: Path) -> None:
        nonlocal left
        if step.startswith("fsync"):
            return
        left -= 1
        if left < 0:
            raise Killed

    durable.set_hook(hook)
    try:
        repair.mend(chunk, HEADER, SPEC.frame_bytes, STORE)
    except Killed:
        pass
    finally:
        durable.set_hook(None)
    if not (chunk / layout.INDEX_NAME).exists():
        repair.mend(chunk, HEADER, SPEC.frame_bytes, STORE)
    repair.tidy(chunk)
    kept = [number for number in range(len(values)) if number not in bad]
    columns = layout.parse_index((chunk / layout.INDEX_NAME).read_bytes())
    assert columns.numbers.tolist() == kept
    assert sorted(path.name for path in chunk.iterdir()) == sorted(
        [layout.INDEX_NAME, *(layout.frame_name(target) for target in range(len(kept)))])
    for target, number in enumerate(kept):
        assert (np.load(chunk / layout.frame_name(target)) == values[number]).all()


def test_a_frame_is_whole_only_with_its_header_size_and_pixels(tmp_path: Path) -> None:
    pixels = np.arange(6, dtype=np.uint8).reshape(SPEC.shape)
    digest = xxhash.xxh3_64_intdigest(pixels.tobytes())
    good = HEADER + pixels.tobytes()
    other_header = layout.npy_header((3, 2), "uint8") + pixels.tobytes()
    file = tmp_path / "f.npy"
    for content, whole in [(good, True), (good[:-1], False), (good + b"x", False), (b"", False),
                           (good[:-1] + b"\xff", False), (bytes(len(good)), False),
                           (other_header, False)]:
        file.write_bytes(content)
        assert repair.frame_is_whole(file, HEADER, SPEC.frame_bytes, digest) is whole
    assert not repair.frame_is_whole(tmp_path / "none.npy", HEADER, SPEC.frame_bytes, digest)


def test_damage_is_counted_once_per_frame(tmp_path: Path) -> None:
    chunk = chunk_of(tmp_path / "000000", [1, 2, 3, 4])
    (chunk / "000001.npy").unlink()
    (chunk / "000002.npy").write_bytes(b"torn")
    (chunk / "000004.npy").write_bytes(b"begun")
    mended = repair.mend(chunk, HEADER, SPEC.frame_bytes, STORE)
    assert (len(mended.columns), mended.damaged) == (2, 3)
