"""Which power sources there are: the modules of this package that have ``Options`` and ``SOURCE``.

Called at start and by `fieldrec config check`, from any thread; nothing is read from a gauge.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
import re
from pathlib import Path
from types import ModuleType
from typing import cast

import fieldrec.power
from fieldrec.core.errors import ConfigError
from fieldrec.power import Source, SourceOptions

MAINS = "mains"
"""In a configuration: there is no battery to watch."""
_SOURCE = re.compile(r"^(?:class )?SOURCE\b", re.MULTILINE)


def source_names() -> list[str]:
    """Names of all sources, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(fieldrec.power.__path__)
                  if _is_source(module.name))


def options_model(name: str) -> type[SourceOptions]:
    """The source's ``Options``; ConfigError with the names there are for an unknown one."""
    return cast(type[SourceOptions], _source(name).Options)


def source_class(name: str) -> type[Source]:
    """The source's class; ConfigError as above."""
    return cast(type[Source], _source(name).SOURCE)


def _source(name: str) -> ModuleType:
    names = source_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise ConfigError(f"no power source '{name}'; {hint}there are: {', '.join(names)}, {MAINS}")
    return importlib.import_module(f"{fieldrec.power.__name__}.{name}")


def _is_source(name: str) -> bool:
    """By its text: importing every module to ask would load what only one of them needs."""
    found = importlib.util.find_spec(f"{fieldrec.power.__name__}.{name}")
    if found is not None and found.origin is not None and found.origin.endswith(".py"):
        return _SOURCE.search(Path(found.origin).read_text()) is not None
    module = importlib.import_module(f"{fieldrec.power.__name__}.{name}")
    return hasattr(module, "Options") and hasattr(module, "SOURCE")
