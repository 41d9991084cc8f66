"""A whole box and its record: what happened is in it, at the destination too, and in the report."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fieldrec.app import DAEMON, FOLDER_ONLY, App, deployment_log
from fieldrec.app.deployment_log import DeploymentLog
from fieldrec.cli.report import report_command
from fieldrec.config import Config
from fieldrec.core import durable
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import NotFoundError, StateError, UsageError
from fieldrec.core.folder import PRIVATE_NAME
from fieldrec.core.model import Job, JobKind, JobState
from fieldrec.core.notes import Kind
from fieldrec.destinations.folder import FolderDestination
from fieldrec.jobs.logbook_copy import copy_logbooks
from fieldrec.logbook import files as files_module
from fieldrec.logbook.book import Logbook
from fieldrec.logbook.drawing import Drawing
from fieldrec.logbook.lines import Entry
from fieldrec.logbook.reading import Tally, entries_in, files_in, find
from tests.fakes.commands import fieldrec, refused
from tests.fakes.folder_config import path_of
from tests.fakes.waiting import PATIENCE_S
from tests.unit.test_logbook_book import StoodClock

CAMERA = {"backend": "synthetic", "options": {"width": 64, "height": 48, "hz": 50}}


def config_of(root: Path, **more: Any) -> Config:
    for name in ("recordings", "usb"):
        (root / name).mkdir(exist_ok=True)
    return Config.model_validate({
        "system": {"name": "pond-box", "deployment": "lobau"},
        "storage": {"directory": root / "recordings", "stop_percent": 100, "reserve_bytes": 0},
        "cameras": {"top": CAMERA}, "export": {"automatic": False}, "drives": {"enabled": False},
        "destinations": {"usb": {"path": root / "usb"}}, "power": {"source": "mains"}, **more})


def logbook(root: Path) -> Path:
    return root / "recordings" / PRIVATE_NAME / "logbook" / "lobau"


def entries(folder: Path) -> list[Entry]:
    tally = Tally()
    found = list(entries_in(folder, tally))
    assert (tally.damaged, tally.missing) == (0, 0)
    return found


def report(*arguments: object) -> str:
    """What the command prints, in this process."""
    done = CliRunner().invoke(report_command, [str(one) for one in arguments],
                              catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


async def until(app: App, condition: Callable[[], Any]) -> None:
    version = -2
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            version = (await app.board.wait_changed(version, 0.1)).version


async def recorded(app: App) -> str:
    await app.control.start("bees")
    await until(app, lambda: app.board.latest.recorders[0].frame_count >= 5)
    (name,) = await app.control.stop()
    await until(app, lambda: not app.board.latest.recording)
    return name


async def life(config: Config) -> str:
    """One run of the box: a recording, copied; the note of some part of it."""
    async with App(config, DAEMON) as app:
        name = await recorded(app)
        app.note(Kind.SLEPT, "sleeps until dawn", until_ns=5)
        await app.control.copy([name], "usb")
        copied = path_of(config, "usb") / "logbook" / "pond-box" / "lobau"
        await until(app, lambda: copied.is_dir() and any(files_in(copied)))
        return name


def test_the_life_of_a_box_is_in_its_record_at_the_destination_and_in_the_report(
        tmp_path: Path) -> None:
    config = config_of(tmp_path)
    name = asyncio.run(life(config))
    first = entries(logbook(tmp_path))
    kinds = [entry.kind for entry in first]
    assert kinds[:3] == [Kind.STARTED, Kind.VERSIONS, Kind.CONFIG] and kinds[-1] == Kind.STOPPED
    assert {Kind.RECORDING_BEGAN, Kind.RECORDING_ENDED, Kind.RECORDING, Kind.SLEPT, Kind.JOB,
            Kind.POWER} <= set(kinds)
    assert first[0].facts["previous"] == "first"
    copied = entries(tmp_path / "usb" / "logbook" / "pond-box" / "lobau")
    assert [entry.seq for entry in copied] == [entry.seq for entry in first[:len(copied)]]
    assert Kind.JOB in [entry.kind for entry in copied], "the copy itself is in the copy"

    again = asyncio.run(life(config))
    second = entries(logbook(tmp_path))[len(first):]
    assert second[0].facts["previous"] == "in order"
    assert Kind.CONFIG not in [entry.kind for entry in second], "it has not changed"
    drawing = Drawing()
    for entry in entries(logbook(tmp_path)):
        drawing.take(entry)
    record = drawing.done()
    assert [one.name for one in record.recordings] == [name, again]
    assert all(one.exact and one.uuid and one.frames for one in record.recordings[:1])
    assert record.gaps == [] and record.ends == {"first": 1, "in order": 1}

    usb = tmp_path / "usb"
    for place in (tmp_path / "recordings", usb, usb / "logbook"):
        said = report(place)
        assert said.startswith("Deployment lobau of box pond-box\n")
        assert "unexplained gaps: 0" in said
    page = tmp_path / "report.html"
    report(usb, "-o", page)
    assert page.read_text().startswith("<!doctype html>") and name in page.read_text()
    refused(fieldrec("report", usb, "-o", page), 20, "exists already", "--replace")
    report(usb, "-o", page, "--replace")
    report(usb, "--format", "csv", "-o", tmp_path / "tables")
    assert name in (tmp_path / "tables" / "recordings.csv").read_text()
    assert name in report(usb, "--format", "csv", "--from", "2020-01-01", "--to", "2100-01-01")
    assert name not in report(usb, "--format", "csv", "--to", "2020-01-01T06:00Z")
    for wrong, error, why in (
            ((usb, "--from", "soon"), UsageError, "--from soon"),
            ((usb, "--from", "2021-01-01", "--to", "2020-01-01"), UsageError, "not after"),
            ((usb, "--timezone", "Atlantis"), UsageError, "IANA"),
            ((usb, "--deployment", "x"), NotFoundError, "there is: lobau"),
            ((tmp_path / "tables",), NotFoundError, "no deployment record"),
            ((tmp_path / "nowhere",), NotFoundError, "no such folder")):
        with pytest.raises(error, match=why):
            report(*wrong)


@pytest.mark.parametrize(("boot_id", "previous"), [("", "killed"), ("other", "power cut")])
def test_a_run_without_its_last_line_was_killed_or_power_was_cut(
        tmp_path: Path, boot_id: str, previous: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(tmp_path)
    folder = logbook(tmp_path)
    book = Logbook(folder, box="pond-box", deployment="lobau", clock=StoodClock(),
                   max_bytes=1 << 20, boot_id=boot_id or None)
    book.open()
    book.note(Kind.STARTED, "the record begins", previous="first")
    book.note(Kind.POWER, "power", level="battery")
    book.close()

    async def start() -> None:
        async with App(config, DAEMON):
            pass

    asyncio.run(start())
    started = [entry for entry in entries(folder) if entry.kind == Kind.STARTED][-1]
    assert started.facts["previous"] == previous
    assert started.facts["last_ns"] == StoodClock().epoch


def test_the_record_of_a_daemon_that_recorded_nothing_is_kept(tmp_path: Path) -> None:
    async def start() -> None:
        async with App(config_of(tmp_path), DAEMON):
            pass

    asyncio.run(start())
    assert entries(logbook(tmp_path))[-1].kind == Kind.STOPPED


def test_a_command_on_a_folder_keeps_no_record_and_neither_does_a_box_that_must_not(
        tmp_path: Path) -> None:
    async def start(config: Config, parts: Any) -> None:
        async with App(config, parts) as app:
            app.note(Kind.EVENT, "nobody hears it")

    asyncio.run(start(config_of(tmp_path), FOLDER_ONLY))
    asyncio.run(start(config_of(tmp_path, logbook={"enabled": False}), DAEMON))
    assert find(tmp_path / "recordings") == []


def test_another_deployment_has_a_record_of_its_own(tmp_path: Path) -> None:
    config = config_of(tmp_path)

    async def live() -> None:
        async with App(config, DAEMON) as app:
            await app.control.start("bees")
            with pytest.raises(StateError, match="under way; stop it"):
                await app.control.begin_deployment("marsh")
            await app.control.stop()
            with pytest.raises(UsageError):
                await app.control.begin_deployment("../x")
            await app.control.begin_deployment("marsh")
            await app.control.begin_deployment("marsh")
            app.note(Kind.EVENT, "in the marsh")

    asyncio.run(live())
    lobau, marsh = (entries(logbook(tmp_path).with_name(name)) for name in ("lobau", "marsh"))
    assert lobau[-1].text == "deployment marsh begins"
    assert [entry.kind for entry in marsh[:3]] == [Kind.STARTED, Kind.VERSIONS, Kind.CONFIG]
    assert "in the marsh" in [entry.text for entry in marsh] and marsh[-1].kind == Kind.STOPPED
    folder = tmp_path / "recordings"
    done = fieldrec("deployment", "hill", "--recordings", folder)
    assert done.stdout == "deployment hill\n"
    listed = report(folder, "--list")
    assert listed.startswith("marsh  box pond-box") and "\nlobau  box pond-box" in listed


def test_the_record_travels_when_no_job_for_the_place_is_under_way_any_more(
        monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the last of them waits for something, which may take days."""
    monkeypatch.setattr(deployment_log, "SETTLE_S", 0)
    places = asyncio.Queue[str]()

    class Travelling(DeploymentLog):
        async def travel(self, name: str, destinations: object) -> None:
            places.put_nowait(name)

    async def story() -> None:
        log = Travelling(Config(), SystemClock(), kept=False, daemon=True,
                         say_from_anywhere=lambda _text, _severity: None)
        ended, other = (Job(number, JobKind.COPY, "bees", "uuid", "nas", None, False, False, state,
                            "", 0, 0, 0, 0, 0) for number, state in
                        ((1, JobState.DONE), (2, JobState.RUNNING)))
        jobs = [ended, other]
        log.job(ended)
        await log.travel_due(dict, lambda: jobs)
        assert places.empty()
        following = asyncio.create_task(log.travel_on_change(dict, lambda: jobs))
        for _ in range(5):
            await asyncio.sleep(0)  # it has looked
        jobs[1] = replace(other, state=JobState.WAITING)
        log.job(jobs[1])
        assert await asyncio.wait_for(places.get(), PATIENCE_S) == "nas"
        following.cancel()
        await asyncio.wait({following})

    asyncio.run(story())


