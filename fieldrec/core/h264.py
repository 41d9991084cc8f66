"""What must be known of H.264 packets to record them without decoding: units, set-up, slice heads.

Pure; any thread. A packet is one access unit (a picture with what belongs to it), either with start
codes before each unit (Annex B, as cameras send it) or with lengths (as MP4 and Matroska have it).
Only the first bytes of a slice are looked at: a packet costs tens of microseconds whatever its
size. Source of all field names and orders: ITU-T H.264, 7.3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

SLICE, PARTITION_A, KEY_SLICE, SEQUENCE_SET, PICTURE_SET, DELIMITER = 1, 2, 5, 7, 8, 9
"""Types of units."""
_PICTURE_TYPES = frozenset({SLICE, PARTITION_A, KEY_SLICE})
_TYPES = 0x1F
_REFERENCE = 0x60
_START = re.compile(b"\0\0\1")
_LENGTH_BYTES = 4
_SLICE_HEAD_BYTES = 24
_B_SLICES = (1, 6)
_WITH_CHROMA_FORMAT = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
"""Profiles whose sequence set says more about chroma."""
_IN_AVCC = frozenset({100, 110, 122, 144})
"""Profiles for which an avcC record repeats it."""


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """The parts of a sequence parameter set that matter here."""

    profile: int
    width: int
    """What is shown: cropping is taken off."""
    height: int
    chroma_format: int
    """1 = 4:2:0."""
    luma_bits: int
    chroma_bits: int
    separate_planes: bool
    frame_num_bits: int
    """Width of a slice's `frame_num`."""
    may_skip_numbers: bool
    """Whether the encoder may leave out values of `frame_num`."""
    interlaced: bool
    """Whether pictures may be fields."""


@dataclass(frozen=True, slots=True)
class SliceHead:
    """The first slice of a picture."""

    bidirectional: bool
    """A B slice: such a picture may be shown before one that is coded earlier."""
    frame_num: int
    key: bool
    """Of an IDR picture: nothing coded before it is referred to any more."""
    reference: bool
    """Whether later pictures may be made from it."""


def kind_of(unit: bytes) -> int:
    """Type of a unit."""
    return unit[0] & _TYPES


def has_start_codes(packet: bytes) -> bool:
    """Whether a packet is Annex B. One that could be read both ways is told by its units: lengths
    that lead to the end exactly, over units without a start code in them, are lengths."""
    if not packet.startswith((b"\0\0\1", b"\0\0\0\1")):
        return False
    by_length = _by_length(packet)
    return by_length is None or any(not unit or unit[0] & 0x80 or _START.search(unit)
                                    for unit in by_length)


def units_of(packet: bytes, start_codes: bool) -> list[bytes]:
    """The units of a packet, without start codes or lengths. ValueError when they are damaged."""
    if start_codes:
        return _by_start_code(packet)
    units = _by_length(packet)
    if units is None or not all(units):
        raise ValueError("the lengths of its units do not add up")
    return units


def with_lengths(units: list[bytes]) -> bytes:
    """The units as MP4 and Matroska have them, four bytes of length before each."""
    return b"".join(part for unit in units for part in (len(unit).to_bytes(_LENGTH_BYTES, "big"),
                                                        unit))


def with_start_codes(units: list[bytes]) -> bytes:
    """The units as Annex B."""
    return b"".join(part for unit in units for part in (b"\0\0\0\1", unit))


def _by_start_code(packet: bytes) -> list[bytes]:
    """What is between start codes, without the zeros that may follow a unit."""
    starts = [found.end() for found in _START.finditer(packet)]
    if not starts or packet[:starts[0] - 3].strip(b"\0"):
        raise ValueError("it does not begin with a start code")
    ends = [start - 3 for start in starts[1:]] + [len(packet)]
    units = [packet[start:end].rstrip(b"\0") for start, end in zip(starts, ends, strict=True)]
    return [unit for unit in units if unit]


def _by_length(packet: bytes) -> list[bytes] | None:
    """What the lengths delimit; None when they do not lead to the end."""
    units, at = [], 0
    while at < len(packet):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(packet[at:start], "big")
        units.append(packet[start:at])
    return units if at == len(packet) else None


# --- set-up ------------------------------------------------------------------------------------

