"""Cameras as a configuration names them: checking their options, making them.

Called at start and by `fieldrec config check`; touches no hardware.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fieldrec.camera import Camera
from fieldrec.camera.discovery import make_camera, options_model
from fieldrec.camera.serial_files import SerialFile
from fieldrec.config import CameraConfig, Config, Document
from fieldrec.config.loading import resolve
from fieldrec.core.errors import ConfigError


def check_cameras(document: Document, config: Config,
                  files: Mapping[str, SerialFile] | None = None) -> None:
    """Validate each camera's backend and options, some of which may be in `files`; ConfigError
    names file, line and key."""
    for key, camera in config.cameras.items():
        try:
            model = options_model(camera.backend)
        except ConfigError as error:
            raise document.error(("cameras", key, "backend"), str(error)) from error
        file = (files or {}).get(key)
        if file is not None:
            document.validate_layered(model, camera.options, ("cameras", key, "options"),
                                      file.document, file.places)
        elif camera.options or "options" in document.values["cameras"][key]:
            document.validate_layered(model, camera.options, ("cameras", key, "options"),
                                      document, {})


def with_absolute_paths(config: Config, base: Path) -> Config:
    """The configuration with the paths in cameras' options made absolute against `base`, the
    folder of the file they were read from."""
    return config.model_copy(update={"cameras": {
        key: camera.model_copy(update={"options": _absolute(camera, base)})
        for key, camera in config.cameras.items()
    }})


def _absolute(camera: CameraConfig, base: Path) -> dict[str, Any]:
    paths = {name for name, field in options_model(camera.backend).model_fields.items()
             if field.annotation in (Path, Path | None)}
    return {name: str(resolve(base, Path(value))) if name in paths else value
            for name, value in camera.options.items()}


def configured_camera(key: str, camera: CameraConfig) -> Camera:
    """A closed camera of this entry; its serial is the key unless it names another."""
    return make_camera(camera.backend, camera.serial or key, camera.options)
