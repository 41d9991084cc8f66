"""The recorders of a configuration: one for each camera, not opened yet. Pure composition."""

from __future__ import annotations

from collections.abc import Callable

from fieldrec.camera.configured import configured_camera
from fieldrec.config import Config
from fieldrec.core.clock import Clock
from fieldrec.record.preparing import prepared
from fieldrec.record.recorder import Recorder


def recorders_of(config: Config, clock: Clock, on_change: Callable[[], None]
                 ) -> dict[str, Recorder]:
    """By the camera's key; `on_change` is called on the loop. ConfigError for a wrong camera."""
    return {key: _recorder(config, key, clock, on_change) for key in config.cameras}


def _recorder(config: Config, key: str, clock: Clock, on_change: Callable[[], None]) -> Recorder:
    camera = config.cameras[key]
    return Recorder(key, prepared(configured_camera(key, camera), camera.prepare),
                    serial=camera.serial or key, store=config.store, record=config.record,
                    timezone=config.system.timezone, clock=clock, on_change=on_change,
                    metadata=camera.metadata)
