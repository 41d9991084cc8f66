"""Pictures into a segment of a preset's codec, by an encoder of its own. Blocking; in the export
process, or in a command of its own.

Timestamps are positions: the encoder sees evenly spaced frames, so that each counts the same
whatever the distance to the next, and the movie's times are put on when segments are joined.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from fieldrec.core.errors import EncoderFailed
from fieldrec.export.containers import MP4, Container
from fieldrec.export.opening import open_encoder
from fieldrec.export.pictures import Colours
from fieldrec.export.presets import Preset
from fieldrec.export.segment_file import Segment, SegmentWriter, Unreadable
from fieldrec.export.stopped import ExportStopped
from fieldrec.export.turns import TakingTurns, turns_for


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


def frame_time(frames_per_second: float) -> Fraction:
    """Seconds from one frame to the next, as the encoder is told."""
    return 1 / (Fraction(frames_per_second).limit_denominator(1001) or Fraction(1, 1001))


def encode_segment(writer: SegmentWriter, pictures: Iterable[av.VideoFrame | Unreadable],
                   form: MovieFormat, frames_per_second: float, *, stop: threading.Event,
                   on_frame: Callable[[int], None]) -> Segment:
    """Encode the frames of one segment and commit it. Blocks.

    `pictures` has one item for each of its positions in order, a picture with the position as its
    `pts`. `on_frame(position)` is called after each. ExportStopped soon after `stop` is set, with
    nothing committed; av.FFmpegError or EncoderFailed when the encoder fails; StoreFull; OSError.
    """
    time_base = frame_time(frames_per_second)
    encoder: VideoCodecContext | TakingTurns | None = None
    with contextlib.ExitStack() as ending:
        for position, item in enumerate(pictures, writer.first):
            if stop.is_set():
                raise ExportStopped("export stopped")
            if isinstance(item, Unreadable):
                writer.unreadable.append(item)
            else:
                encoder = encoder or _opened(form, frames_per_second, time_base, ending)
                item.time_base, item.duration = time_base, 1
                _add(writer, encoder.encode(item))
            on_frame(position)
        if encoder is None:
            return writer.commit(b"")
        _add(writer, encoder.encode(None))
        return writer.commit(encoder.extradata or b"")


def _opened(form: MovieFormat, frames_per_second: float, time_base: Fraction,
            ending: contextlib.ExitStack) -> VideoCodecContext | TakingTurns:
    """The segment's encoder; several that take turns where no frame needs another."""
    count = turns_for(form.preset.threads)
    if not form.preset.lossless or count == 1:
        return open_encoder(form, frames_per_second, time_base)
    several = TakingTurns(
        lambda: open_encoder(form, frames_per_second, time_base, threads=1), count)
    ending.callback(several.close)
    return several


def _add(writer: SegmentWriter, packets: Iterable[Packet[VideoStream]]) -> None:
    for packet in packets:
        if packet.pts is None:
            raise EncoderFailed("the encoder gave a packet without a time")
        writer.add(packet.pts, packet.is_keyframe, memoryview(packet))
