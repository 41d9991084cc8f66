"""A video file played as a live camera, at its own frame rate.

Runs in the caller's thread, decoding too. Every frame is due at its timestamp in the file,
variable rates included, and bears that time: jitter of this machine does not get into the
recording. PyAV rather than OpenCV: it hands out the timestamps, says nothing on stderr, and gives
the same pixels for half the processor time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from fieldrec.camera import CameraOptions, Pixels
from fieldrec.camera.pace import Pace
from fieldrec.core.errors import CameraEnded, CameraError, CameraLost
from fieldrec.core.model import FrameHeader, FrameSpec

_DEFAULT_HZ = 25.0
"""For files that do not say how fast they are."""
_EARLIEST_YEAR = 1990
_AV_FORMATS = {"BGR8": "bgr24", "MONO8": "gray"}


class Options(CameraOptions):
    """Keys of a file played as a camera."""

    path: Path
    """Video file of any kind that FFmpeg decodes; relative to the working directory."""
    loop: bool = False
    """Begin again at the end; frame numbers and times run on. Else the camera has ended."""
    pixel_format: Literal["BGR8", "MONO8"] = "BGR8"
    """MONO8 is the luma, full range."""
    paced: bool = True
    """False: never wait; frames come at once and bear the times they would have had."""
    drop_when_late: bool = True
    """Skip frames that are fetched too late, as a live camera does; else catch up."""
    buffers: int = Field(default=4, ge=1)
    """Frames that may be late before they are dropped."""


class FileFacts(NamedTuple):
    """What a video file tells of itself before it is played."""

    began_ns: int
    """Epoch nanoseconds of its first frame, as far as anybody knows."""
    began_by: str
    """Where that is from."""
    pixel_format: Literal["BGR8", "MONO8"]
    """MONO8 when there are no colours in it."""
    frame_count: int
    mean_hz: float
    """Frames per second over the whole file. Both are 0 where the file does not say."""


class _Played(NamedTuple):
    """One decoded frame, in the time of the file."""

    number: int
    at_ns: int
    frame: Any


class FileCamera:
    """See :class:`fieldrec.camera.Camera`."""

    def __init__(self, serial: str, options: Options) -> None:
        self.serial = serial
        self.options = options
        self._spec: FrameSpec | None = None
        self._pace: Pace | None = None
        self._origin_ns = 0
        self._frames: Iterator[_Played] = iter(())
        self._waiting: _Played | None = None
        self._reformatter: Any = None

    def open(self) -> FrameSpec:
        """Decode the first frame to see what the file holds; CameraError if that fails."""
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()
        self._spec = _probe(self.options)
        return self._spec

    def start(self) -> None:
        """Begin at the first frame, which is due now."""
        if self._spec is None:
            raise CameraError(f"{self.options.path}: start before open")
        self.stop()
        self._frames = _play(self.options, self._spec.nominal_hz)
        self._pace = Pace(paced=self.options.paced)
        self._origin_ns = self._pace.now_ns()

    def grab(self, into: Pixels, timeout_s: float) -> FrameHeader:
        """`monotonic_ns` is the moment the frame was due; `device_time_ns` its time in the file."""
        pace = self._pace
        if pace is None:
            raise CameraError(f"{self.options.path}: grab before start")
        played = self._waiting = self._waiting or self._next_in_time(pace.now_ns())
        due_ns = self._origin_ns + played.at_ns
        pace.wait(due_ns, timeout_s, str(self.options.path))
        self._waiting = None
        self._put(played.frame, into)
        return FrameHeader(number=played.number, monotonic_ns=due_ns, device_time_ns=played.at_ns)

    def stop(self) -> None:
        self._pace = None
        self._waiting = None
        close = getattr(self._frames, "close", None)
        if close is not None:
            close()  # the generator holds the open file
        self._frames = iter(())

    def close(self) -> None:
        self.stop()
        self._reformatter = None
        self._spec = None

    def _next_in_time(self, now_ns: int) -> _Played:
        """The next frame that a live camera would still have, seen from `now_ns`.

        `now_ns` does not move while frames are skipped: a machine that is too slow for the file
        still gets some.
        """
        oldest_ns = now_ns - self._origin_ns - self._window_ns()
        for played in self._frames:
            if played.at_ns >= oldest_ns or not self.options.drop_when_late:
                return played
        raise CameraEnded(f"{self.options.path}: played to its end")

    def _window_ns(self) -> int:
        hz = _DEFAULT_HZ if self._spec is None else self._spec.nominal_hz
        return int(self.options.buffers * 1e9 / hz)

    def _put(self, frame: Any, into: Pixels) -> None:
        """Convert into FFmpeg's own buffer, then one copy: its rows may be padded."""
        height, width = into.shape[:2]
        converted = self._reformatter.reformat(
            frame, width=width, height=height, format=_AV_FORMATS[self.options.pixel_format])
        plane = converted.planes[0]
        rows = np.frombuffer(plane, dtype=np.uint8).reshape(-1, plane.line_size)[:height]
        np.copyto(into.reshape(height, -1), rows[:, :into[0].size])


