"""Pictures of one video file by their position in the order of showing, or an error: nothing else.

Decoding begins at the last key picture that suffices and goes on from where it is when the next
picture is asked for; a few pictures are kept. Every packet goes into the decoder with its ordinal
for a timestamp, which comes out with its picture: one that the decoder drops, makes up or puts out
late cannot pass for another. After damage nothing is believed until the next key picture: a decoder
goes on with whatever it has. One thread; blocks for the disk and the decoder. Imports PyAV.
"""

from __future__ import annotations

from pathlib import Path

from av import VideoFrame
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import PictureType
from av.video.stream import VideoStream

from fieldrec.core.errors import StoreDamaged
from fieldrec.store.video.checks import PacketCheck
from fieldrec.store.video.order import Listing, check_of, codec_name, listing
from fieldrec.store.video.packets import PacketReader, VideoFile
from fieldrec.store.video.structure import structure_of

_KEPT = 8
"""Pictures kept at or before the one asked for last, so that a few steps back cost nothing …"""
_KEPT_BYTES = 48 << 20
"""… as long as they are small."""
_NOT_KEYS = frozenset({PictureType.P, PictureType.B, PictureType.S, PictureType.SP})
_DAMAGED = "its bytes are not what was written, or are cut"
_NEVER_CAME = "it cannot be decoded"
_CONTRADICTION = "the times of the pictures contradict the order in which they are decoded"


_FINAL = (_DAMAGED, _CONTRADICTION)
"""What beginning to decode earlier does not help against."""


