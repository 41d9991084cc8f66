"""AVI with OpenDML indexes, as MJPEG chunks are written.

Pure. The head has room for the sizes and the index of indexes; then, in the `movi` list, a `JUNK`
chunk with a frame's position and checksum goes before each frame's `00dc` chunk. A RIFF ends after
about a GB, and the next one begins, as OpenDML wants it; the indexes of all of them, and the old
`idx1` where one RIFF is enough, go behind the last frame.
"""

from __future__ import annotations

import struct

import xxhash

from fieldrec.store.video.growth import RATE_HZ, Ending, FrameHead, Samples, Track

SEGMENT_BYTES = 1 << 30
"""A RIFF ends before it is larger: its sizes have 32 bits, and some readers take 31."""
MAX_SEGMENTS = 128
HEAD_BYTES = 4096
_FRAME = struct.Struct("<4sIQQ4sI")
_JUNK_BYTES = 16
_NEXT_RIFF = struct.Struct("<4sI4s4sI4s")
_MOVI_AT = HEAD_BYTES - 12
_INDEX_IS_SORTED = 0x10
_KEY_FRAME = 0x10


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack("<4sI", name, len(content)) + content


def _list(name: bytes, *contents: bytes) -> bytes:
    return _chunk(b"LIST", name + b"".join(contents))


class Avi:
    """`.avi` files of MJPEG."""

    frame_head_bytes = _FRAME.size
    marker = struct.pack("<4sI", b"JUNK", _JUNK_BYTES)

    def head(self, track: Track) -> bytes:
        """As in the protocol: :data:`HEAD_BYTES` long."""
        return _head(track, 0, 0, b"")

    def read_head(self, data: bytes) -> tuple[Track, int] | None:
        """As in the protocol."""
        if len(data) < HEAD_BYTES or data[:4] + data[8:16] != b"RIFFAVI LIST" or \
                data[_MOVI_AT:_MOVI_AT + 4] + data[HEAD_BYTES - 4:HEAD_BYTES] != b"LISTmovi":
            return None
        width, height = struct.unpack_from("<II", data, 64)
        return Track(width, height, b""), HEAD_BYTES

    def lead(self, samples: Samples, size: int) -> bytes:
        """As in the protocol: the next RIFF where this one would be too large. ValueError when
        that cannot be."""
        start, _first = samples.segments[-1]
        if samples.end + _FRAME.size + size - start <= SEGMENT_BYTES:
            return b""
        if len(samples.segments) >= MAX_SEGMENTS or size > SEGMENT_BYTES // 2:
            raise ValueError("the file is as large as an AVI can be; use smaller chunks")
        return _next_riff(0, 0)

    def frame_head(self, position: int, packet: bytes, key: bool) -> bytes:
        """As in the protocol."""
        return _FRAME.pack(b"JUNK", _JUNK_BYTES, position, _check(packet, position), b"00dc",
                           len(packet))

    def read_frame_head(self, data: bytes) -> FrameHead | None:
        """As in the protocol."""
        if len(data) < _FRAME.size:
            return None
        junk, junk_size, position, check, name, size = _FRAME.unpack_from(data)
        if (junk, junk_size, name) != (b"JUNK", _JUNK_BYTES, b"00dc"):
            return None
        return FrameHead(position, size, True, check)

    def is_whole(self, head: FrameHead, packet: bytes) -> bool:
        """As in the protocol."""
        return len(packet) == head.size and _check(packet, head.position) == head.check

    def padding(self, size: int) -> bytes:
        """As in the protocol: chunks begin at even places."""
        return b"\0" * (size & 1)

    def ending(self, track: Track, samples: Samples) -> Ending:
        """As in the protocol: the indexes, and the sizes in the head."""
        tail, entries = b"", b""
        firsts = [first for _start, first in samples.segments] + [len(samples)]
        for (start, first), after in zip(samples.segments, firsts[1:], strict=True):
            index = _standard_index(samples, start, first, after)
            entries += struct.pack("<QII", samples.end + len(tail), len(index), after - first)
            tail += index
        alone = len(samples.segments) == 1
        list_end = samples.end + len(tail)
        if alone:
            tail += _old_index(samples)
        return Ending(tail, _patches(track, samples, list_end, samples.end + len(tail), entries,
                                     firsts[1]))


