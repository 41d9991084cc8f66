"""Energy and heat as the box follows them: recordings, jobs and power, with meters of the test."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from fieldrec.app import DAEMON, App
from fieldrec.app.books import Books
from fieldrec.app.energy_watch import EnergyWatch
from fieldrec.app.resources import charge_mwh
from fieldrec.app.temperature_watch import TemperatureWatch
from fieldrec.config import Config
from fieldrec.core.model import CameraState, Job, JobKind, JobState, PowerLevel, PowerState
from fieldrec.core.snapshot import RecorderStatus
from fieldrec.jobs.book_rows import BOOKS_NAME, look
from tests.fakes.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio
J = JobState
BATTERY = PowerState(PowerLevel.BATTERY, charge_percent=80.0, power_mw=6000)
LEFT = RecorderStatus("left", "1", CameraState.RECORDING, recording="a")


class Meters:
    """Clock and processor time in the test's hand."""

    def __init__(self) -> None:
        self.now_s, self.daemon, self.children, self.written = 0.0, 0.0, 0.0, 0
        self.power = BATTERY

    def monotonic_ns(self) -> int:
        return int(self.now_s * 1e9)

    def epoch_ns(self) -> int:
        return 10**18 + self.monotonic_ns()

    def daemon_s(self) -> float:
        return self.daemon

    def job_threads_s(self) -> float:
        return 0.0

    def children_s(self) -> float:
        return self.children

    def go_on(self, seconds: float, **more: Any) -> None:
        self.now_s += seconds
        for name, amount in more.items():
            setattr(self, name, getattr(self, name) + amount)


class Watched:
    def __init__(self, root: Path) -> None:
        self.meters = Meters()
        self.books = Books(root, lambda _text, _severity: None)
        self.used: list[tuple[int, float, float | None]] = []
        self.watch = EnergyWatch(
            self.books, self.meters, power=lambda: self.meters.power,
            written_bytes=lambda: self.meters.written,
            note_used=lambda *what: self.used.append(what),
            cpu=self.meters)  # type: ignore[arg-type]


def job(state: JobState, **more: Any) -> Job:
    made = Job(5, JobKind.EXPORT, "a", "u", None, "High", False, False, state, "", 0, 0, 7, 0, 0)
    return dataclasses.replace(made, **more)


async def test_a_recording_by_its_cameras(tmp_path: Path) -> None:
    box = Watched(tmp_path)
    await box.books.open()
    box.watch.look([LEFT], recording=True)
    box.meters.go_on(60, daemon=12.0, written=600)
    right = dataclasses.replace(LEFT, key="right")
    box.watch.look([LEFT, right], recording=True)  # another set from here on
    box.meters.go_on(60, daemon=24.0, written=1200)
    box.watch.look([LEFT, right], recording=True)
    box.watch.look([LEFT, right], recording=False)
    assert [(one.label, one.seconds, one.cpu_s, one.size_bytes)
            for one in box.books.energy.entries] == [
        ("left", 60, 12, 600), ("left+right", 60, 24, 1200)]
    assert sum(one.mwh for one in box.books.energy.entries) == pytest.approx(200)
    await box.books.close()
    assert len(look(tmp_path / BOOKS_NAME).entries) == 2


async def test_a_job_over_its_states(tmp_path: Path) -> None:
    box = Watched(tmp_path)
    box.watch.job_changed(job(J.QUEUED))
    for state in (J.RUNNING, J.VERIFYING):
        box.watch.job_changed(job(state))
        box.meters.go_on(30, children=60.0)
    box.watch.job_changed(job(J.WAITING))
    box.meters.go_on(30, children=500.0)  # somebody else's child
    box.watch.job_changed(job(J.RUNNING))
    box.meters.go_on(30, children=60.0)
    box.watch.job_changed(job(J.DONE))
    assert [one[:2] for one in box.used] == [(5, 120.0), (5, 180.0)]
    assert box.used[-1][2] == pytest.approx(150)
    (entry,) = box.books.energy.entries
    assert (entry.kind, entry.label, entry.seconds, entry.size_bytes) == ("export", "High", 90, 7)
    box.watch.job_changed(job(J.DONE))
    assert len(box.books.energy.entries) == 1
    box.watch.job_changed(job(J.FAILED, id=9))  # one that never ran
    assert len(box.used) == 2
    await box.books.close()


