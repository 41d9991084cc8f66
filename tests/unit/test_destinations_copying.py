"""Reading, writing and making durable at the same time, then reading back: what is found, what the
threads do when one of them fails, and how much memory it takes."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import xxhash

from fieldrec.core import durable
from fieldrec.core.errors import DestinationError
from fieldrec.core.io_priority import gives_way
from fieldrec.core.past_cache import Take
from fieldrec.core.thread_time import job_threads
from fieldrec.destinations import File, _pipeline, _reading_back, _verifying
from fieldrec.destinations._item_files import ItemFiles
from fieldrec.destinations.folder import FolderDestination, errno_of
from tests.fakes.sources import Given
from tests.fakes.waiting import PATIENCE_S

SLICE = 64 * 1024
FILES = {f"000000/{number:06d}.npy": bytes([number]) * 3 * SLICE for number in range(20)}


def nothing(_count: int) -> None:
    pass


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices and batches of some 100 kB."""
    monkeypatch.setattr(_pipeline, "SLICE_BYTES", SLICE)
    monkeypatch.setattr(_pipeline, "BATCH_BYTES", 6 * SLICE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "there"
    path.mkdir()
    return path


class Recording(FolderDestination):
    """Notes what is synced."""

    def __init__(self, folder: Path) -> None:
        super().__init__("nas", folder)
        self.synced: list[list[str]] = []

    def sync(self, item: str, relatives: Iterable[str] = ()) -> None:
        super().sync(item, relatives)
        self.synced.append(list(relatives))


def overwrite(folder: Path, relative: str, at: int, data: bytes = b"\xee" * 4096) -> None:
    with (folder / ".part-bees" / relative).open("r+b") as file:
        file.seek(at)
        file.write(data)


def test_what_is_right_is_found_right(folder: Path, tmp_path: Path) -> None:
    source = Given(tmp_path / "source", {**FILES, "a": b"", "b": b"x" * 5000}, sliced=SLICE)
    told: list[int] = []
    with closing(Recording(folder)) as place:
        place.write("bees", source, nothing)
        assert place.verify("bees", source, told.append) == []
    assert sum(told) == sum(file.size_bytes for file in source.files)
    assert [relative for batch in place.synced for relative in batch] == [
        file.relative for file in source.files]
    assert len(place.synced) > 5
    for file in source.files:
        assert (folder / ".part-bees" / file.relative).read_bytes() == file.path.read_bytes()


def test_every_byte_is_read_after_the_last_one_was_written(folder: Path, tmp_path: Path) -> None:
    """A drive that wraps around: what was right when it was written is not any more."""
    source = Given(tmp_path / "source", FILES, sliced=SLICE)
    with closing(Recording(folder)) as place:
        place.write("bees", source, nothing)
        for relative in FILES:
            overwrite(folder, relative, 2 * SLICE + 17, b"\xee")
        assert place.verify("bees", source, nothing) == sorted(FILES)


def test_what_an_earlier_try_left_is_read_too(folder: Path, tmp_path: Path) -> None:
    source = Given(tmp_path / "source", FILES, sliced=SLICE)
    with closing(Recording(folder)) as place:
        first = Given(tmp_path / "first", dict(list(FILES.items())[:5]), sliced=SLICE)
        place.write("bees", first, nothing)
    with closing(Recording(folder)) as place:
        overwrite(folder, "000000/000002.npy", 2 * SLICE + 17, b"\xee")
        place.write("bees", source, nothing)
        assert source.read == list(FILES)[5:]
        assert place.verify("bees", source, nothing) == ["000000/000002.npy"]


def test_what_is_known_of_an_item_is_not_believed_of_the_next_try(folder: Path, tmp_path: Path
                                                                  ) -> None:
    source = Given(tmp_path / "source", FILES, sliced=SLICE)
    with closing(Recording(folder)) as place:
        place.write("bees", source, nothing)
        assert place.verify("bees", source, nothing) == []
        overwrite(folder, "000000/000002.npy", 2 * SLICE + 17, b"\xee")
        assert place.verify("bees", source, nothing) == ["000000/000002.npy"]
        place.abort("bees")
        place.write("bees", source, nothing)
        overwrite(folder, "000000/000003.npy", 2 * SLICE + 17, b"\xee")
        assert place.verify("bees", source, nothing) == ["000000/000003.npy"]


@pytest.mark.parametrize("by_daemon", [True, False])
def test_what_a_daemon_has_read_before_is_forgotten_and_read_again(
        folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_daemon: bool) -> None:
    """Of a FUSE file system the device's page cache is dropped first, also where nothing was
    written now, and after each so many bytes."""
    monkeypatch.setattr(_verifying, "FORGET_BYTES", 10 * SLICE)
    source = Given(tmp_path / "source", FILES, sliced=SLICE)
    steps: list[int] = []
    with closing(FolderDestination("nas", folder)) as place:
        place.write("bees", source, nothing)
        monkeypatch.setattr(place, "_forget_device", lambda: steps.append(-1))
        monkeypatch.setattr(place, "_by_daemon", by_daemon)
        assert place.verify("bees", source, steps.append) == []
    forgotten = [number for number, step in enumerate(steps) if step < 0]
    assert forgotten[:1] == ([0] if by_daemon else [])
    assert len(forgotten) == (1 + 60 // 11 if by_daemon else 0)


# -- threads ---------------------------------------------------------------------------------------

class Failing(Given):
    """Fails at a file, after its first slice."""

    def slices(self, file: File, take: Take | None = None) -> Iterator[memoryview]:
        for data in super().slices(file, take):
            yield data
            if file.relative.endswith("000007.npy"):
                raise DestinationError("cannot be read")


def fails_at(step: str, count: int) -> Callable[[str, Path], None]:
    left = count

    def hook(found: str, _path: Path) -> None:
        nonlocal left
        left -= found == step
        if found == step and left == 0:
            raise OSError(errno.EIO, "input/output error")
    return hook


@pytest.mark.parametrize("where", ["source", "create", "write", "syncfs", "progress"])
def test_an_error_anywhere_ends_all_of_it(folder: Path, tmp_path: Path, where: str) -> None:
    source = (Failing if where == "source" else Given)(tmp_path / "source", FILES, sliced=SLICE)
    told: list[int] = []

    def progress(count: int) -> None:
        told.append(count)
        if where == "progress" and len(told) == 10:
            raise DestinationError("stopped")

    before = threading.active_count()
    if where in ("create", "write", "syncfs"):
        durable.set_hook(fails_at(where, 10 if where == "write" else 3))
    try:
        with closing(Recording(folder)) as place, pytest.raises(DestinationError):
            place.write("bees", source, progress)
    finally:
        durable.set_hook(None)
    assert threading.active_count() == before
    with closing(Recording(folder)) as place:
        whole = Given(tmp_path / "source", FILES, sliced=SLICE)
        place.write("bees", whole, nothing)
        assert len(whole.read) < len(FILES), "what was whole is not written again"
        differ = place.verify("bees", whole, nothing)
        assert differ == [], "and is right"


def test_what_failed_first_is_told_and_not_what_came_of_it(folder: Path, tmp_path: Path) -> None:
    """A sync fails, and the file system is read-only from then on."""
    writing, failed = threading.Event(), threading.Event()

    def hook(step: str, path: Path) -> None:
        if step == "syncfs":  # of the first files, while later ones are written
            writing.wait(PATIENCE_S)
            failed.set()
            raise OSError(errno.EIO, "input/output error")
        if step == "create" and path.name == "000005.npy":
            writing.set()
            failed.wait(PATIENCE_S)
            raise OSError(errno.EROFS, "read-only file system")

    durable.set_hook(hook)
    try:
        with closing(Recording(folder)) as place, \
                pytest.raises(DestinationError, match="failing") as told:
            place.write("bees", Given(tmp_path / "source", FILES, sliced=SLICE), nothing)
    finally:
        durable.set_hook(None)
    assert errno_of(told.value.__cause__ or told.value) == errno.EIO


def test_an_error_in_reading_back_ends_all_readers(folder: Path, tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_reading_back, "FEW_BYTES", 0)
    source = Given(tmp_path / "source", FILES, sliced=SLICE)
    before = threading.active_count()
    with closing(Recording(folder)) as place:
        place.write("bees", source, nothing)
        (folder / ".part-bees" / "000000/000010.npy").unlink()
        with pytest.raises(DestinationError):
            place.verify("bees", source, nothing)
        assert threading.active_count() == before
        with pytest.raises(KeyError):
            place.verify("bees", source, {}.__getitem__)  # type: ignore[arg-type]
        assert threading.active_count() == before


class Watched(Given):
    """Counts the slices that are read and not yet given back, and whose threads read."""

    def __init__(self, folder: Path, contents: dict[str, bytes]) -> None:
        super().__init__(folder, contents, sliced=SLICE)
        self.slices_read = 0
        self.counted: list[bool] = []
        self.gave_way: list[bool] = []

    def slices(self, file: File, take: Take | None = None) -> Iterator[memoryview]:
        self.counted.append(threading.get_native_id() in job_threads._running)
        self.gave_way.append(gives_way())
        for data in super().slices(file, take):
            self.slices_read += 1
            yield data


def test_memory_is_bounded_and_the_time_of_the_threads_counts(folder: Path, tmp_path: Path) -> None:
    source = Watched(tmp_path / "source", FILES)
    written, most = 0, 0

    def progress(_count: int) -> None:
        nonlocal written, most
        most = max(most, source.slices_read - written)
        written += 1

    with closing(Recording(folder)) as place:
        place.write("bees", source, progress)
    assert written == 60
    assert 0 < most <= _pipeline.SLICES_AHEAD
    assert all(source.counted)
    assert all(source.gave_way)
    assert not gives_way()
    assert (_pipeline.SLICES_AHEAD + 2) * (4 << 20) <= 64 << 20


# -- one file --------------------------------------------------------------------------------------

@contextmanager
def files_in(folder: Path) -> Iterator[ItemFiles]:
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with closing(ItemFiles(root, folder, ".part-bees")) as files:
            yield files
    finally:
        os.close(root)


@pytest.mark.parametrize("size", [0, 5, 4096, 200_000, 5 * 65536, 5 * 65536 + 1])
@pytest.mark.parametrize("unaligned", [False, True])
def test_a_file_is_written_whole_past_the_cache_or_through_it(
        folder: Path, monkeypatch: pytest.MonkeyPatch, size: int, unaligned: bool) -> None:
    data = random.Random(size).randbytes(size)
    buffer = _pipeline.Buffers(1).take()
    if unaligned:  # as a file system that takes O_DIRECT and then refuses each such write
        real = durable.write

        def write(descriptor: int, buffers: Sequence[Any], path: Path, total: int) -> None:
            if os.get_blocking(descriptor) and _is_direct(descriptor):
                raise OSError(errno.EINVAL, "not so")
            real(descriptor, buffers, path, total)

        monkeypatch.setattr(durable, "write", write)
    with files_in(folder) as files, closing(
            files.new(File("000000/a", folder, size, 0))) as new:
        for at in range(0, size, SLICE):
            part = data[at:at + SLICE]
            buffer[:len(part)] = part
            new.write(buffer[:len(part)])
    assert (folder / ".part-bees/000000/a").read_bytes() == data


def _is_direct(descriptor: int) -> bool:
    return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT)


def test_digests_come_of_every_file_in_any_order(folder: Path, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_reading_back, "FEW_BYTES", 0)
    source = Given(tmp_path / "source", FILES, sliced=SLICE)
    with closing(Recording(folder)) as place:
        place.write("bees", source, nothing)

    def open_item() -> ItemFiles:
        return ItemFiles(root, folder, ".part-bees")

    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for threads in (1, 2, 50):
            found = _reading_back.digests(source.files, open_item, nothing, threads=threads)
            assert {file.relative: digest for file, digest in found} == {
                relative: xxhash.xxh64_hexdigest(data) for relative, data in FILES.items()}
    finally:
        os.close(root)
