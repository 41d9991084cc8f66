"""One sync serves all that asked before it began; a failure is told to everybody, once."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from fieldrec.core import durable
from fieldrec.core.errors import SyncFailed
from fieldrec.core.model import FrameSpec
from fieldrec.store import shared_sync
from fieldrec.store.reader import StoreReader
from fieldrec.store.writer import StoreWriter
from tests.fakes.cameras import LONG_S


class Disk:
    """The moment of a sync: counts them, holds them up and fails them as the test says."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.error: BaseException | None = None
        self.may_end = threading.Event()
        self.may_end.set()
        self.begun = threading.Semaphore(0)

    def hook(self, step: str, path: Path) -> None:
        if step != "syncfs":
            return
        self.paths.append(path.name)
        error, self.error = self.error, None
        self.begun.release()
        assert self.may_end.wait(LONG_S)
        if error is not None:
            raise error

    def hold(self) -> None:
        self.may_end.clear()

    def wait_begun(self) -> None:
        assert self.begun.acquire(timeout=LONG_S)


@pytest.fixture
def disk() -> Iterator[Disk]:
    made = Disk()
    durable.set_hook(made.hook)
    yield made
    durable.set_hook(None)


@pytest.fixture
def members(tmp_path: Path) -> Iterator[list[shared_sync.Member]]:
    made = []
    for name in "abcd":
        (tmp_path / name).mkdir()
        made.append(shared_sync.join(tmp_path / name))
    yield made
    for member in made:
        member.leave()
    assert shared_sync._file_systems == {}


class Asking(threading.Thread):
    """Somebody who asks for a sync, and what comes of it."""

    def __init__(self, ask: Callable[[], None]) -> None:
        super().__init__()
        self._ask = ask
        self.failure: SyncFailed | None = None
        self.start()

    def run(self) -> None:
        try:
            self._ask()
        except SyncFailed as error:
            self.failure = error

    def result(self) -> SyncFailed | None:
        self.join(LONG_S)
        assert not self.is_alive()
        return self.failure


def wait_asked(member: shared_sync.Member, count: int) -> None:
    """Until so many wait for the sync after the one under way."""
    shared = member._shared
    with shared._changed:
        assert shared._changed.wait_for(lambda: len(shared._next.asked) >= count, LONG_S)


def failure() -> OSError:
    return OSError(errno.EIO, os.strerror(errno.EIO))


def test_all_that_ask_while_a_sync_is_under_way_share_the_next(
        disk: Disk, members: list[shared_sync.Member]) -> None:
    disk.hold()
    asking = [Asking(members[0].sync)]
    disk.wait_begun()
    asking += [Asking(member.sync) for member in members[1:]]
    wait_asked(members[0], 3)
    disk.may_end.set()
    assert [each.result() for each in asking] == [None] * 4
    assert len(disk.paths) == 2


def test_a_request_is_not_served_by_a_sync_that_began_before_it(
        disk: Disk, members: list[shared_sync.Member]) -> None:
    disk.hold()
    first = Asking(members[0].sync)
    disk.wait_begun()
    second = Asking(members[0].sync)
    wait_asked(members[0], 1)
    disk.may_end.set()
    first.result()
    second.result()
    assert disk.paths == ["a", "a"]


def test_who_asked_together_before_is_waited_for(
        disk: Disk, members: list[shared_sync.Member], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_sync, "TOGETHER_S", LONG_S)
    members[0]._shared._companions = set(members)
    for _ in range(3):
        for each in [Asking(member.sync_together) for member in members]:
            each.result()
    assert len(disk.paths) == 3


def test_they_find_each_other(disk: Disk, members: list[shared_sync.Member]) -> None:
    disk.hold()
    asking = [Asking(members[0].sync_together)]
    disk.wait_begun()
    asking += [Asking(member.sync_together) for member in members[1:]]
    wait_asked(members[0], 3)
    disk.may_end.set()
    assert [each.result() for each in asking] == [None] * 4
    assert members[0]._shared._companions == set(members[1:])


def test_nobody_waits_for_who_left_or_when_somebody_is_in_a_hurry(
        disk: Disk, members: list[shared_sync.Member], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_sync, "TOGETHER_S", LONG_S)
    a, b, c, _ = members
    a._shared._companions = {a, b}
    b.leave()
    a.sync_together()
    a._shared._companions = {a, c}
    waiting = Asking(a.sync_together)
    wait_asked(a, 1)
    members[3].sync()  # the end of a chunk
    assert waiting.result() is None
    assert len(disk.paths) == 2


