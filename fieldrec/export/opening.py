"""Which encoder a preset gets, and that encoder opened. Blocking; in the export process.

The encoder of a segment and the stream of the joined movie are set up by the same lines, so that
the movie's head is that of the packets in it. Options that the encoder does not know are errors.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.codec.context import CodecContext, Flags
from av.container import OutputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from fieldrec.core.errors import EncoderFailed
from fieldrec.export.codecs import CODECS, Quality
from fieldrec.export.containers import MP4
from fieldrec.export.pictures import Colours
from fieldrec.export.presets import Preset

if TYPE_CHECKING:
    from fieldrec.export.encoding import MovieFormat

_FEWEST_KEYFRAME_FRAMES = 12
"""Slower cameras get longer groups, or every frame would be a key frame."""


def open_encoder(form: MovieFormat, frames_per_second: float, time_base: Fraction, *,
                 frame_count_hint: int = 0) -> VideoCodecContext:  # noqa: ARG001 - for some codecs
    """An open encoder of its own, its head (extradata) apart from its packets.

    `frame_count_hint` is how many frames it will be given, 0 when that is not known. Who opens it
    encodes to the end (``encode(None)``). EncoderFailed naming options that it does not know.
    """
    context: VideoCodecContext = CodecContext.create(  # type: ignore[assignment]  # of a video codec
        chosen_encoder(form.preset, form)[0], "w")
    _set_up(context, form, frames_per_second, time_base)
    return context


def open_stream(movie: OutputContainer, form: MovieFormat, frames_per_second: float,
                time_base: Fraction) -> VideoStream:
    """A stream of `movie` for packets of :func:`open_encoder` with the same arguments.

    It is opened as an encoder's, which is how its parameters become exactly those of the encoder.
    """
    rate = _rate(frames_per_second)
    stream: VideoStream = movie.add_stream(  # type: ignore[assignment]  # of a video codec
        chosen_encoder(form.preset, form)[0], rate=rate)
    _set_up(stream.codec_context, form, frames_per_second, time_base)
    return stream


def chosen_encoder(preset: Preset, form: MovieFormat  # noqa: ARG001 - of other encoders
                   ) -> tuple[str, str]:
    """libavcodec's name of the encoder that encodes it on this machine, and why that one."""
    return CODECS[preset.codec].encoder, "software"


def encoder_name(preset: Preset, chosen: str) -> str:
    """What encoded a movie, for its sidecar."""
    avcodec = ".".join(map(str, av.library_versions["libavcodec"]))
    return (f"{chosen} {preset.speed} crf {preset.crf} by PyAV {av.__version__}, libavcodec "
            f"{avcodec}")


def group_frames(preset: Preset, frames_per_second: float) -> int:
    """Frames from one key frame to the next."""
    return max(_FEWEST_KEYFRAME_FRAMES, round(frames_per_second * preset.keyframe_s))


def _rate(frames_per_second: float) -> Fraction:
    return Fraction(frames_per_second).limit_denominator(1001) or Fraction(1, 1001)


def _set_up(context: VideoCodecContext, form: MovieFormat, frames_per_second: float,
            time_base: Fraction) -> None:
    row, codec = form.preset, CODECS[form.preset.codec]
    quality = Quality(row.crf or 0, row.speed, group_frames(row, frames_per_second))
    options = dict(codec.options(quality))
    context.width, context.height, context.pix_fmt = form.width, form.height, form.pixel_format
    context.framerate, context.time_base = _rate(frames_per_second), time_base
    context.flags |= Flags.global_header
    context.options = dict(options)
    if codec.tag and form.container is MP4:
        context.codec_tag = codec.tag
    _tag(context, form.colours)
    context.open()
    unknown = sorted(set(context.options) & set(options))
    if unknown:
        raise EncoderFailed(f"{context.name} does not know the options {', '.join(unknown)}")


def _tag(context: VideoCodecContext, colours: Colours) -> None:
    """Name range and matrix in the stream: an untagged movie is shown by a player's guess."""
    context.color_range = 1  # limited ("MPEG")
    context.colorspace = colours.matrix_code
    context.color_primaries = colours.primaries_code
    context.color_trc = colours.transfer_code
