"""The box falls asleep and wakes: the RTC's alarm first, everybody asked, and said how long."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from fieldrec.app import sleeping
from fieldrec.app.sleeping import Box, Sleeping
from fieldrec.config.sleep import SleepConfig
from fieldrec.core.errors import DriveBusy
from fieldrec.core.snapshot import Snapshot
from fieldrec.power.people import Person
from tests.fakes.cameras import SECOND_NS, ManualClock
from tests.fakes.machines import ManualMachine
from tests.fakes.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio
IDLE = Snapshot(1, 0, "box", False, None)
SUSPEND = ("systemctl", "suspend")


class Rig:
    """Everything around :class:`Sleeping`, and what it heard."""

    def __init__(self, **config: Any) -> None:
        self.clock = ManualClock()
        self.machine = ManualMachine(self.clock)
        self.next_ns: int | None = self.clock.epoch + 7200 * SECOND_NS
        self.told: list[str] = []
        self.notes: list[tuple[str, dict[str, Any]]] = []
        self.woken = 0
        self.drives_fail = ""
        self.heard = asyncio.Event()
        self.config = SleepConfig(mode="between_windows", idle_s=60, lead_s=120, **config)
        self.sleeping = Sleeping(self.config, self.machine, self.clock, Box(
            lambda: self.next_ns, self.let_go_of_drives, self.switch_off, self.wake, self.say,
            self.note))

    @property
    def wakes_in_s(self) -> float | None:
        at_s = self.machine.rtc_files.wakes_at_s
        return None if at_s is None else at_s - self.clock.epoch / SECOND_NS

    async def let_go_of_drives(self) -> None:
        self.say("drives", "info")
        if self.drives_fail:
            raise DriveBusy(self.drives_fail)

    def switch_off(self, why: str) -> None:
        self.say(f"off: {why}", "info")

    def wake(self) -> None:
        self.woken += 1

    def say(self, text: str, _severity: str) -> None:
        self.told.append(text)
        self.heard.set()

    def note(self, kind: str, text: str, **facts: Any) -> None:
        assert text
        self.notes.append((kind, facts))

    async def until(self, condition: Callable[[], object], what: str = "") -> None:
        """Give the task turns (its workers are threads) until it is so."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
        except TimeoutError:
            raise AssertionError(f"never: {what}; {self.told} {self.sleeping.stay}") from None

    async def said(self, start: str) -> None:
        await self.until(lambda: any(text.startswith(start) for text in self.told), start)

    async def idle(self, seconds: float = 60) -> None:
        """Nothing happens for so long."""
        self.clock.forward(seconds)
        self.sleeping._changed.set()
        await asyncio.sleep(0)

    async def stays(self, reason: str) -> None:
        await self.until(lambda: reason in self.sleeping.stay.reason, reason)
        assert self.machine.commands == []


@contextlib.asynccontextmanager
async def rigged(*, alarm_set: bool = True, **config: Any) -> AsyncIterator[Rig]:
    rig = Rig(**config)
    task = asyncio.create_task(rig.sleeping.run())
    try:
        if alarm_set:
            await rig.said("the RTC wakes the machine at")
        yield rig
    finally:
        task.cancel()
        await asyncio.wait({task})
        rig.sleeping.close()


async def test_the_alarm_is_set_before_work_and_it_sleeps_when_it_is_idle() -> None:
    async with rigged() as rig:
        assert rig.wakes_in_s == 7080
        await rig.stays("idle for 0 s of 1 min")
        await rig.idle()
        await rig.said("awake after 1 h 57 min: woken by the RTC: wanted at ")
        assert rig.machine.commands == [SUSPEND]
        assert rig.told[1] == "drives"
        assert rig.told[2].startswith("asleep until ")
        assert [(kind, sorted(facts)) for kind, facts in rig.notes] == [
            ("slept", ["reason", "until_ns"]), ("woke", ["reason", "slept_s"])]
        assert rig.notes[1][1]["slept_s"] == 7020
        assert rig.woken == 1
        await rig.until(lambda: rig.sleeping.stay.reason == "idle for 0 s of 1 min")
        rig.next_ns = rig.clock.epoch + 600 * SECOND_NS
        await rig.idle()
        await rig.until(lambda: "less than 15 min to sleep" in rig.sleeping.stay.reason)


