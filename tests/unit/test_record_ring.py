"""The ring: order, full, spare, aligned, heat, sizing."""

from __future__ import annotations

import mmap
import threading

import numpy as np
import pytest

from fieldrec.core.errors import StoreError
from fieldrec.core.model import FrameHeader, FrameSpec, Heat
from fieldrec.record.ring import LEAST_SLOTS, Ring, heat, preroll_frames, slots_for
from tests.fakes.cameras import LONG_S, SPEC


def put(ring: Ring, number: int) -> bool:
    """What the capture thread does with one frame; whether it got into the ring."""
    slot = ring.acquire()
    ring.pixels(slot).fill(number % 251)
    if slot is None:
        return ring.commit_spare(FrameHeader(number, number))
    ring.commit(FrameHeader(number, number))
    return True


def test_frames_come_out_in_order_with_their_pixels() -> None:
    ring = Ring(SPEC, 4)
    for number in range(20):
        assert put(ring, number)
        slot = ring.take(LONG_S)
        assert slot is not None
        assert slot.header.number == number
        assert (slot.pixels == number % 251).all()
        ring.release()


def test_what_comes_next_can_be_looked_at_without_being_taken() -> None:
    ring, called = Ring(SPEC, 8), []
    assert ring.peek() is None
    put(ring, 0)
    ring.send(lambda: called.append("between"))
    put(ring, 1)
    for _ in range(2):
        first = ring.peek()
        assert first is not None
        assert first.header.number == 0
    assert ring.take(0) == first
    assert ring.peek() is None  # what was sent comes first, and only when it is taken
    assert called == []
    assert ring.take(0) is None
    assert called == ["between"]
    last = ring.peek()
    assert last is not None
    ring.close()
    assert ring.take(0) == last
    assert ring.peek() is None
    assert not ring.finished
    assert ring.take(0) is None
    assert ring.finished


def test_what_was_sent_and_looked_past_is_called_at_the_end() -> None:
    ring, called = Ring(SPEC, 4), []
    ring.send(lambda: called.append("late"))
    assert ring.peek() is None
    ring.call_rest()
    assert called == ["late"]


def test_a_ring_is_crowded_from_the_low_heat_on() -> None:
    ring = Ring(SPEC, 8)
    crowded = []
    for number in range(3):
        put(ring, number)
        crowded.append(ring.crowded)
    assert crowded == [False, True, True]
    ring.held = 2
    assert not ring.crowded


def test_full_ring_loses_the_newest_and_keeps_what_it_has() -> None:
    ring = Ring(SPEC, 4)
    assert [put(ring, number) for number in range(7)] == [True] * 4 + [False] * 3
    statistics = ring.statistics()
    assert (statistics.used, statistics.peak, statistics.lost) == (4, 4, 3)
    assert statistics.heat is Heat.HIGH
    for number in range(4):
        slot = ring.take(LONG_S)
        assert slot is not None
        assert (slot.header.number, int(slot.pixels[0, 0])) == (number, number)
        ring.release()


def test_a_slot_that_came_free_while_the_spare_was_filled_saves_the_frame() -> None:
    ring = Ring(SPEC, 4)
    for number in range(4):
        put(ring, number)
    assert ring.acquire() is None
    ring.pixels(None).fill(99)
    assert ring.take(LONG_S) is not None
    ring.release()
    assert ring.commit_spare(FrameHeader(99, 99))
    for number in (5, 6):  # the swapped-in spare must not be one of the slots in use
        assert not put(ring, number)
    seen: list[tuple[int, int, int]] = []
    while len(seen) < 4:
        slot = ring.take(LONG_S)
        assert slot is not None
        seen.append((slot.header.number, int(slot.pixels.min()), int(slot.pixels.max())))
        ring.release()
    assert seen == [(1, 1, 1), (2, 2, 2), (3, 3, 3), (99, 99, 99)]


def test_taken_frame_is_not_overwritten_before_it_is_released() -> None:
    ring = Ring(SPEC, 4)
    put(ring, 0)
    slot = ring.take(LONG_S)
    assert slot is not None
    for number in range(1, 10):
        put(ring, number)
    assert (slot.pixels == 0).all()


def test_every_frame_begins_on_a_page_and_is_contiguous() -> None:
    ring = Ring(FrameSpec((33, 47, 3), "uint16", "BGR16", 10.0), 4)
    for slot in (0, 1, 2, 3, None):
        pixels = ring.pixels(slot)
        assert pixels.ctypes.data % mmap.PAGESIZE == 0
        assert pixels.flags.c_contiguous
        assert pixels.shape == (33, 47, 3)
        assert pixels.dtype == np.uint16


