"""A small recording as the recorder leaves it, written by the real writer."""

from __future__ import annotations

from pathlib import Path

from fieldrec.core.model import FrameSpec
from fieldrec.store.api.new_store import recording_metadata
from fieldrec.store.writer import StoreWriter
from tests.fakes.clips import picture

RECORDED_NS = 1_795_240_812_000_000_000
"""2026-11-21 06:00:12 UTC."""
SPEC = FrameSpec((120, 160, 3), "uint8", "BGR8", 25.0)


def small_recording(path: Path, frames: int = 12) -> Path:
    """25 frames a second from RECORDED_NS on, numbers burnt into BGR, chunks of five."""
    writer = StoreWriter(path, SPEC, chunksize=5, timezone="Europe/Berlin",
                         created_epoch_ns=RECORDED_NS, user_metadata=recording_metadata(
                             {"species": "tree frog"}, SPEC, "Europe/Berlin"))
    for number in range(frames):
        writer.append(picture(number, 120, 160), number, RECORDED_NS + number * 40_000_000, None)
    writer.close()
    return path
