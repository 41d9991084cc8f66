"""Reading the source: every file, its digest, frames against capture, changes under way."""

from __future__ import annotations

import dataclasses
import os
import threading
from pathlib import Path

import imgstore
import numpy as np
import pytest
import xxhash

from fieldrec.catalogue.scan import scan
from fieldrec.core.errors import StateError, StoreDamaged
from fieldrec.jobs.source import (
    FramePixels,
    Reader,
    Stopped,
    changed_since,
    frame_digests,
    items_of,
    store_files,
)
from fieldrec.store import layout
from tests.fakes.small_stores import contents, make_export, make_store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_export(tmp_path, "bees", make_store(tmp_path, "bees"))
    return tmp_path


def reader_of(folder: Path, stop: threading.Event | None = None) -> Reader:
    item = items_of(scan(folder)[0])[0]
    return Reader(item, stop or threading.Event())


def read_all(reader: Reader) -> dict[str, bytes]:
    return {file.relative.removeprefix("bees/"):
            b"".join(bytes(part) for part in reader.slices(file))
            for file in reader.item.files}


def test_all_files_are_read_with_their_digests(folder: Path) -> None:
    reader = reader_of(folder)
    assert read_all(reader) == contents(folder / "bees")
    assert reader.digests == {f"bees/{relative}": xxhash.xxh64_hexdigest(data)
                              for relative, data in contents(folder / "bees").items()}


def test_items_are_the_store_and_each_export(folder: Path) -> None:
    store, export = items_of(scan(folder)[0])
    assert (store.kind, store.stem, store.extension) == ("store", "bees", "")
    assert (export.kind, export.stem, export.extension) == ("export", "bees", ".high.mp4")
    assert export.sidecar == (folder / "bees.high.mp4.json").read_bytes()
    assert export.total_bytes == 5000


def test_temporary_files_and_a_history_are_no_part_of_a_store(folder: Path) -> None:
    before = store_files(folder / "bees")
    for name in (".metadata.yaml.tmp", ".reserve", ".frames.index",
                 ".frames.index.0a.tmp"):
        (folder / "bees" / name).write_text("x")
    (folder / "bees" / "ascmhl").mkdir()
    (folder / "bees" / "ascmhl" / "ascmhl_chain.xml").write_text("x")
    assert store_files(folder / "bees") == before


def test_a_locked_store_is_not_complete(folder: Path) -> None:
    (folder / "bees" / ".lock").touch()
    with pytest.raises(StateError, match="not complete"):
        store_files(folder / "bees")


def test_a_link_in_a_store_is_refused(folder: Path) -> None:
    (folder / "bees" / "link").symlink_to("/etc/passwd")
    with pytest.raises(StoreDamaged, match="neither a file nor a directory"):
        store_files(folder / "bees")


def test_a_frame_that_is_not_what_the_camera_gave_is_named(folder: Path) -> None:
    path = folder / "bees" / "000001" / "000002.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreDamaged, match=r"000001/000002\.npy.*not those that were recorded"):
        read_all(reader_of(folder))


def test_a_store_without_digests_is_read_all_the_same(folder: Path) -> None:
    index = folder / "bees" / "000000" / "index.npz"
    with np.load(index) as members:
        kept = {name: members[name] for name in members if name != "frame_digest"}
    np.savez(index.with_name("index"), **kept)
    assert frame_digests(index.parent) == {}
    assert read_all(reader_of(folder)) == contents(folder / "bees")


def test_pictures_are_checked_by_their_files(folder: Path) -> None:
    root = folder / "bees"
    chunk = root / "000000"
    for position in range(4):
        (chunk / f"{position:06d}.npy").rename(chunk / f"{position:06d}.png")
    text = (root / "metadata.yaml").read_text()
    (root / "metadata.yaml").write_text(text.replace("format: npy", "format: png"))
    columns = layout.parse_index((chunk / "index.npz").read_bytes())
    digests = np.array([xxhash.xxh3_64_intdigest((chunk / f"{position:06d}.png").read_bytes())
                        for position in range(4)], np.uint64)
    (chunk / "index.npz").write_bytes(layout.index_bytes(
        dataclasses.replace(columns, digests=digests), {}))
    (chunk / "000077.txt").write_text("no frame")
    assert read_all(reader_of(folder)) == contents(root)
    (chunk / "000002.png").write_bytes((chunk / "000001.png").read_bytes())
    with pytest.raises(StoreDamaged, match=r"000000/000002\.png.*not those that were recorded"):
        read_all(reader_of(folder))


def test_a_video_store_is_read_as_it_is(tmp_path: Path) -> None:
    with imgstore.new_for_format("mjpeg/avi", str(tmp_path / "bees"), mode="w", chunksize=2,
                                 imgshape=(64, 64), metadata={}) as store:
        for number in range(4):
            store.add_image(np.zeros((64, 64), np.uint8), number, number / 25)
    reader = reader_of(tmp_path)
    assert read_all(reader) == contents(tmp_path / "bees")


def test_an_unreadable_index_is_damage(folder: Path) -> None:
    reader = reader_of(folder)
    (folder / "bees" / "000000" / "index.npz").write_bytes(b"no zip")
    with pytest.raises(StoreDamaged, match="unreadable index"):
        read_all(reader)


def test_a_file_that_grows_while_it_is_read_is_an_error(folder: Path) -> None:
    reader = reader_of(folder)
    file = next(file for file in reader.item.files if file.relative == "bees/metadata.yaml")
    with file.path.open("ab") as more:
        more.write(b"more: 1\n")
    with pytest.raises(StoreDamaged, match="changed while it was copied"):
        list(reader.slices(file))


def test_a_file_that_vanished_is_an_error(folder: Path) -> None:
    reader = reader_of(folder)
    reader.item.files[0].path.unlink()
    with pytest.raises(StoreDamaged, match="cannot be read"):
        list(reader.slices(reader.item.files[0]))


def test_the_stop_flag_ends_reading(folder: Path) -> None:
    stop = threading.Event()
    reader = reader_of(folder, stop)
    stop.set()
    with pytest.raises(Stopped):
        list(reader.slices(reader.item.files[0]))
    assert reader.digests == {}


@pytest.mark.parametrize("change", ["size", "time", "new", "gone"])
def test_any_change_since_the_listing_is_seen(folder: Path, change: str) -> None:
    item = items_of(scan(folder)[0])[0]
    assert changed_since(item) is None
    path = folder / "bees" / "metadata.yaml"
    if change == "size":
        path.write_text("x")
    elif change == "time":
        os.utime(path, ns=(1, 1))
    elif change == "new":
        path = folder / "bees" / "zebra"
        path.write_text("x")
    else:
        path.unlink()
    assert changed_since(item) == str(path)


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_pixels_begin_behind_the_header_of_either_version(tmp_path: Path, version: tuple[int, int]
                                                          ) -> None:
    pixels = np.arange(600, dtype=np.uint16).reshape(20, 30)
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, pixels, version=version)
    hashed = FramePixels()
    data = memoryview((tmp_path / "a.npy").read_bytes())
    for start in range(0, len(data), 500):
        hashed.update(data[start:start + 500])
    assert hashed.digest() == xxhash.xxh3_64_intdigest(pixels.tobytes())


def test_what_is_no_npy_file_has_no_pixels() -> None:
    hashed = FramePixels()
    hashed.update(memoryview(b"not a frame at all"))
    assert hashed.digest() is None
