"""Turns what the box shows into the deployment's record: follows the snapshots, notes what changed.

On the loop, and woken by the board alone: no timer of its own, so an idle box sleeps on. Curves
(power, temperature, free space) are thinned: a value that hardly changes is noted every
`logbook.power_every_s`. Exact figures of a recording come from the catalogue once it is complete;
how an end looked when it happened comes from the snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fieldrec.config.logbook import LogbookConfig
from fieldrec.core.clock import Anchor, Clock
from fieldrec.core.model import (
    CameraState,
    Drive,
    DriveState,
    Job,
    JobState,
    PowerLevel,
    Recording,
    RecordingState,
)
from fieldrec.core.notes import Kind, Note
from fieldrec.core.snapshot import Event, RecorderStatus, Snapshot
from fieldrec.status import words

STEP_NS = 500_000_000
"""A wall clock that moved this far between two looks was set; NTP slews it less."""
MISSING_PAUSE_NS = 60_000_000_000
"""Between two entries about missing frames of one camera."""
BEGIN_NS = 2_000_000_000
"""A camera may take this long to begin before that is worth an entry."""
EVENT_PAUSE_NS = 600_000_000_000
"""Before a warning that was noted is noted again."""
EVENTS_REMEMBERED = 500
CHARGE_PERCENT = 2.0
TEMPERATURE_C = 2.0
_IN = (DriveState.READY,)
_OUT = (DriveState.SAFE, DriveState.ABSENT)


@dataclass(slots=True)
class _Camera:
    """What was noted last of one camera."""

    name: str = ""
    """Recording under way; "" while there is none."""
    frames: int = 0
    written_bytes: int = 0
    """When that recording began: figures count on over a split."""
    dropped: int = 0
    lost: int = 0
    noted_dropped: int = 0
    noted_lost: int = 0
    noted_ns: int = 0
    """When missing frames were noted last (boot time)."""
    seen_ns: int = 0
    """Epoch of the snapshot before."""
    failed: bool = False
    paused: bool = False
    wanted: bool = False
    """It was noted as wanted while it did not record."""
    idle_ns: tuple[int, int] | None = None
    """Since when it is wanted and does not record (boot time, epoch)."""


class KeepingLog:
    """Owned by the app; :meth:`run` is its supervised task."""

    def __init__(self, note: Note, config: LogbookConfig, clock: Clock, *,
                 unfinished: Iterable[str] = ()) -> None:
        """`unfinished`: recordings of earlier runs whose figures are not in the record yet."""
        self._note = note
        self._every_ns = int(config.power_every_s * 1e9)
        self._clock = clock
        self._anchor = Anchor.take(clock)
        self._cameras: dict[str, _Camera] = {}
        self._drives: dict[int, DriveState] = {}
        self._level: PowerLevel | None = None
        self._curves: dict[str, tuple[int, float | None]] = {}
        """When each curve was noted last (boot time), and with which value."""
        self._last_event: Event | None = None
        self._said: dict[str, tuple[int, int]] = {}
        """(when noted last, how often since) of warnings."""
        self._tier = ""
        self._expected = set(unfinished)
        self._known: set[str] | None = None
        """Recordings whose figures are in the record; None before the first look."""

    def follow(self, snapshot: Snapshot) -> None:
        """Note what has changed since the last one."""
        now_ns = self._clock.monotonic_ns()
        self._clock_step()
        for status in snapshot.recorders:
            self._recorder(status, snapshot.time_ns, now_ns)
        self._follow_drives(snapshot.drives)
        self._power(snapshot, now_ns)
        self._temperature(snapshot, now_ns)
        self._space(snapshot, now_ns)
        self._events(snapshot.events, now_ns)

    def started(self, text: str, versions: Mapping[str, str], config: tuple[str, str],
                facts: Mapping[str, str | int | None], *,
                standing: Mapping[str, Mapping[str, object]]) -> None:
        """The first entries of a run. `standing`: facts that the record has already, by kind."""
        self._note(Kind.STARTED, text, **facts)
        if standing.get(Kind.VERSIONS) != versions:
            self._note(Kind.VERSIONS, f"fieldrec {versions.get('fieldrec', '')} on "
                       f"{versions.get('machine', '')}", **versions)
        digest, yaml = config
        if standing.get(Kind.CONFIG, {}).get("digest") != digest:
            self._note(Kind.CONFIG, f"configuration {digest}", digest=digest, yaml=yaml)

    # -- cameras and recordings --------------------------------------------------------------------

    def _recorder(self, status: RecorderStatus, seen_ns: int, now_ns: int) -> None:
        camera = self._cameras.setdefault(status.key, _Camera(seen_ns=seen_ns))
        records = status.state is CameraState.RECORDING and not status.armed
        name = status.recording if records else ""
        if camera.name and name != camera.name:
            self._ended(status, camera, name, now_ns)
        if name and name != camera.name:
            self._began(status, camera)
        if camera.name:
            self._missing(status, camera, seen_ns, now_ns, force=False)
        self._camera_state(status, camera)
        self._wanted(status, camera, now_ns)
        if not camera.name and status.state is not CameraState.RECORDING:
            camera.frames = 0  # the session's figures begin anew
        camera.seen_ns = seen_ns

    def _began(self, status: RecorderStatus, camera: _Camera) -> None:
        split = bool(camera.frames) and status.frame_count >= camera.frames
        camera.name, camera.wanted = status.recording, False
        if not split:  # figures begin anew with a session
            camera.frames = camera.written_bytes = camera.dropped = camera.lost = 0
            camera.noted_dropped = camera.noted_lost = 0
        began_ns = status.started_ns if not split else camera.seen_ns
        self._note(Kind.RECORDING_BEGAN, f"{status.key}: recording {status.recording}",
                   camera=status.key, name=status.recording, began_ns=began_ns)

    def _ended(self, status: RecorderStatus, camera: _Camera, after: str, now_ns: int) -> None:
        reason = f"split, goes on in {after}" if after else status.stop_reason
        if not after and status.armed:
            reason = "motion is over"
        if not after and status.state is CameraState.FAILED and not reason:
            reason = f"camera lost: {status.problem}"
        same_figures = status.frame_count >= camera.frames
        if same_figures:
            self._missing(status, camera, camera.seen_ns, now_ns, force=True)
        facts = {} if not same_figures else {
            "frames": status.frame_count - camera.frames,
            "dropped": status.dropped - camera.dropped, "lost": status.lost - camera.lost,
            "bytes": status.written_bytes - camera.written_bytes}
        self._note(Kind.RECORDING_ENDED, f"{status.key}: {camera.name} ended: {reason}",
                   camera=status.key, name=camera.name, reason=reason,
                   ended_ns=status.last_frame_ns, **facts)
        camera.name = ""
        camera.frames, camera.written_bytes = status.frame_count, status.written_bytes
        camera.dropped, camera.lost = status.dropped, status.lost

    def _missing(self, status: RecorderStatus, camera: _Camera, seen_ns: int, now_ns: int, *,
                 force: bool) -> None:
        """Frames dropped or lost since they were noted last; once a minute at most."""
        dropped = status.dropped - camera.noted_dropped
        lost = status.lost - camera.noted_lost
        if dropped <= 0 and lost <= 0:
            if not camera.noted_ns or now_ns - camera.noted_ns >= MISSING_PAUSE_NS:
                camera.noted_ns = 0
            return
        if camera.noted_ns and now_ns - camera.noted_ns < MISSING_PAUSE_NS and not force:
            return
        runs = list(status.lost_runs) if lost > 0 and dropped <= 0 else []
        from_ns = min((run.first_time_ns for run in runs), default=camera.seen_ns)
        until_ns = max((run.last_time_ns for run in runs), default=seen_ns)
        camera.noted_dropped, camera.noted_lost = status.dropped, status.lost
        camera.noted_ns = now_ns
        self._note(Kind.FRAMES_MISSING,
                   f"{status.key}: {max(dropped, 0)} frames dropped, {max(lost, 0)} lost",
                   camera=status.key, name=camera.name or status.recording,
                   dropped=max(dropped, 0), lost=max(lost, 0),
                   from_ns=from_ns, until_ns=until_ns)

    def _camera_state(self, status: RecorderStatus, camera: _Camera) -> None:
        failed = status.state is CameraState.FAILED
        if failed and not camera.failed:
            self._note(Kind.CAMERA, f"camera {status.key} failed: {status.problem}",
                       camera=status.key, state="failed", problem=status.problem)
        if camera.failed and status.state in (CameraState.READY, CameraState.RECORDING):
            self._note(Kind.CAMERA, f"camera {status.key} is back", camera=status.key,
                       state="ready")
            camera.failed = False
        camera.failed = camera.failed or failed
        if status.paused != camera.paused:
            camera.paused = status.paused
            state = "paused" if status.paused else "recording"
            self._note(Kind.CAMERA, f"camera {status.key}: {state}", camera=status.key,
                       state=state)

    def _wanted(self, status: RecorderStatus, camera: _Camera, now_ns: int) -> None:
        """A camera that is to record and does not; and when it is no longer to."""
        if not status.wanted or camera.name or status.armed:
            camera.idle_ns = None
        elif camera.idle_ns is None:
            camera.idle_ns = (now_ns, camera.seen_ns)
        elif not camera.wanted and now_ns - camera.idle_ns[0] >= BEGIN_NS:
            camera.wanted = True
            reason = status.problem or status.stop_reason or f"camera {status.state.value}"
            self._note(Kind.WANTED, f"{status.key} should record and does not: {reason}",
                       camera=status.key, wanted=True, since_ns=camera.idle_ns[1], reason=reason)
        if camera.wanted and not status.wanted:
            camera.wanted = False
            self._note(Kind.WANTED, f"{status.key} need not record any more",
                       camera=status.key, wanted=False, reason="stopped")

    def recordings(self, recordings: Sequence[Recording]) -> None:
        """Note the figures of recordings that have become complete. Called with the catalogue."""
        complete = [one for one in recordings
                    if one.has_raw and one.state is RecordingState.COMPLETE]
        if self._known is None:  # those of before are in the record, or are nobody's
            begun = {camera.name for camera in self._cameras.values()}
            self._known = {one.name for one in complete
                           if one.name not in self._expected | begun}
        for one in complete:
            if one.name not in self._known:
                self._known.add(one.name)
                self._finished(one)

    def _finished(self, one: Recording) -> None:
        self._note(
            Kind.RECORDING, f"{one.name}: {one.frame_count} frames, {one.dropped} dropped, "
            f"{one.lost} lost, {words.size(one.size_bytes)}", name=one.name, uuid=one.uuid,
            serial=one.camera_serial, frames=one.frame_count, dropped=one.dropped, lost=one.lost,
            bytes=one.size_bytes, first_ns=one.first_time_ns, last_ns=one.last_time_ns,
            clock=one.clock_quality.value, recovered=one.name in self._expected)
        self._expected.discard(one.name)

    # -- the box -----------------------------------------------------------------------------------

    def job(self, job: Job) -> None:
        """Note the end of a job. Called by the queue."""
        if not job.state.finished:
            return
        took_s = max(job.changed_ns - job.created_ns, 0) / 1e9
        self._note(
            Kind.JOB, f"{words.job_title(job)}: {job.state.value}"
            + (f", {job.reason}" if job.reason else ""), job=job.id, what=job.kind.value,
            item=job.item, destination=job.destination, preset=job.preset, state=job.state.value,
            reason=job.reason, took_s=round(took_s, 3),
            bytes=job.done_bytes if job.state is JobState.DONE else 0)

    def _clock_step(self) -> None:
        moved_ns = self._anchor.step_ns(self._clock)
        self._anchor = Anchor.take(self._clock)
        if abs(moved_ns) >= STEP_NS:
            self._note(Kind.CLOCK_STEP, f"the wall clock was set by {moved_ns / 1e9:+.3f} s",
                       moved_s=moved_ns / 1e9)

    def _follow_drives(self, drives: Iterable[Drive]) -> None:
        for drive in drives:
            before = self._drives.get(drive.insertion)
            if drive.state is before:
                continue
            self._drives[drive.insertion] = drive.state
            name = drive.label or drive.fs_uuid
            who = {"label": drive.label, "fs_uuid": drive.fs_uuid}
            was_in = before in (DriveState.READY, DriveState.EJECTING)
            if drive.state in _IN and before is not DriveState.EJECTING:
                self._note(Kind.DRIVE_IN, f"drive {name} is in, {words.size(drive.free_bytes)} "
                           "free", **who, size_bytes=drive.size_bytes, free_bytes=drive.free_bytes)
            elif drive.state in _OUT and was_in:
                safe = drive.state is DriveState.SAFE
                how = "safe to remove" if safe else "pulled out before it was safe"
                self._note(Kind.DRIVE_OUT, f"drive {name}: {how}", **who,
                           free_bytes=drive.free_bytes, safe=safe)
            elif drive.state is DriveState.REJECTED:
                self._note(Kind.DRIVE_REJECTED, f"drive {name} rejected: {drive.reason}", **who,
                           reason=drive.reason)

    def _power(self, snapshot: Snapshot, now_ns: int) -> None:
        power = snapshot.power
        if power.level is PowerLevel.UNKNOWN and self._level is None:
            return
        changed = power.level is not self._level
        if not changed and not self._due("power", power.charge_percent, CHARGE_PERCENT, now_ns):
            return
        self._level = power.level
        self._curves["power"] = (now_ns, power.charge_percent)
        charge = "" if power.charge_percent is None else f", {power.charge_percent:g} %"
        self._note(Kind.POWER, f"power {power.level.value}{charge}", level=power.level.value,
                   charge_percent=power.charge_percent, voltage_mv=power.voltage_mv,
                   power_mw=power.power_mw, minutes_left=power.minutes_left,
                   source=power.source, reason=power.reason)

    def _temperature(self, snapshot: Snapshot, now_ns: int) -> None:
        celsius = snapshot.temperature_c
        if celsius is not None and self._due("temperature", celsius, TEMPERATURE_C, now_ns):
            self._curves["temperature"] = (now_ns, celsius)
            self._note(Kind.TEMPERATURE, f"processor {celsius:.1f} °C", celsius=celsius)

    def _space(self, snapshot: Snapshot, now_ns: int) -> None:
        """At each change of tier; the figures travel with the power curve's rhythm."""
        space = snapshot.space
        if space.tier.value == self._tier:
            return
        first, self._tier = not self._tier, space.tier.value
        if not first or space.reason:
            self._note(Kind.SPACE, f"disk {space.tier.value}: {space.reason or 'room again'}",
                       tier=space.tier.value, free_bytes=space.free_bytes,
                       total_bytes=snapshot.storage.total_bytes, hours_left=space.hours_left,
                       reason=space.reason)

    def _due(self, curve: str, value: float | None, much: float, now_ns: int) -> bool:
        """Whether a value is far enough from the one noted last, in time or in size."""
        if curve not in self._curves:
            return True
        noted_ns, noted = self._curves[curve]
        if now_ns - noted_ns >= self._every_ns or (value is None) != (noted is None):
            return True
        return value is not None and noted is not None and abs(value - noted) >= much

    # -- events ------------------------------------------------------------------------------------

    def _events(self, events: Sequence[Event], now_ns: int) -> None:
        """Warnings and errors that were shown since the last look; the same one seldom."""
        new: list[Event] = []
        for event in reversed(events):
            if event is self._last_event:
                break
            new.append(event)
        if events:
            self._last_event = events[-1]
        for event in reversed(new):
            if event.severity != "info":
                self._event(event, now_ns)

    def _event(self, event: Event, now_ns: int) -> None:
        noted_ns, times = self._said.pop(event.text, (None, 0))
        if noted_ns is not None and now_ns - noted_ns < EVENT_PAUSE_NS:
            self._said[event.text] = (noted_ns, times + 1)
            return
        self._said[event.text] = (now_ns, 0)
        if len(self._said) > EVENTS_REMEMBERED:
            del self._said[next(iter(self._said))]
        self._note(Kind.EVENT, event.text, severity=event.severity, times=times + 1)
