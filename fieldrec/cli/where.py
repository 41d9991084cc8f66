"""Where a command works: which configuration, which recordings folder.

Order: `--config FILE` or `--recordings DIR`, then the environment (FIELDREC_CONFIG,
FIELDREC_RECORDINGS), then /etc/fieldrec/fieldrec.yaml, then ./recordings.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from fieldrec.core.errors import NotFoundError, StoreError, UsageError

LONGEST_NAME = 230
"""Bytes: file systems take 255, and unfinished work has a longer name."""
SYSTEM_CONFIG = Path("/etc/fieldrec/fieldrec.yaml")


@dataclass(frozen=True)
class Where:
    """What the options and the environment said."""

    config_file: Path | None
    recordings: Path | None

    def load(self) -> Any:
        """The :class:`Config` to work with; its recordings folder is absolute. Blocking."""
        from fieldrec.camera.configured import with_absolute_paths
        from fieldrec.config import Config, StorageConfig
        from fieldrec.power.configured import with_absolute_paths as sources_with_absolute_paths

        if self.config_file is not None and self.recordings is not None:
            raise UsageError("give --config or --recordings, not both")
        if self.recordings is not None:
            folder = self.recordings.expanduser().resolve()
            return Config(storage=StorageConfig(directory=folder))
        if self.config_file is not None or SYSTEM_CONFIG.exists():
            path = self.config_file or SYSTEM_CONFIG
            base = path.absolute().parent
            config = with_absolute_paths(load_checked(path), base)
            return config.model_copy(update={
                "power": sources_with_absolute_paths(config.power, base)})
        return Config(storage=StorageConfig(directory=Path("recordings").resolve()))

    def folder(self) -> Path:
        """The first recordings folder that is there; StoreError when none is."""
        return self.folders()[0]

    def folders(self) -> tuple[Path, ...]:
        """Those of the recordings folders that are there, in their order; StoreError when none
        is."""
        wanted = recordings_folders(self.load())
        there = tuple(folder for folder in wanted if folder.is_dir())
        if not there:
            names = ", ".join(str(folder) for folder in wanted)
            raise StoreError(f"no recordings folder {names}; make it, or name another with "
                             "--recordings or --config")
        return there

    def store(self, text: str) -> Path:
        """The folder of the store that `text` means: a recording of the folder by its name, or
        the path of a store, of a copy of one, or of its metadata.yaml; or an exported movie.
        NotFoundError, with the nearest name."""
        from fieldrec.catalogue.copied import store_of
        from fieldrec.catalogue.scan import find_in

        path = self.store_path(text)
        return find_in(self.folders(), text).path if path is None else store_of(path)

    def store_path(self, text: str) -> Path | None:
        """The same; None for a name under which there is neither a store nor a folder."""
        from fieldrec.store.metadata import METADATA_NAME
        from fieldrec.store.movie.movie import is_movie

        path = expanded(Path(text))
        if path.name == METADATA_NAME:
            path = path.parent
        elif is_movie(path):
            return path
        if "/" in text or path.name in ("", ".."):
            # its name is shown, and is a movie's title
            return _existing_folder(path if path.name not in ("", "..") else path.resolve())
        places = [directory / text for directory in recordings_folders(self.load())]
        with contextlib.suppress(OSError):  # no name that any file could have
            for place in (*places, path):
                if place.is_dir() or is_movie(place):
                    return place
        return None


def recordings_folders(config: Any) -> tuple[Path, ...]:
    """All recordings folders of a configuration, best first, there or not."""
    return (config.storage.directory, *config.storage.directories)


def expanded(path: Path) -> Path:
    """With the home of a user in place of ~; as it is where there is no such user."""
    with contextlib.suppress(RuntimeError):
        return path.expanduser()
    return path


def _existing_folder(path: Path) -> Path:
    try:
        if stat.S_ISDIR(path.stat().st_mode):
            return path
    except OSError as error:
        raise NotFoundError(f"{path}: no store there ({error.strerror})") from error
    raise NotFoundError(f"{path}: no store there (it is a file)")


def new_path(path: Path) -> Path:
    """A place where something new can be made. StoreError when something is there already, or the
    folder for it is not; UsageError for a name that is too long."""
    path = expanded(path)
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise UsageError(f"{path}: this name is too long")
    try:
        if path.exists() or path.is_symlink():
            raise StoreError(f"{path}: exists already; nothing is written over it, name another")
        if not path.absolute().parent.is_dir():
            raise StoreError(f"{path.absolute().parent}: no such folder; make it, or name another")
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    return path


def load_checked(path: Path) -> Any:
    """The :class:`Config` in `path`, also checked against the cameras' backends and the presets;
    ConfigError names file, line and key. Needs no hardware. Blocking."""
    return checked_with_files(path)[0]


def checked_with_files(path: Path) -> tuple[Any, dict[str, str], list[Path]]:
    """The same, with the files of config.d that were taken, by camera, and those that were not."""
    from fieldrec.camera.configured import check_cameras
    from fieldrec.camera.serial_files import unused_files, with_serial_files
    from fieldrec.config import load_document
    from fieldrec.export.own_presets import check_own_presets, own_presets
    from fieldrec.export.presets import preset
    from fieldrec.power.configured import check_sources
    from fieldrec.schedule.tasks import check_schedule

    document, config = load_document(path)
    config, files = with_serial_files(document, config)
    check_cameras(document, config, files)
    check_sources(document, config)
    check_own_presets(document, config)
    check_schedule(document, config)
    try:
        preset(config.export.preset, own_presets(config.export.presets))
    except UsageError as error:
        raise document.error(("export", "preset"), str(error)) from error
    taken = {key: file.document.source for key, file in files.items()}
    return config, taken, unused_files(document, config)


def where_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: --config and --recordings, handed over as `where`."""

    @click.option("--config", "config_file", type=click.Path(path_type=Path),
                  envvar="FIELDREC_CONFIG", help="Configuration file.")
    @click.option("--recordings", type=click.Path(path_type=Path),
                  envvar="FIELDREC_RECORDINGS", help="Recordings folder, without a configuration.")
    def wrapped(config_file: Path | None, recordings: Path | None, **rest: Any) -> Any:
        from_line = click.get_current_context().get_parameter_source
        if config_file is not None and recordings is not None:
            # What stands on the command line wins over the environment.
            commandline = click.core.ParameterSource.COMMANDLINE
            if from_line("recordings") is commandline and \
                    from_line("config_file") is not commandline:
                config_file = None
            elif from_line("config_file") is commandline and \
                    from_line("recordings") is not commandline:
                recordings = None
        return command(where=Where(config_file, recordings), **rest)

    wrapped.__name__ = command.__name__
    wrapped.__doc__ = command.__doc__
    wrapped.__click_params__ = [  # type: ignore[attr-defined]
        *getattr(command, "__click_params__", []), *getattr(wrapped, "__click_params__", [])]
    return wrapped


