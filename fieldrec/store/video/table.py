"""Which coded picture of a video file is the i-th to be shown: arithmetic on timestamps, no FFmpeg.

A file holds its pictures in the order in which they are decoded; a picture may be shown later than
one that is coded behind it. Order is told by the timestamps, or, where a container has none worth
the name, by the decoder. When pictures are missing, a place in the order is taken as known only
where it can be proven: a frame that might be another one is never handed out. Pure; any thread.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

NO_TIME = -(1 << 63)
"""A packet without this timestamp, as FFmpeg has it."""
_REGULAR_SHARE = 0.9
_SHORT_FILE = 64
_DEEPEST_REORDER = 16
"""No codec in use shows a picture later than so many others that are coded behind it."""


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
    gaps: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """Ordinals, and a half, between which coded pictures are missing that no list has."""
    places: Integers = field(init=False)
    """Position of each packet's picture; -1 = it is not shown, or damaged."""
    proven: bool = True
    """False: the order is that of times which no checksum covers; the decoder has to confirm it."""
    _keys: Integers = field(init=False)
    _entries: Integers = field(init=False)

    def __post_init__(self) -> None:
        self.places = np.full(len(self.packets), -1, np.int64)
        there = np.flatnonzero(self.order >= 0)
        self.places[self.order[there]] = there
        self._keys = np.flatnonzero(self.packets.keys)
        self._find_entries()

    def _find_entries(self) -> None:
        """See :meth:`entry`: all at once, since every frame needs its own several times."""
        if not len(self._keys):
            self._entries = np.zeros(len(self.order), np.int64)
            return
        at = np.searchsorted(self._keys, self.order, "right") - 1
        positions = np.arange(len(self.order))
        while (later := (at > 0) & (self.places[self._keys[at]] > positions)).any():
            at -= later
        self._entries = np.where(at >= 0, self._keys[at], 0)

    def __len__(self) -> int:
        return len(self.order)

    @property
    def nbytes(self) -> int:
        """Memory held, about."""
        return len(self.packets) * 43 + 2 * self.order.nbytes + self.places.nbytes

    def told_apart(self) -> int:
        """How many pictures are there and can be told from the others."""
        return int(np.count_nonzero(self.order[:self.certain] >= 0))

    def entry(self, position: int) -> int:
        """Ordinal at which decoding must begin for this picture.

        The last key picture that is coded at or before it and not shown after it: what is coded
        behind a key picture but shown before it may need pictures from before the key.
        """
        return int(self._entries[position])

    def entry_before(self, ordinal: int, step: int = 1) -> int | None:
        """An earlier place at which decoding may begin, so many key pictures back; None at the
        file's beginning."""
        at = int(np.searchsorted(self._keys, ordinal, "left")) - step
        if at >= 0:
            return int(self._keys[at])
        return 0 if ordinal > 0 else None

    def safe_entry(self, position: int) -> int:
        """The same, or one earlier where that alone shows whether the order is right: when
        something that is coded behind the key picture is said to be shown before it."""
        entry = self.entry(position)
        if self.proven:
            return entry
        near = self.places[entry + 1:entry + 1 + 2 * _DEEPEST_REORDER]
        if not ((near >= 0) & (near < self.places[entry])).any():
            return entry
        return self.entry_before(entry) or 0

    def broken_between(self, entry: int, ordinal: int) -> bool:
        """Whether something that is not listed is missing on the way from one to the other."""
        if not len(self.gaps):
            return False
        return bool(((self.gaps > entry) & (self.gaps < ordinal)).any())

    def not_a_key(self, ordinal: int) -> None:
        """The container called it a key picture, and it is none."""
        self._keys = self._keys[self._keys != ordinal]
        self._find_entries()


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a file besides its packets."""

    expected: int | None
    """How many pictures were written, where that is known."""
    cut: bool = False
    """The file's end is missing."""
    hidden: bool = False
    """An edit list leaves pictures out."""
    damaged_from: int | None = None
    """The first byte that is known to be wrong."""
    checked: bool = False
    """The times of the packets have checksums."""
    headless: bool = False
    """What is missing may be the beginning."""
    from_zero: bool = False
    """Its writer gives the first picture the time 0, and no table says how many there are."""
    stray_bytes: int | None = None
    """Between its packets there are never so many bytes more than usual, unless one was lost; None
    where anything may lie between them."""
    indexed: int | None = None
    """So many packets from the first on lie where the container's index says; None where it has
    none that could be wrong."""

    def lacks_some(self, usable: int, packets: Packets) -> bool:
        """Whether pictures are missing."""
        if not packets.sound.all():
            return True
        if self.expected is not None:
            astray = self.indexed is not None and self.indexed < self.expected <= usable
            return usable < self.expected or astray
        gap = _first_gap(packets, self.stray_bytes) < len(packets)
        return self.cut or gap or self.damaged_from is not None

    def hides_some(self, packets: Packets) -> bool:
        """Whether what is missing may be what an edit list hides."""
        return self.hidden or not packets.shown.all()


