"""What a crash or damage leaves of a video chunk: whole frames are kept, each with its record."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fieldrec.core import durable
from fieldrec.core.errors import StoreError, StoreFull
from fieldrec.store import layout
from fieldrec.store.chunk_paths import ChunkPaths, chunk_paths
from fieldrec.store.metadata import StoreMetadata, parse_metadata, store_metadata
from fieldrec.store.video import avi as video_avi
from fieldrec.store.video.codec import video_form
from fieldrec.store.video.file import WrittenVideo
from fieldrec.store.video.repair import (
    damaged_positions,
    end_unlogged,
    mend_video,
    tidy_video,
)
from tests.fakes.video_chunks import (
    FORMS,
    append,
    indexed,
    new_store,
    open_chunk,
    pictures_for,
    shown,
)

forms = pytest.mark.parametrize("form", FORMS)
two_forms = pytest.mark.parametrize("form", ["mjpeg/avi", "avc1/mp4"])
"""For what takes long: Matroska differs from mp4 in its tail only."""
COUNT = 40
"""More than one group of pictures."""


def crashed(root: Path, form: str, count: int = COUNT) -> tuple[ChunkPaths, StoreMetadata]:
    """A chunk as a kill leaves it behind the last frame."""
    metadata = new_store(root, form)
    chunk = open_chunk(root, metadata)
    append(chunk, range(count))
    chunk.release()
    return chunk.paths, metadata


def video_of(paths: ChunkPaths) -> Path:
    assert paths.open_video is not None
    return paths.open_video


def heads(path: Path, metadata: StoreMetadata) -> list[tuple[int, int, int]]:
    """(position, offset of the packet, its size) of each frame."""
    with WrittenVideo(path, video_form(metadata).container) as video:
        found = video.head()
        assert found is not None
        return [(head.position, offset, head.size)
                for head, offset in video.whole_frames(found[1])]


def flip(path: Path, at: int, bits: int = 0xFF) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= bits
    path.write_bytes(data)


def assert_finished(paths: ChunkPaths, kept: list[int]) -> None:
    """Only the video and its index are there, and they agree picture by picture."""
    assert sorted(path.name for path in paths.folder.iterdir()) == sorted(
        ["metadata.yaml", paths.frames.name, paths.index.name])
    assert indexed(paths.index) == kept
    pictures = shown(paths.frames)
    assert pictures[:len(kept)] == kept
    assert len(pictures) == pictures_for(len(kept))


def mend_and_check(paths: ChunkPaths, metadata: StoreMetadata, kept: list[int], damaged: int
                   ) -> None:
    mended = mend_video(paths, metadata)
    assert_finished(paths, kept)
    assert mended.columns.numbers.tolist() == kept
    assert mended.columns.digests is None
    assert mended.damaged == damaged


# --- crashes -----------------------------------------------------------------------------------

@forms
@pytest.mark.parametrize("count", [0, 1, 2, COUNT])
def test_all_frames_of_a_crashed_chunk_are_kept(tmp_path: Path, form: str, count: int) -> None:
    paths, metadata = crashed(tmp_path, form, count)
    before = video_of(paths).stat().st_ino
    mend_and_check(paths, metadata, list(range(count)), 0)
    assert count == 0 or paths.frames.stat().st_ino == before  # ended in place, not copied


@forms
@pytest.mark.parametrize("count", [0, 1, COUNT])
def test_a_mended_chunk_is_the_one_that_would_have_been_written(tmp_path: Path, form: str,
                                                                count: int) -> None:
    paths, metadata = crashed(tmp_path / "crashed", form, count)
    mend_video(paths, metadata)
    whole = new_store(tmp_path / "whole", form)
    chunk = open_chunk(tmp_path / "whole", whole)
    append(chunk, range(count))
    chunk.finish()
    chunk.release()
    assert paths.frames.read_bytes() == chunk.paths.frames.read_bytes()


@forms
@pytest.mark.parametrize("count", [0, 1, 2, COUNT])
def test_a_finished_video_without_an_index_gets_one(tmp_path: Path, form: str, count: int) -> None:
    metadata = new_store(tmp_path, form)
    chunk = open_chunk(tmp_path, metadata)
    append(chunk, range(count))
    chunk.finish()
    chunk.release()
    before = chunk.paths.frames.read_bytes()
    mend_and_check(chunk.paths, metadata, list(range(count)), 0)
    assert chunk.paths.frames.read_bytes() == before


@forms
def test_a_finished_video_that_was_damaged_since_is_mended(tmp_path: Path, form: str) -> None:
    metadata = new_store(tmp_path, form)
    chunk = open_chunk(tmp_path, metadata)
    append(chunk, range(COUNT))
    chunk.finish()
    chunk.release()
    _position, offset, size = heads(chunk.paths.frames, metadata)[-1]
    flip(chunk.paths.frames, offset + size // 2)
    mend_and_check(chunk.paths, metadata, list(range(COUNT - 1)), 1)


@forms
def test_a_finished_video_without_its_tail_gets_it_back(tmp_path: Path, form: str) -> None:
    metadata = new_store(tmp_path, form)
    chunk = open_chunk(tmp_path, metadata)
    append(chunk, range(COUNT))
    chunk.finish()
    chunk.release()
    with chunk.paths.frames.open("r+b") as video:
        video.truncate(chunk.paths.frames.stat().st_size - 7)
    mend_and_check(chunk.paths, metadata, list(range(COUNT)), 0)


@forms
def test_a_chunk_of_which_only_the_log_was_begun(tmp_path: Path, form: str) -> None:
    paths, metadata = crashed(tmp_path, form, 0)
    video_of(paths).unlink()
    mend_and_check(paths, metadata, [], 0)


@forms
def test_of_two_videos_the_one_that_keeps_more_is_taken(tmp_path: Path, form: str) -> None:
    for richer in ("open", "final"):
        root = tmp_path / richer
        paths, metadata = crashed(root, form)
        shutil.copy(video_of(paths), paths.frames)
        poorer = paths.frames if richer == "open" else video_of(paths)
        with poorer.open("r+b") as video:
            video.truncate(heads(poorer, metadata)[20][1])
        mend_and_check(paths, metadata, list(range(COUNT)), 0)


def test_several_riffs_are_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_avi, "SEGMENT_BYTES", 20_000)
    paths, metadata = crashed(tmp_path / "one", "mjpeg/avi")
    assert video_of(paths).read_bytes().count(b"AVIX") >= 1
    mend_and_check(paths, metadata, list(range(COUNT)), 0)
    paths, metadata = crashed(tmp_path / "two", "mjpeg/avi")
    _position, offset, _size = heads(video_of(paths), metadata)[3]
    flip(video_of(paths), offset + 50)
    mend_and_check(paths, metadata, [n for n in range(COUNT) if n != 3], 1)


@forms
def test_cut_anywhere_all_whole_frames_are_kept(tmp_path: Path, form: str) -> None:
    paths, metadata = crashed(tmp_path / "whole", form, 6)
    size = video_of(paths).stat().st_size
    ends = [offset + length for _position, offset, length in heads(video_of(paths), metadata)]
    head = ends[0] - heads(video_of(paths), metadata)[0][2]
    cuts = {*range(0, size, size // 6), *ends, *(end - 1 for end in ends),
            *(end + 1 for end in ends[:-1]), head - 1, head, size}
    for cut in sorted(cuts):
        root = tmp_path / f"cut{cut}"
        shutil.copytree(tmp_path / "whole", root)
        here = chunk_paths(root, 0, metadata.extension)
        with video_of(here).open("r+b") as video:
            video.truncate(cut)
        kept = sum(end <= cut for end in ends)
        mended = mend_video(here, metadata)
        assert_finished(here, list(range(kept)))
        assert mended.damaged == 6 - kept
        shutil.rmtree(root)


@forms
@pytest.mark.parametrize("records", [0, 1, 20, 39])
def test_frames_whose_record_did_not_reach_the_disk_are_given_up(tmp_path: Path, form: str,
                                                                 records: int) -> None:
    paths, metadata = crashed(tmp_path, form)
    with paths.log.open("r+b") as log:
        log.truncate(layout.LOG_HEADER.size + records * layout.LOG_RECORD.size)
    mended = mend_video(paths, metadata)
    assert_finished(paths, list(range(records)))
    assert mended.damaged in (COUNT - records, 0)  # with one record nobody can tell


class Cut(BaseException):
    """Stands for a kill: no clean-up may depend on it."""


@two_forms
@pytest.mark.parametrize("count", [1, 3])
def test_killed_at_any_step_of_its_life_a_chunk_keeps_what_it_took(tmp_path: Path, form: str,
                                                                   count: int) -> None:
    for point in range(1, 100):
        root = tmp_path / f"cut{point}"
        metadata = new_store(root, form)
        steps = taken = 0

        def hook(step: str, path: Path, point: int = point) -> None:
            nonlocal steps
            steps += 1
            if steps == point:
                raise Cut

        chunk = None
        durable.set_hook(hook)
        try:
            chunk = open_chunk(root, metadata)
            for number in range(count):
                append(chunk, [number])
                taken += 1
            chunk.finish()
        except Cut:
            pass
        else:
            assert point > 2 * count
            return
        finally:
            durable.set_hook(None)
            if chunk is not None:
                chunk.release()
        paths = chunk_paths(root, 0, metadata.extension)
        kept = mend_video(paths, metadata).columns.numbers.tolist()
        assert_finished(paths, kept)
        assert kept[:taken] == list(range(taken))
    raise AssertionError("there is no end to its steps")


# --- damage ------------------------------------------------------------------------------------

def group_of(path: Path, metadata: StoreMetadata, position: int) -> range:
    """Which frames cannot be shown when the one at `position` is lost: those that refer to it."""
    with WrittenVideo(path, video_form(metadata).container) as video:
        found = video.head()
        assert found is not None
        keys = [head.key for head, _offset in video.whole_frames(found[1])]
    after = next((at for at in range(position + 1, len(keys)) if keys[at]), len(keys))
    return range(position, after)


@forms
@pytest.mark.parametrize("position", [0, 29, 33])
@pytest.mark.parametrize("where", ["packet", "frame head", "record"])
def test_a_damaged_frame_costs_only_those_that_refer_to_it(tmp_path: Path, form: str,
                                                           position: int, where: str) -> None:
    paths, metadata = crashed(tmp_path, form)
    _position, offset, size = heads(video_of(paths), metadata)[position]
    lost = group_of(video_of(paths), metadata, position)
    if where == "record":
        flip(paths.log, layout.LOG_HEADER.size + position * layout.LOG_RECORD.size + 9)
    else:
        flip(video_of(paths), offset + (size // 2 if where == "packet" else -3))
    mend_and_check(paths, metadata, [n for n in range(COUNT) if n not in lost], len(lost))


@forms
def test_every_bit_of_a_frame_head_counts(tmp_path: Path, form: str) -> None:
    paths, metadata = crashed(tmp_path, form, 3)
    container = video_form(metadata).container
    _position, offset, size = heads(video_of(paths), metadata)[1]
    data = video_of(paths).read_bytes()
    start = offset - container.frame_head_bytes
    for bit in range(container.frame_head_bytes * 8):
        head = bytearray(data[start:offset])
        head[bit // 8] ^= 1 << bit % 8
        read = container.read_frame_head(bytes(head))
        assert read is None or not container.is_whole(read, data[offset:offset + read.size])
    intact = container.read_frame_head(data[start:offset])
    assert intact is not None and container.is_whole(intact, data[offset:offset + size])


@forms
def test_a_damaged_head_is_made_again(tmp_path: Path, form: str) -> None:
    paths, metadata = crashed(tmp_path / "whole", form, 12)
    start = heads(video_of(paths), metadata)[0][1] - video_form(metadata).container.frame_head_bytes
    for at in (0, 4, 20, 64, 130, 140, 200, start - 40, start - 1):
        root = tmp_path / f"at{at}"
        shutil.copytree(tmp_path / "whole", root)
        here = chunk_paths(root, 0, metadata.extension)
        flip(video_of(here), at)
        mend_and_check(here, metadata, list(range(12)), 0)


@forms
def test_random_damage_never_shows_a_wrong_picture(tmp_path: Path, form: str) -> None:
    _paths, metadata = crashed(tmp_path / "whole", form)
    random = np.random.default_rng(3)
    for attempt in range(12):
        root = tmp_path / f"r{attempt}"
        shutil.copytree(tmp_path / "whole", root)
        here = chunk_paths(root, 0, metadata.extension)
        data = bytearray(video_of(here).read_bytes())
        for at in random.integers(0, len(data), random.integers(1, 6)).tolist():
            length = int(random.choice([1, 1, 16, 700]))
            data[at:at + length] = random.bytes(len(data[at:at + length]))
        if attempt % 4 == 0:
            del data[int(random.integers(0, len(data))):]
        video_of(here).write_bytes(data)
        mended = mend_video(here, metadata)
        assert_finished(here, mended.columns.numbers.tolist())
        assert mended.damaged >= COUNT - len(mended.columns)
        shutil.rmtree(root)


@forms
def test_zeros_where_a_power_cut_took_the_end(tmp_path: Path, form: str) -> None:
    paths, metadata = crashed(tmp_path, form)
    at = heads(video_of(paths), metadata)[31][1] + 3
    data = video_of(paths).read_bytes()
    video_of(paths).write_bytes(data[:at] + bytes(len(data) - at))
    mend_and_check(paths, metadata, list(range(31)), COUNT - 31)


# --- killed while mending ----------------------------------------------------------------------

def killed_at_each_step(whole: Path, work: Path, again: Callable[[Path], None]) -> int:
    """Cut `again` at its first step, second step …; run it once more each time. How many steps."""
    for point in range(1, 200):
        root = work / f"cut{point}"
        shutil.copytree(whole, root)
        steps = 0

        def hook(step: str, path: Path, point: int = point) -> None:
            nonlocal steps
            steps += 1
            if steps == point:
                raise Cut

        durable.set_hook(hook)
        try:
            again(root)
        except Cut:
            durable.set_hook(None)
            again(root)
        else:
            return point - 1
        finally:
            durable.set_hook(None)
    raise AssertionError("there is no end to its steps")


def damage_in_the_middle(paths: ChunkPaths, metadata: StoreMetadata) -> None:
    _position, offset, size = heads(video_of(paths), metadata)[5]
    flip(video_of(paths), offset + size // 2)


def all_but_the_first(paths: ChunkPaths, metadata: StoreMetadata) -> None:
    with video_of(paths).open("r+b") as video:
        video.truncate(heads(video_of(paths), metadata)[1][1] + 9)


def without_a_whole_frame(paths: ChunkPaths, metadata: StoreMetadata) -> None:
    with video_of(paths).open("r+b") as video:
        video.truncate(heads(video_of(paths), metadata)[0][1] + 9)


def finished_and_cut(paths: ChunkPaths, metadata: StoreMetadata) -> None:
    video_of(paths).rename(paths.frames)


def finished_and_damaged(paths: ChunkPaths, metadata: StoreMetadata) -> None:
    damage_in_the_middle(paths, metadata)
    video_of(paths).rename(paths.frames)


@two_forms
@pytest.mark.parametrize("damage", [None, damage_in_the_middle, all_but_the_first,
                                    without_a_whole_frame, finished_and_cut, finished_and_damaged],
                         ids=lambda damage: damage.__name__ if damage else "none")
def test_killed_at_any_step_the_next_try_ends_the_same(
        tmp_path: Path, form: str,
        damage: Callable[[ChunkPaths, StoreMetadata], None] | None) -> None:
    paths, metadata = crashed(tmp_path / "whole", form, 8)
    if damage is not None:
        damage(paths, metadata)
    shutil.copytree(tmp_path / "whole", tmp_path / "straight")
    straight = chunk_paths(tmp_path / "straight", 0, metadata.extension)
    kept = mend_video(straight, metadata).columns.numbers.tolist()
    expected = straight.frames.read_bytes()

    def again(root: Path) -> None:
        here = chunk_paths(root, 0, metadata.extension)
        if here.log.exists() or here.plan.exists():
            assert mend_video(here, metadata).columns.numbers.tolist() == kept
        assert sorted(path.name for path in root.iterdir()) == sorted(
            ["metadata.yaml", here.frames.name, here.index.name])
        assert indexed(here.index) == kept
        assert here.frames.read_bytes() == expected

    assert killed_at_each_step(tmp_path / "whole", tmp_path, again) > 5


@forms
def test_without_room_nothing_is_lost_and_it_goes_on_later(tmp_path: Path, form: str) -> None:
    for damage in (None, damage_in_the_middle):
        root = tmp_path / ("whole" if damage is None else "damaged")
        paths, metadata = crashed(root, form)
        lost = range(0) if damage is None else group_of(video_of(paths), metadata, 5)
        if damage is not None:
            damage(paths, metadata)

        def full(step: str, path: Path) -> None:
            if step == "write":
                raise OSError(28, "No space left on device")

        durable.set_hook(full)
        try:
            with pytest.raises((StoreFull, OSError)):
                mend_video(paths, metadata)
        finally:
            durable.set_hook(None)
        mend_video(paths, metadata)
        assert_finished(paths, [n for n in range(COUNT) if n not in lost])


def test_the_index_is_written_by_who_is_asked_to(tmp_path: Path) -> None:
    paths, metadata = crashed(tmp_path, "avc1/mp4", 3)
    written: list[Path] = []

    def write_index(path: Path, data: bytes) -> None:
        written.append(path)
        assert paths.frames.exists() and paths.log.exists()
        durable.write_atomic(path, data)

    mend_video(paths, metadata, write_index=write_index)
    assert written == [paths.index]
    assert parse_metadata((tmp_path / "metadata.yaml").read_text())[0] == metadata.raw
    assert store_metadata(metadata.raw) == metadata


# --- without a log -----------------------------------------------------------------------------

@forms
@pytest.mark.parametrize("bad", ["missing", "empty", "zeros"])
def test_pictures_without_any_record_are_not_thrown_away(tmp_path: Path, form: str, bad: str
                                                         ) -> None:
    paths, metadata = crashed(tmp_path, form)
    if bad == "missing":
        paths.log.unlink()
    else:
        paths.log.write_bytes(b"" if bad == "empty" else bytes(500))
    before = video_of(paths).read_bytes()
    with pytest.raises(ValueError, match="no record"):
        mend_video(paths, metadata)
    assert video_of(paths).read_bytes() == before
    assert end_unlogged(paths, metadata) == COUNT
    assert not video_of(paths).exists()
    assert shown(paths.frames) == list(range(COUNT))
    assert end_unlogged(paths, metadata) == 0


@forms
def test_damaged_pictures_without_any_record(tmp_path: Path, form: str) -> None:
    paths, metadata = crashed(tmp_path / "some", form)
    lost = group_of(video_of(paths), metadata, 5)
    damage_in_the_middle(paths, metadata)
    assert end_unlogged(paths, metadata) == COUNT - len(lost)
    assert shown(paths.frames) == [n for n in range(COUNT) if n not in lost]
    paths, metadata = crashed(tmp_path / "none", form)
    without_a_whole_frame(paths, metadata)
    assert end_unlogged(paths, metadata) == 0
    assert not video_of(paths).exists() and not paths.frames.exists()


def test_a_log_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    import struct
    import zlib
    paths, metadata = crashed(tmp_path, "avc1/mp4")
    head = struct.pack("<8sHH", b"FRAMELOG", 9, 48)
    paths.log.write_bytes(head + struct.pack("<I", zlib.crc32(head)) + bytes(96))
    before = video_of(paths).read_bytes()
    with pytest.raises(ValueError, match="newer fieldrec"):
        mend_video(paths, metadata)
    assert video_of(paths).read_bytes() == before


def test_a_store_that_is_only_read_is_not_mended(tmp_path: Path) -> None:
    paths, metadata = crashed(tmp_path, "avc1/mp4", 3)
    motifs = store_metadata({**metadata.raw, "format": "libx264"})
    with pytest.raises(StoreError, match="only read"):
        mend_video(paths, motifs)


def test_tidying_never_takes_the_only_video(tmp_path: Path) -> None:
    paths, _metadata = crashed(tmp_path, "avc1/mp4", 3)
    kept = video_of(paths).read_bytes()
    tidy_video(paths)
    assert video_of(paths).read_bytes() == kept
    shutil.copy(video_of(paths), paths.frames)
    paths.frames.with_name(f".{paths.frames.name}.tmp").write_bytes(b"x")
    assert tidy_video(paths) == 2
    assert not video_of(paths).exists()


# --- finished videos ---------------------------------------------------------------------------

@forms
def test_damage_in_a_finished_video_is_found_by_position(tmp_path: Path, form: str) -> None:
    paths, metadata = crashed(tmp_path, form)
    mend_video(paths, metadata)
    assert damaged_positions(paths.frames, metadata, COUNT) == []
    written = heads(paths.frames, metadata)
    for position in (3, 17):
        _position, offset, size = written[position]
        flip(paths.frames, offset + size - 1, 1)
        assert position in (damaged_positions(paths.frames, metadata, COUNT) or [])
    assert damaged_positions(paths.frames, metadata, COUNT) == [3, 17]
    foreign = tmp_path / "foreign"
    foreign.write_bytes(bytes(5000))
    assert damaged_positions(foreign, metadata, COUNT) is None
