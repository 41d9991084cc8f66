"""What fits on a destination, planned before the first byte: whole recordings, figures, no I/O.

Pure, any thread. What a recording takes up there is reckoned from what the catalogue knows of it,
so that planning a hundred recordings of a million frames costs nothing: every frame's file rounded
up to whole clusters (an exFAT drive has clusters of 128 kB and more), the folders with their
entries, the manifest. It is rather too much than too little: what was planned shall not run full.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from fieldrec.core.model import Recording
from fieldrec.record.storage import size_text

ENTRY_BYTES = 128
"""Of a folder for each file in it: three entries of exFAT, and its long name."""
MANIFEST_BYTES = 320
"""Of a manifest for each file: its path, size, time and digest as XML."""
CHUNK_FILES = 4
"""Of a chunk beside its frames: index, extra data and such; a cluster each."""
ITEM_CLUSTERS = 4
"""Of an item besides: its folder, its manifest's, their ends."""
HEADER_BYTES = 128
"""Of a .npy file."""
TAR_BYTES = 1024
"""Of a tar for each file in it: its header, and whole blocks; and at its end."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a destination has for us."""

    free_bytes: int
    """After what must be kept free."""
    cluster_bytes: int = 4096
    total_bytes: int = 0
    """Of the whole file system; 0 where it is not known."""
    present: frozenset[str] = frozenset()
    """Names of items that are there already, whole."""
    begun: Mapping[str, int] = field(default_factory=dict)
    """Bytes, by name, that an earlier try left of items that are not whole yet."""
    takes_tars: bool = False
    """Whether the frames of a chunk are one file there (raw_as: tar)."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Which recordings fit."""

    fits: tuple[Recording, ...]
    """In the order in which they are to go."""
    stays: tuple[Recording, ...]
    larger: tuple[Recording, ...]
    """Of those that stay, the ones that would not fit on the empty drive either."""
    bytes_of: Mapping[str, int]
    """What each of all of them will write there, by its name; 0 for one that is there already."""

    def size_of(self, recordings: Iterable[Recording]) -> int:
        """What these will write there."""
        return sum(self.bytes_of.get(one.name, 0) for one in recordings)

    @property
    def new(self) -> tuple[Recording, ...]:
        """Of those that fit, the ones that are not there yet."""
        return tuple(one for one in self.fits if self.bytes_of.get(one.name, 0))


Needs = Callable[[Recording, Room], int]
"""What one recording will write there."""


def copied_bytes(recording: Recording, room: Room) -> int:
    """What a copy, raw and exports, will still write; 0 when all of it is there."""
    needed = 0
    if recording.has_raw and recording.path.name not in room.present:
        begun = room.begun.get(recording.path.name, 0)
        raw = (tar_bytes if room.takes_tars else raw_bytes)(recording, room.cluster_bytes)
        needed += max(raw - begun, room.cluster_bytes)
    for export in recording.exports:
        if export.path.name not in room.present:
            needed += file_bytes(export.size_bytes, room.cluster_bytes)
    return needed


def raw_bytes(recording: Recording, cluster: int) -> int:
    """What a raw store takes up where files are whole clusters."""
    count = recording.frame_files
    files = count + CHUNK_FILES * max(recording.chunk_count, 1)
    folders = max(recording.chunk_count, 1) * (CHUNK_FILES + 1) * cluster
    books = files * (ENTRY_BYTES + MANIFEST_BYTES) + ITEM_CLUSTERS * cluster
    return _frames_bytes(recording, count, cluster) + folders + books


def tar_bytes(recording: Recording, cluster: int) -> int:
    """What a raw store takes up where the frames of each chunk are one tar."""
    count, chunks = recording.frame_files, max(recording.chunk_count, 1)
    if count == 0:
        return raw_bytes(recording, cluster)
    frames = recording.size_bytes + count * (HEADER_BYTES + TAR_BYTES)
    each = (2 * CHUNK_FILES + 2) * cluster + TAR_BYTES
    books = (CHUNK_FILES + 1) * chunks * (ENTRY_BYTES + MANIFEST_BYTES) + ITEM_CLUSTERS * cluster
    return frames + chunks * each + books


def file_bytes(size_bytes: int, cluster: int) -> int:
    """What one file with its sidecar takes up."""
    return -(-size_bytes // cluster) * cluster + 2 * cluster


def _frames_bytes(recording: Recording, count: int, cluster: int) -> int:
    """Frames of one size are reckoned exactly; of pictures that differ each wastes half a cluster,
    more or less."""
    size = recording.size_bytes
    if count == 0:
        return size
    frame = 0 if recording.spec is None else recording.spec.frame_bytes + HEADER_BYTES
    if frame and count * frame <= size + count * HEADER_BYTES \
            and size <= 1.05 * count * frame + (1 << 20):
        return count * (-(-frame // cluster) * cluster)
    return size + count * cluster // 2 + math.isqrt(count) * cluster


def in_order(recordings: Iterable[Recording], *, first: Mapping[str, int] | None = None,
             elsewhere: Callable[[Recording], bool] = lambda _recording: False,
             cameras: Sequence[str] = ()) -> list[Recording]:
    """Which goes first where not all fit: what a person put `first` (name: the higher the earlier),
    what has no verified copy `elsewhere`, then by camera as `cameras` lists them, then the
    oldest."""
    ahead = first or {}

    def rank(recording: Recording) -> tuple[int, bool, int, int, str, str]:
        camera = next((number for number, pattern in enumerate(cameras)
                       if fnmatchcase(recording.camera_serial, pattern)), len(cameras))
        return (-ahead.get(recording.name, 0), elsewhere(recording), camera,
                recording.first_time_ns or 0, recording.created_utc, recording.name)

    return sorted(recordings, key=rank)


def fit(recordings: Sequence[Recording], room: Room, needs: Needs = copied_bytes) -> Fit:
    """Which of the recordings, in their order, fit whole. One that does not is passed over: what
    comes after it may be smaller."""
    left, fits, stays, larger = room.free_bytes, [], [], []
    bytes_of: dict[str, int] = {}
    for recording in recordings:
        needed = bytes_of[recording.name] = needs(recording, room)
        if needed <= left:
            left -= needed
            fits.append(recording)
        else:
            stays.append(recording)
            if room.total_bytes and needed > room.total_bytes:
                larger.append(recording)
    return Fit(tuple(fits), tuple(stays), tuple(larger), bytes_of)


def describe_stays(found: Fit, place: str = "drive") -> str:
    """"14 of 19 recordings fit (212 GB of 287 GB); 5 stay, 74.7 GB; use another drive"; "" when
    all of them fit."""
    if not found.stays:
        return ""
    all_of_it = (*found.fits, *found.stays)
    said = (f"{len(found.fits)} of {_recordings(len(all_of_it))} fit "
            f"({size_text(found.size_of(found.fits))} of {size_text(found.size_of(all_of_it))}); "
            f"{len(found.stays)} {'stay' if len(found.stays) > 1 else 'stays'}, "
            f"{size_text(found.size_of(found.stays))}; use another {place}")
    for one in found.larger[:3]:
        said += (f"; {one.name} ({size_text(found.bytes_of[one.name])}) is larger than the whole "
                 f"{place}")
    if len(found.larger) > 3:
        said += f"; so are {len(found.larger) - 3} more"
    return said


def _recordings(count: int) -> str:
    return f"{count} recording{'' if count == 1 else 's'}"
