"""Matroska, as H.264 chunks are written: one cluster with a checksum of its own for each frame.

Pure. Any player opens the file while it grows, and whatever a crash leaves of it. The layout::

    0    EBML header, Segment (its size is filled in at the end)
    52   room for the SeekHead, which is known at the end
    128  Info, Tracks (with a CRC-32: a damaged decoder set-up must not show wrong pictures)
         one Cluster a frame: CRC-32, Timestamp, SimpleBlock
         Cues (at the end)

At the end the head is written over; Info and Tracks stay where they are.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from fieldrec.store.video.growth import RATE_HZ, Ending, FrameHead, Samples, Track

FRAME_MS = 1000 // RATE_HZ
_INFO_AT = 128
_SIZE_AT = 44
_SEEK_AT = 52
_MAX_PACKET = (1 << 28) - 64
_SEGMENT = b"\x18\x53\x80\x67"
_INFO = b"\x15\x49\xa9\x66"
_TRACKS = b"\x16\x54\xae\x6b"
_CUES = b"\x1c\x53\xbb\x6b"
_CLUSTER = b"\x1f\x43\xb6\x75"
_CRC = b"\xbf"
_VOID = b"\xec"
_NO_DURATION = b"\xec\x89" + bytes(9)
_FRAME = struct.Struct(">4sIHI2sIBIB2sB")
"""Cluster, its size; CRC-32; Timestamp; SimpleBlock, its size; track, time in the cluster, flags.
(The checksum is little-endian: it is swapped where it is used.)"""
_CHECKED_FROM = 14
_IN_CLUSTER = _FRAME.size - 8
_IN_BLOCK = 4
_CRC_HEAD = 0xBF84
_TIME_HEAD = b"\xe7\x84"
_BLOCK = 0xA3
_TRACK = 0x81
_KEY = 0x80
_SIZE_4 = 0x10000000
"""Marks a size of four bytes."""


def element(name: bytes, content: bytes) -> bytes:
    """An EBML element; its size takes as few bytes as it can."""
    size = len(content)
    width = next(n for n in range(1, 9) if size < (1 << 7 * n) - 1)
    return name + (size | 1 << 7 * width).to_bytes(width, "big") + content


def _number(name: bytes, value: int) -> bytes:
    return element(name, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def _swapped(crc: int) -> int:
    return int.from_bytes(crc.to_bytes(4, "little"), "big")


def _long_size(size: int) -> bytes:
    return (size | 1 << 56).to_bytes(8, "big")


def _checked(content: bytes) -> bytes:
    """The content with its CRC-32 in front, as EBML wants it."""
    return _CRC + b"\x84" + zlib.crc32(content).to_bytes(4, "little") + content


class Matroska:
    """`.mkv` files of H.264; `.mp4` files are grown as such too."""

    frame_head_bytes = _FRAME.size
    marker = _CLUSTER

    def head(self, track: Track) -> bytes:
        """As in the protocol."""
        start = element(b"\x1a\x45\xdf\xa3", b"".join((
            _number(b"\x42\x86", 1), _number(b"\x42\xf7", 1), _number(b"\x42\xf2", 4),
            _number(b"\x42\xf3", 8), element(b"\x42\x82", b"matroska"), _number(b"\x42\x87", 4),
            _number(b"\x42\x85", 2)))) + _SEGMENT + b"\x01" + b"\xff" * 7
        return start + _void(_INFO_AT - len(start)) + _info() + _tracks(track)

    def read_head(self, data: bytes) -> tuple[Track, int] | None:
        """As in the protocol."""
        track, end = None, _INFO_AT
        for name, start, end in _elements(data, _INFO_AT, len(data)):
            if name == _TRACKS:
                track = _read_tracks(data[start:end])
                break
        return None if track is None else (track, end)

    def lead(self, samples: Samples, size: int) -> bytes:
        """As in the protocol: nothing. ValueError for a picture that no cluster can hold."""
        if size > _MAX_PACKET:
            raise ValueError(f"a picture of {size} bytes is too large")
        return b""

    def frame_head(self, position: int, packet: bytes, key: bool) -> bytes:
        """As in the protocol."""
        size = len(packet)
        head = bytearray(_FRAME.pack(
            _CLUSTER, _SIZE_4 | _IN_CLUSTER + size, _CRC_HEAD, 0, _TIME_HEAD, position * FRAME_MS,
            _BLOCK, _SIZE_4 | _IN_BLOCK + size, _TRACK, b"\0\0", _KEY * key))
        crc = zlib.crc32(packet, zlib.crc32(head[_CHECKED_FROM:]))
        head[_CHECKED_FROM - 4:_CHECKED_FROM] = crc.to_bytes(4, "little")
        return bytes(head)

    def read_frame_head(self, data: bytes) -> FrameHead | None:
        """As in the protocol."""
        if len(data) < _FRAME.size:
            return None
        (cluster, cluster_size, crc_head, crc, time_head, time_ms, block, block_size, track, zero,
         flags) = _FRAME.unpack_from(data)
        size = (block_size ^ _SIZE_4) - _IN_BLOCK
        fits = ((cluster, crc_head, time_head, block, track, zero)
                == (_CLUSTER, _CRC_HEAD, _TIME_HEAD, _BLOCK, _TRACK, b"\0\0")
                and 0 <= size <= _MAX_PACKET and cluster_size ^ _SIZE_4 == _IN_CLUSTER + size
                and time_ms % FRAME_MS == 0 and flags in (0, _KEY))
        return FrameHead(time_ms // FRAME_MS, size, flags == _KEY, _swapped(crc)) if fits else None

    def is_whole(self, head: FrameHead, packet: bytes) -> bool:
        """As in the protocol."""
        if len(packet) != head.size:
            return False
        expected = self.frame_head(head.position, packet, head.key)
        return int.from_bytes(expected[_CHECKED_FROM - 4:_CHECKED_FROM], "little") == head.check

    def padding(self, size: int) -> bytes:
        """As in the protocol: nothing."""
        return b""

    def ending(self, track: Track, samples: Samples) -> Ending:
        """As in the protocol: the Cues, and what says where they are."""
        cues = element(_CUES, b"".join(_cues(samples)))
        seek = element(b"\x11\x4d\x9b\x74", element(b"\x4d\xbb", b"".join((
            element(b"\x53\xab", _CUES),
            element(b"\x53\xac", (samples.end - _SEEK_AT).to_bytes(8, "big"))))))
        duration = b"\x44\x89\x88" + struct.pack(">d", len(samples) * FRAME_MS)
        head = self.head(track)
        start = head[:_SIZE_AT] + _long_size(samples.end + len(cues) - _SEEK_AT) + seek
        start += _void(_INFO_AT - len(start))
        return Ending(cues, ((0, start + head[_INFO_AT:].replace(_NO_DURATION, duration, 1)),))


def _cues(samples: Samples) -> Iterator[bytes]:
    for at, key in enumerate(samples.keys):
        if key:
            cluster = samples.offsets[at] - _FRAME.size - _SEEK_AT
            yield element(b"\xbb", _number(b"\xb3", at * FRAME_MS) + element(
                b"\xb7", _number(b"\xf7", 1) + _number(b"\xf1", cluster)))


def _void(length: int) -> bytes:
    """An element of `length` bytes (9 to 128) that says nothing."""
    return _VOID + (length - 2 | 0x80).to_bytes(1, "big") + bytes(length - 2)


def _info() -> bytes:
    return element(_INFO, b"".join((
        _number(b"\x2a\xd7\xb1", 1_000_000), element(b"\x4d\x80", b"fieldrec"),
        element(b"\x57\x41", b"fieldrec"), _NO_DURATION)))


def _tracks(track: Track) -> bytes:
    """Full range, the matrix of BT.601: see video_codec."""
    colour = element(b"\x55\xb0", b"".join((
        _number(b"\x55\xb1", 6), _number(b"\x55\xb9", 2), _number(b"\x55\xba", 2),
        _number(b"\x55\xbb", 2))))
    video = element(b"\xe0", b"".join((
        _number(b"\x9a", 2), _number(b"\xb0", track.width), _number(b"\xba", track.height),
        colour if track.colour else b"")))
    entry = element(b"\xae", b"".join((
        _number(b"\xd7", 1), _number(b"\x73\xc5", 1), _number(b"\x83", 1), _number(b"\x9c", 0),
        element(b"\x22\xb5\x9c", b"und"), _number(b"\x23\xe3\x83", 1_000_000_000 // RATE_HZ),
        element(b"\x86", b"V_MPEG4/ISO/AVC"), element(b"\x63\xa2", track.private), video)))
    return element(_TRACKS, _checked(entry))


def _read_tracks(content: bytes) -> Track | None:
    """The track, if its checksum is right."""
    if content[:2] != b"\xbf\x84" or zlib.crc32(content[6:]) != int.from_bytes(content[2:6],
                                                                              "little"):
        return None
    found: dict[bytes, bytes] = {}
    masters = [(6, len(content))]
    while masters:
        for name, start, end in _elements(content, *masters.pop()):
            found[name] = content[start:end]
            if name in (b"\xae", b"\xe0"):
                masters.append((start, end))
    return Track(int.from_bytes(found[b"\xb0"], "big"), int.from_bytes(found[b"\xba"], "big"),
                 found[b"\x63\xa2"], colour=b"\x55\xb0" in found)


def _elements(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(id, start, end) of the contents that follow one another; ends at the first that is cut."""
    while at < end - 1:
        id_width = 9 - data[at].bit_length()
        size_at = at + id_width
        if id_width > 4 or size_at >= end or data[size_at] == 0:
            return
        size_width = 9 - data[size_at].bit_length()
        start = size_at + size_width
        size = int.from_bytes(data[size_at:start], "big") ^ 1 << 7 * size_width
        if start + size > end:
            return
        yield data[at:size_at], start, start + size
        at = start + size