def by_time(packets: Packets, known: Known, *, reorders: bool) -> PictureTable:
    """The order that the timestamps tell, or of coding where the codec never `reorders`."""
    usable = np.flatnonzero(packets.shown & packets.sound)
    if reorders:
        usable = usable[np.argsort(packets.pts[usable], kind="stable")]
    if not known.lacks_some(len(usable), packets):
        table = PictureTable(packets, usable, len(usable))
    elif known.hides_some(packets):
        table = PictureTable(packets, usable, 0)
    elif (places := regular_places(packets.pts[usable], known.expected)) is not None:
        order = np.full(known.expected or 0, -1, np.int64)
        order[places] = usable
        table = PictureTable(packets, order, len(order),
                             gaps=_gaps(order, _reorder_depth(usable) if reorders else 0))
    else:
        stamps = packets.pts[usable]
        even = _rhythm(stamps, np.diff(stamps)) is not None  # then a hole shows by itself
        depth = _reorder_depth(usable) if reorders and not even else 0
        table = PictureTable(packets, usable, max(0, _certain(packets, known, usable) - depth))
    table.proven = known.checked or not reorders
    return table


def by_decoder(packets: Packets, known: Known, order: Integers, certain: int) -> PictureTable:
    """The order in which a decoder put them out; `certain` of them before anything went wrong."""
    if known.lacks_some(len(order), packets):
        proven = 0 if known.hides_some(packets) else (
            _certain(packets, known, order) - _DEEPEST_REORDER)
        certain = min(certain, max(0, proven))
    return PictureTable(packets, order, certain)


def by_index(packets: Packets, expected: int | None) -> PictureTable:
    """One picture per packet in order of coding, from an index that lists missing ones too."""
    order = np.flatnonzero(packets.shown)
    if expected is not None and len(order) < expected:
        order = np.arange(len(packets))  # those without bytes are not dropped ones, but lost ones
    usable = packets.sound[order] & packets.shown[order]
    return PictureTable(packets, np.where(usable, order, -1), len(order))


def regular_places(stamps: Integers, expected: int | None) -> Integers | None:
    """Where pictures belong that lie on an even grid of times, with holes; None if that cannot be
    proven: every time on the grid, most steps one place, and the last one the last expected."""
    steps = np.diff(stamps)
    usual = _rhythm(stamps, steps)
    if expected is None or usual is None:
        return None
    step = _even_step(stamps, steps, usual)
    places: Integers = np.rint((stamps - stamps[0]) / step).astype(np.int64)
    off_grid = np.abs(stamps - stamps[0] - places * step).max()
    if off_grid > _tolerance(step):
        return None
    if int(places[-1]) != expected - 1 or (np.diff(places) < 1).any():
        return None
    return places


def _even_step(stamps: Integers, steps: Integers, usual: float) -> float:
    """The grid's step, finer than whole ticks: 1/30 s is 33, 33, 34 in milliseconds."""
    counts = np.maximum(np.rint(steps / usual), 1.0)
    return float((stamps[-1] - stamps[0]) / counts.sum())


