"""What is done before anything new begins: sweep unfinished work, complete interrupted stores.

Blocking; runs once at start in a Worker, under the folder's lock. Keeps I1, I2 and I7 after a kill
or a power cut.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fieldrec.catalogue.scan import scan
from fieldrec.core import durable
from fieldrec.core.errors import FieldrecError
from fieldrec.core.model import RecordingState
from fieldrec.store.recover import recover

Say = Callable[[str, str], None]
"""(text, severity) of an event."""


def recover_folder(recordings: Path, say: Say) -> None:
    """Make every store complete that can be; one that cannot is left as it is and named."""
    for path in durable.sweep_unfinished(recordings):
        say(f"removed unfinished {path.name}", "info")
    for recording in scan(recordings):
        if recording.state is not RecordingState.INTERRUPTED:
            continue
        try:
            recovered = recover(recording.path)
        except (FieldrecError, OSError) as error:
            say(f"{recording.name}: cannot be recovered: {error}", "error")
            continue
        text = f"{recording.name}: recovered, {recovered.frames_kept} frames kept"
        if recovered.frames_damaged:
            text += f", {recovered.frames_damaged} damaged"
        say(text, "warning")
