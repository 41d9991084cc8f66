"""The preset that a recording is to be exported with, where whoever began it has said so: in its
user metadata, so that it travels with the recording and outlives everything else. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fieldrec.core.errors import UsageError
from fieldrec.core.model import Recording
from fieldrec.export.presets import Preset
from fieldrec.export.presets import preset as find_preset

KEY = "export_preset"
"""In the user metadata."""


def preset_for(recording: Recording, default: str, own: Mapping[str, Preset]) -> str:
    """Name of the preset remembered with the recording; the default where there is none, or none
    that is known here."""
    told = recording.user_metadata.get(KEY)
    if not isinstance(told, str):
        return default
    try:
        return find_preset(told, own).name
    except UsageError:
        return default


def by_preset(recordings: Sequence[Recording], default: str, own: Mapping[str, Preset]
              ) -> dict[str, list[Recording]]:
    """The recordings, in their order, by what each is to be exported with."""
    found: dict[str, list[Recording]] = {}
    for recording in recordings:
        found.setdefault(preset_for(recording, default, own), []).append(recording)
    return found
