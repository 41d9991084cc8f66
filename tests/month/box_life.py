"""One boot of the box: the real app on simulated time, with the world around it.

Runs in a process of its own (a fork of the driver), in a process group of its own: a power cut
kills all of it. On the event loop; what touches disks is in the worker `world`.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fieldrec.camera
from fieldrec.app import DAEMON, App, beat, publishing
from fieldrec.app.switching_off import switch_off
from fieldrec.config import Config
from fieldrec.core.errors import FieldrecError
from fieldrec.core.model import DriveState, JobKind, JobState
from fieldrec.core.workers import Worker
from fieldrec.drives import watcher
from fieldrec.logbook import book
from fieldrec.record import session
from fieldrec.sensors import temperature
from tests.month.field import Field, is_mounted
from tests.month.machine import SimulatedMachine
from tests.month.planned import planned_spans
from tests.month.scenario import LATITUDE, LONGITUDE, Happening, Scenario
from tests.month.simulated_time import RealWork, SimulatedClock, simulated_loop
from tests.month.story import State, Story
from tests.month.watching import Watching
from tests.month.world import (
    PANEL_MW,
    Load,
    PowerSupply,
    Sky,
    sun_elevation_deg,
    temperature_c,
)

TICK_S = 60.0
WRONG_CLOCK_NS = int(dt.datetime(2000, 1, 1, tzinfo=dt.UTC).timestamp() * 1e9)
"""What a real-time clock without a battery says."""
PERSON_NS = 180 * 10**9
"""Nobody is at the box sooner after its start."""
LEAST_VISIT_NS = 45 * 60 * 10**9
DURABLE_S = 1.5
SLOWER = 10.0
"""Looks that only measure (disk, lag, a picture while nothing changes) come so many times less
often than in the field: a month has 2.6 million seconds. What decides keeps its own pace."""

log = logging.getLogger("world")


def slow_looks(times: float = SLOWER) -> None:
    """For this process."""
    beat.BEAT_S *= times
    session.LOOK_S *= times
    session.IDLE_LOOK_S *= times
    publishing.PUBLISH_BUSY_S *= times
    publishing.PUBLISH_IDLE_S *= times
    watcher.MEASURE_EVERY_S *= times


def add_cameras() -> Any:
    """Have the app find this package's cameras; the module of the one there is."""
    folder = str(Path(__file__).parent / "cameras")
    if folder not in fieldrec.camera.__path__:
        fieldrec.camera.__path__.append(folder)
    import fieldrec.camera.timelapse as timelapse  # type: ignore[import-not-found]

    return timelapse


def of_this_boot(state: State, celsius: Callable[[], float]) -> None:
    """For this process: what the kernel says of the boot and of its sensors."""
    boot_id = f"boot-{state.boots}"
    book.read_boot_id = lambda: boot_id  # type: ignore[assignment,misc]
    temperature.read = lambda _root=None: celsius()  # type: ignore[assignment]


def live(config: Config, scenario: Scenario, field: Field, story: Story) -> None:
    """From switching on to whatever ends it; the state says what it was. A cut does not return."""
    os.setpgid(0, 0)
    state = story.read()
    clock = SimulatedClock(state.now_ns, state.now_ns + state.ahead_ns)
    add_cameras().CLOCK = clock
    with simulated_loop(clock) as (loop, work):
        loop.set_debug(False)  # a test run asks for it, and it takes a third of the time
        loop.run_until_complete(_Boot(config, scenario, field, story, clock, work).run())
    story.write(_ended(story.read(), clock))


def _ended(state: State, clock: SimulatedClock) -> State:
    state.now_ns = clock.monotonic_ns()
    state.ahead_ns = clock.epoch_ns() - clock.monotonic_ns()
    return state


