"""What would happen, in order, and what it comes to; calendar and rows that it is drawn from."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from fieldrec.app.foresight import left_bytes, rate_of, with_forecast
from fieldrec.config import Config, StorageConfig
from fieldrec.core.model import Recording, RecordingState
from fieldrec.core.snapshot import FolderStatus, StorageStatus
from fieldrec.jobs.forecast import Battery, Disk, Figure
from fieldrec.schedule.calendar import SECOND_NS, Calendar, moment, nanoseconds
from fieldrec.schedule.memory import Entered
from fieldrec.schedule.rows import NEVER, NO_PLACE, local, rows
from fieldrec.schedule.simulate import Simulated, recorded_seconds, simulate
from fieldrec.schedule.table import Table
from tests.fakes.schedules import at, calendar

HOUR_NS = 3600 * SECOND_NS
NIGHT = {"night": {"do": "start", "when": "from 20:00 to 06:00"}}
EARLY = {"early": {"do": "start", "when": "from 05:00 to 08:00"}}
NOON = {"noon": {"do": "start", "when": "0 12 * * *", "duration": "10min"}}


def course(tasks: dict[str, Any], since: str = "2026-11-21 12:00", hours: float = 24
           ) -> tuple[list[str], Simulated]:
    """"HH:MM task text" of each, and all of it."""
    begin_ns = at(since)
    found = simulate(calendar(tasks), begin_ns, begin_ns + int(hours * HOUR_NS))
    return [f"{moment(one.at_ns):%H:%M} {one.task} {one.text}" for one in found.happenings], found


def test_a_day_in_order() -> None:
    lines, found = course(NIGHT | EARLY | NOON | {
        "offload": {"do": "copy_all", "when": "30 6 * * *", "destination": "archive"},
        "encode": {"do": "export_all", "when": "0 21 * * *"}})
    assert lines == [
        "12:00 noon begins: record 10 min as noon", "12:10 noon ends",
        "20:00 night begins: record as night",
        "21:00 encode export all (exports wait while something is recorded)",
        "05:00 early joins the recording of night (record as early)",
        "06:00 night is over; early goes on", "06:30 offload copy all to archive",
        "08:00 early ends"]
    assert recorded_seconds(found.recorded) == 12 * 3600 + 600
    assert found.remarks == ("early and night overlap: early joins the recording, which goes on "
                             "until the last of them ends",)


def test_stop_ends_what_runs_until_the_next_window() -> None:
    lines, found = course(NIGHT | {"stop": {"do": "stop", "when": "0 23 * * *"}}, hours=36)
    assert lines == ["20:00 night begins: record as night", "23:00 stop ends night",
                     "20:00 night begins: record as night", "23:00 stop ends night"]
    assert recorded_seconds(found.recorded) == 6 * 3600


def test_what_is_relative_to_a_recording_counts_from_its_beginning() -> None:
    lines, _ = course(NIGHT | {"flash": {
        "do": "configure", "when": "0 0 */4 ? * *", "camera_relative": True,
        "values": {"Gain": 1}}})
    assert [line[:11] for line in lines] == ["20:00 night", "20:00 flash", "00:00 flash",
                                             "04:00 flash", "06:00 night"]


def test_overlapping_windows_of_one_task_go_on() -> None:
    lines, found = course({"clip": {"do": "start", "when": "*/30 * * * *", "duration": "40min"}},
                          hours=1.5)
    assert lines[2:] == ["12:30 clip goes on: its next window begins",
                         "13:00 clip goes on: its next window begins"]
    assert recorded_seconds(found.recorded) == 1.5 * 3600


@pytest.mark.parametrize(("tasks", "says"), [
    ({"leap": {"do": "start", "when": "0 0 29 2 *", "duration": 60}},
     "leap: never due in this time (0 0 29 2 *)"),
    ({"past": {"do": "start", "when": "from 6:00 to 7:00 2020-05-01"}},
     "past: never due in this time (from 6:00 to 7:00 2020-05-01)")])
def test_windows_that_never_occur_are_said(tasks: dict[str, Any], says: str) -> None:
    lines, found = course(tasks)
    assert lines == []
    assert says in found.remarks


def test_more_than_anybody_reads_is_left_out_and_said() -> None:
    lines, found = course({"tick": {"do": "export_all", "when": "* * * * * *"}})
    assert len(lines) == 2000
    assert "name a shorter span" in found.remarks[-1]


def test_without_a_place_the_sun_waits() -> None:
    tasks = {"dark": {"do": "start", "when": "from dusk to dawn"}}
    found = simulate(calendar(tasks, place=None), at("2026-11-21"), at("2026-11-22"))
    assert found.happenings == ()
    assert found.remarks == ("dark: needs a place, and none is known yet",)


# --- what it comes to -----------------------------------------------------------------------------


def test_the_forecast_tells_disk_and_battery() -> None:
    _, found = course(NIGHT)
    rate = Figure(0.9e9, 1e9, 1.1e9, "mean of 3 recordings with top")
    battery = Battery(100_000, Figure(900, 1000, 1100, "idling"), Figure(4500, 5000, 5500, "rec"))
    told = with_forecast(found, ZoneInfo("UTC"), Disk(100_000_000_000, rate), battery)
    assert told.forecast == (
        "recorded: 10 h in 1 recording",
        "disk: 90.0 GB left (89.0 GB to 91.0 GB); mean of 3 recordings with top",
        "battery, if nothing charges it: 26.0 Wh left (18.6 Wh to 33.4 Wh); rec; idling")
    tight = with_forecast(found, ZoneInfo("UTC"), Disk(5_000_000_000, rate), None)
    assert tight.forecast[1].startswith("disk: full Sun 01:00, at the earliest Sun 00:32:43")
    assert with_forecast(found, ZoneInfo("UTC"), None, None).forecast[1] == \
        "disk: no forecast, nothing has been recorded here yet"


def test_the_rate_is_that_of_all_cameras_together() -> None:
    def recording(serial: str, seconds: int, size: int, *, has_raw: bool = True) -> Recording:
        return Recording("a", "u", serial, Path("/r"), RecordingState.COMPLETE, None, 3, 0,
                         seconds * SECOND_NS, 0, 0, size, "", "UTC", has_raw=has_raw)

    assert rate_of([]) is None
    assert rate_of([recording("top", 0, 5)]) is None
    found = rate_of([recording("top", 3600, 1000), recording("top", 3600, 3000),
                     recording("side", 1800, 100), recording("side", 9, 9**9, has_raw=False)])
    assert found is not None
    assert (found.likely, found.origin) == (2200, "mean of 3 recordings with side, top")


def test_what_is_left_ends_where_recording_must_stop() -> None:
    limits = StorageConfig(stop_percent=90, reserve_bytes=5)
    assert left_bytes(StorageStatus(1000, 300), limits) == 200
    folders = (FolderStatus("a", total_bytes=1000, free_bytes=300),
               FolderStatus("b", problem="away", total_bytes=1000, free_bytes=1000),
               FolderStatus("c", total_bytes=10, free_bytes=9))
    assert left_bytes(StorageStatus(1000, 300, folders=folders), limits) == 204


# --- the calendar, and rows -----------------------------------------------------------------------


def test_the_calendar_tells_what_comes_next() -> None:
    found = calendar(NIGHT | NOON | {"leap": {"do": "stop", "when": "0 0 29 2 *"}}, "Europe/Vienna")
    now = at("2026-11-21 12:05", "Europe/Vienna")
    window = found.next_window(now)
    assert window is not None
    assert (window.task, window.begins_ns) == ("night", at("2026-11-21 20:00", "Europe/Vienna"))
    assert [one.task for one in found.running(now)] == ["noon"]
    assert found.next_change(now) == window.begins_ns
    leap = found.task("leap")
    assert leap is not None
    assert found.next_fire(leap, now) == at("2028-02-29", "Europe/Vienna")
    assert found.last_fire(leap, at("2020-01-01"), now) == at("2024-02-29", "Europe/Vienna")
    assert found.last_fire(leap, at("2025-01-01"), now) is None


@pytest.mark.parametrize("wall_ns", [-10**18, 0, 2**62, 2**80])
def test_any_wall_clock_can_be_asked(wall_ns: int) -> None:
    found = calendar(NIGHT | {"dark": {"do": "start", "when": "from dusk to dawn"}} | NOON)
    found.running(wall_ns)
    found.next_change(wall_ns)
    assert nanoseconds(moment(12_345_678_000)) == 12_345_678_000


def test_rows_say_what_is_special() -> None:
    config = Config.model_validate({"schedule": {"location": "gpsd", "tasks": {
        **NIGHT, "dark": {"do": "start", "when": "from dusk to dawn"},
        "past": {"do": "start", "when": "0 0 0 1 1 * 2020", "duration": 5},
        "later": {"do": "stop", "when": "0 1 * * *", "enabled": False},
        "tick": {"do": "configure", "when": "0 5 * * *", "camera_relative": True,
                 "values": {"Gain": 1}}}}})
    table = Table(config)
    table.add("ended", NIGHT["night"])
    now = at("2026-11-21 21:00")
    begins, ends = at("2026-11-21 20:00"), at("2026-11-22 06:00")
    entered = [Entered("night", begins, ends, False), Entered("ended", begins, ends, False, True)]
    found = {row.name: row for row in rows(
        table, Calendar(table.active, ZoneInfo("UTC"), None), now, entered)}
    assert {name: row.note for name, row in found.items()} == {
        "night": "", "dark": NO_PLACE, "past": NEVER, "later": "not enabled",
        "tick": "after recording start", "ended": "nothing more until the next window"}
    assert (found["night"].running_until_ns, found["night"].next_ns) == (
        ends, at("2026-11-22 20:00"))
    assert found["ended"].running_until_ns is None


@pytest.mark.parametrize(("when", "text"), [
    ("2026-11-21 20:14", "20:14"), ("2026-11-21 20:14:05", "20:14:05"),
    ("2026-11-23 20:14", "Mon 20:14"), ("2026-12-24 20:14", "2026-12-24 20:14")])
def test_local_times(when: str, text: str) -> None:
    zone = "America/New_York"
    assert local(at(when, zone), ZoneInfo(zone), at("2026-11-21 01:00", zone)) == text
    assert local(at(when, zone), ZoneInfo(zone)).startswith(when[:16])