async def test_every_change_of_the_schedule_sets_it_anew() -> None:
    async with rigged() as rig:
        rig.next_ns = rig.clock.epoch + 5000 * SECOND_NS
        rig.sleeping.look(IDLE)
        await rig.until(lambda: rig.wakes_in_s == 4880)
        rig.clock.forward(4900)  # it passed while the box was awake: the next one is set
        rig.next_ns = rig.clock.epoch + 90_000 * SECOND_NS
        rig.sleeping.awake.lease("x", 1e9)
        rig.sleeping.look(IDLE)
        await rig.until(lambda: rig.wakes_in_s == 89_880)


async def test_a_wall_clock_that_is_set_sets_the_alarm_anew() -> None:
    """GPS has found that the box was an hour slow; the RTC, in its own time, still is."""
    async with rigged() as rig:
        rig.next_ns = rig.clock.epoch + 10_000 * SECOND_NS
        rig.sleeping.look(IDLE)
        await rig.until(lambda: rig.wakes_in_s == 9880)
        rig.clock.step_wall(3600)
        rig.machine.rtc_files.off_s = -3600
        rig.sleeping.look(IDLE)
        await rig.until(lambda: rig.wakes_in_s == 10_000 - 3600 - 120)


async def test_a_long_sleep_is_looked_into() -> None:
    async with rigged(longest_s=3600) as rig:
        rig.next_ns = rig.clock.epoch + 86_400 * SECOND_NS
        await rig.idle()
        await rig.said("awake after 1 h: ")
        await rig.until(lambda: rig.wakes_in_s == 86_400 - 60 - 3600 - 120)
        await rig.idle()
        await rig.until(lambda: len(rig.machine.commands) == 2)


@pytest.mark.parametrize("trouble", [
    {"there": False}, {"can_wake": False}, {"knows_time": False}, {"forgets": True},
    {"read_only": True}, {"off_s": 500}])
async def test_without_an_alarm_it_never_sleeps_and_says_so_once(trouble: dict[str, Any]) -> None:
    rig = Rig()
    for name, value in trouble.items():
        setattr(rig.machine.rtc_files, name, value)
    task = asyncio.create_task(rig.sleeping.run())
    try:
        await rig.said("the machine cannot be woken: ")
        for _ in range(3):
            await rig.idle(700)
            await rig.until(lambda: rig.sleeping.stay.reason == rig.sleeping.alarm.problem)
        assert rig.machine.commands == []
        assert len([t for t in rig.told if t.startswith("the machine cannot be woken")]) == 1
    finally:
        task.cancel()
        await asyncio.wait({task})
        rig.sleeping.close()


async def test_nobody_is_slept_over() -> None:
    """A lease, a recording, somebody at a terminal."""
    async with rigged(person_s=1800) as rig:
        with rig.sleeping.awake.lease("export", 600):
            await rig.idle()
            await rig.stays("held awake by export")
        await rig.stays("idle for 0 s")  # it counts from the end of the last lease
        rig.sleeping.look(replace(IDLE, recording=True))
        await rig.idle(600)
        await rig.stays("held awake by recording")
        rig.sleeping.look(IDLE)
        rig.machine.somebody = [Person("pts/0", rig.clock.epoch),
                                Person("tty1", rig.clock.epoch - 86_400 * SECOND_NS)]
        await rig.idle()
        await rig.stays("held awake by somebody at pts/0")
        rig.machine.somebody = []
        await rig.idle(1740)
        await rig.stays("idle for 0 s")
        await rig.idle()
        await rig.said("awake after")
        assert not [text for text in rig.told if "does no longer" in text]


async def test_a_hung_job_is_said_and_slept_over() -> None:
    async with rigged() as rig:
        rig.sleeping.awake.lease("job 7", 600)
        await rig.idle(599)
        await rig.stays("held awake by job 7")
        await rig.idle(1)
        await rig.said("job 7: held the box awake for 10 min, and does no longer")
        assert rig.notes == [("lease_dropped", {"who": "job 7", "held_s": 600})]
        await rig.idle()
        await rig.said("asleep until")


