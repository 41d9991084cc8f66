"""From raw frames to the pictures of a movie, by rules that the sidecar states.

Runs in the export process. Lossy presets get YCbCr of limited range, tagged with its matrix
(pictures_lossy.py); lossless ones get every bit as it was (pictures_exact.py). What verification
expects of a raw frame is computed by other means (looks.py), so that a wrong matrix or range
cannot agree with itself.
"""

from __future__ import annotations

from typing import Any, Protocol

import av
import numpy as np
from numpy.typing import NDArray

from fieldrec.core.errors import JobRefused
from fieldrec.core.model import FrameSpec
from fieldrec.export.colours import Colours as Colours
from fieldrec.export.presets import Preset

Pixels = NDArray[Any]


class Pictures(Protocol):
    """The rules for the frames of one camera in movies of one preset."""

    spec: FrameSpec
    """Of the raw frames."""
    width: int
    """Of the pictures, padding included."""
    height: int
    pixel_format: str
    """libav's name of what :meth:`convert` gives."""
    colours: Colours
    is_exact: bool
    """Whether the raw frame can be had back from its picture, bit for bit."""

    def rules(self) -> dict[str, str]:
        """What was done to the pixels, for the sidecar, in words."""
        ...

    def convert(self, pixels: Pixels) -> av.VideoFrame:
        """The picture of one raw frame; a copy, `pixels` may be reused. A millisecond or a few."""
        ...


def pictures_for(spec: FrameSpec, preset: Preset) -> Pictures:
    """The rules for a camera's frames in a movie of this preset. JobRefused for what it cannot."""
    from fieldrec.export.pictures_exact import ExactPictures
    from fieldrec.export.pictures_lossy import LossyPictures

    if not preset.lossless:
        return LossyPictures(spec, preset.pixel_format)
    if preset.pixel_format != "native":
        raise JobRefused(f"{preset.name} is lossless and its pixel_format {preset.pixel_format}, "
                         "which would lose something: say native")
    return ExactPictures(spec)


def plane(picture: av.VideoFrame, number: int) -> Pixels:
    """One plane of a picture as an array over its memory, without the row padding: (h, w) of
    uint8, of uint16 where there are more bits, or (h, w, 4) of packed colours."""
    memory, component = picture.planes[number], picture.format.components[number]
    rows = np.frombuffer(memoryview(memory), np.uint8).reshape(-1, memory.line_size)
    if picture.format.name == "bgr0":
        return rows[:, : 4 * memory.width].reshape(memory.height, memory.width, 4)
    if component.bits == 8:
        return rows[: memory.height, : memory.width]
    return rows[: memory.height, : 2 * memory.width].view(np.uint16)
