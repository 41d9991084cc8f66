"""Recover: killed at any step of writing or recovering, it ends in the same complete store."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldrec.core import durable
from fieldrec.core.errors import (
    LockedError,
    NotFoundError,
    StoreDamaged,
    StoreError,
    SyncFailed,
)
from fieldrec.core.model import FrameSpec
from fieldrec.store import layout
from fieldrec.store.api.new_store import recording_metadata
from fieldrec.store.reader import StoreReader
from fieldrec.store.recover import Recovered
from fieldrec.store.recover import recover as recover_at
from fieldrec.store.recovery.note import read_entries
from fieldrec.store.writer import StoreWriter
from tests.fakes.kills import Killed, killed_at

SPEC = FrameSpec((6, 8), "uint8", "MONO8", 25.0)


def recover(path: Path) -> Recovered:
    """At the same time always, so that what is left can be compared byte by byte."""
    return recover_at(path, now=lambda: 1_700_000_100.0)


def pixels(number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(number).integers(0, 255, SPEC.shape, np.uint8)


def new(path: Path, chunksize: int = 3) -> StoreWriter:
    return StoreWriter(path, SPEC, chunksize=chunksize, user_metadata={"genotype": "wt"},
                       timezone="UTC", created_epoch_ns=1_700_000_000_000_000_000)


def append(store: StoreWriter, *numbers: int) -> None:
    for number in numbers:
        store.append(pixels(number), number, number * 1_000_000, None)


def interrupted(path: Path, *numbers: int, chunksize: int = 3) -> Path:
    store = new(path, chunksize)
    append(store, *numbers)
    store.abandon()
    return path


def contents(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes()
            for file in sorted(path.rglob("*")) if file.is_file()}


def numbers_in(path: Path) -> list[int]:
    """The frames of a complete store, each compared to what was recorded."""
    assert not (path / ".lock").exists()
    reader = StoreReader(path)
    assert reader.problems == ()
    for stored in reader:
        assert np.array_equal(stored.pixels, pixels(int(stored.number)))
        assert stored.time_ns == stored.number * 1_000_000
    files = sum(1 for name in contents(path) if name.endswith(".npy"))
    assert files == reader.frame_count
    assert {name.rsplit("/")[-1] for name in contents(path) if not name.endswith(".npy")} <= {
        "metadata.yaml", "index.npz", "recovered.json"}
    return [int(number) for number in reader.numbers]


# --- sweeps -----------------------------------------------------------------------------------

@pytest.mark.slow
def test_a_writer_killed_at_any_step_is_recovered_with_every_whole_frame(memory_path: Path) -> None:
    step = 0
    while True:
        path = memory_path / f"s{step}"
        store: list[StoreWriter] = []
        written: list[int] = []

        def record(path: Path = path, store: list[StoreWriter] = store,
                   written: list[int] = written) -> None:
            store.append(new(path))
            for number in (0, 1, 2, 3, 5, 6, 7):
                append(store[0], number)
                written.append(number)
                if number == 3:
                    store[0].sync()
            store[0].close({"dropped": 1})

        killed = killed_at(step, record)
        for left in store:
            left.abandon()
        if path.exists():
            recover(path)
            if path.exists():
                found = numbers_in(path)
                assert found[:len(written)] == written
                assert len(found) <= len(written) + 1
            else:
                assert written == []
        if not killed:
            break
        step += 1
    assert step > 50


def damaged_store(path: Path) -> Path:
    """A hole at the start and in the middle of the open chunk, a torn tail, a surplus frame."""
    interrupted(path, 0, 1, 2, 3, 4, 5, 6, 7, 9, chunksize=7)
    chunk = path / "000000"
    recover(path)
    interrupted(path.with_name("other"), 0, 1, 2, 3, 4, 5, 6, 8, chunksize=9)
    shutil.rmtree(path)
    path.with_name("other").rename(path)
    (chunk / "000000.npy").unlink()
    with (chunk / "000003.npy").open("r+b") as file:
        file.truncate(130)
    data = bytearray((chunk / "000007.npy").read_bytes())
    data[-1] ^= 1
    (chunk / "000007.npy").write_bytes(data)
    (chunk / "000008.npy").write_bytes(b"begun")
    return path


@pytest.mark.slow
def test_recover_killed_at_any_step_and_run_again_gives_the_same_store(memory_path: Path) -> None:
    expected = damaged_store(memory_path / "expected")
    outcome = recover(expected)
    assert (outcome.frames_kept, outcome.frames_damaged, outcome.chunks_repaired) == (5, 4, 1)
    assert numbers_in(expected) == [1, 2, 4, 5, 6]
    pristine = damaged_store(memory_path / "pristine")
    _take_identity(pristine, expected)
    wanted = contents(expected)
    step = 0
    while True:
        path = memory_path / f"s{step}"
        shutil.copytree(pristine, path)
        killed = killed_at(step, lambda path=path: recover(path))  # type: ignore[misc]
        recover(path)
        assert contents(path) == wanted, f"killed at step {step}"
        if not killed:
            break
        step += 1
    assert step > 15


@pytest.mark.slow
def test_recover_killed_twice_gives_the_same_store(memory_path: Path) -> None:
    expected = damaged_store(memory_path / "expected")
    recover(expected)
    pristine = damaged_store(memory_path / "pristine")
    _take_identity(pristine, expected)
    wanted = contents(expected)
    for first in range(0, 24, 3):
        for second in range(0, 20, 3):
            path = memory_path / f"s{first}-{second}"
            shutil.copytree(pristine, path)
            killed_at(first, lambda path=path: recover(path))  # type: ignore[misc]
            killed_at(second, lambda path=path: recover(path))  # type: ignore[misc]
            recover(path)
            assert contents(path) == wanted, f"killed at steps {first} and {second}"


def _take_identity(store: Path, other: Path) -> None:
    """Give `store` the uuid of `other`, so that their files can be compared."""
    text = (store / "metadata.yaml").read_text()
    text = text.replace(StoreReader(store).uuid, StoreReader(other).uuid)
    (store / "metadata.yaml").write_text(text)


@pytest.mark.slow
def test_a_power_cut_after_any_step_keeps_every_synced_frame(memory_path: Path) -> None:
    """I8: what was written since the last sync is zeroed, as an unwritten page comes back."""
    for step in range(200):
        path = memory_path / f"s{step}"
        unsynced: set[Path] = set()
        synced: list[int] = []
        store: list[StoreWriter] = []
        cut = _record_until(step, path, store, unsynced, synced)
        for left in store:
            left.abandon()
        for file in unsynced:
            if file.exists():
                file.write_bytes(bytes(file.stat().st_size // 2))
        if path.exists():
            recover(path)
        if path.exists():
            assert numbers_in(path)[:len(synced)] == synced
        if not cut:
            return
    raise AssertionError("the sweep did not end")


def _record_until(step: int, path: Path, store: list[StoreWriter], unsynced: set[Path],
                  synced: list[int]) -> bool:
    seen = 0
    before = ""

    def hook(name: str, at: Path) -> None:
        nonlocal seen, before
        seen += 1
        if before == "syncfs":
            unsynced.clear()
        before = name
        if seen > step:
            raise Killed
        if name == "create" and at.suffix == ".npy":
            unsynced.add(at)

    durable.set_hook(hook)
    try:
        store.append(new(path))
        done: list[int] = []
        for number in range(8):
            append(store[0], number)
            done.append(number)
            if number % 2:
                store[0].sync()
                unsynced.clear()
                synced[:] = done
        store[0].close()
        unsynced.clear()
    except Killed:
        return True
    finally:
        durable.set_hook(None)
    return False


# --- cases ------------------------------------------------------------------------------------

def test_running_twice_is_harmless(tmp_path: Path) -> None:
    path = interrupted(tmp_path / "s", 0, 1, 2, 3)
    first = recover(path)
    assert (first.frames_kept, first.frames_damaged, first.chunks_repaired) == (4, 0, 1)
    before = contents(path)
    assert recover(path).note == "was complete already"
    assert contents(path) == before


def test_a_store_that_is_being_written_is_locked(tmp_path: Path) -> None:
    store = new(tmp_path / "s")
    append(store, 0)
    with pytest.raises(LockedError, match="being recorded"):
        recover(tmp_path / "s")
    append(store, 1)
    store.close()
    assert numbers_in(tmp_path / "s") == [0, 1]


def test_a_lock_held_by_another_process_is_respected(tmp_path: Path) -> None:
    path = interrupted(tmp_path / "s", 0, 1)
    program = ("import fcntl, sys; lock = open(sys.argv[1]); fcntl.flock(lock, fcntl.LOCK_EX);"
               "print('held', flush=True); sys.stdin.read()")
    before = contents(path)
    with subprocess.Popen([sys.executable, "-c", program, str(path / ".lock")], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LockedError):
            recover(path)
        holder.communicate("")
    assert contents(path) == before
    recover(path)
    assert numbers_in(path) == [0, 1]


def test_gaps_in_the_numbers_count_as_dropped(tmp_path: Path) -> None:
    store = StoreWriter(tmp_path / "s", SPEC, chunksize=3, timezone="UTC", created_epoch_ns=0,
                        user_metadata=recording_metadata({"genotype": "wt"}, SPEC, "UTC"))
    append(store, 0, 1, 4, 5, 7)
    store.abandon()
    path = tmp_path / "s"
    recover(path)
    ours = StoreReader(path).user_metadata["fieldrec"]
    assert (ours["interrupted"], ours["dropped"]) == (True, 3)
    assert StoreReader(path).user_metadata["genotype"] == "wt"


def test_an_unreadable_index_is_rebuilt_from_the_log(tmp_path: Path) -> None:
    path = interrupted(tmp_path / "s", 0, 1)
    (path / "000000" / "index.npz").write_bytes(b"")
    recover(path)
    assert numbers_in(path) == [0, 1]


def test_an_unreadable_index_without_a_log_is_made_again_from_what_follows(tmp_path: Path
                                                                            ) -> None:
    path = interrupted(tmp_path / "s", 0, 1, 2, 3, 4)
    (path / "000000" / "index.npz").write_bytes(b"rubbish")
    outcome = recover(path)
    assert [(one.chunk, one.frames) for one in outcome.estimated] == [("000000", 3)]
    assert "estimated for 3 frames" in outcome.note
    assert numbers_in(path) == [0, 1, 2, 3, 4]
    entry, = read_entries(path)
    assert (entry.frames_kept, entry.chunks_repaired) == (5, ["000000", "000001"])


def test_an_empty_last_chunk_is_removed_and_the_first_is_not(tmp_path: Path) -> None:
    path = interrupted(tmp_path / "s", 0, 1, 2, 3)
    (path / "000001" / "000000.npy").unlink()
    recover(path)
    assert numbers_in(path) == [0, 1, 2]
    assert not (path / "000001").exists()
    empty = interrupted(tmp_path / "empty")
    recover(empty)
    assert numbers_in(empty) == []


def test_a_store_without_any_chunk_becomes_an_empty_one(tmp_path: Path) -> None:
    path = interrupted(tmp_path / "s")
    shutil.rmtree(path / "000000")
    recover(path)
    assert numbers_in(path) == []


def test_what_never_got_metadata_is_removed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / ".lock").touch()
    (tmp_path / "b" / ".metadata.yaml.tmp").touch()
    for name in ("a", "b"):
        assert recover(tmp_path / name).note == "nothing was recorded: removed"
    assert list(tmp_path.iterdir()) == []


def test_frames_without_metadata_are_never_removed(tmp_path: Path) -> None:
    path = interrupted(tmp_path / "s", 0)
    (path / "metadata.yaml").unlink()
    before = contents(path)
    with pytest.raises(StoreDamaged, match="put it back"):
        recover(path)
    assert contents(path) == before


def test_unreadable_metadata_changes_nothing(tmp_path: Path) -> None:
    path = interrupted(tmp_path / "s", 0)
    (path / "metadata.yaml").write_text("__store: [")
    before = contents(path)
    with pytest.raises(StoreDamaged, match="not valid YAML"):
        recover(path)
    assert contents(path) == before


def test_a_log_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    import struct
    import zlib
    path = interrupted(tmp_path / "s", 0)
    head = layout.LOG_MAGIC + struct.pack("<HH", 2, 64)
    (path / "000000" / "frames.log").write_bytes(head + struct.pack("<I", zlib.crc32(head)))
    assert "newer fieldrec" in recover(path).note
    assert (path / "000000" / "000000.npy").exists()


def test_a_recovery_leaves_a_note_and_a_complete_store_gets_none(tmp_path: Path) -> None:
    path = interrupted(tmp_path / "s", 0, 1, 2, 3, 4)
    (path / "000001" / "000002.npy").write_bytes(b"begun")
    recovered = recover(path)
    entry, = read_entries(path)
    assert (entry.when_utc, entry.frames_kept, entry.frames_damaged, entry.chunks_repaired) == (
        "2023-11-14T22:15:00+00:00", 5, 1, ["000001"])
    assert recovered.notes == tuple(entry.notes) == ("000001: 2 frames kept, 1 damaged",)
    assert entry.estimated == []
    (path / ".lock").touch()
    (path / ".reserve").touch()
    recover(path)  # cut off while it was being unlocked: nothing of the recording was changed
    assert len(read_entries(path)) == 1
    assert numbers_in(path) == [0, 1, 2, 3, 4]


def flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("at", [0, 3, 8, 11, 15])
def test_a_flipped_bit_in_the_head_of_a_log_costs_nothing(tmp_path: Path, at: int) -> None:
    path = interrupted(tmp_path / "s", 0, 1, 2, 3, chunksize=9)
    flip(path / "000000" / "frames.log", at)
    recover(path)
    assert numbers_in(path) == [0, 1, 2, 3]
    assert StoreReader(path).digests is not None


def test_a_log_that_is_garbage_leaves_the_frames_with_estimates(tmp_path: Path) -> None:
    path = interrupted(tmp_path / "s", 0, 1, 2, 3, 4, 5)
    log = path / "000001" / "frames.log"
    shutil.copytree(path / "000001", path / "000002")  # as if it was the open one
    (path / "000002" / "index.npz").unlink()
    (path / "000002" / "frames.log").write_bytes(b"\xa5" * 400)
    assert not log.exists()
    outcome = recover(path)
    assert outcome.frames_kept == 9
    reader = StoreReader(path)
    assert reader.problems == ()
    assert reader.numbers.tolist() == list(range(9))
    assert [one.chunk for one in outcome.estimated] == ["000002"]
    assert not (path / "000002" / "frames.log").exists()


@pytest.mark.parametrize("log", [b"", bytes(16), bytes(400)], ids=["empty", "short", "zeros"])
def test_a_log_that_never_reached_the_disk_promises_nothing(tmp_path: Path, log: bytes) -> None:
    path = interrupted(tmp_path / "s", 0, 1, 2, 3, 4)
    (path / "000001" / "frames.log").write_bytes(log)
    recover(path)
    assert numbers_in(path) == [0, 1, 2]


def with_interim_index(path: Path) -> Path:
    """Five frames, three of which an interim index lists."""
    store = new(path, 9)
    append(store, 0, 1, 2)
    columns = store._chunk.columns  # type: ignore[union-attr]
    data = layout.index_bytes(columns, store.metadata.raw)
    append(store, 3, 4)
    store.abandon()
    (path / "000000" / "index.npz").write_bytes(data)
    return path


def test_the_log_is_the_truth_where_it_knows_more_than_the_index(tmp_path: Path) -> None:
    path = with_interim_index(tmp_path / "s")
    recover(path)
    assert numbers_in(path) == [0, 1, 2, 3, 4]


def test_a_record_that_the_log_has_lost_comes_from_the_index(tmp_path: Path) -> None:
    path = with_interim_index(tmp_path / "s")
    flip(path / "000000" / "frames.log", layout.LOG_HEADER.size + layout.LOG_RECORD.size + 10)
    recover(path)
    assert numbers_in(path) == [0, 1, 2, 3, 4]


def test_a_spoilt_log_beside_an_index_leaves_the_frames_behind_it(tmp_path: Path) -> None:
    path = with_interim_index(tmp_path / "s")
    (path / "000000" / "frames.log").write_bytes(b"\xa5" * 400)
    outcome = recover(path)
    assert outcome.frames_kept == 5
    assert [one.frames for one in outcome.estimated] == [2]
    assert StoreReader(path).numbers.tolist() == [0, 1, 2, 3, 4]


def test_a_store_of_ours_need_not_rest_for_a_minute(tmp_path: Path) -> None:
    """Without a log, and without a word in its metadata, its lock tells whose it is."""
    assert recover_at(interrupted(tmp_path / "s", 0, 1, 2)).frames_kept == 3


def test_what_is_not_ours_outlives_an_unborn_store(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / "notes.txt").write_text("mine")
    assert "unlocked" in recover(tmp_path).note
    assert contents(tmp_path) == {"notes.txt": b"mine"}


def test_only_the_open_chunk_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finished chunks are looked at, not into: a long recording is recovered as fast as a short."""
    path = interrupted(tmp_path / "s", *range(35))
    listed: list[str] = []
    iterdir = Path.iterdir

    def counted(directory: Path) -> Any:
        listed.append(directory.name)
        return iterdir(directory)

    monkeypatch.setattr(Path, "iterdir", counted)
    recover(path)
    monkeypatch.undo()
    assert {name for name in listed if name.isdecimal()} == {"000011"}
    assert numbers_in(path) == list(range(35))


