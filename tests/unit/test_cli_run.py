"""`fieldrec run` at CRITICAL: what is closed, when the machine is switched off, what comes back.

The real command in this process, on a battery in a folder; `systemctl` is a script that leaves a
line (conftest.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fieldrec.cli import run
from fieldrec.cli.link import RemoteLink, find_owner
from fieldrec.config import load_config
from fieldrec.core import durable
from fieldrec.core.errors import FieldrecError
from fieldrec.core.snapshot import Snapshot
from tests.fakes.commands import write_config
from tests.fakes.gates import Gate
from tests.fakes.rigs import names_in
from tests.fakes.waiting import PATIENCE_S
from tests.system.box import Battery

pytestmark = pytest.mark.asyncio
OFF = "systemctl poweroff\n"


class Box:
    """One `fieldrec run`, spoken to over its socket."""

    def __init__(self, task: asyncio.Task[None], link: RemoteLink) -> None:
        self.task = task
        self.link = link

    async def until(self, condition: Callable[[Snapshot], Any], what: str) -> Snapshot:
        board = self.link.board
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition(board.latest):
                    await board.wait_changed(board.latest.version, PATIENCE_S)
        except TimeoutError:
            raise AssertionError(f"never: {what}; {board.latest}") from None
        return board.latest

    async def start(self, name: str, **asked: Any) -> None:
        await self.link.call("start", name=name, **asked)
        await self.until(lambda now: any(r.frame_count >= 3 for r in now.recorders), "frames")

    async def ended(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self.task


@contextlib.asynccontextmanager
async def running(config: Path) -> AsyncIterator[Box]:
    """Up and answering; cancelled (as a signal does) at the end if it still runs."""
    loaded = load_config(config)
    task = asyncio.create_task(run._serve(loaded))
    async with asyncio.timeout(PATIENCE_S):
        while (link := await find_owner(loaded.storage.directory)) is None and not task.done():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert link is not None
    watching = asyncio.create_task(link.watch())
    try:
        yield Box(task, link)
    finally:
        if not task.done():
            task.cancel()
        watching.cancel()
        await asyncio.wait({task, watching})
        if not watching.cancelled():
            watching.exception()


@pytest.fixture
def battery(tmp_path: Path) -> Battery:
    return Battery(tmp_path / "power")


def config_of(tmp_path: Path, battery: Battery, *, schedule: Any = None, autostart: bool = False,
              **power: Any) -> Path:
    camera = {"backend": "synthetic", "options": {"width": 64, "height": 48, "hz": 50,
                                                  "pixel_format": "MONO8"}}
    return write_config(
        tmp_path, schedule=schedule or {}, record={"autostart": autostart},
        cameras={"left": camera}, power={"source": "sysfs", "path": str(battery.root),
                                         "poll_s": 0.05, "dwell_s": 0.1, **power})


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Writing below the recordings folder waits while it is held."""
    gate = Gate()
    gate.held, gate.held_steps = tmp_path / "recordings", ("syncfs", "fsync")
    durable.set_hook(gate)
    yield gate
    gate.may_go_on.set()
    durable.set_hook(None)


def told(machine_commands: Path) -> str:
    """The commands so far; forgotten, for they were meant."""
    text = machine_commands.read_text()
    machine_commands.write_text("")
    return text


def whole(recordings: Path, name: str) -> bool:
    """One complete recording of this name is there, and nothing else."""
    found = [n for n in names_in(recordings) if not n.startswith(".")]
    return len(found) == 1 and found[0].startswith(f"{name}_") \
        and not (recordings / found[0] / ".lock").exists()


async def test_critical_closes_and_switches_off_and_the_recording_comes_back_in_a_later_life(
        tmp_path: Path, battery: Battery, machine_commands: Path) -> None:
    recordings, config = tmp_path / "recordings", config_of(tmp_path, battery)
    kept = recordings / ".fieldrec" / "held-back.json"
    async with running(config) as box:
        await box.start("night", duration_s=3600, metadata={"bird": "owl"})
        battery.drains(5)
        await box.ended()
    assert told(machine_commands) == OFF
    assert whole(recordings, "night")
    assert kept.exists()
    config = config_of(tmp_path, battery, dwell_s=600, autostart=True)  # not in its place
    async with running(config) as box:  # somebody switched it on: the battery is as empty
        await box.until(lambda now: now.power.level.value == "low", "not believed yet")
        assert not box.link.board.latest.recording
        battery.drains(14)
        await box.until(lambda now: now.power.charge_percent == 14, "not above 15 %")
        assert not box.link.board.latest.recording
        battery.drains(16)
        now = await box.until(lambda now: now.recording and now.recorders[0].frame_count, "back")
        assert now.recorders[0].recording.startswith("night_")
        shown = await box.link.call("recordings")
        assert {r["user_metadata"]["bird"] for r in shown if r["user_metadata"]} == {"owl"}
        await box.until(lambda _: not kept.exists(), "it is not kept any more")
    assert told(machine_commands) == ""


