"""The real imgstore reads every video store that fieldrec writes, exact to the frame."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldrec.core.errors import StoreFull
from fieldrec.core.model import FrameSpec
from fieldrec.store.chunk_paths import chunk_paths
from fieldrec.store.layout import seconds_of
from fieldrec.store.metadata import StoreMetadata
from fieldrec.store.video.repair import mend_video
from fieldrec.store.writer import StoreWriter
from tests.fakes.video_chunks import (
    FORMS,
    START_NS,
    STEP_NS,
    new_store,
    number_in,
    open_chunk,
    picture,
    write_chunk,
)

imgstore = pytest.importorskip("imgstore", reason="the imgstore package is the oracle")
pytestmark = pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated")

COUNTS = {"several chunks": (40, 40, 7), "one frame": (1,), "one frame at the end": (5, 1),
          "short chunks": (2, 3, 4, 5, 6, 7)}


def write(root: Path, form: str, shape: tuple[int, ...], counts: tuple[int, ...]) -> StoreMetadata:
    metadata = new_store(root, form, shape, chunksize=max(counts))
    done = 0
    for chunk, count in enumerate(counts):
        write_chunk(root, metadata, range(done, done + count), shape, chunk)
        done += count
    return metadata


def assert_imgstore_reads(root: Path, shape: tuple[int, ...], count: int) -> None:
    """One after the other, at random, and on from there: each picture with its number and time."""
    store = imgstore.new_for_filename(str(root))
    try:
        assert store.frame_count == count
        assert store.image_shape == (shape[0] & -2, shape[1] & -2, *shape[2:])
        for number in range(count):
            assert_is(store.get_next_image(), number, store.image_shape)
        with pytest.raises(EOFError):
            store.get_next_image()
        for number in np.random.default_rng(1).permutation(count).tolist()[:12] * 2:
            assert_is(store.get_image(number), number, store.image_shape)
            assert_is(store.get_image(None, frame_index=number), number, store.image_shape)
            if number + 1 < count:
                assert_is(store.get_next_image(), number + 1, store.image_shape)
    finally:
        store.close()


def assert_is(got: Any, number: int, shape: tuple[int, ...]) -> None:
    image, (told, at) = got
    assert told == number
    assert at == seconds_of(np.array([START_NS + number * STEP_NS]))[0]
    assert image.shape == shape
    assert number_in(image) == number


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(48, 64), (51, 67, 3)],
                         ids=lambda shape: "x".join(map(str, shape)))
@pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS.keys())
def test_imgstore_reads_what_fieldrec_writes(tmp_path: Path, form: str, shape: tuple[int, ...],
                                             counts: tuple[int, ...]) -> None:
    write(tmp_path / "s", form, shape, counts)
    assert_imgstore_reads(tmp_path / "s", shape, sum(counts))


@pytest.mark.parametrize("form", FORMS)
def test_imgstore_reads_a_long_chunk(tmp_path: Path, form: str) -> None:
    write(tmp_path / "s", form, (48, 64), (200,))
    assert_imgstore_reads(tmp_path / "s", (48, 64), 200)


@pytest.mark.parametrize("form", FORMS)
def test_imgstore_opens_an_empty_store(tmp_path: Path, form: str) -> None:
    write_chunk(tmp_path, new_store(tmp_path, form), [])
    store = imgstore.new_for_filename(str(tmp_path))
    assert store.frame_count == 0
    store.close()


@pytest.mark.parametrize("form", FORMS)
def test_imgstore_reads_the_finished_chunks_while_one_is_open(tmp_path: Path, form: str) -> None:
    shape = (48, 64)
    metadata = write(tmp_path / "s", form, shape, (6, 6))
    chunk = open_chunk(tmp_path / "s", metadata, 2)
    for number in range(3):
        chunk.append(picture(99), number, START_NS, -1)
    assert_imgstore_reads(tmp_path / "s", shape, 12)
    chunk.release()


@pytest.mark.parametrize("form", FORMS)
def test_the_picture_is_what_imgstore_would_show_of_its_own(tmp_path: Path, form: str) -> None:
    """Not worse than what the package writes itself, where the OpenCV here can write the format."""
    shape = (96, 128, 3)
    rows, columns = np.mgrid[0:96, 0:128]
    smooth = np.stack([columns * 2, rows * 2, columns + rows], -1).astype(np.float64)
    noise = np.random.default_rng(2).normal(0, 2, shape)
    image = np.clip(smooth + noise, 0, 255).astype(np.uint8)
    theirs = imgstore.new_for_format("mjpeg/avi", basedir=str(tmp_path / "theirs"), mode="w",
                                     imgshape=shape, imgdtype="uint8", chunksize=10)
    ours = open_chunk(new_root(tmp_path), new_store(tmp_path / "ours", form, shape))
    for number in range(8):
        theirs.add_image(image, number, float(number))
        ours.append(image, number, START_NS + number, -1)
    theirs.close()
    ours.finish()
    ours.paths.index.write_bytes((tmp_path / "theirs" / "000000.npz").read_bytes())
    ours.release()
    errors = {}
    for name in ("ours", "theirs"):
        store = imgstore.new_for_filename(str(tmp_path / name))
        shown = [store.get_next_image()[0].astype(float) for _ in range(8)]
        store.close()
        errors[name] = float(np.sqrt(np.mean([(one - image) ** 2 for one in shown])))
        shift = np.abs(np.mean([one - image for one in shown], axis=(0, 1, 2))).max()
        assert shift < 2
    assert errors["ours"] <= errors["theirs"] * 1.02


def new_root(folder: Path) -> Path:
    root = folder / "ours"
    root.mkdir()
    return root


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 2 MB."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a tmpfs")
    mount = tmp_path / "tiny"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", mount], check=True)
    try:
        yield mount
    finally:
        subprocess.run(["umount", mount], check=True)


@pytest.mark.root
@pytest.mark.parametrize("form", FORMS)
def test_a_store_on_a_full_disk_is_closed_in_order(tiny_disk: Path, form: str) -> None:
    """Not a byte is free, and the video still gets its end: nothing has to be copied."""
    spec = FrameSpec((48, 64), "uint8", "MONO8", 25.0)
    noise = np.random.default_rng(4).integers(0, 30, (48, 64), np.uint8)
    store = StoreWriter(tiny_disk / "s", spec, chunksize=5000, user_metadata={}, timezone="UTC",
                        created_epoch_ns=START_NS, form=form)
    count = 0
    with pytest.raises(StoreFull):
        while True:
            image = picture(count % 256) + np.roll(noise, count)
            store.append(image, count, START_NS + count * STEP_NS, None)
            count += 1
    with pytest.raises(OSError, match="No space left"), (tiny_disk / "rest").open("ab", 0) as rest:
        while True:
            rest.write(bytes(512))
    store.close()
    assert 200 < count < 5000
    assert not (tiny_disk / "s" / ".lock").exists()
    oracle = imgstore.new_for_filename(str(tiny_disk / "s"))
    for number in range(count):
        image, (told, _at) = oracle.get_next_image()
        assert told == number
        assert number_in(image) == number % 256
    oracle.close()


CHILD = """
import sys
from pathlib import Path
from fieldrec.store.metadata import parse_metadata, store_metadata
from tests.fakes.video_chunks import append, open_chunk
root = Path(sys.argv[1])
chunk = open_chunk(root, store_metadata(parse_metadata((root / "metadata.yaml").read_text())[0]))
for number in range(250):
    append(chunk, [number])
    print(number, flush=True)
"""


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("told", [1, 77])
def test_imgstore_reads_what_a_killed_writer_left(tmp_path: Path, form: str, told: int) -> None:
    """Every frame that was told of before the kill is there afterwards, with its own picture."""
    root = tmp_path / "s"
    metadata = new_store(root, form, chunksize=1000)
    with subprocess.Popen([sys.executable, "-c", CHILD, str(root)], stdout=subprocess.PIPE,
                          cwd=Path(__file__).parents[2]) as writer:
        assert writer.stdout is not None
        for _ in range(told):
            writer.stdout.readline()
        os.kill(writer.pid, signal.SIGKILL)
    paths = chunk_paths(root, 0, metadata.extension)
    assert paths.open_video is not None and paths.open_video.exists()
    mended = mend_video(paths, metadata)
    assert len(mended.columns) >= told
    assert mended.damaged <= 1  # the one that was being written
    assert sorted(path.name for path in root.iterdir()) == sorted(
        ["metadata.yaml", paths.frames.name, "000000.npz"])
    assert_imgstore_reads(root, (48, 64), len(mended.columns))
