"""The places of one session: names and folders for the recordings of each of its cameras.

Implements :class:`fieldrec.record.place.Place` over all recordings folders; called by the cameras'
store threads, several at once. That names never collide, and which folder is good, is kept by
:class:`fieldrec.record.folders.Folders`.
"""

from __future__ import annotations

from pathlib import Path

from fieldrec.core.errors import FieldrecError
from fieldrec.record.folders import Folders
from fieldrec.record.naming import recording_name

TOGETHER_NS = 2_000_000_000
"""A camera's first recording, begun this soon after the session, bears its time: one start, one
time."""


class CameraPlace:
    """One camera's recordings in one session: NAME_YYYYMMDD_HHMMSS[_SERIAL]."""

    def __init__(self, folders: Folders, base: str, timezone: str, serial: str | None,
                 since_ns: int) -> None:
        """`since_ns`: epoch of the session's start."""
        self._folders = folders
        self._base = base
        self._timezone = timezone
        self._serial = serial
        self._since_ns = since_ns
        self._first = True

    def next_path(self, epoch_ns: int) -> Path:
        """Where a recording that begins at `epoch_ns` goes. StoreFull, StoreError: nowhere."""
        if self._first and abs(epoch_ns - self._since_ns) < TOGETHER_NS:
            epoch_ns = self._since_ns
        self._first = False
        return self._folders.take_path(
            recording_name(self._base, epoch_ns, self._timezone, self._serial))

    def failed(self, path: Path, error: FieldrecError) -> bool:
        """Writing to `path` failed: its folder is out until it has been looked at; whether there
        is another one."""
        return self._folders.failed(path, error)
