"""The store thread of one recording (`store-<camera>`): frames from the ring into the store.

It owns the recording from the first frame to the end: drains the ring until the capture has closed
it, deals with what the sync thread found, and then, whatever ended the recording, stops capture
and sync and closes the store in order (I1). The loop only looks at its counters and is told, at
most four times a second, that there is something new to see; frames never reach it.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from fieldrec.core import durable
from fieldrec.core.clock import Anchor, Clock
from fieldrec.core.errors import CameraEnded, CameraLost, FieldrecError, StoreFull, SyncFailed
from fieldrec.core.model import RecordingState
from fieldrec.core.states import RECORDING, step
from fieldrec.record.capture import Capture, Patience
from fieldrec.record.ring import Ring, RingStatistics
from fieldrec.record.syncer import Syncer
from fieldrec.record.write_mode import WriteMode
from fieldrec.store.writer import StoreWriter

log = logging.getLogger(__name__)

LOOK_NS = 250_000_000
"""How often the rate is noted and the loop told, in frame time."""
RATE_MARKS = 13
"""Marks that the measured rate spans: 3 s."""
CLOCK_CHECK_NS = 1_000_000_000
CLOCK_STEP_NS = 50_000_000
"""A wall clock that moved this far against the recording's anchor is written down."""


class Cause(enum.Enum):
    """What ended a recording."""

    STOPPED = "stopped"
    ENDED = "camera ended"
    CAMERA = "camera failed"
    FULL = "disk full"
    STORE = "store failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a recording ended."""

    cause: Cause
    reason: str
    """For people and for the store's metadata."""
    problem: str = ""
    """What is wrong with the camera; "" when nothing is."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Whom the store thread tells; each is safe to call from any thread and does not block."""

    changed: Callable[[], None]
    event: Callable[[str, str], None]
    """(text, severity)"""
    ended: Callable[[Storing], None]
    """The very last act of the thread."""


