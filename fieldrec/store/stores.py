"""imgstore's interface: open a store for reading or writing, or take a single frame from it.

Everything that scripts import from `imgstore` or `imgstore.stores`. Blocking; a store object
belongs to one thread at a time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fieldrec.store.api.base_store import ImgStore
from fieldrec.store.api.directory_store import DirectoryImgStore
from fieldrec.store.api.imgstore_errors import WrongArgument
from fieldrec.store.api.only_frame import only_frame
from fieldrec.store.api.opening import AnyPath, existing_directory, open_store, store_directory
from fieldrec.store.api.video_store import VideoImgStore
from fieldrec.store.colour import ensure_color, ensure_grayscale
from fieldrec.store.constants import (
    EXTRA_DATA_FILE_EXTENSIONS,
    FRAME_MD,
    STORE_INDEX_FILENAME,
    STORE_LOCK_FILENAME,
    STORE_MD_FILENAME,
    STORE_MD_KEY,
)
from fieldrec.store.index import ImgStoreIndex

__all__ = [
    "EXTRA_DATA_FILE_EXTENSIONS",
    "FRAME_MD",
    "STORE_INDEX_FILENAME",
    "STORE_LOCK_FILENAME",
    "STORE_MD_FILENAME",
    "STORE_MD_KEY",
    "DirectoryImgStore",
    "ImgStore",
    "ImgStoreIndex",
    "VideoImgStore",
    "ensure_color",
    "ensure_grayscale",
    "extract_only_frame",
    "get_supported_formats",
    "new_for_filename",
    "new_for_format",
]


def new_for_filename(path: AnyPath | None, **kwargs: Any) -> ImgStore:
    """Open the store at `path` (its directory or metadata.yaml; or None and `basedir`) for reading,
    or the exported movie at `path`.

    `mapped`, `skip_damaged`, `verify`: as for :class:`ImgStore`. NoStore (a ValueError),
    NoMetadataFile (a FileNotFoundError), StoreUnreadable (a ValueError).
    """
    directory = existing_directory(path, kwargs.pop("basedir", None))
    return open_store(directory, **kwargs)


def new_for_format(fmt: str | None, path: AnyPath | None = None, **kwargs: Any) -> ImgStore:
    """Make a store of format `fmt` ("npy", "png", "avc1/mp4" …) at `path`, or `basedir`, where
    there is none, to write into.

    `imgshape` is needed; `imgdtype` (uint8), `chunksize`, `metadata`, `encoding`, `durability_s`:
    as for :class:`ImgStore`. With mode 'r' as :func:`new_for_filename`. StoreExists (a
    FileExistsError), WrongArgument (a ValueError), WrongType (a TypeError), DiskFull and
    WriteFailed (OSErrors); then nothing was made.
    """
    if kwargs.setdefault("mode", "w") == "r":
        return new_for_filename(path, **kwargs)
    kwargs["basedir"] = store_directory(path, kwargs.get("basedir"))
    for kind in (DirectoryImgStore, VideoImgStore):
        if kind.supports_format(str(fmt)):
            return kind(**{**kwargs, "format": fmt})
    raise WrongArgument(f"there is no format {fmt!r}; known are "
                        f"{', '.join(get_supported_formats())}")


def get_supported_formats() -> list[str]:
    """Every format that can be written on this machine."""
    return [*DirectoryImgStore.supported_formats(), *VideoImgStore.supported_formats()]


def extract_only_frame(path: AnyPath, frame_index: Any) -> NDArray[Any] | None:
    """The frame at this index (0 …) of the store at `path`, as it is stored: no encoding is
    decoded; of a video in colour always.

    Where there is no such frame: FrameMissing (a FileNotFoundError) of npy, None of other formats.
    FrameDamaged (an OSError and a ValueError).
    """
    return only_frame(Path(existing_directory(path)) / STORE_MD_FILENAME, frame_index)
