"""A disk that is slow or fails where the test says: a hook for fieldrec.core.durable."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

from tests.fakes.waiting import PATIENCE_S


class Gate:
    """Holds the making of the stores of some name, and fails or holds what it is told to."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.may_make = threading.Event()
        self.may_make.set()
        self.asked = threading.Event()
        self.bad: Path | None = None
        """Every write below it fails."""
        self.error = errno.EIO
        self.bad_steps: tuple[str, ...] = ("write", "create", "make_directory", "fsync",
                                           "syncfs", "rename")

        self.bad_suffix = ""
        """Of files with this one, where there is one."""
        self.held: Path | None = None
        """These steps below it wait."""
        self.held_steps: tuple[str, ...] = ()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def __call__(self, step: str, path: Path) -> None:
        if self.held is not None and path.is_relative_to(self.held) and step in self.held_steps:
            self.may_go_on.wait(PATIENCE_S)
        if step == "make_directory" and path.name == self.name:
            self.asked.set()
            self.may_make.wait(PATIENCE_S)
        if self.bad is not None and path.is_relative_to(self.bad) and step in self.bad_steps \
                and path.suffix in (self.bad_suffix, self.bad_suffix or path.suffix):
            raise OSError(self.error, os.strerror(self.error))
