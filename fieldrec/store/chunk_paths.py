"""Where the parts of a chunk lie, in stores of directories and in stores of video files.

Pure but for :func:`find_chunks`, which lists one directory::

    directory store                    video store
    000000/000000.npy …                000000.mp4
    000000/index.npz                   000000.npz
    000000/index.extra.json            000000.extra.json
    000000/frames.log                  000000.frames.log      only while the chunk is open
    000000/frames.plan                 000000.frames.plan     only while it is being mended
    000000/extra.log                   000000.extra.log       only while the chunk is open
                                       000000.open            the video while it is written
    000000.extra_data.h5|json          the same               Motif's
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from fieldrec.store.metadata import StoreMetadata

_NUMBERED = re.compile(r"[0-9]+\Z")


@dataclass(frozen=True, slots=True)
class ChunkPaths:
    """One chunk of a store. The paths need not exist."""

    number: int
    frames: Path
    """The directory of frame files, or the finished video file."""
    index: Path
    index_yaml: Path
    log: Path
    plan: Path
    extra: Path
    extra_log: Path
    open_video: Path | None
    """The video file while it is being written; None in directory stores."""

    @property
    def folder(self) -> Path:
        """The directory in which the chunk's files lie: the chunk's own, or the store's."""
        return self.index.parent

    def frame(self, position: int, extension: str) -> Path:
        """The file of one frame of a directory store; `extension` without the dot."""
        return self.frames / f"{position:06d}.{extension}"

    def motif_extra(self) -> tuple[Path, Path]:
        """Where Motif puts extra data: (h5, json), beside the chunks."""
        root, name = self.frames.parent, f"{self.number:06d}"
        return root / f"{name}.extra_data.h5", root / f"{name}.extra_data.json"


def chunk_paths(root: Path, number: int, extension: str = "") -> ChunkPaths:
    """Chunk `number` of the store at `root`: a directory, or with `extension` (".mp4") a video."""
    name = f"{number:06d}"
    if extension:
        return ChunkPaths(
            number, root / f"{name}{extension}", root / f"{name}.npz", root / f"{name}.yaml",
            root / f"{name}.frames.log", root / f"{name}.frames.plan",
            root / f"{name}.extra.json", root / f"{name}.extra.log", root / f"{name}.open")
    chunk = root / name
    return ChunkPaths(number, chunk, chunk / "index.npz", chunk / "index.yaml",
                      chunk / "frames.log", chunk / "frames.plan", chunk / "index.extra.json",
                      chunk / "extra.log", None)


def find_chunks(root: Path, metadata: StoreMetadata) -> list[ChunkPaths]:
    """Every chunk there is, by number; blocks for one directory listing, OSError.

    A video chunk counts when its video, its index, its journal or its unfinished video is there.
    Directories and files with other names are not chunks (imgstore fails on some of them).
    """
    return [chunk_paths(root, number, metadata.extension)
            for number in chunk_numbers(root, metadata)]


def chunk_numbers(root: Path, metadata: StoreMetadata) -> list[int]:
    """The numbers of those chunks, ascending; the same listing without a path for each."""
    with os.scandir(root) as entries:
        if not metadata.is_video:
            return sorted({int(entry.name) for entry in entries
                           if _NUMBERED.match(entry.name) and entry.is_dir()})
        endings = {metadata.extension, ".npz", ".yaml", ".frames.log", ".open"}
        return sorted({int(stem) for entry in entries
                       for stem, dot, end in [entry.name.partition(".")]
                       if _NUMBERED.match(stem) and dot + end in endings and entry.is_file()})
