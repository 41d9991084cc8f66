"""Whether there is room for an export: its predicted size against what is free; and which jobs wait
for room. Pure but for :func:`free_bytes` and :func:`held_bytes`."""

from __future__ import annotations

import os
import re
from pathlib import Path

from fieldrec.core.model import Job, JobState, Prediction
from fieldrec.export.presets import Preset
from fieldrec.jobs.places import NotYet
from fieldrec.record.storage import size_text

COPIES = 2
"""Of itself that an export needs for a moment: its segments, and the movie joined from them."""


_NO_ROOM = re.compile(r"^needs about .* free at |needed, .* free; make room| is full; make room|"
                      r"; goes on when there is room")


class NoRoom(NotYet):
    """It would not fit; asked again after a while too: nobody tells when somebody else makes
    room."""


def waits_for_room(job: Job) -> bool:
    """Whether a job waits because it would not fit, or did not. By the words that say so, which is
    all that a row keeps."""
    return job.state is JobState.WAITING and _NO_ROOM.search(job.reason) is not None


def free_bytes(folder: Path, keep_bytes: int) -> int:
    """What may be written into a folder's file system. Blocking; never negative."""
    room = os.statvfs(folder)
    return max(room.f_bavail * room.f_frsize - keep_bytes, 0)


def held_bytes(working_folder: Path) -> int:
    """What an export that goes on has written already. Blocking; 0 where it begins."""
    try:
        with os.scandir(working_folder) as entries:
            return sum(entry.stat().st_size for entry in entries)
    except OSError:
        return 0


def check(prediction: Prediction | None, preset: Preset, free: int, where: str) -> None:
    """NoRoom with the figures where the export would not fit; nothing while its size is not
    known."""
    if prediction is None:
        return
    needed = COPIES * prediction.size_bytes
    if needed > free:
        raise NoRoom(f"needs about {size_text(needed)} while it is made ({preset.name}, "
                     f"{size_text(prediction.size_bytes)} in the end), {size_text(free)} free at "
                     f"{where}; make room, or export with a lower preset")
