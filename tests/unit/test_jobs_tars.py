"""Stores copied as one tar for each chunk: verified like any copy, read by our readers where they
lie, and by the real imgstore after `tar -xf`."""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import imgstore
import numpy as np
import pytest
import xxhash

from fieldrec.catalogue.check import check
from fieldrec.catalogue.scan import scan
from fieldrec.core.errors import StoreDamaged, VerifyMismatch
from fieldrec.core.model import FrameSpec, Recording
from fieldrec.destinations.folder import FolderDestination
from fieldrec.jobs import transfer
from fieldrec.jobs.drive_room import copied_bytes
from fieldrec.jobs.source import Stopped, items_of
from fieldrec.jobs.survey import look
from fieldrec.jobs.tars import TarSource
from fieldrec.store import new_for_filename, tar_frames
from fieldrec.store.reader import StoreReader
from fieldrec.store.writer import StoreWriter
from tests.fakes.copies import listed
from tests.fakes.small_stores import contents, make_export, make_store
from tests.fakes.waiting import PATIENCE_S

NEVER = threading.Event()


class Folders:
    """A recording, raw and exported, and a destination that takes tars."""

    def __init__(self, root: Path) -> None:
        self.recordings, self.usb = root / "recordings", root / "usb"
        self.recordings.mkdir()
        self.usb.mkdir()
        self.raw_as = "tar"

    @property
    def there(self) -> Path:
        return self.usb / "bees" / "bees"

    def recording(self) -> Recording:
        return scan(self.recordings)[0]

    def place(self) -> FolderDestination:
        return FolderDestination("usb", self.usb, raw_as=self.raw_as)

    def copy(self, how: Any = transfer.transfer, stop: threading.Event = NEVER
             ) -> transfer.TransferResult:
        with closing(self.place()) as place:
            result: transfer.TransferResult = how(self.recording(), place, stop=stop)
            return result


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    made = Folders(tmp_path)
    make_export(made.recordings, "bees", make_store(made.recordings, "bees", frames=10))
    return made


def pictures(folders: Folders, form: str) -> None:
    """In place of the store: one whose frames are files of many sizes."""
    writer = StoreWriter(folders.recordings / "flies", FrameSpec((24, 32), "uint8", "MONO8", 25.0),
                         chunksize=4, timezone="UTC", created_epoch_ns=10**18, user_metadata={},
                         form=form)
    random = np.random.default_rng(3)
    for number in range(10):
        frame = np.zeros((24, 32), np.uint8)
        frame[:number * 2] = random.integers(0, 256, (number * 2, 32), np.uint8)
        writer.append(frame, number, 10**18 + number, None)
    writer.close()


def frames_of(path: Path) -> list[bytes]:
    with StoreReader(path) as store:
        return [store.read(index).tobytes() for index in range(store.frame_count)]


def test_what_lies_there(folders: Folders) -> None:
    folders.copy()
    assert sorted(path.name for path in folders.there.iterdir()) == [
        "000000", "000000.tar", "000001", "000001.tar", "000002", "000002.tar", "metadata.yaml"]
    assert [path.name for path in (folders.there / "000001").iterdir()] == ["index.npz"]
    data = contents(folders.there)
    assert listed(folders.usb / "bees") == {
        f"bees/{name}": (len(one), xxhash.xxh64_hexdigest(one)) for name, one in data.items()}
    assert (folders.usb / "bees.high.mp4").is_file()  # exports are one file as ever


def test_our_readers_read_it_where_it_lies(folders: Folders) -> None:
    folders.copy()
    assert frames_of(folders.there) == frames_of(folders.recordings / "bees")
    ours = new_for_filename(str(folders.there / "metadata.yaml"))
    theirs = imgstore.new_for_filename(str(folders.recordings / "bees" / "metadata.yaml"))
    for number in (0, 9, 4):
        image, told = ours.get_image(number)
        wanted, wanted_told = theirs.get_image(number)
        assert np.array_equal(image, wanted) and told == wanted_told
    ours.close()
    theirs.close()
    with StoreReader(folders.there) as store:
        chunk, position = store.index.locate(6)
        mapped = store._frames().mapped(chunk, position)  # type: ignore[attr-defined]
        assert np.array_equal(mapped, store.read(6))
    assert list(check(folders.usb, deep=True)) == []


