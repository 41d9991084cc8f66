"""Draws a record from the entries of a logbook.

Pure: :meth:`Drawing.take` is given every entry in order, :meth:`Drawing.done` the recordings that
are on disk. One pass; memory grows with recordings, gaps and events, never with readings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from fieldrec.core.model import Recording
from fieldrec.core.notes import Kind
from fieldrec.logbook.causes import Cause, cause_of, is_voluntary
from fieldrec.logbook.lines import Entry
from fieldrec.logbook.overlaps import missed_besides
from fieldrec.logbook.record import Gap, Happening, Missing, Record, Recorded

MOST_HAPPENINGS = 5000
"""Of the events that are listed; beyond it they are counted only."""
BEFORE_FIELDREC_NS = 1_767_225_600_000_000_000
"""2026-01-01: a clock that shows less has lost its time."""
_END_OF_BOOT = 2**63


@dataclass(slots=True)
class _Camera:
    """What is known of one camera at one point of the record."""

    now: Recorded | None = None
    seen_ns: int = 0
    """When the record last spoke, while it recorded."""
    gap_ns: int | None = None
    """Since when it should record and does not."""
    detail: str = ""
    cause: Cause = Cause.UNEXPLAINED
    after: Recorded | None = None
    """The recording whose end began the gap."""
    paused_ns: int | None = None
    window: tuple[int, int, str] | None = None
    """The scheduled recording under way: from, until, task."""


class Drawing:
    """Draws a :class:`Record` from entries."""

    def __init__(self, *, from_ns: int | None = None, until_ns: int | None = None,
                 steps: Iterable[tuple[str, int, int]] = ()) -> None:
        """`from_ns`, `until_ns`: leave out what lies outside. `steps`: every step of the wall clock
        as (boot_id, boottime_ns, moved_ns), by which earlier times of that boot are put right."""
        self.record = Record()
        self._from_ns, self._until_ns = from_ns, until_ns
        self._steps: dict[str, list[tuple[int, int]]] = {}
        for boot_id, boottime_ns, moved_ns in steps:
            self._steps.setdefault(boot_id, []).append((boottime_ns, moved_ns))
        self._cameras: dict[str, _Camera] = {}
        self._by_name: dict[str, Recorded] = {}
        self._between: dict[int, tuple[Recorded | None, Recorded | None]] = {}
        """Of gaps, by their place in the list: the recordings before and after."""
        self._keys: dict[str, str] = {}
        """Names of cameras by their serials."""
        self._missed: list[Gap] = []
        """As the schedule noted them; camera "" stands for all."""
        self._shift_ns = 0
        self._now_ns = 0
        self._boots: set[str] = set()

    def take(self, entry: Entry) -> None:
        """The next entry."""
        if entry.boot_id not in self._boots:
            self._boots.add(entry.boot_id)
            self._place_boot(entry)
        self._shift_ns = sum(moved for at, moved in self._steps.get(entry.boot_id, ())
                             if entry.boottime_ns < at)
        before_ns, self._now_ns = self._now_ns, entry.time_ns + self._shift_ns
        record = self.record
        if not record.entries:
            record.from_ns = self._now_ns
        record.from_ns = min(record.from_ns, self._now_ns)
        record.until_ns = max(record.until_ns, self._now_ns)
        record.entries += 1
        taken = _TAKEN.get(entry.kind, Drawing._happened)  # what is not known is listed
        taken(self, entry, before_ns)
        for camera in self._cameras.values():
            if camera.now is not None:
                camera.seen_ns = self._now_ns

    def done(self, on_disk: Iterable[Recording] = ()) -> Record:
        """The record; recordings `on_disk` know better than what was noted of them."""
        for recording in on_disk:
            self._from_disk(recording)
        for key, camera in self._cameras.items():
            self._gap_ends(key, camera, self.record.until_ns, still=True)
        record = self.record
        record.gaps = self._exact_gaps()
        record.gaps += missed_besides(self._missed, record)
        if self._from_ns is not None or self._until_ns is not None:
            self._clip(self._from_ns or record.from_ns, self._until_ns or record.until_ns)
        record.recordings.sort(key=lambda one: (one.from_ns, one.camera))
        record.gaps.sort(key=lambda gap: (gap.from_ns, gap.camera))
        record.cameras = sorted({*record.cameras, *(one.camera for one in record.recordings)})
        return record

    def _place_boot(self, first: Entry) -> None:
        """A boot whose clock showed a time before there was any fieldrec, and was never put right:
        all that is known is that it came after what is in the record already. There it is put, so
        that it does not stand decades apart, with a gap as long."""
        steps = self._steps.setdefault(first.boot_id, [])
        at_ns = first.time_ns + sum(moved for at, moved in steps if first.boottime_ns < at)
        if at_ns < BEFORE_FIELDREC_NS < self.record.until_ns:
            steps.append((_END_OF_BOOT, self.record.until_ns - at_ns))

    # -- recordings and gaps -----------------------------------------------------------------------

    def _camera(self, key: str) -> _Camera:
        if key not in self._cameras:
            self._cameras[key] = _Camera()
            self.record.cameras.append(key)
        return self._cameras[key]

    def _began(self, entry: Entry, _before_ns: int) -> None:
        key, name = entry.word("camera"), entry.word("name")
        camera = self._camera(key)
        began_ns = entry.whole("began_ns") or entry.time_ns
        if camera.now is not None and camera.now.name != name:  # its end is not in the record
            self._gap_begins(camera, camera.seen_ns, "", after=camera.now)
        recorded = Recorded(key, name, began_ns, shift_ns=self._shift_ns)
        self._gap_ends(key, camera, recorded.from_ns, before=recorded)
        camera.now = recorded
        self._by_name[name] = recorded
        self.record.recordings.append(recorded)

    def _ended(self, entry: Entry, _before_ns: int) -> None:
        camera = self._camera(entry.word("camera"))
        name, reason = entry.word("name"), entry.word("reason")
        recorded = self._by_name.get(name)
        if recorded is None:  # its beginning is not in the record
            began_ns = entry.whole("began_ns") or entry.time_ns
            recorded = Recorded(entry.word("camera"), name, began_ns, shift_ns=self._shift_ns)
            self._by_name[name] = recorded
            self.record.recordings.append(recorded)
        recorded.ended_ns = entry.whole("ended_ns") or entry.time_ns
        recorded.reason = reason
        if not recorded.exact:
            _set_figures(recorded, entry)
        if camera.now is None or camera.now is recorded:
            camera.now = None
            if not is_voluntary(reason):
                self._gap_begins(camera, recorded.until_ns, reason, after=recorded)

    def _exact(self, entry: Entry, _before_ns: int) -> None:
        """The figures of a recording that is complete."""
        name = entry.word("name")
        recorded = self._by_name.get(name)
        first_ns, last_ns = entry.whole("first_ns"), entry.whole("last_ns")
        serial = entry.word("serial")
        if recorded is None:
            recorded = Recorded(self._keys.get(serial, serial), name, first_ns or entry.time_ns)
            self._by_name[name] = recorded
            self.record.recordings.append(recorded)
        else:
            self._keys[serial] = recorded.camera
        if first_ns is not None:
            recorded.began_ns = first_ns
        if last_ns is not None:
            recorded.ended_ns = last_ns
        recorded.uuid, recorded.clock = entry.word("uuid"), entry.word("clock")
        recorded.recovered = entry.facts.get("recovered") is True
        recorded.exact = True
        _set_figures(recorded, entry)

    def _from_disk(self, recording: Recording) -> None:
        known = self._by_name.get(recording.name)
        if recording.first_time_ns is None:
            return
        if known is None:
            serial = recording.camera_serial
            known = Recorded(self._keys.get(serial, serial), recording.name,
                             recording.first_time_ns)
            self._by_name[recording.name] = known
            self.record.recordings.append(known)
        elif known.exact:
            return
        known.uuid = recording.uuid
        known.began_ns, known.ended_ns = recording.first_time_ns, recording.last_time_ns
        known.frames, known.dropped, known.lost = (
            recording.frame_count, recording.dropped, recording.lost)
        known.size_bytes, known.clock = recording.size_bytes, recording.clock_quality.value
        known.exact = recording.state.value == "complete"

    def _gap_begins(self, camera: _Camera, at_ns: int, detail: str, cause: Cause | None = None,
                    after: Recorded | None = None) -> None:
        camera.now = None
        camera.paused_ns = None
        if camera.gap_ns is None:
            camera.gap_ns, camera.detail, camera.after = at_ns, detail, after
            camera.cause = cause_of(detail) if cause is None else cause

    def _gap_ends(self, key: str, camera: _Camera, at_ns: int, *, still: bool = False,
                  before: Recorded | None = None) -> None:
        if camera.gap_ns is None:
            return
        began_ns, camera.gap_ns = camera.gap_ns, None
        task = ""
        if camera.window is not None and camera.window[0] <= began_ns:
            task = camera.window[2]
            if camera.window[1] < at_ns:
                at_ns, still, before = camera.window[1], False, None
        self._between[len(self.record.gaps)] = (camera.after, before)
        self.record.gaps.append(Gap(key, began_ns, max(at_ns, began_ns), camera.cause,
                                    camera.detail, task, still))

    def _wanted(self, entry: Entry, _before_ns: int) -> None:
        """A camera that does not record is to do so, or no longer."""
        key, reason = entry.word("camera"), entry.word("reason")
        camera = self._camera(key)
        if entry.facts.get("wanted") is True:
            since_ns = entry.whole("since_ns")
            self._gap_begins(camera, self._now_ns if since_ns is None
                             else since_ns + self._shift_ns, reason)
        elif is_voluntary(reason):
            self._gap_ends(key, camera, self._now_ns)

    def _exact_gaps(self) -> list[Gap]:
        """Gaps from the last frame before them to the first one after, as far as these are known
        by now: a recording that was cut off says only when it is recovered how far it got."""
        gaps = []
        for at, gap in enumerate(self.record.gaps):
            after, before = self._between.get(at, (None, None))
            from_ns = gap.from_ns if after is None or not after.exact else after.until_ns
            until_ns = gap.until_ns if before is None else before.from_ns
            if until_ns > from_ns:
                gaps.append(replace(gap, from_ns=from_ns, until_ns=until_ns))
        return gaps

    def _camera_changed(self, entry: Entry, before_ns: int) -> None:
        key, state = entry.word("camera"), entry.word("state")
        camera = self._camera(key)
        if state == "paused":
            camera.paused_ns = self._now_ns
        elif camera.paused_ns is not None:
            self.record.gaps.append(Gap(key, camera.paused_ns, self._now_ns, Cause.PAUSED,
                                        "paused by the operator"))
            camera.paused_ns = None
        self._happened(entry, before_ns)

    def _window(self, entry: Entry, _before_ns: int) -> None:
        span = self._span(entry)
        for key in entry.words("cameras") or tuple(self._cameras):
            camera = self._camera(key)
            if camera.gap_ns is not None and camera.window is not None:
                # the gap of the window before this one does not reach into it
                self._gap_ends(key, camera, min(camera.window[1], span[0]))
            camera.window = (*span, entry.word("task"))

    def _window_missed(self, entry: Entry, before_ns: int) -> None:
        from_ns, until_ns = self._span(entry)
        words = entry.word("cause") or entry.word("reason")
        for key in entry.words("cameras") or ("",):
            self._missed.append(Gap(key, from_ns, until_ns, cause_of(words), words,
                                    entry.word("task")))
        self._happened(entry, before_ns)

    def _span(self, entry: Entry) -> tuple[int, int]:
        """By the clock of then, put right as that was."""
        from_ns = entry.whole("begins_ns") or entry.time_ns
        until_ns = max(entry.whole("ends_ns") or from_ns, from_ns)
        return from_ns + self._shift_ns, until_ns + self._shift_ns

    def _frames_missing(self, entry: Entry, _before_ns: int) -> None:
        now_ns = entry.time_ns
        self.record.missing.append(Missing(
            entry.word("camera"), entry.word("name"), entry.whole("dropped") or 0,
            entry.whole("lost") or 0, (entry.whole("from_ns") or now_ns) + self._shift_ns,
            (entry.whole("until_ns") or now_ns) + self._shift_ns))

    # -- the box -----------------------------------------------------------------------------------

    def _started(self, entry: Entry, before_ns: int) -> None:
        previous = entry.word("previous")
        self.record.ends[previous] += 1
        for camera in self._cameras.values():
            if camera.now is not None:  # nobody wrote its end
                camera.now.reason = camera.now.reason or previous or "unknown"
                if camera.now.ended_ns is None:
                    camera.now.ended_ns = before_ns - camera.now.shift_ns
                cause = {"killed": Cause.CRASH, "power cut": Cause.POWER}.get(previous)
                self._gap_begins(camera, camera.now.until_ns,
                                 f"{previous}, found at the next start" if cause else "", cause,
                                 after=camera.now)
        self._happened(entry, before_ns)

    def _stopped(self, entry: Entry, before_ns: int) -> None:
        if entry.facts.get("over") is True:  # a command: nothing is to be recorded after it
            for key, camera in self._cameras.items():
                self._gap_ends(key, camera, camera.gap_ns or 0)
        self._happened(entry, before_ns)

    def _power(self, entry: Entry, _before_ns: int) -> None:
        record = self.record
        for name, curve, scale in (("charge_percent", record.charge, 1.0),
                                   ("voltage_mv", record.volts, 1e-3),
                                   ("power_mw", record.watts, 1e-3)):
            value = entry.number(name)
            if value is not None and self._inside(self._now_ns):
                curve.add(self._now_ns, value * scale)
        level = entry.word("level")
        if not record.levels or record.levels[-1][1] != level:
            record.levels.append((self._now_ns, level))

    def _temperature(self, entry: Entry, _before_ns: int) -> None:
        value = entry.number("celsius")
        if value is not None and self._inside(self._now_ns):
            self.record.celsius.add(self._now_ns, value)

    def _clock_step(self, entry: Entry, before_ns: int) -> None:
        self.record.clock_steps.append((self._now_ns, entry.number("moved_s") or 0.0))
        self._happened(entry, before_ns)

    def _job(self, entry: Entry, before_ns: int) -> None:
        if not self._inside(self._now_ns):
            return
        self.record.jobs[entry.word("what"), entry.word("state")] += 1
        if entry.word("destination") and entry.word("state") == "done":
            self.record.copied_bytes[entry.word("destination")] += entry.whole("bytes") or 0
        if entry.word("state") == "failed":
            self._happened(entry, before_ns)

    def _drive_in(self, entry: Entry, before_ns: int) -> None:
        key = entry.word("fs_uuid")
        visits = self.record.drives.get(key, ("", 0))[1]
        self.record.drives[key] = (entry.word("label"), visits + 1)
        self._happened(entry, before_ns)

    def _place(self, entry: Entry, _before_ns: int) -> None:
        latitude, longitude = entry.number("latitude"), entry.number("longitude")
        if latitude is not None and longitude is not None \
                and abs(latitude) <= 90 and abs(longitude) <= 180:
            self.record.place = (latitude, longitude)

    def _versions(self, entry: Entry, _before_ns: int) -> None:
        self.record.versions = {name: str(value) for name, value in entry.facts.items()}

    def _config(self, entry: Entry, _before_ns: int) -> None:
        digest = entry.word("digest")
        if not self.record.configs or self.record.configs[-1][1] != digest:
            self.record.configs.append((self._now_ns, digest, entry.word("yaml")))

    def _entries_dropped(self, entry: Entry, before_ns: int) -> None:
        self.record.entries_dropped += entry.whole("count") or 0
        self._happened(entry, before_ns)

    def _happened(self, entry: Entry, _before_ns: int) -> None:
        if not self._inside(self._now_ns):
            return
        if len(self.record.happenings) >= MOST_HAPPENINGS:
            self.record.not_listed += 1
            return
        self.record.happenings.append(Happening(
            self._now_ns, entry.kind, entry.text, entry.word("severity") or "info"))

    # -- a part of it ------------------------------------------------------------------------------

    def _inside(self, time_ns: int) -> bool:
        return ((self._from_ns is None or time_ns >= self._from_ns)
                and (self._until_ns is None or time_ns <= self._until_ns))

    def _clip(self, from_ns: int, until_ns: int) -> None:
        """Keep what lies between; a gap or a recording that reaches out is kept with its inner
        part, its figures whole."""
        record = self.record
        record.from_ns, record.until_ns = from_ns, until_ns
        record.recordings = [one for one in record.recordings
                             if one.until_ns >= from_ns and one.from_ns <= until_ns]
        for one in record.recordings:
            one.ended_ns = None if one.ended_ns is None else \
                min(one.ended_ns, until_ns - one.shift_ns)
            one.began_ns = max(one.began_ns, from_ns - one.shift_ns)
        record.gaps = [replace(gap, from_ns=max(gap.from_ns, from_ns),
                               until_ns=min(gap.until_ns, until_ns)) for gap in record.gaps
                       if gap.until_ns > from_ns and gap.from_ns < until_ns]
        record.missing = [one for one in record.missing
                          if one.until_ns >= from_ns and one.from_ns <= until_ns]
        record.clock_steps = [step for step in record.clock_steps
                              if from_ns <= step[0] <= until_ns]


_TAKEN: Mapping[str, Callable[[Drawing, Entry, int], None]] = {
    Kind.STARTED: Drawing._started, Kind.STOPPED: Drawing._stopped,
    Kind.VERSIONS: Drawing._versions, Kind.CONFIG: Drawing._config, Kind.PLACE: Drawing._place,
    Kind.RECORDING_BEGAN: Drawing._began, Kind.RECORDING_ENDED: Drawing._ended,
    Kind.RECORDING: Drawing._exact, Kind.FRAMES_MISSING: Drawing._frames_missing,
    Kind.WANTED: Drawing._wanted, Kind.CAMERA: Drawing._camera_changed,
    Kind.WINDOW: Drawing._window, Kind.WINDOW_MISSED: Drawing._window_missed,
    Kind.POWER: Drawing._power, Kind.TEMPERATURE: Drawing._temperature,
    Kind.CLOCK_STEP: Drawing._clock_step, Kind.DRIVE_IN: Drawing._drive_in,
    Kind.JOB: Drawing._job, Kind.ENTRIES_DROPPED: Drawing._entries_dropped,
}


def _set_figures(recorded: Recorded, entry: Entry) -> None:
    recorded.frames = entry.whole("frames") if entry.whole("frames") is not None \
        else recorded.frames
    recorded.dropped = entry.whole("dropped") or 0
    recorded.lost = entry.whole("lost") or 0
    recorded.size_bytes = entry.whole("bytes") or 0
