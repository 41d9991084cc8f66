"""The serial lines and terminals of the configuration, each a task of its own. On the loop."""

from __future__ import annotations

from collections.abc import Sequence

from fieldrec.app.console_verbs import ConsoleVerbs
from fieldrec.app.tasks import Tasks
from fieldrec.config import ConsoleConfig
from fieldrec.control import Control
from fieldrec.core.clock import Clock
from fieldrec.status import console
from fieldrec.status.board import Board


def spawn_consoles(tasks: Tasks, consoles: Sequence[ConsoleConfig], board: Board, control: Control,
                   clock: Clock) -> None:
    """Begin all of them, as ``console DEVICE``."""
    verbs = ConsoleVerbs(control)
    for config in consoles:
        name = f"console {config.device}"
        tasks.spawn(name, lambda config=config, name=name: console.run(  # type: ignore[misc]
            config, board, verbs, clock,
            on_problem=lambda problem: tasks.changed(name, problem),
            on_command=lambda: control.attended()))
