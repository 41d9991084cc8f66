"""Which deployment the box is in. Blocking; before a logbook is opened, and for the command.

`deployment.json` beside the logbooks keeps the name in use and the one that the configuration had
when it was taken: whichever of configuration and command changed last counts.
"""

from __future__ import annotations

import json
from pathlib import Path

from fieldrec.config.section import SAFE_NAME
from fieldrec.core import durable
from fieldrec.core.errors import UsageError

_ALLOWED = "use letters, digits, '.', '_' and '-' only (at most 100 characters)"
STATE_NAME = "deployment.json"
_STATE_BYTES = 10_000


def current(logbooks: Path, configured: str) -> str:
    """The deployment's name; a configuration that was changed begins another one. OSError,
    StoreFull, SyncFailed when that cannot be kept."""
    name = look(logbooks, configured)
    if _state(logbooks) != (name, configured):
        begin(logbooks, name, configured)
    return name


def look(logbooks: Path, configured: str) -> str:
    """The same; keeps nothing."""
    state = _state(logbooks)
    return state[0] if state is not None and state[1] == configured else configured


def check_deployment(name: str) -> str:
    """`name`, if a deployment may be called so; UsageError says what is allowed."""
    if not SAFE_NAME.match(name):
        raise UsageError(f"{name[:40]!r} cannot be a deployment's name: {_ALLOWED}")
    return name


def begin(logbooks: Path, name: str, configured: str) -> None:
    """From now on it is `name`, until another is begun or the configuration says otherwise than
    `configured`. A name of before goes on where it had ended. Errors as :func:`current`."""
    durable.make_directories(logbooks)
    state = {"deployment": name, "configured": configured}
    durable.write_atomic(logbooks / STATE_NAME, json.dumps(state).encode() + b"\n")


def _state(logbooks: Path) -> tuple[str, str] | None:
    """(name, what was configured); None where nothing that can be understood says so."""
    try:
        with (logbooks / STATE_NAME).open("rb") as file:
            values = json.loads(file.read(_STATE_BYTES))
        name, configured = values["deployment"], values["configured"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not isinstance(name, str) or not isinstance(configured, str):
        return None
    # it becomes the name of a folder
    return (name, configured) if SAFE_NAME.match(name) else None