def _check(packet: bytes, position: int) -> int:
    return xxhash.xxh3_64_intdigest(packet, seed=position)


def _patches(track: Track, samples: Samples, list_end: int, end: int, entries: bytes, shown: int
             ) -> tuple[tuple[int, bytes], ...]:
    """The head anew, and the beginning of each further RIFF, with their sizes."""
    starts = [start for start, _first in samples.segments]
    ends = [*starts[1:], end]
    list_ends = [*starts[1:], list_end]
    head = bytearray(_head(track, len(samples), shown, entries))
    struct.pack_into("<I", head, 4, ends[0] - 8)
    struct.pack_into("<I", head, _MOVI_AT + 4, list_ends[0] - _MOVI_AT - 8)
    return ((0, bytes(head)), *(
        (start, _next_riff(riff_end - start, list_end - start)) for start, riff_end, list_end
        in zip(starts[1:], ends[1:], list_ends[1:], strict=True)))


def _next_riff(size: int, list_end: int) -> bytes:
    """How every RIFF but the first begins; sizes count from there, 0 and 0 while it grows."""
    return _NEXT_RIFF.pack(b"RIFF", max(0, size - 8), b"AVIX", b"LIST", max(0, list_end - 20),
                           b"movi")


def _head(track: Track, count: int, count_in_first: int, entries: bytes) -> bytes:
    width, height = track.width, track.height
    per_frame = width * height * 3
    avih = struct.pack("<14I", 1_000_000 // RATE_HZ, min(per_frame * RATE_HZ, 0xFFFFFFFF), 0,
                       _INDEX_IS_SORTED, count_in_first, 0, 1, per_frame, width, height,
                       0, 0, 0, 0)
    strh = struct.pack("<4s4sIHHIIIIIIiI4h", b"vids", b"MJPG", 0, 0, 0, 0, 1, RATE_HZ, 0, count,
                       per_frame, -1, 0, 0, 0, width & 0x7FFF, height & 0x7FFF)
    strf = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"MJPG", per_frame, 0, 0, 0, 0)
    indx = struct.pack("<HBBI4s12x", 4, 0, 0, len(entries) // 16, b"00dc") + entries
    indx += bytes(24 + 16 * MAX_SEGMENTS - len(indx))
    hdrl = _list(b"hdrl", _chunk(b"avih", avih),
                 _list(b"strl", _chunk(b"strh", strh), _chunk(b"strf", strf),
                       _chunk(b"indx", indx)),
                 _list(b"odml", _chunk(b"dmlh", struct.pack("<I244x", count))))
    start = struct.pack("<4sI4s", b"RIFF", 0, b"AVI ") + hdrl
    room = bytes(_MOVI_AT - len(start) - 8)
    return start + _chunk(b"JUNK", room) + struct.pack("<4sI4s", b"LIST", 0, b"movi")


def _standard_index(samples: Samples, base: int, first: int, after: int) -> bytes:
    """OpenDML's index of one RIFF: places are counted from its beginning."""
    entries = b"".join(struct.pack("<II", samples.offsets[at] - base, samples.sizes[at])
                       for at in range(first, after))
    head = struct.pack("<HBBI4sQI", 2, 0, 1, after - first, b"00dc", base, 0)
    return _chunk(b"ix00", head + entries)


def _old_index(samples: Samples) -> bytes:
    """The index of AVI 1.0: places of the chunks, counted from the word `movi`."""
    origin = HEAD_BYTES - 4
    return _chunk(b"idx1", b"".join(
        struct.pack("<4sIII", b"00dc", _KEY_FRAME, samples.offsets[at] - 8 - origin,
                    samples.sizes[at]) for at in range(len(samples))))