class Storing:
    """One recording under way. Made and started by the recorder's worker; read by the loop."""

    def __init__(self, key: str, *, writer: StoreWriter, ring: Ring, capture: Capture,
                 syncer: Syncer, anchor: Anchor, clock: Clock, listener: Listener,
                 patience: Patience) -> None:
        self._key = key
        self._writer = writer
        self._ring = ring
        self._syncer = syncer
        self._anchor = anchor
        self._clock = clock
        self._listener = listener
        self._patience = patience
        self._stop_reason = ""
        self._next_look_ns = 0
        self._next_clock_check_ns = 0
        self._known_step_ns = 0
        self._write_mode = WriteMode()
        self._marks: deque[tuple[int, int]] = deque(maxlen=RATE_MARKS)
        self.capture = capture
        self.path = writer.path
        self.started_ns = anchor.epoch_ns
        self.state = RecordingState.OPENING
        self.last_frame_ns: int | None = None
        self.outcome: Outcome | None = None
        """None until the recording has ended and its store is closed."""
        self._thread = threading.Thread(target=self._run, name=f"store-{key}")

    # -- called by the recorder --------------------------------------------------------------------

    def start(self) -> None:
        """Start the store, sync and capture threads, the consumer first."""
        self._thread.start()
        self._syncer.start()
        self.capture.start()

    def request_stop(self, reason: str) -> None:
        """Ask for an orderly end; the first reason given counts. Returns at once."""
        self._stop_reason = self._stop_reason or reason
        self.capture.request_stop()

    def join(self) -> None:
        """Block until the recording has ended, its store is closed and its threads are gone (but
        a capture thread that hangs in the camera's driver)."""
        self._thread.join()

    @property
    def written_bytes(self) -> int:
        """Bytes that the store has written."""
        return self._writer.written_bytes

    @property
    def frame_count(self) -> int:
        """Frames in the store; falls when frames had to be given up after a failed sync."""
        return self._writer.frame_count

    @property
    def lost(self) -> int:
        """Frames that found the ring full, and frames given up after a failed sync."""
        return self._ring.statistics().lost + self._writer.lost

    @property
    def empty(self) -> bool:
        """Whether not one frame ever came; such a store is removed at the end."""
        return self._writer.first_time_ns is None

    def ring_statistics(self) -> RingStatistics:
        """How full the ring is."""
        return self._ring.statistics()

    def measured_hz(self) -> float:
        """Frames per second over the last three seconds, by the frames' own times."""
        marks = list(self._marks)
        if len(marks) < 2:
            return 0.0
        (first_ns, first_count), (last_ns, last_count) = marks[0], marks[-1]
        silence_ns = self._clock.monotonic_ns() - last_ns
        until_ns = last_ns if silence_ns < 4 * LOOK_NS else last_ns + silence_ns
        return (last_count - first_count) * 1e9 / max(1, until_ns - first_ns)

    # -- the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        outcome = self._store_frames()
        self.outcome = self._close(outcome)
        self.capture.ready.set()
        self._listener.ended(self)

    def _store_frames(self) -> Outcome:
        """Drain the ring to its end; say what ended the recording."""
        try:
            self._drain()
        except StoreFull as error:
            return Outcome(Cause.FULL, f"disk full: {error}")
        except CameraLost as error:
            return Outcome(Cause.CAMERA, f"camera lost: {error}", str(error))
        except (FieldrecError, OSError) as error:
            return Outcome(Cause.STORE, f"store failed: {error}")
        except Exception as error:
            log.exception("%s: the store thread failed in a way it should not", self._key)
            return Outcome(Cause.STORE, f"store failed: {type(error).__name__}: {error}")
        error_of_camera = self.capture.error
        if error_of_camera is None:
            return Outcome(Cause.STOPPED, self._stop_reason or "stopped")
        if isinstance(error_of_camera, CameraEnded):
            return Outcome(Cause.ENDED, f"camera ended: {error_of_camera}")
        return Outcome(Cause.CAMERA, f"camera lost: {error_of_camera}", str(error_of_camera))

    def _drain(self) -> None:
        """The frame path: besides the store's append about 3 µs per frame."""
        ring, take_s, syncer = self._ring, self._patience.take_s, self._syncer
        append, offset_ns = self._writer.append, self._anchor.time_ns(0)
        quiet_s, turns = 0.0, 0
        while True:
            slot = ring.take(take_s)
            if slot is None:
                if ring.finished:
                    return
                quiet_s = quiet_s + take_s if turns == self.capture.turns else 0.0
                turns = self.capture.turns
                if quiet_s >= self._patience.hang_s:
                    raise CameraLost(f"the camera's driver did not answer for {quiet_s:.0f} s")
                self._settle_sync()
                continue
            quiet_s = 0.0
            header = slot.header
            time_ns = offset_ns + header.monotonic_ns
            try:
                append(slot.pixels, header.number, time_ns, header.device_time_ns)
            except SyncFailed as error:  # the frame is written; its chunk is not to be trusted
                self._next_chunk(error)
            ring.release()
            self.last_frame_ns = time_ns
            if header.monotonic_ns >= self._next_look_ns or syncer.failure is not None:
                self._look(header.monotonic_ns)

    def _look(self, monotonic_ns: int) -> None:
        """What is due a few times a second, at a frame's arrival."""
        self._next_look_ns = monotonic_ns + LOOK_NS
        if self.state is RecordingState.OPENING:
            self.state = step(RECORDING, self.state, RecordingState.RECORDING, str(self.path))
        self._marks.append((monotonic_ns, self.frame_count))
        self._writer.write_past_cache(self._write_mode.look(
            self._ring.statistics().heat, self.frame_count, self._clock.monotonic_ns()))
        self._settle_sync()
        self._write_lost_runs()
        if monotonic_ns >= self._next_clock_check_ns:
            self._next_clock_check_ns = monotonic_ns + CLOCK_CHECK_NS
            self._check_clock()
        self._listener.changed()

    def _settle_sync(self) -> None:
        """A failed sync: the chunk is not to be trusted, go on in the next one and say so."""
        failure = self._syncer.failure
        if failure is None:
            return
        if not isinstance(failure, SyncFailed):
            raise failure
        self._next_chunk(failure)
        self._syncer.resume()

    def _next_chunk(self, failure: SyncFailed) -> None:
        self._writer.next_chunk_after_sync_failure()
        self._listener.event(f"{self.path.name}: {failure}; going on in a new chunk", "error")

    def _write_lost_runs(self) -> None:
        runs = self.capture.lost_runs
        while runs:
            run = runs.popleft()
            self._writer.add_extra_data(
                lost_first_number=run.first_number, lost_last_number=run.last_number,
                lost_count=run.count,
                lost_first_time_ns=self._anchor.time_ns(run.first_monotonic_ns),
                lost_last_time_ns=self._anchor.time_ns(run.last_monotonic_ns))

    def _check_clock(self) -> None:
        """Write both readings down when the wall clock stepped; frame times go on by the anchor."""
        now = Anchor.take(self._clock)
        recording_ns = self._anchor.time_ns(now.monotonic_ns)
        step_ns = now.epoch_ns - recording_ns
        if abs(step_ns - self._known_step_ns) <= CLOCK_STEP_NS:
            return
        moved_s = (step_ns - self._known_step_ns) / 1e9
        self._known_step_ns = step_ns
        self._writer.add_extra_data(clock_step=True, clock_wall_ns=now.epoch_ns,
                                    clock_recording_ns=recording_ns)
        self._listener.event(f"{self.path.name}: the wall clock moved by {moved_s:+.3f} s; frame "
                             "times go on by the clock at start", "warning")

    # -- the end -----------------------------------------------------------------------------------

    def _close(self, outcome: Outcome) -> Outcome:
        """Stop capture and sync, then close the store, or remove it when it is empty."""
        self.capture.request_stop()
        if not self.capture.join(self._patience.hang_s):
            problem = "the camera's driver does not answer; unplug the camera"
            outcome = Outcome(Cause.CAMERA, outcome.reason, outcome.problem or problem)
        self._syncer.stop()
        if self.empty:
            return self._remove(outcome)
        if self.state is RecordingState.OPENING:
            self.state = step(RECORDING, self.state, RecordingState.RECORDING, str(self.path))
        if outcome.cause is Cause.STORE:
            return self._abandon(outcome)
        self.state = step(RECORDING, self.state, RecordingState.CLOSING, str(self.path))
        try:
            self._write_lost_runs()
            self._writer.close({"dropped": self.capture.dropped,
                                "lost": self._ring.statistics().lost,
                                "stop_reason": outcome.reason})
        except Exception as error:
            log.exception("%s: closing failed", self.path)
            return self._abandon(Outcome(Cause.STORE, f"{outcome.reason}; closing failed: {error}",
                                         outcome.problem))
        self.state = step(RECORDING, self.state, RecordingState.COMPLETE, str(self.path))
        return outcome

    def _abandon(self, outcome: Outcome) -> Outcome:
        """Leave the store as it is, lock file and all, for recover."""
        self._writer.abandon()
        self.state = step(RECORDING, self.state, RecordingState.INTERRUPTED, str(self.path))
        return outcome

    def _remove(self, outcome: Outcome) -> Outcome:
        """No frame was recorded: leave nothing half-made behind."""
        self._writer.abandon()
        self.state = step(RECORDING, self.state, RecordingState.FAILED, str(self.path))
        with contextlib.suppress(FieldrecError, OSError):
            durable.rmtree(self.path)
        return outcome
