"""Whether some process holds a file or folder: the flock that every writer of ours takes.

Blocking, microseconds. The probe holds a shared lock for an instant, in which nobody else can
take the lock for good: a new store tries again (store_folder.py).
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


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
