"""Movies of given frames made with PyAV alone: what verification is tried on, right and wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
from av.video.stream import VideoStream

from fieldrec.core.model import FrameSpec
from fieldrec.export.colours import Colours
from fieldrec.export.pictures import Pictures, pictures_for
from fieldrec.export.presets import Preset
from fieldrec.export.timing import Ticks
from tests.fakes.export_content import Pixels

ENCODERS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "h264": ("libx264", {"preset": "veryfast", "g": "12"}),
    "hevc": ("libx265", {"preset": "superfast", "x265-params": "log-level=error"}),
    "vp9": ("libvpx-vp9", {"deadline": "good", "cpu-used": "5", "b": "0"}),
    "ffv1": ("ffv1", {"level": "3", "slices": "4", "slicecrc": "1", "g": "1"})}
"""By codec. Not AV1: its encoder takes real-time priority where it may."""
MUXERS = {".mp4": "mp4", ".mkv": "matroska", ".avi": "avi"}


def make_movie(path: Path, frames: Sequence[Pixels], spec: FrameSpec, pts: Ticks, row: Preset, *,
               ticks_per_second: int = 90_000, pictures: Pictures | None = None,
               colours: Colours | None = None) -> Pictures:
    """A movie of a preset's codec and quality; `colours` is what the stream claims."""
    pictures = pictures or pictures_for(spec, row)
    write(path, map(pictures.convert, frames), pts, pictures, row, colours or pictures.colours,
          ticks_per_second)
    return pictures


def write(path: Path, pictures: Iterable[av.VideoFrame], pts: Ticks, form: Pictures, row: Preset,
          colours: Colours, ticks_per_second: int) -> None:
    """Any pictures, under any claim."""
    encoder, options = ENCODERS[row.codec]
    quality = {} if row.crf is None else {"crf": str(row.crf)}
    tick = Fraction(1, ticks_per_second)
    with av.open(str(path), "w", format=MUXERS[path.suffix]) as movie:
        stream: VideoStream = movie.add_stream(  # type: ignore[assignment]  # of a video encoder
            encoder, rate=60, options={**options, **quality})
        stream.width, stream.height, stream.pix_fmt = form.width, form.height, form.pixel_format
        context = stream.codec_context
        context.time_base = tick
        context.color_range = 2 if colours.full_range else 1
        context.colorspace = colours.matrix_code
        context.color_primaries, context.color_trc = colours.primaries_code, colours.transfer_code
        for index, picture in enumerate(pictures):
            picture.pts, picture.time_base = int(pts[index]), tick
            movie.mux(stream.encode(picture))
        movie.mux(stream.encode(None))
