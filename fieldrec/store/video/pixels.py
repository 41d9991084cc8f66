"""Decoded pictures as the arrays that OpenCV's VideoCapture would give.

OpenCV has FFmpeg's swscale convert to BGR with bicubic chroma and no other flags; imgstore then
makes grey of BGR where a store is not colour. The same steps with the same flags give the same
bytes. One thread. Imports PyAV and OpenCV.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from av import VideoFrame
from av.error import FFmpegError
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, -180: cv2.ROTATE_180,
          -90: cv2.ROTATE_90_CLOCKWISE, 270: cv2.ROTATE_90_CLOCKWISE}
_TV_RANGE = 1


class PixelConverter:
    """Keeps FFmpeg's converter for pictures of one size and format."""

    def __init__(self, colour: bool) -> None:
        """`colour`: (h, w, 3) BGR; else (h, w) grey."""
        self._colour = colour
        self._reformatter = VideoReformatter()
        self._options: dict[str, Any] = {"threads": 1}

    def pixels(self, frame: VideoFrame, out: NDArray[Any] | None) -> NDArray[Any]:
        """The picture in `out`, or in an array of its own; one copy. ValueError when it has another
        shape than `out`, or a format that cannot be converted."""
        if not self._colour and frame.format.name == "gray" and frame.color_range != _TV_RANGE:
            return _copied(_turned(_view(frame, 1), frame), out)
        picture = _turned(_view(self._bgr(frame), 3), frame)
        if self._colour:
            return _copied(picture, out)
        into = None if out is None else _shaped(out, picture.shape[:2])
        if into is not None and into.dtype != np.uint8:
            return _copied(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)), out)
        grey: NDArray[Any] = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY, into)
        return grey if out is None else out

    def _bgr(self, frame: VideoFrame) -> VideoFrame:
        try:
            return self._reformatter.reformat(frame, format="bgr24",
                                              interpolation=Interpolation.BICUBIC, **self._options)
        except TypeError:  # an older PyAV, which has no threads here
            self._options = {}
            return self._bgr(frame)
        except (FFmpegError, ValueError) as error:
            raise ValueError(f"pictures of format {frame.format.name} cannot be converted "
                             f"({error})") from error


def _view(frame: VideoFrame, channels: int) -> NDArray[Any]:
    """The first plane without the padding of its rows."""
    plane: Any = frame.planes[0]
    rows: NDArray[Any] = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:frame.height]
    packed = rows[:, :frame.width * channels]
    return packed if channels == 1 else packed.reshape(frame.height, frame.width, channels)


def _turned(picture: NDArray[Any], frame: VideoFrame) -> NDArray[Any]:
    """The picture upright: OpenCV obeys the display matrix."""
    turn = _TURNS.get(int(getattr(frame, "rotation", 0)))
    return picture if turn is None else cv2.rotate(picture, turn)


def _copied(picture: NDArray[Any], out: NDArray[Any] | None) -> NDArray[Any]:
    if out is None:
        return picture.copy()
    np.copyto(_shaped(out, picture.shape), picture)
    return out


def _shaped(out: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """`out` without a last axis of one. ValueError when it has another shape."""
    into = out.reshape(out.shape[:2]) if out.ndim == 3 and out.shape[2] == 1 else out
    if into.shape != shape:
        raise ValueError(f"the picture has the shape {list(shape)}, not {list(into.shape)}")
    return into
