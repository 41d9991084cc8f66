"""Completing what a kill or a power cut left: unfinished work swept, interrupted stores made whole.

Blocking; in a worker of its own (`recovery`), under the folders' locks. Keeps I1, I2 and I7.
:meth:`Recovery.look` is quick and comes before anything new begins: what it does not list is not
touched afterwards, so that the rest may go on beside recording.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from fieldrec.catalogue.halves import half_exports
from fieldrec.catalogue.scan import locked_state, scan
from fieldrec.core import durable
from fieldrec.core.errors import FieldrecError, LockedError
from fieldrec.core.model import RecordingState
from fieldrec.export import work_folder
from fieldrec.status import words
from fieldrec.store.recover import recover

PATIENCE_S = 5.0
"""A start waits this long for interrupted recordings to be completed."""
_OUR_NAME = re.compile(r"\d{8}_\d{6}")

Say = Callable[[str, str], None]
"""(text, severity) of an event."""


async def have_patience(recovered: asyncio.Event, left: Callable[[], int], say: Say) -> None:
    """A short recovery comes before recording; a long one goes on beside it. On the event loop."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            await recovered.wait()
    except TimeoutError:
        say(f"{words.plural(left(), 'interrupted recording')} left to complete; recording does "
            "not wait for that, jobs do", "warning")


def recover_folder(recordings: Path, say: Say) -> None:
    """Make every store complete that can be; one that cannot is left as it is and named."""
    recovery = Recovery([recordings], say)
    recovery.look()
    recovery.complete(threading.Event())


class Recovery:
    """What is to be done in some folders, and how far it is. One thread at a time, but for
    :attr:`progress`, which any thread may read."""

    def __init__(self, folders: Sequence[Path], say: Say,
                 on_progress: Callable[[], None] = lambda: None) -> None:
        """`on_progress` is called from the thread whenever :attr:`progress` is another one."""
        self._folders = tuple(folders)
        self._say = say
        self._on_progress = on_progress
        self._unfinished: deque[Path] = deque()
        self._interrupted: deque[Path] = deque()
        self._total = 0
        self._looked = False
        self.progress = ""
        """The store in hand and how many there are, for people; "" when nothing is to be done (any
        more, or until it goes on)."""

    @property
    def left(self) -> int:
        """Interrupted stores that are not completed yet."""
        return len(self._interrupted)

    def look(self) -> None:
        """List what is unfinished and interrupted; a folder that cannot be read is left out."""
        for folder in self._folders:
            try:
                self._unfinished += _unfinished(folder)
                self._interrupted += _interrupted(folder)
            except OSError as error:
                self._say(f"{folder}: not recovered: {error.strerror}", "error")
        self._total = len(self._interrupted)
        if self._total:
            self.progress = f"interrupted recordings left to complete: {self._total}"

    def sweep_exports(self, wanted_names: Collection[str]) -> None:
        """Remove the working folders of exports that no job will go on with."""
        for folder in self._folders:
            try:
                swept = work_folder.sweep(folder, wanted_names)
            except (FieldrecError, OSError) as error:
                self._say(f"{folder}: unfinished exports cannot be removed: {error}", "warning")
                continue
            for path in swept:
                self._say(f"removed unfinished {path.name}", "info")

    def complete(self, stop: threading.Event) -> None:
        """Do it, until `stop` is set; called again, it goes on.

        The store in hand is always completed: an orderly stop waits for it within its budget, and
        what that leaves (as a kill would) the next start does.
        """
        while self._unfinished and not stop.is_set():
            self._sweep(self._unfinished.popleft())
        while self._interrupted and not stop.is_set():
            path = self._interrupted[0]
            self._show(f"completing {path.name} "
                       f"({self._total - len(self._interrupted) + 1} of {self._total})")
            try:
                self._recover(path)
            finally:
                self._interrupted.popleft()
        self._show("")
        if not stop.is_set() and not self._looked:
            self._looked = True
            self._name_damaged()

    def _show(self, progress: str) -> None:
        if progress != self.progress:
            self.progress = progress
            self._on_progress()

    def _sweep(self, path: Path) -> None:
        try:
            if path.is_dir() and not path.is_symlink():
                durable.rmtree(path)
            else:
                durable.unlink(path, missing_ok=True)
        except OSError as error:
            self._say(f"{path.name} cannot be removed: {error.strerror}", "warning")
        else:
            self._say(f"removed unfinished {path.name}", "info")

    def _recover(self, path: Path) -> None:
        try:
            recovered = recover(path)
        except LockedError as error:  # another program's, and perhaps still alive
            self._say(f"{path.name}: not recovered: {error}", "warning")
            return
        except (FieldrecError, OSError) as error:
            self._say(f"{path.name}: cannot be recovered: {error}", "error")
            return
        if not recovered.frames_kept + recovered.frames_damaged and _has_no_frame(path):
            self._remove_empty(path)
            return
        text = f"{path.name}: recovered, {recovered.frames_kept} frames kept"
        if recovered.frames_damaged:
            text += f", {recovered.frames_damaged} damaged"
        if estimated := sum(one.frames for one in recovered.estimated):
            text += f", numbers or times of {estimated} estimated"
        self._say(text, "warning")

    def _remove_empty(self, path: Path) -> None:
        """A store that was made ahead of a split, or cut before its first frame."""
        try:
            if path.exists():  # cut before its metadata, it is gone already
                durable.rmtree(path)
        except OSError as error:
            self._say(f"{path.name} cannot be removed: {error.strerror}", "warning")
        else:
            self._say(f"removed {path.name}: no frame had been recorded into it", "info")

    def _name_damaged(self) -> None:
        for recording in scan(*self._folders):
            if recording.state is RecordingState.DAMAGED:
                self._say(f"{recording.name} is damaged and left as it is; `fieldrec check` says "
                          "why", "error")


def _unfinished(folder: Path) -> Iterable[Path]:
    """What our prefixes, empty folders and half exports tell to be nobody's any more."""
    paths = sorted(folder.iterdir())
    yield from (path for path in paths
                if path.name.startswith((durable.PART_PREFIX, durable.TRASH_PREFIX)))
    # Cut before anything was in them. Only names that we give: somebody's empty folder stays.
    yield from (path for path in paths if _OUR_NAME.search(path.name) and path.is_dir()
                and not path.name.startswith(".") and not any(path.iterdir()))
    yield from half_exports(folder)


def _interrupted(folder: Path) -> list[Path]:
    """Stores that have a lock which nobody holds."""
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")
            and path.is_dir() and _is_interrupted(path)]


def _is_interrupted(path: Path) -> bool:
    try:
        return locked_state(path) is RecordingState.INTERRUPTED
    except OSError:
        return False  # the catalogue names it DAMAGED


def _has_no_frame(path: Path) -> bool:
    """Whether a store with one of our names holds no file of any frame, whole or not."""
    files = [*path.glob("[0-9]*/[0-9]*"), *path.glob("[0-9]*.*")]  # in chunks, or videos
    return not files and _OUR_NAME.search(path.name) is not None
