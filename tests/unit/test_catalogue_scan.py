"""The catalogue: what the disk holds, in which state, and nothing hidden by a bad neighbour."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import imgstore
import numpy as np
import pytest
import xxhash

from fieldrec.catalogue.scan import Catalogue, Catalogues, find, find_in, scan
from fieldrec.core.errors import NotFoundError
from fieldrec.core.model import ClockQuality, FrameSpec, RecordingState
from fieldrec.store import reader
from fieldrec.store.api.new_store import recording_metadata
from fieldrec.store.chunk_paths import ChunkPaths
from fieldrec.store.indexing import chunk_index
from fieldrec.store.indexing.chunk_index import ChunkRows
from fieldrec.store.indexing.compact_index import COMPACT_NAME, open_index
from fieldrec.store.writer import StoreWriter
from tests.fakes.crafted_indexes import craft, put_index, run

SPEC = FrameSpec((6, 8), "uint8", "MONO8", 25.0)


def begin(directory: Path, name: str, count: int = 5, created_ns: int = 0) -> StoreWriter:
    user = {"genotype": "wt", "fieldrec": {"camera_serial": "cam1", "clock_quality": "gps"}}
    store = StoreWriter(directory / name, SPEC, chunksize=2, timezone="UTC",
                        created_epoch_ns=1_700_000_000_000_000_000 + created_ns,
                        user_metadata=recording_metadata(user, SPEC, "UTC"))
    for number in range(count):
        store.append(np.full(SPEC.shape, number, np.uint8), number, 1000 + number, None)
    return store


def record(directory: Path, name: str, count: int = 5, created_ns: int = 0) -> Path:
    begin(directory, name, count, created_ns).close({"dropped": 3, "lost": 4})
    return directory / name


def sidecar(directory: Path, recording: str, uuid: str, preset: str = "High") -> Path:
    """An export and its sidecar, as the export stage writes them."""
    video = directory / f"{recording}.{preset.lower()}.mp4"
    video.write_bytes(b"video" * 100)
    content = {
        "format": "fieldrec-export", "version": 1,
        "recording": {"name": recording, "uuid": uuid, "camera_serial": "cam1",
                      "created_utc": "2023-11-14T22:13:20.000000", "timezone": "UTC",
                      "first_time_ns": 1000, "last_time_ns": 1004, "dropped": 3, "lost": 4,
                      "shape": [6, 8], "dtype": "uint8", "pixel_format": "MONO8",
                      "nominal_hz": 25.0},
        "user_metadata": {"genotype": "wt"}, "preset": preset, "encoder": "libx264",
        "file": {"name": video.name, "size_bytes": 500,
                 "xxh64": xxhash.xxh64(video.read_bytes()).hexdigest()},
        "frame_count": 5, "verified_at_ns": 77,
        "frames": {"number": [0, 1, 2, 3, 4], "time_ns": [1000, 1001, 1002, 1003, 1004]},
    }
    path = video.with_name(video.name + ".json")
    path.write_text(json.dumps(content))
    return path


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The chunks whose indexes are read from now on."""
    reads: list[Path] = []

    def counting(chunk: ChunkPaths) -> ChunkRows:
        reads.append(chunk.frames)
        return chunk_index.read_rows(chunk)

    monkeypatch.setattr("fieldrec.catalogue.contents.read_rows", counting)
    return reads


def states(directory: Path) -> dict[str, RecordingState]:
    return {recording.name: recording.state for recording in scan(directory)}


def test_a_complete_recording_is_told_in_full(tmp_path: Path) -> None:
    path = record(tmp_path, "bees")
    (found,) = scan(tmp_path)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    assert (found.name, found.path, found.state) == ("bees", path, RecordingState.COMPLETE)
    assert (found.frame_count, found.first_time_ns, found.last_time_ns) == (5, 1000, 1004)
    assert (found.dropped, found.lost, found.size_bytes) == (3, 4, size)
    assert (found.spec, found.camera_serial, found.timezone) == (SPEC, "cam1", "UTC")
    assert found.created_utc == "2023-11-14T22:13:20.000000"
    assert found.clock_quality is ClockQuality.GPS
    assert found.user_metadata["genotype"] == "wt"
    assert found.uuid == reader.StoreReader(path).uuid
    assert found.has_raw


def test_states(tmp_path: Path) -> None:
    record(tmp_path, "complete")
    record(tmp_path, "empty", 0)
    begin(tmp_path, "interrupted").abandon()
    (record(tmp_path, "bad-index") / "000001" / "index.npz").write_bytes(b"")
    (record(tmp_path, "no-index") / "000002" / "index.npz").unlink()
    shutil.rmtree(record(tmp_path, "hole") / "000001")
    (record(tmp_path, "bad-metadata") / "metadata.yaml").write_text("__store: [")
    (record(tmp_path, "odd-metadata") / "metadata.yaml").write_text(
        "__store: {imgshape: x, imgdtype: [], chunksize: 1, format: npy, class: 3}")
    (tmp_path / "unborn").mkdir()
    (tmp_path / "unborn" / ".lock").touch()
    recording = begin(tmp_path, "recording")
    assert states(tmp_path) == {
        "complete": RecordingState.COMPLETE, "empty": RecordingState.COMPLETE,
        "interrupted": RecordingState.INTERRUPTED, "bad-index": RecordingState.DAMAGED,
        "no-index": RecordingState.DAMAGED, "hole": RecordingState.DAMAGED,
        "bad-metadata": RecordingState.DAMAGED, "odd-metadata": RecordingState.DAMAGED,
        "unborn": RecordingState.INTERRUPTED, "recording": RecordingState.RECORDING}
    recording.close()