async def test_a_window_that_critical_cut_goes_on_by_the_schedule_alone(
        tmp_path: Path, battery: Battery, machine_commands: Path) -> None:
    """Nothing is held back for it: its own rules begin it anew, once, as long as it runs."""
    schedule = {"tasks": {"always": {"do": "start", "when": "from 00:00 to 24:00"}}}
    async with running(config_of(tmp_path, battery, schedule=schedule)) as box:
        await box.until(lambda now: now.recording and now.recorders[0].frame_count >= 3, "frames")
        battery.drains(5)
        await box.ended()
    assert told(machine_commands) == OFF
    assert not (tmp_path / "recordings" / ".fieldrec" / "held-back.json").exists()
    battery.mains()
    async with running(config_of(tmp_path, battery, schedule=schedule)) as box:
        now = await box.until(lambda now: now.recording and now.recorders[0].frame_count, "back")
        assert now.recorders[0].recording.startswith("always_")
        assert now.schedule.running


async def test_what_somebody_stopped_never_comes_back(
        tmp_path: Path, battery: Battery, machine_commands: Path) -> None:
    """Without a command for switching off, the box waits for power."""
    recordings = tmp_path / "recordings"
    async with running(config_of(tmp_path, battery, poweroff_command="none")) as box:
        await box.start("night")
        battery.drains(5)
        await box.until(lambda now: now.power.level.value == "critical" and not now.recording,
                        "closed")
        assert (recordings / ".fieldrec" / "held-back.json").exists()
        await box.link.call("stop")
        battery.mains()
        await box.until(lambda now: now.power.level.value == "mains", "fed")
    async with running(config_of(tmp_path, battery)) as box:
        await box.until(lambda now: now.power.level.value == "mains", "fed")
        assert not box.link.board.latest.recording
    assert whole(recordings, "night")
    assert not (recordings / ".fieldrec" / "held-back.json").exists()
    assert told(machine_commands) == ""


async def test_fed_again_while_it_closes_it_stays_on_and_goes_on(
        tmp_path: Path, battery: Battery, machine_commands: Path, gate: Gate,
        caplog: pytest.LogCaptureFixture) -> None:
    async with running(config_of(tmp_path, battery)) as box:
        await box.start("night")
        gate.may_go_on.clear()
        battery.drains(5)
        await box.until(lambda now: now.stopping, "it closes")
        battery.mains()
        gate.may_go_on.set()
        async with asyncio.timeout(PATIENCE_S):
            while not ("the machine stays on" in caplog.text  # noqa: ASYNC110
                       and (owner := await find_owner(tmp_path / "recordings")) is not None
                       and (await owner.call("snapshot"))["recording"]):
                await asyncio.sleep(0.02)
        assert not box.task.done()
    assert told(machine_commands) == ""
    assert len([n for n in names_in(tmp_path / "recordings") if n.startswith("night_")]) == 2


async def test_a_signal_during_critical_waits_for_the_end_and_the_machine_is_switched_off(
        tmp_path: Path, battery: Battery, machine_commands: Path, gate: Gate) -> None:
    async with running(config_of(tmp_path, battery)) as box:
        await box.start("night")
        gate.may_go_on.clear()
        battery.drains(5)
        await box.until(lambda now: now.stopping, "it closes")
        box.task.cancel()
        await asyncio.sleep(0)
        assert not box.task.done()
        gate.may_go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await box.ended()
    assert told(machine_commands) == OFF
    assert whole(tmp_path / "recordings", "night")


async def test_critical_during_a_stop_for_another_reason_switches_nothing_off(
        tmp_path: Path, battery: Battery, machine_commands: Path, gate: Gate) -> None:
    async with running(config_of(tmp_path, battery)) as box:
        await box.start("night")
        gate.may_go_on.clear()
        box.task.cancel()
        await box.until(lambda now: now.stopping, "it closes")
        battery.drains(5)
        await box.until(lambda now: now.power.level.value == "critical", "CRITICAL")
        gate.may_go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await box.ended()
    assert told(machine_commands) == ""
    assert whole(tmp_path / "recordings", "night")


async def test_a_command_that_fails_is_said(tmp_path: Path, battery: Battery) -> None:
    async with running(config_of(tmp_path, battery, poweroff_command=["false"])) as box:
        battery.drains(5)
        with pytest.raises(FieldrecError, match=r"`false` failed \(1\)"):
            await box.ended()
