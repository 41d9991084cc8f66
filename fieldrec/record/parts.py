"""The parts of one series: the one that is written, the sums of those before, and their ends.

The store thread goes from part to part; `turn-<camera>` closes what it leaves behind, so that no
frame waits for that. A part whose closing fails is left INTERRUPTED and said; the recording goes
on. What lies on a disk that has failed is ended by `left-<camera>`: should that disk hang, nothing
else does. The sums may be read by any thread.
"""

from __future__ import annotations

import logging
from functools import partial

from fieldrec.core.clock import Anchor
from fieldrec.core.errors import StateError
from fieldrec.record.listener import Listener
from fieldrec.record.part import Part
from fieldrec.record.turning import Turning

log = logging.getLogger(__name__)


class Parts:
    """One after the other."""

    def __init__(self, key: str, anchor: Anchor, listener: Listener, turning: Turning) -> None:
        self._anchor = anchor
        self._listener = listener
        self._turning = turning
        self._leaving = Turning(f"left-{key}", may_hang=True)
        self._before = 0, 0, 0
        """Frames, bytes and given-up frames of the parts before."""
        self._corrected = 0
        """Frames that those had to give up while they were closed."""
        self.now: Part | None = None
        """The one that is written; None before the first and between two events."""
        self.name = ""
        """Of the one that is written, or of the last."""
        self.folder = ""

    # -- sums: any thread --------------------------------------------------------------------------

    @property
    def frame_count(self) -> int:
        """Frames in all stores."""
        now = self.now
        return self._before[0] - self._corrected + (0 if now is None else now.frame_count)

    @property
    def written_bytes(self) -> int:
        """Bytes written to all stores."""
        now = self.now
        return self._before[1] + (0 if now is None else now.written_bytes)

    @property
    def given_up(self) -> int:
        """Frames that were there and are in no store."""
        now = self.now
        return self._before[2] + self._corrected + (0 if now is None else now.given_up)

    # -- the store thread --------------------------------------------------------------------------

    def open(self) -> Part:
        """The one that is written. StateError when there is none."""
        if self.now is None:
            raise StateError("nothing is being recorded")
        return self.now

    def go_on_in(self, part: Part) -> None:
        """The frames to come go into this one; the one before is left as it is."""
        self.leave()
        self.name, self.folder = part.name, str(part.path.parent)
        self.now = part

    def leave(self) -> None:
        """No frame goes anywhere for now."""
        part, self.now = self.now, None
        if part is not None:
            frames, written, given_up = self._before
            self._before = (frames + part.frame_count, written + part.written_bytes,
                            given_up + part.given_up)

    def end_behind(self, part: Part, reason: str) -> None:
        """Have a part that was left closed."""
        self._turning.do(partial(self._end_behind, part, reason, in_order=True))

    def end_on_failed_disk(self, part: Part, reason: str, *, in_order: bool) -> None:
        """Have a part that was left closed, or else left for recovery, however long that takes."""
        self._leaving.do(partial(self._end_behind, part, reason, in_order=in_order))

    # -- the turn thread, and what deals with failed disks -----------------------------------------

    def wait_for_failed_disks(self, timeout_s: float) -> None:
        """Wait for what lies on them; not for ever. Nothing is left there after this."""
        self._leaving.end()
        if not self._leaving.join(timeout_s):
            self._listener.event("a disk that has failed does not answer: what was recorded there "
                                 "is left for recovery", "error")

    def _end_behind(self, part: Part, reason: str, *, in_order: bool) -> None:
        before = part.frame_count
        failure = self.end(part, reason, in_order=in_order)
        self._corrected += before - part.frame_count
        if failure is not None:
            self._listener.event(f"{part.path}: closing failed: {failure}; the store is left for "
                                 "recovery", "error")

    def end(self, part: Part, reason: str, *, in_order: bool) -> Exception | None:
        """Close a part, or leave it INTERRUPTED; what went wrong."""
        failure: Exception | None = None
        try:
            if in_order or part.empty:
                part.close(reason, self._anchor)
            else:
                part.abandon()
        except Exception as error:
            log.exception("%s: closing failed", part.path)
            failure = error
        if part.frame_count:
            self._listener.closed(part.name, part.frame_count)
        return failure
