"""The coded pictures of one video file through FFmpeg's demuxer: opened, listed, gone to, read.

Every packet is told apart by where it lies in the file, so that nothing depends on where a seek
lands: seeking is tried, what comes is looked at, and where it does not lead to the packet wanted
the file is read from its beginning. One thread; blocks for the disk. Imports PyAV: to be imported
only where a video is read.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream
from numpy.typing import NDArray

from fieldrec.core.errors import StoreDamaged, StoreError
from fieldrec.store.video.table import NO_TIME, Packets

_OPTIONS = {
    "protocol_whitelist": "file",
    # A play list in a chunk's place would show the pictures of other files.
    "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,flv,mpeg,mpegts,nut,ogg,mxf,"
                        "h264,hevc,mjpeg,m4v,ivf,yuv4mpegpipe"}
_NEAR = 32
"""So many packets are rather read past than sought over."""
_MOST_FRESH_STARTS = 4
"""A file whose seeks do not work is read from its beginning; one that is damaged, not for ever."""
_AVI_CHUNK_HEAD = 8


class VideoFile:
    """An open video file; holds one descriptor until it is closed."""

    def __init__(self, path: Path) -> None:
        """Open it. StoreDamaged when it is missing, empty or no video, StoreError when it cannot
        be read for another reason."""
        self.path = path
        self._check_is_file()
        self._container, self.stream = _open(path)
        self.kind = str(self._container.format.name)

    @property
    def context(self) -> Any:
        """The decoder of this file; another one after `restart`."""
        return self.stream.codec_context

    @property
    def frames_told(self) -> int:
        """How many pictures the container says it has; 0 where it does not say it. May be wrong."""
        return int(self.stream.frames)

    @property
    def index_entries(self) -> Sequence[Any]:
        """What the container's index lists; empty where PyAV is too old to say it."""
        return getattr(self.stream, "index_entries", ())

    def packets(self) -> Iterator[av.Packet[VideoStream]]:
        """The packets from here to the end. FFmpegError when the file cannot be read on."""
        for packet in self._container.demux(self.stream):
            if packet.size:  # the last one has none; nor has a picture that AVI says was dropped
                yield packet

    def seek(self, stamp: int) -> bool:
        """To the key picture at this time or before; whether that was possible at all."""
        try:
            self._container.seek(stamp, stream=self.stream)
        except FFmpegError:
            return False
        return True

    def restart(self) -> None:
        """To the beginning, however bad the container's seeking is. StoreDamaged."""
        self._container.close()
        self._container, self.stream = _open(self.path)

    def close(self) -> None:
        """Idempotent."""
        self._container.close()

    def _check_is_file(self) -> None:
        try:
            status = self.path.stat()
        except OSError as error:
            raise _unreadable(self.path, error) from error
        if not stat.S_ISREG(status.st_mode):
            raise StoreDamaged(f"{self.path}: not a file; move it away and run `fieldrec check`")
        if not status.st_size:
            raise StoreDamaged(f"{self.path}: empty; its pictures are lost")


def _open(path: Path) -> tuple[InputContainer, VideoStream]:
    try:
        container = av.open(f"file:{path.absolute()}", "r", container_options=_OPTIONS,
                            metadata_errors="replace")
    except FFmpegError as error:
        raise _unreadable(path, error) from error
    stream = next(iter(container.streams.video), None)
    if stream is None or not _has_decoder(stream):
        container.close()
        raise StoreDamaged(f"{path}: holds no pictures that FFmpeg can decode")
    _prepare(stream.codec_context)
    return container, stream


def _prepare(context: Any) -> None:
    """One thread: a packet's picture, or its error, comes with the packet, and no processor is
    woken for nothing. What cannot be decoded is an error, not something made up."""
    context.thread_count = 1
    context.options = {"err_detect": "explode"}


def _has_decoder(stream: VideoStream) -> bool:
    try:
        return bool(stream.codec_context and stream.codec_context.codec.name)
    except (AttributeError, FFmpegError, ValueError):
        return False


def _unreadable(path: Path, error: OSError | FFmpegError) -> StoreError:
    code = getattr(error, "errno", None)
    if code == errno.ENOENT:
        return StoreDamaged(f"{path}: missing; its pictures are lost")
    why = getattr(error, "strerror", None) or str(error)
    if code in (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE):
        return StoreError(f"{path}: cannot be opened: {why}")
    return StoreDamaged(f"{path}: not a video that can be read, or one that was cut short or never "
                        f"closed ({why}); `fieldrec recover` the store")


# --- listing -----------------------------------------------------------------------------------

