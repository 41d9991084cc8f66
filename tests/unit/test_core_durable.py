"""Durable steps: old or new and nothing between, whichever step fails."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fieldrec.core import durable
from fieldrec.core.errors import StoreError, StoreFull, SyncFailed

Steps = list[tuple[str, str]]


class Cut(BaseException):
    """The power went: nothing after this runs, no clean-up counts."""


@pytest.fixture(autouse=True)
def hook_removed() -> Iterator[None]:
    yield
    durable.set_hook(None)


def recorded(work: Callable[[], object]) -> Steps:
    """The steps that `work` takes."""
    steps: Steps = []
    durable.set_hook(lambda step, path: steps.append((step, path.name)))
    try:
        work()
    finally:
        durable.set_hook(None)
    return steps


def fail_at(number: int, failure: BaseException) -> Steps:
    """From now on step `number` (from 0) fails; the steps taken so far are in the list."""
    steps: Steps = []

    def hook(step: str, path: Path) -> None:
        steps.append((step, path.name))
        if len(steps) == number + 1:
            raise failure

    durable.set_hook(hook)
    return steps


def test_write_atomic_takes_the_steps_in_order(tmp_path: Path) -> None:
    path = tmp_path / "f"
    assert recorded(lambda: durable.write_atomic(path, b"new")) == [
        ("create", ".f.tmp"), ("write", "f"), ("fsync", "f"), ("rename", ".f.tmp"),
        ("fsync_directory", tmp_path.name)]
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("old", [b"old", None])
@pytest.mark.parametrize("failure", [
    OSError(errno.ENOSPC, "no space"), OSError(errno.EIO, "broken"), Cut()])
def test_write_atomic_leaves_old_or_new(tmp_path: Path, number: int, old: bytes | None,
                                        failure: BaseException) -> None:
    path = tmp_path / "f"
    if old is not None:
        path.write_bytes(old)
    steps = fail_at(number, failure)
    with pytest.raises((OSError, StoreError, Cut)) as caught:
        durable.write_atomic(path, b"new")
    assert len(steps) == number + 1  # nothing is tried again, fsync least of all
    assert (path.read_bytes() if path.exists() else None) in ((b"new",) if number > 3 else (old,))
    if not isinstance(failure, Cut):
        assert [p.name for p in tmp_path.iterdir()] == ([] if old is None and number < 4 else ["f"])
    if isinstance(failure, OSError) and failure.errno == errno.ENOSPC and number < 4:
        assert isinstance(caught.value, StoreFull)
    if steps[-1][0].startswith("fsync") and isinstance(failure, OSError) and (
            failure.errno == errno.EIO):
        assert isinstance(caught.value, SyncFailed)


def test_write_atomic_clears_what_a_cut_left(tmp_path: Path) -> None:
    (tmp_path / ".f.tmp").write_bytes(b"half")
    durable.write_atomic(tmp_path / "f", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("number", sorted(durable.FULL_ERRNOS))
def test_every_kind_of_full_is_store_full(tmp_path: Path, number: int) -> None:
    durable.set_hook(lambda step, _path: _raise(OSError(number, "x")) if step == "fsync" else None)
    with pytest.raises(StoreFull), (tmp_path / "f").open("wb") as file:
        durable.fsync(file.fileno(), tmp_path / "f")


def _raise(error: BaseException) -> None:
    raise error


def test_a_really_full_disk_is_store_full() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(StoreFull, match="No space left"):
            durable.write(descriptor, [b"x"], Path("/dev/full"), 1)
    finally:
        os.close(descriptor)


def test_sync_of_what_cannot_sync_is_reported(tmp_path: Path) -> None:
    read, write = os.pipe()
    try:
        with pytest.raises(SyncFailed, match=r"its data may be lost$"):
            durable.fsync(write, tmp_path / "f")
    finally:
        os.close(read)
        os.close(write)
    with pytest.raises(SyncFailed, match="directory sync failed"):
        durable.fsync_directory(tmp_path / "missing")
    with pytest.raises(SyncFailed, match="file system sync failed"):
        durable.sync_filesystem(-1, tmp_path)


def test_sync_filesystem(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        assert recorded(lambda: durable.sync_filesystem(descriptor, tmp_path)) == [
            ("syncfs", tmp_path.name)]
    finally:
        os.close(descriptor)


def test_a_short_write_is_finished() -> None:
    read, write = os.pipe()
    os.set_blocking(write, True)
    buffers = [bytes([n]) * size for n, size in enumerate((10, 0, 70_000, 3))]
    sink = bytearray()
    try:
        durable._write_rest(write, buffers[:2], 4)
        sink += os.read(read, 100)
        assert sink == b"\0" * 6
        durable._write_rest(write, [b"ab", b"cd", b"ef"], 3)
        assert os.read(read, 100) == b"def"
    finally:
        os.close(read)
        os.close(write)


def test_create_never_opens_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for name in ("target", "link", "dangling"):
        with pytest.raises(FileExistsError):
            durable.create(tmp_path / name)
    assert not (tmp_path / "nowhere").exists()


def test_directories(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    steps = recorded(lambda: durable.make_directories(deep))
    assert steps == [("make_directory", "a"), ("fsync_directory", tmp_path.name),
                     ("make_directory", "b"), ("fsync_directory", "a")]
    assert recorded(lambda: durable.make_directories(deep)) == []
    with pytest.raises(FileExistsError):
        durable.make_directory(deep)
    durable.remove_empty_directory(deep)
    assert not deep.exists()


def test_rename_across_directories_syncs_both(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "f").touch()
    assert recorded(lambda: durable.rename(tmp_path / "f", tmp_path / "a" / "f")) == [
        ("rename", "f"), ("fsync_directory", "a"), ("fsync_directory", tmp_path.name)]


def test_unlink(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    assert recorded(lambda: durable.unlink(tmp_path / "f")) == [
        ("unlink", "f"), ("fsync_directory", tmp_path.name)]
    durable.unlink(tmp_path / "f", missing_ok=True)
    with pytest.raises(FileNotFoundError):
        durable.unlink(tmp_path / "f")


def tree(path: Path) -> Path:
    (path / "000000").mkdir(parents=True)
    (path / "000000" / "index.npz").write_bytes(b"x")
    (path / "metadata.yaml").write_bytes(b"x")
    return path


def contents(path: Path) -> set[str]:
    return {str(p.relative_to(path)) for p in path.rglob("*")}


def test_rmtree_renames_first(tmp_path: Path) -> None:
    steps = recorded(lambda: durable.rmtree(tree(tmp_path / "s")))
    assert [step for step, _ in steps] == ["rename", "fsync_directory", "rmtree", "fsync_directory"]
    assert contents(tmp_path) == set()


@pytest.mark.parametrize("number", range(4))
def test_rmtree_leaves_all_or_nothing_under_the_name(tmp_path: Path, number: int) -> None:
    store = tree(tmp_path / "s")
    whole = contents(store)
    fail_at(number, Cut())
    with pytest.raises(Cut):
        durable.rmtree(store)
    durable.set_hook(None)
    assert not store.exists() or contents(store) == whole
    assert store.exists() == (number == 0)
    durable.sweep_unfinished(tmp_path)
    assert contents(tmp_path) == ({f"s/{name}" for name in whole} | {"s"} if number == 0 else set())


def test_rmtree_when_trash_of_that_name_is_left(tmp_path: Path) -> None:
    tree(tmp_path / ".trash-s")
    durable.rmtree(tree(tmp_path / "s"))
    assert contents(tmp_path) == set()


def test_rmtree_does_not_follow_symlinks(tmp_path: Path) -> None:
    kept = tree(tmp_path / "kept")
    (tree(tmp_path / "s") / "link").symlink_to(kept)
    durable.rmtree(tmp_path / "s")
    assert len(contents(kept)) == 3


@pytest.mark.parametrize("at", ["s", ".trash-s"])
def test_rmtree_of_a_symlink_removes_the_symlink(tmp_path: Path, at: str) -> None:
    """A store that somebody moved to another disk and linked to, or a name that is in the way."""
    kept = tree(tmp_path / "kept")
    if at != "s":
        tree(tmp_path / "s")
    (tmp_path / at).symlink_to(kept)
    durable.rmtree(tmp_path / "s")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert len(contents(kept)) == 3


def test_rmtree_when_a_file_has_the_name_of_the_trash(tmp_path: Path) -> None:
    (tmp_path / ".trash-s").write_text("x")
    durable.rmtree(tree(tmp_path / "s"))
    assert contents(tmp_path) == set()


def test_sweep_touches_only_our_prefixes(tmp_path: Path) -> None:
    tree(tmp_path / ".part-a")
    tree(tmp_path / "bees")
    (tmp_path / ".part-b.mp4").touch()
    (tmp_path / ".trash-link").symlink_to(tmp_path / "bees")
    (tmp_path / ".fieldrec").mkdir()
    swept = durable.sweep_unfinished(tmp_path)
    assert [p.name for p in swept] == [".part-a", ".part-b.mp4", ".trash-link"]
    assert {p.name for p in tmp_path.iterdir()} == {"bees", ".fieldrec"}
    assert len(contents(tmp_path / "bees")) == 3


def test_steps_inside_an_open_directory(tmp_path: Path) -> None:
    parent = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.close(durable.create_at(parent, tmp_path / "f"))
        (tmp_path / "link").symlink_to("f")
        with pytest.raises(FileExistsError):
            durable.create_at(parent, tmp_path / "link")
        durable.rename_at(parent, tmp_path / "f", tmp_path / "g")
        durable.unlink_at(parent, tmp_path / "link")
        durable.make_directory_at(parent, tmp_path / ".part-d")
        assert {p.name for p in tmp_path.iterdir()} == {"g", ".part-d"}
        durable.rmtree_at(parent, tmp_path / ".part-d")
        with pytest.raises(ValueError, match="renamed before"):
            durable.rmtree_at(parent, tmp_path / "g")
    finally:
        os.close(parent)


def test_every_step_is_declared() -> None:
    source = Path(durable.__file__).read_text()
    named = {line.split('"')[1] for line in source.splitlines()
             if "_before(\"" in line or "_hook(\"" in line}
    assert named == set(durable.STEPS)
