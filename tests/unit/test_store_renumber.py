"""Gaps between chunks are closed without losing a file, whenever it is killed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldrec.core import durable
from fieldrec.core.errors import StoreDamaged
from fieldrec.store.chunk_paths import chunk_paths
from fieldrec.store.recovery.renumber import (
    PLAN_NAME,
    carry_on,
    close_gaps,
    is_ours_to_take,
    take_away,
    what_moves,
)
from tests.fakes.kills import killed_at


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*"))
            if path.is_file()}


def directories(root: Path) -> None:
    for number in (0, 2, 5, 6):
        chunk = root / f"{number:06d}"
        chunk.mkdir(parents=True)
        (chunk / "000000.npy").write_text(f"frame of {number}")
        (chunk / "index.npz").write_text(f"index of {number}")
    (root / "000005.extra_data.h5").write_text("motif of 5")
    (root / "000005.000003.npy.damaged").write_text("a torn frame of 5")


def videos(root: Path) -> None:
    root.mkdir()
    for number in (1, 2, 4):
        for ending in (".mp4", ".npz", ".extra.json"):
            if (number, ending) != (2, ".extra.json"):
                (root / f"{number:06d}{ending}").write_text(f"{ending} of {number}")


DIRECTORIES = {
    "000000/000000.npy": b"frame of 0", "000000/index.npz": b"index of 0",
    "000001/000000.npy": b"frame of 2", "000001/index.npz": b"index of 2",
    "000002/000000.npy": b"frame of 5", "000002/index.npz": b"index of 5",
    "000003/000000.npy": b"frame of 6", "000003/index.npz": b"index of 6",
    "000002.extra_data.h5": b"motif of 5", "000005.000003.npy.damaged": b"a torn frame of 5"}
VIDEOS = {
    "000000.mp4": b".mp4 of 1", "000000.npz": b".npz of 1",
    "000000.extra.json": b".extra.json of 1", "000001.mp4": b".mp4 of 2",
    "000001.npz": b".npz of 2", "000002.mp4": b".mp4 of 4", "000002.npz": b".npz of 4",
    "000002.extra.json": b".extra.json of 4"}


@pytest.mark.parametrize(("make", "numbers", "extension", "expected"), [
    (directories, [0, 2, 5, 6], "", DIRECTORIES), (videos, [1, 2, 4], ".mp4", VIDEOS)],
    ids=["directories", "videos"])
def test_killed_at_any_step_and_carried_on(
        tmp_path: Path, make: Callable[[Path], None], numbers: list[int], extension: str,
        expected: dict[str, bytes]) -> None:
    for step in range(100):
        root = tmp_path / f"s{step}"
        make(root)
        whole = len(contents(root))
        killed = killed_at(step, lambda root=root: close_gaps(root, numbers, extension))  # type: ignore[misc]
        assert len({name for name in contents(root) if not name.startswith(".")
                    and name != PLAN_NAME}) == whole, "nothing is overwritten"
        if not carry_on(root):
            close_gaps(root, _numbers(root, extension), extension)
        (root / f".{PLAN_NAME}.tmp").unlink(missing_ok=True)
        assert contents(root) == expected
        if not killed:
            break
    assert step > 5


def _numbers(root: Path, extension: str) -> list[int]:
    return sorted(int(path.name.removesuffix(extension)) for path in root.iterdir()
                  if (path.suffix == extension if extension else path.is_dir()))


def test_the_index_of_a_video_comes_last(tmp_path: Path) -> None:
    """Half done, a reader finds no frames rather than the wrong ones."""
    videos(tmp_path / "s")
    order: list[str] = []
    durable.set_hook(lambda step, path: order.append(path.name) if step == "rename" else None)
    close_gaps(tmp_path / "s", [1, 2, 4], ".mp4")
    durable.set_hook(None)
    order = [name for name in order if not name.startswith(".")]
    assert order[:3] == ["000001.extra.json", "000001.mp4", "000001.npz"]


def test_what_moves() -> None:
    assert what_moves([0, 1, 2]) == ""
    assert what_moves([]) == ""
    assert "000002 is now called 000001" in what_moves([0, 2])
    assert "000001 … 000009 are now called 000000 … 000002" in what_moves([1, 5, 9])


@pytest.mark.parametrize("text", ["", "{", "3", "[[1]]"])
def test_a_plan_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    (tmp_path / PLAN_NAME).write_text(text)
    with pytest.raises(StoreDamaged, match=r"chunks\.plan: cannot be read"):
        carry_on(tmp_path)


# --- chunks without frames ------------------------------------------------------------------------

def empty_chunk(root: Path, number: int, **files: str) -> Path:
    chunk = root / f"{number:06d}"
    chunk.mkdir(parents=True)
    for name, text in files.items():
        (chunk / name.replace("_", ".")).write_text(text)
    return chunk


def test_a_chunk_without_frames_goes(tmp_path: Path) -> None:
    empty_chunk(tmp_path, 1, index_npz="", frames_log="x", _index_npz_tmp="")
    assert take_away(tmp_path, chunk_paths(tmp_path, 1), None, 0) == []
    assert list(tmp_path.iterdir()) == []


def test_the_index_of_frames_that_are_gone_is_kept(tmp_path: Path) -> None:
    empty_chunk(tmp_path, 1, index_npz="numbers and times")
    assert take_away(tmp_path, chunk_paths(tmp_path, 1), None, 5) == ["000001.index.npz.orphaned"]
    assert contents(tmp_path) == {"000001.index.npz.orphaned": b"numbers and times"}


@pytest.mark.parametrize("already", [False, True])
def test_its_extra_data_goes_to_the_chunk_before(tmp_path: Path, already: bool) -> None:
    before = empty_chunk(tmp_path, 0)
    records = [{"a": 1}, {"a": 2}]
    (before / "index.extra.json").write_text(json.dumps(records if already else records[:1]))
    empty_chunk(tmp_path, 1, index_extra_json=json.dumps(records[1:]))
    paths = chunk_paths(tmp_path, 0), chunk_paths(tmp_path, 1)
    assert take_away(tmp_path, paths[1], paths[0], 0) == []
    assert json.loads((before / "index.extra.json").read_text()) == records
    assert not (tmp_path / "000001").exists()


@pytest.mark.parametrize("text", ["[{", "{}", "3"])
def test_extra_data_that_cannot_be_given_on_is_kept(tmp_path: Path, text: str) -> None:
    empty_chunk(tmp_path, 0)
    empty_chunk(tmp_path, 1, index_extra_json=text)
    kept = take_away(tmp_path, chunk_paths(tmp_path, 1), chunk_paths(tmp_path, 0), 0)
    assert kept == ["000001.index.extra.json.orphaned"]
    assert (tmp_path / kept[0]).read_text() == text


def test_motifs_extra_data_is_kept(tmp_path: Path) -> None:
    empty_chunk(tmp_path, 1)
    (tmp_path / "000001.extra_data.h5").write_text("sensors")
    assert take_away(tmp_path, chunk_paths(tmp_path, 1), None, 0) == [
        "000001.extra_data.h5.orphaned"]


def test_a_directory_with_other_things_in_it_is_not_ours_to_take(tmp_path: Path) -> None:
    chunk = empty_chunk(tmp_path, 1, index_npz="")
    assert is_ours_to_take(chunk_paths(tmp_path, 1))
    (chunk / "notes.txt").touch()
    assert not is_ours_to_take(chunk_paths(tmp_path, 1))
    (chunk / "notes.txt").unlink()
    (chunk / "more").mkdir()
    assert not is_ours_to_take(chunk_paths(tmp_path, 1))


def test_the_black_picture_of_an_empty_video_goes(tmp_path: Path) -> None:
    for name in ("000001.mp4", "000001.npz"):
        (tmp_path / name).touch()
    shutil.copy(tmp_path / "000001.mp4", tmp_path / "000000.mp4")
    assert take_away(tmp_path, chunk_paths(tmp_path, 1, ".mp4"), None, 0) == []
    assert [path.name for path in tmp_path.iterdir()] == ["000000.mp4"]
