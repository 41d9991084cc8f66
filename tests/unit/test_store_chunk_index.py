"""One chunk's rows: whatever imgstore takes is taken, what it chokes on costs one chunk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldrec.core.errors import StoreDamaged
from fieldrec.store import layout
from fieldrec.store.chunk_paths import ChunkPaths, chunk_paths
from fieldrec.store.indexing.chunk_index import ChunkRows, nanoseconds_of, read_open_rows, read_rows


@pytest.fixture
def paths(tmp_path: Path) -> ChunkPaths:
    (tmp_path / "000000").mkdir()
    return chunk_paths(tmp_path, 0)


def save(paths: ChunkPaths, **members: Any) -> ChunkRows:
    np.savez(paths.index, **members)
    return read_rows(paths)


# --- what an index may hold ---------------------------------------------------------------------

@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.float64, np.float32, np.bool_,
                                   ">i8", ">f8"])
def test_any_numeric_type_of_numbers(paths: ChunkPaths, dtype: Any) -> None:
    rows = save(paths, frame_number=np.array([0, 1, 1], dtype), frame_time=[1, 2, 3])
    assert rows.numbers.dtype == np.int64
    assert rows.numbers.tolist() == [0, 1, 1]
    assert rows.times_s.dtype == np.float64
    assert rows.times_s.tolist() == [1.0, 2.0, 3.0]
    assert rows.times_ns.tolist() == [1_000_000_000, 2_000_000_000, 3_000_000_000]
    assert (rows.device_times_ns, rows.digests, rows.positions) == (None, None, None)


def test_fractional_and_huge_numbers_stay_what_they_are(paths: ChunkPaths) -> None:
    assert save(paths, frame_number=[1.5, 2.0], frame_time=[1, 2]).numbers.tolist() == [1.5, 2.0]
    assert save(paths, frame_number=[2.0 ** 70], frame_time=[1]).numbers.tolist() == [2.0 ** 70]
    assert save(paths, frame_number=[-2 ** 63, 2 ** 63 - 1], frame_time=[1, 2]
                ).numbers.tolist() == [-2 ** 63, 2 ** 63 - 1]


def test_times_are_exactly_what_was_stored(paths: ChunkPaths) -> None:
    times = [1.7e9 + 0.1, 0.1, -5.25, float(np.float32(1e-3))]
    assert save(paths, frame_number=[0, 1, 2, 3], frame_time=times).times_s.tolist() == times


def test_times_far_from_1970_keep_their_seconds(paths: ChunkPaths) -> None:
    rows = save(paths, frame_number=[0, 1], frame_time=[1.7e12, -1e300])
    assert rows.times_s.tolist() == [1.7e12, -1e300]
    assert rows.times_ns.tolist() == [9_200_000_000_000_000_000, -9_200_000_000_000_000_000]


def test_nanoseconds_are_the_nearest() -> None:
    times_ns = np.array([1_700_000_000_123_456_789, -1, 0, 999_999_999])
    assert (np.abs(nanoseconds_of(layout.seconds_of(times_ns)) - times_ns) <= 120).all()


def test_the_shorter_of_both_counts_as_in_imgstore(paths: ChunkPaths) -> None:
    rows = save(paths, frame_number=[1, 2, 3], frame_time=[1.0, 2.0])
    assert (rows.numbers.tolist(), rows.times_s.tolist()) == ([1, 2], [1.0, 2.0])


def test_our_columns_are_read_where_they_are_whole(paths: ChunkPaths) -> None:
    ours = {"frame_time_ns": np.array([5, 6]), "device_time_ns": np.array([-1, 9]),
            "frame_digest": np.array([1, 2 ** 64 - 1], np.uint64)}
    rows = save(paths, frame_number=[1, 2], frame_time=[0.0, 0.0], **ours)
    assert rows.times_ns.tolist() == [5, 6]
    assert rows.device_times_ns is not None and rows.device_times_ns.tolist() == [-1, 9]
    assert rows.digests is not None and rows.digests.tolist() == [1, 2 ** 64 - 1]
    cut = save(paths, frame_number=[1, 2], frame_time=[0.0, 1.0],
               **{name: values[:1] for name, values in ours.items()})
    assert cut.times_ns.tolist() == [0, 1_000_000_000]
    assert (cut.device_times_ns, cut.digests) == (None, None)


def test_other_members_are_never_looked_at(paths: ChunkPaths) -> None:
    np.savez(paths.index, frame_number=[1], frame_time=[1.0],
             encoding=np.array(None, object), evil=np.array([{"a": 1}], object))
    assert len(read_rows(paths)) == 1


def test_compressed_indexes(paths: ChunkPaths) -> None:
    np.savez_compressed(paths.index, frame_number=np.arange(1000), frame_time=np.zeros(1000))
    assert len(read_rows(paths)) == 1000


def test_an_empty_index_is_one(paths: ChunkPaths) -> None:
    assert len(save(paths, frame_number=np.zeros(0), frame_time=np.zeros(0))) == 0


def test_yaml_where_there_is_no_npz(paths: ChunkPaths) -> None:
    paths.index_yaml.write_text("frame_number: [3, 4]\nframe_time: [1.5, 2]\nx: !!set {a}\n")
    rows = read_rows(paths)
    assert (rows.numbers.tolist(), rows.times_s.tolist()) == ([3, 4], [1.5, 2.0])
    assert len(save(paths, frame_number=[1], frame_time=[1.0])) == 1
    with pytest.raises(FileNotFoundError):
        read_rows(chunk_paths(paths.folder.parent, 7))


@pytest.mark.parametrize(("members", "reason"), [
    ({"frame_number": [1, None], "frame_time": [1, 2]}, "Object arrays cannot be loaded"),
    ({"frame_number": ["1"], "frame_time": [1]}, "expected numbers, found <U1"),
    ({"frame_number": [1.0, np.nan], "frame_time": [1, 2]}, "frame_number: number 1 is not finite"),
    ({"frame_number": [1], "frame_time": [np.inf]}, "frame_time: number 0 is not finite"),
    ({"frame_number": [[1]], "frame_time": [1]}, "of shape"),
    ({"frame_number": 1, "frame_time": 1}, "of shape"),
    ({"frame_number": np.array([2 ** 63], np.uint64), "frame_time": [1]}, "64 bits"),
    ({"frame_number": [1]}, "it has no frame_time"),
    ({"frame_time": [1]}, "it has no frame_number"),
])
def test_what_cannot_be_understood_is_named(paths: ChunkPaths, members: dict[str, Any],
                                            reason: str) -> None:
    with pytest.raises(StoreDamaged, match=rf"000000/index\.npz: unreadable index: .*{reason}"):
        save(paths, **members)


@pytest.mark.parametrize("data", [b"", b"rubbish", bytes(3000)])
def test_rubbish(paths: ChunkPaths, data: bytes) -> None:
    paths.index.write_bytes(data)
    with pytest.raises(StoreDamaged, match="unreadable index"):
        read_rows(paths)
    paths.index.unlink()
    paths.index_yaml.write_bytes(data)
    with pytest.raises(StoreDamaged, match=r"index\.yaml: unreadable index"):
        read_rows(paths)


def test_every_flipped_byte_is_noticed_or_harmless(paths: ChunkPaths) -> None:
    np.savez(paths.index, frame_number=np.arange(7), frame_time=np.arange(7) / 25)
    whole = paths.index.read_bytes()
    for at in range(0, len(whole), 3):
        paths.index.write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1:])
        try:
            rows = read_rows(paths)
        except StoreDamaged:
            continue
        assert rows.numbers.tolist() == list(range(7))
        assert rows.times_s.tolist() == [number / 25 for number in range(7)]


# --- open chunks --------------------------------------------------------------------------------

def write_log(paths: ChunkPaths, positions: list[int], frame_files: int | None = None) -> None:
    count = len(positions)
    columns = layout.Columns(np.arange(100, 100 + count), np.arange(count) * 1_000_000_007,
                             np.full(count, -1), np.arange(count, dtype=np.uint64))
    paths.log.write_bytes(layout.log_bytes(layout.Log(np.array(positions, np.int64), columns)))
    for position in positions[:frame_files]:
        paths.frame(position, "npy").touch()


def test_an_open_chunk_is_told_by_its_journal(paths: ChunkPaths) -> None:
    write_log(paths, [0, 1, 2, 3])
    rows = read_open_rows(paths, "npy")
    assert rows is not None
    assert rows.numbers.tolist() == [100, 101, 102, 103]
    assert rows.times_ns.tolist() == [0, 1_000_000_007, 2_000_000_014, 3_000_000_021]
    assert (rows.positions, rows.device_times_ns) == (None, None)
    assert rows.digests is not None


def test_records_without_their_frames_at_the_end_do_not_count(paths: ChunkPaths) -> None:
    write_log(paths, [0, 1, 2, 3], frame_files=2)
    rows = read_open_rows(paths, "npy")
    assert rows is not None and len(rows) == 2


def test_a_torn_record_costs_itself(paths: ChunkPaths) -> None:
    write_log(paths, [0, 1, 2, 3])
    data = bytearray(paths.log.read_bytes())
    data[layout.LOG_HEADER.size + layout.LOG_RECORD.size + 20] ^= 1
    paths.log.write_bytes(data + b"torn tail")
    rows = read_open_rows(paths, "npy")
    assert rows is not None
    assert rows.numbers.tolist() == [100, 102, 103]
    assert rows.positions is not None and rows.positions.tolist() == [0, 2, 3]


@pytest.mark.parametrize(("indexed", "expected"), [(2, "journal"), (4, "index"), (9, "index")])
def test_the_journal_wins_where_it_says_more(paths: ChunkPaths, indexed: int, expected: str
                                             ) -> None:
    write_log(paths, [0, 1, 2, 3])
    np.savez(paths.index, frame_number=np.arange(indexed), frame_time=np.zeros(indexed))
    rows = read_open_rows(paths, "npy")
    assert rows is not None
    assert rows.numbers[0] == (100 if expected == "journal" else 0)


def test_a_torn_interim_index_is_no_loss(paths: ChunkPaths) -> None:
    write_log(paths, [0, 1])
    paths.index.write_bytes(b"")
    rows = read_open_rows(paths, "npy")
    assert rows is not None and len(rows) == 2
    paths.log.unlink()
    with pytest.raises(StoreDamaged, match="unreadable index"):
        read_open_rows(paths, "npy")


def test_nothing_there(paths: ChunkPaths) -> None:
    assert read_open_rows(paths, "npy") is None


def test_a_journal_of_a_later_version(paths: ChunkPaths) -> None:
    write_log(paths, [0])
    head = layout.LOG_HEADER.pack(layout.LOG_MAGIC, 9, 48, 0)[:-4]
    import zlib
    paths.log.write_bytes(head + zlib.crc32(head).to_bytes(4, "little"))
    with pytest.raises(StoreDamaged, match="use a newer fieldrec"):
        read_open_rows(paths, "npy")


def test_a_chunk_that_was_being_mended_has_no_rows_before_it_is_done(paths: ChunkPaths) -> None:
    write_log(paths, [0, 1, 2, 3])
    os.link(paths.log, paths.plan)
    with pytest.raises(StoreDamaged, match="being mended when that was cut off; recover"):
        read_open_rows(paths, "npy")
    np.savez(paths.index, frame_number=[100, 101], frame_time=[0.0, 1.0])  # written before
    with pytest.raises(StoreDamaged, match="being mended"):
        read_open_rows(paths, "npy")
    np.savez(paths.index, frame_number=np.arange(100, 104), frame_time=np.zeros(4))
    rows = read_open_rows(paths, "npy")
    assert rows is not None and len(rows) == 4


def test_the_journal_of_a_video(tmp_path: Path) -> None:
    paths = chunk_paths(tmp_path, 0, ".mp4")
    write_log(paths, [0, 1], frame_files=0)
    rows = read_open_rows(paths, "")
    assert rows is not None and len(rows) == 0
    assert paths.open_video is not None
    paths.open_video.touch()
    rows = read_open_rows(paths, "")
    assert rows is not None and len(rows) == 2
