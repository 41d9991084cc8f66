"""Segments: their files, where they are cut, what slices are made of them, the folder they lie in.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldrec.core import durable
from fieldrec.core.errors import EncoderFailed, LockedError
from fieldrec.export import segments as cutting
from fieldrec.export.segment_file import (
    PACKET,
    Segment,
    SegmentWriter,
    Unreadable,
    read_segment,
    segments_in,
)
from fieldrec.export.segments import Cuts, in_slices, time_borders, usual_frames
from fieldrec.export.work_folder import begin, found_segments, sweep, work_path, working_folder

PACKETS = [(3, True, b"abc"), (5, False, b""), (4, False, b"\0" * 300_000)]


def written(folder: Path, first: int = 3, end: int = 7, rows: Sequence[tuple[int, bool, bytes]]
            = PACKETS) -> Segment:
    with SegmentWriter(folder, first, end) as writer:
        for row in rows:
            writer.add(*row)
        writer.unreadable.append(Unreadable(6, "not whole"))
        return writer.commit(b"head")


def of_size(first: int, end: int, size: int) -> Segment:
    table = np.array([(first, size, 1)], PACKET) if size else np.array([], PACKET)
    return Segment(Path(), first, end, b"", (), table)


# --- the file -----------------------------------------------------------------------------------

def test_a_segment_says_what_it_was_told(tmp_path: Path) -> None:
    made = written(tmp_path)
    found = read_segment(made.path)
    for segment in (made, found):
        assert (segment.first, segment.end, segment.extradata) == (3, 7, b"head")
        assert segment.unreadable == (Unreadable(6, "not whole"),)
        assert segment.table.tolist() == [(3, 3, 1), (5, 0, 0), (4, 300_000, 0)]
        assert list(segment.packets()) == [data for _, _, data in PACKETS]
        assert segment.size_bytes == 300_003
    assert os.listdir(tmp_path) == ["000000003-000000007.segment"]  # noqa: PTH208
    assert segments_in(tmp_path) == {3: made.path}


def test_it_is_synced_once_before_it_has_its_name(tmp_path: Path) -> None:
    steps: list[str] = []
    durable.set_hook(lambda step, path: steps.append(f"{step} {path.name}"))
    try:
        written(tmp_path)
    finally:
        durable.set_hook(None)
    part = ".part-000000003-000000007.segment"
    assert [step for step in steps if "write" not in step] == [
        f"unlink {part}", f"create {part}", f"fsync {part}", f"rename {part}",
        f"fsync_directory {tmp_path.name}"]
    assert steps.index(f"fsync {part}") > max(
        at for at, step in enumerate(steps) if "write" in step)


def test_what_is_not_committed_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), SegmentWriter(tmp_path, 0, 5) as writer:
        writer.add(0, True, b"x" * 600_000)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("at", [0, 150_000, -1, -9, -20, -40, -60])
def test_a_flipped_bit_anywhere_is_noticed(tmp_path: Path, at: int) -> None:
    path = written(tmp_path).path
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)
    with pytest.raises(EncoderFailed, match="other bytes than were written"):
        read_segment(path)


@pytest.mark.parametrize("size", [0, 7, 31, 40, 300_000])
def test_a_cut_one_is_noticed(tmp_path: Path, size: int) -> None:
    path = written(tmp_path).path
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(EncoderFailed, match="other bytes"):
        read_segment(path)


# --- where they are cut -------------------------------------------------------------------------

def ends(cuts: Cuts, bytes_per_frame: int = 1) -> list[int]:
    """The ends of all segments, each of which has so many bytes a frame."""
    found: list[Segment] = []
    while not found or found[-1].end < cuts.count:
        first = found[-1].end if found else 0
        end = cuts.end_of(first, found[-1] if found else None)
        assert end > first
        found.append(of_size(first, end, bytes_per_frame * (end - first)))
    return [segment.end for segment in found]


def test_a_segment_is_half_a_minute_of_work_in_whole_groups() -> None:
    assert usual_frames(1280 * 1024, 60) == 1140
    assert usual_frames(1920 * 1080, 60) == 720
    assert usual_frames(16 * 16, 60) == cutting.MOST_FRAMES // 60 * 60
    assert usual_frames(8000 * 6000, 60) == 60, "a group is not cut"
    assert ends(Cuts(2500, 60, 1140, ())) == [1140, 2280, 2500]


def test_slices_by_time_begin_with_a_segment() -> None:
    times_ns = np.array([0, 4, 9, 10, 11, 45, 46], np.int64) * 10**9
    assert time_borders(times_ns, 10.0) == (3, 5)
    assert ends(Cuts(7, 2, 2, (3, 5))) == [2, 3, 5, 7]
    assert time_borders(times_ns, 60.0) == ()
    assert time_borders(np.array([0, 5, 4, 12, 9, 21], np.int64), 1e-8) == (3, 5), "times back"


def test_segments_of_slices_by_size_are_a_part_of_one() -> None:
    assert ends(Cuts(500, 10, 300, (), 8_000, 25.0), 100) == [40, 50, 60, *range(70, 501, 10)]
    assert ends(Cuts(500, 10, 300, (), 80_000), 100) == [300, 400, 500]


def test_halving_ends_at_a_group() -> None:
    cuts = Cuts(500, 10, 300, (), 1000)
    assert [cuts.halved(20, end) for end in (80, 50, 40, 30, 25)] == [50, 30, 30, 30, 25]


@given(st.lists(st.integers(0, 900), min_size=1, max_size=30), st.sets(st.integers(1, 29)),
       st.one_of(st.none(), st.integers(300, 3000)))
def test_slices_hold_all_segments_once_and_none_is_too_large(
        sizes: list[int], borders: set[int], most: int | None) -> None:
    segments = [of_size(at, at + 1, size) for at, size in enumerate(sizes)]
    cuts = Cuts(len(sizes), 1, 1, tuple(sorted(borders)), most)
    slices = in_slices(segments, cuts, 3, 100)
    assert [segment for found in slices for segment in found] == segments
    for found in slices:
        assert any(segment.size_bytes for segment in found) or not any(sizes)
        full = [segment for segment in found if segment.size_bytes]
        size = 100 + sum(segment.size_bytes + 3 for segment in full)
        assert most is None or size <= most or len(full) == 1
        assert not any(segment.first in borders for segment in full[1:])


# --- the folder ---------------------------------------------------------------------------------

def test_the_folder_stays_and_is_ones_own(tmp_path: Path) -> None:
    target = tmp_path / "bees.mp4"
    with working_folder(target) as folder:
        assert folder == work_path(target) == tmp_path / ".work-bees.mp4"
        with pytest.raises(LockedError, match="another process"), working_folder(target):
            pass
        assert sweep(tmp_path, []) == [], "somebody works in it"
    assert folder.is_dir()
    assert sweep(tmp_path, ["bees.mp4"]) == []
    assert sweep(tmp_path, ["other.mp4"]) == [folder]
    (tmp_path / ".trash-.work-bees.mp4").mkdir()
    (tmp_path / ".trash-.work-link.mp4").symlink_to("/etc")
    assert sweep(tmp_path, ["bees.mp4"]) == [tmp_path / ".trash-.work-bees.mp4"], "cut off"
    assert [path.name for path in tmp_path.iterdir()] == [".trash-.work-link.mp4"]


def test_a_folder_taken_away_before_it_is_locked_is_made_anew(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "bees.mp4"
    lock = fcntl.flock
    taken: list[Path] = []

    def take(descriptor: int, operation: int) -> None:
        if not taken:
            taken.append(work_path(target).rename(tmp_path / "away"))
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", take)
    with working_folder(target) as folder:
        assert folder.is_dir()
    assert taken


def test_another_plan_begins_anew(tmp_path: Path) -> None:
    begin(tmp_path, {"crf": 18})
    written(tmp_path, 0)
    (tmp_path / ".part-000000007-000000009.segment").touch()
    begin(tmp_path, {"crf": 18})
    assert len(found_segments(tmp_path, 20)) == 1
    assert not list(tmp_path.glob(".part-*"))
    begin(tmp_path, {"crf": 19})
    assert found_segments(tmp_path, 20) == []
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]


def test_segments_count_up_to_the_first_that_is_missing_or_damaged(tmp_path: Path) -> None:
    for first in (0, 4, 8, 16):
        last = written(tmp_path, first, first + 4)
    assert [segment.first for segment in found_segments(tmp_path, 20)] == [0, 4, 8]
    assert not last.path.exists()
    path = segments_in(tmp_path)[4]
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert [segment.first for segment in found_segments(tmp_path, 20)] == [0]
    assert list(segments_in(tmp_path)) == [0]
