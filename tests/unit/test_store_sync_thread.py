"""The sync thread of a store that is written through imgstore's interface."""

from __future__ import annotations

import threading

import pytest

from fieldrec.core.errors import FieldrecError, StoreError, SyncFailed
from fieldrec.store.api.sync_thread import SyncThread
from tests.fakes.waiting import PATIENCE_S


class Disk:
    """Counts syncs and raises what it is told to."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.synced = threading.Semaphore(0)

    def sync(self) -> None:
        try:
            if self.error is not None:
                raise self.error
        finally:
            self.synced.release()

    def wait(self, count: int = 1) -> None:
        for _ in range(count):
            assert self.synced.acquire(timeout=PATIENCE_S)


def test_it_syncs_again_and_again() -> None:
    disk = Disk()
    thread = SyncThread("s", disk, 0.001)
    disk.wait(3)
    thread.stop()
    thread.stop()
    assert thread.failure is None
    assert not thread.is_current


@pytest.mark.parametrize(("error", "kind"), [
    (SyncFailed("x"), SyncFailed), (StoreError("x"), StoreError), (ValueError("x"), StoreError)])
def test_it_rests_after_a_failure_until_that_is_dealt_with(error: Exception,
                                                           kind: type[FieldrecError]) -> None:
    disk = Disk()
    disk.error = error
    thread = SyncThread("s", disk, 0.001)
    disk.wait()
    while thread.failure is None:  # it is noted right after
        threading.Event().wait(0.001)
    assert type(thread.failure) is kind
    disk.error = None
    assert not disk.synced.acquire(timeout=0.05)
    thread.failure = None
    disk.wait(2)
    thread.stop()


def test_it_does_not_keep_python_alive() -> None:
    disk = Disk()
    thread = SyncThread("s", disk, 1000.0)
    assert all(other.daemon for other in threading.enumerate() if other.name == "sync-s")
    thread.stop()
