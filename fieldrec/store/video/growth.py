"""What the three kinds of written video have in common: how a file grows frame by frame, and ends.

Pure: bytes and numbers, no file is opened here. A chunk's video is written once, in the very file
that it stays in. While it grows it is a head and, for each frame, a small frame head (position,
size, key frame or not, checksum) and the encoder's packet. At the end a tail, with the tables that
players seek by, goes behind the last frame, and a few bytes of the head are written over. So no
picture is copied at a chunk's end (a copy would stop the recording for seconds, and could not be
made on a full disk), and what a crash leaves can be verified frame by frame, without its tables.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Protocol

RATE_HZ = 25
"""The constant rate that imgstore's videos claim: readers seek by frame count. The frames' true
times are in the index."""


@dataclass(frozen=True, slots=True)
class Track:
    """What a decoder must know before the first packet."""

    width: int
    height: int
    private: bytes
    """The avcC record of H.264; empty for MJPEG."""
    colour: bool = True
    """Whether the container says that the colours are our encoders'; a camera's stream says its
    own."""


@dataclass(frozen=True, slots=True)
class FrameHead:
    """What a frame head says of the packet behind it."""

    position: int
    """0 … within the chunk."""
    size: int
    """Bytes of the packet."""
    key: bool
    """Whether it can be decoded without those before it."""
    check: int
    """Checksum over packet, position, size and key."""


@dataclass(slots=True)
class Samples:
    """Where the frames of a file lie, in order."""

    offsets: array[int] = field(default_factory=lambda: array("Q"))
    """Of each packet, behind its frame head."""
    sizes: array[int] = field(default_factory=lambda: array("Q"))
    keys: bytearray = field(default_factory=bytearray)
    segments: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)])
    """(offset, first sample) of each part of the file that has sizes of its own: AVI only."""
    end: int = 0
    """Where the next frame goes."""

    def __len__(self) -> int:
        return len(self.offsets)

    def add(self, lead: int, head: int, size: int, padding: int, key: bool) -> None:
        """A packet of `size` bytes at the end, with what goes before and behind it."""
        if lead:
            self.segments.append((self.end, len(self)))
        self.offsets.append(self.end + lead + head)
        self.sizes.append(size)
        self.keys.append(key)
        self.end += lead + head + size + padding

    def drop_last(self) -> None:
        """Undo the last `add`, but for :attr:`end`."""
        self.offsets.pop()
        self.sizes.pop()
        self.keys.pop()
        if len(self.segments) > 1 and self.segments[-1][1] == len(self):
            self.segments.pop()


@dataclass(frozen=True, slots=True)
class Ending:
    """What makes a grown file whole."""

    tail: bytes
    """Goes behind the last frame."""
    patches: tuple[tuple[int, bytes], ...]
    """(offset, bytes) to write over, all in places that hold no picture."""


class Container(Protocol):
    """One kind of video file."""

    @property
    def frame_head_bytes(self) -> int:
        """Length of a frame head."""
        ...

    @property
    def marker(self) -> bytes:
        """How a frame head begins."""
        ...

    def head(self, track: Track) -> bytes:
        """The first bytes of a file that grows; the length depends on the track only."""
        ...

    def read_head(self, data: bytes) -> tuple[Track, int] | None:
        """(track, length of the head) from a file's first bytes, finished or not; None if they
        are damaged."""
        ...

    def lead(self, samples: Samples, size: int) -> bytes:
        """What must go before the frame head of the next packet, of this size: mostly nothing.
        ValueError when the file can hold no more."""
        ...

    def frame_head(self, position: int, packet: bytes, key: bool) -> bytes:
        """The frame head of this packet, `frame_head_bytes` long."""
        ...

    def read_frame_head(self, data: bytes) -> FrameHead | None:
        """What a frame head says; None when this is none."""
        ...

    def is_whole(self, head: FrameHead, packet: bytes) -> bool:
        """Whether the packet is the one that the frame head was made for."""
        ...

    def padding(self, size: int) -> bytes:
        """What goes behind a packet of this size."""
        ...

    def ending(self, track: Track, samples: Samples) -> Ending:
        """How a file of these frames ends; there is at least one."""
        ...
