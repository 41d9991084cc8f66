"""Moving pictures and small stores for the tests of exports, the same at every run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fieldrec.camera.burnt_number import burn_number
from fieldrec.core.model import FrameSpec
from fieldrec.store.writer import StoreWriter

Pixels = NDArray[Any]
START_NS = 1_795_000_000_123_456_789
MONO = FrameSpec((120, 160), "uint8", "MONO8", 60.0)
RED_BGR = (60, 20, 240)
"""Colour of the disc. Not blue: Chromium without a GPU shows strong BT.709 blues too dark."""
BGR = FrameSpec((120, 160, 3), "uint8", "BGR8", 60.0)


def moving(count: int, spec: FrameSpec = MONO, *, numbered: bool = False) -> list[Pixels]:
    """A soft background with grain, over which a disc runs fast; numbers burnt in on demand."""
    random = np.random.default_rng(1)
    height, width = spec.shape[:2]
    noise = random.integers(0, 256, spec.shape).astype(np.uint8)
    soft = cv2.GaussianBlur(noise, (0, 0), 3).astype(np.float32)
    background = 60 + 130 * (soft - soft.min()) / np.ptp(soft)
    frames = []
    for number in range(count):
        grain = random.integers(-3, 4, spec.shape)
        frame = np.clip(background + grain, 0, 255).astype(np.uint8)
        centre = (11 * number % width, 7 * number % height)
        cv2.circle(frame, centre, 12, RED_BGR if len(spec.shape) == 3 else 250, -1)
        frame = frame if spec.dtype == "uint8" else frame.astype(np.uint16) << 8
        if numbered:
            burn_number(frame, number)
        frames.append(np.ascontiguousarray(frame))
    return frames


def uneven_times(count: int) -> NDArray[np.int64]:
    """Epoch nanoseconds about 60 times a second, with jitter, and a gap after every tenth."""
    random = np.random.default_rng(2)
    gaps = random.integers(15_000_000, 18_000_000, count)
    gaps[10::10] += 70_000_000
    gaps[:1] = 0
    return START_NS + np.cumsum(gaps).astype(np.int64)


def write_store(path: Path, frames: Sequence[Pixels], spec: FrameSpec = MONO,
                times_ns: NDArray[np.int64] | None = None) -> Path:
    """A complete store of these frames; their numbers are those of a camera that dropped two."""
    times_ns = uneven_times(len(frames)) if times_ns is None else times_ns
    writer = StoreWriter(
        path, spec, chunksize=25, timezone="Europe/Vienna", created_epoch_ns=START_NS,
        user_metadata={"observer": "Ada", "fieldrec": {
            "camera_serial": "cam-7", "pixel_format": spec.pixel_format,
            "nominal_hz": spec.nominal_hz}})
    for index, frame in enumerate(frames):
        writer.append(frame, index + (2 if index > 3 else 0), int(times_ns[index]), None)
    writer.close({"dropped": 2, "lost": 0})
    return path
