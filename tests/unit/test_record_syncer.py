"""The sync thread: on time, never twice on a distrusted chunk, gone at the end."""

from __future__ import annotations

import threading

from fieldrec.core.errors import StoreError, SyncFailed
from fieldrec.record.syncer import Syncer
from tests.fakes.cameras import LONG_S


class FakeStore:
    """Counts syncs; raises what it is given, once."""

    def __init__(self) -> None:
        self.count = 0
        self.error: Exception | None = None
        self.threads: set[str] = set()
        self._synced = threading.Condition()

    def sync(self) -> None:
        with self._synced:
            self.count += 1
            self.threads.add(threading.current_thread().name)
            self._synced.notify_all()
            error, self.error = self.error, None
            if error is not None:
                raise error

    def wait_count(self, count: int) -> None:
        with self._synced:
            assert self._synced.wait_for(lambda: self.count >= count, LONG_S)


def test_syncs_again_and_again_in_its_own_thread() -> None:
    store = FakeStore()
    syncer = Syncer("c", store, 0.001)
    syncer.start()
    store.wait_count(3)
    syncer.stop()
    assert store.threads == {"sync-c"}
    assert syncer.failure is None


def test_rests_after_a_failure_until_it_was_dealt_with() -> None:
    store = FakeStore()
    store.error = SyncFailed("disk says no")
    syncer = Syncer("c", store, 0.001)
    rested = threading.Event()
    wait = syncer._wake.wait

    def count_turns(timeout: float | None = None) -> bool:
        if syncer.failure is not None:
            rested.set()
        return wait(timeout)

    syncer._wake.wait = count_turns  # type: ignore[method-assign]
    syncer.start()
    assert rested.wait(LONG_S)
    rested.clear()
    assert rested.wait(LONG_S)  # a whole turn later
    assert store.count == 1
    assert isinstance(syncer.failure, SyncFailed)
    syncer.resume()
    store.wait_count(2)
    syncer.stop()


def test_unexpected_errors_reach_the_store_thread_too() -> None:
    store = FakeStore()
    store.error = ValueError("bug")
    syncer = Syncer("c", store, 0.001)
    syncer.start()
    store.wait_count(1)
    syncer.stop()
    assert isinstance(syncer.failure, StoreError)
    assert "bug" in str(syncer.failure)


def test_stop_ends_the_wait_at_once_and_may_be_repeated() -> None:
    store = FakeStore()
    syncer = Syncer("c", store, LONG_S)
    syncer.start()
    syncer.stop()
    syncer.stop()
    assert store.count == 0


def test_stop_before_start() -> None:
    Syncer("c", FakeStore(), 1.0).stop()
