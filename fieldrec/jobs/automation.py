"""Which jobs the box gives itself: pure functions of what is recorded and what is configured.

Called by the app whenever a recording, an export or a drive changes; they hold no state, so asking
twice gives the same answer and the queue drops what it already has.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fieldrec.core.model import JobKind, Recording, RecordingState


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job that should be in the queue."""

    kind: JobKind
    item: str
    item_uuid: str
    destination: str | None = None
    preset: str | None = None


def exports_wanted(recordings: Iterable[Recording], preset: str) -> list[Wanted]:
    """An export for each complete raw recording with frames that has none of this preset."""
    return [
        Wanted(JobKind.EXPORT, recording.name, recording.uuid, preset=preset)
        for recording in recordings
        if exportable(recording) and not has_export(recording, preset)
    ]


def copies_wanted(recordings: Iterable[Recording], destination: str, *,
                  exported_first: str | None = None) -> list[Wanted]:
    """A copy to `destination` for each recording that is wholly there.

    With `exported_first` (a preset) a recording waits until it has that export, so that raw and
    exported travel in one visit; without, what is there goes now. Whether the destination already
    has it is the transfer's to find out from the manifests there.
    """
    return [
        Wanted(JobKind.COPY, recording.name, recording.uuid, destination=destination)
        for recording in recordings
        if copyable(recording)
        and not (exported_first is not None and exportable(recording)
                 and not has_export(recording, exported_first))
    ]


def exportable(recording: Recording) -> bool:
    """Whether there is raw material that is whole."""
    return (recording.state is RecordingState.COMPLETE and recording.has_raw
            and recording.frame_count > 0)


def copyable(recording: Recording) -> bool:
    """Only complete recordings are offered; the one being recorded is never touched."""
    return recording.state is RecordingState.COMPLETE and (
        recording.frame_count > 0 or bool(recording.exports))


def has_export(recording: Recording, preset: str) -> bool:
    """Whether a verified export with this preset is there."""
    return any(export.preset.lower() == preset.lower() for export in recording.exports)
