"""What a camera's runs and series are made with. Called by the recorder's worker; blocks for the
ring's memory and, for stores, for the disk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldrec.camera import Camera
from fieldrec.config import RecordConfig, StoreConfig
from fieldrec.core.clock import Anchor, Clock
from fieldrec.core.model import ClockQuality, FrameSpec
from fieldrec.record.capture import Capture, Patience
from fieldrec.record.listener import Listener
from fieldrec.record.place import Place
from fieldrec.record.ring import Ring, preroll_frames, slots_for
from fieldrec.record.series import Series
from fieldrec.record.storing import Storing
from fieldrec.record.trigger import NewTrigger, trigger_of
from fieldrec.store.api.new_store import recording_metadata
from fieldrec.store.video.packet_form import packet_form
from fieldrec.store.writer import StoreWriter


@dataclass(frozen=True, slots=True)
class Making:
    """Of one camera."""

    key: str
    serial: str
    camera: Camera
    store: StoreConfig
    timezone: str
    clock: Clock
    patience: Patience
    quality: Callable[[], ClockQuality]
    trigger: NewTrigger | None = None
    """Instead of the configured one."""

    def run(self, spec: FrameSpec, record: RecordConfig, listener: Listener, *,
            ring_max_bytes: int, stays: bool, barrier: threading.Barrier | None) -> Storing:
        """A run that has not started. StoreError: no memory for its ring."""
        ring = Ring(spec, slots_for(spec, record.ring_s, ring_max_bytes, record.preroll_s))
        capture = Capture(self.key, self.camera, ring, nominal_hz=spec.nominal_hz,
                          patience=self.patience, barrier=barrier)
        return Storing(self.key, ring=ring, capture=capture, clock=self.clock, listener=listener,
                       patience=self.patience, preroll_s=record.preroll_s, stays=stays,
                       most_held=preroll_frames(spec, record.preroll_s))

    def series(self, run: Storing, spec: Callable[[], FrameSpec], record: RecordConfig,
               place: Place, user_metadata: Mapping[str, Any]) -> Series:
        """A series that has not begun. CameraError: these frames cannot be judged by the trigger.

        `spec`: what frames look like now; it may be asked by several threads."""
        new_trigger = trigger_of(record)
        if new_trigger is not None:
            new_trigger = self.trigger or new_trigger

        def new_writer(path: Path, epoch_ns: int, said: Mapping[str, Any]) -> StoreWriter:
            return self._writer(path, epoch_ns, spec(), {**user_metadata, "fieldrec": {
                **_mapping(user_metadata.get("fieldrec")), **said}})

        return Series(self.key, place=place, new_writer=new_writer, capture=run.capture,
                      ring=run.ring, anchor=Anchor.take(self.clock), clock=self.clock,
                      listener=run.listener, sync_interval_s=self.store.durability_s / 2,
                      write=self.store.write, split=record.split_after,
                      hang_s=self.patience.hang_s,
                      trigger=None if new_trigger is None else new_trigger(spec()))

    def _writer(self, path: Path, epoch_ns: int, spec: FrameSpec, user_metadata: dict[str, Any]
                ) -> StoreWriter:
        ours = {**user_metadata["fieldrec"], "camera_serial": self.serial,
                "clock_quality": self.quality().value, "recording_name": path.name}
        metadata = recording_metadata({**user_metadata, "fieldrec": ours}, spec, self.timezone)
        return StoreWriter(path, spec, chunksize=self.store.chunksize, user_metadata=metadata,
                           timezone=self.timezone, created_epoch_ns=epoch_ns,
                           form=packet_form(spec.pixel_format) or "npy")


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
