"""From a path to a :class:`Config`: reading, validating, and making paths absolute.

Blocking, small; called once at start and by `fieldrec config check`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fieldrec.config.destinations import FolderConfig
from fieldrec.config.document import Document, KeyPath
from fieldrec.config.models import Config, StorageConfig
from fieldrec.config.mounted_paths import resolve_unasked
from fieldrec.core.errors import ConfigError


def load_document(path: Path) -> tuple[Document, Config]:
    """Read and validate `path`; paths in it are relative to its folder.

    Needs no hardware and no folder to exist. ConfigError names file, line and key.
    """
    document = Document.read(path)
    config = document.validate(Config)
    base = path.absolute().parent
    storage = config.storage.model_copy(update={
        "directory": _resolve_key(document, base, config.storage.directory,
                                  ("storage", "directory")),
        "directories": tuple(
            _resolve_key(document, base, path, ("storage", "directories", number))
            for number, path in enumerate(config.storage.directories)),
        "mount_points": tuple(
            _resolve_key(document, base, path, ("storage", "mount_points", number))
            for number, path in enumerate(config.storage.mount_points))})
    _check_directories(document, storage.directory, storage.directories)
    _check_mount_points(document, storage)
    drives = config.drives.model_copy(update={"mount_root": _resolve_key(
        document, base, config.drives.mount_root, ("drives", "mount_root"), resolve_unasked)})
    _check_mount_root(document, drives.mount_root, (storage.directory, *storage.directories))
    destinations = {
        name: destination.model_copy(update={
            key: _resolve_key(document, base, getattr(destination, key),
                              ("destinations", name, key), resolve_unasked)
            for key in destination.PATHS if getattr(destination, key) is not None})
        for name, destination in config.destinations.items()
    }
    config = config.model_copy(update={"storage": storage, "drives": drives,
                                       "destinations": destinations})
    check_destinations(config, document)
    return document, config


def load_config(path: Path) -> Config:
    """The validated configuration alone."""
    return load_document(path)[1]


def resolve(base: Path, path: Path) -> Path:
    """`path` made absolute against `base`, with `~` expanded and `..` removed."""
    return (base / path.expanduser()).resolve()


def _resolve_key(document: Document, base: Path, path: Path, key: KeyPath,
                 how: Callable[[Path, Path], Path] = resolve) -> Path:
    """:func:`resolve` or its like, or a ConfigError at the key."""
    try:
        return how(base, path)
    except (OSError, RuntimeError, ValueError) as error:  # unknown ~user, symlink loop, NUL
        raise document.error(key, f"{str(path)!r} cannot be used as a path: {error}") from error


def _check_directories(document: Document, first: Path, further: Sequence[Path]) -> None:
    """Refuse a recordings folder that is another one, or inside one: what is in it would be there
    twice."""
    known = [first]
    for number, path in enumerate(further):
        for other in known:
            if path.is_relative_to(other) or other.is_relative_to(path):
                raise document.error(
                    ("storage", "directories", number),
                    f"{path} is the same as the recordings folder {other}, or one is inside the "
                    "other; choose folders beside each other, best on other disks")
        known.append(path)


def _check_mount_points(document: Document, storage: StorageConfig) -> None:
    """Refuse a mount point that no recordings folder is on: it would guard nothing."""
    for number, point in enumerate(storage.mount_points):
        if not any(path.is_relative_to(point)
                   for path in (storage.directory, *storage.directories)):
            raise document.error(("storage", "mount_points", number),
                                 f"{point} holds none of the recordings folders; name the folder "
                                 "on which their disk is mounted")


def _check_mount_root(document: Document, root: Path, recordings: Sequence[Path]) -> None:
    """Refuse to mount drives inside a recordings folder: what is on them is not recorded here."""
    for folder in recordings:
        if root.is_relative_to(folder):
            raise document.error(("drives", "mount_root"), f"{root} is inside the recordings "
                                 f"folder {folder}; choose a folder elsewhere")


def check_destinations(config: Config, document: Document | None = None) -> None:
    """Refuse a folder as a destination that is inside a recordings folder, or around it.

    A copy there would be scanned as a recording, copied again, and deleted by a move.
    """
    folders = (config.storage.directory, *config.storage.directories)
    for name, destination in config.destinations.items():
        if not isinstance(destination, FolderConfig):
            continue
        for recordings in folders:
            inside = destination.path.is_relative_to(recordings)
            around = recordings.is_relative_to(destination.path)
            if not (inside or around):
                continue
            message = (f"{destination.path} is {'inside' if inside else 'around'} the recordings "
                       f"folder {recordings}; choose a folder elsewhere")
            key = ("destinations", name, "path")
            if document is None:
                raise ConfigError(f"destination {name}: {message}")
            raise document.error(key, message)
