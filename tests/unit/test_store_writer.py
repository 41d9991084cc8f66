"""StoreWriter: what lies on disk at each stage, full disks, failed syncs, and who may write."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from imgstore import new_for_filename

from fieldrec.core import durable
from fieldrec.core.errors import StoreDamaged, StoreError, StoreFull, SyncFailed
from fieldrec.core.model import FrameSpec
from fieldrec.store import layout
from fieldrec.store.api.new_store import recording_metadata
from fieldrec.store.chunk_paths import chunk_paths
from fieldrec.store.extra_log import mend_extra
from fieldrec.store.reader import StoreReader
from fieldrec.store.recover import recover
from fieldrec.store.writer import StoreWriter

SPEC = FrameSpec((6, 8), "uint8", "MONO8", 25.0)
START_NS = 1_700_000_000_000_000_000


def frame(number: int, spec: FrameSpec = SPEC) -> np.ndarray[Any, np.dtype[Any]]:
    return np.random.default_rng(number).integers(0, 255, spec.shape).astype(spec.dtype)


def writer(path: Path, *, chunksize: int = 4, spec: FrameSpec = SPEC, **user: Any) -> StoreWriter:
    return StoreWriter(path, spec, chunksize=chunksize, timezone="UTC", created_epoch_ns=START_NS,
                       user_metadata=recording_metadata(user, spec, "UTC"))


def append(store: StoreWriter, *numbers: int) -> None:
    for number in numbers:
        store.append(frame(number, store.spec), number, START_NS + number * 40_000_000,
                     number * 1000)


def tree(path: Path) -> list[str]:
    return sorted(str(entry.relative_to(path)) for entry in path.rglob("*") if entry.is_file())


def assert_holds(path: Path, numbers: list[int]) -> None:
    reader = StoreReader(path)
    assert reader.problems == ()
    assert reader.numbers.tolist() == numbers
    for stored in reader:
        assert np.array_equal(stored.pixels, frame(int(stored.number), reader.spec))


def test_life_of_a_store_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "bees"
    store = writer(path)
    assert tree(path) == [".lock", ".reserve", "000000/frames.log", "metadata.yaml"]
    append(store, 0, 1, 2)
    assert (path / "000000" / "frames.log").stat().st_size == 16 + 3 * 48
    append(store, 3)
    assert tree(path) == [".lock", ".reserve", "000000/000000.npy", "000000/000001.npy",
                          "000000/000002.npy", "000000/000003.npy", "000000/index.npz",
                          "metadata.yaml"]
    append(store, 4)
    assert "000001/frames.log" in tree(path)
    assert (store.frame_count, store.first_time_ns, store.last_time_ns) == (
        5, START_NS, START_NS + 160_000_000)
    assert store.written_bytes == 5 * (128 + 48 + 48)
    store.close({"dropped": 2})
    assert not any(name.startswith(".") or name.endswith(".log") for name in tree(path))
    assert_holds(path, [0, 1, 2, 3, 4])
    ours = StoreReader(path).user_metadata["fieldrec"]
    assert (ours["dropped"], ours["lost"], ours["interrupted"]) == (2, 0, False)


def test_an_empty_store_has_one_chunk_with_an_empty_index(tmp_path: Path) -> None:
    writer(tmp_path / "s").close()
    assert tree(tmp_path / "s") == ["000000/index.npz", "metadata.yaml"]
    assert_holds(tmp_path / "s", [])


def test_a_taken_name_is_refused_and_left_alone(tmp_path: Path) -> None:
    writer(tmp_path / "s", genotype="wt").close()
    before = (tmp_path / "s" / "metadata.yaml").read_bytes()
    with pytest.raises(StoreError, match="exists already"):
        writer(tmp_path / "s")
    assert (tmp_path / "s" / "metadata.yaml").read_bytes() == before


@pytest.mark.parametrize(("changes", "match"), [
    ({"timezone": "Mars/Base"}, "Mars/Base"),
    ({"chunksize": 0}, "at least 1"),
    ({"user_metadata": {"what": object()}}, "'what'"),
    ({"user_metadata": {"__store": {}}}, "belongs to the store"),
])
def test_bad_arguments_leave_nothing(tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    arguments: dict[str, Any] = {"chunksize": 4, "user_metadata": {}, "timezone": "UTC",
                                 "created_epoch_ns": START_NS, **changes}
    with pytest.raises(StoreError, match=match):
        StoreWriter(tmp_path / "s", SPEC, **arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_frame_of_another_format_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    store = writer(tmp_path / "s")
    append(store, 0)
    for wrong in (np.zeros((8, 6), np.uint8), np.zeros((6, 8), np.uint16)):
        with pytest.raises(StoreError, match="changed its format"):
            store.append(wrong, 1, START_NS, None)
    with pytest.raises(StoreError, match="64 bits"):
        store.append(frame(1), 2**63, START_NS, None)
    append(store, 1)
    store.close()
    assert_holds(tmp_path / "s", [0, 1])


def test_frames_of_any_shape_are_taken_where_that_is_asked_for(tmp_path: Path) -> None:
    store = StoreWriter(tmp_path / "s", SPEC, chunksize=3, user_metadata={}, timezone="UTC",
                        created_epoch_ns=START_NS, uniform=False)
    frames: list[np.ndarray[Any, Any]] = [
        np.zeros((6, 8), np.uint8), np.ones((3, 2, 4), np.float32), np.zeros((1,), ">u2"),
        np.asfortranarray(np.arange(12.0).reshape(3, 4)), np.zeros((6, 8), np.uint8)]
    for number, pixels in enumerate(frames):
        store.append(pixels, number, START_NS, None)
    with pytest.raises(ValueError, match="numbers"):
        store.append(np.array([object()]), 5, START_NS, None)
    store.close()
    oracle = new_for_filename(str(tmp_path / "s"))
    for number, pixels in enumerate(frames):
        found = oracle.get_image(number)[0]
        assert (found.dtype, found.shape) == (pixels.dtype, pixels.shape)
        assert np.array_equal(found, pixels)
    oracle.close()


def test_frame_times_are_kept_to_the_last_bit(tmp_path: Path) -> None:
    times_s = [1 / 3, 1.7e9 + 1 / 7, 1e-11, 0.1, 123456.789012345, 1.7e12 + 0.5, -1e200]
    for closed in (True, False):
        path = tmp_path / str(closed)
        store = writer(path, chunksize=10)
        for number, time_s in enumerate(times_s):
            store.append(frame(number), number, round(time_s * 1e9), None, time_s)
            store.add_extra_data(n=number)
        if closed:
            store.close()
        else:
            store.sync()
            store.abandon()
            recover(path)
        oracle = new_for_filename(str(path))
        assert oracle.get_frame_metadata()["frame_time"] == times_s
        assert oracle.get_extra_data()["frame_time"].tolist() == times_s
        oracle.close()


def test_frames_with_strides_are_stored_right(tmp_path: Path) -> None:
    store = writer(tmp_path / "s")
    turned = np.asfortranarray(frame(0))
    store.append(turned, 0, START_NS, None)
    store.close()
    assert_holds(tmp_path / "s", [0])


def test_a_digest_that_was_taken_before_is_the_one_that_counts(tmp_path: Path) -> None:
    """So that what happens to a frame between the camera and the disk is noticed later."""
    store = writer(tmp_path / "s")
    assert store.digest_of is not None
    for number in range(3):
        pixels = frame(number)
        digest = store.digest_of(pixels)
        if number == 1:
            pixels[2, 3] ^= 1
        store.append(pixels, number, START_NS + number, None, digest=digest)
    store.close()
    reader = StoreReader(tmp_path / "s")
    assert np.array_equal(reader.read(0), frame(0))
    with pytest.raises(StoreDamaged, match=r"000001\.npy: not what was recorded"):
        reader.read(1)
    assert np.array_equal(reader.read(2), frame(2))


@pytest.mark.parametrize("form", ["png", "npy", "avc1/mp4"])
def test_only_npy_keeps_a_digest_of_the_pixels(tmp_path: Path, form: str) -> None:
    metadata = recording_metadata({}, FrameSpec((48, 64), "uint8", "MONO8", 25.0), "UTC")
    store = StoreWriter(tmp_path / "s", FrameSpec((48, 64), "uint8", "MONO8", 25.0), chunksize=4,
                        timezone="UTC", created_epoch_ns=START_NS, user_metadata=metadata,
                        form=form)
    assert (store.digest_of is None) == (form != "npy")
    store.abandon()


def test_the_lock_is_held_until_the_end(tmp_path: Path) -> None:
    store = writer(tmp_path / "s")
    program = ("import fcntl,sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_SH | fcntl.LOCK_NB)")
    command = ["python3", "-c", program, str(tmp_path / "s" / ".lock")]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
    store.abandon()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_abandon_leaves_the_evidence_and_may_come_twice(tmp_path: Path) -> None:
    store = writer(tmp_path / "s")
    append(store, 0)
    store.abandon()
    store.abandon()
    store.close()
    assert {".lock", "000000/frames.log"} < set(tree(tmp_path / "s"))
    with pytest.raises(StoreError, match="closed"):
        append(store, 1)


def test_sync_after_close_has_no_effect(tmp_path: Path) -> None:
    store = writer(tmp_path / "s")
    store.close()
    store.sync()
    store.close()


def test_sync_runs_beside_append(tmp_path: Path) -> None:
    store = writer(tmp_path / "s", chunksize=5)
    stop = threading.Event()

    def keep_syncing() -> None:
        while not stop.is_set():
            store.sync()

    thread = threading.Thread(target=keep_syncing)
    thread.start()
    append(store, *range(40))
    stop.set()
    thread.join()
    store.close()
    assert_holds(tmp_path / "s", list(range(40)))


# --- order of steps (I2) ----------------------------------------------------------------------

def test_frames_are_synced_before_the_index_and_the_log_goes_after_it(tmp_path: Path) -> None:
    store = writer(tmp_path / "s", chunksize=2)
    append(store, 0)
    steps: list[tuple[str, str]] = []
    durable.set_hook(lambda step, path: steps.append((step, path.name)))
    append(store, 1)
    durable.set_hook(None)
    store.close()
    last_write = max(at for at, (step, _) in enumerate(steps) if step == "write"
                     and steps[at][1] == "frames.log")
    synced = steps.index(("syncfs", "s"))
    index = next(at for at, step in enumerate(steps) if step[0] == "create"
                 and step[1].startswith(".index"))
    named = next(at for at, step in enumerate(steps) if step[0] == "rename")
    unlogged = steps.index(("unlink", "frames.log"))
    assert last_write < synced < index < named < unlogged


def test_the_lock_goes_last_and_metadata_before_it(tmp_path: Path) -> None:
    store = writer(tmp_path / "s")
    append(store, 0)
    steps: list[tuple[str, str]] = []
    durable.set_hook(lambda step, path: steps.append((step, path.name)))
    store.close()
    durable.set_hook(None)
    assert steps[-2:] == [("unlink", ".lock"), ("fsync_directory", "s")]
    assert ("rename", ".metadata.yaml.tmp") in steps


# --- a full disk ------------------------------------------------------------------------------

@pytest.mark.parametrize(("step", "which"), [
    ("create", "000001.npy"), ("write", "000001.npy"), ("write", "frames.log")])
def test_no_room_for_a_frame_takes_the_frame_back(tmp_path: Path, step: str, which: str) -> None:
    store = writer(tmp_path / "s")
    append(store, 0)
    durable.set_hook(fail_at(step, which, errno.ENOSPC))
    with pytest.raises(StoreFull):
        append(store, 1)
    durable.set_hook(None)
    assert not (tmp_path / "s" / "000000" / "000001.npy").exists()
    append(store, 2)
    store.close()
    assert_holds(tmp_path / "s", [0, 2])


def test_an_unreadable_device_is_a_store_error(tmp_path: Path) -> None:
    store = writer(tmp_path / "s")
    append(store, 0)
    durable.set_hook(fail_at("write", "000001.npy", errno.EIO))
    with pytest.raises(StoreError, match=r"000001\.npy: cannot write"):
        append(store, 1)
    durable.set_hook(None)
    store.close()
    assert_holds(tmp_path / "s", [0])


def test_no_room_for_a_new_chunk_leaves_the_store_closable(tmp_path: Path) -> None:
    store = writer(tmp_path / "s", chunksize=2)
    append(store, 0, 1)
    durable.set_hook(fail_at("create", "frames.log", errno.ENOSPC))
    with pytest.raises(StoreFull):
        append(store, 2)
    durable.set_hook(None)
    store.close()
    assert_holds(tmp_path / "s", [0, 1])
    assert not (tmp_path / "s" / "000001").exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_an_index_that_could_not_be_written_is_tried_again(tmp_path: Path, number: int) -> None:
    store = writer(tmp_path / "s", chunksize=2)
    append(store, 0)
    durable.set_hook(fail_at("create", ".index.npz.tmp", number))
    append(store, 1)
    with pytest.raises(StoreError):
        append(store, 2)
    durable.set_hook(None)
    assert store.frame_count == 2
    append(store, 3)
    store.close()
    assert_holds(tmp_path / "s", [0, 1, 3])


def test_no_room_for_the_first_frame_of_a_chunk_leaves_no_empty_chunk(tmp_path: Path) -> None:
    store = writer(tmp_path / "s", chunksize=2)
    append(store, 0, 1)
    durable.set_hook(fail_at("write", "000000.npy", errno.ENOSPC))
    with pytest.raises(StoreFull):
        append(store, 2)
    durable.set_hook(None)
    store.close()
    assert_holds(tmp_path / "s", [0, 1])
    assert not (tmp_path / "s" / "000001").exists()


def fail_at(step: str, name: str, number: int) -> durable.Hook:
    def hook(at: str, path: Path) -> None:
        if at == step and path.name == name:
            error = OSError(number, os.strerror(number))
            if at == "write" and number in durable.FULL_ERRNOS:
                raise StoreFull(f"{path}: {error.strerror}")  # as durable.write would put it
            raise error
    return hook


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
@pytest.mark.parametrize("chunksize", [3, 1000])
def test_a_disk_that_is_really_full_is_closed_on_in_order(tiny_disk: Path, chunksize: int) -> None:
    spec = FrameSpec((100, 200), "uint8", "MONO8", 25.0)
    store = writer(tiny_disk / "s", chunksize=chunksize, spec=spec)
    store.add_extra_data(temperature=20.5)
    count = fill(store)
    assert count > 10
    while True:  # not a byte is left for anybody
        try:
            with (tiny_disk / "rest").open("ab", buffering=0) as rest:
                rest.write(bytes(512))
        except OSError:
            break
    store.close({"dropped": 0})
    assert_holds(tiny_disk / "s", list(range(count)))
    assert not (tiny_disk / "s" / ".lock").exists()
    assert json.loads((tiny_disk / "s" / "000000" / "index.extra.json").read_text())


@pytest.mark.root
def test_no_room_for_a_store_leaves_nothing(tiny_disk: Path) -> None:
    with pytest.raises(StoreFull, match="free space"):
        writer(tiny_disk / "s", chunksize=100_000)
    assert list(tiny_disk.iterdir()) == []


def fill(store: StoreWriter) -> int:
    for number in range(10_000):
        try:
            append(store, number)
        except StoreFull:
            return number
    raise AssertionError("the disk did not fill")


# --- failed syncs -----------------------------------------------------------------------------

def failing_syncfs(step: str, path: Path) -> None:
    if step == "syncfs":
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 0xFF
    path.write_bytes(data)


def test_a_failed_sync_keeps_what_reads_back_right(tmp_path: Path) -> None:
    store = writer(tmp_path / "s", chunksize=10)
    append(store, *range(5))
    durable.set_hook(failing_syncfs)
    with pytest.raises(SyncFailed):
        store.sync()
    durable.set_hook(None)
    damage(tmp_path / "s" / "000000" / "000001.npy")
    assert store.next_chunk_after_sync_failure() is True
    assert (store.frame_count, store.lost) == (4, 1)
    append(store, 5, 6)
    assert (tmp_path / "s" / "000001" / "frames.log").exists()
    store.close({"lost": 2})
    assert_holds(tmp_path / "s", [0, 2, 3, 4, 5, 6])
    assert StoreReader(tmp_path / "s").user_metadata["fieldrec"]["lost"] == 3


def test_a_chunk_that_ends_after_a_failed_sync_is_verified_not_trusted(tmp_path: Path) -> None:
    store = writer(tmp_path / "s", chunksize=3)
    append(store, 0, 1)
    durable.set_hook(failing_syncfs)
    with pytest.raises(SyncFailed):
        store.sync()
    durable.set_hook(None)
    damage(tmp_path / "s" / "000000" / "000000.npy")
    append(store, 2)
    assert (store.frame_count, store.lost) == (2, 1)
    append(store, 3)
    store.next_chunk_after_sync_failure()
    append(store, 4)
    store.close()
    assert_holds(tmp_path / "s", [1, 2, 3, 4])
    assert not (tmp_path / "s" / "000002").exists()


def test_a_sync_that_fails_at_the_chunk_end_is_raised_by_append(tmp_path: Path) -> None:
    store = writer(tmp_path / "s", chunksize=2)
    append(store, 0)
    durable.set_hook(failing_syncfs)
    with pytest.raises(SyncFailed):
        append(store, 1)
    durable.set_hook(None)
    store.next_chunk_after_sync_failure()
    append(store, 2)
    store.close()
    assert_holds(tmp_path / "s", [0, 1, 2])


def test_a_newest_frame_that_is_given_up_is_told_to_who_still_has_it(tmp_path: Path) -> None:
    store = writer(tmp_path / "s", chunksize=2)
    append(store, 0)

    def failing(step: str, path: Path) -> None:
        if step == "syncfs":
            damage(tmp_path / "s" / "000000" / "000001.npy")
            failing_syncfs(step, path)

    durable.set_hook(failing)
    with pytest.raises(SyncFailed):
        append(store, 1)
    durable.set_hook(None)
    assert store.next_chunk_after_sync_failure() is False
    assert store.next_chunk_after_sync_failure() is True
    append(store, 1, 2)
    store.close()
    assert_holds(tmp_path / "s", [0, 1, 2])


def test_a_newest_frame_given_up_because_of_an_earlier_sync_is_told_too(tmp_path: Path) -> None:
    store = writer(tmp_path / "s", chunksize=3)
    append(store, 0, 1)
    durable.set_hook(failing_syncfs)
    with pytest.raises(SyncFailed):
        store.sync()

    def damaging(step: str, path: Path) -> None:
        if step == "create" and path.name == ".frames.log.tmp":
            damage(tmp_path / "s" / "000000" / "000002.npy")

    durable.set_hook(damaging)
    with pytest.raises(SyncFailed, match="the newest frame with it"):
        append(store, 2)
    durable.set_hook(None)
    assert (store.frame_count, store.lost) == (2, 1)
    assert store.next_chunk_after_sync_failure() is False
    append(store, 2)
    store.close()
    assert_holds(tmp_path / "s", [0, 1, 2])


def test_a_sync_that_fails_on_the_second_try_does_not_cost_the_next_frame(tmp_path: Path) -> None:
    store = writer(tmp_path / "s", chunksize=2)
    append(store, 0)
    durable.set_hook(fail_at("create", ".index.npz.tmp", errno.EIO))
    append(store, 1)
    durable.set_hook(failing_syncfs)
    append(store, 2)
    durable.set_hook(None)
    store.close()
    assert_holds(tmp_path / "s", [0, 1, 2])


def test_a_sync_that_fails_at_close_is_verified_and_closed(tmp_path: Path) -> None:
    store = writer(tmp_path / "s")
    append(store, 0, 1)
    durable.set_hook(failing_syncfs)
    store.close()
    durable.set_hook(None)
    assert_holds(tmp_path / "s", [0, 1])


def test_a_chunk_of_which_nothing_is_left_gives_its_number_back(tmp_path: Path) -> None:
    store = writer(tmp_path / "s", chunksize=2)
    append(store, 0, 1, 2)
    store.add_extra_data(temperature=1)
    durable.set_hook(failing_syncfs)
    with pytest.raises(SyncFailed):
        store.sync()
    durable.set_hook(None)
    damage(tmp_path / "s" / "000001" / "000000.npy")
    store.next_chunk_after_sync_failure()
    append(store, 3)
    store.close()
    assert_holds(tmp_path / "s", [0, 1, 3])
    assert json.loads((tmp_path / "s" / "000000" / "index.extra.json").read_text())
    assert not (tmp_path / "s" / "000001" / "index.extra.json").exists()


def test_a_store_of_which_nothing_is_left_is_empty(tmp_path: Path) -> None:
    store = writer(tmp_path / "s")
    append(store, 0)
    durable.set_hook(failing_syncfs)
    with pytest.raises(SyncFailed):
        store.sync()
    durable.set_hook(None)
    damage(tmp_path / "s" / "000000" / "000000.npy")
    store.next_chunk_after_sync_failure()
    store.close()
    assert_holds(tmp_path / "s", [])


def test_a_failed_sync_of_the_index_has_the_chunk_verified(tmp_path: Path) -> None:
    store = writer(tmp_path / "s", chunksize=2)
    append(store, 0)
    durable.set_hook(fail_at("fsync", "index.npz", errno.EIO))
    with pytest.raises(SyncFailed):
        append(store, 1)
    durable.set_hook(None)
    damage(tmp_path / "s" / "000000" / "000000.npy")
    store.next_chunk_after_sync_failure()
    append(store, 2)
    store.close()
    assert_holds(tmp_path / "s", [1, 2])


def test_an_index_that_cannot_be_synced_leaves_the_store_interrupted(tmp_path: Path) -> None:
    store = writer(tmp_path / "s")
    append(store, 0)
    durable.set_hook(fail_at("fsync", "index.npz", errno.EIO))
    with pytest.raises(SyncFailed):
        store.close()
    durable.set_hook(None)
    assert {".lock", "000000/000000.npy"} < set(tree(tmp_path / "s"))
    assert "000000/index.npz" not in tree(tmp_path / "s")


# --- extra data -------------------------------------------------------------------------------

def test_extra_data_lies_with_the_chunk_of_its_frame(tmp_path: Path) -> None:
    store = writer(tmp_path / "s", chunksize=2)
    store.add_extra_data(at="start")
    append(store, 10, 11)
    store.add_extra_data(at="full chunk")
    append(store, 12)
    store.add_extra_data(at="end")
    store.add_extra_data()
    store.close()
    chunks = [json.loads((tmp_path / "s" / name / "index.extra.json").read_text())
              for name in ("000000", "000001")]
    assert [[record["at"] for record in chunk] for chunk in chunks] == [
        ["start", "full chunk"], ["end"]]
    assert chunks[0][0] == {"at": "start", "frame_time": None, "frame_number": None,
                            "frame_index": -1}
    assert chunks[0][1]["frame_number"] == 11
    assert chunks[1][0] == {"at": "end", "frame_time": (START_NS + 12 * 40_000_000) / 1e9,
                            "frame_number": 12, "frame_index": 2}


def test_extra_data_after_an_exactly_full_last_chunk_is_kept(tmp_path: Path) -> None:
    store = writer(tmp_path / "s", chunksize=2)
    append(store, 0, 1)
    store.add_extra_data(last=True)
    store.close()
    assert tree(tmp_path / "s") == ["000000/000000.npy", "000000/000001.npy",
                                    "000000/index.extra.json", "000000/index.npz",
                                    "metadata.yaml"]


def test_extra_data_that_was_synced_survives_a_crash(tmp_path: Path) -> None:
    store = writer(tmp_path / "s", chunksize=3)
    promised: list[int] = []
    for number in range(8):
        append(store, number)
        store.add_extra_data(n=number)
        if number % 2:
            store.sync()
            promised = list(range(number + 1))
    store.add_extra_data(n="not synced")
    store.abandon()
    recover(tmp_path / "s")
    oracle = new_for_filename(str(tmp_path / "s"))
    table = oracle.get_extra_data()
    oracle.close()
    assert table["n"].tolist() == promised == table["frame_index"].tolist()
    assert not list((tmp_path / "s").rglob("extra.log"))


def test_what_is_added_between_two_chunks_is_synced_too(tmp_path: Path) -> None:
    store = writer(tmp_path / "s", chunksize=2)
    append(store, 0, 1)
    store.add_extra_data(between=True)
    store.sync()
    store.abandon()
    recover(tmp_path / "s")
    assert [record["between"] for record in extra(tmp_path / "s", 0)] == [True]


def test_extra_data_that_finds_no_room_to_be_journalled_comes_later(tmp_path: Path) -> None:
    store = writer(tmp_path / "s")
    append(store, 0)
    store.add_extra_data(n=0)
    for number in (errno.ENOSPC, errno.EIO):
        durable.set_hook(fail_at("write", "extra.log", number))
        store.sync()
        durable.set_hook(None)
    store.add_extra_data(n=1)
    store.sync()
    store.abandon()
    recover(tmp_path / "s")
    assert [record["n"] for record in extra(tmp_path / "s", 0)] == [0, 1]


def test_extra_data_may_take_the_reserve(tmp_path: Path) -> None:
    store = writer(tmp_path / "s", chunksize=2)
    append(store, 0)
    store.add_extra_data(n=0)
    append(store, 1)
    failed: list[Path] = []

    def no_room_yet(step: str, path: Path) -> None:
        if step == "create" and path.name == ".index.extra.json.tmp" and not failed:
            failed.append(path)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    durable.set_hook(no_room_yet)
    append(store, 2)
    durable.set_hook(None)
    store.close()
    assert failed
    assert [record["n"] for record in extra(tmp_path / "s", 0)] == [0]


def test_extra_data_that_finds_no_room_at_all_stays_in_its_journal(tmp_path: Path) -> None:
    store = writer(tmp_path / "s")
    append(store, 0)
    store.add_extra_data(n=0)
    store.sync()
    store.add_extra_data(n=1)
    durable.set_hook(fail_at("create", ".index.extra.json.tmp", errno.ENOSPC))
    store.close()
    durable.set_hook(None)
    assert StoreReader(tmp_path / "s").user_metadata["fieldrec"]["extra_data_lost"] == 1
    assert mend_extra(chunk_paths(tmp_path / "s", 0)) == 1


def test_extra_data_of_a_chunk_that_came_to_nothing_joins_the_one_before(tmp_path: Path) -> None:
    store = writer(tmp_path / "s", chunksize=1)
    append(store, 0)
    store.add_extra_data(n=0)
    durable.set_hook(fail_at("write", "000000.npy", errno.EIO))
    with pytest.raises(StoreError):
        append(store, 1)
    durable.set_hook(None)
    store.add_extra_data(n=1)
    store.sync()
    store.close()
    assert [record["n"] for record in extra(tmp_path / "s", 0)] == [0, 1]
    assert not (tmp_path / "s" / "000001").exists()


def extra(path: Path, chunk: int) -> Any:
    return json.loads(chunk_paths(path, chunk).extra.read_text())


def test_a_scan_that_probes_the_lock_does_not_stop_a_new_store(tmp_path: Path) -> None:
    probes: list[int] = []

    def probe(step: str, path: Path) -> None:
        if step == "create" and path.name == ".metadata.yaml.tmp":
            descriptor = os.open(path.parent / layout.LOCK_NAME, os.O_RDONLY)
            with pytest.raises(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            probes.append(descriptor)
            os.close(descriptor)

    durable.set_hook(probe)
    store = writer(tmp_path / "s")
    durable.set_hook(None)
    store.close()
    assert len(probes) == 1


# --- what the end of a chunk waits for ------------------------------------------------------------

SYNCS = ("fsync", "fsync_directory", "syncfs")


def test_a_chunk_end_waits_for_three_syncs_and_for_them_in_this_order(tmp_path: Path) -> None:
    store = writer(tmp_path / "s", chunksize=2)
    append(store, 0)
    steps: list[tuple[str, str]] = []
    durable.set_hook(lambda step, path: steps.append((step, path.name)))
    append(store, 1, 2)
    durable.set_hook(None)
    store.close()
    waited = [step for step in steps if step[0] in SYNCS]
    assert waited == [("syncfs", "s"), ("fsync", "index.npz"), ("fsync_directory", "000000")]
    assert steps.index(("unlink", "frames.log")) > steps.index(waited[-1])
    assert steps.index(("make_directory", "000001")) > steps.index(("unlink", "frames.log"))
    assert_holds(tmp_path / "s", [0, 1, 2])


def test_an_orderly_end_makes_durable_that_the_log_is_gone(tmp_path: Path) -> None:
    store = writer(tmp_path / "s", chunksize=2)
    append(store, 0, 1)
    steps: list[tuple[str, str]] = []
    durable.set_hook(lambda step, path: steps.append((step, path.name)))
    append(store, 2)
    store.close()
    durable.set_hook(None)
    gone = max(at for at, step in enumerate(steps) if step == ("unlink", "frames.log"))
    assert steps.index(("fsync_directory", "000001"), gone) < steps.index(("unlink", ".lock"))
