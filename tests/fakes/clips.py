"""Small video files made on the spot, with the frame number burnt in."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from fieldrec.camera.burnt_number import burn_number


def write_clip(path: Path, *, frames: int = 10, hz: int = 25, width: int = 160, height: int = 120,
               times_ms: Sequence[int] | None = None, codec: str = "libx264", crf: int = 18
               ) -> Path:
    """Write `frames` numbered frames; at `times_ms` if given (variable rate), else at `hz`."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=hz)
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        if codec == "libx264":
            stream.options = {"crf": str(crf), "preset": "ultrafast", "bf": "0"}
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number, height, width), format="bgr24")
            frame.pts = number * 1000 // hz if times_ms is None else times_ms[number]
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def picture(number: int, height: int, width: int) -> NDArray[np.uint8]:
    """A BGR gradient that moves with `number`, which is burnt in."""
    ramp = (np.arange(width) + np.arange(height)[:, np.newaxis] + 3 * number) % 256
    pixels = np.stack([ramp, 255 - ramp, (ramp + 85) % 256], axis=-1).astype(np.uint8)
    burn_number(pixels, number)
    return pixels


def write_sound(path: Path) -> Path:
    """A media file with sound alone."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("pcm_s16le", rate=8000)
        samples = np.zeros((1, 1600), dtype=np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
