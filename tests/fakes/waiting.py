"""Waiting for something that another process does, for whole-program tests alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 60.0
"""For whatever another thread or process does: on a slow machine that others use too, as well. No
test waits less where it does not count on waiting in vain."""
LOOK_S = 0.02
"""Between two looks."""


def wait_until(condition: Callable[[], T], timeout_s: float, what: str) -> T:
    """The first true value of `condition`; AssertionError naming `what` after `timeout_s`."""
    pause = threading.Event()
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s in vain: {what}")
        pause.wait(LOOK_S)
    return value