def test_untarred_in_place_it_is_the_store_again(folders: Folders) -> None:
    folders.copy()
    for tar in sorted(folders.there.glob("*.tar")):
        done = subprocess.run(["tar", "-xf", tar.name], cwd=folders.there, check=True,
                              timeout=PATIENCE_S, capture_output=True)
        assert done.stderr == b""
        tar.unlink()
    assert contents(folders.there) == contents(folders.recordings / "bees")
    store = imgstore.new_for_filename(str(folders.there / "metadata.yaml"))
    assert store.frame_count == 10
    store.close()


def test_unpacked_in_place_and_copied_again(folders: Folders) -> None:
    """The tars lie beside the frames by then: theirs are names that no other file may take."""
    folders.copy()
    back = folders.recordings / "bees"
    for tar in sorted(folders.there.glob("*.tar")):
        (back / tar.name).write_bytes(tar.read_bytes())
    lying = contents(back)
    shutil.rmtree(folders.usb / "bees")
    folders.copy()
    assert contents(folders.there) == lying


@pytest.mark.parametrize("form", ["png", "jpg"])
def test_frames_of_many_sizes(tmp_path: Path, form: str) -> None:
    folders = Folders(tmp_path)
    pictures(folders, form)
    folders.copy()
    there = folders.usb / "flies" / "flies"
    assert not list(there.glob(f"*/*.{form}"))
    assert frames_of(there) == frames_of(folders.recordings / "flies")
    assert list(check(folders.usb, deep=True)) == []
    assert scan(folders.usb / "flies")[0].size_bytes > 0


def test_it_is_there_however_it_is_wanted_now(folders: Folders) -> None:
    assert len(folders.copy().copied) == 2
    assert folders.copy().copied == ()
    folders.raw_as = "files"
    assert folders.copy().copied == ()
    assert [path.name for path in sorted(folders.usb.iterdir())] == [
        "bees", "bees.high.mp4", "bees.high.mp4.json"]


def test_a_move_is_verified_just_the_same(folders: Folders) -> None:
    wanted = frames_of(folders.recordings / "bees")
    folders.copy(transfer.move)
    assert not (folders.recordings / "bees").exists()
    assert frames_of(folders.there) == wanted


def test_a_tar_that_is_damaged_there_keeps_the_source(folders: Folders) -> None:
    folders.copy()
    tar = folders.there / "000001.tar"
    data = bytearray(tar.read_bytes())
    data[2000] ^= 1
    tar.write_bytes(data)
    with pytest.raises(VerifyMismatch, match=r"bees/000001\.tar on usb is not what was recorded"):
        folders.copy(transfer.move)
    assert (folders.recordings / "bees").is_dir()
    found = [problem.path.name for problem in check(folders.usb, deep=True)]
    assert found == ["000001.npy"]


def test_a_frame_that_is_not_what_was_recorded_is_not_copied(folders: Folders) -> None:
    frame = folders.recordings / "bees" / "000001" / "000002.npy"
    data = bytearray(frame.read_bytes())
    data[-1] ^= 1
    frame.write_bytes(data)
    with pytest.raises(StoreDamaged, match=r"000002\.npy: the frame's pixels are not those"):
        folders.copy()
    assert not (folders.usb / "bees").exists()


