"""Which coded picture of a video file is the i-th to be shown: arithmetic on timestamps, no FFmpeg.

A file holds its pictures in the order in which they are decoded; a picture may be shown later than
one that is coded behind it. Order is told by the timestamps, or, where a container has none worth
the name, by the decoder. When pictures are missing, a place in the order is taken as known only
where it can be proven: a frame that might be another one is never handed out. Pure; any thread.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

NO_TIME = -(1 << 63)
"""A packet without this timestamp, as FFmpeg has it."""
_REGULAR_SHARE = 0.9
_SHORT_FILE = 64
_DEEPEST_REORDER = 16
"""No codec in use shows a picture later than so many others that are coded behind it."""
_STRAY_BYTES = 64


@dataclass(frozen=True, slots=True, eq=False)
class Packets:
    """The coded pictures of a file in the order of coding: one entry per packet in each array."""

    offsets: Integers
    """Where in the file its bytes begin; -1 where the container does not say."""
    sizes: Integers
    pts: Integers
    """When it is shown, in ticks; NO_TIME where there is none."""
    dts: Integers
    """When it is decoded, likewise."""
    keys: NDArray[np.bool_]
    """Whether decoding can begin here, by what the container says."""
    shown: NDArray[np.bool_]
    """False: needed for decoding only, an edit list hides it."""
    sound: NDArray[np.bool_]
    """False: known to be damaged."""

    def __len__(self) -> int:
        return len(self.offsets)


@dataclass(slots=True, eq=False)
class PictureTable:
    """Pictures in the order of showing (positions 0 …) against packets (ordinals 0 …)."""

    packets: Packets
    order: Integers
    """Ordinal of the picture at each position; -1 = it is known to be missing."""
    certain: int
    """Positions below this are proven; at and above it, a picture may be missing before them."""
    places: Integers = field(init=False)
    """Position of each packet's picture; -1 = it is not shown, or damaged."""
    _keys: Integers = field(init=False)

    def __post_init__(self) -> None:
        self.places = np.full(len(self.packets), -1, np.int64)
        there = np.flatnonzero(self.order >= 0)
        self.places[self.order[there]] = there
        self._keys = np.flatnonzero(self.packets.keys)

    def __len__(self) -> int:
        return len(self.order)

    @property
    def nbytes(self) -> int:
        """Memory held, about."""
        return len(self.packets) * 43 + self.order.nbytes + self.places.nbytes

    def told_apart(self) -> int:
        """How many pictures are there and can be told from the others."""
        return int(np.count_nonzero(self.order[:self.certain] >= 0))

    def entry(self, position: int) -> int:
        """Ordinal at which decoding must begin for this picture.

        The last key picture that is coded at or before it and not shown after it: what is coded
        behind a key picture but shown before it may need pictures from before the key.
        """
        at = int(np.searchsorted(self._keys, self.order[position], "right")) - 1
        while at > 0 and self.places[self._keys[at]] > position:
            at -= 1
        return int(self._keys[at]) if at >= 0 else 0

    def entry_before(self, ordinal: int) -> int | None:
        """The next earlier place at which decoding may begin; None at the file's beginning."""
        at = int(np.searchsorted(self._keys, ordinal, "left")) - 1
        if at >= 0:
            return int(self._keys[at])
        return 0 if ordinal > 0 else None

    def not_a_key(self, ordinal: int) -> None:
        """The container called it a key picture, and it is none."""
        self._keys = self._keys[self._keys != ordinal]


def by_time(packets: Packets, expected: int | None, *, cut: bool, reorders: bool,
            hidden: bool = False) -> PictureTable:
    """The order that the timestamps tell, or of coding where the codec never `reorders`.

    `expected`: how many pictures were written, where that is known; `cut`: the file's end is
    missing; `hidden`: an edit list leaves pictures out.
    """
    usable = np.flatnonzero(packets.shown & packets.sound)
    if reorders:
        usable = usable[np.argsort(packets.pts[usable], kind="stable")]
    if not _is_short(len(usable), packets, expected, cut):
        return PictureTable(packets, usable, len(usable))
    places = None if expected is None else regular_places(packets.pts[usable], expected)
    if places is None or expected is None:
        depth = _reorder_depth(usable) if reorders else 0
        certain = 0 if hidden else max(0, _certain(packets, usable) - depth)
        return PictureTable(packets, usable, certain)
    order = np.full(expected, -1, np.int64)
    order[places] = usable
    return PictureTable(packets, order, expected)