def by_positions(packets: Packets, positions: Integers, expected: int | None) -> PictureTable:
    """Pictures that say themselves which they were, in order of coding.

    Where there are as many as were `expected`, each is what the index has in its row: what was
    lost before the index was made is not in it. What is there twice, or out of turn, does not
    count the second time.
    """
    _values, first = np.unique(positions, return_index=True)
    single = np.zeros(len(positions), np.bool_)
    single[first] = np.maximum.accumulate(positions)[first] == positions[first]
    packets = replace(packets, sound=packets.sound & single)
    rows = np.flatnonzero(single)
    if expected is None or len(rows) >= expected:
        jumps = rows[np.diff(positions[rows], prepend=-1) != 1].astype(np.float64) - 0.5
        return PictureTable(packets, rows, len(rows), gaps=jumps)
    order = np.full(expected, -1, np.int64)
    rows = rows[positions[rows] < expected]
    order[positions[rows]] = rows
    return PictureTable(packets, order, expected, gaps=_gaps(order, 0))


def _gaps(order: Integers, depth: int) -> NDArray[np.float64]:
    """Where in the order of coding the pictures of the holes were: in front of everything that is
    shown up to `depth` places before or behind them, as far as the order of coding can tell."""
    gaps = []
    for hole in np.flatnonzero(order < 0).tolist():
        if depth:
            near = order[max(0, hole - depth):hole + depth + 1]
            gaps.append(float(near[near >= 0].min(initial=len(order))) - 0.5)
        else:
            before = order[:hole][order[:hole] >= 0]
            gaps.append(float(before[-1]) + 0.5 if len(before) else -0.5)
    return np.unique(np.array(gaps, np.float64))


def _rhythm(stamps: Integers, steps: Integers) -> float | None:
    """The usual step between pictures, in ticks; None when most are not of that length."""
    if len(steps) < 2 or (stamps == NO_TIME).any():
        return None
    usual = float(np.median(steps))
    even = np.abs(steps - usual) <= _tolerance(usual)
    return usual if usual > 0 and even.mean() >= _REGULAR_SHARE else None


def _tolerance(step: float) -> float:
    """By how much times may be off an even grid: containers round them to their ticks."""
    return max(1.0, step * 0.02)


def _certain(packets: Packets, known: Known, order: Integers) -> int:
    """How many positions from the first on can have nothing missing before them, but for what is
    coded later and shown earlier."""
    if known.headless:
        return 0
    limits = [len(order), _first_hole(packets.pts[order], known.from_zero)]
    limits.append(_first_gap(packets, known.stray_bytes))
    if known.indexed is not None:
        limits.append(known.indexed)
    if known.damaged_from is not None:
        limits.append(int(np.count_nonzero(packets.offsets < known.damaged_from)))
    damaged = np.flatnonzero(~packets.sound)
    if len(damaged):
        limits.append(int(damaged[0]))
    return min(limits)


def _reorder_depth(order: Integers) -> int:
    """By how many places a picture may be coded before it is shown."""
    ranks = np.argsort(np.argsort(order))  # order of coding among those there are
    seen = int(np.max(np.arange(len(order)) - ranks, initial=0))
    return seen if len(order) >= _SHORT_FILE else _DEEPEST_REORDER


def _first_hole(stamps: Integers, from_zero: bool) -> int:
    """Position behind the first step that is much longer than an even rhythm allows."""
    steps = np.diff(stamps)
    usual = _rhythm(stamps, steps)
    if from_zero and len(stamps) and stamps[0] > (usual or 0.0) / 2:
        return 0
    if usual is None:
        return len(stamps)
    holes = np.flatnonzero(steps > usual * 1.5)
    return int(holes[0]) + 1 if len(holes) else len(stamps)


def _first_gap(packets: Packets, stray_bytes: int | None) -> int:
    """Ordinal behind the first stretch of bytes between packets in which one could have been."""
    if stray_bytes is None or len(packets) < 2 or (packets.offsets < 0).any():
        return len(packets)
    between = np.diff(packets.offsets) - packets.sizes[:-1]
    gaps = np.flatnonzero(np.abs(between - np.median(between)) > stray_bytes)
    return int(gaps[0]) + 1 if len(gaps) else len(packets)
