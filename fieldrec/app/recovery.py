"""What is done before anything new begins: sweep unfinished work, complete interrupted stores.

Blocking; runs once at start in a Worker, under the folder's lock. Keeps I1, I2 and I7 after a kill
or a power cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from fieldrec.catalogue.scan import scan
from fieldrec.core import durable
from fieldrec.core.errors import FieldrecError, LockedError
from fieldrec.core.model import RecordingState
from fieldrec.store.recover import recover

_OUR_NAME = re.compile(r"\d{8}_\d{6}")

Say = Callable[[str, str], None]
"""(text, severity) of an event."""


def recover_folder(recordings: Path, say: Say) -> None:
    """Make every store complete that can be; one that cannot is left as it is and named."""
    for path in (*durable.sweep_unfinished(recordings), *_sweep_unborn(recordings),
                 *_sweep_uncommitted_exports(recordings)):
        say(f"removed unfinished {path.name}", "info")
    for recording in scan(recordings):
        if recording.state is RecordingState.DAMAGED:
            say(f"{recording.name} is damaged and left as it is; `fieldrec check` says why",
                "error")
        if recording.state is not RecordingState.INTERRUPTED:
            continue
        try:
            recovered = recover(recording.path)
        except LockedError as error:  # another program's, and perhaps still alive
            say(f"{recording.name}: not recovered: {error}", "warning")
            continue
        except (FieldrecError, OSError) as error:
            say(f"{recording.name}: cannot be recovered: {error}", "error")
            continue
        text = f"{recording.name}: recovered, {recovered.frames_kept} frames kept"
        if recovered.frames_damaged:
            text += f", {recovered.frames_damaged} damaged"
        if estimated := sum(one.frames for one in recovered.estimated):
            text += f", numbers or times of {estimated} estimated"
        say(text, "warning")


def _sweep_unborn(recordings: Path) -> list[Path]:
    """Remove the empty folders of recordings that were cut before anything was in them. Only
    names that we give are touched: an empty folder of somebody else's stays."""
    unborn = [path for path in sorted(recordings.iterdir())
              if _OUR_NAME.search(path.name) and path.is_dir() and not any(path.iterdir())]
    for path in unborn:
        durable.rmtree(path)
    return unborn


def _sweep_uncommitted_exports(recordings: Path) -> list[Path]:
    """Remove halves of exports (I4): a video without its sidecar whose raw is there to make it
    again from, and a sidecar whose video is gone."""
    videos = [
        path for path in sorted(recordings.glob("*.*.mp4"))
        if not path.with_name(f"{path.name}.json").exists()
        and (recordings / path.name.rsplit(".", 2)[0] / "metadata.yaml").exists()
    ]
    sidecars = [path for path in sorted(recordings.glob("*.*.mp4.json"))
                if not path.with_suffix("").exists()]
    for path in (*videos, *sidecars):
        durable.unlink(path)
    return [*videos, *sidecars]
