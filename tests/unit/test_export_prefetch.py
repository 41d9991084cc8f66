"""Prefetch: order, errors, and a thread that always ends (the fixtures fail a left-over one)."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from fieldrec.export.prefetch import depth_for, prefetched
from tests.fakes.waiting import PATIENCE_S


def test_items_come_in_order_from_the_named_thread() -> None:
    names = []

    def items() -> Iterator[int]:
        for number in range(20):
            names.append(threading.current_thread().name)
            yield number

    with prefetched(items(), "ahead") as got:
        assert list(got) == list(range(20))
    assert set(names) == {"ahead"}


def test_error_comes_where_the_item_would_have_come() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("bad frame")

    with prefetched(items(), "ahead") as got:
        assert next(got) == 1
        with pytest.raises(ValueError, match="bad frame"):
            next(got)


def test_leaving_early_ends_an_endless_source() -> None:
    def items() -> Iterator[int]:
        number = 0
        while True:
            yield number
            number += 1

    with prefetched(items(), "ahead", depth=2) as got:
        assert next(got) == 0


def test_no_more_than_depth_is_made_ahead() -> None:
    made = []
    full = threading.Event()

    def items() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            if len(made) == 4:  # two wait, one is being put, one was taken
                full.set()
            yield number

    with prefetched(items(), "ahead", depth=2) as got:
        next(got)
        assert full.wait(PATIENCE_S)
        assert len(made) == 4


def test_large_items_are_not_far_ahead() -> None:
    sizes = 0, 19_200, 6_220_800, 24_000_000, 10**9
    assert [depth_for(size) for size in sizes] == [8, 8, 3, 1, 1]