def listed(video: VideoFile) -> tuple[Packets, str | None]:
    """Every packet, by reading the file from beginning to end, and why reading ended early if it
    did. The file must not have been read before."""
    rows: list[tuple[int, int, int, int]] = []
    flags: list[tuple[bool, bool, bool]] = []
    problem = None
    try:
        for packet in video.packets():
            rows.append((-1 if packet.pos is None else packet.pos, packet.size,
                         NO_TIME if packet.pts is None else packet.pts,
                         NO_TIME if packet.dts is None else packet.dts))
            flags.append((packet.is_keyframe, not packet.is_discard, not packet.is_corrupt))
    except FFmpegError as error:
        problem = f"cannot be read to its end: {error.strerror}"
    offsets, sizes, pts, dts = np.array(rows, np.int64).reshape(-1, 4).T
    keys, shown, sound = np.array(flags, np.bool_).reshape(-1, 3).T
    return Packets(offsets, sizes, pts, dts, keys, shown, sound), problem


def indexed(video: VideoFile, file_bytes: int) -> Packets | None:
    """Every packet by the container's own index, without reading the file; None where it has no
    complete one. For AVI and MP4, whose indexes list each packet."""
    entries = video.index_entries
    if len(entries) != video.frames_told or not len(entries):
        return None
    shift = _AVI_CHUNK_HEAD if video.kind == "avi" else 0
    rows = [(entry.pos + shift, entry.size, entry.timestamp, entry.is_keyframe, entry.is_discard)
            for entry in entries]
    offsets, sizes, stamps, keys, hidden = np.array(rows, np.int64).T
    if hidden.any() or (np.diff(offsets) <= 0).any():
        return None
    there = (offsets >= 0) & (offsets + sizes <= file_bytes)
    dropped = (sizes == 0) & (video.kind == "avi")
    return Packets(offsets, sizes, np.full(len(rows), NO_TIME, np.int64), stamps,
                   keys.astype(np.bool_), ~dropped, there & (sizes > 0))


def indexed_offsets(video: VideoFile) -> NDArray[np.int64]:
    """Where the index of an AVI file says that packets are."""
    return np.array([entry.pos + _AVI_CHUNK_HEAD for entry in video.index_entries], np.int64)


# --- reading -----------------------------------------------------------------------------------

class PacketReader:
    """Reads the listed packets of a file in order of coding, from any of them on."""

    def __init__(self, video: VideoFile, packets: Packets) -> None:
        self._video = video
        self._listed = packets
        self._iterator: Iterator[av.Packet[VideoStream]] = iter(())
        self._held: tuple[int, av.Packet[VideoStream]] | None = None
        self._last: int | None = None
        self._fresh_starts = 0
        offsets = packets.offsets
        known = len(offsets) > 0 and offsets.min() >= 0 and len(np.unique(offsets)) == len(offsets)
        self._ordinals = {offset: at for at, offset in enumerate(offsets.tolist())} \
            if known else None

    def read(self) -> tuple[int, av.Packet[VideoStream]] | None:
        """(ordinal, packet) of the next one; None at the end, or where no more can be read."""
        if self._held is not None:
            held, self._held = self._held, None
            return held
        while (packet := self._next_packet()) is not None:
            ordinal = self._ordinal_of(packet)
            if ordinal is not None:
                self._last = ordinal
                return ordinal, packet
        self._last = None
        return None

    def is_as_listed(self, ordinal: int, packet: av.Packet[VideoStream]) -> bool:
        """Whether nothing is known against this packet."""
        return (bool(self._listed.sound[ordinal]) and not packet.is_corrupt
                and packet.size == self._listed.sizes[ordinal])

    def go_to(self, ordinal: int) -> bool:
        """So that the next `read` gives this packet; False when it cannot be reached."""
        if self._last is not None and 0 < ordinal - self._last <= _NEAR and self._skip_to(ordinal):
            return True
        if self._ordinals is not None:
            for stamp in self._stamps(ordinal):
                self._forget()
                if self._video.seek(stamp):
                    self._iterator = self._video.packets()
                    if self._skip_to(ordinal):
                        return True
            if self._fresh_starts >= _MOST_FRESH_STARTS:
                return False
        if self._stamps(ordinal):
            self._fresh_starts += 1
        self._forget()
        self._video.restart()
        self._iterator = self._video.packets()
        return self._skip_to(ordinal)

    def _forget(self) -> None:
        self._held = self._last = None
        self._iterator = iter(())

    def _stamps(self, ordinal: int) -> list[int]:
        """Times to seek to, the best first: containers differ in which of the two they index."""
        both = (int(self._listed.pts[ordinal]), int(self._listed.dts[ordinal]))
        return [stamp for stamp in dict.fromkeys(both) if stamp != NO_TIME]

    def _skip_to(self, ordinal: int) -> bool:
        while (item := self.read()) is not None:
            if item[0] >= ordinal:
                self._held = item
                return item[0] == ordinal
        return False

    def _next_packet(self) -> av.Packet[VideoStream] | None:
        try:
            return next(self._iterator, None)
        except FFmpegError:
            return None

    def _ordinal_of(self, packet: av.Packet[VideoStream]) -> int | None:
        """None for one that was not listed: the file is damaged, or has changed."""
        expected = 0 if self._last is None else self._last + 1
        if self._ordinals is None:
            return expected if expected < len(self._listed) else None
        return self._ordinals.get(-1 if packet.pos is None else packet.pos)
