"""What is recorded between a start and its stop: stores one after the other, without a frame lost
or repeated between them.

The store thread (`store-<camera>`) calls everything but the constructor, :meth:`Series.begin`
(worker) and the figures (loop). What takes the disk's time, making the next store and closing the
last one, is done by `turn-<camera>`; the store thread makes a store itself only when it has none to
write to: at an event, or when the disk has failed. Times and names of all parts are by the anchor
of the start, whatever the wall clock does; one made ahead has the name of its expected beginning.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fieldrec.camera import Pixels
from fieldrec.config.recording import SplitConfig
from fieldrec.core.clock import Anchor, Clock
from fieldrec.core.errors import FieldrecError, StateError, StoreFull, SyncFailed
from fieldrec.core.model import FrameHeader, LostFrames
from fieldrec.record.capture import Capture
from fieldrec.record.clock_steps import ClockSteps
from fieldrec.record.listener import Listener
from fieldrec.record.missing import Missing
from fieldrec.record.outcome import Cause, Outcome
from fieldrec.record.part import NewWriter, Part
from fieldrec.record.parts import Parts
from fieldrec.record.place import Place
from fieldrec.record.rate import LOOK_NS, Rate
from fieldrec.record.ring import Ring, Slot
from fieldrec.record.splitting import RETRY_NS, Limits
from fieldrec.record.stores import Stores
from fieldrec.record.syncer import Syncer
from fieldrec.record.trigger import Trigger
from fieldrec.record.turning import Turning
from fieldrec.record.write_mode import Policy, WriteMode

log = logging.getLogger(__name__)


class Series:
    """One start, its parts and its figures."""

    def __init__(self, key: str, *, place: Place, new_writer: NewWriter, capture: Capture,
                 ring: Ring, anchor: Anchor, clock: Clock, listener: Listener,
                 sync_interval_s: float, write: Policy = "auto", split: SplitConfig | None = None,
                 trigger: Trigger | None = None, hang_s: float = 10.0) -> None:
        """`hang_s`: how long its end waits for stores on disks that have failed."""
        self._key = key
        self._ring = ring
        self._anchor = anchor
        self._offset_ns = anchor.time_ns(0)
        self._clock_steps = ClockSteps(anchor, clock)
        self._clock = clock
        self._listener = listener
        self._limits = Limits(split or SplitConfig())
        self._syncer = Syncer(key, self, sync_interval_s)
        self._turning = Turning(f"turn-{key}")
        self._parts = Parts(key, anchor, listener, self._turning)
        self._stores = Stores(place, new_writer, self._turning)
        self._rate = Rate(clock)
        self._write_mode = WriteMode(write)
        self._next_look_ns = self._last_monotonic_ns = 0
        self._missing = Missing(capture, ring, anchor)
        self._lost_runs = capture.lost_runs
        self._split_asked = ""
        self._may_split = self._limits.any
        self._needs_key = True
        """Only a frame that can be decoded by itself may come next."""
        self._retry_ns = 0
        self._hang_s = hang_s
        self._closed = threading.Event()
        self.trigger = trigger
        self.paused = False
        self.steps_left: int | None = None
        """Frames until the pause that ends a step; None while none is under way."""
        self.started_ns = anchor.epoch_ns
        self.first_frame_ns: int | None = None
        self.last_frame_ns: int | None = None
        self.stop_reason = ""
        """Why it was asked to stop; the first reason given counts."""
        self.outcome: Outcome | None = None
        """None until it has ended and its last store is closed."""

    # -- figures: any thread -----------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The recording's under way, or the last one's."""
        return self._parts.name

    @property
    def folder(self) -> str:
        """Where that lies."""
        return self._parts.folder

    @property
    def frame_count(self) -> int:
        """Frames in all its stores; falls when frames had to be given up after a failed sync."""
        return self._parts.frame_count

    @property
    def written_bytes(self) -> int:
        """Bytes that its stores have written."""
        return self._parts.written_bytes

    @property
    def dropped(self) -> int:
        """Frames that the camera skipped."""
        return self._missing.dropped

    @property
    def lost(self) -> int:
        """Frames that found the ring full, and frames given up."""
        return self._missing.lost + self._parts.given_up

    @property
    def lost_runs(self) -> tuple[LostFrames, ...]:
        """The latest runs of frames that found the ring full."""
        return self._missing.lost_runs

    @property
    def armed(self) -> bool:
        """Whether it waits for its trigger."""
        return self.trigger is not None and self._parts.now is None and self.outcome is None

    def measured_hz(self) -> float:
        """Frames per second over the last three seconds, by the frames' own times."""
        return self._rate.hz()

    @property
    def digest_of(self) -> Callable[[Pixels], int] | None:
        """What its stores keep of each frame beside the pixels, if it can be taken before."""
        return None if self._parts.now is None else self._parts.now.digest_of

    # -- its beginning -----------------------------------------------------------------------------

    def begin(self) -> None:
        """Make the first store, unless a trigger decides when; worker, blocks for as long as the
        disk takes. StoreError, StoreFull: nothing is left of it."""
        if self.trigger is None:
            self.begin_part(self._anchor.monotonic_ns)
        self._syncer.start()

    def begin_part(self, monotonic_ns: int) -> None:
        """Something begins at this time: write to a new store. Errors as of :meth:`begin`."""
        part = self._stores.make(self._anchor.time_ns(monotonic_ns), None)
        self._needs_key = True
        self._use(part)

    def ignore_before(self, monotonic_ns: int) -> None:
        """What is missing before a frame of this time is not this series'."""
        self._missing.take(monotonic_ns, None)

    # -- frames ------------------------------------------------------------------------------------

    def write(self, slot: Slot) -> None:
        """The frame path: besides the store's append about 1.5 µs per frame.

        StoreFull, StoreError, OSError: the frame is not written, and there is no folder left.
        """
        now_ns = slot.header.monotonic_ns
        if not slot.header.key:
            if self._needs_key:  # a packet that cannot be decoded without those before
                self._skip(slot)
                return
        elif self._needs_key:
            self._has_key()
        if self._may_split and slot.header.key:
            self._split_when_due(now_ns)
        part = self._parts.open()
        if self._lost_runs:
            self._missing.tell_next(part, self._last_monotonic_ns, now_ns)
        time_ns = self._offset_ns + now_ns
        try:
            part.append(slot, time_ns)
        except (FieldrecError, OSError) as error:
            self._write_again(slot, time_ns, error)
        self.last_frame_ns = time_ns
        self._last_monotonic_ns = now_ns
        if self.steps_left is not None:
            self._count_step()
        if now_ns >= self._next_look_ns or self._syncer.failure is not None:
            self._look(now_ns)

    def write_ahead(self, slot: Slot) -> None:
        """Begin with the frame after the next one; it still has to be written in its turn."""
        if self._parts.now is not None:
            self._parts.now.write_ahead(slot, self._offset_ns + slot.header.monotonic_ns)

    def leave_out(self, slot: Slot) -> None:
        """A frame that comes while it is paused."""
        header = slot.header
        self._last_monotonic_ns = header.monotonic_ns
        if self._parts.now is not None:
            self._parts.now.leave_out(header)
        if header.monotonic_ns >= self._next_look_ns or self._syncer.failure is not None:
            self._look(header.monotonic_ns)

    def _skip(self, slot: Slot) -> None:
        """Before the first key packet, of the recording or after a pause."""
        part = self._parts.open()
        if not part.empty:
            part.leave_out(slot.header)

    def _has_key(self) -> None:
        self._needs_key = False
        self._parts.open().resume(self._anchor)

    def _count_step(self) -> None:
        self.steps_left = (self.steps_left or 0) - 1
        if self.steps_left <= 0:
            self.pause()

    def quiet(self) -> None:
        """No frame has come for a while. Errors as of :meth:`write`."""
        self._settle_sync()

    def note(self, values: Mapping[str, Any]) -> None:
        """Keep extra data beside the last frame; between two events there is nowhere to."""
        if self._parts.now is not None:
            self._parts.now.note(values)

    def note_trigger(self, header: FrameHeader) -> None:
        """An event began with this frame: say so beside it."""
        said = {} if self.trigger is None else self.trigger.said()
        self.note({"triggered": True, "trigger_number": header.number,
                   "trigger_time_ns": self._anchor.time_ns(header.monotonic_ns), **said})

    # -- verbs -------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Leave frames out from now on. No effect when paused."""
        self.paused, self.steps_left = True, None
        if self._parts.now is not None:
            self._parts.now.pause()
        self._listener.changed()

    def resume(self) -> None:
        """Keep frames again, in the same store. StateError when not paused."""
        if not self.paused:
            raise StateError(f"camera {self._key} is not paused")
        self.paused, self.steps_left, self._needs_key = False, None, True
        if self._parts.now is not None:
            self._parts.now.resume(self._anchor)
        self._listener.changed()

    def step(self, frames: int) -> None:
        """Keep exactly so many frames, then be paused again. StateError when not paused."""
        if self.steps_left is not None:
            raise StateError(f"camera {self._key} still takes {self.steps_left} frames of a step")
        if self._parts.now is None:
            raise StateError(f"camera {self._key} waits for its trigger: there is nothing that "
                             "steps could go on with")
        self.resume()
        self.steps_left = frames

    def split(self) -> None:
        """Go on in a new store as soon as it is made. StateError when this one is empty."""
        part = self._parts.now
        if part is None or part.empty:
            raise StateError(f"camera {self._key} has recorded nothing that could be split")
        self._split_asked, self._may_split, self._retry_ns = "asked for", True, 0
        self._prepare(part, self._clock.monotonic_ns())

    # -- looking, a few times a second -------------------------------------------------------------

    def _look(self, now_ns: int) -> None:
        self._next_look_ns = now_ns + LOOK_NS
        frame_count = self.frame_count
        self._rate.note(now_ns, frame_count)
        part = self._parts.now
        if part is not None:
            part.write_past_cache(self._write_mode.look(
                self._ring.statistics().heat, frame_count, self._clock.monotonic_ns()))
            if self._limits.any and self._limits.near(part, now_ns):
                self._prepare(part, now_ns)
        self.first_frame_ns = self.first_frame_ns or self.last_frame_ns
        self._settle_sync()
        self._missing.take(now_ns, self._parts.now)
        self._check_clock(now_ns)
        self._listener.changed()

    def _settle_sync(self) -> None:
        """A failed sync: the chunk is not to be trusted, go on in the next one, or elsewhere."""
        failure = self._syncer.failure
        if failure is None:
            return
        if self._parts.now is not None:
            try:
                self._cure(failure)
            except (FieldrecError, OSError) as error:
                self._move_on(error)
        self._syncer.resume()

    def _cure(self, error: Exception) -> bool:
        """After this the frames that were written are in the store or counted; or the error.
        Whether the newest one is in the store."""
        if not isinstance(error, SyncFailed):
            raise error
        part = self._parts.open()
        kept = part.next_chunk()
        self._listener.event(f"{part.name}: {error}; going on in a new chunk", "error")
        return kept

    def _check_clock(self, now_ns: int) -> None:
        """Write both readings down when the wall clock stepped; frame times go on by the anchor."""
        step = self._clock_steps.look(now_ns)
        if step is not None:
            self.note(step.extra_data())
            self._listener.event(f"{self.name}: the wall clock moved by {step.moved_s:+.3f} s; "
                                 "frame times go on by the clock at start", "warning")

    # -- from part to part -------------------------------------------------------------------------

    def _split_when_due(self, now_ns: int) -> None:
        """Swap when a limit is reached and the next store is there; else go on in this one."""
        part = self._parts.open()
        why = self._split_asked or self._limits.reached(part, now_ns)
        if not why:
            return
        if not self._stores.preparing:
            self._prepare(part, now_ns)
        elif self._stores.ready:
            try:
                self._swap(self._stores.take())
            except (FieldrecError, OSError) as error:
                self._retry_ns = now_ns + RETRY_NS
                self._listener.event(f"{part.name} is not split yet: {error}", "warning")
                return
            self._split_asked, self._may_split = "", self._limits.any
            self._parts.end_behind(part, f"split ({why}); goes on in {self.name}")
            self._listener.event(f"{part.name} goes on in {self.name}", "info")

    def _prepare(self, part: Part, now_ns: int) -> None:
        """Have the next store made, under the time at which it is expected to begin."""
        if now_ns >= self._retry_ns:
            left_s = 0.0 if self._split_asked else self._limits.left_s(part, now_ns)
            epoch_ns = self._anchor.time_ns(now_ns + int(left_s * 1e9))
            self._stores.prepare(epoch_ns, part)

    def _swap(self, new: Part) -> None:
        """The frames to come go into `new`. What was missing until now belongs to the old one."""
        self._missing.take(self._last_monotonic_ns, self._parts.now)
        self._use(new)

    def _use(self, part: Part) -> None:
        self._write_mode.begin(part.path.parent, part.frame_bytes)
        part.write_past_cache(self._write_mode.past_cache)
        part.clock_offset_ns = self._clock_steps.offset_ns
        self._parts.go_on_in(part)

    # -- a disk that fails -------------------------------------------------------------------------

    def _write_again(self, slot: Slot, time_ns: int, error: Exception) -> None:
        """Bring a frame to the disk that could not be written, or was given up with its chunk: into
        this chunk's successor, or another folder. The error, or a later one, when there is none.

        A frame whose sync failed for good is written again elsewhere, though recovery may find it
        in the first store as well: twice is better than not at all.
        """
        if isinstance(error, SyncFailed):
            try:
                if not self._cure(error):
                    self._parts.open().append_again(slot, time_ns)
                return
            except (FieldrecError, OSError) as worse:
                error = worse
        while True:
            self._move_on(error)
            try:
                self._parts.open().append(slot, time_ns)
                return
            except (FieldrecError, OSError) as further:
                error = further

    def _move_on(self, error: Exception) -> None:
        """Go on in another folder, and leave what there is behind; the error when there is none."""
        old = self._parts.open()
        if not self._stores.there_is_another(old.path, error):
            raise error
        try:
            epoch_ns = self._anchor.time_ns(self._clock.monotonic_ns())
            new = self._stores.make(epoch_ns, old)
        except (FieldrecError, OSError) as none:
            raise error from none
        self._stores.forget()
        self._swap(new)
        self._parts.end_on_failed_disk(old, f"{error}; goes on in {new.path}",
                                       in_order=isinstance(error, StoreFull))
        self._listener.event(f"{old.path}: {error}; recording goes on in {new.path}", "error")

    # -- ends --------------------------------------------------------------------------------------

    def end_part(self, reason: str) -> None:
        """An event is over: close its store behind."""
        part = self._parts.open()
        self._missing.take(self._last_monotonic_ns, self._parts.now)
        self._stores.forget()
        self._split_asked, self._may_split = "", self._limits.any
        self._parts.leave()
        self._parts.end_behind(part, reason)

    def finish(self, outcome: Outcome, until_ns: float = math.inf) -> None:
        """End all of it; :attr:`outcome` is there, and the listener told, when it is closed.

        What was missing up to `until_ns` belongs to it.
        """
        self._missing.take(until_ns, self._parts.now)
        self._stores.forget()
        self._turning.do(partial(self._close, outcome))
        self._turning.end()

    def join(self) -> None:
        """Wait until it is closed, which needs :meth:`finish`. Any thread."""
        self._closed.wait()
        self._turning.join()

    def _close(self, outcome: Outcome) -> None:
        """In the turn thread: the last part."""
        self._syncer.stop()
        part = self._parts.now
        if part is not None:
            failure = self._parts.end(part, outcome.reason,
                                      in_order=outcome.cause is not Cause.STORE)
            if failure is not None:
                outcome = Outcome(Cause.STORE, f"{outcome.reason}; closing failed: {failure}",
                                  outcome.problem)
        self._parts.wait_for_failed_disks(self._hang_s)
        self.outcome = outcome
        self._closed.set()
        self._listener.series_ended()

    # -- the sync thread ---------------------------------------------------------------------------

    def sync(self) -> None:
        """Make all so far durable. One thread alone; errors as of StoreWriter.sync."""
        part = self._parts.now
        if part is None:
            return
        try:
            part.sync()
        except FieldrecError as error:
            if part is self._parts.now:
                raise
            log.warning("%s: %s; its closing deals with that", part.path, error)
