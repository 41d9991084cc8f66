"""The store thread of one run of a camera (`store-<camera>`): from the camera's start to its stop.

It takes every frame out of the ring and knows what is to become of it: written, left out while
paused, judged by a trigger, or held back in the ring, not copied, in case a recording begins
(pre-roll). What is recorded between a start and its stop is a series (series.py); a run without
pre-roll has one, and ends with it, a run with pre-roll goes on for the next. Verbs reach this
thread through the ring, between two certain frames. The loop only looks at counters and is told, at
most four times a second, that there is something new to see; frames never reach it.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from typing import Any, TypeVar

from fieldrec.core.clock import Clock
from fieldrec.core.errors import CameraEnded, CameraLost, FieldrecError, StateError
from fieldrec.record.capture import Capture, Patience
from fieldrec.record.listener import Listener
from fieldrec.record.outcome import Cause, Outcome, outcome_of_store
from fieldrec.record.ring import LEAST_SLOTS, Ring, RingStatistics, Slot
from fieldrec.record.series import Series

__all__ = ["Cause", "Listener", "Outcome", "Storing"]

log = logging.getLogger(__name__)
T = TypeVar("T")

HOLD_LOOK_NS = 1_000_000_000
"""How often the loop is told of the frames that are held back, in frame time."""


class Storing:
    """One run under way. Made and started by the recorder's worker; read by the loop."""

    def __init__(self, key: str, *, ring: Ring, capture: Capture, clock: Clock, listener: Listener,
                 patience: Patience, preroll_s: float = 0.0, most_held: int = 0,
                 stays: bool = False) -> None:
        """`preroll_s`, `most_held`: how much is held back, by time and in frames. `stays`: the
        camera runs on when a series has ended."""
        self._key = key
        self._ring = self.ring = ring
        self._listener = self.listener = listener
        self._clock = clock
        self._patience = patience
        self._preroll_ns = int(preroll_s * 1e9)
        self._most_held = max(0, min(most_held, ring.statistics().slots - LEAST_SLOTS))
        self._keep_from_ns: int | None = None
        self._held: deque[Slot] = deque()
        self._next_hold_look_ns = 0
        self._handle: Callable[[Slot], None] = self._hold
        self._trigger_failed = False
        self._turns = -1
        self._quiet_since_s = 0.0
        self._asked: set[Future[Any]] = set()
        self._asked_lock = threading.Lock()
        self._over = False
        self.stays = stays
        self.capture = capture
        self.series: Series | None = None
        """The one under way; it leaves when it is to be closed."""
        self.outcome: Outcome | None = None
        """Why the camera stopped running; None while it runs."""
        self._thread = threading.Thread(target=self._run, name=f"store-{key}")

    # -- called by the recorder --------------------------------------------------------------------

    def start(self) -> None:
        """Start the store and capture threads, the consumer first."""
        self._thread.start()
        self.capture.start()

    def keep_from(self, monotonic_ns: int | None) -> None:
        """A series is being made that shall have what was held back then, and what comes: release
        none of it. None: nobody will."""
        self._keep_from_ns = None if monotonic_ns is None else monotonic_ns - self._preroll_ns

    def begin(self, series: Series) -> Future[None]:
        """Record what is held back, and what comes, into `series`, which has begun."""
        return self.ask(lambda: self._take_on(series))

    def ask(self, call: Callable[[], T]) -> Future[T]:
        """Have the store thread call this between the frames that have come and those that will.

        What it returns or raises comes back; CameraLost when the run is over. A disk that hangs
        keeps it waiting.
        """
        answer: Future[T] = Future()
        with self._asked_lock:
            self._asked.add(answer)
        self._ring.send(lambda: self._answer(answer, call))
        if self._over:
            self._refuse_asked()
        return answer

    def request_stop(self, reason: str) -> None:
        """Ask for an orderly end of the series under way, and of the run unless it stays; the
        first reason given counts. Returns at once."""
        series = self.series
        if series is not None:
            series.stop_reason = series.stop_reason or reason
        if self.stays:
            at_ns = self._clock.monotonic_ns()
            self.ask(lambda: self._end_series(self._stopped(), at_ns))
        else:
            self.capture.request_stop()

    def end(self) -> None:
        """Ask for the end of the run, and of its series. Returns at once."""
        self.stays = False
        self.capture.request_stop()

    def join(self) -> None:
        """Block until the run has ended, its stores are closed and its threads are gone (but a
        capture thread that hangs in the camera's driver)."""
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def held_count(self) -> int:
        """Frames that are held back from before a start."""
        return self._ring.held

    def ring_statistics(self) -> RingStatistics:
        """How full the ring is."""
        return self._ring.statistics()

    # -- verbs: in the store thread, by ask --------------------------------------------------------

    def pause(self) -> None:
        """Leave frames out from now on. StateError when nothing is recorded."""
        self._under_way().pause()
        self._release_held()
        self._choose()

    def resume(self) -> None:
        """Keep frames again, in the same store. StateError unless paused."""
        self._under_way().resume()
        self._choose()

    def step(self, frames: int) -> None:
        """Keep exactly so many frames, then be paused again. StateError unless paused."""
        self._under_way().step(frames)
        self._choose()

    def split(self) -> None:
        """Go on in a new store as soon as there is one. StateError when nothing is recorded."""
        self._under_way().split()

    def note(self, values: Mapping[str, Any]) -> None:
        """Keep extra data, where something is being recorded."""
        if self.series is not None:
            self.series.note(values)

    def _under_way(self) -> Series:
        if self.series is None:
            raise StateError(f"camera {self._key} is not recording")
        return self.series

    # -- the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        self._close(self._store_frames())
        self.capture.ready.set()
        self._listener.ended()

    def _store_frames(self) -> Outcome:
        """Drain the ring to its end; say what ended the run."""
        while True:
            try:
                self._drain()
                return self._of_camera()
            except CameraLost as error:
                return Outcome(Cause.CAMERA, f"camera lost: {error}", str(error))
            except (FieldrecError, OSError) as error:
                outcome = outcome_of_store(error)
            except Exception as error:
                log.exception("%s: the store thread failed in a way it should not", self._key)
                outcome = outcome_of_store(error)
            if not self.stays or self.series is None:
                return outcome
            self._end_series(outcome, math.inf)

    def _of_camera(self) -> Outcome:
        error = self.capture.error
        if error is None:
            return self._stopped()
        if isinstance(error, CameraEnded):
            return Outcome(Cause.ENDED, f"camera ended: {error}")
        return Outcome(Cause.CAMERA, f"camera lost: {error}", str(error))

    def _stopped(self) -> Outcome:
        reason = "" if self.series is None else self.series.stop_reason
        return Outcome(Cause.STOPPED, reason or "stopped")

    def _drain(self) -> None:
        """The frame path. What is done with a frame releases it, now or later."""
        ring, take_s = self._ring, self._patience.take_s
        while True:
            slot = ring.take(take_s)
            if slot is not None:
                self._handle(slot)
            elif ring.finished:
                return
            else:
                self._nothing_came()

    def _nothing_came(self) -> None:
        now_s = time.monotonic()
        if self._turns != self.capture.turns:
            self._turns, self._quiet_since_s = self.capture.turns, now_s
        elif now_s - self._quiet_since_s >= self._patience.hang_s:
            raise CameraLost("the camera's driver did not answer for "
                             f"{now_s - self._quiet_since_s:.0f} s")
        if self.series is not None:
            self.series.quiet()

    def _choose(self) -> None:
        """What becomes of a frame from now on."""
        series = self.series
        self.capture.digest_of = None  # for frames that may be thrown away it would be wasted
        if series is None:
            self._handle = self._hold
        elif series.paused:
            self._handle = self._leave_out
        elif series.trigger is not None:
            self._handle = self._judge
        else:
            self._handle = self._write
            self.capture.digest_of = series.digest_of

    # -- what becomes of a frame -------------------------------------------------------------------

    def _write(self, slot: Slot) -> None:
        series = self._under_way()
        if self._ring.crowded:
            following = self._ring.peek()
            if following is not None:
                series.write_ahead(following)
        try:
            series.write(slot)
        finally:
            self._ring.release()
        if series.paused:  # a step is over
            self._choose()

    def _leave_out(self, slot: Slot) -> None:
        try:
            self._under_way().leave_out(slot)
        finally:
            self._ring.release()

    def _judge(self, slot: Slot) -> None:
        """Between events frames are held back; an event begins with those."""
        series = self._under_way()
        if not self._wanted(series, slot):
            if not series.armed:
                series.end_part("event over")
            self._hold(slot)
            return
        begins = series.armed
        if begins:
            self._begin_event(series, slot)
        self._write(slot)
        if begins:
            series.note_trigger(slot.header)

    def _wanted(self, series: Series, slot: Slot) -> bool:
        """A trigger that fails must not cost a frame: everything is kept from then on."""
        if series.trigger is None or self._trigger_failed:
            return True
        try:
            return series.trigger.wants(slot.pixels, slot.header.monotonic_ns)
        except Exception as error:
            log.exception("%s: the trigger failed", self._key)
            self._listener.event(f"camera {self._key}: its trigger failed ({error}); everything is "
                                 "recorded", "error")
            self._trigger_failed = True
            return True

    def _begin_event(self, series: Series, slot: Slot) -> None:
        now_ns = slot.header.monotonic_ns
        try:
            self._trim(now_ns)
            series.begin_part(now_ns)
            self._write_held(series, now_ns)
        except BaseException:
            self._held.append(slot)  # slots go back in their order: this is the newest
            self._ring.held = len(self._held)
            raise

    def _hold(self, slot: Slot) -> None:
        now_ns = slot.header.monotonic_ns
        self._held.append(slot)
        self._trim(now_ns)
        if now_ns >= self._next_hold_look_ns:
            self._next_hold_look_ns = now_ns + HOLD_LOOK_NS
            self._listener.changed()

    def _trim(self, now_ns: int) -> None:
        """Release what is too old to be part of a pre-roll, or too much."""
        held, keep_from_ns, most = self._held, self._keep_from_ns, self._most_held
        if keep_from_ns is None:
            keep_from_ns = now_ns - self._preroll_ns
        else:  # a recording is about to begin: only a full ring may cost a frame now
            most = len(held)
        while held and (len(held) > most or held[0].header.monotonic_ns < keep_from_ns):
            held.popleft()
            self._ring.release()
        self._ring.held = len(held)

    def _write_held(self, series: Series, now_ns: int) -> None:
        """Begin with what was held back, or with what comes `now`."""
        held, self._keep_from_ns = self._held, None
        count = len(held)
        series.ignore_before(held[0].header.monotonic_ns if held else now_ns)
        while held:
            slot = held.popleft()
            self._ring.held = len(held)
            try:
                series.write(slot)
            finally:
                self._ring.release()
        if count:
            series.note({"preroll_frames": count})

    def _release_held(self) -> None:
        while self._held:
            self._held.popleft()
            self._ring.release()
        self._ring.held = 0

    # -- series ------------------------------------------------------------------------------------

    def _take_on(self, series: Series) -> None:
        """It begins at once; writing what is held back is not what who asked waits for."""
        self.series = series
        if self._held:
            self._ring.send(lambda: self._begin_with_held(series))
        else:
            self._begin_with_held(series)

    def _begin_with_held(self, series: Series) -> None:
        if self.series is not series:  # it has been stopped meanwhile
            return
        self._trigger_failed = False
        if series.trigger is None:
            now_ns = self._clock.monotonic_ns()
            self._trim(now_ns)
            self._write_held(series, now_ns)
        self._keep_from_ns = None
        self._choose()

    def _end_series(self, outcome: Outcome, until_ns: float) -> None:
        """The frames to come are held back for the next one."""
        series, self.series = self.series, None
        self._keep_from_ns = None
        self._choose()
        if series is not None:
            series.finish(outcome, until_ns)

    def _answer(self, answer: Future[T], call: Callable[[], T]) -> None:
        with self._asked_lock:
            self._asked.discard(answer)
        if not answer.set_running_or_notify_cancel():
            return
        try:
            answer.set_result(call())
        except Exception as error:  # noqa: BLE001 - it belongs to who asked
            answer.set_exception(error)

    def _refuse_asked(self) -> None:
        with self._asked_lock:
            asked, self._asked = self._asked, set()
        for answer in asked:
            with contextlib.suppress(InvalidStateError):
                answer.set_exception(CameraLost(f"camera {self._key} has stopped running"))

    # -- the end -----------------------------------------------------------------------------------

    def _close(self, outcome: Outcome) -> None:
        """Stop the capture, then close what is open."""
        self.capture.request_stop()
        if not self.capture.join(self._patience.hang_s):
            problem = "the camera's driver does not answer; unplug the camera"
            outcome = Outcome(Cause.CAMERA, outcome.reason, outcome.problem or problem)
        self._over = True
        try:
            self._ring.call_rest()
        except (FieldrecError, OSError) as error:  # a series that began at the last moment
            outcome = outcome_of_store(error)
        self._refuse_asked()
        self._release_held()
        self.outcome = outcome
        series, self.series = self.series, None
        if series is not None:
            series.finish(outcome)
            series.join()