def test_a_failure_is_told_to_all_that_took_part_each_with_its_own_name(
        disk: Disk, members: list[shared_sync.Member]) -> None:
    disk.hold()
    first = Asking(members[0].sync)
    disk.wait_begun()
    asking = [Asking(member.sync) for member in members[1:3]]
    wait_asked(members[0], 2)
    disk.error = failure()
    disk.may_end.set()
    first.result()  # it may be told already
    for member, each in zip(members[1:3], asking, strict=True):
        assert str(each.result()) == (
            f"{member.path}: file system sync failed: {os.strerror(errno.EIO)}")


def test_who_did_not_take_part_is_told_too_and_everybody_once(
        disk: Disk, members: list[shared_sync.Member], tmp_path: Path) -> None:
    disk.error = failure()
    with pytest.raises(SyncFailed):
        members[0].sync()
    with pytest.raises(SyncFailed):
        members[1].sync_together()
    late = shared_sync.join(tmp_path)
    for member in (*members[:2], late):
        member.sync()
    late.leave()


def test_a_leader_that_dies_takes_nobody_with_it(
        disk: Disk, members: list[shared_sync.Member]) -> None:
    disk.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        members[0].sync()
    with pytest.raises(SyncFailed, match="did not come to its end"):
        members[1].sync()
    members[1].sync()


def test_file_systems_do_not_wait_for_each_other(tmp_path: Path, disk: Disk) -> None:
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    here, there = shared_sync.join(tmp_path), shared_sync.join(elsewhere)
    disk.hold()
    asking = [Asking(here.sync), Asking(there.sync)]
    disk.wait_begun()
    disk.wait_begun()
    disk.may_end.set()
    assert [each.result() for each in asking] == [None, None]
    here.leave()
    here.leave()
    there.leave()


# --- with stores ----------------------------------------------------------------------------------

SPEC = FrameSpec((4, 6), "uint8", "MONO8", 25.0)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[list[StoreWriter]]:
    made = [StoreWriter(tmp_path / f"s{number}", SPEC, chunksize=10, user_metadata={},
                        timezone="UTC", created_epoch_ns=0) for number in range(2)]
    yield made
    for store in made:
        store.close()
        with StoreReader(store.path) as reader:
            assert [reader.read(i)[0, 0] for i in range(reader.frame_count)] == list(
                range(store.frame_count))


def append(store: StoreWriter) -> None:
    number = store.frame_count
    store.append(np.full(SPEC.shape, number, np.uint8), number, number * 40_000_000, None)


def test_a_failed_sync_distrusts_the_open_chunks_of_all_stores(
        stores: list[StoreWriter], disk: Disk) -> None:
    for store in stores:
        append(store)
    disk.error = failure()
    for store in stores:
        with pytest.raises(SyncFailed):
            store.sync()
    for store in stores:
        store.next_chunk_after_sync_failure()
        append(store)
        store.sync()
        assert (store.chunks_finished, store.frame_count, store.lost) == (1, 2, 0)


def test_a_chunk_that_ends_after_another_store_was_told_is_verified(
        stores: list[StoreWriter], disk: Disk) -> None:
    first, second = stores
    append(first)
    disk.error = failure()
    with pytest.raises(SyncFailed):
        first.sync()
    for _ in range(SPEC.shape[0] * 2 + 1):
        append(second)
    with pytest.raises(SyncFailed):
        append(second)  # the tenth: its chunk ends
    second.next_chunk_after_sync_failure()
    assert (second.chunks_finished, second.lost) == (1, 0)


def test_nothing_new_no_sync(stores: list[StoreWriter], disk: Disk) -> None:
    store = stores[0]
    append(store)
    store.sync()
    store.sync()
    assert len(disk.paths) == 1
    append(store)
    store.sync()
    assert len(disk.paths) == 2
    store.add_extra_data(temperature=1)
    store.sync()
    store.sync()
    assert len(disk.paths) == 3


def test_a_frame_that_came_during_a_sync_is_something_new(
        stores: list[StoreWriter], disk: Disk) -> None:
    store = stores[0]
    append(store)
    disk.hold()
    syncing = Asking(store.sync)
    disk.wait_begun()
    append(store)
    disk.may_end.set()
    syncing.result()
    store.sync()
    assert len(disk.paths) == 2
