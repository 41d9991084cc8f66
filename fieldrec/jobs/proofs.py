"""Which exports stand for a recording: enough not to make another, and enough to let the raw go.

Pure; what the catalogue says. Whether the medium still holds those bytes is asked by raw.py, just
before anything is deleted (I5).
"""

from __future__ import annotations

from fieldrec.catalogue.exports import whole
from fieldrec.core.model import Export, Recording, RecordingState


def exports_with(recording: Recording, preset: str) -> tuple[Export, ...]:
    """The export with this preset (all its slices), of all frames that the raw has; () when it is
    not there, or was made of fewer or other frames."""
    found = whole(export for export in recording.exports
                  if export.preset.lower() == preset.lower())
    if not found or not recording.has_raw:
        return found
    there = sum(export.frame_count for export in found)
    missing = recording.frame_count - there
    named = {sum(export.unreadable for export in found), max(e.unreadable for e in found)}
    return found if missing in named else ()


def has_export(recording: Recording, preset: str) -> bool:
    """Whether exporting with this preset again would be for nothing."""
    return bool(exports_with(recording, preset))


def why_raw_stays(recording: Recording, preset: str) -> str:
    """Why the raw must be kept although somebody asked to delete it for this export; "" if it need
    not be."""
    if recording.state is not RecordingState.COMPLETE:
        return f"{recording.name} is {recording.state.value}, not complete; its raw is kept"
    exports = exports_with(recording, preset)
    if not exports:
        return (f"{recording.name}: there is no export with {preset} of all its frames; the raw "
                "is kept; export it first")
    unreadable = max(export.unreadable for export in exports)
    if unreadable:
        return (f"{recording.name}: {unreadable} frames could not be read when it was exported; "
                "the raw is kept for whoever can save them")
    return ""