def test_frames_of_open_chunks_are_counted(tmp_path: Path) -> None:
    store = begin(tmp_path, "bees", 5)
    (found,) = scan(tmp_path)
    assert found.frame_count == 5
    store.close()


def test_an_interim_index_does_not_hide_what_came_after_it(tmp_path: Path) -> None:
    store = begin(tmp_path, "bees", 3)
    last = tmp_path / "bees" / "000001"
    (last / "frames.log").write_bytes((last / "frames.log").read_bytes() + bytes(2 * 48))
    put_index(tmp_path / "bees", store.metadata, 1, run(2, 1))
    (found,) = scan(tmp_path)
    assert (found.frame_count, found.state) == (5, RecordingState.RECORDING)
    store.abandon()


# --- other kinds of stores ----------------------------------------------------------------------

@pytest.mark.parametrize(("form", "index"), [("png", "000001/index.npz"),
                                             ("mjpeg/avi", "000001.npz")])
def test_stores_of_other_programs_and_formats(tmp_path: Path, form: str, index: str) -> None:
    path = tmp_path / "bees"
    random = np.random.default_rng(1)
    with imgstore.new_for_format(form, str(path), mode="w", imgshape=(64, 96, 3), chunksize=2,
                                 metadata={"hwframerate": 50}) as store:
        for number in range(4):
            store.add_image(random.integers(0, 255, (64, 96, 3), np.uint8), number, 5.0 + number)
        assert states(tmp_path) == {"bees": RecordingState.INTERRUPTED}
    (found,) = scan(tmp_path)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    assert (found.state, found.frame_count, found.size_bytes) == (RecordingState.COMPLETE, 4, size)
    assert (found.first_time_ns, found.last_time_ns) == (5_000_000_000, 8_000_000_000)
    assert found.spec == FrameSpec((64, 96, 3), "uint8", "BGR8", 50.0)
    (path / index).unlink()
    assert states(tmp_path) == {"bees": RecordingState.DAMAGED}


def test_the_size_of_many_pictures_is_measured_in_samples(tmp_path: Path) -> None:
    craft(tmp_path / "bees", [run(0, 1000)])
    text = (tmp_path / "bees" / "metadata.yaml").read_text()
    (tmp_path / "bees" / "metadata.yaml").write_text(text.replace("format: npy", "format: png"))
    for position in range(1000):
        (tmp_path / "bees" / "000000" / f"{position:06d}.png").write_bytes(bytes(100))
    (found,) = scan(tmp_path)
    assert abs(found.size_bytes - 100_000) < 20_000


def test_the_compact_index_saves_reading_all_others(tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "bees"
    metadata = craft(root, [run(number * 10, 10) for number in range(20)])
    before = scan(tmp_path)
    open_index(root, metadata)
    assert (root / COMPACT_NAME).exists()
    reads = counted(monkeypatch)
    assert scan(tmp_path) == before
    assert [path.name for path in reads] == ["000000", "000019"]
    put_index(root, metadata, 7, run(70, 9))
    assert scan(tmp_path)[0].frame_count == 199


def test_what_is_no_recording_is_passed_over(tmp_path: Path) -> None:
    for name in (".fieldrec", ".part-x", ".trash-x", "notes"):
        (tmp_path / name).mkdir()
    record(tmp_path / ".part-x", "inner")
    (tmp_path / "readme.txt").touch()
    (tmp_path / "video.mp4").touch()
    assert scan(tmp_path) == []


def test_oldest_first(tmp_path: Path) -> None:
    record(tmp_path, "a", created_ns=5_000_000)
    record(tmp_path, "b", created_ns=1_000_000)
    assert [recording.name for recording in scan(tmp_path)] == ["b", "a"]


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="must exist"):
        scan(tmp_path / "none")


# --- exports ----------------------------------------------------------------------------------

def test_exports_belong_to_their_recording(tmp_path: Path) -> None:
    uuid = reader.StoreReader(record(tmp_path, "bees")).uuid
    for preset in ("High", "Low"):
        sidecar(tmp_path, "bees", uuid, preset)
    (found,) = scan(tmp_path)
    assert [(export.preset, export.path.name, export.frame_count, export.size_bytes,
             export.verified_at_ns) for export in found.exports] == [
        ("High", "bees.high.mp4", 5, 500, 77), ("Low", "bees.low.mp4", 5, 500, 77)]
    assert found.has_raw


