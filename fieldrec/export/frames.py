"""The raw frames of a store, each proven to be what was recorded before it is used.

Blocking, one thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import xxhash

from fieldrec.core.errors import StoreDamaged
from fieldrec.export.pictures import Pixels
from fieldrec.store.frame_files import FrameFiles, frame_files
from fieldrec.store.reader import StoreReader


def checked_frames(store: StoreReader, first: int = 0, end: int | None = None) -> Iterator[Pixels]:
    """Frames `first` … `end` - 1 as they are stored, each an array of its own and compared with
    the digest taken when it was recorded, where there is one. StoreDamaged names the frame."""
    digests = store.digests
    form = store.metadata.format
    files = frame_files(store.metadata) if digests is not None and form != "npy" else None
    for index in range(first, store.frame_count if end is None else end):
        if digests is None:
            yield store.read(index)
        elif files is None:
            pixels = store.read(index)
            if xxhash.xxh3_64_intdigest(pixels.data) != int(digests[index]):
                raise _changed(store, index)
            yield pixels
        else:
            yield _checked_file(store, files, index, int(digests[index]))


def _checked_file(store: StoreReader, files: FrameFiles, index: int, digest: int) -> Pixels:
    """A frame that is encoded in a file of its own: the digest is of the file."""
    path = store.frame_path(index)
    try:
        data = memoryview(path.read_bytes())
    except OSError as error:
        raise StoreDamaged(f"{path}: {error.strerror}: the index lists this frame") from error
    if not files.is_whole(data, digest):
        raise _changed(store, index)
    return files.decode(data, path)


def _changed(store: StoreReader, index: int) -> StoreDamaged:
    return StoreDamaged(f"{store.path.name}: frame {index} is not what was recorded (its digest "
                        "differs): run `fieldrec check`")
