"""From what a caller names, a path, a directory or a movie, to a store object or a single frame.

Blocking; any thread.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fieldrec.store.api.base_store import ImgStore
from fieldrec.store.api.directory_store import DirectoryImgStore
from fieldrec.store.api.imgstore_errors import NoMetadataFile, NoStore, WrongArgument
from fieldrec.store.api.movie_store import MovieImgStore
from fieldrec.store.api.store_reading import open_reader
from fieldrec.store.api.video_store import VideoImgStore
from fieldrec.store.constants import STORE_MD_FILENAME
from fieldrec.store.metadata import DIRECTORY_CLASS
from fieldrec.store.movie.movie import is_movie

AnyPath = str | os.PathLike[str]


def store_directory(path: AnyPath | None, basedir: AnyPath | None = None) -> str:
    """The store's directory: `path` is that or its metadata.yaml, `basedir` that only.

    WrongArgument unless one of the two is given.
    """
    if path and basedir:
        raise WrongArgument("give the store's path or its basedir, not both")
    if basedir:
        directory = os.fsdecode(basedir)
        if _names_metadata(directory):
            raise WrongArgument(f"basedir is the store's directory, not its {STORE_MD_FILENAME}")
        return directory
    if not path:
        raise WrongArgument(f"give the path of a store: its directory or its {STORE_MD_FILENAME}")
    given = os.fsdecode(path)
    return os.path.dirname(given) if _names_metadata(given) else given  # noqa: PTH120 as given


def _names_metadata(path: str) -> bool:
    return Path(path).name == STORE_MD_FILENAME and path.endswith(STORE_MD_FILENAME)


def existing_directory(path: AnyPath | None, basedir: AnyPath | None = None) -> str:
    """The same of a store that is there, or the path of an exported movie. NoStore (a ValueError),
    or NoMetadataFile (a FileNotFoundError) where it was the file, or the basedir, that was named.
    """
    directory = store_directory(path, basedir)
    if is_movie(Path(directory)):
        return directory
    if (Path(directory) / STORE_MD_FILENAME).exists():
        return directory
    if basedir or _names_metadata(os.fsdecode(path or "")):
        raise NoMetadataFile(f"{Path(directory) / STORE_MD_FILENAME}: there is no such file")
    raise NoStore(f"{directory}: there is no store (no {STORE_MD_FILENAME})")


def open_store(directory: str, **kwargs: Any) -> ImgStore:
    """The store object of the class that the store in this directory says."""
    reader = open_reader(Path(directory).absolute(), verify=kwargs.get("verify", True))
    kind: type[ImgStore] = VideoImgStore
    if reader.metadata.is_movie:
        kind = MovieImgStore
    elif reader.metadata.class_name == DIRECTORY_CLASS:
        kind = DirectoryImgStore
    if kwargs.get("mode", "r") == "r":
        kwargs["reader"] = reader
    return kind(basedir=directory, **{"mode": "r", **kwargs})