def test_stopped_it_goes_on_with_the_tars_that_are_whole(folders: Folders) -> None:
    stop = threading.Event()
    real = FolderDestination.write

    def write(self: FolderDestination, item: str, source: Any, on_bytes: Any, *more: Any) -> Any:
        def told(count: int) -> None:
            if (folders.usb / ".part-bees" / "bees" / "000001.tar").exists():
                stop.set()
            on_bytes(count)
        return real(self, item, source, told, *more)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(FolderDestination, "write", write)
        folders.copy(stop=stop)
    left = {path.name for path in (folders.usb / ".part-bees" / "bees").glob("*.tar")}
    assert "000000.tar" in left and "000002.tar" not in left
    kept: list[int] = []
    with closing(folders.place()) as place:
        transfer.transfer(folders.recording(), place, stop=NEVER, on_kept=kept.append)
    assert sum(kept) > 5000
    assert frames_of(folders.there) == frames_of(folders.recordings / "bees")


def test_the_stream_is_the_same_in_memory_of_any_size(folders: Folders) -> None:
    item = items_of(folders.recording())[0]
    source = TarSource(item, NEVER)
    for file in source.files:
        whole = b"".join(bytes(data) for data in source.slices(file))
        assert len(whole) == file.size_bytes
        assert xxhash.xxh64_hexdigest(whole) == source.digest(file) == \
            TarSource(item, NEVER).digest(file)
        for size in (1, 511, 512, len(whole), len(whole) + 1):
            if len(whole) // size < 20_000:
                assert b"".join(bytes(data) for data in source.slices(
                    file, lambda size=size: memoryview(bytearray(size)))) == whole  # type: ignore[misc]


def test_one_seek_for_frames_of_one_size_and_nothing_believed(folders: Folders, tmp_path: Path
                                                              ) -> None:
    folders.copy()
    tar_frames._table.cache_clear()
    for index in (9, 0, 5):
        with StoreReader(folders.there) as store:
            store.read(index)
    assert tar_frames._table.cache_info().misses == 0
    chunk = folders.there / "000000"
    assert tar_frames.place_of(chunk / "000004.npy") is None  # there are four
    assert tar_frames.place_of(chunk / "../000000/x.npy") is None
    tar = folders.there / "000000.tar"
    whole = tar.read_bytes()
    for cut in (0, 1, 511, 512, 600, len(whole) // 2):  # never more than there is
        tar.write_bytes(whole[:cut])
        for position in range(4):
            place = tar_frames.place_of(chunk / f"{position:06d}.npy")
            assert place is None or place.begin + place.size_bytes <= cut
    tar.write_bytes(b"no tar at all" * 1000)
    assert tar_frames.sizes_in(chunk) == {}
    with pytest.raises(StoreDamaged, match="the index lists this frame"), \
            StoreReader(folders.there) as store:
        store.read(0)


@pytest.mark.parametrize("cluster", [4096, 131072])
def test_its_room_is_planned_as_tars(folders: Folders, cluster: int) -> None:
    """Small frames on large clusters: as files they would take many times the room."""
    with closing(folders.place()) as place:
        room = replace(look(place), cluster_bytes=cluster)
    assert room.takes_tars
    raw = replace(folders.recording(), exports=())
    planned = copied_bytes(raw, room)
    folders.copy()
    there = sum(-(-path.stat().st_size // cluster) * cluster
                for path in (folders.usb / "bees").rglob("*"))
    assert there < planned
    many = replace(raw, frame_files=10_000, size_bytes=10_000 * 10_000)
    assert copied_bytes(many, room) < 1.2 * many.size_bytes
    assert copied_bytes(replace(raw, frame_files=0), room) > raw.size_bytes


def test_all_of_a_frame_is_read_from_the_medium(folders: Folders, monkeypatch: pytest.MonkeyPatch
                                                ) -> None:
    """What is dropped from memory are whole pages, and a frame in a tar begins anywhere."""
    folders.copy()
    dropped: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda _descriptor, begin, length, _what:
                        dropped.append((begin, begin + length)))
    place = tar_frames.file_or_place(folders.there / "000000" / "000002.npy")
    assert place.begin % mmap.PAGESIZE, "control"
    place.read(past_cache=True)
    (begin, end), = dropped
    assert begin <= place.begin < place.begin + place.size_bytes <= end
    assert begin % mmap.PAGESIZE == end % mmap.PAGESIZE == 0
