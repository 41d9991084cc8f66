"""Whether some program still writes a store that nobody has flocked: imgstore's writer does not.

Blocking, any thread; looks at what this user may see under /proc. A writer that holds nothing open
and writes less than once a minute cannot be noticed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from fieldrec.store.layout import LOCK_NAME

RECENT_S = 60.0
"""What was changed so short a time ago may be changed again."""


def writer_of(root: Path, recent: Iterable[Path], now_s: float) -> str | None:
    """Why it seems that the store at `root` is being written, None when nothing speaks for it.

    `recent`: what a writer changes all the time (the open chunk, …): none of it may have changed
    within the last minute of `now_s`, epoch seconds. Our own process counts too.
    """
    for pid, name in _open_for_writing(root):
        return f"process {pid}{_command(pid)} has {name} open"
    for path in recent:
        try:
            age_s = now_s - path.stat().st_mtime
        except OSError:
            continue
        if abs(age_s) < RECENT_S:
            return f"{path.name} was changed {max(0.0, age_s):.0f} s ago"
    return None


def _open_for_writing(root: Path) -> Iterator[tuple[int, str]]:
    """(process, name in the store) of every file of the store that is open for writing; not
    ``.lock``, which whoever asks may hold, nor what is only being read."""
    prefix = f"{root.resolve()}{os.sep}"
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        try:
            descriptors = list((process / "fd").iterdir())
        except OSError:
            continue  # another user's, or gone
        for descriptor in descriptors:
            name = _name_in(prefix, descriptor)
            if name and name != LOCK_NAME and _is_writable(descriptor):
                yield int(process.name), name


def _name_in(prefix: str, descriptor: Path) -> str:
    try:
        target = str(descriptor.readlink())
    except OSError:
        return ""
    return target[len(prefix):] if target.startswith(prefix) else ""


def _is_writable(descriptor: Path) -> bool:
    """The link's own mode bits say how the file was opened (proc(5))."""
    try:
        return bool(descriptor.lstat().st_mode & stat.S_IWUSR)
    except OSError:
        return False


def _command(pid: int) -> str:
    try:
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
    return f" ({name})"
