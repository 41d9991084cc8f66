"""How the cameras of a session begin: together, or later one that was away. On the event loop.

Each gets its place (names and folders), its share of the memory for rings, and metadata that tell
which stores belong together. A camera that does not start stops no other (I9).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence

from fieldrec.config import RecordConfig
from fieldrec.core.clock import Clock
from fieldrec.core.errors import CameraError, FieldrecError, UsageError
from fieldrec.core.model import CameraState
from fieldrec.record.asked import Active, Asked, check_metadata
from fieldrec.record.folders import Folders
from fieldrec.record.naming import check_name
from fieldrec.record.places import CameraPlace
from fieldrec.record.recorder import Recorder
from fieldrec.record.ring_budget import late_share, ring_need, ring_shares, slot_bytes


class Starting:
    """Starts a box's recorders for its session."""

    def __init__(self, recorders: Mapping[str, Recorder], *, folders: Folders,
                 record: RecordConfig, timezone: str, clock: Clock,
                 on_event: Callable[[str, str], None], on_fault: Callable[[str], None]) -> None:
        """`on_fault` hears of a camera that did not start, and why was said."""
        self._recorders = recorders
        self._folders = folders
        self._record = record
        self._timezone = timezone
        self._clock = clock
        self._event = on_event
        self._fault = on_fault

    def plan(self, asked: Asked, chosen: Sequence[str]) -> Active:
        """A session that has not begun yet. UsageError."""
        base = self._record.name if asked.name is None else check_name(asked.name)
        check_metadata(asked.metadata or {}, UsageError, "metadata")
        return Active(asked=asked, base=base, metadata=dict(asked.metadata or {}),
                      with_serial=len(chosen) > 1, since_ns=self._clock.epoch_ns(),
                      wanted=set(chosen))

    def ready(self, active: Active) -> list[Recorder]:
        """Those that can begin now; CameraError when there is none."""
        chosen = [self._recorders[key] for key in self._recorders if key in active.wanted]
        ready = [recorder for recorder in chosen if recorder.state is CameraState.READY]
        if not ready:
            raise CameraError("no camera is ready: " + "; ".join(
                f"{r.key} is {r.state.value}" + (f" ({r.problem})" if r.problem else "")
                for r in chosen))
        return ready

    async def together(self, active: Active, ready: Sequence[Recorder]) -> list[FieldrecError]:
        """Start all at once; the failures, each already said and to be mended."""
        barrier = threading.Barrier(len(ready))
        shares = ring_shares(self._ring_needs(active), self._record.ring_max_bytes)
        active.running = {recorder.key for recorder in ready}
        active.together = set(active.running)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one(active, recorder, shares[recorder.key], barrier))
                     for recorder in ready]
        return [failure for task in tasks if (failure := task.result()) is not None]

    async def late(self, active: Active, recorder: Recorder) -> FieldrecError | None:
        """Start one that joins; the failure, already said and to be mended."""
        share = late_share(recorder.key, self._ring_needs(active), active.rings,
                           self._record.ring_max_bytes)
        return await self._one(active, recorder, share, None)

    async def _one(self, active: Active, recorder: Recorder, ring_bytes: int,
                   barrier: threading.Barrier | None) -> FieldrecError | None:
        key = recorder.key
        place = active.places.setdefault(key, CameraPlace(
            self._folders, active.base, self._timezone,
            recorder.serial if active.with_serial else None, active.since_ns))
        metadata = {**self._record.metadata, **recorder.metadata, **active.metadata,
                    "fieldrec": {"session_id": active.session_id}}
        active.running.add(key)
        active.rings[key] = ring_bytes
        spec = recorder.status().spec
        spare_bytes = 0 if spec is None else slot_bytes(spec)
        try:
            await recorder.start(place, metadata, barrier, ring_max_bytes=ring_bytes - spare_bytes,
                                 record=active.asked.over(self._record))
        except (FieldrecError, OSError) as error:
            if barrier is not None:
                barrier.abort()
            active.forget(key)
            failure = error if isinstance(error, FieldrecError) else CameraError(str(error))
            self._event(f"camera {key} does not record: {failure}", "error")
            self._fault(key)
            return failure
        return None

    def _ring_needs(self, active: Active) -> dict[str, tuple[int, int]]:
        """Of every wanted camera that is known, also while it is away: its share waits for it."""
        record = active.asked.over(self._record)
        specs = {key: recorder.status().spec for key, recorder in self._recorders.items()
                 if key in active.wanted}
        return {key: ring_need(spec, record.ring_s, record.preroll_s)
                for key, spec in specs.items() if spec is not None}
