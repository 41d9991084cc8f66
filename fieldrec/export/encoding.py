"""Pictures into a movie of a preset's codec, under an unfinished name. Blocking; in the export
process, or in a command of its own.

The file is written through core/durable, so a full disk is a StoreFull and the crash tests see
every write. Room for the movie's index is reserved at its front and filled in at the end: the file
can be streamed, and is still written only once ("faststart" would write it twice).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.packet import Packet
from av.video.stream import VideoStream

from fieldrec.core import durable
from fieldrec.core.errors import EncoderFailed
from fieldrec.export.containers import MP4, Container
from fieldrec.export.opening import open_stream
from fieldrec.export.pictures import Colours
from fieldrec.export.presets import Preset
from fieldrec.export.stopped import ExportStopped
from fieldrec.export.timing import Ticks, durations, mean_hz

_HEAD_BYTES = 4_096
_INDEX_BYTES = 8_192
_INDEX_BYTES_PER_FRAME = 48
"""Upper bound: time 8, reordering 8, size 4, key frame 4, chunk 12 + 8, and some."""


class PartFile:
    """The file object that libavformat writes to: sequential but for the index at the end."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self.failure: Exception | None = None
        """The first error of a write: libavformat may forget it and name one of its own."""

    def write(self, data: bytes) -> int:
        """All of `data` at the present position; StoreFull when the disk is full."""
        try:
            durable.write(self._descriptor, [data], self._path, len(data))
        except Exception as error:
            self.failure = self.failure or error
            raise
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file."""
        return os.lseek(self._descriptor, offset, whence)

    def tell(self) -> int:
        """As of any file."""
        return os.lseek(self._descriptor, 0, os.SEEK_CUR)

    def seekable(self) -> bool:
        """Always."""
        return True

    def replace_head(self, old: bytes, new: bytes) -> None:
        """Put `new` in the place of `old`, of the same length, near the beginning of the file."""
        with self._path.open("rb") as file:
            at = file.read(_HEAD_BYTES).find(old)
        if at < 0 or len(old) != len(new):
            raise EncoderFailed(f"{self._path}: the movie does not begin as it should")
        self.seek(at)
        self.write(new)


@dataclass(frozen=True, slots=True)
class MovieFormat:
    """What a movie looks like, apart from its pictures and their times."""

    preset: Preset
    width: int
    height: int
    pixel_format: str
    """libavutil's name of what the pictures are."""
    colours: Colours
    nominal_hz: float
    metadata: Mapping[str, str]
    """Tags that mp4 knows: title, comment, description, creation_time (ISO, UTC)."""
    container: Container = MP4


def encode(file: PartFile, pictures: Iterable[av.VideoFrame], pts: Ticks, form: MovieFormat, *,
           stop: threading.Event, on_frame: Callable[[int], None]) -> None:
    """Write the whole movie: picture i is shown from ``pts[i]`` ticks on. Blocks; does not sync.

    `on_frame(i)` is called after frame i was handed to the encoder. ExportStopped soon after
    `stop` is set; av.FFmpegError when the encoder or muxer fails; StoreFull, OSError.
    """
    try:
        _encode(file, pictures, pts, form, stop, on_frame)
    except av.FFmpegError:
        if file.failure is not None:
            raise file.failure from None
        raise


def _encode(file: PartFile, pictures: Iterable[av.VideoFrame], pts: Ticks, form: MovieFormat,
            stop: threading.Event, on_frame: Callable[[int], None]) -> None:
    container = form.container
    options = {**container.options, "flush_packets": "0"}
    if container.index_in_front:
        tags = sum(len(value.encode()) for value in form.metadata.values())
        options["moov_size"] = str(_INDEX_BYTES + _INDEX_BYTES_PER_FRAME * len(pts) + tags)
    shown = durations(pts, form.nominal_hz, container)
    tick = Fraction(1, container.ticks_per_second)
    claimed = Fraction(1, container.claimed_ticks_per_second or container.ticks_per_second)
    with av.open(file, "w", format=container.muxer, options=options) as movie:
        movie.metadata.update(form.metadata)
        stream = open_stream(movie, form, mean_hz(pts, form.nominal_hz, container), tick)
        for index, picture in enumerate(pictures):
            if stop.is_set():
                raise ExportStopped("export stopped")
            picture.pts = int(pts[index])
            picture.duration = int(shown[index])
            picture.time_base = tick
            _mux(movie, stream.encode(picture), claimed)
            on_frame(index)
        _mux(movie, stream.encode(None), claimed)
    for old, new in container.head_changes:
        file.replace_head(old, new)


def _mux(movie: av.container.OutputContainer, packets: Iterable[Packet[VideoStream]],
         claimed: Fraction) -> None:
    for packet in packets:
        packet.time_base = claimed
        movie.mux(packet)
