"""Files per camera beside the configuration, as Motif has them: ``config.d/SERIAL.yaml``.

Such a file lies over the camera's entry in `cameras:`. It has `options`, `prepare` and `metadata`,
or nothing but GenICam names and their values, as Motif writes it (ExposureTime, Gain…; its own
MotifImageRotate too). The value `none` takes a key out: the camera is left as it is. Read at start
and by `fieldrec config check`; blocking, touches no hardware.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import AliasChoices, Field

from fieldrec.camera import CameraOptions
from fieldrec.camera.discovery import options_model
from fieldrec.config import CameraConfig, Config, Document
from fieldrec.config.document import KeyPath
from fieldrec.config.recording import PrepareConfig
from fieldrec.config.section import Section
from fieldrec.core.errors import ConfigError

FOLDER = "config.d"
ROTATE = "MotifImageRotate"
_OTHER_NAMES = {"AcquisitionFrameRate": "hz", "Width": "width", "Height": "height",
                "OffsetX": "offset_x", "OffsetY": "offset_y", "PixelFormat": "pixel_format"}
"""GenICam's names of what backends call differently."""
_ANY_NAMES = ("features", "controls")
"""Options that take any name of the camera's own."""


class _Layer(Section):
    """What a file may have."""

    options: dict[str, Any] = Field(default_factory=dict)
    prepare: PrepareConfig = Field(default_factory=PrepareConfig)
    metadata: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SerialFile:
    """One file that was taken."""

    document: Document
    places: dict[str, KeyPath] = field(default_factory=dict)
    """Where in it the options are that it gives; a key of an option that has keys as "a.b"."""


def with_serial_files(document: Document, config: Config) -> tuple[Config, dict[str, SerialFile]]:
    """The configuration with these files over it, and the files by camera. Truth values where a
    camera's option is On or Off, which YAML makes of them, are put right in both.

    ConfigError names file, line and key; options are checked later, by ``check_cameras``.
    """
    files: dict[str, SerialFile] = {}
    cameras = {}
    for key, camera in config.cameras.items():
        path = _path(document, camera.serial or key)
        try:
            model = options_model(camera.backend)
        except ConfigError:
            cameras[key] = camera  # refused later, with its line in the configuration
            continue
        options = {name: _spelled(model, name, value) for name, value in camera.options.items()}
        camera = camera.model_copy(update={"options": options})
        if path is not None:
            files[key] = SerialFile(Document.read(path))
            camera = _layered(camera, model, files[key])
        cameras[key] = camera
    return config.model_copy(update={"cameras": cameras}), files


def unused_files(document: Document, config: Config) -> list[Path]:
    """Files there for cameras that the configuration does not have."""
    serials = {camera.serial or key for key, camera in config.cameras.items()}
    found = (path for path in _folder(document).glob("*") if path.suffix in (".yaml", ".yml"))
    return sorted(path for path in found if path.stem not in serials)


def _folder(document: Document) -> Path:
    return Path(document.source).absolute().parent / FOLDER


def _path(document: Document, serial: str) -> Path | None:
    found = [path for path in (_folder(document) / f"{serial}{suffix}"
                               for suffix in (".yaml", ".yml")) if path.exists()]
    if len(found) == 2:
        raise ConfigError(f"{found[1]}: {found[0].name} is there too; keep one of them")
    return found[0] if found else None


def _layered(camera: CameraConfig, model: type[CameraOptions], file: SerialFile) -> CameraConfig:
    """The entry with the file over it; notes where in the file the options are."""
    values = file.document.values
    named = [key for key in values if key in _Layer.model_fields]
    if not named:
        return _with_names(camera, model, file, values, ())
    for key in values:
        if key not in named:
            raise file.document.error((key,), f"beside '{named[0]}' there can only be "
                                      f"{', '.join(_Layer.model_fields)}; put it into 'options'")
    layer = file.document.validate(_Layer)
    prepare = camera.prepare.model_copy(
        update={key: getattr(layer.prepare, key) for key in layer.prepare.model_fields_set})
    camera = camera.model_copy(update={"prepare": prepare,
                                       "metadata": camera.metadata | layer.metadata})
    return _with_names(camera, model, file, layer.options, ("options",))


def _with_names(camera: CameraConfig, model: type[CameraOptions], file: SerialFile,
                values: Mapping[str, Any], at: KeyPath) -> CameraConfig:
    """The entry with these options and GenICam names over its own."""
    options: dict[str, Any] = dict(camera.options)
    prepare = camera.prepare
    for name, value in values.items():
        if name == ROTATE:
            rotate = 0 if _is_none(value) else value
            if rotate not in (0, 90, 180, 270) or isinstance(rotate, bool):
                raise file.document.error((*at, name),
                                          f"expected 0, 90, 180 or 270 (got {value!r})")
            prepare = prepare.model_copy(update={"rotate": int(rotate)})
        elif name in _ANY_NAMES and name in model.model_fields and isinstance(value, dict):
            for inner, given in value.items():
                _put(options, (name, str(inner)), given, model, file, (*at, name, str(inner)))
        else:
            _put(options, _option_of(model, name), value, model, file, (*at, name))
    return camera.model_copy(update={"options": options, "prepare": prepare})


def _put(options: dict[str, Any], target: tuple[str, ...], value: Any, model: type[CameraOptions],
         file: SerialFile, at: KeyPath) -> None:
    """Set one option, or one key of an option that has keys; `none` takes it out."""
    file.places[".".join(target)] = at
    if len(target) == 2:
        inner = dict(options.get(target[0], {}))
        inner.pop(target[1], None)
        options[target[0]] = inner if _is_none(value) else inner | {target[1]: value}
        return
    for name in _names_of(model, target[0]):
        options.pop(name, None)
    if not _is_none(value):
        options[target[0]] = _spelled(model, target[0], value)


def _option_of(model: type[CameraOptions], name: str) -> tuple[str, ...]:
    """The backend's option of this name: its own, GenICam's, or one among the camera's own."""
    known = {spelling for own in model.model_fields for spelling in _names_of(model, own)}
    if name not in known and _OTHER_NAMES.get(name) in known:
        return (_OTHER_NAMES[name],)
    if name not in known and name[:1].isupper():
        for own in _ANY_NAMES:
            if own in model.model_fields:
                return (own, name)
    return (name,)


def _names_of(model: type[CameraOptions], name: str) -> set[str]:
    """All names under which the option can be given."""
    for own, info in model.model_fields.items():
        alias = info.validation_alias
        names = {own} if alias is None else {alias} if isinstance(alias, str) else {
            str(choice) for choice in (alias.choices if isinstance(alias, AliasChoices) else ())}
        if name in names or name == own:
            return names
    return {name}


def _spelled(model: type[CameraOptions], name: str, value: Any) -> Any:
    """The value as the option has it: On and Off where YAML made truth values of them, and
    GenICam's "Mono8" and "BayerRG8" as MONO8 and BAYER_RG8."""
    if name == "pixel_format" and isinstance(value, str):
        return re.sub(r"\ABAYER_?(?=[RGB]{2}\d)", "BAYER_", value.upper())
    if isinstance(value, bool):
        info = next((info for own, info in model.model_fields.items()
                     if name in _names_of(model, own)), None)
        word = "On" if value else "Off"
        if info is not None and word in _choices(info.annotation):
            return word
    return value


def _choices(annotation: Any) -> Iterator[Any]:
    """All values of literals in an annotation."""
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    else:
        for inner in get_args(annotation):
            yield from _choices(inner)


def _is_none(value: Any) -> bool:
    return value is None or (isinstance(value, str) and value.lower() == "none")
