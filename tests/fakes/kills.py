"""A process killed at a durable step, within the test's own process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fieldrec.core import durable


class Killed(BaseException):
    """What the hook raises: no except clause of ours may see it, as none sees a kill."""


def killed_at(step: int, action: Callable[[], object]) -> bool:
    """Run `action`, killed before its `step`-th durable step; whether it got that far."""
    seen = 0

    def hook(name: str, path: Path) -> None:
        nonlocal seen
        seen += 1
        if seen > step:
            raise Killed

    durable.set_hook(hook)
    try:
        action()
    except Killed:
        return True
    finally:
        durable.set_hook(None)
    return False
