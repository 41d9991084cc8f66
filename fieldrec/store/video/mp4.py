"""MP4, as it is made of a grown Matroska file: the frames stay where they are, the `moov` follows.

Pure. In an mp4 the sample table says where each packet lies, and what is between them does not
matter: so the frame heads stay too. The first 48 bytes become `ftyp` and the head of an `mdat` that
goes up to the `moov`; the rest of the Matroska head stays inside, so that a file that was finished
but not yet entered in an index is verified like one that grows.
"""

from __future__ import annotations

import struct
from array import array

from fieldrec.store.video.growth import RATE_HZ, Ending, Samples, Track
from fieldrec.store.video.matroska import Matroska

_FTYP = struct.pack(">I4s4sI16s", 32, b"ftyp", b"isom", 512, b"isomiso2avc1mp41")
_UNITY = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_MOVIE_HZ = 1000
_COLOUR = b"nclx" + struct.pack(">HHHB", 2, 2, 6, 0x80)
"""Primaries and transfer unspecified, matrix of BT.601, full range: see video_codec."""


class Mp4(Matroska):
    """`.mp4` files of H.264."""

    def ending(self, track: Track, samples: Samples) -> Ending:
        """As in the protocol: the `moov`, and the first bytes that make it an mp4."""
        mdat = struct.pack(">I4sQ", 1, b"mdat", samples.end - len(_FTYP))
        start = _FTYP + mdat
        return Ending(_moov(track, samples), ((0, start + self.head(track)[len(start):]),))


def _box(name: bytes, *contents: bytes) -> bytes:
    return struct.pack(">I4s", 8 + sum(map(len, contents)), name) + b"".join(contents)


def _full(name: bytes, *contents: bytes, version: int = 0, flags: int = 0) -> bytes:
    return _box(name, struct.pack(">I", version << 24 | flags), *contents)


def _moov(track: Track, samples: Samples) -> bytes:
    movie_ticks = len(samples) * _MOVIE_HZ // RATE_HZ
    header = struct.pack(">QQIQIH10x", 0, 0, _MOVIE_HZ, movie_ticks, 0x10000, 0x100)
    placed = struct.pack(">QQI4xQ8xhhh2x", 0, 0, 1, movie_ticks, 0, 0, 0)
    return _box(b"moov",
                _full(b"mvhd", header, _UNITY, bytes(24), struct.pack(">I", 2), version=1),
                _box(b"trak",
                     _full(b"tkhd", placed, _UNITY,
                           struct.pack(">II", track.width << 16, track.height << 16),
                           version=1, flags=3),
                     _media(track, samples)))


def _media(track: Track, samples: Samples) -> bytes:
    header = struct.pack(">QQIQHH", 0, 0, RATE_HZ, len(samples), 0x55C4, 0)  # language: und
    return _box(b"mdia",
                _full(b"mdhd", header, version=1),
                _full(b"hdlr", struct.pack(">I4s12x", 0, b"vide"), b"VideoHandler\0"),
                _box(b"minf",
                     _full(b"vmhd", bytes(8), flags=1),
                     _box(b"dinf", _full(b"dref", struct.pack(">I", 1), _full(b"url ", flags=1))),
                     _table(track, samples)))


def _table(track: Track, samples: Samples) -> bytes:
    """Each sample is a chunk by itself; one tick each."""
    count = len(samples)
    keys = [at for at, key in enumerate(samples.keys, 1) if key]
    return _box(b"stbl",
                _full(b"stsd", struct.pack(">I", 1), _entry(track)),
                _full(b"stts", struct.pack(">III", 1, count, 1)),
                _full(b"stss", struct.pack(">I", len(keys)), _big(array("I", keys))),
                _full(b"stsc", struct.pack(">IIII", 1, 1, 1, 1)),
                _full(b"stsz", struct.pack(">II", 0, count), _big(array("I", samples.sizes))),
                _full(b"co64", struct.pack(">I", count), _big(samples.offsets)))


def _entry(track: Track) -> bytes:
    return _box(b"avc1",
                struct.pack(">6xH16xHHIIIH32sHh", 1, track.width, track.height, 0x480000, 0x480000,
                            0, 1, b"", 24, -1),
                _box(b"avcC", track.private),
                _box(b"colr", _COLOUR))


def _big(values: array[int]) -> bytes:
    """The numbers, most significant byte first."""
    swapped = values[:]
    if struct.pack("=H", 1) != struct.pack(">H", 1):
        swapped.byteswap()
    return swapped.tobytes()
