"""Watches the running box from outside, once a simulated minute: is each reason to wait true, does
what could run run, does nothing sleep that must not. What it finds goes into the diary as `wrong`.

An oracle of its own: it reads the world's state and the configuration, not the app's decisions; of
the app only what it shows (board, drives). A thing counts as wrong when two looks in a row say so:
between a change and what follows from it there may be a moment.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from fieldrec.app import App
from fieldrec.config import Config
from fieldrec.core.model import DriveState, Job, JobKind, JobState, PowerLevel, SpaceTier
from fieldrec.core.snapshot import Snapshot
from tests.month.simulated_time import SimulatedClock
from tests.month.story import State, Story

STARVED_S = 45 * 60.0
"""A job that may run, while nobody uses what it needs, runs within this; retries back off for
less."""
_NO_ROOM = r"needs about .* free|.*goes on when there is room"
MOST_FOR_AN_EXPORT = 3_000_000
"""Of the pictures of a night; bytes, twice what is predicted for the movie."""
AT_WORK = (JobState.RUNNING, JobState.VERIFYING, JobState.COMMITTING, JobState.DELETING_SOURCE)


class Watching:
    """One boot's."""

    def __init__(self, app: App, story: Story, clock: SimulatedClock, state: State,
                 planned: Sequence[tuple[int, int]], config: Config) -> None:
        """`planned`: what the schedule is to record, true times."""
        self._app, self._story, self._clock = app, story, clock
        self._state, self._planned, self._config = state, planned, config
        self._doubtful: Counter[tuple[int, str]] = Counter()
        self._allowed_s: Counter[int] = Counter()
        self._last_ns = clock.monotonic_ns()
        self._seen: dict[int, JobState] = {}
        self._over = False
        self._bad: dict[int, str] = {}
        self._told: set[tuple[int, str]] = set()
        self._level: PowerLevel | None = None
        self._tier: SpaceTier | None = None

    def stop(self) -> None:
        """The box is being stopped, or is gone."""
        self._over = True

    def look(self) -> None:
        """On the loop."""
        if self._over:
            return
        now = self._app.board.latest
        passed_s = (self._clock.monotonic_ns() - self._last_ns) / 1e9
        self._last_ns = self._clock.monotonic_ns()
        self._follow(now)
        self._check_reasons(now)
        self._check_running(now)
        self._check_starved(now, passed_s)

    def _wrong(self, text: str, **facts: Any) -> None:
        self._story.tell(self._clock.monotonic_ns(), "wrong", text=text, **facts)

    def falls_asleep(self, now_ns: int) -> None:
        """What must not be when it does: a drive that is mounted, a recording, work."""
        now = self._app.board.latest
        mounted = [drive.label for drive in self._app.drives()
                   if drive.state in (DriveState.READY, DriveState.EJECTING)]
        busy = [job.item for job in now.jobs if job.state in AT_WORK]
        if mounted or now.recording or busy:
            self._wrong("asleep although it should not be", mounted=mounted, busy=busy,
                        recording=now.recording)
        self._last_ns = now_ns

    def begin(self) -> None:
        """The box has started: every job that ends goes into the diary."""
        self._app._queue.subscribe(self._job)

    def _job(self, job: Job) -> None:
        if job.state.finished and self._seen.get(job.id) is not job.state:
            self._story.tell(self._clock.monotonic_ns(), "job", kind=job.kind.value,
                             item=job.item, destination=job.destination, state=job.state.value,
                             reason=job.reason, attempt=job.attempt, number=job.id,
                             created_ns=job.created_ns)
        self._seen[job.id] = job.state

    # -- the diary of what the box did -------------------------------------------------------------

    def _follow(self, now: Snapshot) -> None:
        """Tiers of room and levels of power, as shown."""
        if now.space.tier is not self._tier:
            self._tier = now.space.tier
            self._story.tell(self._clock.monotonic_ns(), "room", tier=now.space.tier.value,
                             reason=now.space.reason, free_bytes=now.storage.free_bytes)
        if now.power.level is not self._level:
            self._level = now.power.level
            self._story.tell(self._clock.monotonic_ns(), "power", level=now.power.level.value,
                             reason=now.power.reason, truly=round(self._state.battery.percent, 1))

    # -- reasons -----------------------------------------------------------------------------------

    def _check_reasons(self, now: Snapshot) -> None:
        doubtful: Counter[tuple[int, str]] = Counter()
        for job in now.jobs:
            if job.state is not JobState.WAITING:
                continue
            judge = next((judge for pattern, judge in self._judges()
                          if re.match(pattern, job.reason)), None)
            if judge is None:
                self._wrong("a reason that nobody can check", reason=job.reason)
            elif not judge(job, now):
                key = (job.id, re.sub(r"[\d.:]+", "#", job.reason))
                doubtful[key] = self._doubtful[key] + 1
                if doubtful[key] == 3:
                    self._wrong("a job waits for what is not so", reason=job.reason,
                                kind=job.kind.value, item=job.item, level=now.power.level.value,
                                recording=now.recording,
                                truly=round(self._state.battery.percent, 1))
        self._doubtful = doubtful

    def _judges(self) -> list[tuple[str, Callable[[Job, Snapshot], bool]]]:
        state = self._state
        power = self._config.power
        gauge = state.gauge is not None and self._clock.monotonic_ns() < (
            state.gauge_until_ns + int((power.unreadable_s + power.dwell_s + 120) * 1e9))

        def below(percent: float) -> bool:
            return gauge or (state.battery.percent <= percent + 1.5)

        return [
            (r"recording since|a recording begins", lambda _, now: now.recording),
            (r'recording( "[a-z]+")? starts at .*', lambda *_: self._about_to_record()),
            (r"processor \d+ C|processor too warm", lambda *_: False),  # it never is
            (r"[a-z -]+ \S+ (goes first|makes way|to the same (drive|destination)) \(job \d+\)",
             self._other_is_there),
            (r"battery CRITICAL", lambda *_: below(power.critical_leave_percent)),
            (r"battery LOW", lambda *_: below(power.low_leave_percent)),
            (r"on battery", lambda *_: gauge or not state.battery.on_mains),
            (r"power supply unknown", lambda *_: gauge),
            (r"drive .* not present", lambda job, _: not self._present(job)),
            (r"job \d+ .*(goes first|needs the raw first|works on this recording first)"
             r"|job \d+ exports", self._other_is_there),
            (r"interrupted recordings are completed first", lambda _, now: bool(now.recovery)),
            (r".*again in \d+ s", lambda *_: True),
            (r"shutting down", lambda _, now: now.stopping),
            (_NO_ROOM, lambda *_: self._room_is_short()),
            (r".*yet; the raw goes when it is", lambda *_: True),
            (r".* is being recorded", lambda _, now: now.recording),
        ]

    def _present(self, job: Job) -> bool:
        uuid = (job.destination or "").removeprefix("drive:")
        return any(drive.fs_uuid == uuid and drive.state is DriveState.READY
                   for drive in self._app.drives())

    def _other_is_there(self, job: Job, now: Snapshot) -> bool:
        match = re.search(r"job (\d+)", job.reason)
        return match is not None and any(other.id == int(match[1]) and not other.state.finished
                                         for other in now.jobs)

    def _check_running(self, now: Snapshot) -> None:
        """What runs and may not; at two looks in a row, for a slice may be under way."""
        bad = {job.id: why for job in now.jobs if job.state in AT_WORK
               and (why := self._why_not(job, now))}
        for job in now.jobs:
            if job.id in bad and bad[job.id] == self._bad.get(job.id):
                if (job.id, bad[job.id]) not in self._told:
                    self._wrong(f"it runs {bad[job.id]}", kind=job.kind.value, item=job.item)
                self._told.add((job.id, bad[job.id]))
        self._bad = bad

    def _why_not(self, job: Job, now: Snapshot) -> str:
        if now.power.level is PowerLevel.CRITICAL:
            return "at CRITICAL"
        if job.kind is not JobKind.EXPORT:
            return "at LOW" if now.power.level is PowerLevel.LOW \
                and job.kind is not JobKind.DELETE else ""
        if now.recording:
            return "while something is recorded"
        return "" if now.power.level is PowerLevel.MAINS else "on battery"

    # -- starving ----------------------------------------------------------------------------------

    def _check_starved(self, now: Snapshot, passed_s: float) -> None:
        in_use = {one for job in now.jobs if job.state in AT_WORK for one in _needs(job)}
        for job in now.jobs:
            if job.state.finished or job.state in AT_WORK or _needs(job) & in_use \
                    or not self._may_run(job, now):
                self._allowed_s[job.id] = 0
                continue
            self._allowed_s[job.id] += int(passed_s)
            if self._allowed_s[job.id] >= STARVED_S:
                self._allowed_s[job.id] = -10**9
                self._wrong("starved", kind=job.kind.value, item=job.item, reason=job.reason,
                            state=job.state.value, created_ns=job.created_ns)

    def _may_run(self, job: Job, now: Snapshot) -> bool:
        """By the README's words, from the world's own figures."""
        state, power = self._state, self._config.power
        percent = state.battery.percent
        if now.recovery or job.paused or now.power.level is PowerLevel.CRITICAL:
            return False
        calm = percent > power.low_leave_percent + 2 or state.battery.on_mains
        if job.kind is JobKind.EXPORT:
            return (not now.recording and state.battery.on_mains and calm
                    and not self._about_to_record()
                    and not (re.match(_NO_ROOM, job.reason) and self._room_is_short()))
        if job.kind is JobKind.DELETE_RAW:
            others = any(other.item_uuid == job.item_uuid and other.id != job.id
                         and not other.state.finished for other in now.jobs)
            return calm and not others and (job.destination is None or self._present(job))
        return calm and (job.destination is None or self._present(job))

    def _room_is_short(self) -> bool:
        """By the file system's own figures: what a month's export needs is not there."""
        storage = self._config.storage
        figures = os.statvfs(storage.directory)
        free_bytes = figures.f_bavail * figures.f_frsize - storage.reserve_bytes
        return free_bytes < MOST_FOR_AN_EXPORT

    def _about_to_record(self) -> bool:
        """By the calendar, or while the box's clock is wrong, and a moment after it is right."""
        now_ns = self._clock.monotonic_ns()
        before_ns = int((self._config.idle.before_schedule_min + 2) * 60e9)
        return self._clock.epoch_ns() != now_ns or any(
            begins_ns - before_ns <= now_ns < begins_ns + 120 * 10**9
            for begins_ns, _ in self._planned)


def _needs(job: Job) -> set[str]:
    """What one job has for itself."""
    own = {"processor"} if job.kind is JobKind.EXPORT else set()
    if job.kind in (JobKind.DELETE, JobKind.DELETE_RAW):
        own.add("deletion")
    return own | ({job.destination} if job.destination else set())