def test_a_recording_whose_raw_is_gone_is_told_by_its_sidecar(tmp_path: Path) -> None:
    sidecar(tmp_path, "bees", "u1", "High")
    sidecar(tmp_path, "bees", "u1", "Low")
    (found,) = scan(tmp_path)
    assert (found.name, found.uuid, found.has_raw, found.state) == (
        "bees", "u1", False, RecordingState.COMPLETE)
    assert (found.frame_count, found.dropped, found.lost, found.spec) == (5, 3, 4, SPEC)
    assert len(found.exports) == 2


@pytest.mark.parametrize("spoil", ["no video", "other size", "not json", "no keys", "later version",
                                   "other name", "wrong count", "other recording"])
def test_an_export_that_is_not_committed_does_not_count(tmp_path: Path, spoil: str) -> None:
    uuid = reader.StoreReader(record(tmp_path, "bees")).uuid
    path = sidecar(tmp_path, "bees", uuid)
    content: dict[str, Any] = json.loads(path.read_text())
    if spoil == "no video":
        (tmp_path / "bees.high.mp4").unlink()
    elif spoil == "other size":
        os.truncate(tmp_path / "bees.high.mp4", 499)
    elif spoil == "later version":
        content["version"] = 3
    elif spoil == "other name":
        content["file"]["name"] = "wasps.high.mp4"
    elif spoil == "wrong count":
        content["frame_count"] = 6
    elif spoil == "other recording":
        content["recording"]["uuid"] = "another"
    path.write_text({"not json": "{", "no keys": "{}"}.get(spoil, json.dumps(content)))
    (found,) = scan(tmp_path)
    assert found.exports == ()
    assert found.has_raw


# --- remembering ------------------------------------------------------------------------------

def test_what_has_not_changed_is_not_read_again(tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path, "bees")
    catalogue = Catalogue(tmp_path)
    before = catalogue.refresh()
    reads = counted(monkeypatch)
    assert catalogue.refresh() == before
    assert reads == []
    record(tmp_path, "wasps", 2)
    assert [recording.name for recording in catalogue.refresh()] == ["bees", "wasps"]
    assert [str(path.relative_to(tmp_path)) for path in reads] == ["wasps/000000"]


def test_changes_are_seen(tmp_path: Path) -> None:
    catalogue = Catalogue(tmp_path)
    assert catalogue.refresh() == ()
    store = begin(tmp_path, "bees", 2)
    assert catalogue.refresh()[0].state is RecordingState.RECORDING
    store.append(np.zeros(SPEC.shape, np.uint8), 2, 1002, None)
    assert catalogue.refresh()[0].frame_count == 3
    store.close({"dropped": 9})
    assert (catalogue.refresh()[0].state, catalogue.refresh()[0].dropped) == (
        RecordingState.COMPLETE, 9)
    path = sidecar(tmp_path, "bees", store.uuid)
    assert len(catalogue.refresh()[0].exports) == 1
    os.truncate(tmp_path / "bees.high.mp4", 1)
    assert catalogue.refresh()[0].exports == ()
    path.unlink()
    (tmp_path / "bees" / "000000" / "index.npz").write_bytes(b"")
    assert catalogue.refresh()[0].state is RecordingState.DAMAGED
    shutil.rmtree(tmp_path / "bees")
    assert catalogue.refresh() == ()
    assert catalogue._known == {}


def test_find_names_the_nearest(tmp_path: Path) -> None:
    record(tmp_path, "bees_20261121_060000")
    assert find(tmp_path, "bees_20261121_060000").frame_count == 5
    with pytest.raises(NotFoundError, match="did you mean 'bees_20261121_060000'"):
        find(tmp_path, "bees_20261121_06000")
    with pytest.raises(NotFoundError, match="there are 1 recordings"):
        find(tmp_path, "zzz")


# --- several folders --------------------------------------------------------------------------

def test_several_folders_are_one_list_and_a_missing_one_hides_nothing(tmp_path: Path) -> None:
    a, b, gone = tmp_path / "a", tmp_path / "b", tmp_path / "gone"
    a.mkdir()
    b.mkdir()
    record(a, "bees")
    record(b, "wasps")
    sidecar(b, "wasps", scan(b)[0].uuid)
    catalogue = Catalogues((a, gone, b))
    found = {recording.name: recording for recording in catalogue.refresh()}
    assert {name: recording.path.parent for name, recording in found.items()} == {
        "bees": a, "wasps": b}
    assert len(found["wasps"].exports) == 1
    shutil.rmtree(a)
    assert [recording.name for recording in catalogue.refresh()] == ["wasps"]
    shutil.rmtree(b)
    with pytest.raises(NotFoundError, match=str(a)):
        catalogue.refresh()


def test_a_name_is_found_in_any_folder_and_of_a_copy_by_hand_the_first(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.mkdir()
    b.mkdir()
    record(b, "wasps")
    record(a, "bees")
    shutil.copytree(a / "bees", b / "bees")
    assert find_in((a, b), "wasps").path == b / "wasps"
    assert find_in((a, b), "bees").path == a / "bees"
    with pytest.raises(NotFoundError, match=f"in {a} or {b}; did you mean 'wasps'"):
        find_in((a, b), "wasp")
