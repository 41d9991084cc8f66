"""Which frame is due, and what keys do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldrec.cli.player import JUMPS_S, STEPS, Player


def player(first: int = 0, end: int = 100, show_hz: float = 10.0, rate_hz: float = 20.0) -> Player:
    return Player(first, end, show_hz=show_hz, rate_hz=rate_hz, now_s=5.0)


def test_frames_are_due_at_the_rate_and_skipped_when_late() -> None:
    playing = player()
    assert [playing.advance(5.0 + at) for at in (0, 0.05, 0.11, 0.2, 1.0)] == [0, 0, 1, 2, 10]
    assert playing.wait_s(6.0) == pytest.approx(0.1)
    assert playing.wait_s(6.5) == 0.0


def test_every_frame_is_shown_at_rate_zero() -> None:
    playing = player(show_hz=0)
    assert [playing.advance(5.0) for _ in range(3)] == [1, 2, 3]
    assert playing.wait_s(5.0) == 0.0


def test_at_the_end_it_waits_and_begins_again_when_asked() -> None:
    playing = player(first=3, end=10)
    assert playing.advance(100.0) == 9
    assert playing.paused
    assert playing.wait_s(100.0) is None
    playing.key(" ", 101.0)
    assert (playing.advance(101.0), playing.paused) == (3, False)


def test_space_pauses_and_goes_on_from_there() -> None:
    playing = player()
    playing.advance(5.5)
    playing.key(" ", 5.5)
    assert playing.advance(60.0) == 5
    playing.key(" ", 60.0)
    assert playing.advance(60.1) == 6


@pytest.mark.parametrize(("key", "index", "paused"), [
    (".", 51, True), (",", 49, True), ("right", 70, False), ("left", 30, False), ("up", 99, False),
    ("down", 0, False), ("home", 0, True), ("end", 99, True), ("x", 50, False),
    ("page up", 99, False)])
def test_keys_move(key: str, index: int, paused: bool) -> None:
    playing = player()
    playing.advance(10.0)
    assert playing.index == 50
    playing.key(key, 10.0)
    assert (playing.index, playing.paused, playing.ended) == (index, paused, False)


@pytest.mark.parametrize("key", ["q", "escape"])
def test_quit(key: str) -> None:
    playing = player()
    playing.key(key, 5.0)
    assert playing.ended


def test_slow_recordings_jump_one_frame_at_least() -> None:
    playing = player(rate_hz=0.01)
    playing.key("right", 5.0)
    assert playing.index == 1
    playing.key("left", 5.0)
    assert playing.index == 0


@given(st.integers(0, 50), st.integers(1, 50), st.sampled_from([0.0, 0.1, 25.0, 1e6]),
       st.lists(st.tuples(st.sampled_from([*JUMPS_S, *STEPS, " ", "?", ""]),
                          st.floats(0, 100)), max_size=30))
def test_the_index_never_leaves_the_range(first: int, count: int, show_hz: float,
                                          keys: list[tuple[str, float]]) -> None:
    playing = Player(first, first + count, show_hz=show_hz, rate_hz=show_hz, now_s=0.0)
    now_s = 0.0
    for key, later_s in keys:
        now_s += later_s
        playing.key(key, now_s)
        assert first <= playing.advance(now_s) < first + count
        waiting_s = playing.wait_s(now_s)
        assert waiting_s is None or waiting_s >= 0
