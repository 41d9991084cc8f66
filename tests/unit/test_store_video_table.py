"""Positions and ordinals: the order of showing, where decoding begins, and what is proven of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldrec.store.video.table import (
    NO_TIME,
    Known,
    Packets,
    by_decoder,
    by_index,
    by_positions,
    by_time,
    regular_places,
)

ALL_THERE = Known(None)


def packets(pts: Sequence[int | None], keys: Sequence[int] = (0,), *, hidden: Sequence[int] = (),
            damaged: Sequence[int] = ()) -> Packets:
    """Packets of 100 bytes, 110 bytes apart."""
    count = len(pts)
    at = np.arange(count)
    return Packets(at * 110 + 50, np.full(count, 100),
                   np.array([NO_TIME if stamp is None else stamp for stamp in pts], np.int64), at,
                   np.isin(at, keys), ~np.isin(at, hidden), ~np.isin(at, damaged))


def test_b_frames_are_shown_before_what_they_need() -> None:
    table = by_time(packets([0, 3, 1, 2, 6, 4, 5]), ALL_THERE, reorders=True)
    assert table.order.tolist() == [0, 2, 3, 1, 5, 6, 4]
    assert table.places.tolist() == [0, 3, 1, 2, 6, 4, 5]
    assert table.certain == len(table) == 7
    assert not table.proven


def test_the_order_of_coding_is_kept_where_the_codec_never_reorders() -> None:
    table = by_time(packets([5, None, 3, 3]), ALL_THERE, reorders=False)
    assert table.order.tolist() == [0, 1, 2, 3]
    assert table.proven


def test_decoding_begins_at_the_last_key_picture_not_shown_later() -> None:
    """An open group: 5 and 4 are coded behind the key picture 6, and shown before it."""
    table = by_time(packets([0, 2, 1, 3, 6, 4, 5, 8, 7], keys=(0, 4)), Known(None, checked=True),
                    reorders=True)
    assert [table.entry(position) for position in range(9)] == [0, 0, 0, 0, 0, 0, 4, 4, 4]
    assert [table.safe_entry(position) for position in (3, 6, 8)] == [0, 4, 4]
    assert [table.entry_before(ordinal) for ordinal in (8, 4, 1, 0)] == [4, 0, 0, None]
    table.proven = False
    assert [table.safe_entry(position) for position in (3, 6, 8)] == [0, 0, 0]
    table.not_a_key(4)
    assert {table.entry(position) for position in range(9)} == {0}


def test_a_file_without_key_pictures_is_decoded_from_its_beginning() -> None:
    table = by_time(packets([0, 1, 2], keys=()), ALL_THERE, reorders=False)
    assert [table.entry(position) for position in range(3)] == [0, 0, 0]
    assert table.entry_before(2) == 0


def test_an_edit_list_hides_pictures_but_not_what_others_need() -> None:
    table = by_time(packets([0, 1, 2, 3], hidden=(0, 1)), ALL_THERE, reorders=False)
    assert table.order.tolist() == [2, 3]
    assert table.entry(0) == 0
    assert table.certain == 2


# --- when pictures are missing -----------------------------------------------------------------

def test_a_missing_end_leaves_the_rest_certain() -> None:
    table = by_time(packets(range(0, 400, 40)), Known(15), reorders=False)
    assert (len(table), table.certain) == (10, 10)


def test_in_a_cut_file_what_is_shown_behind_a_hole_is_not_certain() -> None:
    pts = [*range(0, 4000, 40), 4120]  # the B-frames at 4000, 4040 and 4080 were cut off
    table = by_time(packets(pts), Known(120), reorders=True)
    assert table.certain == 100


def test_in_a_cut_file_of_uneven_times_the_depth_of_reordering_is_left_out() -> None:
    steps = np.random.default_rng(1).integers(100, 9000, 99)
    shown = [0, *np.cumsum(steps).tolist()]
    coded = [shown[at] for group in range(0, 99, 3)
             for at in (group, group + 3, group + 1, group + 2) if at == group == 0 or at > group]
    table = by_time(packets(coded), Known(140), reorders=True)
    assert table.certain == len(coded) - 2
    assert by_time(packets(coded[:20]), Known(140), reorders=True).certain == 4
    assert by_time(packets(coded), ALL_THERE, reorders=True).certain == len(coded)


def test_holes_at_an_even_rate_are_known_places() -> None:
    pts = [at * 40 for at in range(100) if at not in (0, 31, 32, 70)]
    table = by_time(packets(pts), Known(100), reorders=False)
    assert table.certain == 30  # the first may be missing as well as the last
    pts = [at * 40 for at in range(100) if at not in (31, 32, 70)]
    table = by_time(packets(pts), Known(100), reorders=False)
    assert len(table) == table.certain == 100
    assert np.flatnonzero(table.order < 0).tolist() == [31, 32, 70]
    assert (table.order[33], table.order[99]) == (31, 96)
    assert table.broken_between(0, 31)
    assert not table.broken_between(31, 40)
    assert table.told_apart() == 97


@pytest.mark.parametrize("known", [
    Known(12, hidden=True), Known(12, headless=True), Known(12, indexed=0),
    Known(12, damaged_from=0)], ids=str)
def test_nothing_is_certain_where_the_beginning_may_be_missing(known: Known) -> None:
    assert by_time(packets(range(0, 400, 40)), known, reorders=False).certain == 0


def test_a_matroska_file_begins_at_zero_or_lacks_its_beginning() -> None:
    late = packets(range(40, 400, 40))
    assert by_time(late, Known(12, from_zero=True), reorders=False).certain == 0
    assert by_time(late, Known(9, from_zero=True), reorders=False).certain == 9


def test_what_follows_damaged_bytes_or_a_gap_is_not_certain() -> None:
    ten = packets([int(at) for at in np.cumsum(np.random.default_rng(2).integers(10, 900, 10))])
    assert by_time(ten, Known(12, damaged_from=50 + 4 * 110), reorders=False).certain == 4
    ten.offsets[6:] += 500
    assert by_time(ten, Known(12, stray_bytes=64), reorders=False).certain == 6
    assert by_time(ten, Known(12), reorders=False).certain == 10
    assert by_time(ten, Known(None, stray_bytes=64), reorders=False).certain == 6


def test_a_damaged_packet_is_a_hole() -> None:
    table = by_time(packets(range(0, 1200, 40), damaged=(4,)), Known(30), reorders=False)
    assert table.order.tolist() == [0, 1, 2, 3, -1, *range(5, 30)]
    assert table.certain == 30


def test_the_decoders_order_is_certain_up_to_its_first_error() -> None:
    some = packets([None] * 40)
    order = np.arange(40)
    assert by_decoder(some, Known(40), order, 40).certain == 40
    assert by_decoder(some, Known(40), order, 12).certain == 12
    assert by_decoder(some, Known(45), order, 40).certain == 24
    assert by_decoder(some, Known(45, hidden=True), order, 40).certain == 0


def test_an_index_lists_dropped_pictures_and_lost_ones_alike() -> None:
    some = packets([None] * 6, hidden=(2,), damaged=(4,))
    assert by_index(some, 5).order.tolist() == [0, 1, 3, -1, 5]
    assert by_index(some, None).order.tolist() == [0, 1, 3, -1, 5]
    assert by_index(some, 6).order.tolist() == [0, 1, -1, 3, -1, 5]


def test_pictures_that_say_which_they_are() -> None:
    four = packets([None] * 4)
    told = by_positions(four, np.array([0, 1, 4, 5]), 6)
    assert told.order.tolist() == [0, 1, -1, -1, 2, 3]
    assert told.broken_between(0, 2)
    mended = by_positions(four, np.array([0, 1, 4, 5]), 4)
    assert mended.order.tolist() == [0, 1, 2, 3]
    assert mended.broken_between(0, 2)
    assert not mended.broken_between(2, 3)
    doubled = by_positions(four, np.array([0, 1, 1, 2]), 3)
    assert doubled.order.tolist() == [0, 1, 3]
    assert doubled.packets.sound.tolist() == [True, True, False, True]


@given(hz=st.sampled_from([Fraction(1), Fraction(25), Fraction(30_000, 1001), Fraction(120)]),
       ticks=st.sampled_from([1000, 90_000, 12_800]), count=st.integers(30, 300), data=st.data())
def test_places_on_an_even_grid(hz: Fraction, ticks: int, count: int, data: st.DataObject) -> None:
    lost = data.draw(st.sets(st.integers(1, count - 2), max_size=count // 30))
    there = np.array([at for at in range(count) if at not in lost])
    stamps = np.array([round(at * ticks / hz) for at in there.tolist()], np.int64)
    places = regular_places(stamps, count)
    assert places is not None
    assert np.array_equal(places, there)
    assert regular_places(stamps, count + 1) is None
    assert regular_places(stamps, None) is None


def test_uneven_times_are_no_grid() -> None:
    stamps = np.cumsum(np.random.default_rng(3).integers(30, 60, 50))
    assert regular_places(stamps, 51) is None
    assert regular_places(np.array([0, 1]), 2) is None
    assert regular_places(replace(packets([0, None, 2, 3])).pts, 4) is None