async def test_people_say_how_long() -> None:
    async with rigged(person_s=300) as rig:
        rig.sleeping.stay_awake(3600)
        rig.sleeping.somebody("console")
        rig.sleeping.somebody("console")
        await rig.idle(301)
        await rig.stays("held awake by stay-awake")
        rig.sleeping.stay_awake(60)
        assert [holder.name for holder in rig.sleeping.status().holders] == ["stay-awake"]
        rig.sleeping.need_not_stay_awake()
        status = rig.sleeping.status()
        assert (status.holders, status.why) == ((), "idle for 0 s of 1 min")
        assert status.wanted_ns == rig.next_ns
        assert status.alarm_ns == rig.clock.epoch + (7080 - 301) * SECOND_NS


@pytest.mark.parametrize(("what", "says"), [
    ({"fails": "`systemctl suspend` failed (1): no"}, "does not sleep: `systemctl suspend` failed"),
    ({"sleeps_for_s": 0}, "does not sleep: `systemctl suspend` did not put the machine to sleep"),
])
async def test_a_sleep_that_fails_is_said_and_tried_again_later(
        what: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sleeping, "LOOK_S", 0.0)
    async with rigged() as rig:
        for name, value in what.items():
            setattr(rig.machine, name, value)
        await rig.idle()
        await rig.said(says)
        await rig.idle(599)
        failure = says.removeprefix("does not sleep: ")
        await rig.until(lambda: rig.sleeping.stay.reason.startswith(failure))
        assert rig.notes[-1][1]["slept_s"] == 0
        assert len(rig.machine.commands) == 1
        rig.machine.fails, rig.machine.sleeps_for_s = "", None
        await rig.idle(1)
        await rig.said("awake after")


async def test_a_drive_that_cannot_be_let_go_of_keeps_it_awake() -> None:
    async with rigged() as rig:
        rig.drives_fail = "drive BEES1 is held by vim"
        await rig.idle()
        await rig.said("does not sleep: drive BEES1 is held by vim")
        assert rig.machine.commands == []


async def test_what_begins_while_it_is_asked_keeps_it_awake() -> None:
    async with rigged() as rig:
        async def begins() -> None:
            rig.sleeping.look(replace(IDLE, recording=True))

        rig.sleeping._box = replace(rig.sleeping._box, let_go_of_drives=begins)
        await rig.idle()
        await rig.stays("held awake by recording")


async def test_woken_early_and_put_to_sleep_by_others() -> None:
    async with rigged() as rig:
        rig.machine.sleeps_for_s = 1000
        await rig.idle()
        await rig.said("awake after 16 min 40 s: woken by something else, 1 h 40 min early")
        rig.sleeping.awake.lease("x", 1e9)
        rig.machine.sleep(300)
        rig.sleeping.look(IDLE)
        assert rig.told[-1] == "awake after 5 min: somebody else had put it to sleep"
        assert rig.woken == 2


async def test_by_power_off_it_ends_with_the_alarm_set() -> None:
    async with rigged(by="power_off") as rig:
        await rig.idle()
        await rig.said("off: asleep until ")
        assert rig.machine.commands == []
        assert rig.wakes_in_s == 7020


@pytest.mark.parametrize(("mode", "off", "keeps", "expected"), [
    ("between_windows", False, False, 7080), ("never", True, True, 7080),
    ("never", True, False, None), ("never", False, True, None)])
async def test_at_the_end_it_is_checked_once_more(
        mode: str, off: bool, keeps: bool, expected: float | None) -> None:
    rig = Rig()
    rig.sleeping._config = rig.config.model_copy(
        update={"mode": mode, "wake_after_power_off": keeps})
    await rig.sleeping.set_alarm_at_end(rig.next_ns, switched_off=off)
    assert rig.wakes_in_s == expected
    rig.sleeping.close()


async def test_a_window_that_begins_at_the_end_wakes_it_soon() -> None:
    rig = Rig()
    rig.next_ns = rig.clock.epoch + SECOND_NS
    await rig.sleeping.set_alarm_at_end(rig.next_ns, switched_off=True)
    assert rig.wakes_in_s == 60
    rig.next_ns = None
    await rig.sleeping.set_alarm_at_end(rig.next_ns, switched_off=True)
    rig.sleeping.close()