class VideoDecoder:
    """One open video file."""

    def __init__(self, path: Path, expected: int | None, known: Listing | None = None) -> None:
        """Open and list it; `known` saves the listing. StoreDamaged, StoreError.

        `expected`: how many pictures the store's index says it has; None when nobody knows.
        """
        self.path = path
        self._video = VideoFile(path)
        try:
            self.listing = known or _listed(self._video, expected)
            self._table = self.listing.table
            self._reader = PacketReader(self._video, self._table.packets)
            self._check = _check_of(self._video, self.listing)
        except BaseException:
            self._video.close()
            raise
        self._intra_will_do = codec_name(self._video) in ("h264", "hevc")
        self._recent: dict[int, VideoFrame] = {}
        self._wanted = -1
        self._kept = 1
        self._refusals: dict[int, tuple[int, str]] = {}
        self._entered: int | None = None  # ordinal at which decoding began; None = nowhere
        self._next = 0                    # ordinal that the decoder is given next
        self._began = False               # the picture at which decoding began was sound
        self._astray = False              # what comes out is not in the order of the table
        self._passed = -1                 # last position that came out
        self._awaited: dict[int, int] = {}  # position and ordinal of what has gone in
        self._hurt: list[int] = []        # ordinals that failed since decoding began
        self._why = _NEVER_CAME

    def __len__(self) -> int:
        """How many pictures it has, or should have."""
        return len(self._table)

    def picture(self, position: int) -> VideoFrame:
        """The picture; valid for as long as the caller likes. StoreDamaged, naming file and
        position, when it is missing, damaged or cannot be told from another one."""
        self._refuse_unproven(position)
        self._expect(position)
        if position not in self._recent:
            self._find(position)
        frame = self._recent[position]
        self._trim(frame)
        return frame

    def close(self) -> None:
        """Idempotent."""
        self._recent.clear()
        self._entered = None
        self._video.close()
        self._check.close()

    # --- which picture, and from where --------------------------------------------------------

    def _refuse_unproven(self, position: int) -> None:
        table = self._table
        if self.listing.refused:
            raise self._damaged(position, self.listing.refused)
        if not 0 <= position < len(table):
            raise self._damaged(position, f"the file has only {len(table)} pictures")
        if position >= table.certain:
            raise self._damaged(position, "a picture is missing in the file, here or earlier, and "
                                "which one cannot be told")
        if table.order[position] < 0:
            raise self._damaged(position, "it is missing in the file, or cut")
        first, why = self._refusals.get(table.entry(position), (len(table.packets), ""))
        if table.order[position] >= first:
            raise self._damaged(position, why)

    def _expect(self, position: int) -> None:
        """Who steps back may do so again; to who goes on, pictures kept are a cost: the decoder
        has to write to cold memory instead of theirs."""
        if position < self._wanted:
            self._kept = _KEPT
        elif self._kept > 1:
            self._kept -= position - self._wanted == 1
        self._wanted = position

    def _damaged(self, position: int, why: str) -> StoreDamaged:
        return StoreDamaged(f"{self.path}, picture {position}: {why}; `fieldrec check` tells what "
                            "can be read")

    def _find(self, position: int) -> None:
        """Decode up to the picture. StoreDamaged when it does not come out whole."""
        ordinal = int(self._table.order[position])
        entry: int | None = self._table.safe_entry(position)
        why, first, step = _NEVER_CAME, ordinal, 1
        again = self._intra_will_do  # what is shown before a key picture may look like damage
        while entry is not None and not self._decode_to(position, ordinal, entry):
            why = self._why if why == _NEVER_CAME else why
            first = min([first, *(at for at in self._hurt if at >= entry)])
            if (self._began and not again) or why in _FINAL:
                break
            again = again and not self._began
            entry = self._table.entry_before(entry, step)
            step *= 4
        if position not in self._recent:
            self._refusals[self._table.entry(position)] = (first, why)
            raise self._damaged(position, why)

    def _decode_to(self, position: int, ordinal: int, entry: int) -> bool:
        """Whether the picture came out, decoding from `entry` or from where it is already."""
        on_the_way = (self._entered is not None and self._entered <= entry <= self._next
                      and (ordinal >= self._next or position in self._awaited)
                      and not self._astray)
        if not on_the_way and not self._enter(entry):
            return False
        while position not in self._recent:
            failed = position not in self._awaited or ordinal in self._hurt
            if (ordinal < self._next and failed) or not self._feed():
                break
        return position in self._recent

    def _enter(self, entry: int) -> bool:
        """Begin to decode at this packet."""
        self._entered, self._passed, self._why = None, -1, _NEVER_CAME
        self._began, self._astray = self._table.places[entry] < 0, False
        self._recent.clear()
        self._awaited.clear()
        self._hurt.clear()
        if not self._reader.go_to(entry):
            return False
        self._video.context.flush_buffers()
        self._entered = self._next = entry
        return True

    # --- decoding ------------------------------------------------------------------------------

    def _feed(self) -> bool:
        """Give the decoder one packet, or at the end of the file ask it for the rest; False when
        nothing more can come."""
        item = self._reader.read()
        if item is None:
            self._decode(None, len(self._table.packets))
            self._hurt += self._awaited.values()
            self._awaited.clear()
            self._entered = None
            return False
        ordinal, packet = item
        for missing in range(self._next, ordinal):  # listed, but it did not come
            self._await(missing)
            self._fails(missing, _DAMAGED)
        self._next = ordinal + 1
        needed = self._await(ordinal)
        if not self._is_sound(ordinal, packet):
            self._fails(ordinal, _DAMAGED)
            return True
        packet.pts = packet.dts = ordinal
        self._video.context.skip_frame = "DEFAULT" if needed else "NONREF"
        self._decode(packet, ordinal)
        return True

    def _await(self, ordinal: int) -> bool:
        """Note that this packet's picture must come out; False when nobody needs it."""
        place = int(self._table.places[ordinal])
        needed = place >= 0 and (place > self._wanted - self._kept or not self._table.proven)
        if needed and not self._is_leading(place):
            self._awaited[place] = ordinal
        return needed

    def _is_sound(self, ordinal: int, packet: Packet[VideoStream]) -> bool:
        if not self._reader.is_as_listed(ordinal, packet):
            return False
        offset = int(self._table.packets.offsets[ordinal])
        return self._check.is_sound(offset, bytes(packet))

    def _is_leading(self, place: int) -> bool:
        """Shown before the picture at which decoding began: it may need what was not decoded."""
        return self._entered is None or self._table.entry(place) < self._entered

    def _decode(self, packet: Packet[VideoStream] | None, ordinal: int) -> None:
        try:
            frames = self._video.context.decode(packet)
        except FFmpegError as error:
            place = int(self._table.places[ordinal]) if packet is not None else -1
            if place < 0 or not self._is_leading(place):
                self._fails(ordinal, f"{_NEVER_CAME} ({error.strerror})")
            return
        for frame in frames:
            self._came(frame)

    def _fails(self, ordinal: int, why: str) -> None:
        self._hurt.append(ordinal)
        if self._why != _CONTRADICTION:
            self._why = why

    def _came(self, frame: VideoFrame) -> None:
        """Keep a picture if it is beyond doubt."""
        ordinal = frame.pts
        place = -1 if ordinal is None else int(self._table.places[ordinal])
        if ordinal is None or place < 0:
            return
        self._awaited.pop(place, None)
        if self._table.packets.keys[ordinal] and not self._is_key(frame):
            self._table.not_a_key(ordinal)
        if self._is_leading(place):
            if self._passed >= 0:
                self._contradict()  # it should have come before the key picture
            return
        if frame.is_corrupt:
            self._hurt.append(ordinal)
        self._keep_order(place)
        entry = self._table.entry(place)
        if self._table.broken_between(entry, ordinal):
            self._hurt.append(ordinal)
        if not self._astray and not any(entry <= hurt <= ordinal for hurt in self._hurt):
            self._keep(place, frame)
            self._began = self._began or ordinal == self._entered

    def _is_key(self, frame: VideoFrame) -> bool:
        """Whether it is a picture that needs no other. H.264 and HEVC have some that are not called
        key pictures and are as good."""
        if self._intra_will_do:
            return frame.key_frame or frame.pict_type not in _NOT_KEYS
        return frame.key_frame

    def _keep_order(self, place: int) -> None:
        """Pictures come in the order of showing: who is overtaken does not come any more, and who
        comes late shows that the times of the file are wrong. Where nothing else vouches for the
        times, nobody may be missing in the row either."""
        overtaken = [self._awaited.pop(before) for before in [*self._awaited] if before < place]
        silent = [ordinal for ordinal in overtaken if ordinal not in self._hurt]
        self._hurt += silent
        skipped = silent or (not overtaken and not self._follows(place))
        if place < self._passed or (skipped and not self._table.proven):
            if self._passed >= 0:
                self._contradict()
            self._astray = True
        self._passed = max(self._passed, place)

    def _follows(self, place: int) -> bool:
        """Whether this picture is shown right after the last that came out, or is the first."""
        if self._passed < 0:
            first = -1 if self._entered is None else int(self._table.places[self._entered])
            return first in (-1, place)
        before = place - 1
        while before >= 0 and self._table.order[before] < 0:
            before -= 1
        return before == self._passed

    def _contradict(self) -> None:
        self._why = _CONTRADICTION
        self._astray = True
        self._recent.clear()

    def _keep(self, place: int, frame: VideoFrame) -> None:
        """Keep what is wanted, what comes after it, and a few before it."""
        self._recent[place] = frame
        if place < self._wanted:
            self._trim(frame)

    def _trim(self, frame: VideoFrame) -> None:
        kept = self._kept
        if kept > 1:
            size = sum(plane.buffer_size for plane in frame.planes)
            kept = max(1, min(kept, _KEPT_BYTES // max(1, size)))
        for place in [place for place in self._recent if place <= self._wanted - kept]:
            del self._recent[place]


def _check_of(video: VideoFile, known: Listing) -> PacketCheck:
    try:
        return check_of(video, known.kind, known.table.packets)
    except OSError as error:
        raise StoreDamaged(f"{video.path}: cannot be read: {error.strerror}; `fieldrec recover` "
                           "the store") from error


def _listed(video: VideoFile, expected: int | None) -> Listing:
    try:
        return listing(video, expected)
    except (FFmpegError, OSError) as error:
        raise StoreDamaged(f"{video.path}: cannot be read: {error.strerror}; `fieldrec recover` "
                           "the store") from error


def problems(path: Path, deep: bool) -> str | None:
    """See :func:`fieldrec.store.video.frames.problems_of`."""
    try:
        decoder = VideoDecoder(path, None)
    except StoreDamaged as error:
        return str(error)
    try:
        listed = decoder.listing.refused or decoder.listing.problem or structure_of(path).problem
        if listed:
            return f"{path}: {listed}"
        table = decoder.listing.table
        for position in range(len(table)) if deep or table.told_apart() < len(table) else ():
            decoder.picture(position)
    except StoreDamaged as error:
        return str(error)
    finally:
        decoder.close()
    return None