async def test_on_mains_the_power_is_the_chargers(tmp_path: Path) -> None:
    box = Watched(tmp_path)
    box.meters.power = dataclasses.replace(BATTERY, level=PowerLevel.MAINS)
    box.watch.look([LEFT], recording=True)
    box.meters.go_on(60, daemon=6.0)
    box.watch.look([], recording=False)
    (entry,) = box.books.energy.entries
    assert (entry.measured_s, entry.mwh, entry.cpu_s) == (0, 0, 6)
    await box.books.close()


async def test_an_idle_box_on_mains_is_not_woken(tmp_path: Path) -> None:
    box = Watched(tmp_path)
    assert box.watch._pause_s() == 60
    box.meters.power = dataclasses.replace(BATTERY, level=PowerLevel.MAINS)
    assert box.watch._pause_s() is None
    box.watch.look([LEFT], recording=True)
    assert box.watch._pause_s() == 60
    box.watch.end()
    await box.books.close()


@pytest.mark.parametrize(("power", "battery_wh", "mwh"), [
    (BATTERY, 100.0, 80_000), (BATTERY, None, None),
    (dataclasses.replace(BATTERY, minutes_left=120.0), None, 12_000),
    (dataclasses.replace(BATTERY, charge_percent=None), 100.0, None),
    (dataclasses.replace(BATTERY, charge_percent=250.0), 100.0, 100_000),
    (PowerState(PowerLevel.MAINS, power_mw=9000, minutes_left=60.0), None, None)])
async def test_what_is_in_the_battery(power: PowerState, battery_wh: float | None,
                                      mwh: float | None) -> None:
    assert charge_mwh(power, battery_wh) == mwh


async def test_heat_is_looked_at_only_while_it_matters(tmp_path: Path) -> None:
    zone = tmp_path / "class" / "thermal" / "thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-thermal")

    def warm(text: str) -> None:
        """At once: nobody reads a half of it."""
        (zone / "new").write_text(text)
        (zone / "new").replace(zone / "temp")

    warm("55000")
    said: list[float | None] = []
    heard = asyncio.Event()

    def hear(celsius: float | None) -> None:
        said.append(celsius)
        heard.set()

    async def next_word() -> None:
        heard.clear()
        await asyncio.wait_for(heard.wait(), PATIENCE_S)

    watch = TemperatureWatch(hear, tmp_path, look_s=0.01)
    task = asyncio.create_task(watch.run())
    try:
        await asyncio.sleep(0)
        assert watch.celsius is None
        watch.want(True)
        await next_word()
        warm("55400")  # less than a degree: nobody hears of it
        warm("81000")
        await next_word()
        warm("nonsense")
        await next_word()
        warm("60000")  # it speaks again, and is heard again
        await next_word()
        assert said == [55.0, 81.0, None, 60.0]
        watch.want(False)
        await next_word()
        warm("50000")
        watch.want(True)
        await next_word()
        watch.want(False)
        await next_word()
        assert said[4:] == [None, 50.0, None]
        assert watch.celsius is None
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_real_recording_is_booked_and_forecast_from(tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch
                                                            ) -> None:
    monkeypatch.setattr("fieldrec.jobs.energy_book.LEAST_PIECE_S", 0.0)
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    config = Config.model_validate({
        "storage": {"directory": recordings}, "power": {"source": "mains"},
        "drives": {"enabled": False}, "export": {"automatic": False},
        "cameras": {"side": {"backend": "synthetic", "options": {"hz": 100}}}})
    async with App(config, DAEMON) as app:
        await app.control.start("x")
        version = -1
        while app.board.latest.recorders[0].frame_count < 30:
            version = (await app.board.wait_changed(version, 1.0)).version
        await app.control.stop()
        app.publish()
        figure = app._resources._books.energy.per_recorded_hour(["side"])
        assert figure is not None and figure.bytes_per_hour > 10**8
        assert figure.cpu_s_per_hour > 0 and figure.own_mw is None
    (entry,) = look(recordings / ".fieldrec" / BOOKS_NAME).entries
    assert entry.size_bytes > 0
