"""Numbers for streams that have none: gaps where something is missing, and only there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fieldrec.camera.network_numbers import Numbers
from fieldrec.core.h264 import SequenceSet, SliceHead

MS = 1_000_000
TOLD = SequenceSet(profile=66, width=64, height=48, chroma_format=1, luma_bits=8, chroma_bits=8,
                   separate_planes=False, frame_num_bits=4, may_skip_numbers=False,
                   interlaced=False)


def by_time(times_ms: list[float]) -> list[int]:
    numbers = Numbers()
    return [numbers.next(int(at * MS)) for at in times_ms]


def steady(count: int, period: float = 40, start: float = 0) -> list[float]:
    return [start + at * period for at in range(count)]


def picture(at: int, key_every: int = 30) -> SliceHead:
    """Of a stream that makes every picture from the one before."""
    return SliceHead(False, at % key_every % 16, at % key_every == 0, True)


def by_count(shown: list[int], key_every: int = 30, period: float = 40) -> list[int]:
    numbers = Numbers()
    return [numbers.next(int(at * period * MS), picture(at, key_every), TOLD) for at in shown]


def test_a_missing_picture_is_a_gap_in_an_even_rhythm() -> None:
    times = steady(60)
    del times[30]
    del times[40:43]
    expected = [*range(30), *range(31, 41), *range(44, 60)]
    assert by_time(times) == expected
    assert by_time([at + (7 if row % 3 else 0) for row, at in enumerate(times)]) == expected


def test_without_a_rhythm_pictures_are_counted() -> None:
    uneven = [0.0]
    for row in range(40):
        uneven.append(uneven[-1] + (10, 90, 35, 170)[row % 4])
    assert by_time(uneven) == list(range(41))
    assert [Numbers().next(None) for _ in range(2)] == [0, 0]
    numbers = Numbers()
    assert [numbers.next(None) for _ in range(5)] == list(range(5))


def test_the_first_pictures_have_no_rhythm_yet() -> None:
    times = steady(6)
    del times[3]
    assert by_time(times) == list(range(5))


def test_another_rhythm_is_learnt() -> None:
    slow_from = steady(20)[-1]
    numbers = by_time([*steady(20), *steady(40, 80, slow_from + 80)])
    assert numbers[-20:] == list(range(numbers[-20], numbers[-20] + 20))
    assert numbers[20] == 21  # taken for one that is missing, for a while


@pytest.mark.parametrize("jump", [-10_000, 0, 1e11])
def test_a_clock_that_is_set_is_no_gap(jump: float) -> None:
    times = [*steady(20), *steady(20, start=19 * 40 + jump)]
    assert by_time(times) == list(range(40))


@pytest.mark.parametrize("missing", [
    {5}, {5, 6, 7}, set(range(3, 19)), set(range(3, 20)), set(range(40, 56)), {29}, {31, 32}])
def test_what_an_encoder_counted_and_did_not_come_is_a_gap(missing: set[int]) -> None:
    """Pictures 0 … 99: also 16 of them, after which `frame_num` has gone round once."""
    before = set(range(12)) if min(missing) < 12 else set()  # for the rhythm to be known
    shown = [at - 30 for at in before] + [at for at in range(100) if at not in missing]
    base = min(shown)
    assert [number + base for number in by_count(shown)] == shown


def test_an_encoder_that_counts_on_after_a_pause_left_nothing_out() -> None:
    """A camera that saves light or bits makes fewer pictures: none is missing."""
    numbers = Numbers()
    at_ms, found = 0.0, []
    for at in range(20, 60):
        at_ms += 40 if at < 45 else 400
        head = SliceHead(False, at, False, True)
        found.append(numbers.next(int(at_ms * MS), head, replace(TOLD, frame_num_bits=8)))
    assert found == list(range(40))


def test_an_encoder_that_may_leave_numbers_out_is_not_taken_at_its_word() -> None:
    numbers = Numbers()
    told = replace(TOLD, may_skip_numbers=True)
    assert [numbers.next(at * 40 * MS, SliceHead(False, at * 3 % 16, at == 0, True), told)
            for at in range(20)] == list(range(20))


def test_a_key_picture_that_was_lost_is_a_gap_although_the_count_fits() -> None:
    """30 pictures with the key picture among them: the next has the number that was due."""
    shown = [at for at in range(90) if not 35 <= at < 65]
    assert by_count(shown) == shown


def test_pictures_that_no_other_needs_do_not_count() -> None:
    numbers = Numbers()
    heads = [SliceHead(False, 0, True, True)]
    for pair in range(1, 20):
        heads += [SliceHead(not reference, pair % 16, False, reference)
                  for reference in (False, True)]
    assert [numbers.next(row * 40 * MS, head, TOLD)
            for row, head in enumerate(heads)] == list(range(len(heads)))
