"""The ring: preallocated frames between one camera thread and one store thread.

The camera thread (the producer) never blocks: when every slot is taken it grabs into a spare frame
and, if no slot came free meanwhile, counts the frame as lost (I9: a known gap beats a stopped
night). There is no lock on the frame path: the producer alone changes `_committed`, the consumer
alone `_released`, and a SimpleQueue (C, no allocation beyond its node) hands over and wakes.
Pixels are page-aligned in one anonymous mapping, so that a backend writes straight into them and
the store may write them past the page cache. What is to be done between two certain frames travels
in the same queue (:meth:`Ring.send`). The consumer may take frames and keep them for a while before
it releases them: so a pre-roll costs no copy. :meth:`Ring.statistics` may be called by any thread.
"""

from __future__ import annotations

import math
import mmap
import queue
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fieldrec.camera import Pixels
from fieldrec.core.errors import StoreError
from fieldrec.core.model import FrameHeader, FrameSpec, Heat

LEAST_SLOTS = 4
"""Fewer than this and one slow write already loses frames."""
ASSUMED_HZ = 100.0
"""Of a camera that does not say how many frames a second it gives (one that is triggered, say): a
ring that is too large costs memory, within the bound, and one that is too small costs frames."""

LOW_SHARE, MEDIUM_SHARE, HIGH_SHARE = 0.25, 0.50, 0.75
"""Share of taken slots from which the heat is LOW, MEDIUM, HIGH; below, or with a single frame in
flight, it is NONE. HIGH says: a disk pause as long as a quarter of the ring loses frames."""


class Slot(NamedTuple):
    """A committed frame, borrowed by the consumer until it calls :meth:`Ring.release`."""

    header: FrameHeader
    pixels: Pixels
    digest: int | None = None
    """Of the pixels, where the producer was asked for it."""


@dataclass(frozen=True, slots=True)
class RingStatistics:
    """How full the ring is and was."""

    slots: int
    used: int
    """Slots whose frames wait for the disk; those held back on purpose do not count."""
    peak: int
    lost: int
    """Frames that arrived and found no slot free."""
    heat: Heat


def slots_for(spec: FrameSpec, ring_s: float, ring_max_bytes: int, preroll_s: float = 0.0) -> int:
    """Slots that hold `ring_s` seconds of frames, and `preroll_s` that are held back beside them,
    within `ring_max_bytes`; at least LEAST_SLOTS."""
    affordable = ring_max_bytes // max(1, _padded(spec.frame_bytes))
    return max(LEAST_SLOTS, min(wanted_slots(spec, ring_s, preroll_s), affordable))


def wanted_slots(spec: FrameSpec, ring_s: float, preroll_s: float = 0.0) -> int:
    """Slots that a camera would get if there were memory without end."""
    wanted = max(LEAST_SLOTS, math.ceil(ring_s * expected_hz(spec)))
    return wanted + preroll_frames(spec, preroll_s)


def preroll_frames(spec: FrameSpec, preroll_s: float) -> int:
    """Frames that `preroll_s` seconds are, one at either end."""
    return math.floor(preroll_s * expected_hz(spec)) + 1 if preroll_s > 0 else 0


def expected_hz(spec: FrameSpec) -> float:
    """Frames per second that there must be room for."""
    return spec.nominal_hz if spec.nominal_hz > 0 else ASSUMED_HZ