def test_a_dead_disk_of_the_record_stops_no_recording(tmp_path: Path) -> None:
    config = config_of(tmp_path)

    def dead(step: str, path: Path) -> None:
        if "logbook" in str(path):
            raise OSError(5, os.strerror(5), str(path))

    async def live() -> None:
        durable.set_hook(dead)
        async with App(config, DAEMON) as app:
            name = await recorded(app)
            await until(app, lambda: any("deployment record cannot be written" in event.text
                                         for event in app.events.latest()))
            (one,) = await app.recordings()
            assert one.name == name and one.frame_count >= 5

    try:
        asyncio.run(live())
    finally:
        durable.set_hook(None)


# -- copies ------------------------------------------------------------------------------------


def filled(folder: Path, count: int = 400) -> None:
    files = files_module.Files(folder, box="box", deployment="pond", max_bytes=1 << 20)
    files.open()
    files.take(Entry(0, 10**18 + n, n, "b", Kind.EVENT, "x" * 1000) for n in range(count))
    files.write()
    files.sync()
    files.close()


def test_a_copy_brings_what_is_new_and_removes_nothing(tmp_path: Path) -> None:
    source, there = tmp_path / "logbook", tmp_path / "usb"
    there.mkdir()
    filled(source / "pond")
    place = FolderDestination("usb", there)
    written = copy_logbooks(source, "box", place)
    assert written == len(list((source / "pond").iterdir())) >= 3
    assert copy_logbooks(source, "box", place) == 0, "what is there in full is left"
    filled(source / "pond", 20)
    assert 1 <= copy_logbooks(source, "box", place) <= 2
    (files,) = files_in(source / "pond").values()
    files[1].unlink()  # rotated away here
    assert copy_logbooks(source, "box", place) == 0
    place.close()
    copied = entries(there / "logbook" / "box" / "pond")
    assert len(copied) == 420


def test_a_line_under_way_stays_behind_and_a_damaged_copy_is_mended(tmp_path: Path) -> None:
    source, there = tmp_path / "logbook", tmp_path / "usb"
    there.mkdir()
    filled(source / "pond", 10)
    ((path,),) = files_in(source / "pond").values()
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"seq":11,"half')
    place = FolderDestination("usb", there)
    copy_logbooks(source, "box", place)
    copy = there / "logbook" / "box" / "pond" / path.name
    assert copy.read_bytes() == whole
    copy.write_bytes(whole[:100] + b"?" + whole[101:])
    assert copy_logbooks(source, "box", place) == 1
    assert copy.read_bytes() == whole
    place.close()
