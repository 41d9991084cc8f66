"""The record of the deployment goes along to every destination, as ``logbook/BOX/DEPLOYMENT/``.

Blocking; a thread of whoever calls. Files only grow, so one that is there in full is read back and
left; another is written anew, read back, and takes its place in one step. Nothing is ever removed
there: what the box has rotated away stays at the destinations that were given it.
"""

from __future__ import annotations

from pathlib import Path

from fieldrec.destinations import Destination
from fieldrec.logbook.files import LARGEST_FILE
from fieldrec.logbook.lines import LONGEST_LINE
from fieldrec.logbook.reading import FOLDER_NAME, files_in

LIMIT_BYTES = LARGEST_FILE + 2 * LONGEST_LINE
"""A longer file was made by somebody else."""


def copy_logbooks(logbooks: Path, box: str, destination: Destination) -> int:
    """Bring every deployment's files in `logbooks` to a destination; how many were written.

    DestinationError, DriveGone, JobRefused, VerifyMismatch as the destination says; OSError when
    they cannot be read here.
    """
    written = 0
    for folder in sorted(path for path in logbooks.iterdir() if path.is_dir()):
        for path in [path for book in files_in(folder).values() for path in book]:
            relative = f"{FOLDER_NAME}/{box}/{folder.name}/{path.name}"
            written += _bring(path, relative, destination)
    return written


def _bring(path: Path, relative: str, destination: Destination) -> bool:
    """Whether it had to be written."""
    with path.open("rb") as file:
        data = file.read(LIMIT_BYTES)
    data = data[:data.rfind(b"\n") + 1]  # a line may be under way
    there = destination.beside(relative, 2 * LIMIT_BYTES)
    if there is not None and there.startswith(data):
        return False
    destination.put_beside(relative, data)
    return True