@lru_cache(maxsize=16)
def sequence_set(unit: bytes) -> SequenceSet:
    """What a sequence parameter set says. ValueError when it is damaged."""
    bits = _Bits(unit[1:])
    profile = bits.take(8)
    bits.take(16)  # constraints, level
    bits.number()  # id
    chroma_format, separate, luma_bits, chroma_bits = 1, False, 8, 8
    if profile in _WITH_CHROMA_FORMAT:
        chroma_format = bits.number()
        separate = chroma_format == 3 and bool(bits.take(1))
        luma_bits, chroma_bits = bits.number() + 8, bits.number() + 8
        bits.take(1)
        if bits.take(1):
            _skip_scaling(bits, 8 if chroma_format != 3 else 12)
    frame_num_bits = bits.number() + 4
    _skip_order_count(bits)
    bits.number()  # reference pictures
    may_skip = bool(bits.take(1))
    columns, rows = bits.number() + 1, bits.number() + 1
    frames_only = bits.take(1)
    if not frames_only:
        bits.take(1)
    bits.take(1)
    left, right, top, bottom = ([bits.number() for _ in range(4)] if bits.take(1)
                                else [0, 0, 0, 0])
    across = 2 if chroma_format in (1, 2) else 1
    down = (2 if chroma_format == 1 else 1) * (2 - frames_only)
    return SequenceSet(
        profile, columns * 16 - (left + right) * across,
        rows * 16 * (2 - frames_only) - (top + bottom) * down, chroma_format, luma_bits,
        chroma_bits, separate, frame_num_bits, may_skip, not frames_only)


def avcc(sequence_sets: tuple[bytes, ...], picture_sets: tuple[bytes, ...]) -> bytes:
    """The avcC record of these parameter sets: what MP4 and Matroska tell a decoder. ValueError."""
    first = sequence_sets[0]
    told = sequence_set(first)
    record = b"\1" + first[1:4] + b"\xff" + bytes([0xE0 | len(sequence_sets)])
    record += b"".join(len(unit).to_bytes(2, "big") + unit for unit in sequence_sets)
    record += bytes([len(picture_sets)])
    record += b"".join(len(unit).to_bytes(2, "big") + unit for unit in picture_sets)
    if told.profile in _IN_AVCC:
        record += bytes([0xFC | told.chroma_format, 0xF8 | told.luma_bits - 8,
                         0xF8 | told.chroma_bits - 8, 0])
    return record


def _skip_scaling(bits: _Bits, lists: int) -> None:
    for index in range(lists):
        if not bits.take(1):
            continue
        last, following = 8, 8
        for _ in range(16 if index < 6 else 64):
            if following:
                following = (last + bits.signed()) % 256
            last = following or last


def _skip_order_count(bits: _Bits) -> None:
    kind = bits.number()
    if kind == 0:
        bits.number()
    elif kind == 1:
        bits.take(1)
        bits.number()
        bits.number()
        for _ in range(bits.number()):
            bits.number()


# --- pictures ----------------------------------------------------------------------------------

def is_picture(unit: bytes) -> bool:
    """Whether a unit is (a part of) a coded picture."""
    return unit[0] & _TYPES in _PICTURE_TYPES


def slice_head(unit: bytes, told: SequenceSet) -> SliceHead:
    """The head of a slice. ValueError when it is damaged."""
    bits = _Bits(unit[1:_SLICE_HEAD_BYTES])
    bits.number()  # first macroblock
    kind = bits.number()
    bits.number()  # picture set
    if told.separate_planes:
        bits.take(2)
    return SliceHead(kind in _B_SLICES, bits.take(told.frame_num_bits),
                     kind_of(unit) == KEY_SLICE, bool(unit[0] & _REFERENCE))


class _Bits:
    """A unit's bits in their order, without the bytes that keep start codes out of it."""

    def __init__(self, data: bytes) -> None:
        data = data.replace(b"\0\0\3", b"\0\0")
        self._left = len(data) * 8
        self._value = int.from_bytes(data, "big")

    def take(self, count: int) -> int:
        """So many bits as a number. ValueError when there are not so many."""
        self._left -= count
        if self._left < 0:
            raise ValueError("a unit is cut")
        return self._value >> self._left & (1 << count) - 1

    def number(self) -> int:
        """An unsigned Exp-Golomb code."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        if zeros > 31:
            raise ValueError("a number in a unit is too large")
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        """A signed Exp-Golomb code."""
        code = self.number()
        return (code + 1) // 2 if code % 2 else -(code // 2)
