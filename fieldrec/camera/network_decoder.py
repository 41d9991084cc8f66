"""Pictures of a network camera's stream into pixels; the capture thread. PyAV is imported when the
first decoder is made.

After damage, or when one that others are made from is missing, nothing is shown until the next key
picture: a decoder goes on with whatever it has, and the picture looks right and is not.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fieldrec.camera import Pixels
from fieldrec.camera.network_pictures import Picture
from fieldrec.core.errors import CameraError

if TYPE_CHECKING:
    from av import VideoFrame


class Decoder:
    """Decodes one stream from a key picture on."""

    def __init__(self, codec: str, extradata: bytes) -> None:
        """CameraError when FFmpeg here has no such decoder."""
        import av
        from av.video.reformatter import VideoReformatter

        self._av = av
        try:
            context = av.CodecContext.create(codec, "r")
        except (av.FFmpegError, ValueError) as error:
            raise CameraError(f"no decoder for {codec}; set the camera to H.264") from error
        if not isinstance(context, av.VideoCodecContext):
            raise CameraError(f"{codec} is no video; check the address")
        if extradata:
            context.extradata = extradata
        # FFmpeg's threads a frame can wait for the GIL that is held by whoever frees them.
        context.thread_count = 1
        context.options = {"err_detect": "explode"}
        self._context = context
        self._codec = codec
        self._waiting: deque[Picture] = deque()
        """What went in and has not come out."""
        self._device_ns: dict[int, int | None] = {}
        """The camera's time of each of them, by its number."""
        self._reorders = False
        self._last: int | None = None
        """Number of the last picture that went in and was whole."""
        self._reformatter = VideoReformatter()

    def decode(self, picture: Picture) -> list[tuple[VideoFrame, Picture]]:
        """What comes out when this picture goes in, each with the one it is, in the order of
        showing. Where that is not the order of sending, numbers and arrivals are shown's."""
        last, self._last = self._last, None
        if not picture.key and last != picture.number - 1:
            return []
        if last is None and picture.key:
            self._context.flush_buffers()
            self._forget()
        packet = self._av.Packet(picture.data)
        packet.pts = packet.dts = picture.number
        self._waiting.append(picture)
        self._device_ns[picture.number] = picture.device_time_ns
        self._reorders = self._reorders or picture.bidirectional
        try:
            frames = self._context.decode(packet)
        except self._av.FFmpegError:
            self._forget()
            return []
        self._last = picture.number
        return [(frame, known) for frame in frames
                if not frame.is_corrupt and (known := self._known(frame)) is not None]

    def _forget(self) -> None:
        self._waiting.clear()
        self._device_ns.clear()

    def _known(self, frame: VideoFrame) -> Picture | None:
        """Which of those that went in it is."""
        device_ns = self._device_ns.pop(frame.pts or 0, None)
        while self._waiting:
            picture = self._waiting.popleft()
            if self._reorders:
                return replace(picture, device_time_ns=device_ns)
            if picture.number == frame.pts:
                return picture
            self._device_ns.pop(picture.number, None)
        return None

    def put(self, frame: VideoFrame, into: Pixels) -> None:
        """The picture into a slot: its luma as it is coded, or BGR. CameraError when it has another
        size or kind than the slot."""
        height, width = into.shape[:2]
        if (frame.height, frame.width) != (height, width):
            raise CameraError(f"it sends pictures of {frame.width}x{frame.height} now, not of "
                              f"{width}x{height} any more; a new recording is needed")
        if into.ndim == 2 and _has_luma(frame):
            source = frame
        else:
            source = self._reformatter.reformat(
                frame, format="gray" if into.ndim == 2 else "bgr24", threads=1)
        plane: Any = source.planes[0]
        rows = np.frombuffer(plane, dtype=np.uint8)[:height * plane.line_size]
        np.copyto(into.reshape(height, -1), rows.reshape(height, -1)[:, :into[0].size])


def _has_luma(frame: VideoFrame) -> bool:
    """Whether the first plane is the brightness, a byte for each pixel."""
    kind = frame.format
    first = kind.components[0]
    return first.is_luma and first.bits == 8 and (kind.is_planar or len(kind.components) == 1)
