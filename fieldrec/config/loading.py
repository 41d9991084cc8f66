"""From a path to a :class:`Config`: reading, validating, and making paths absolute.

Blocking, small; called once at start and by `fieldrec config check`.
"""

from __future__ import annotations

from pathlib import Path

from fieldrec.config.document import Document
from fieldrec.config.models import Config
from fieldrec.core.errors import ConfigError


def load_document(path: Path) -> tuple[Document, Config]:
    """Read and validate `path`; paths in it are relative to its folder.

    Needs no hardware and no folder to exist. ConfigError names file, line and key.
    """
    document = Document.read(path)
    config = document.validate(Config)
    base = path.absolute().parent
    storage = config.storage.model_copy(
        update={"directory": _resolve_key(document, base, config.storage.directory,
                                          ("storage", "directory"))})
    destinations = {
        name: destination.model_copy(update={"path": _resolve_key(
            document, base, destination.path, ("destinations", name, "path"))})
        for name, destination in config.destinations.items()
    }
    config = config.model_copy(update={"storage": storage, "destinations": destinations})
    check_destinations(config, document)
    return document, config


def load_config(path: Path) -> Config:
    """The validated configuration alone."""
    return load_document(path)[1]


def resolve(base: Path, path: Path) -> Path:
    """`path` made absolute against `base`, with `~` expanded and `..` removed."""
    return (base / path.expanduser()).resolve()


def _resolve_key(document: Document, base: Path, path: Path, key: tuple[str, ...]) -> Path:
    """:func:`resolve`, or a ConfigError at the key."""
    try:
        return resolve(base, path)
    except (OSError, RuntimeError, ValueError) as error:  # unknown ~user, symlink loop, NUL
        raise document.error(key, f"{str(path)!r} cannot be used as a path: {error}") from error


def check_destinations(config: Config, document: Document | None = None) -> None:
    """Refuse a destination inside the recordings folder, or the other way round.

    A copy there would be scanned as a recording, copied again, and deleted by a move.
    """
    recordings = config.storage.directory
    for name, destination in config.destinations.items():
        inside = destination.path.is_relative_to(recordings)
        around = recordings.is_relative_to(destination.path)
        if inside or around:
            message = (f"{destination.path} is {'inside' if inside else 'around'} the recordings "
                       f"folder {recordings}; choose a folder elsewhere")
            key = ("destinations", name, "path")
            if document is None:
                raise ConfigError(f"destination {name}: {message}")
            raise document.error(key, message)
