"""Holding a file or folder: the flock that every writer of ours takes, and the probe for it.

Blocking. The probe holds a shared lock for an instant, in which nobody else can take the lock for
good: so :func:`hold` tries again for a moment before it believes that somebody has it.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

_TRIES = 40
_PAUSE_S = 0.005


def hold(descriptor: int) -> None:
    """Take the exclusive lock of an open file or folder. BlockingIOError when another process has
    had it for 0.2 s: that is no probe."""
    for left in reversed(range(_TRIES)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not left:
                raise
        time.sleep(_PAUSE_S)


def is_held(path: Path) -> bool:
    """Whether somebody has the exclusive lock of this file or folder, which is not followed if it
    is a link. FileNotFoundError; OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
