"""What a session under way needs looking after: full folders are left, the skew is found out.

Called by the session at each of its looks, on the event loop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from fieldrec.core.errors import FieldrecError
from fieldrec.record.asked import Active
from fieldrec.record.folders import Folders
from fieldrec.record.recorder import Recorder
from fieldrec.record.skew import skew_of

log = logging.getLogger(__name__)


async def leave_full_folders(active: Active, recorders: Mapping[str, Recorder], folders: Folders
                             ) -> None:
    """Send cameras on whose folder is full, or has failed for another camera, while there is a
    better one: each splits its recording, once (and once more if the next store had been made there
    already)."""
    for key in sorted(active.running):
        status = recorders[key].status()
        if not status.folder or not folders.to_leave(Path(status.folder)):
            active.leaving.pop(key, None)
        elif active.leaving.get(key) != status.recording:
            active.leaving[key] = status.recording
            try:
                await recorders[key].split()
            except FieldrecError as error:  # it has just ended, or nothing is open between events
                log.info("camera %s: %s", key, error)


def note_skew(active: Active, recorders: Mapping[str, Recorder], say: Callable[[str, str], None]
              ) -> None:
    """Once each camera that was started together has its first frame: how far apart they are, said
    and written into every store."""
    if active.skew is not None or len(active.together) < 2:
        return
    skew = skew_of({key: recorders[key].status().first_frame_ns
                    for key in recorders if key in active.together})
    if skew is None:
        return
    active.skew = skew
    say(str(skew), "info")
    for key, offset_ns in skew.offsets_ns.items():
        recorders[key].add_extra_data(session_skew_ns=skew.spread_ns, session_offset_ns=offset_ns)