class Ring:
    """`slots` frames of one spec, for exactly one producer and one consumer thread.

    Allocates and touches all its memory (blocks for milliseconds per 100 MB; StoreError when
    there is none), so that no page fault hits the camera thread. The memory goes back when the
    last reference to its pixels does.
    """

    def __init__(self, spec: FrameSpec, slots: int) -> None:
        self._slots = slots
        self._frames = _allocate(spec, slots + 1)
        self._spare = self._frames.pop()
        self._queue: queue.SimpleQueue[Slot | Callable[[], None] | None] = queue.SimpleQueue()
        self._peeked: list[Slot | Callable[[], None] | None] = []
        """What the consumer has looked at and not taken yet; one at most."""
        self._crowded_from = max(2, math.ceil(slots * LOW_SHARE))
        self._committed = 0
        self._released = 0
        self._peak = 0
        self._lost = 0
        self._finished = False
        self.held = 0
        """Frames that the consumer has taken and keeps on purpose; it alone sets this."""

    # -- the producer: the camera thread -----------------------------------------------------------

    def acquire(self) -> int | None:
        """The next free slot, or None when the ring is full. The same one until a commit."""
        if self._committed - self._released >= self._slots:
            return None
        return self._committed % self._slots

    def pixels(self, slot: int | None) -> Pixels:
        """Where to put the frame: an acquired slot's pixels, or the spare frame's for None."""
        return self._spare if slot is None else self._frames[slot]

    def commit(self, header: FrameHeader, digest: int | None = None) -> None:
        """Hand the acquired slot's frame to the consumer."""
        self._queue.put(Slot(header, self._frames[self._committed % self._slots], digest))
        self._committed += 1
        used = self._committed - self._released - self.held
        if used > self._peak:
            self._peak = min(used, self._slots)

    def commit_spare(self, header: FrameHeader) -> bool:
        """Hand over the frame in the spare if a slot came free while it was grabbed (the two swap,
        nothing is copied); else the frame is lost: counted, and False returned."""
        slot = self.acquire()
        if slot is None:
            self._lost += 1
            return False
        self._frames[slot], self._spare = self._spare, self._frames[slot]
        self.commit(header)
        return True

    def close(self) -> None:
        """No more frames will come; what is in the ring can still be taken."""
        self._queue.put(None)

    # -- the consumer: the store thread ------------------------------------------------------------

    def take(self, timeout_s: float) -> Slot | None:
        """The oldest frame, waiting for it up to `timeout_s`; None when none came, when something
        that was sent had its turn (it has been called), or when the ring is :attr:`finished`."""
        try:
            item = self._peeked.pop() if self._peeked else self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if type(item) is Slot:
            return item
        if item is None:
            self._finished = True
        else:
            item()  # type: ignore[operator]
        return None

    def peek(self) -> Slot | None:
        """The frame that comes next, if it is there and nothing that was sent comes before it."""
        if not self._peeked:
            try:
                self._peeked.append(self._queue.get_nowait())
            except queue.Empty:
                return None
        item = self._peeked[0]
        return item if type(item) is Slot else None

    @property
    def crowded(self) -> bool:
        """Whether so many frames wait that the store does not keep up (:data:`LOW_SHARE`)."""
        return self._committed - self._released - self.held >= self._crowded_from

    def call_rest(self) -> None:
        """Call what was sent after the ring was closed."""
        while self._peeked or not self._queue.empty():
            self.take(0)

    def release(self) -> None:
        """Give back the oldest frame that was taken; its pixels must not be used any more."""
        self._released += 1

    @property
    def finished(self) -> bool:
        """Whether the producer has closed the ring and every frame was taken."""
        return self._finished

    # -- anyone ------------------------------------------------------------------------------------

    def send(self, call: Callable[[], None]) -> None:
        """Have the consumer's :meth:`take` run `call`, and raise what it raises, after the frames
        that are in the ring now and before those that come later."""
        self._queue.put(call)

    def statistics(self) -> RingStatistics:
        """A picture of the moment; its figures may be one frame apart from each other."""
        held = self.held
        used = max(0, min(self._slots, self._committed - self._released - held))
        return RingStatistics(self._slots, used, self._peak, self._lost,
                              heat(used, max(1, self._slots - held)))


def heat(used: int, slots: int) -> Heat:
    """The heat of a ring with `used` of `slots` taken."""
    share = used / slots
    if used <= 1 or share < LOW_SHARE:
        return Heat.NONE
    if share < MEDIUM_SHARE:
        return Heat.LOW
    return Heat.MEDIUM if share < HIGH_SHARE else Heat.HIGH


def _padded(frame_bytes: int) -> int:
    """Bytes of a frame rounded up to whole pages."""
    return -(-frame_bytes // mmap.PAGESIZE) * mmap.PAGESIZE


def _allocate(spec: FrameSpec, count: int) -> list[Pixels]:
    """`count` page-aligned frames in one mapping, every page touched."""
    stride = _padded(spec.frame_bytes)
    try:
        memory = np.frombuffer(mmap.mmap(-1, stride * count), dtype=np.uint8)
    except OSError as error:
        raise StoreError(f"no memory for a ring of {count} frames, {stride * count / 1e6:.0f} MB; "
                         "lower record.ring_max_bytes") from error
    memory.fill(0)
    return [memory[at:at + spec.frame_bytes].view(spec.dtype).reshape(spec.shape)
            for at in range(0, stride * count, stride)]
