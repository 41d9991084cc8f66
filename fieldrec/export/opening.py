"""Which encoder a preset gets, and that encoder opened. Blocking; in the export process.

The encoder of a segment and the stream of the joined movie are set up by the same lines, so that
the movie's head is that of the packets in it. Options that the encoder does not know, or does not
take, are errors: libavcodec itself leaves them out, some without a word. An encoder that takes
real-time priority is opened where it cannot get any; its threads begin when it is opened.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.codec.codec import UnknownCodecError
from av.codec.context import CodecContext, Flags
from av.container import OutputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from fieldrec.core.errors import EncoderFailed
from fieldrec.export import hardware
from fieldrec.export.codecs import (
    CODECS,
    HARDWARE_PICTURES,
    REALTIME_ENCODERS,
    Hardware,
    Quality,
    together,
)
from fieldrec.export.presets import AUTO, SOFTWARE, Preset
from fieldrec.export.realtime import without_realtime

if TYPE_CHECKING:
    from fieldrec.export.colours import Colours
    from fieldrec.export.encoding import MovieFormat

_FEWEST_KEYFRAME_FRAMES = 12
"""Slower cameras get longer groups, or every frame would be a key frame."""
_AMPLE = 4
"""An encoder that knows bitrates only gets so many times the bits that the preset typically needs:
it cannot spend more on a scene that needs more."""
_REFUSED = re.compile(r"(?:Error parsing option|Unknown option:?|bad option) *'?([\w-]+)")
"""What libx264, libx265 and libsvtav1 say of the parameters that libavcodec hands on unseen, before
they go on without them."""
_TRIAL_HZ = 25

_log_level = threading.Lock()


def open_encoder(form: MovieFormat, frames_per_second: float, time_base: Fraction, *,
                 threads: int | None = None) -> VideoCodecContext:
    """An open encoder of its own, its head (extradata) apart from its packets.

    `threads`: other than the preset's; what comes out is the same. Who opens it encodes to the end
    (``encode(None)``). EncoderFailed naming options that it does not know.
    """
    context = _created(chosen_encoder(form.preset, form)[0])
    context.thread_count = form.preset.threads if threads is None else threads
    _set_up(context, form, frames_per_second, time_base)
    return context


def open_stream(movie: OutputContainer, form: MovieFormat, frames_per_second: float,
                time_base: Fraction) -> VideoStream:
    """A stream of `movie` for packets of :func:`open_encoder` with the same arguments.

    It is opened as an encoder's, which is how its parameters become exactly those of the encoder.
    """
    stream: VideoStream = movie.add_stream(  # type: ignore[assignment]  # of a video codec
        chosen_encoder(form.preset, form)[0], rate=_rate(frames_per_second))
    stream.codec_context.thread_count = form.preset.threads
    _set_up(stream.codec_context, form, frames_per_second, time_base)
    return stream


def chosen_encoder(preset: Preset, form: MovieFormat) -> tuple[str, str]:
    """libavcodec's name of the encoder that encodes it on this machine, and why that one.

    The same in every call of this process. EncoderFailed where the preset wants one encoder only
    and that does not work here.
    """
    codec = CODECS[preset.codec]
    if preset.encoder in (SOFTWARE, codec.encoder):
        return codec.encoder, "as the preset asks"
    wanted = [row for row in codec.hardware if preset.encoder in (AUTO, row.encoder)]
    failed = []
    if preset.pixel_format != HARDWARE_PICTURES:
        failed = [f"hardware encodes {HARDWARE_PICTURES} only"]
        wanted = []
    for row in wanted:
        tried = _tried(row, preset, form)
        if tried.works:
            return row.encoder, "it works on this machine"
        failed.append(f"{row.encoder}: {tried.reason}")
    if preset.encoder == AUTO:
        return codec.encoder, "; ".join(failed) or "the codec has no hardware encoder"
    known = ", ".join((SOFTWARE, AUTO, codec.encoder, *(row.encoder for row in codec.hardware)))
    raise EncoderFailed(failed[0] if failed else f"preset {preset.name}: encoder: "
                        f"{preset.encoder!r} is none of {known}")


def encoder_name(preset: Preset, chosen: str) -> str:
    """What encoded a movie, for its sidecar; and why no hardware did, where that was looked for."""
    avcodec = ".".join(map(str, av.library_versions["libavcodec"]))
    asked = " ".join(word for word in (chosen, preset.speed, _asked(preset)) if word)
    tried = {row.encoder: hardware.found(row.encoder) for row in CODECS[preset.codec].hardware}
    failed = [f"{name}: {trial.reason}" for name, trial in tried.items()
              if trial is not None and not trial.works]
    why = f" ({'; '.join(failed)})" if failed and preset.encoder == AUTO else ""
    return f"{asked}{why} by PyAV {av.__version__}, libavcodec {avcodec}"


def group_frames(preset: Preset, frames_per_second: float) -> int:
    """Frames from one key frame to the next."""
    return max(_FEWEST_KEYFRAME_FRAMES, round(frames_per_second * preset.keyframe_s))


def plain_encoder(encoder: str, pixel_format: str, width: int, height: int,
                  options: Mapping[str, str]) -> VideoCodecContext:
    """An open encoder for pictures of that kind and nothing more. EncoderFailed."""
    context = _created(encoder)
    context.width, context.height, context.pix_fmt = width, height, pixel_format
    context.framerate, context.time_base = Fraction(_TRIAL_HZ), Fraction(1, _TRIAL_HZ)
    _open(context, options)
    return context


# --- setting it up --------------------------------------------------------------------------------


def _created(encoder: str) -> VideoCodecContext:
    try:
        context = CodecContext.create(encoder, "w")
    except UnknownCodecError as error:
        raise EncoderFailed(f"{encoder}: this machine's libavcodec has no such encoder") from error
    return context  # type: ignore[return-value]  # of a video codec


def _set_up(context: VideoCodecContext, form: MovieFormat, frames_per_second: float,
            time_base: Fraction) -> None:
    row, codec = form.preset, CODECS[form.preset.codec]
    special = next((one for one in codec.hardware if one.encoder == context.name), None)
    context.width, context.height = form.width, form.height
    context.pix_fmt = special.pixel_format if special else form.pixel_format
    context.framerate, context.time_base = _rate(frames_per_second), time_base
    context.flags |= Flags.global_header
    # PyAV asks for slices, which x264 takes for "no frame threads": larger files, and slower
    context.thread_type = "SLICE" if codec.is_lossless else "AUTO"
    if codec.tag and form.container.extension == ".mp4":
        context.codec_tag = codec.tag
    _tag(context, form.colours)
    quality = _quality(form, frames_per_second)
    _open(context, together((special or codec).options(quality), row.options))


def _quality(form: MovieFormat, frames_per_second: float) -> Quality:
    row = form.preset
    usual = row.typical_bits_per_pixel * form.width * form.height * frames_per_second * _AMPLE
    return Quality(row.crf, row.speed, group_frames(row, frames_per_second), row.bitrate_bits_per_s,
                   max(100_000, round(usual)), row.threads, form.container.in_order,
                   form.pixel_format, min(form.width, form.height))


def _open(context: VideoCodecContext, options: Mapping[str, str]) -> None:
    """Open it with all of `options` in force, or EncoderFailed saying which are not, and why."""
    os.environ.setdefault("SVT_LOG", "1")  # errors only; it writes pages to stderr otherwise
    context.options = dict(options)
    failure: Exception | None = None
    guard = without_realtime() if context.name in REALTIME_ENCODERS else contextlib.nullcontext()
    with _complaints() as said:
        try:
            with guard:
                context.open()
        except (av.FFmpegError, OSError, ValueError) as error:
            failure = error
    if failure is not None:
        why = said[0] if said else str(failure).split(":")[0]
        raise EncoderFailed(f"{context.name}: {why}") from failure
    refused = {name for line in said for name in _REFUSED.findall(line)}
    unknown = sorted({*context.options, *refused})
    if unknown:
        raise EncoderFailed(f"{context.name} does not take {', '.join(unknown)}: correct the "
                            "options of the preset, or leave them out")


@contextlib.contextmanager
def _complaints() -> Iterator[list[str]]:
    """What libavcodec says in this thread, from warnings on; filled when the block ends."""
    said: list[str] = []
    with _log_level:
        level = av.logging.get_level()
        av.logging.set_level(av.logging.WARNING)
        try:
            with av.logging.Capture(local=True) as lines:
                yield said
            said += [text.strip() for _, _, text in lines]
        finally:
            av.logging.set_level(level)


def _tried(row: Hardware, preset: Preset, form: MovieFormat) -> hardware.Trial:
    options = together(row.options(_quality(form, _TRIAL_HZ)), preset.options)
    return hardware.trial(row.encoder, row.pixel_format, form.width, form.height, options)


def _rate(frames_per_second: float) -> Fraction:
    return Fraction(frames_per_second).limit_denominator(1001) or Fraction(1, 1001)


def _asked(preset: Preset) -> str:
    if preset.bitrate_bits_per_s is not None:
        return f"{preset.bitrate_bits_per_s} bit/s"
    return "" if preset.crf is None else f"crf {preset.crf}"


def _tag(context: VideoCodecContext, colours: Colours) -> None:
    """Name range and matrix in the stream: an untagged movie is shown by a player's guess."""
    context.color_range = 2 if colours.full_range else 1
    context.colorspace = colours.matrix_code
    context.color_primaries = colours.primaries_code
    context.color_trc = colours.transfer_code
