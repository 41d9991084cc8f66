"""Which camera backends there are: the modules of this package that have ``Options`` and
``BACKEND``.

Called at start and by `fieldrec config check`, from any thread; no hardware is touched. Backends
import their vendor's package when a camera is opened, not before, so asking costs milliseconds
and configurations can be checked on a machine without any of them.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from pydantic import ValidationError

import fieldrec.camera
from fieldrec.camera import Camera, CameraOptions
from fieldrec.config.document import explain
from fieldrec.core.errors import ConfigError

_BACKEND = re.compile(r"^(?:class )?BACKEND\b", re.MULTILINE)


def backend_names() -> list[str]:
    """Names of all backends, sorted; also of those whose vendor's package is not installed."""
    return sorted(module.name for module in pkgutil.iter_modules(fieldrec.camera.__path__)
                  if _is_backend(module.name))


def options_model(backend: str) -> type[CameraOptions]:
    """The backend's ``Options``; ConfigError with the names there are for an unknown one."""
    return cast(type[CameraOptions], _backend(backend).Options)


def make_camera(backend: str, serial: str, options: Mapping[str, Any] | CameraOptions) -> Camera:
    """A closed camera. ConfigError for an unknown backend or wrong options, in one line."""
    module = _backend(backend)
    if not isinstance(options, CameraOptions):
        options = _checked(module.Options, backend, serial, options)
    elif not isinstance(options, module.Options):
        raise ConfigError(f"camera {serial}: options of another backend than {backend}")
    return cast(Camera, module.BACKEND(serial, options))


def _checked(model: type[CameraOptions], backend: str, serial: str, options: Mapping[str, Any]
             ) -> CameraOptions:
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        reasons = "; ".join(explain(model, error))
        raise ConfigError(f"camera {serial}: options for {backend}: {reasons}") from error


def _backend(name: str) -> ModuleType:
    names = backend_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise ConfigError(f"no camera backend '{name}'; {hint}there are: {', '.join(names)}")
    try:
        return _module(name)
    except ImportError as error:
        raise ConfigError(f"camera backend '{name}' cannot be loaded: {error}; "
                          f"run: pip install 'fieldrec[{name}]'") from error


def _is_backend(name: str) -> bool:
    """By its text, where that is there: importing every module of the package to ask takes longer
    than anything else at start, and would load what only one of them needs."""
    found = importlib.util.find_spec(f"{fieldrec.camera.__name__}.{name}")
    if found is not None and found.origin is not None and found.origin.endswith(".py"):
        return _BACKEND.search(Path(found.origin).read_text()) is not None
    try:
        module = _module(name)
    except ImportError:
        return True  # a backend whose vendor's package is missing: named, refused when it is used
    return hasattr(module, "Options") and hasattr(module, "BACKEND")


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{fieldrec.camera.__name__}.{name}")