# --- video ------------------------------------------------------------------------------------

VIDEO_SPEC = FrameSpec((32, 48, 3), "uint8", "BGR8", 25.0)


def video(path: Path, *numbers: int, form: str = "mjpeg/avi") -> Path:
    store = StoreWriter(path, VIDEO_SPEC, chunksize=4, user_metadata={}, timezone="UTC",
                        created_epoch_ns=1_700_000_000_000_000_000, form=form)
    for number in numbers:
        store.append(ramp(number), number, number * 1_000_000, None)
        store.add_extra_data(number=number)
    store.sync()
    store.abandon()
    return path


def ramp(number: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    rows = np.arange(32)[:, None] * 2 + np.arange(48) + number * 20
    return np.repeat((rows % 200)[:, :, None], 3, axis=2).astype(np.uint8)


def video_numbers(path: Path) -> list[int]:
    """The frames of a recovered video store, each nearer to what was recorded than to another."""
    assert not list(path.glob("*.log"))
    assert not list(path.glob("*.open"))
    with StoreReader(path) as reader:
        assert reader.problems == ()
        for stored in reader:
            error = np.abs(stored.pixels.astype(int) - ramp(int(stored.number))).mean()
            assert error < 12
            assert error < np.abs(stored.pixels.astype(int) - ramp(int(stored.number) + 1)).mean()
        return [int(number) for number in reader.numbers]


@pytest.mark.parametrize("form", ["mjpeg/avi", "h264/mkv", "avc1/mp4"])
@pytest.mark.parametrize("count", [0, 1, 4, 6, 9])
def test_an_interrupted_video_store(tmp_path: Path, form: str, count: int) -> None:
    path = video(tmp_path / "s", *range(count), form=form)
    outcome = recover(path)
    assert (outcome.frames_kept, outcome.frames_damaged) == (count, 0)
    assert video_numbers(path) == list(range(count))
    before = contents(path)
    assert recover(path).note == "was complete already"
    assert contents(path) == before


@pytest.mark.parametrize("form", ["mjpeg/avi", "h264/mkv", "avc1/mp4"])
def test_a_video_without_its_log_keeps_its_pictures(tmp_path: Path, form: str) -> None:
    path = video(tmp_path / "s", *range(7), form=form)
    (path / "000001.frames.log").write_bytes(b"\xa5" * 300)
    outcome = recover(path)
    assert outcome.frames_kept == 7
    assert [one.frames for one in outcome.estimated] == [3]
    assert video_numbers(path) == list(range(7))


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        recover(tmp_path / "s")


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from then on"])
def test_an_error_at_any_step_costs_no_frame_that_was_accepted(tmp_path: Path, number: int,
                                                               lasting: bool) -> None:
    """The errors that come out are ours, and what append took is in the store afterwards."""
    for step in range(200):
        path = tmp_path / f"s{step}"
        accepted, failed = _record_with_error(step, path, number, lasting)
        if path.exists():
            recover(path)
        if path.exists():
            assert numbers_in(path) == accepted, f"{os.strerror(number)} at step {step}"
        else:
            assert accepted == []
        if not failed:
            return
    raise AssertionError("the sweep did not end")


def _record_with_error(step: int, path: Path, number: int, lasting: bool
                       ) -> tuple[list[int], bool]:
    """Record as the store thread does; (numbers that append took, whether the error came)."""
    seen = 0

    def hook(name: str, at: Path) -> None:
        nonlocal seen
        seen += 1
        if seen == step + 1 or (lasting and seen > step):
            raise OSError(number, os.strerror(number))

    accepted: list[int] = []
    durable.set_hook(hook)
    try:
        store = new(path)
        try:
            for frame in range(7):
                try:
                    append(store, frame)
                    accepted.append(frame)
                except SyncFailed:
                    accepted.append(frame)
                    store.next_chunk_after_sync_failure()
            store.close()
        finally:
            store.abandon()
    except StoreError:
        pass
    finally:
        durable.set_hook(None)
    return accepted, seen > step


def test_what_a_whole_chunk_was_about_to_get_is_removed(tmp_path: Path) -> None:
    """A chunk has its index, and its log has gone, before its extra data is written, when the next
    one begins: a power cut there leaves the temporary file in a chunk that needs nothing else."""
    path = interrupted(tmp_path / "a", 0, 1, 2, 3)
    assert (path / "000001").exists()
    (path / "000000" / ".index.extra.json.tmp").write_text("[")
    recover(path)
    assert numbers_in(path) == [0, 1, 2, 3]
    assert list(path.rglob(".*.tmp")) == []