def file_facts(path: Path) -> FileFacts:
    """Look at a video file without playing it. CameraError in one line when it is none.

    When it began is its `creation_time` where it has one (cameras write it), else the time at which
    the file was last written, less its length.
    """
    container = _open_container(path)
    try:
        stream = container.streams.video[0]
        told = stream.metadata.get("creation_time") or container.metadata.get("creation_time")
        name = stream.codec_context.pix_fmt or ""
        began_ns = _epoch_ns(told)
        began_by = "the file's creation_time"
        if began_ns is None:
            began_ns = path.stat().st_mtime_ns - (container.duration or 0) * 1000
            began_by = "the time at which the file was last written, less its length"
        return FileFacts(began_ns, began_by, "MONO8" if name.startswith("gray") else "BGR8",
                         int(stream.frames or 0), float(stream.average_rate or 0))
    finally:
        container.close()


def _epoch_ns(told: str | None) -> int | None:
    """ISO text as epoch nanoseconds; None for nothing and for the dates that unset clocks give."""
    try:
        moment = datetime.fromisoformat(told or "")
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    if moment.year < _EARLIEST_YEAR:
        return None
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000


def _probe(options: Options) -> FrameSpec:
    container = _open_container(options.path)
    try:
        stream = container.streams.video[0]
        hz = float(stream.guessed_rate or stream.average_rate or _DEFAULT_HZ)
    finally:
        container.close()
    frames = _play(options.model_copy(update={"loop": False}), hz)
    try:
        first = next(frames, None)
    except CameraLost as error:
        raise CameraError(str(error)) from error
    finally:
        frames.close()
    if first is None:
        raise CameraError(f"{options.path}: no frame can be decoded; is it a whole video file?")
    shape: tuple[int, ...] = (first.frame.height, first.frame.width)
    if options.pixel_format == "BGR8":
        shape = (*shape, 3)
    return FrameSpec(shape=shape, dtype="uint8", pixel_format=options.pixel_format, nominal_hz=hz)


def _open_container(path: Path) -> Any:
    """The opened file, which has a video stream; CameraError in one line if it has not."""
    import av

    if not path.is_file():
        what = ("is a folder" if path.is_dir() else "is not a file" if path.exists()
                else "no such file")
        raise CameraError(f"{path}: {what}; give the path of a video file")
    try:
        # Absolute, so that no file name can be taken for a protocol ("concat:…", "http:…").
        container = av.open(str(path.absolute()))
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise CameraError(f"{path}: not a video file that can be played "
                          f"({_reason(error)})") from error
    if not container.streams.video:
        container.close()
        raise CameraError(f"{path}: has no video in it; give the path of a video file")
    # FFmpeg's threads a frame could wait for ever, when they are freed in the middle of a file.
    container.streams.video[0].codec_context.thread_count = 1
    return container


def _play(options: Options, hz: float) -> Any:
    """Generate the frames from the start, looping if asked; closing it closes the file."""
    number, start_ns, last_ns, end_ns = 0, 0, -1, 0
    period_ns = round(1e9 / hz)
    while True:
        before = number
        for offset, at_ns, frame in _play_once(options.path, period_ns):
            number = before + offset
            last_ns = max(start_ns + at_ns, last_ns + 1)  # a file whose times run back
            yield _Played(number, last_ns, frame)
            end_ns = last_ns + _duration_ns(frame, period_ns)
            number += 1
        if not options.loop or number == before:
            return
        start_ns = end_ns


def _play_once(path: Path, period_ns: int) -> Iterator[tuple[int, int, Any]]:
    """(offset, nanoseconds from the first, frame) of each frame. A packet that cannot be decoded
    counts as one dropped frame: its offset is left out. CameraLost when reading fails."""
    import av

    container = _open_container(path)
    offset, first_ns, at_ns = 0, None, -period_ns
    try:
        for packet in container.demux(container.streams.video[0]):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                offset += 1
                continue
            for frame in frames:
                stamp_ns = _stamp_ns(frame)
                if first_ns is None:
                    first_ns = stamp_ns or 0
                at_ns = at_ns + period_ns if stamp_ns is None else stamp_ns - first_ns
                yield offset, at_ns, frame
                offset += 1
    except (av.error.FFmpegError, OSError) as error:
        raise CameraLost(f"{path}: reading stopped after {offset} frames "
                         f"({_reason(error)})") from error
    finally:
        container.close()


def _stamp_ns(frame: Any) -> int | None:
    """Exact: no float between the file's time base and nanoseconds."""
    if frame.pts is None:
        return None
    base = frame.time_base
    return int(frame.pts * base.numerator * 1_000_000_000 // base.denominator)


def _duration_ns(frame: Any, period_ns: int) -> int:
    if not frame.duration:
        return period_ns
    base = frame.time_base
    return int(frame.duration * base.numerator * 1_000_000_000 // base.denominator)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).split(":")[0]


BACKEND = FileCamera
