"""The life of a move to a drive's folder: what lies at the source and there after any cut of it.

Run in a process of its own (sweep.py). The recording is there at the beginning, durable; each of
the steps that follow is the move's: folders, files, syncs, proofs, renames, and the deletion.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from fieldrec.app.recovery import recover_folder
from fieldrec.catalogue.scan import scan
from fieldrec.core import durable
from fieldrec.destinations.folder import FolderDestination
from fieldrec.jobs import transfer
from tests.crash import whole
from tests.fakes.small_stores import make_export, make_store

NAMES = ("bees", "bees.high.mp4")
NEVER = threading.Event()


class OffloadLife:
    """See sweep.Life."""

    def __init__(self) -> None:
        self._before: whole.Original | None = None

    def live(self, root: Path, told: int) -> None:
        """Move what is there; in the first life it is put there first."""
        recordings, drive = root / "recordings", root / "drive"
        if not recordings.exists():
            self._begin(recordings, drive)
        for recording in scan(recordings):
            place = FolderDestination("drive", drive)
            try:
                transfer.move(recording, place, stop=NEVER)
            finally:
                place.close()
            os.write(told, b"+.")

    def _begin(self, recordings: Path, drive: Path) -> None:
        recordings.mkdir()
        drive.mkdir()
        make_export(recordings, "bees", make_store(recordings, "bees", 2), 2)
        durable.write_back(recordings)

    def unrecovered(self, root: Path, promised: int) -> list[str]:
        """What a cut left, before anybody looked at it."""
        del promised
        return self._wrong(root, between=True)

    def recover_all(self, root: Path) -> None:
        """As the app does it at its start."""
        recover_folder(root / "recordings", lambda _text, _severity: None)

    def violations(self, root: Path, frames: int, extra: int) -> tuple[int, list[str]]:
        """I4 and I5."""
        del extra
        wrong = self._wrong(root, between=True)
        if frames and (root / "recordings" / "bees").exists():
            wrong.append("I5 it had been moved and is there again")
        return 0, wrong

    def unfinished(self, root: Path) -> list[str]:
        """After the move was done again: all of it there, nothing else, nothing here."""
        recordings, drive = root / "recordings", root / "drive"
        wrong = self._wrong(root, between=False) + whole.unfinished(drive)
        wrong += [f"still at the source: {path.name}" for path in recordings.iterdir()
                  if path.name != ".fieldrec"]
        names = {path.name for path in drive.iterdir()}
        return wrong + ([] if names == {*NAMES, "bees.high.mp4.json"} else [f"there: {names}"])

    def _wrong(self, root: Path, *, between: bool) -> list[str]:
        if self._before is None:
            self._before = _as_made(root)
        return (whole.broken_items(root / "drive", between=between)
                + whole.lost(root / "recordings", root / "drive", self._before))


def _as_made(root: Path) -> whole.Original:
    """The recording once more: it is the same every time that it is made."""
    again = root / "again"
    again.mkdir()
    make_export(again, "bees", make_store(again, "bees", 2), 2)
    return whole.original(again, *NAMES)