def test_closing_lets_what_is_inside_out_first() -> None:
    ring = Ring(SPEC, 4)
    put(ring, 0)
    ring.close()
    assert not ring.finished
    assert ring.take(LONG_S) is not None
    assert not ring.finished
    assert ring.take(LONG_S) is None
    assert ring.finished


def test_nothing_in_time_is_none_and_not_finished() -> None:
    ring = Ring(SPEC, 4)
    assert ring.take(0.0) is None
    assert not ring.finished


def test_two_threads_lose_and_mix_up_nothing() -> None:
    ring = Ring(SPEC, 5)
    count = 3000
    seen: list[tuple[int, bool]] = []

    def consume() -> None:
        while True:
            slot = ring.take(LONG_S)
            if slot is None:
                return
            seen.append((slot.header.number, bool((slot.pixels == slot.header.number % 251).all())))
            ring.release()

    consumer = threading.Thread(target=consume)
    consumer.start()
    kept = [number for number in range(count) if put(ring, number)]
    ring.close()
    consumer.join()
    assert [number for number, _ in seen] == kept
    assert all(right for _, right in seen)
    assert ring.statistics().lost == count - len(kept)
    assert ring.statistics().used == 0


@pytest.mark.parametrize(("used", "slots", "expected"), [
    (0, 4, Heat.NONE), (1, 4, Heat.NONE), (2, 4, Heat.MEDIUM), (4, 4, Heat.HIGH),
    (24, 100, Heat.NONE), (25, 100, Heat.LOW), (50, 100, Heat.MEDIUM), (75, 100, Heat.HIGH)])
def test_heat(used: int, slots: int, expected: Heat) -> None:
    assert heat(used, slots) is expected


def test_slots_follow_seconds_within_the_bytes_allowed() -> None:
    spec = FrameSpec((1024, 1280), "uint8", "MONO8", 60.0)
    assert slots_for(spec, 2.0, 512 * 2**20) == 120
    assert slots_for(spec, 2.0, 10 * spec.frame_bytes) == 10
    assert slots_for(spec, 2.0, 0) == LEAST_SLOTS


@pytest.mark.parametrize("hz", [0.0, -1.0])
def test_a_camera_that_does_not_tell_its_rate_has_room_for_a_fast_one(hz: float) -> None:
    spec = FrameSpec((10, 10), "uint8", "MONO8", hz)
    assert slots_for(spec, 0.5, 2**20) == 50
    assert preroll_frames(spec, 3.0) == 301
    assert slots_for(spec, 2.0, 30 * 4096, 3.0) == 30


def test_preroll_has_slots_of_its_own() -> None:
    spec = FrameSpec((10, 10), "uint8", "MONO8", 10.0)
    assert preroll_frames(spec, 0.0) == 0
    assert preroll_frames(spec, 3.0) == 31
    assert slots_for(spec, 1.0, 2**20, 3.0) == 41
    assert slots_for(spec, 0.1, 2**20, 3.0) == LEAST_SLOTS + 31
    assert slots_for(spec, 1.0, 20 * mmap.PAGESIZE, 3.0) == 20


def test_what_is_sent_is_called_between_the_frames_around_it() -> None:
    ring = Ring(SPEC, 4)
    seen: list[object] = []
    put(ring, 0)
    ring.send(lambda: seen.append("sent"))
    put(ring, 1)
    for _ in range(3):
        slot = ring.take(LONG_S)
        if slot is not None:
            seen.append(slot.header.number)
            ring.release()
    assert seen == [0, "sent", 1]
    assert not ring.finished


def test_what_was_sent_after_the_end_can_still_be_called() -> None:
    ring = Ring(SPEC, 4)
    seen: list[str] = []
    ring.close()
    ring.send(lambda: seen.append("late"))
    assert ring.take(LONG_S) is None
    assert ring.finished
    ring.call_rest()
    assert seen == ["late"]


def test_held_frames_keep_their_slots_and_are_no_load() -> None:
    ring = Ring(SPEC, 6)
    for number in range(4):
        put(ring, number)
    held = [ring.take(LONG_S) for _ in range(3)]
    ring.held = 3
    statistics = ring.statistics()
    assert (statistics.used, statistics.slots, statistics.heat) == (1, 6, Heat.NONE)
    assert [put(ring, number) for number in (4, 5, 6)] == [True, True, False]
    assert ring.statistics().heat is Heat.HIGH
    assert [int(slot.pixels[0, 0]) for slot in held if slot is not None] == [0, 1, 2]
    ring.held = 2
    ring.release()
    assert put(ring, 7)


def test_too_large_a_ring_is_refused_in_one_line() -> None:
    huge = FrameSpec((2**20, 2**20), "uint8", "MONO8", 10.0)
    with pytest.raises(StoreError, match=r"no memory for a ring.*ring_max_bytes"):
        Ring(huge, 2**20)
