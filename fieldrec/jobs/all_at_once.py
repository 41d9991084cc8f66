"""COPY ALL, MOVE ALL, EXPORT ALL: which recordings, what becomes of each, and whether it fits. Pure
but for :class:`AllAtOnce`, which puts it into the queue, on the loop.

Only what is complete; the one being recorded is never touched. Only what is missing: what is at the
destination already needs no room, and its job finds that out from the manifests there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from fieldrec.core.model import JobKind, Recording
from fieldrec.export.presets import Preset, preset
from fieldrec.jobs import automation
from fieldrec.jobs.automation import Wanted
from fieldrec.jobs.drive_room import Fit, Room, copied_bytes, describe_stays, fit, in_order
from fieldrec.jobs.history import Sample, predicted
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.jobs.offers import EXPORT, MOVE, Offer
from fieldrec.jobs.remembered import preset_for
from fieldrec.record.storage import size_text

UNKNOWN_BYTES = 1 << 62
"""Free bytes of a place that does not tell."""


class AllAtOnce:
    """Queues what fits. `default_preset` and `own_presets` are the configuration's; `allow_battery`
    whether exports may run on it without being told."""

    def __init__(self, queue: JobQueue, default_preset: str, own_presets: Mapping[str, Preset], *,
                 allow_battery: bool) -> None:
        self._queue = queue
        self._default_preset = default_preset
        self._own_presets = own_presets
        self._allow_battery = allow_battery

    async def do(self, what: str, some: Sequence[Recording], where: str, label: str, there: Room,
                 *, export_preset: str | None = None, dry_run: bool = False) -> Offer:
        """COPY, MOVE or EXPORT `some` recordings to `where`, called `label`, as far as they fit;
        UsageError for a preset that is not known."""
        usual = preset(export_preset or self._default_preset, self._own_presets).name
        wants = wanted(what, some, where, lambda one: usual if export_preset else preset_for(
            one, usual, self._own_presets))
        by_name = {one.name: one for one in some}
        first = {job.item: job.first for job in self._queue.jobs() if job.destination == where}
        found, fitting = offer(
            what, label, len(some), [(by_name[want.item], want) for want in wants], there,
            lambda want, one: needed_bytes(want, one, there, self._queue.samples,
                                           self._own_presets), first)
        if dry_run:
            return found
        return replace(found, jobs=tuple([await self._queue.add(
            want.kind, want.item, want.item_uuid, destination=where, preset=want.preset,
            delete_source=want.delete_source,
            allow_battery=want.kind is JobKind.EXPORT and self._allow_battery)
            for want in fitting]))


def chosen(recordings: Sequence[Recording], cameras: Sequence[str] = (),
           since_ns: int | None = None) -> list[Recording]:
    """Those of these cameras (serials, or patterns; none: all) that began at `since_ns` (epoch) or
    later."""
    return [one for one in recordings
            if (not cameras or any(fnmatchcase(one.camera_serial, camera) for camera in cameras))
            and (since_ns is None or (one.first_time_ns or 0) >= since_ns)]


def wanted(what: str, recordings: Sequence[Recording], destination: str,
           preset_of: Callable[[Recording], str]) -> list[Wanted]:
    """A job for each recording that there is something to bring of."""
    if what == MOVE:
        return automation.moves_wanted(recordings, destination, ())
    if what == EXPORT:
        return automation.exports_there_wanted(recordings, destination, preset_of, deletes=True)
    return automation.copies_wanted(recordings, destination)


def needed_bytes(want: Wanted, recording: Recording, there: Room, samples: Sequence[Sample],
                 own_presets: Mapping[str, Preset]) -> int:
    """What a job will write at its destination; of an export, what it will probably come to."""
    if want.kind is JobKind.EXPORT:
        told = predicted(samples, recording, preset(want.preset or "", own_presets))
        return recording.size_bytes if told is None else told.size_bytes
    if want.preset is not None:
        recording = replace(recording, has_raw=False, exports=tuple(
            export for export in recording.exports
            if export.preset.lower() == want.preset.lower()))
    return copied_bytes(recording, there)


def offer(what: str, label: str, chosen_count: int, wants: Sequence[tuple[Recording, Wanted]],
          there: Room, needs: Callable[[Wanted, Recording], int], first: Mapping[str, int]
          ) -> tuple[Offer, list[Wanted]]:
    """What it comes to, and the jobs that fit, in their order."""
    by_name = {recording.name: want for recording, want in wants}
    found = fit(in_order((recording for recording, _ in wants), first=first), there,
                lambda one, _room: needs(by_name[one.name], one))
    size, present = found.size_of((*found.fits, *found.stays)), len(found.fits) - len(found.new)
    known = there.free_bytes < UNKNOWN_BYTES
    text = _text(what, label, found, there if known else None, chosen_count - len(wants))
    return Offer(what, label, len(wants), size, present, len(found.fits), len(found.stays),
                 found.size_of(found.stays), there.free_bytes if known else None,
                 chosen_count - len(wants), text), [by_name[one.name] for one in found.fits]


def _text(what: str, label: str, found: Fit, there: Room | None, left_out: int
          ) -> tuple[str, ...]:
    all_of_it = (*found.fits, *found.stays)
    present = len(found.fits) - len(found.new)
    room = "how much is free there is not known" if there is None \
        else f"{size_text(there.free_bytes)} free"
    size = size_text(found.size_of(all_of_it))
    lines = [f"{what} {_count(len(all_of_it))} to {label}: {size} to write, {room}"
             + (f"; {present} there already" if present else "")] if all_of_it else \
        [f"no such recording to {what} to {label}"]
    if stays := describe_stays(found, "destination"):
        lines.append(f"{label}: {stays}")
    if left_out:
        lines.append(f"{_count(left_out)} left out: not complete, or with nothing to {what}")
    return tuple(lines)


def _count(count: int) -> str:
    return f"{count} recording{'' if count == 1 else 's'}"
