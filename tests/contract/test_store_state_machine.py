"""Random sequences of calls on our store and on imgstore's: each call's result must be the same.

Both write the same, then both read the same, their own store or each other's. A result is what
came back, pixels included, or the type of the exception.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imgstore
import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

import fieldrec.store as ours

LIBRARIES = (imgstore, ours)
SHAPE = (4, 6)
numbers = st.one_of(st.integers(-6, 12), st.sampled_from([2**40, -(2**40)]))
"""Few, so that duplicates, gaps and steps backwards are the rule."""
times = st.one_of(
    st.integers(0, 40).map(lambda step: 1_795_000_000.0 + step * 0.25),
    st.floats(0, 2e9, allow_nan=False, allow_subnormal=False).map(abs),
    st.integers(0, 10))
extra = st.dictionaries(
    st.sampled_from(["temperature", "label", "on"]),
    st.one_of(st.integers(-5, 5), st.floats(-1e6, 1e6), st.text("aü€", max_size=3), st.none(),
              st.lists(st.integers(0, 9), max_size=2)), min_size=1)


class TwoStores(RuleBasedStateMachine):
    """The same script on both libraries."""

    form = "npy"

    @initialize(chunksize=st.integers(1, 5), swapped=st.booleans())
    def begin(self, chunksize: int, swapped: bool) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="two-stores-"))
        self.paths = [self.folder / library.__name__ for library in LIBRARIES]
        self.swapped = swapped
        self.written = 0
        self.reading = False
        self.stores: list[Any] = [
            library.new_for_format(self.form, basedir=str(path), mode="w", imgshape=SHAPE,
                                   imgdtype="uint8", chunksize=chunksize,
                                   metadata={"animal": "newt"})
            for library, path in zip(LIBRARIES, self.paths, strict=True)]

    def teardown(self) -> None:
        for store in getattr(self, "stores", []):
            with contextlib.suppress(Exception):
                store.close()
        shutil.rmtree(getattr(self, "folder", ""), ignore_errors=True)

    def both(self, call: Callable[[Any], Any]) -> None:
        """The call on each; the results, or the types of the exceptions, must be the same."""
        theirs, mine = (_outcome(call, store) for store in self.stores)
        assert _same(theirs, mine), f"imgstore: {theirs!r}\nfieldrec: {mine!r}"

    # --- writing --------------------------------------------------------------------------------

    @precondition(lambda self: not self.reading)
    @rule(number=numbers, time_s=times)
    def add_image(self, number: int, time_s: float) -> None:
        self.written += 1
        picture = np.full(SHAPE, self.written % 251, np.uint8)
        picture[0, 0] = self.written // 251
        self.both(lambda store: store.add_image(picture, number, time_s))
        self.both(lambda store: (store.frame_count, store.frame_min, store.frame_max,
                                 store.frame_number, store.frame_time, list(store.chunks)))

    @precondition(lambda self: not self.reading and self.written)
    @rule(values=extra)
    def add_extra_data(self, values: dict[str, Any]) -> None:
        self.both(lambda store: store.add_extra_data(**values))

    @precondition(lambda self: not self.reading)
    @rule(bad=st.sampled_from(["get_next_image", "get_frame_metadata"]))
    def read_while_writing(self, bad: str) -> None:
        assert isinstance(_outcome(lambda store: getattr(store, bad)(), self.stores[1]),
                          type(_outcome(lambda store: getattr(store, bad)(), self.stores[0])))

    @precondition(lambda self: not self.reading and self.written)
    @rule()
    def close_and_open(self) -> None:
        self.both(lambda store: store.close())
        paths = self.paths[::-1] if self.swapped else self.paths
        self.stores = [library.new_for_filename(str(path))
                       for library, path in zip(LIBRARIES, paths, strict=True)]
        self.reading = True
        self.both(lambda store: (store.frame_count, store.frame_min, store.frame_max,
                                 store.frame_time_min, store.frame_time_max, store.duration,
                                 list(store.chunks), store.get_frame_metadata()))
        self.both(lambda store: store.user_metadata)
        self.both(_extra_of)

    # --- reading --------------------------------------------------------------------------------

    @precondition(lambda self: self.reading)
    @rule()
    def get_next_image(self) -> None:
        self.both(lambda store: store.get_next_image())
        self.both(lambda store: store.frame_number)

    @precondition(lambda self: self.reading)
    @rule()
    def get_next_framenumber(self) -> None:
        self.both(lambda store: store.get_next_framenumber())

    @precondition(lambda self: self.reading)
    @rule(number=numbers, exact=st.booleans())
    def get_image(self, number: int, exact: bool) -> None:
        self.both(lambda store: store.get_image(number, exact_only=exact))

    @precondition(lambda self: self.reading)
    @rule(index=st.integers(-2, 40))
    def get_image_by_index(self, index: int) -> None:
        self.both(lambda store: store.get_image(None, frame_index=index))

    @precondition(lambda self: self.reading)
    @rule(time_s=times)
    def get_nearest_image(self, time_s: float) -> None:
        self.both(lambda store: store.get_nearest_image(time_s))

    @precondition(lambda self: self.reading)
    @rule()
    def to_the_end(self) -> None:
        """EOF comes after the same number of frames, and comes again."""
        for _ in range(self.written + 2):
            self.both(lambda store: store.get_next_image())

    @precondition(lambda self: self.reading)
    @rule(index=st.integers(0, 40))
    def extract_only_frame(self, index: int) -> None:
        paths = self.paths[::-1] if self.swapped else self.paths
        theirs, mine = (_outcome(lambda lib: lib[0].extract_only_frame(str(lib[1]), index),
                                 pair) for pair in zip(LIBRARIES, paths, strict=True))
        assert _same(theirs, mine), f"imgstore: {theirs!r}\nfieldrec: {mine!r}"


class TwoPngStores(TwoStores):
    form = "png"


def _outcome(call: Callable[[Any], Any], on: Any) -> Any:
    try:
        return call(on)
    except Exception as error:  # noqa: BLE001 (whatever imgstore raises is the expectation)
        return type(error)


def _same(one: Any, other: Any) -> bool:
    """Equality of results: arrays by value, NaN equal to NaN, exceptions by being of the type."""
    if isinstance(one, type):
        return isinstance(other, type) and issubclass(other, one)
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and bool(
            np.array_equal(one, other))
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, float) and one != one:
        return isinstance(other, float) and other != other
    return bool(one == other)


def _extra_of(store: Any) -> Any:
    frame = store.get_extra_data()
    if frame is None:
        return None
    ordered = frame.reindex(sorted(frame.columns), axis=1)
    return [[None if _is_missing(value) else value for value in row]
            for row in ordered.to_numpy(object).tolist()]


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)


QUICK = settings(max_examples=60, stateful_step_count=40, deadline=None, derandomize=True,
                 suppress_health_check=list(HealthCheck))


def test_random_scripts_on_raw_stores_give_the_same_results() -> None:
    run_state_machine_as_test(TwoStores, settings=QUICK)


def test_random_scripts_on_png_stores_give_the_same_results() -> None:
    run_state_machine_as_test(TwoPngStores, settings=settings(QUICK, max_examples=25))
