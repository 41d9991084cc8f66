"""One store of a series, and all that is to be said in it: what is missing, and why.

Whoever writes it calls it: the worker or the turn thread (`turn-<camera>`) makes it, the store
thread fills it, the turn thread closes it; never two at once. Keeps the recording's state machine,
and with it I1: closed in order, or INTERRUPTED with its lock, or removed when no frame came.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fieldrec.camera import Pixels
from fieldrec.core import durable
from fieldrec.core.clock import Anchor
from fieldrec.core.errors import FieldrecError
from fieldrec.core.model import FrameHeader, LostFrames, RecordingState
from fieldrec.core.states import RECORDING, step
from fieldrec.record.capture import Gap, LostRun
from fieldrec.record.ring import Slot
from fieldrec.store.missing import missing_word
from fieldrec.store.video.packet_form import packet_form
from fieldrec.store.writer import StoreWriter

log = logging.getLogger(__name__)

NewWriter = Callable[[Path, int, Mapping[str, Any]], StoreWriter]
"""(path, epoch of its creation, what fieldrec says of it): makes a store's writer."""

MOST_RUNS = 1000
"""Runs of lost frames that the metadata name; of gaps, that the extra data do."""


class Part:
    """A store from its making to its end."""

    def __init__(self, writer: StoreWriter, number: int) -> None:
        self._writer = writer
        self._runs: list[list[int]] = []
        self._more_runs = 0
        self._gaps = 0
        self._left_out: tuple[FrameHeader, FrameHeader, int] | None = None
        """First and last frame of the pause under way, and how many."""
        self._undecodable = 0
        self._rescued = 0
        self._packets = packet_form(writer.spec.pixel_format) is not None
        self.number = number
        """In its series, or in its event, from 1."""
        self.path = writer.path
        self.uuid = writer.uuid
        self.frame_bytes = writer.spec.frame_bytes
        self.state = RecordingState.OPENING
        self.first_monotonic_ns: int | None = None
        self.clock_offset_ns = 0
        """Wall clock minus frame times when it began, known steps alone."""
        self.dropped = 0
        self.paused_frames = 0
        self._lost = 0

    @property
    def name(self) -> str:
        """The recording's name."""
        return self.path.name

    @property
    def empty(self) -> bool:
        """Whether not one frame ever came."""
        return self._writer.first_time_ns is None

    @property
    def frame_count(self) -> int:
        """Frames in the store; falls when frames had to be given up after a failed sync."""
        return self._writer.frame_count

    @property
    def written_bytes(self) -> int:
        """Bytes that the store has written."""
        return self._writer.written_bytes

    @property
    def given_up(self) -> int:
        """Frames that arrived and are not to be had: given up after a failed sync, or packets that
        cannot be decoded for want of others."""
        return self._writer.lost + self._undecodable - self._rescued

    @property
    def digest_of(self) -> Callable[[Pixels], int] | None:
        """As StoreWriter.digest_of."""
        return self._writer.digest_of

    # -- while it is written -----------------------------------------------------------------------

    def append(self, slot: Slot, time_ns: int) -> None:
        """Write one frame; errors as of StoreWriter.append. Besides it about 1 µs."""
        header = slot.header
        if self._packets:
            self._append_packet(slot, time_ns)
        else:
            self._writer.append(slot.pixels, header.number, time_ns, header.device_time_ns,
                                digest=slot.digest)
        if self.first_monotonic_ns is None:
            self.first_monotonic_ns = header.monotonic_ns
            self._step(RecordingState.RECORDING)

    def write_ahead(self, slot: Slot, time_ns: int) -> None:
        """As StoreWriter.write_ahead."""
        if not self._packets:
            self._writer.write_ahead(slot.pixels, slot.header.number, time_ns)

    def _append_packet(self, slot: Slot, time_ns: int) -> None:
        header = slot.header
        packet = slot.pixels.reshape(-1).data.cast("B")[:header.packet_bytes]
        stored = self._writer.append_packet(packet, header.key, header.number, time_ns,
                                            header.device_time_ns)
        self._undecodable += not stored

    def next_chunk(self) -> bool:
        """Go on in a new chunk: the open one's sync failed. Whether the newest frame was kept.
        StoreError: it cannot be cured."""
        return self._writer.next_chunk_after_sync_failure()

    def append_again(self, slot: Slot, time_ns: int) -> None:
        """The newest frame, which was given up with its chunk and is still in its slot; as
        :meth:`append`. It does not count as given up any more, wherever it gets to."""
        self._rescued += 1
        self.append(slot, time_ns)

    def sync(self) -> None:
        """Make all so far durable. Sync thread; errors as of StoreWriter.sync."""
        self._writer.sync()

    def write_past_cache(self, past_cache: bool) -> None:
        """As StoreWriter.write_past_cache."""
        self._writer.write_past_cache(past_cache)

    def note(self, values: Mapping[str, Any]) -> None:
        """Keep extra data beside the last frame."""
        self._writer.add_extra_data(**values)

    def note_lost(self, run: LostRun, anchor: Anchor) -> LostFrames:
        """A run of lost frames lies before the last frame, or at the end; the run in epoch time."""
        lost = LostFrames(run.first_number, run.last_number, run.count,
                          anchor.time_ns(run.first_monotonic_ns),
                          anchor.time_ns(run.last_monotonic_ns))
        self._lost += lost.count
        if len(self._runs) < MOST_RUNS:
            self._runs.append([lost.first_number, lost.last_number, lost.count,
                               lost.first_time_ns, lost.last_time_ns])
        else:
            self._more_runs += 1
        self.note({"lost_first_number": lost.first_number, "lost_last_number": lost.last_number,
                   "lost_count": lost.count, "lost_first_time_ns": lost.first_time_ns,
                   "lost_last_time_ns": lost.last_time_ns})
        return lost

    def lost_before_next(self, count: int) -> None:
        """So many frames were lost before the one that comes next: its record says so too."""
        self._writer.missing_next |= missing_word(count)

    def note_gap(self, gap: Gap, anchor: Anchor) -> None:
        """The camera dropped frames before the last frame."""
        self.dropped += gap.count
        self._gaps += 1
        if self._gaps <= MOST_RUNS:
            self.note({"dropped_first_number": gap.first_number,
                       "dropped_last_number": gap.last_number, "dropped_count": gap.count,
                       "dropped_time_ns": anchor.time_ns(gap.monotonic_ns)})

    def pause(self) -> None:
        """Frames are left out from now on."""
        if self.state is RecordingState.RECORDING:
            self._step(RecordingState.PAUSED)

    def leave_out(self, header: FrameHeader) -> None:
        """This frame is left out on purpose."""
        first, count = (header, 0) if self._left_out is None else (
            self._left_out[0], self._left_out[2])
        self._left_out = first, header, count + 1
        self.paused_frames += 1

    def resume(self, anchor: Anchor) -> None:
        """Frames are kept again; what was left out is marked beside the frame before it."""
        if self.state is RecordingState.PAUSED:
            self._step(RecordingState.RECORDING)
        if self._left_out is None:
            return
        (first, last, count), self._left_out = self._left_out, None
        self._writer.missing_next = missing_word(0, left_out=True)
        self.note({"paused": True, "paused_first_number": first.number,
                   "paused_last_number": last.number, "paused_count": count,
                   "paused_first_time_ns": anchor.time_ns(first.monotonic_ns),
                   "paused_last_time_ns": anchor.time_ns(last.monotonic_ns)})

    # -- its end -----------------------------------------------------------------------------------

    def close(self, reason: str, anchor: Anchor) -> None:
        """Close the store in order, or remove it when no frame came. StoreError, OSError: it is
        INTERRUPTED."""
        if self.empty:
            self.remove()
            return
        try:
            self.resume(anchor)
            self._step(RecordingState.CLOSING)
            self._writer.close(self._closing_metadata(reason))
        except BaseException:
            self.abandon()
            raise
        self._step(RecordingState.COMPLETE)

    def _closing_metadata(self, reason: str) -> dict[str, Any]:
        lost = self._lost + self._undecodable - self._rescued
        told: dict[str, Any] = {"dropped": self.dropped, "lost": lost, "stop_reason": reason}
        if self._runs:
            told["lost_runs"] = self._runs
        if self._more_runs:
            told["more_lost_runs"] = self._more_runs
        if self.clock_offset_ns:
            told["clock_offset_ns"] = self.clock_offset_ns
        if self.paused_frames:
            told["paused_frames"] = self.paused_frames
        return told

    def abandon(self) -> None:
        """Leave the store as it is, lock file and all, for recover."""
        self._writer.abandon()
        self._step(RecordingState.INTERRUPTED)

    def remove(self) -> None:
        """No frame was recorded: leave nothing half-made behind, as far as the disk lets us."""
        self._writer.abandon()
        self._step(RecordingState.FAILED)
        with contextlib.suppress(FieldrecError, OSError):
            durable.rmtree(self.path)

    def _step(self, new: RecordingState) -> None:
        self.state = step(RECORDING, self.state, new, str(self.path))
