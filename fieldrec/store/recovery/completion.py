"""One pass over an interrupted store: each chunk gets an index that is right, gaps are closed.

Blocking, under the store's lock; recover.py holds that and decides what may be touched. Chunks with
a sound index and no log are looked at and not opened. Every change is announced in the journal
(recovery_note.py) before it is made, so that a pass which was killed is finished by the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fieldrec.core import durable
from fieldrec.core.errors import StoreDamaged
from fieldrec.store import layout, repair
from fieldrec.store.chunk_paths import ChunkPaths, chunk_paths, find_chunks
from fieldrec.store.extra_log import mend_extra
from fieldrec.store.frame_files import FrameFiles, frame_files
from fieldrec.store.indexing.compact_index import COMPACT_NAME
from fieldrec.store.layout import Columns
from fieldrec.store.metadata import METADATA_NAME, StoreMetadata, metadata_text
from fieldrec.store.missing import MissingFrames, missing_frames
from fieldrec.store.recovery import log_mending, rebuild, renumber
from fieldrec.store.recovery.chunk_look import ChunkLook, look_at
from fieldrec.store.recovery.extra_close import close_extra, is_closed
from fieldrec.store.recovery.index_salvage import marks_in, salvage
from fieldrec.store.recovery.neighbours import Neighbours, recorded
from fieldrec.store.recovery.note import Estimate, Journal

MOST_RUNS = 1000
"""Runs of lost frames that the metadata name."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """One chunk as the pass leaves it."""

    paths: ChunkPaths
    frames: int
    """-1: it has frames, and no index could be made for them."""
    listed: int = 0
    """How many frames the index told of that was found, for a chunk without frames."""


class Completion:
    """One pass over one store."""

    def __init__(self, root: Path, metadata: StoreMetadata, user: dict[str, Any],
                 journal: Journal, suspects: frozenset[int]) -> None:
        """`suspects`: chunks whose frames are looked at although their index is sound."""
        self._root, self._metadata, self._user = root, metadata, user
        self._journal = journal
        self._suspects = suspects
        self._files: FrameFiles | None = None
        self._neighbours = Neighbours(root, metadata, user, [])
        self._before = Columns.empty()
        """The last frame so far."""
        self._missing = MissingFrames()

    def run(self) -> int:
        """Do all of it; how many frames the store lists in the end."""
        if renumber.carry_on(self._root):
            self._journal.say("chunks were being renamed to close a gap: finished")
        chunks = self._chunks()
        self._neighbours = Neighbours(self._root, self._metadata, self._user, chunks)
        kept = [self._complete(paths) for paths in chunks]
        self._close_gaps(kept)
        self._note_in_metadata()
        if self._journal.changed:
            durable.unlink(self._root / COMPACT_NAME, missing_ok=True)
        return sum(max(0, one.frames) for one in kept)

    def _chunks(self) -> list[ChunkPaths]:
        """All there are. The first one is made when the crash came before it."""
        if not self._found():
            first = chunk_paths(self._root, 0, self._metadata.extension)
            if self._metadata.is_video:
                self._mended(first)
            else:
                durable.make_directory(first.frames)
        return self._found()

    def _found(self) -> list[ChunkPaths]:
        found = find_chunks(self._root, self._metadata)
        if self._metadata.is_video:
            return found
        return [paths for paths in found if paths.frames.is_dir()]  # "7" is no "000007"

    # --- one chunk ------------------------------------------------------------------------------

    def _complete(self, paths: ChunkPaths) -> _Kept:
        """Give one chunk a sound index and closed extra data, or say why not."""
        look = look_at(paths)
        if look.holes:
            rebuild.carry_on(paths, self._metadata)
            look = look_at(paths)
        try:
            columns = self._columns(look)
        except ValueError as error:
            self._journal.say(f"{_name(paths)}: {error}")
            return _Kept(paths, -1)
        self._close_extra(paths)
        self._settle(paths, len(columns))
        self._count_missing(columns, look)
        listed = len(salvage(look.data).columns) if len(columns) == 0 else 0
        return _Kept(paths, len(columns), listed)

    def _columns(self, look: ChunkLook) -> Columns:
        """What the chunk's index lists now that it is sound. ValueError: its log is of a later
        version."""
        if look.logged and not self._is_useless_log(look):
            columns = self._mend(look)
            self._neighbours.passed(look.paths, columns)
            return columns
        if look.columns is not None and not self._is_suspect(look):
            self._neighbours.passed(look.paths, look.columns)
            return look.columns
        columns = self._rebuild(look)
        self._tidy(look.paths)
        return columns

    def _is_suspect(self, look: ChunkLook) -> bool:
        """Whether a sound index may list other frames than there are."""
        paths = look.paths
        return (look.logged or paths.number in self._suspects
                or _name(paths) in self._journal.unsettled
                or (look.columns is not None and len(look.columns) == 0
                    and self._has_frames(paths)))

    def _has_frames(self, paths: ChunkPaths) -> bool:
        if self._metadata.is_video:
            return _has_pictures(paths.frames)
        return bool(rebuild.frame_positions(paths, self._metadata.format))

    def _settle(self, paths: ChunkPaths, kept: int) -> None:
        """Count a chunk that was announced, by this pass or by one that was killed."""
        name = _name(paths)
        if name in self._journal.unsettled:
            damaged = self._journal.settle(name, kept)
            self._journal.say(f"{name}: {kept} frames kept, {damaged} damaged")

    def _count_missing(self, columns: Columns, look: ChunkLook) -> None:
        """What is missing up to this chunk's end, by the numbers and by what the records say."""
        if not len(columns):
            return
        words = columns.missing_before
        if words is None and columns is look.columns:
            words = layout.index_missing(look.data, len(columns))
        if words is None:
            words = np.zeros(len(columns), np.uint32)
        before = self._before
        self._missing += missing_frames(
            np.concatenate([before.numbers, columns.numbers]),
            np.concatenate([before.times_ns, columns.times_ns]),
            np.concatenate([np.zeros(len(before), np.uint32), words]))
        self._before = columns.take(slice(-1, None))

    # --- with a log -----------------------------------------------------------------------------

    def _is_useless_log(self, look: ChunkLook) -> bool:
        """Whether the log is damaged as a whole although frames are there: then they are treated
        like those that never had one. ValueError for the log of a later version."""
        paths = look.paths
        if paths.plan.exists() or not log_mending.is_spoilt(paths):
            return False
        if look.columns is not None or self._metadata.is_video:
            return look.columns is None or len(look.columns) > 0
        files = self._frame_files()
        return any(rebuild.looks_whole(path, files)
                   for path in rebuild.frame_positions(paths, files.extension).values())

    def _mend(self, look: ChunkLook) -> Columns:
        """Finish an open chunk by its log."""
        paths, name = look.paths, _name(look.paths)
        if look.columns is not None and not paths.plan.exists():
            if log_mending.logged(paths) <= len(look.columns):  # the index is done, the log late
                self._drop_begun(paths, len(look.columns))
                self._tidy(paths)
                return look.columns
            log_mending.complete_log(paths, look.columns)
        begun = self._begun(paths)
        if begun:
            self._journal.intend(name, begun)
        try:
            mended = self._mended(paths)
        except ValueError:  # a video without a record: its pictures are there all the same
            return self._rebuild(look)
        if begun:
            self._journal.count(name, len(mended.columns) + mended.damaged)
        return mended.columns

    def _drop_begun(self, paths: ChunkPaths, listed: int) -> None:
        """Remove the frame that was being written when an interim index listed all before it."""
        if not self._metadata.is_video:
            begun = rebuild.frame_positions(paths, self._frame_files().extension)
            for position, path in begun.items():
                if position >= listed:
                    durable.unlink(path)

    def _mended(self, paths: ChunkPaths) -> repair.Mended:
        if not self._metadata.is_video:
            return repair.mend(paths, self._frame_files(), self._metadata.raw)
        from fieldrec.store.video.repair import mend_video

        return mend_video(paths, self._metadata)

    def _tidy(self, paths: ChunkPaths) -> None:
        if not self._metadata.is_video:
            repair.tidy(paths)
            return
        from fieldrec.store.video.repair import tidy_video

        tidy_video(paths)

    def _begun(self, paths: ChunkPaths) -> int:
        """Frames that were logged or begun in an open chunk."""
        positions: set[int] = set()
        for file in (paths.log, paths.plan):
            if file.exists():
                positions |= set(layout.parse_log(file.read_bytes()).positions.tolist())
        if not self._metadata.is_video:
            positions |= rebuild.frame_positions(paths, self._frame_files().extension).keys()
        return len(positions)

    # --- without --------------------------------------------------------------------------------

    def _rebuild(self, look: ChunkLook) -> Columns:
        """Make an index from the frames, what the old one still tells, and the neighbours."""
        paths, name = look.paths, _name(look.paths)
        known = salvage(look.data) if look.columns is None else marks_in(look.data, look.columns)
        around = self._neighbours.around(paths)
        digests = any(len(columns) and columns.digests is not None for columns in (
            around.clues.before, around.clues.after, known.columns))
        found = self._found_frames(paths, look.columns, digests)
        new = rebuild.new_index(found, known, around.clues,
                                self._neighbours.delay_ns(paths, known.columns), around.skipped,
                                around.span)
        self._neighbours.passed(paths, recorded(new.columns, known))
        if look.columns is not None and not found.broken and _same(new.columns, look.columns):
            return look.columns
        moves = rebuild.aside(self._root, paths, found.broken)
        if moves:
            self._journal.say(f"{name}: not whole, put aside: "
                              f"{_some([target.name for _, target in moves])}")
        begun = max((len(known.columns), *(found.whole[-1:] + 1),
                     *(at + 1 for at in found.broken_positions)))
        if begun:
            self._journal.intend(name, int(begun), self._estimate(name, new))
        for path, target in moves:
            durable.rename(path, target)
        if len(new.columns) == 0:
            return self._without_frames(paths)
        rebuild.put_index(paths, new, self._metadata)
        return new.columns

    def _found_frames(self, paths: ChunkPaths, listed: Columns | None, digests: bool
                      ) -> rebuild.FilesFound:
        """The chunk's frames, whole and not. With digests where the frames around have some: a
        store of which a part has none cannot be verified as a whole."""
        if not self._metadata.is_video:
            return rebuild.find_files(paths, self._frame_files(), digests=digests)
        from fieldrec.store.recovery.rebuild_video import find_pictures

        found = find_pictures(paths, self._metadata)
        if found.rewritten:
            self._journal.say(f"{paths.frames.name}: had no end: its {found.pictures} whole "
                              "pictures were written anew")
        return found.as_files(paths.frames, None if listed is None else len(listed))

    def _without_frames(self, paths: ChunkPaths) -> Columns:
        """A chunk without any frame: the store's only one gets an empty index."""
        if paths.number == 0 and len(self._found()) == 1:
            self._write_empty(paths)
        return Columns.empty()

    def _write_empty(self, paths: ChunkPaths) -> None:
        if self._metadata.is_video:
            self._mended(paths)  # readers open no video without a picture: it gets a black one
        else:
            durable.write_atomic(paths.index,
                                 layout.index_bytes(Columns.empty(), self._metadata.raw))

    def _estimate(self, name: str, new: rebuild.NewIndex) -> Estimate | None:
        """What of a new index nobody measured; said, too."""
        by = [f"{what} {how}" for what, how in (("numbers", new.numbers_by),
                                                ("times", new.times_by)) if how]
        count = int((new.number_estimated | new.time_estimated).sum())
        if not by or not count:
            return None
        self._journal.say(f"{name}: estimated for {count} frames: {'; '.join(by)}")
        return Estimate(name, count, new.numbers_by, new.times_by)

    def _frame_files(self) -> FrameFiles:
        if self._files is None:
            self._files = frame_files(self._metadata)
        return self._files

    # --- extra data -----------------------------------------------------------------------------

    def _close_extra(self, paths: ChunkPaths) -> None:
        """Give extra data its end."""
        mend_extra(paths)
        for file in (paths.extra, paths.motif_extra()[1]):
            if not file.exists() or (is_closed(file) and paths.number not in self._suspects):
                continue
            name = file.name if file.parent == self._root else f"{_name(paths)}.{file.name}"
            done = close_extra(file, rebuild.free_name(self._root, name + rebuild.DAMAGED))
            if done:
                self._journal.say(f"{_name(paths)}: extra data: {done}")
                self._journal.save()

    # --- the whole ------------------------------------------------------------------------------

    def _close_gaps(self, kept: list[_Kept]) -> None:
        """Take chunks without frames away, but for the only one and for a last one that has extra
        data; move those behind them down."""
        for at in range(len(kept) - 1, -1, -1):
            last = at == len(kept) - 1
            if kept[at].frames or len(kept) == 1 or (last and kept[at].paths.extra.exists()):
                continue
            self._take_away(kept, at)
        if kept and kept[-1].frames == 0 and look_at(kept[-1].paths).columns is None:
            self._write_empty(kept[-1].paths)
        numbers = [one.paths.number for one in kept]
        moves = renumber.what_moves(numbers)
        if moves:
            self._journal.say(moves)
            self._journal.save()
            renumber.close_gaps(self._root, numbers, self._metadata.extension)

    def _take_away(self, kept: list[_Kept], at: int) -> None:
        """Remove one chunk without frames from the disk and from the list, where it is a chunk."""
        paths = kept[at].paths
        if not renumber.is_ours_to_take(paths):
            self._journal.say(f"{_name(paths)}: has no frames, but other files: left as it is")
            return
        others = renumber.take_away(self._root, paths, kept[at - 1].paths if at else None,
                                    kept[at].listed)
        if others or at < len(kept) - 1:
            self._journal.say(f"{_name(paths)}: had no frames: removed"
                              + (f", but kept {_some(others)}" if others else ""))
            self._journal.save()
        del kept[at]

    def _note_in_metadata(self) -> None:
        """Put what is missing into the metadata of a recording that was cut off; of a gap that its
        frames' records say nothing of, all counts as dropped. Of a lost run the numbers and times
        are those of the gap. Metadata that the writer has closed (`interrupted` false) is right as
        it is.
        """
        ours = self._user.get("fieldrec")
        if not isinstance(ours, dict) or not ours.get("interrupted", False):
            return
        found = self._missing
        changed = {**ours, "dropped": found.dropped, "lost": found.lost}
        if found.lost_runs:
            changed["lost_runs"] = [list(run) for run in found.lost_runs[:MOST_RUNS]]
        if found.left_out:
            changed["paused_frames"] = found.left_out
        if changed != ours:
            text = metadata_text(self._metadata.raw, {**self._user, "fieldrec": changed})
            durable.write_atomic(self._root / METADATA_NAME, text.encode("ascii"))


# --- small things -----------------------------------------------------------------------------

def _same(new: Columns, old: Columns) -> bool:
    return np.array_equal(new.numbers, old.numbers) and np.array_equal(new.times_ns, old.times_ns)


def _has_pictures(video: Path) -> bool:
    """Whether a video is more than the two black pictures that an empty chunk has."""
    from fieldrec.store.video.frames import picture_count

    try:
        return video.exists() and picture_count(video) > 2
    except StoreDamaged:
        return video.stat().st_size > 0


def _name(paths: ChunkPaths) -> str:
    return f"{paths.number:06d}"


def _some(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} … {names[-1]} ({len(names)} files)"


