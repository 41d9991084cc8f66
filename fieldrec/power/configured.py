"""Power sources as a configuration names them: checking their options, making them.

Called at start, by `fieldrec config check` and `fieldrec power`; reads no gauge.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fieldrec.config.document import Document, KeyPath, explain
from fieldrec.config.loading import resolve
from fieldrec.config.models import Config
from fieldrec.config.power import PowerConfig
from fieldrec.core.clock import Clock
from fieldrec.core.errors import ConfigError
from fieldrec.power import Source, SourceOptions
from fieldrec.power.discovery import MAINS, options_model, source_class


def check_sources(document: Document, config: Config) -> None:
    """Validate each source's type and options; ConfigError names file, line and key."""
    if not config.power.sources:
        if config.power.source != MAINS:
            model = _checked_model(document, config.power.source, ("power", "source"))
            _validate(document, model, _own_options(config.power, config.power.source, {}),
                      ("power", "source"))
        return
    for number, source in enumerate(config.power.sources):
        at: KeyPath = ("power", "sources", number)
        if source.type == MAINS:
            raise document.error((*at, "type"), "mains stands alone, as power.source: mains; "
                                 "beside other sources it would hide them")
        model = _checked_model(document, source.type, (*at, "type"))
        _validate(document, model, _own_options(config.power, source.type, source.options),
                  (*at, "options"))


def with_absolute_paths(power: PowerConfig, base: Path) -> PowerConfig:
    """With the paths in sources' options made absolute against `base`, the folder of the file
    they were read from. The sources are known to exist."""
    return power.model_copy(update={"sources": tuple(
        source.model_copy(update={"options": _absolute(source.type, source.options, base)})
        for source in power.sources)})


def make_sources(power: PowerConfig, clock: Clock) -> list[Source]:
    """The configured sources, nothing read yet; ConfigError for a wrong one, in one line."""
    if power.sources:
        return [_make(source.type, _own_options(power, source.type, source.options), clock)
                for source in power.sources]
    if power.source == MAINS:
        return [_make("fixed", {"level": MAINS}, clock)]
    return [_make(power.source, _own_options(power, power.source, {}), clock)]


def _own_options(power: PowerConfig, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with what older configurations say outside of them."""
    if name == "sysfs":
        return {"path": power.path, "disagree_percent": power.disagree_percent, **options}
    return dict(options)


def _make(name: str, options: Mapping[str, Any], clock: Clock) -> Source:
    model = options_model(name)
    try:
        return source_class(name)(model.model_validate(options), clock)
    except ValidationError as error:
        raise ConfigError(f"power source {name}: {'; '.join(explain(model, error))}") from error


def _checked_model(document: Document, name: str, at: KeyPath) -> type[SourceOptions]:
    try:
        return options_model(name)
    except ConfigError as error:
        raise document.error(at, str(error)) from error


def _validate(document: Document, model: type[SourceOptions], options: Mapping[str, Any],
              at: KeyPath) -> None:
    document.validate_layered(model, options, at, document, {})


def _absolute(name: str, options: Mapping[str, Any], base: Path) -> dict[str, Any]:
    paths = {key for key, field in options_model(name).model_fields.items()
             if field.annotation in (Path, Path | None)}
    return {key: str(resolve(base, Path(value))) if key in paths and isinstance(value, str) else
            value for key, value in options.items()}
