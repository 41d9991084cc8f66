"""The sync thread: on time, never twice on a distrusted chunk, gone at the end."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest

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


# --- the schedule (I8) --------------------------------------------------------------------------

class FrameStore:
    """Frames come all the time and a sync takes what it takes: on a clock that only this moves."""

    def __init__(self, sync_s: float) -> None:
        self.now_s = 1000.3
        self.sync_s = sync_s
        self.begun_s: list[float] = []
        self.oldest_s: list[float] = []
        """For each sync, the age of the oldest frame that was not durable until it ended."""
        self._durable_until_s = self.now_s

    def sync(self) -> None:
        self.begun_s.append(self.now_s)
        self.now_s += self.sync_s
        self.oldest_s.append(self.now_s - self._durable_until_s)
        self._durable_until_s = self.begun_s[-1]


def run_syncer(store: FrameStore, interval_s: float, syncs: int) -> None:
    """The thread's own loop, on the store's clock."""
    syncer = Syncer("c", store, interval_s, now_s=lambda: store.now_s)

    def wait(timeout: float | None = None) -> bool:
        store.now_s += timeout or 0.0
        return len(store.begun_s) >= syncs

    syncer._wake.wait = wait  # type: ignore[method-assign]
    syncer.start()
    syncer._thread.join(LONG_S)


@pytest.mark.parametrize("sync_s", [0.001, 0.1, 0.4, 0.5])
def test_no_frame_waits_longer_than_durability(sync_s: float) -> None:
    store = FrameStore(sync_s)
    run_syncer(store, 0.5, 50)
    assert max(store.oldest_s) <= 1.0 + 1e-9


def test_a_sync_that_takes_too_long_is_followed_at_once() -> None:
    store = FrameStore(0.8)
    run_syncer(store, 0.5, 10)
    gaps = [later - sooner for sooner, later in pairwise(store.begun_s)]
    assert max(gaps) <= 0.8 + 1e-9


def test_cameras_that_started_apart_sync_at_the_same_moments() -> None:
    stores = [FrameStore(0.01), FrameStore(0.05)]
    stores[1].now_s += 0.17
    for store in stores:
        run_syncer(store, 0.5, 20)
    assert stores[0].begun_s[1:19] == pytest.approx(stores[1].begun_s[1:19])
