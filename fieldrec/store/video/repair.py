"""Turn an open chunk of a video store into a finished one: verify, end the video, write the index.

Used by recover after a crash and by the writer after a failed sync. Blocking. A frame is kept when
its packet is whole by its own checksum, its record is in the log, and everything that its picture
was made from is kept too. Where all kept frames lie at the beginning of the file, it is ended in
place; otherwise the kept packets are written into a new one. May be killed at any step and run
again with the same result (I2), because each step can tell whether it was done:

1. Without a plan: write back what memory holds, verify. A finished video that has no index yet and
   is not as it should be gets the name of an unfinished one back.
2. Where logged frames are lost: write ``frames.plan`` atomically, the kept records with the
   positions they were written at. From here on nothing else is kept: a video's only frame is there
   twice, and a video without any has a black one, which must not be taken for the lost ones.
3. End the video and give it its name; or write the new one under a temporary name first.
4. Write the index, then remove the unfinished video, the log and the plan, in this order: with a
   plan and no unfinished video, only the index is missing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fieldrec.core import durable
from fieldrec.core.errors import StoreDamaged
from fieldrec.store import layout
from fieldrec.store.chunk_paths import ChunkPaths
from fieldrec.store.layout import Log
from fieldrec.store.metadata import StoreMetadata
from fieldrec.store.repair import Mended
from fieldrec.store.video.codec import PictureEncoder, VideoForm, video_form
from fieldrec.store.video.file import GrowingVideo, WrittenVideo
from fieldrec.store.video.growth import FrameHead, Samples, Track
from fieldrec.store.video.packets_in import track_in

_Packet = tuple[bytes, bool]
"""(bytes, whether it is a key frame)."""


def mend_video(paths: ChunkPaths, metadata: StoreMetadata, *,
               write_index: Callable[[Path, bytes], None] = durable.write_atomic) -> Mended:
    """Finish the chunk with the frames that can be verified.

    ValueError: its log is of no use, but there are pictures: :func:`end_unlogged`. StoreError when
    a head is damaged or no frame is left, and there is no encoder here to make another; StoreFull.
    """
    form = video_form(metadata)
    damaged, seen = 0, None
    if paths.plan.exists():
        kept = layout.parse_log(paths.plan.read_bytes())
    else:
        kept, damaged, seen = _verify(paths, form)
    if _unfinished(paths).exists() or not paths.frames.exists():
        _finish(paths, form, kept.positions.tolist(), seen)
    columns = replace(kept.columns, digests=None)
    write_index(paths.index, layout.index_bytes(columns, metadata.raw))
    tidy_video(paths)
    return Mended(columns, damaged)


def tidy_video(paths: ChunkPaths) -> int:
    """Remove what a finished chunk (one with its video and a sound index) does not need; return
    how many files."""
    leftovers = [path.with_name(f".{path.name}.tmp")
                 for path in (paths.frames, paths.index, paths.log, paths.plan)]
    if paths.frames.exists():
        leftovers.append(_unfinished(paths))
    present = [path for path in (*leftovers, paths.log, paths.plan) if path.exists()]
    for path in present:
        durable.unlink(path)
    return len(present)


def end_unlogged(paths: ChunkPaths, metadata: StoreMetadata) -> int:
    """Give an unfinished video without a usable log its end and its name; how many pictures it
    has, which is 0 when it was removed because it has none. Nothing is known of their times."""
    path = _unfinished(paths)
    if not path.exists():
        return 0
    form = video_form(metadata)
    seen = _Seen.of(path, form)
    kept = [seen.frames[at][0].position for at in seen.decodable(None)]
    if kept:
        _finish(paths, form, kept, seen)
    durable.unlink(path, missing_ok=True)
    return len(kept)


def damaged_positions(path: Path, metadata: StoreMetadata, count: int) -> list[int] | None:
    """The positions among the first `count` of a finished video whose packets are not as they were
    written; None when fieldrec did not write it. Reads the whole file. OSError."""
    seen = _Seen.of(path, video_form(metadata))
    whole = {head.position for head, _offset in seen.frames}
    return sorted(set(range(count)) - whole) if whole else None


# --- what there is -----------------------------------------------------------------------------

@dataclass(frozen=True, slots=True)
class _Seen:
    """A video file as it was found."""

    path: Path
    form: VideoForm
    track: Track | None
    """None when the head is damaged."""
    start: int
    """Where the first frame head ought to be."""
    frames: list[tuple[FrameHead, int]]
    """(head, offset of the packet) of each that is whole, positions ascending."""
    torn: bool
    """Whether another frame was begun behind the last."""

    @classmethod
    def of(cls, path: Path, form: VideoForm) -> _Seen:
        """Read all of the file. OSError when it is not there."""
        with WrittenVideo(path, form.container) as video:
            track, start = video.head() or (None, 0)
            if track is not None and (track.width, track.height) != (form.width, form.height):
                track = None
            frames: list[tuple[FrameHead, int]] = []
            end = start
            for head, offset in video.whole_frames(start):
                if not frames or head.position > frames[-1][0].position:
                    frames.append((head, offset))
                end = offset + head.size + len(form.container.padding(head.size))
            marker = form.container.marker
            behind = video.read(end, len(marker))
            return cls(path, form, track, start, frames,
                       bool(behind) and marker.startswith(behind))

    def decodable(self, logged: Iterable[int] | None) -> list[int]:
        """Which frames (places in `frames`) can be shown: those logged, each with all that it
        refers to. Without `logged` all count as such."""
        wanted = None if logged is None else set(logged)
        kept: list[int] = []
        chain = -2
        for at, (head, _offset) in enumerate(self.frames):
            known = wanted is None or head.position in wanted
            if known and (head.key or head.position == chain + 1):
                kept.append(at)
                chain = head.position
        return kept

    def at_the_beginning(self, kept: list[int]) -> Samples | None:
        """The frames as samples if they lie one behind the other from the first place on."""
        container = self.form.container
        samples = Samples(end=self.start)
        for position, at in enumerate(kept):
            head, offset = self.frames[at]
            try:
                lead = len(container.lead(samples, head.size))
            except ValueError:  # more than a file can hold: it was not written so
                return None
            samples.add(lead, container.frame_head_bytes, head.size,
                        len(container.padding(head.size)), head.key)
            if head.position != position or samples.offsets[-1] != offset:
                return None
        return None if self.track is None else samples

    def is_ended(self, samples: Samples) -> bool:
        """Whether the file was ended behind these frames."""
        if self.track is None:
            return False
        container = self.form.container
        if len(samples) == 1 and len(self.frames) == 2:  # the only one is there twice
            samples = self.at_the_beginning([0, 1]) or samples
        with WrittenVideo(self.path, container) as video:
            return video.ends_as(container.ending(self.track, samples), samples.end)


def _unfinished(paths: ChunkPaths) -> Path:
    if paths.open_video is None:
        raise ValueError(f"{paths.frames} is not a chunk of a video store")
    return paths.open_video


def _verify(paths: ChunkPaths, form: VideoForm) -> tuple[Log, int, _Seen | None]:
    """(records of what can be kept, how many frames are lost, the unfinished video that has them).
    Where there is no unfinished video afterwards, the finished one is right as it is."""
    log = _log(paths)
    there = [path for path in (paths.frames, _unfinished(paths)) if path.exists()]
    for path in there:
        durable.settle(path)  # what could not be written is not read back then
    found = [_Seen.of(path, form) for path in there]
    if log is None and any(seen.frames for seen in found):
        raise ValueError("no record of frames.log can be read; the pictures are there, but nothing "
                         "says when they were taken")
    if log is None or not found:
        log = log or Log(np.zeros(0, np.int64), layout.Columns.empty())
        return _records(paths, log, []), len(log.positions), None
    choices = [(seen, seen.decodable(log.positions.tolist())) for seen in found]
    seen, kept = max(choices, key=lambda choice: len(choice[1]))
    if seen.path == paths.frames:
        samples = seen.at_the_beginning(kept)
        if samples is not None and seen.is_ended(samples):
            durable.unlink(_unfinished(paths), missing_ok=True)
        else:
            durable.rename(seen.path, _unfinished(paths))
            seen = replace(seen, path=_unfinished(paths))
    records = _records(paths, log, [seen.frames[at][0].position for at in kept])
    return records, _lost(seen, log, len(kept)), seen


def _log(paths: ChunkPaths) -> Log | None:
    """The log; None when nothing in it can be read. ValueError for that of a later version."""
    try:
        data = paths.log.read_bytes()
    except FileNotFoundError:
        return None
    log = layout.parse_log(data)
    return log if len(log.positions) or data == layout.log_header() else None


def _records(paths: ChunkPaths, log: Log, positions: list[int]) -> Log:
    """The records of the frames at these positions; they are the plan where others are lost."""
    chosen = np.isin(log.positions, np.asarray(positions, np.int64))
    records = Log(log.positions[chosen], log.columns.take(chosen))
    if not chosen.all():
        durable.write_atomic(paths.plan, layout.log_bytes(records))
    return records


def _lost(seen: _Seen, log: Log, kept: int) -> int:
    """How many frames were logged or begun and are not kept. (The only frame of a video is there
    twice, and so is the black one of a video without any.)"""
    begun = set(log.positions.tolist())
    if len(begun) > 1:
        begun |= {head.position for head, _offset in seen.frames}
    if seen.torn:
        begun.add(seen.frames[-1][0].position + 1 if seen.frames else 0)
    return len(begun) - kept


# --- finishing ---------------------------------------------------------------------------------

def _finish(paths: ChunkPaths, form: VideoForm, positions: list[int], seen: _Seen | None) -> None:
    """The finished video, of the frames that the unfinished one has at these positions. That stays
    when it had to be copied. `seen`: the unfinished one, where it was looked through already."""
    if not positions:
        encoder = PictureEncoder(form)
        _write_anew(paths, form, encoder.track,
                    lambda video: video.append_blank(*encoder.blank()))
        return
    seen = seen or _Seen.of(_unfinished(paths), form)
    places = {head.position: at for at, (head, _offset) in enumerate(seen.frames)}
    missing = [position for position in positions if position not in places]
    if missing:
        raise _unreadable(seen, missing[0])
    kept = [places[position] for position in positions]
    samples = seen.at_the_beginning(kept)
    if samples is None or seen.track is None:
        track = seen.track or _told_by_packet(seen, kept[0]) or PictureEncoder(form).track
        _write_anew(paths, form, track, lambda video: _copy(seen, kept, video))
    else:
        _end_in_place(paths, seen, seen.track, samples)


def _end_in_place(paths: ChunkPaths, seen: _Seen, track: Track, samples: Samples) -> None:
    first = next(iter(_packets(seen, [0])))
    video = GrowingVideo.reopen(seen.path, seen.form.container, track, samples, first)
    try:
        video.end()
    finally:
        video.close()
    durable.rename(seen.path, paths.frames)


def _copy(seen: _Seen, places: list[int], video: GrowingVideo) -> None:
    for position, packet in enumerate(_packets(seen, places)):
        video.append(position, *packet)


def _packets(seen: _Seen, places: list[int]) -> Iterable[_Packet]:
    with WrittenVideo(seen.path, seen.form.container) as video:
        for at in places:
            head, offset = seen.frames[at]
            packet = video.read(offset, head.size)
            if not seen.form.container.is_whole(head, packet):
                raise _unreadable(seen, head.position)
            yield packet, head.key


def _told_by_packet(seen: _Seen, place: int) -> Track | None:
    """How a camera's stream is coded, which its first packet of a chunk says too."""
    packet, _key = next(iter(_packets(seen, [place])))
    return track_in(packet, seen.form)


def _unreadable(seen: _Seen, position: int) -> StoreDamaged:
    return StoreDamaged(f"{seen.path}: the frame at {position} was there and cannot be read any "
                        "more; copy the store to another disk, then recover again")


def _write_anew(paths: ChunkPaths, form: VideoForm, track: Track,
                fill: Callable[[GrowingVideo], None]) -> None:
    """A whole video, under a temporary name first."""
    temporary = paths.frames.with_name(f".{paths.frames.name}.tmp")
    if temporary.exists():
        durable.unlink(temporary)
    video = GrowingVideo.create(temporary, form.container, track)
    try:
        fill(video)
        video.end()
    except BaseException:
        with contextlib.suppress(OSError):
            durable.unlink(temporary, missing_ok=True)
        raise
    finally:
        video.close()
    durable.rename(temporary, paths.frames)
