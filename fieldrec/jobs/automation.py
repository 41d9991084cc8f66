"""Which jobs the box gives itself: pure functions of what is recorded and what is configured.

Called by the app whenever a recording, an export or a drive changes; they hold no state, so asking
twice gives the same answer and the queue drops what it already has.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from fieldrec.core.model import JobKind, Recording, RecordingState
from fieldrec.jobs.proofs import exports_with, has_export, why_raw_stays


@dataclass(frozen=True, slots=True)
class Wanted:
    """A job that should be in the queue."""

    kind: JobKind
    item: str
    item_uuid: str
    destination: str | None = None
    preset: str | None = None
    """Of an export; of a copy or move: only the export with it goes, and a move of it takes the raw
    that it stands for away too."""
    delete_source: bool = False


def exports_wanted(recordings: Sequence[Recording], preset: str) -> list[Wanted]:
    """An export for each complete raw recording with frames that has none of this preset."""
    return [
        Wanted(JobKind.EXPORT, recording.name, recording.uuid, preset=preset)
        for recording in recordings
        if exportable(recording) and not has_export(recording, preset)
    ]


def copies_wanted(recordings: Sequence[Recording], destination: str, *,
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


def moves_wanted(recordings: Sequence[Recording], destination: str,
                 exporting: Collection[str]) -> list[Wanted]:
    """A move for each recording that is wholly there; a copy for those (by uuid) of which exports
    are still to be made here: their raw is needed, and may go at the next visit."""
    return [
        Wanted(JobKind.COPY, one.name, one.uuid, destination=destination)
        if one.uuid in exporting else
        Wanted(JobKind.MOVE, one.name, one.uuid, destination=destination, delete_source=True)
        for one in recordings if copyable(one)
    ]


def exports_there_wanted(recordings: Sequence[Recording], destination: str,
                         preset_of: Callable[[Recording], str], *, deletes: bool
                         ) -> list[Wanted]:
    """EXPORT ALL: each raw is exported straight to `destination`; what is exported with its preset
    already goes there as it is; a recording whose raw is gone brings what exports it has. With
    `deletes` what is verified there is deleted here: the raw that was exported, the export that was
    brought."""
    brings = JobKind.MOVE if deletes else JobKind.COPY
    wanted = []
    for one in recordings:
        preset = preset_of(one)
        if exportable(one) and not has_export(one, preset):
            wanted.append(Wanted(JobKind.EXPORT, one.name, one.uuid, destination=destination,
                                 preset=preset, delete_source=deletes))
        elif copyable(one) and one.exports:
            wanted.append(Wanted(brings, one.name, one.uuid, destination=destination,
                                 preset=preset if has_export(one, preset) else None,
                                 delete_source=deletes))
    return wanted


def uploads_wanted(recordings: Sequence[Recording], destination: str, what: str, *,
                   exported_first: str | None = None) -> list[Wanted]:
    """An upload to `destination` of each recording of which there is what it takes (`what`, as
    :class:`~fieldrec.config.loopy.LoopyConfig` has it). With `exported_first` (a preset) one that
    is to be exported waits for that, unless only the raw is wanted."""
    return [
        Wanted(JobKind.UPLOAD, recording.name, recording.uuid, destination=destination)
        for recording in recordings
        if copyable(recording) and uploadable(recording, what)
        and not (what != "raw" and exported_first is not None and exportable(recording)
                 and not has_export(recording, exported_first))
    ]


def raw_to_delete(recordings: Sequence[Recording], preset: str) -> list[Wanted]:
    """The deletion of each raw whose export with this preset is whole. What the medium holds is
    looked at when it is done, not here."""
    return [Wanted(JobKind.DELETE_RAW, recording.name, recording.uuid, preset=preset)
            for recording in recordings
            if exportable(recording) and not why_raw_stays(recording, preset)]


def raw_to_delete_offloaded(recordings: Sequence[Recording], preset: str,
                            copied: Mapping[tuple[str, str], int]) -> list[Wanted]:
    """The same where the export has been copied too. `copied` tells when a copy of a recording (by
    its uuid) to a destination ended last, epoch ns: only one that ended after the export was made
    can have taken it along; whether it did is found out there."""
    going = {one.item_uuid: one for one in raw_to_delete(recordings, preset)}
    made_ns: dict[str, int] = {}
    for recording in recordings:
        for export in exports_with(recording, preset):
            made_ns[recording.uuid] = max(export.verified_at_ns, made_ns.get(recording.uuid, 0))
    return [dataclasses.replace(going[uuid], destination=destination)
            for (uuid, destination), ended_ns in copied.items()
            if uuid in going and ended_ns >= made_ns[uuid]]


def exportable(recording: Recording) -> bool:
    """Whether there is raw material that is whole."""
    return (recording.state is RecordingState.COMPLETE and recording.has_raw
            and recording.frame_count > 0)


def uploadable(recording: Recording, what: str) -> bool:
    """Whether there is anything of what an upload takes."""
    return {"exported": bool(recording.exports), "raw": recording.has_raw}.get(what, True)


def copyable(recording: Recording) -> bool:
    """Only complete recordings are offered; the one being recorded is never touched."""
    return recording.state is RecordingState.COMPLETE and (
        recording.frame_count > 0 or bool(recording.exports))
