"""The schedule at work: recordings begun, joined, tried again and ended; lives and clocks."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fieldrec.camera.parameters import Parameter
from fieldrec.core.errors import CameraError, StoreFull
from tests.fakes.schedule_box import ScheduleBox
from tests.fakes.schedules import at

pytestmark = pytest.mark.asyncio


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory: a simulated month writes thousands of times that the box is awake."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="fieldrec-test-", dir=memory) as name:
        yield Path(name)

NIGHT = {"night": {"do": "start", "when": "from 20:00 to 06:00", "preset": "Medium",
                   "metadata": {"lamp": "infrared"}}}
NOON = {"noon": {"do": "start", "when": "0 12 * * *", "duration": "10min", "cameras": ["top"],
                 "name": "bees"}}
EARLY = {"early": {"do": "start", "when": "from 05:00 to 08:00", "cameras": ["side"]}}
MINUTE_NS = 60_000_000_000


def starts_and_stops(box: ScheduleBox) -> list[tuple[Any, ...]]:
    return [call for call in box.control.calls if call[0] in ("begin", "stop")]


# --- recordings -----------------------------------------------------------------------------------


async def test_a_window_is_recorded_from_its_beginning_to_its_end(folder: Path) -> None:
    box = ScheduleBox(folder, "2026-11-21 12:30", NIGHT | NOON)
    async with box.runs() as schedule:
        assert schedule.next_start_ns == at("2026-11-21 20:00")
        assert (schedule.status().next_task, schedule.status().next_at) == ("night", "20:00")
        await box.passes(8)
        assert schedule.windows_running == ("night",)
        assert schedule.next_start_ns == at("2026-11-22 12:00")
        assert schedule.status().running == (("night", at("2026-11-22 06:00")),)
        await box.passes(16)
    (night, noon) = box.control.asked
    assert (night.name, night.cameras, night.duration_s, night.by_schedule) == (
        "night", None, None, True)
    assert night.metadata == {"lamp": "infrared", "schedule_task": "night",
                              "export_preset": "Medium"}
    assert (noon.name, noon.cameras) == ("bees", ("top",))
    assert starts_and_stops(box) == [
        ("begin", "night"), ("stop", "schedule: night: its time is over"), ("begin", "bees"),
        ("stop", "schedule: noon: its time is over")]
    assert [(facts["task"], facts["begins_ns"], facts["ends_ns"])
            for kind, facts in box.noted if kind == "window"] == [
        ("night", at("2026-11-21 20:00"), at("2026-11-22 06:00")),
        ("noon", at("2026-11-22 12:00"), at("2026-11-22 12:10"))]
    assert box.missed() == []


async def test_a_second_task_joins_and_the_recording_goes_on_to_the_last_end(folder: Path
                                                                             ) -> None:
    box = ScheduleBox(folder, "2026-11-22 03:59",
                      EARLY | {"dawn": {"do": "start", "when": "from 04:00 to 07:00",
                                        "cameras": ["top"]}})
    async with box.runs():
        await box.passes(1.5)
        assert box.session.joined[-1] == ("top", "side")
        await box.passes(2)
        assert box.session.recording
        await box.passes(1)
    assert starts_and_stops(box) == [("begin", "dawn"),
                                     ("stop", "schedule: early: its time is over")]
    assert "schedule: early until 08:00, joins dawn" in box.said


async def test_a_configured_duration_does_not_cut_a_window(folder: Path) -> None:
    box = ScheduleBox(folder, "2026-11-21 21:00", NIGHT)
    box.config = box.config.model_copy(update={
        "record": box.config.record.model_copy(update={"duration_s": 600.0})})
    async with box.runs():
        (asked,) = box.control.asked
        assert asked.duration_s is not None
        assert asked.duration_s > 86_400


async def test_what_the_operator_stops_stays_ended_until_the_next_window(folder: Path) -> None:
    box = ScheduleBox(folder, "2026-11-21 21:00", NIGHT)
    async with box.runs():
        await box.control.stop()
        await box.passes(8)
        assert box.missed() == [("night", at("2026-11-21 21:00"), at("2026-11-22 06:00"),
                                 "stopped by hand")]
    async with box.runs():
        await box.passes(0.5)
        assert starts_and_stops(box) == [("begin", "night"), ("stop", "stopped")]
        await box.passes(16)
        assert starts_and_stops(box)[2:] == [("begin", "night")]


async def test_the_operators_own_recording_is_left_alone(folder: Path) -> None:
    box = ScheduleBox(folder, "2026-11-21 19:00", NIGHT)
    async with box.runs():
        box.session.recording_since_ns = 5
        await box.passes(12)
        assert box.control.calls == []
        assert sum("begun by hand" in text for text in box.said) == 1
        await box.passes(14)
        box.session.recording_since_ns = None  # it ends by itself, in the next night
        await box.wake()
        assert box.control.calls == [("begin", "night")]


async def test_a_stop_task_ends_what_the_schedule_records_and_nothing_else(folder: Path
                                                                           ) -> None:
    box = ScheduleBox(folder, "2026-11-21 21:00",
                      NIGHT | {"enough": {"do": "stop", "when": "0 23 * * *"}})
    async with box.runs():
        await box.passes(8)
        assert starts_and_stops(box) == [("begin", "night"), ("stop", "schedule: no window runs")]
        box.session.recording_since_ns = 5
        await box.passes(24)
        assert box.session.recording_since_ns == 5
    assert box.missed()[0] == ("night", at("2026-11-21 23:00"), at("2026-11-22 06:00"),
                               "ended by the task enough")


# --- what cannot be recorded ----------------------------------------------------------------------


async def test_a_start_that_fails_is_tried_again_and_what_is_missing_noted(folder: Path
                                                                           ) -> None:
    box = ScheduleBox(folder, "2026-11-21 19:59", NIGHT)
    box.control.refuses = CameraError("no camera is ready: top is failed")
    async with box.runs():
        await box.passes(1)
        tries = box.control.calls.count(("refused",))
        assert 55 < tries < 70  # once a minute in the end
        assert sum("is not recorded" in text for text in box.said) == 1
        box.control.refuses = StoreFull("disk 94.1 % full")
        await box.passes(0.5)
        box.control.refuses = None
        box.clock.forward(6)
        await box.wake()  # the disk has room: not only at the next try
        assert box.session.recording
    first, second = box.missed()
    assert first[0] == second[0] == "night"
    assert first[3] == "no camera is ready: top is failed"
    assert second[3] == "disk 94.1 % full"
    assert first[1] == at("2026-11-21 20:00")
    assert first[2] == second[1]


async def test_changes_do_not_make_it_try_without_end(folder: Path) -> None:
    box = ScheduleBox(folder, "2026-11-21 21:00", NIGHT)
    box.control.refuses = CameraError("top does not record")
    async with box.runs():
        for _ in range(50):
            await box.wake()
        assert box.control.calls == [("refused",)]


async def test_a_recording_that_power_or_disk_ended_is_begun_anew(folder: Path) -> None:
    box = ScheduleBox(folder, "2026-11-21 21:00", NIGHT)
    async with box.runs():
        await box.passes(0.1)
        box.session.recording_since_ns = None
        box.session.stop_reason = "battery critical"
        box.control.refuses = CameraError("recording refused: battery critical: 9 %")
        await box.wake()
        assert box.held_back_forgotten == 1
        await box.passes(0.5)
        box.control.refuses = None
        await box.passes(0.1)
        assert box.control.calls.count(("begin", "night")) == 2
        assert {cause for *_, cause in box.missed()} == {
            "recording refused: battery critical: 9 %"}
        await box.passes(10)
    assert starts_and_stops(box)[-1] == ("stop", "schedule: night: its time is over")


async def test_a_recording_that_is_over_at_once_is_not_begun_without_end(folder: Path) -> None:
    box = ScheduleBox(folder, "2026-11-21 21:00", NIGHT)
    async with box.runs():
        for _ in range(50):
            box.session.recording_since_ns = None
            await box.wake()
        assert box.control.calls == [("begin", "night")]
        await box.passes(6 / 3600)
        assert box.control.calls == [("begin", "night")] * 2


async def test_what_fails_until_the_end_is_noted_up_to_the_end(folder: Path) -> None:
    box = ScheduleBox(folder, "2026-11-21 19:59", NIGHT)
    box.control.refuses = CameraError("top is away")
    async with box.runs():
        await box.passes(12)
    assert [(begins, ends) for _, begins, ends, _ in box.missed()] == [
        (at("2026-11-21 20:00"), at("2026-11-22 06:00"))]


# --- lives ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("reason", "cause"), [
    ("battery critical: 9 %", "battery critical: 9 %"),
    ("fieldrec stopped", "fieldrec was stopped"),
    (None, "fieldrec was killed, or power was cut")])
async def test_what_was_missed_while_the_box_was_off(folder: Path, reason: str | None,
                                                     cause: str) -> None:
    box = ScheduleBox(folder, "2026-11-20 12:30", NIGHT)
    async with box.runs(reason):
        await box.passes(1)
    box.off(34)
    async with box.runs():
        assert box.missed() == [
            ("night", at("2026-11-20 20:00"), at("2026-11-21 06:00"), cause),
            ("night", at("2026-11-21 20:00"), at("2026-11-21 23:30"), cause)]
        assert box.control.calls == [("begin", "night")]
        assert "schedule: night until 06:00, 3 h 30 min late" in [
            text.replace("Sun ", "") for text in box.said]


async def test_skip_does_not_enter_a_window_late_but_goes_on_in_one_it_was_in(folder: Path
                                                                              ) -> None:
    box = ScheduleBox(folder, "2026-11-20 12:30", NIGHT, late="skip")
    async with box.runs():
        pass
    box.off(10)
    async with box.runs():
        assert box.control.calls == []
        assert box.missed()[-1][3] == "it ran already when fieldrec began (schedule.late: skip)"
        await box.passes(24)
        assert box.control.calls == [("begin", "night")]
    box.off(0.1)
    async with box.runs():
        assert box.control.calls == [("begin", "night")] * 2


async def test_the_box_writes_now_and_then_that_it_is_awake(folder: Path) -> None:
    box = ScheduleBox(folder, "2026-11-21 07:00", NIGHT)
    async with box.runs(None):
        await box.passes(5.99)
    assert at("2026-11-21 12:49") < json.loads(
        (folder / "schedule-memory.json").read_text())["at_ns"] <= at("2026-11-21 13:00")


@pytest.mark.parametrize("name", ["schedule.json", "schedule-memory.json"])
@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"{", b"[1]", b'{"version": 7}',
                                     b'{"version": 1, "tasks": 5, "off": 1}', b"[" * 100_000])
async def test_a_damaged_file_is_one_event_and_the_configuration_runs(
        folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    box = ScheduleBox(folder, "2026-11-21 21:00", NIGHT)
    async with box.runs():
        assert box.control.calls == [("begin", "night")]
        assert [text for text in box.said if "set aside" in text] == [
            text for text in box.said if name in text]
        assert len([text for text in box.said if name in text]) == 1
    assert (folder / f"{name}.damaged").read_bytes() == content


async def test_a_disk_that_refuses_is_said_once_and_recording_goes_on(folder: Path) -> None:
    gone = folder / "gone"
    box = ScheduleBox(gone, "2026-11-21 21:00", NIGHT)
    async with box.runs():
        await box.passes(5)
        assert box.control.calls == [("begin", "night")]
        assert sum("cannot write down" in text for text in box.said) == 1


async def test_added_tasks_outlive_restarts_and_those_that_cannot_be_are_kept(folder: Path
                                                                              ) -> None:
    box = ScheduleBox(folder, "2026-11-21 11:59", {})
    async with box.runs() as schedule:
        schedule.table.add("noon", NOON["noon"])
        schedule.table.add("gone", {"do": "configure", "when": "0 1 * * *", "camera": "side",
                                    "values": {"Gain": 2}})
        schedule.table.switch("gone", False)
        await schedule.write_tasks()
        schedule.tasks_changed()
        await box.settled()
        await box.passes(0.1)
        assert box.control.calls == [("begin", "bees")]
    cameras = {"top": box.config.cameras["top"]}
    with_both, box.config = box.config, box.config.model_copy(update={"cameras": cameras})
    async with box.runs() as schedule:
        assert [entry.task.name for entry in schedule.table.entries] == ["noon"]
        assert any("no camera 'side'" in text for text in box.said)
        await schedule.write_tasks()
    box.config = with_both
    async with box.runs() as schedule:
        assert {entry.task.name: entry.off for entry in schedule.table.entries} == {
            "noon": False, "gone": True}


async def test_a_task_that_is_taken_away_stops_recording(folder: Path) -> None:
    box = ScheduleBox(folder, "2026-11-21 21:00", NIGHT)
    async with box.runs() as schedule:
        schedule.table.switch("night", False)
        schedule.tasks_changed()
        await box.settled()
        assert starts_and_stops(box)[-1] == ("stop", "schedule: no window runs")
        assert box.missed() == [("night", at("2026-11-21 21:00"), at("2026-11-22 06:00"),
                                 "the task was taken away, or switched off")]
        schedule.table.switch("night", True)
        schedule.tasks_changed()
        await box.settled()
        assert starts_and_stops(box)[-1] == ("begin", "night")


# --- the clock ------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["record_always", "wait"])
async def test_a_clock_that_was_never_set(folder: Path, policy: str) -> None:
    box = ScheduleBox(folder, "2026-11-20 12:00", NIGHT, without_clock=policy)
    async with box.runs(None):
        pass
    box.clock.epoch = at("1970-01-01 00:01")
    always = policy == "record_always"
    async with box.runs() as schedule:
        assert schedule.status().clock_problem.startswith("it shows 1970-01-01 00:01")
        assert (schedule.next_start_ns, schedule.next_moment_ns) == (None, None)
        assert box.control.calls == [("begin", None)] * always
        await box.passes(3)
        await box.set_clock("2026-11-20 21:00")
        # what is recorded goes on, without losing a frame, as the window's recording
        assert box.control.calls == [("begin", None if always else "night")]
        assert schedule.status().clock_problem == ""
        await box.passes(10)
        assert starts_and_stops(box)[1:] == [("stop", "schedule: night: its time is over")]
    (missed,) = box.missed()
    assert missed == ("night", at("2026-11-20 20:00"), at("2026-11-20 21:00"), missed[3])
    assert "killed" in missed[3]


async def test_windows_that_never_occur_are_said_at_the_start(folder: Path) -> None:
    box = ScheduleBox(folder, "2026-11-21 12:00", NIGHT | {
        "past": {"do": "start", "when": "from 6:00 to 7:00 2020-05-01"}})
    async with box.runs():
        assert box.said == ["schedule: past is never due, as far as can be seen: "
                            "from 6:00 to 7:00 2020-05-01"]


async def test_a_clock_that_becomes_right_outside_of_windows_ends_what_was_recorded(
        folder: Path) -> None:
    box = ScheduleBox(folder, "1970-01-01 00:01", NIGHT)
    async with box.runs():
        await box.passes(1)
        await box.set_clock("2026-11-20 12:00")
        assert starts_and_stops(box) == [("begin", None), ("stop", "schedule: no window runs")]


async def test_without_tasks_that_record_nothing_is_recorded_without_a_clock(folder: Path
                                                                             ) -> None:
    box = ScheduleBox(folder, "1970-01-01 00:01",
                      {"x": {"do": "export_all", "when": "0 1 * * *"}})
    async with box.runs():
        await box.passes(30)
        assert box.control.calls == []


async def test_the_operator_may_stop_what_is_recorded_without_a_clock(folder: Path) -> None:
    box = ScheduleBox(folder, "1970-01-01 00:01", NIGHT)
    async with box.runs():
        await box.control.stop()
        await box.passes(5)
        assert starts_and_stops(box) == [("begin", None), ("stop", "stopped")]


@pytest.mark.parametrize(("synchronised", "wrong"), [(False, True), (True, False)])
async def test_a_clock_behind_the_last_sign_of_life(folder: Path, synchronised: bool,
                                                    wrong: bool) -> None:
    box = ScheduleBox(folder, "2026-12-20 12:00", NIGHT)
    async with box.runs():
        pass
    box.clock.epoch = at("2026-11-25 12:00")
    box.synchronised = synchronised
    async with box.runs() as schedule:
        assert bool(schedule.status().clock_problem) is wrong
        await box.set_clock("2026-11-25 15:00")  # a person sets it: believed
        assert schedule.status().clock_problem == ""


async def test_a_window_goes_on_when_the_clock_goes_wrong_in_it(folder: Path) -> None:
    box = ScheduleBox(folder, "2026-11-21 21:00", NIGHT, without_clock="wait")
    async with box.runs():
        await box.set_clock("1970-01-01 00:00")
        await box.passes(8.9)
        assert starts_and_stops(box) == [("begin", "night")]
        await box.passes(0.3)
        assert starts_and_stops(box)[1:] == [("stop", "schedule: night: its time is over")]


# --- other tasks ----------------------------------------------------------------------------------


async def test_tasks_that_do_not_record(folder: Path) -> None:
    output = Parameter("UserOutputSelector", "UserOutput1", choices=("UserOutput1", "UserOutput2"))
    box = ScheduleBox(folder, "2026-11-21 11:59", {
        "a": {"do": "copy_all", "when": "0 12 * * *", "destination": "drive:BEES1"},
        "b": {"do": "copy_all", "when": "1 12 * * *", "destination": "archive",
              "delete_after": True},
        "c": {"do": "export_all", "when": "2 12 * * *", "preset": "Low", "delete_after": True},
        "d": {"do": "configure", "when": "3 12 * * *", "camera": "top", "values": {"Gain": 2}},
        "e": {"do": "output", "when": "4 12 * * *", "output": "UserOutput2", "value": True,
              "camera": "top"},
        "f": {"do": "output", "when": "5 12 * * *", "output": "Lamp", "value": True}})
    box.control.parameters = {
        "top": (output, Parameter("UserOutputValue", False)),
        "side": (Parameter("Lamp", False), Parameter("Gain", 1.0))}
    async with box.runs():
        await box.passes(0.2)
    assert box.control.calls == [
        ("copy", None, "BEES1"), ("move", None, "archive"), ("export", None, "Low", True),
        ("configure", "top", {"Gain": 2}),
        ("configure", "top", {"UserOutputSelector": "UserOutput2", "UserOutputValue": True})]
    assert "schedule: a: copy all to drive:BEES1: 2 jobs" in box.said
    (refused,) = [text for text in box.said if "schedule: f" in text]
    assert "camera top has no output 'Lamp'" in refused
    assert "UserOutput1, UserOutput2" in refused


async def test_tasks_relative_to_the_recording_whatever_the_clock_does(folder: Path) -> None:
    box = ScheduleBox(folder, "2026-11-21 12:00", {
        "tick": {"do": "configure", "when": "0 5 * ? * *", "camera_relative": True,
                 "values": {"Gain": 2}}})
    async with box.runs():
        await box.passes(2)
        assert box.control.calls == []
        box.session.recording_since_ns = box.clock.epoch
        await box.wake()
        await box.passes(4 / 60)
        await box.set_clock("2026-11-20 03:33")
        assert box.control.calls == []
        await box.passes(1.1 / 60)
        assert len(box.control.calls) == 1
        await box.passes(0.99)
        assert len(box.control.calls) == 1
        await box.passes(0.02)
        assert len(box.control.calls) == 2


# --- anything, in any order -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_windows_are_recorded_and_nobody_elses_recording_is_ended(
        folder: Path, seed: int) -> None:
    """Failures, operators, jumps and restarts, three days of them."""
    random_ = random.Random(seed)
    box = ScheduleBox(folder, "2026-11-21 12:00", NIGHT | {
        "clip": {"do": "start", "when": "*/20 * * * *", "duration": "5min"}})
    for _ in range(6):
        async with box.runs(random_.choice(("fieldrec stopped", None))) as schedule:
            for _ in range(12):
                await _anything(random_, box)
                await box.passes(70 / 3600)  # the longest pause between two tries is over
                wanted, refused = schedule.windows_running, box.control.refuses is not None
                by_hand = box.session.recording_since_ns == BY_HAND
                assert not box.session.recording or by_hand or wanted
                assert box.session.recording or refused or not wanted
        box.off(random_.choice((0.001, 1, 9)))
    assert all(whose != BY_HAND for reason, whose in box.control.ended
               if reason.startswith("schedule"))


BY_HAND = 5
"""Beginning of a recording that a person began."""


async def _anything(random_: random.Random, box: ScheduleBox) -> None:
    match random_.randrange(6):
        case 0:
            box.control.refuses = random_.choice((None, CameraError("away"), StoreFull("full")))
        case 1:
            await box.control.stop("stopped by a person")
        case 2 if not box.session.recording:
            box.session.recording_since_ns = BY_HAND
        case 3 if box.session.recording_since_ns != BY_HAND:
            box.session.recording_since_ns = None  # a disk, a battery
        case 4:
            box.clock.step_wall(random_.choice((-7200, -60, 60, 7200)))
    await box.wake()
    await box.passes(random_.choice((0.001, 0.1, 1.0)))
