"""Bringing what was exported to a destination without its raw: copied, or moved. Blocking; ``copy``
threads; keeps I4 and I5.

A move takes the raw away too, because the export stands for it: as after an export that was made
straight to the destination. It goes only when the export has all its frames and was read back from
the medium just now; the raw before the export, so that a cut in between leaves what tells of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from fieldrec.core.errors import JobRefused
from fieldrec.core.model import JobKind, JobState, Recording
from fieldrec.destinations import Destination
from fieldrec.jobs import transfer
from fieldrec.jobs.proofs import exports_with, why_raw_stays
from fieldrec.jobs.source import changed_since

Bring = Callable[..., transfer.TransferResult]
"""As :func:`transfer.transfer`."""


def bring(kind: JobKind, preset: str | None) -> Bring:
    """What a copy or move does: of a whole recording, or of its export with `preset` alone."""
    if kind is JobKind.MOVE:
        return transfer.move if preset is None else partial(move_export, preset=preset)
    return transfer.transfer if preset is None else partial(copy_export, preset=preset)


def copy_export(recording: Recording, destination: Destination, *, preset: str, **how: Any
                ) -> transfer.TransferResult:
    """Copy the export with this preset (all its slices); JobRefused when there is none."""
    return transfer.transfer(_export_alone(recording, preset), destination, **how)


def move_export(recording: Recording, destination: Destination, *, preset: str,
                on_phase: transfer.Phase = lambda _phase: None, **how: Any
                ) -> transfer.TransferResult:
    """Copy it, read it back, then delete the raw that it stands for, and it, here (I5). JobRefused,
    and nothing deleted, where the raw must be kept, or something changed since it was read."""
    alone = _export_alone(recording, preset)
    if recording.has_raw and (why := why_raw_stays(recording, preset)):
        raise JobRefused(why)
    transfer.check_proves(destination, how["stop"])
    result = transfer.transfer(alone, destination, on_phase=on_phase, recheck_present=True, **how)
    for item in result.items:
        if (changed := changed_since(item)) is not None:
            raise JobRefused(f"{changed} changed after it was copied; the source is kept; "
                             "move it again")
    on_phase(JobState.DELETING_SOURCE)
    if recording.has_raw:
        transfer.delete_raw(recording.path)
    transfer.delete_exports(recording, frozenset(export.path.name for export in alone.exports))
    return result


def _export_alone(recording: Recording, preset: str) -> Recording:
    exports = exports_with(recording, preset)
    if not exports:
        raise JobRefused(f"{recording.name}: there is no export with {preset} of all its frames; "
                         "export it first")
    return replace(recording, has_raw=False, exports=exports)
