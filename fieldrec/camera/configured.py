"""Cameras as a configuration names them: checking their options, making them.

Called at start and by `fieldrec config check`; touches no hardware.
"""

from __future__ import annotations

from fieldrec.camera import Camera
from fieldrec.camera.discovery import make_camera, options_model
from fieldrec.config import CameraConfig, Config, Document
from fieldrec.core.errors import ConfigError


def check_cameras(document: Document, config: Config) -> None:
    """Validate each camera's backend and options; ConfigError names file, line and key."""
    for key, camera in config.cameras.items():
        try:
            model = options_model(camera.backend)
        except ConfigError as error:
            raise document.error(("cameras", key, "backend"), str(error)) from error
        if "options" in document.values["cameras"][key]:
            document.validate(model, ("cameras", key, "options"))


def configured_camera(key: str, camera: CameraConfig) -> Camera:
    """A closed camera of this entry; its serial is the key unless it names another."""
    return make_camera(camera.backend, camera.serial or key, camera.options)
