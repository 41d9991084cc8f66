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
from fieldrec.store.chunk_paths import ChunkPaths, chunk_paths
from fieldrec.store.frame_files import frame_files
from fieldrec.store.metadata import store_mapping, store_metadata
from fieldrec.store.npy_frames import NpyFiles

SPEC = FrameSpec((2, 3), "uint8", "MONO8", 1.0)
FILES = NpyFiles(SPEC.shape, SPEC.dtype)
HEADER = layout.npy_header(SPEC.shape, SPEC.dtype)
STORE = store_mapping(SPEC.shape, SPEC.dtype, chunksize=20, timezone="UTC", created_epoch_ns=0,
                             uuid="0" * 32)


def chunk_of(root: Path, values: list[int], *, interim: int = 0) -> ChunkPaths:
    """A chunk with one frame per value: frames of equal value have equal pixels and digests.
    With an interim index of its first frames where that is asked for."""
    chunk = OpenChunk(chunk_paths(root, 0), 20, FILES)
    for number, value in enumerate(values):
        chunk.append(np.full(SPEC.shape, value, np.uint8), number, number, -1)
    chunk.release()
    if interim:
        chunk.paths.index.write_bytes(
            layout.index_bytes(chunk.columns.take(slice(0, interim)), STORE))
    return chunk.paths


class Killed(BaseException):
    """Not to be caught by any except clause of ours."""


@settings(max_examples=120, deadline=None)
@given(values=st.lists(st.integers(0, 2), min_size=2, max_size=6), data=st.data())
def test_holes_close_alike_whenever_it_is_killed(tmp_path_factory: pytest.TempPathFactory,
                                                 values: list[int], data: st.DataObject) -> None:
    """Equal frames too: a digest cannot tell which of them a file is, only the plan can. And at no
    moment does an index give a frame's number to another frame."""
    interim = data.draw(st.integers(0, len(values)))
    paths = chunk_of(tmp_path_factory.mktemp("mend"), values, interim=interim)
    bad = data.draw(st.sets(st.sampled_from(range(len(values)))))
    for position in bad:
        paths.frame(position, "npy").write_bytes(b"torn")
    left = data.draw(st.integers(0, 14))

    def hook(step: str, path: Path) -> None:
        nonlocal left
        if step.startswith("fsync"):
            return
        left -= 1
        if left < 0:
            raise Killed

    durable.set_hook(hook)
    try:
        repair.mend(paths, FILES, STORE)
    except Killed:
        pass
    finally:
        durable.set_hook(None)
    assert_tells_no_lies(paths, values)
    if paths.log.exists() or paths.plan.exists():
        repair.mend(paths, FILES, STORE)
    repair.tidy(paths)
    kept = [number for number in range(len(values)) if number not in bad]
    columns = layout.parse_index(paths.index.read_bytes())
    assert columns.numbers.tolist() == kept
    assert sorted(path.name for path in paths.frames.iterdir()) == sorted(
        ["index.npz", *(f"{target:06d}.npy" for target in range(len(kept)))])
    assert_tells_no_lies(paths, values)


def assert_tells_no_lies(paths: ChunkPaths, values: list[int]) -> None:
    """What the index lists is the frame of that number, or cannot be read."""
    if not paths.index.exists():
        return
    for position, number in enumerate(layout.parse_index(paths.index.read_bytes()).numbers):
        try:
            pixels = np.load(paths.frame(position, "npy"))
        except (OSError, ValueError, EOFError):
            continue
        assert (pixels == values[number]).all()


def test_a_chunk_without_holes_stays_readable_while_it_is_mended(tmp_path: Path) -> None:
    paths = chunk_of(tmp_path, [1, 2, 3, 4], interim=2)
    paths.frame(3, "npy").write_bytes(b"torn")
    seen: list[int] = []
    durable.set_hook(lambda _step, _path: seen.append(
        len(layout.parse_index(paths.index.read_bytes()))))
    repair.mend(paths, FILES, STORE)
    durable.set_hook(None)
    assert seen[0] == 2
    assert set(seen) == {2, 3}


def test_a_frame_is_whole_only_with_its_header_size_and_pixels(tmp_path: Path) -> None:
    pixels = np.arange(6, dtype=np.uint8).reshape(SPEC.shape)
    digest = xxhash.xxh3_64_intdigest(pixels.tobytes())
    good = HEADER + pixels.tobytes()
    other_header = layout.npy_header((3, 3), "uint8") + pixels.tobytes()
    file = tmp_path / "f.npy"
    for content, whole in [(good, True), (good[:-1], False), (good + b"x", True), (b"", False),
                           (good[:-1] + b"\xff", False), (bytes(len(good)), False),
                           (other_header, False)]:
        file.write_bytes(content)
        assert repair.frame_is_whole(file, FILES, digest) is whole
    assert not repair.frame_is_whole(tmp_path / "none.npy", FILES, digest)


def test_damage_is_counted_once_per_frame(tmp_path: Path) -> None:
    paths = chunk_of(tmp_path, [1, 2, 3, 4])
    paths.frame(1, "npy").unlink()
    paths.frame(2, "npy").write_bytes(b"torn")
    paths.frame(4, "npy").write_bytes(b"begun")
    mended = repair.mend(paths, FILES, STORE)
    assert (len(mended.columns), mended.damaged) == (2, 3)


@pytest.mark.parametrize("form", ["npy", "png", "jpg", "tif", "bmp", "pgm", "ppm"])
def test_every_format_is_mended(tmp_path: Path, form: str) -> None:
    store = store_mapping((16, 24), "uint8", chunksize=9, timezone="UTC", created_epoch_ns=0,
                          uuid="0" * 32, form=form)
    files = frame_files(store_metadata(store))
    chunk = OpenChunk(chunk_paths(tmp_path, 0), 9, files)
    pictures = [np.full((16, 24), 40 * number, np.uint8) for number in range(5)]
    for number, picture in enumerate(pictures):
        chunk.append(picture, number, number, -1)
    chunk.release()
    wanted = [files.read(chunk.paths.frame(position, form)) for position in (0, 2, 4)]
    data = bytearray(chunk.paths.frame(1, form).read_bytes())
    data[-3] ^= 4
    chunk.paths.frame(1, form).write_bytes(data)
    with chunk.paths.frame(3, form).open("r+b") as file:
        file.truncate(20)
    mended = repair.mend(chunk.paths, files, store)
    assert (mended.columns.numbers.tolist(), mended.damaged) == ([0, 2, 4], 2)
    assert [np.array_equal(files.read(chunk.paths.frame(position, form)), picture)
            for position, picture in enumerate(wanted)] == [True] * 3
    assert len(list(tmp_path.rglob("*.*"))) == 4
