"""A camera's own packets on their way into a video store: looked at, not decoded.

Store thread. Keeps that everything stored can be decoded: chunks begin at key pictures, no picture
is stored whose forerunner is missing, each key picture brings the parameter sets along. What a
recording cannot be made of (pictures shown in another order than sent, fields, another size than
the store's) is an error that says what to set on the camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fieldrec.core import h264
from fieldrec.core.errors import StoreError
from fieldrec.core.jpeg import jpeg_size
from fieldrec.store.video.codec import VideoForm
from fieldrec.store.video.growth import Track

MOST_AFTER_END = 9000
"""A chunk that has its `chunksize` goes on until the next key picture comes, for up to so many
frames: five minutes at 30 a second."""
_MOST_WITHOUT_KEY = 1500
"""Packets after which a stream that never had a key picture is given up."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A packet that can be written."""

    data: bytes
    """As the store's container wants it."""
    key: bool
    track: Track
    """What a decoder must know before it."""


class _Reader(Protocol):
    """What is to be known of one coding."""

    def read(self, packet: bytes) -> Taken | None:
        """The packet for the container; None when it is damaged, or when nothing that came before
        says how it is coded. StoreError for what cannot be recorded."""
        ...


class PacketStream:
    """One camera's packets, through all chunks of a store."""

    def __init__(self, form: VideoForm, chunksize: int) -> None:
        self._reader: _Reader = (_H264(form) if form.name == "h264/mkv" else _Jpeg(form))
        self._chunksize = chunksize
        self._last: int | None = None
        """Number of the last packet, if it is stored: only then the next can be decoded."""
        self._without_key = 0
        self._key_track: Track | None = None
        """How the last key picture is coded, and so the open chunk."""

    def take(self, packet: memoryview, key: bool, number: int) -> Taken | None:
        """The packet as it is to be written, or None when it cannot be decoded by what is stored.
        Call :meth:`stored` when it is. StoreError."""
        last, self._last = self._last, None
        taken = self._reader.read(bytes(packet))
        if taken is not None and (taken.key or last == number - 1):
            return taken
        self._without_key += 1
        if self._without_key == _MOST_WITHOUT_KEY and last is None:
            raise StoreError(f"no key picture came in {_MOST_WITHOUT_KEY} packets; on the camera, "
                             "set a key frame interval of a second or two and switch intra refresh "
                             "off, or use `store: frames`")
        return None

    def stored(self, taken: Taken, number: int) -> None:
        """The packet taken last is in the store."""
        self._last = number
        self._without_key = 0
        if taken.key:
            self._key_track = taken.track

    def begins_chunk(self, taken: Taken, count: int) -> bool:
        """Whether a packet belongs into the next chunk; `count`: frames in the open one."""
        return count > 0 and taken.key and (count >= self._chunksize
                                            or taken.track != self._key_track)


class _H264:
    """Units with start codes or lengths, told by the first key picture."""

    def __init__(self, form: VideoForm) -> None:
        self._form = form
        self._start_codes: bool | None = None
        self._sets: tuple[tuple[bytes, ...], tuple[bytes, ...]] = ((), ())
        self._told: h264.SequenceSet | None = None
        self._track: Track | None = None

    def read(self, packet: bytes) -> Taken | None:
        """As in the protocol."""
        try:
            units = self._units(packet)
            self._note_sets(units)
            pictures = [unit for unit in units if h264.is_picture(unit)]
            if not pictures or self._told is None or self._track is None:
                return None
            head = h264.slice_head(pictures[0], self._told)
        except ValueError:
            return None
        if head.bidirectional:
            raise StoreError("the camera sends B-frames, whose order of showing is not that of "
                             "sending; switch them off on the camera (H.264 profile baseline, or "
                             "no B-frames), or use `store: frames`")
        if head.key:
            units = self._with_sets(units)
        elif self._start_codes is False:
            return Taken(packet, False, self._track)
        return Taken(h264.with_lengths(units), head.key, self._track)

    def _units(self, packet: bytes) -> list[bytes]:
        """Settled by the first packet that has a sequence set in it."""
        start_codes = self._start_codes
        if start_codes is None:
            start_codes = h264.has_start_codes(packet)
        units = h264.units_of(packet, start_codes)
        if any(h264.kind_of(unit) == h264.SEQUENCE_SET for unit in units):
            self._start_codes = start_codes
        return units

    def _note_sets(self, units: list[bytes]) -> None:
        """Another set-up than before makes another track. StoreError for one that no store has."""
        sequence, picture = (_unique(units, kind) for kind in (h264.SEQUENCE_SET,
                                                               h264.PICTURE_SET))
        if not sequence and not picture:
            return
        sets = sequence or self._sets[0], picture or self._sets[1]
        if sets == self._sets or not all(sets):
            self._sets = sets
            return
        told = h264.sequence_set(sets[0][0])
        self._check(told)
        track = Track(told.width, told.height, h264.avcc(*sets), colour=False)
        self._sets, self._told, self._track = sets, told, track

    def _check(self, told: h264.SequenceSet) -> None:
        form = self._form
        if (told.width, told.height) != (form.width, form.height):
            raise StoreError(f"the camera sends pictures of {told.width} x {told.height} now, the "
                             f"store has {form.width} x {form.height}; a new recording is needed")
        if told.interlaced:
            raise StoreError("the camera sends interlaced pictures; set it to progressive, or use "
                             "`store: frames`")

    def _with_sets(self, units: list[bytes]) -> list[bytes]:
        """A key picture with the sets that it needs, where it does not have them."""
        kinds = {h264.kind_of(unit) for unit in units}
        if {h264.SEQUENCE_SET, h264.PICTURE_SET} <= kinds:
            return units
        at = 1 if h264.kind_of(units[0]) == h264.DELIMITER else 0
        rest = [unit for unit in units[at:]
                if h264.kind_of(unit) not in (h264.SEQUENCE_SET, h264.PICTURE_SET)]
        return [*units[:at], *self._sets[0], *self._sets[1], *rest]


def _unique(units: list[bytes], kind: int) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(unit for unit in units if h264.kind_of(unit) == kind))


def track_in(packet: bytes, form: VideoForm) -> Track | None:
    """What a stored packet says of its own coding: that of a chunk's first packet says it when it
    came from a camera, never when our encoder made it. None where it does not."""
    reader = _H264(form)
    try:
        taken = reader.read(packet) if form.name == "h264/mkv" else None
    except StoreError:
        return None
    return None if taken is None else taken.track


class _Jpeg:
    """Every packet is a picture by itself."""

    def __init__(self, form: VideoForm) -> None:
        self._form = form
        self._track = Track(form.width, form.height, b"")

    def read(self, packet: bytes) -> Taken | None:
        """As in the protocol."""
        size = jpeg_size(packet)
        if size is None:
            return None
        if size != (self._form.width, self._form.height):
            raise StoreError(f"the camera sends pictures of {size[0]} x {size[1]} now, the store "
                             f"has {self._form.width} x {self._form.height}; a new recording is "
                             "needed")
        return Taken(packet, True, self._track)