class _Boot:
    """The app and its world."""

    def __init__(self, config: Config, scenario: Scenario, field: Field, story: Story,
                 clock: SimulatedClock, work: RealWork) -> None:
        self._scenario, self._field, self._story = scenario, field, story
        self._clock, self._work = clock, work
        self._state = story.read()
        self._sky = Sky(scenario.seed, dt.datetime.fromtimestamp(scenario.begins_ns / 1e9, dt.UTC),
                        scenario.overcast)
        self._supply = PowerSupply(field.power)
        self._worker = Worker("world")
        self._over = asyncio.Event()
        self._booted_ns = clock.monotonic_ns()
        self._machine = SimulatedMachine(clock, self._state, story, self._suspended)
        self._app = App(config, DAEMON, clock, self._machine)
        self._watching = Watching(
            self._app, story, clock, self._state,
            planned_spans(config, scenario.begins_ns, scenario.ends_ns), config)

    async def run(self) -> None:
        state, app = self._state, self._app
        self._loop = asyncio.get_running_loop()
        state.boots += 1
        of_this_boot(state, self._temperature)
        state.why_ended = ""
        self._story.tell(state.now_ns, "boot", number=state.boots,
                         wall_ns=self._clock.epoch_ns())
        self._pass_time()
        try:
            async with app:
                log.info("boot %d", state.boots)
                self._watching.begin()
                world = asyncio.create_task(self._turn(), name="world")
                await asyncio.wait([asyncio.create_task(app.stop_requested.wait(), name="asked"),
                                    world, asyncio.create_task(self._over.wait(), name="over")],
                                   return_when=asyncio.FIRST_COMPLETED)
                self._work.in_real_time = True
                self._watching.stop()
        finally:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            self._worker.close()
        if world.done() and not world.cancelled():
            world.result()
        if not state.why_ended:
            state.why_ended = await self._why_stopped()
        state.now_ns = self._clock.monotonic_ns()
        self._story.tell(state.now_ns, "ended", why=state.why_ended)
        self._story.write(state)

    async def _why_stopped(self) -> str:
        """As `fieldrec run` ends (cli/run.py)."""
        ending = self._app.ending
        if ending is None:
            return "stopped"
        if not await switch_off(ending, self._machine):
            return "stays on"
        return "power off"

    def _suspended(self) -> None:
        """In the worker that runs the command: returns when the machine is awake again."""
        asyncio.run_coroutine_threadsafe(self._sleep(), self._loop).result()

    async def _sleep(self) -> None:
        """Until the alarm; nobody presses a key."""
        state, clock = self._state, self._clock
        self._pass_time()
        began_ns = clock.monotonic_ns()
        self._watching.falls_asleep(began_ns)
        until_ns = min(state.wake_ns or self._scenario.ends_ns, self._scenario.ends_ns)
        self._story.tell(began_ns, "asleep", until_ns=until_ns)
        clock.suspend_until(until_ns)
        state.wake_ns = None
        state.asleep_s += (until_ns - began_ns) / 1e9
        self._pass_time(Load(asleep=True))

    async def _turn(self) -> None:
        """The world goes on: a tick a minute, and what happens at its moment."""
        last_ns = self._clock.monotonic_ns()
        while not self._over.is_set():
            await asyncio.sleep(max(0.0, self._next_ns(last_ns) - self._clock.monotonic_ns()) / 1e9)
            now_ns = self._clock.monotonic_ns()
            if now_ns - last_ns >= TICK_S * 1e9:
                last_ns = now_ns
                self._pass_time()
                self._watching.look()
            await self._happen(now_ns)
            if now_ns >= self._scenario.ends_ns:
                self._end("over")

    def _next_ns(self, last_ns: int) -> int:
        moments = [last_ns + int(TICK_S * 1e9), self._scenario.ends_ns]
        if self._state.gps_ns is not None:
            moments.append(self._state.gps_ns)
        if self._state.done < len(self._scenario.happenings):
            moments.append(self._due_ns(self._scenario.happenings[self._state.done]))
        return max(min(moments), self._clock.monotonic_ns() + 1)

    def _due_ns(self, one: Happening) -> int:
        """What fell into the time when the box was off comes later; nobody puts a drive in to take
        it out at once."""
        due_ns = max(one.at_ns, self._booted_ns + PERSON_NS)
        if one.what == "take":
            due_ns = max(due_ns, self._state.put_in_ns.get(one.which, 0) + LEAST_VISIT_NS)
        return due_ns

    def _end(self, why: str) -> None:
        self._state.why_ended = why
        self._over.set()

    # -- energy ------------------------------------------------------------------------------------

    def _pass_time(self, load: Load | None = None) -> None:
        """Energy since the last time, and what the gauges say now."""
        state, now_ns = self._state, self._clock.monotonic_ns()
        load = load or self._load()
        has_power = pass_time(state, self._sky, now_ns, load)
        nonsense = "" if state.gauge is None or now_ns >= state.gauge_until_ns else state.gauge
        self._supply.show(state.battery, nonsense=nonsense)
        if not has_power:
            self._story.tell(now_ns, "empty")
            self._cut("empty", 0)

    def _temperature(self) -> float:
        moment = dt.datetime.fromtimestamp(self._clock.monotonic_ns() / 1e9, dt.UTC)
        return temperature_c(sun_elevation_deg(moment, LATITUDE, LONGITUDE), self._load())

    def _load(self) -> Load:
        now = self._app.board.latest
        running = [job.kind for job in now.jobs
                   if job.state in (JobState.RUNNING, JobState.VERIFYING, JobState.COMMITTING)]
        return Load(recording=now.recording, exporting=JobKind.EXPORT in running,
                    copying=any(kind is not JobKind.EXPORT for kind in running))

    # -- happenings --------------------------------------------------------------------------------

    async def _happen(self, now_ns: int) -> None:
        state = self._state
        if state.gps_ns is not None and now_ns >= state.gps_ns:
            self._story.tell(now_ns, "gps", moved_s=-state.ahead_ns / 1e9)
            state.gps_ns, state.ahead_ns = None, 0
            self._clock.set_wall_clock(now_ns)
        while state.done < len(self._scenario.happenings):
            one = self._scenario.happenings[state.done]
            if self._due_ns(one) > now_ns:
                return
            state.done += 1
            self._story.tell(now_ns, one.what, which=one.which, minutes=one.minutes)
            log.info("world: %s %s", one.what, one.which)
            await getattr(self, f"_do_{one.what}")(one)
            self._story.write(state)

    async def _do_insert(self, one: Happening) -> None:
        if one.which not in self._state.inserted:
            image = self._field.images[one.which]
            self._state.put_in_ns[one.which] = self._clock.monotonic_ns()
            self._state.inserted[one.which] = await self._really(
                lambda: self._field.drives.insert(image))

    async def _do_take(self, one: Happening) -> None:
        """A person takes it out who has read that it is safe, or has waited long enough."""
        device = self._state.inserted.get(one.which)
        if device is None:
            return
        if any(d.device == device and d.state not in (DriveState.SAFE, DriveState.ABSENT)
               for d in self._app.drives()):
            self._story.tell(self._clock.monotonic_ns(), "not safe", which=one.which)
            await self._app_does(lambda: self._app.control.eject(device))
        await self._out(one.which, device)

    async def _out(self, label: str, device: str) -> None:
        drives = self._field.drives
        drives._inserted[device] = self._field.images[label]
        mounted = is_mounted(device)
        await self._really(lambda: drives.pull(device) if mounted else drives.take_out(device))
        del self._state.inserted[label]
        self._story.tell(self._clock.monotonic_ns(), "out", which=label, mounted=mounted)

    async def _do_pull(self, one: Happening) -> None:
        device = self._state.inserted.get(one.which)
        if device is not None:
            await self._out(one.which, device)

    async def _do_start(self, one: Happening) -> None:
        await self._app_does(lambda: self._app.control.start(one.which, {}, None))

    async def _do_stop(self, _one: Happening) -> None:
        await self._app_does(self._app.control.stop)

    async def _do_reboot(self, _one: Happening) -> None:
        self._state.off_until_ns = self._clock.monotonic_ns() + 120 * 10**9
        self._end("reboot")

    async def _do_gauge(self, one: Happening) -> None:
        self._state.gauge = one.which
        self._state.gauge_until_ns = self._clock.monotonic_ns() + int(one.minutes * 60e9)
        self._pass_time()

    async def _do_cut(self, one: Happening) -> None:
        await self._let_be_durable()
        self._cut("cut", one.minutes)

    async def _do_flat_rtc(self, one: Happening) -> None:
        """Its clock is wrong at the next start; `gps_ns` is then counted from there."""
        await self._let_be_durable()
        state, now_ns = self._state, self._clock.monotonic_ns()
        off_ns = 10 * 60 * 10**9
        state.ahead_ns = WRONG_CLOCK_NS - (now_ns + off_ns)
        state.gps_ns = now_ns + off_ns + int(one.minutes * 60e9)
        self._cut("cut", 10)

    async def _let_be_durable(self) -> None:
        """A second of the sync thread's is many frames here: it gets it before power is cut."""
        self._work.in_real_time = True
        await asyncio.sleep(DURABLE_S)

    def _cut(self, why: str, minutes: float) -> None:
        """Power is gone, here and now."""
        state, now_ns = self._state, self._clock.monotonic_ns()
        state.why_ended, state.now_ns = why, now_ns
        state.off_until_ns = now_ns + int(minutes * 60e9)
        self._watching.stop()
        self._story.tell(now_ns, "ended", why=why)
        self._story.write(state)
        self._field.cut()
        os.killpg(0, signal.SIGKILL)

    async def _app_does(self, call: Callable[[], Any]) -> None:
        """What a person asks for; refused, that is written down."""
        try:
            await call()
        except FieldrecError as error:
            self._story.tell(self._clock.monotonic_ns(), "refused", text=str(error))

    async def _really(self, call: Callable[[], Any]) -> Any:
        """Touch the machine; time stands still meanwhile."""
        return await self._worker.run(lambda _stop: call())


def pass_time(state: State, sky: Sky, now_ns: int, load: Load) -> bool:
    """Count the energy of the time since the state's, in steps of five minutes; False when the
    battery is empty."""
    has_power = True
    while state.now_ns < now_ns:
        until_ns = min(now_ns, state.now_ns + 300 * 10**9)
        moment = dt.datetime.fromtimestamp(until_ns / 1e9, dt.UTC)
        up = max(0.0, sun_elevation_deg(moment, LATITUDE, LONGITUDE))
        panel_mw = PANEL_MW * min(1.0, up / 40) * sky.share(moment)
        has_power = state.battery.pass_time((until_ns - state.now_ns) / 1e9, panel_mw, load) \
            and has_power
        state.now_ns = until_ns
    return has_power