def by_decoder(packets: Packets, order: Integers, certain: int) -> PictureTable:
    """The order in which a decoder put them out; `certain` of them before anything went wrong."""
    return PictureTable(packets, order, certain)


def by_index(packets: Packets) -> PictureTable:
    """One picture per packet in order of coding, from an index that lists missing ones too."""
    order = np.flatnonzero(packets.shown)
    return PictureTable(packets, np.where(packets.sound[order], order, -1), len(order))


def _is_short(usable: int, packets: Packets, expected: int | None, cut: bool) -> bool:
    if not packets.sound.all():
        return True
    return cut if expected is None else usable < expected


def regular_places(stamps: Integers, expected: int) -> Integers | None:
    """Where pictures belong that lie on an even grid of times, with holes; None if that cannot be
    proven: every time on the grid, most steps one place, and the last one the last expected."""
    if len(stamps) < 3 or (stamps == NO_TIME).any():
        return None
    steps = np.diff(stamps)
    usual = float(np.median(steps))
    if usual <= 0:
        return None
    step = _even_step(stamps, steps, usual)
    places: Integers = np.rint((stamps - stamps[0]) / step).astype(np.int64)
    off_grid = np.abs(stamps - stamps[0] - places * step).max()
    even = np.abs(steps - usual) <= max(1.0, usual * 0.02)
    if off_grid > max(1.0, step * 0.02) or even.mean() < _REGULAR_SHARE:
        return None
    if int(places[-1]) != expected - 1 or (np.diff(places) < 1).any():
        return None
    return places


def _even_step(stamps: Integers, steps: Integers, usual: float) -> float:
    """The grid's step, finer than whole ticks: 1/30 s is 33, 33, 34 in milliseconds."""
    counts = np.maximum(np.rint(steps / usual), 1.0)
    return float((stamps[-1] - stamps[0]) / counts.sum())


def _certain(packets: Packets, order: Integers) -> int:
    """How many positions from the first on can have nothing missing before them, but for what is
    coded later and shown earlier."""
    if not packets.shown.all():
        return 0  # what an edit list hides may be what is missing
    limits = [len(order), _first_hole(packets.pts[order]), _first_gap(packets)]
    damaged = np.flatnonzero(~packets.sound)
    if len(damaged):
        limits.append(int(damaged[0]))
    return min(limits)


def _reorder_depth(order: Integers) -> int:
    """By how many places a picture may be coded before it is shown."""
    ranks = np.argsort(np.argsort(order))  # order of coding among those there are
    seen = int(np.max(np.arange(len(order)) - ranks, initial=0))
    return seen if len(order) >= _SHORT_FILE else _DEEPEST_REORDER


def _first_hole(stamps: Integers) -> int:
    """Position behind the first step that is much longer than an even rhythm allows."""
    steps = np.diff(stamps)
    if len(steps) < 2 or (stamps == NO_TIME).any():
        return len(stamps)
    usual = float(np.median(steps))
    even = np.abs(steps - usual) <= max(1.0, usual * 0.02)
    if even.mean() < _REGULAR_SHARE:
        return len(stamps)
    holes = np.flatnonzero(steps > usual * 1.5)
    return int(holes[0]) + 1 if len(holes) else len(stamps)


def _first_gap(packets: Packets) -> int:
    """Ordinal behind the first stretch of bytes between packets in which one could have been."""
    if (packets.offsets < 0).any():
        return len(packets)
    between = np.diff(packets.offsets) - packets.sizes[:-1]
    usual = float(np.median(between)) if len(between) else 0.0
    gaps = np.flatnonzero(between > max(_STRAY_BYTES, 2 * usual))
    return int(gaps[0]) + 1 if len(gaps) else len(packets)
