"""Coded pictures out of what a demuxer hands out: put together, numbered, checked for damage.

Pure; the reader thread. A picture leaves here whole as far as its outside tells; each key picture
of H.264 has its parameter sets in front, so that decoding can begin with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from fieldrec.camera.network_numbers import Numbers
from fieldrec.core import h264
from fieldrec.core.errors import CameraError
from fieldrec.core.jpeg import jpeg_size


@dataclass(frozen=True, slots=True)
class Piece:
    """What the demuxer gave: a coded picture, or what belongs in front of one."""

    data: bytes
    key: bool
    """By the demuxer's word."""
    arrived_ns: int
    """CLOCK_BOOTTIME when its first bytes had arrived, as near as can be known."""
    at_ns: int | None
    """Its time by the camera, from any origin; None where there is none."""
    device_time_ns: int | None
    """By the camera's wall clock, where that is known."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A coded picture."""

    data: bytes
    key: bool
    number: int
    arrived_ns: int
    device_time_ns: int | None
    bidirectional: bool = False
    """Part of it is made from pictures shown later."""


class Pictures:
    """Makes pictures of pieces; one for each stream."""

    def __init__(self, codec: str, size: tuple[int, int], extradata: bytes) -> None:
        """`codec`: FFmpeg's name; `size`: (width, height) that all must have; `extradata`: H.264's
        parameter sets where the stream's description has them (Annex B)."""
        self._codec = codec
        self._size = size
        self._numbers = Numbers()
        self._front: Piece | None = None
        """Units that came before their picture."""
        self._sets: dict[int, list[bytes]] = {}
        self._told: h264.SequenceSet | None = None
        if codec == "h264" and extradata.startswith(b"\0\0"):
            self._note_sets(h264.units_of(extradata, True))

    def add(self, piece: Piece) -> Picture | None:
        """The picture that is complete with this piece; None when there is none, or it is damaged
        (its number is left out then). CameraError when the stream is another one now."""
        if self._codec == "h264":
            return self._add_h264(piece)
        if self._codec == "mjpeg":
            size = jpeg_size(piece.data)
            if size is not None:
                self._check_size(size)
            number = self._numbers.next(piece.at_ns)
            return None if size is None else _picture(piece, True, number)
        return _picture(piece, piece.key, self._numbers.next(piece.at_ns))

    def leave_out(self) -> None:
        """Something came that cannot be made out: as a damaged picture, it leaves a gap."""
        self._numbers.next(None)

    def _add_h264(self, piece: Piece) -> Picture | None:
        front, self._front = self._front, None
        data = piece.data if front is None else front.data + piece.data
        first = piece if front is None else front
        try:
            units = h264.units_of(data, True)
            self._note_sets(units)
            pictures = [unit for unit in units if h264.is_picture(unit)]
            if not pictures:
                self._front = Piece(data, False, first.arrived_ns, first.at_ns,
                                    first.device_time_ns)
                return None
            if self._told is None:
                return None
            head = h264.slice_head(pictures[0], self._told)
        except ValueError:
            return None  # the picture behind it shows that it is missing
        number = self._numbers.next(piece.at_ns, head, self._told)
        if head.key:
            data = self._with_sets(data, units)
        return Picture(data, head.key, number, first.arrived_ns, piece.device_time_ns,
                       head.bidirectional)

    def _note_sets(self, units: list[bytes]) -> None:
        """CameraError for pictures of another size."""
        for kind in (h264.SEQUENCE_SET, h264.PICTURE_SET):
            found = [unit for unit in units if h264.kind_of(unit) == kind]
            if found:
                self._sets[kind] = found
        if h264.SEQUENCE_SET not in self._sets:
            return
        told = h264.sequence_set(self._sets[h264.SEQUENCE_SET][0])
        self._check_size((told.width, told.height))
        self._told = told

    def _check_size(self, size: tuple[int, int]) -> None:
        if size != self._size:
            raise CameraError(f"it sends pictures of {size[0]}x{size[1]} now, not of "
                              f"{self._size[0]}x{self._size[1]} any more; a new recording is "
                              "needed")

    def _with_sets(self, data: bytes, units: list[bytes]) -> bytes:
        missing = [unit for kind in (h264.SEQUENCE_SET, h264.PICTURE_SET)
                   if not any(h264.kind_of(unit) == kind for unit in units)
                   for unit in self._sets.get(kind, ())]
        return h264.with_start_codes([*missing, *units]) if missing else data


def _picture(piece: Piece, key: bool, number: int) -> Picture:
    return Picture(piece.data, key, number, piece.arrived_ns, piece.device_time_ns)
