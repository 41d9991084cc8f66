"""Segments into one movie, as if it had been encoded in one go. Blocking; in the thread of the
export.

The packets stay as they are; they get the frames' real times, and times of decoding that fit.
The file is written through core/durable, so a full disk is a StoreFull and the crash tests see
every write. Room for the movie's index is reserved at its front and filled in at the end: the file
can be streamed, and is still written only once ("faststart" would write it twice).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from fractions import Fraction

import av
import numpy as np
from av.packet import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from fieldrec.core.errors import EncoderFailed
from fieldrec.export import embedding
from fieldrec.export.encoding import MovieFormat, frame_time
from fieldrec.export.opening import open_stream
from fieldrec.export.part import PartFile
from fieldrec.export.segment_file import Segment
from fieldrec.export.stopped import ExportStopped
from fieldrec.export.timing import Ticks, durations

INDEX_BYTES = 8_192
INDEX_BYTES_PER_FRAME = 48
"""Upper bound: time 8, reordering 8, size 4, key frame 4, chunk 12 + 8, and some."""


class SegmentsDiffer(EncoderFailed):
    """The encoder of one segment was set up other than that of another: all must be made anew."""


def positions(segments: Sequence[Segment]) -> NDArray[np.int64]:
    """The frames that the segments hold, ascending. EncoderFailed when one is there twice or in a
    segment that it does not belong to."""
    for segment in segments:
        found = np.sort(segment.table["position"])
        left_out = {row.position for row in segment.unreadable}
        wanted = [at for at in range(segment.first, segment.end) if at not in left_out]
        if not np.array_equal(found, wanted):
            raise EncoderFailed(f"{segment.path}: the encoder gave other frames than it was given")
    return np.sort(np.concatenate([segment.table["position"] for segment in segments]))


def join(file: PartFile, segments: Sequence[Segment], pts: Ticks, form: MovieFormat,
         frames_per_second: float, *, content: bytes, stop: threading.Event,
         on_packet: Callable[[int], None]) -> None:
    """Write the whole movie; the i-th of :func:`positions` is shown from ``pts[i]`` ticks on.

    `content` is embedded. `on_packet(i)` is called after each packet. Blocks; does not sync.
    ExportStopped soon after `stop` is set; av.FFmpegError when the muxer fails; SegmentsDiffer;
    StoreFull, OSError.
    """
    try:
        _join(file, segments, pts, form, frames_per_second, content, stop, on_packet)
    except av.FFmpegError:
        if file.failure is not None:
            raise file.failure from None
        raise


def _join(file: PartFile, segments: Sequence[Segment], pts: Ticks, form: MovieFormat,
          frames_per_second: float, content: bytes, stop: threading.Event,
          on_packet: Callable[[int], None]) -> None:
    container = form.container
    options = {**container.options, "flush_packets": "0"}
    if container.index_in_front:
        tags = sum(len(value.encode()) for value in form.metadata.values())
        options["moov_size"] = str(INDEX_BYTES + INDEX_BYTES_PER_FRAME * len(pts) + tags)
    with av.open(file, "w", format=container.muxer, options=options) as movie:
        movie.metadata.update(form.metadata)
        stream = open_stream(movie, form, frames_per_second, frame_time(frames_per_second))
        stream.time_base = Fraction(1, container.ticks_per_second)
        _check_heads(stream, segments)
        embedding.before(movie, container, content)
        _mux(movie, stream, segments, pts, form, stop, on_packet)
    for old, new in container.head_changes:
        file.replace_head(old, new)
    embedding.after(file, container, content)


def _check_heads(stream: VideoStream, segments: Sequence[Segment]) -> None:
    """The head that the movie will have is that of each segment's encoder."""
    own = stream.codec_context.extradata or b""
    for segment in segments:
        if len(segment.table) and segment.extradata != own:
            raise SegmentsDiffer(f"{segment.path}: its encoder was set up otherwise")


def _mux(movie: av.container.OutputContainer, stream: VideoStream, segments: Sequence[Segment],
         pts: Ticks, form: MovieFormat, stop: threading.Event, on_packet: Callable[[int], None]
         ) -> None:
    container = form.container
    claimed = Fraction(1, container.claimed_ticks_per_second or container.ticks_per_second)
    shown = durations(pts, form.nominal_hz, container)
    tables = np.concatenate([segment.table for segment in segments])
    places = np.searchsorted(np.sort(tables["position"]), tables["position"])
    decoded = decoding_times(pts, places, stream.codec_context.reorder_depth)
    with contextlib.closing(data for segment in segments for data in segment.packets()) as contents:
        for number, (place, is_key, data) in enumerate(
                zip(places.tolist(), tables["is_key"].tolist(), contents, strict=True)):
            if stop.is_set():
                raise ExportStopped("export stopped")
            packet = Packet(data)
            packet.stream = stream
            packet.time_base = claimed
            packet.pts, packet.dts = int(pts[place]), int(decoded[number])
            packet.duration = int(shown[place])
            packet.is_keyframe = bool(is_key)
            movie.mux(packet)
            on_packet(number)


def decoding_times(pts: Ticks, places: NDArray[np.intp], encoder_depth: int) -> Ticks:
    """When each packet is decoded, for packets in the order of decoding, of which the n-th is
    shown as number ``places[n]``.

    They ascend and none is decoded after it is shown: the times of showing, in order, later by the
    depth of reordering. The first ones, before anything is shown, are as far apart as the first
    shown ones are, which is what x264 says too.
    """
    count = len(pts)
    depth = max(encoder_depth, int((np.arange(count) - places).max()))
    depth = min(depth, count - 1)
    early = pts[:depth] - (pts[depth] - pts[0])
    return np.concatenate([early, pts[:count - depth]])
