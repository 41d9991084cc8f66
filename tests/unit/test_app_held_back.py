"""What CRITICAL power cut is kept over restarts, and goes on only where its time is not over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from fieldrec.app.held_back import FILE_NAME, HeldBack, HeldBackFile
from fieldrec.config.recording import SplitConfig
from fieldrec.record.asked import Asked
from tests.fakes.cameras import SECOND_NS, ManualClock
from tests.fakes.rigs import names_in

pytestmark = pytest.mark.asyncio
ASKED = Asked("dawn", {"bird": "dove", "site": {"pond": 3}}, 600.0, ["left"], 2.0,
              SplitConfig(seconds=60), "motion")


@pytest_asyncio.fixture
async def file(tmp_path: Path) -> AsyncIterator[HeldBackFile]:
    file = HeldBackFile(tmp_path)
    yield file
    file.close()


async def test_all_that_was_asked_for_comes_back(file: HeldBackFile, tmp_path: Path) -> None:
    clock = ManualClock()
    for asked in (ASKED, Asked()):
        await file.keep(HeldBack.of(asked, clock))
        later = HeldBackFile(tmp_path)
        found = await later.read()
        later.close()
        assert found == HeldBack.of(asked, clock)
        assert found is not None
        assert found.now(clock) == asked
    await file.forget()
    await file.forget()  # idempotent
    assert await file.read() is None
    assert names_in(tmp_path) == []


async def test_what_is_left_of_its_duration() -> None:
    clock = ManualClock()
    held_back, open_ended = HeldBack.of(ASKED, clock), HeldBack.of(Asked("night"), clock)
    clock.forward(599)
    asked = held_back.now(clock)
    assert asked is not None
    assert asked.duration_s == 1.0
    clock.forward(1)
    assert held_back.now(clock) is None
    clock.forward(400 * 86_400)
    assert open_ended.now(clock) == Asked("night")


async def test_a_clock_that_has_lost_its_time_makes_it_no_longer() -> None:
    clock = ManualClock()
    held_back = HeldBack.of(ASKED, clock)
    clock.epoch = 5 * SECOND_NS  # an RTC without a battery
    asked = held_back.now(clock)
    assert asked is not None
    assert asked.duration_s == 600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"asked": {}}', '{"asked": 5, "since_ns": 0}'])
async def test_a_file_that_makes_no_sense_is_said_and_left(
        file: HeldBackFile, tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    assert await file.read() is None
    assert "cannot be used" in caplog.text


async def test_a_disk_that_refuses_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture
                                           ) -> None:
    file = HeldBackFile(tmp_path / "nowhere")
    await file.keep(HeldBack.of(ASKED, ManualClock()))
    assert "cannot be written" in caplog.text
    await file.forget()
    assert "cannot be removed" in caplog.text
    file.close()


async def test_metadata_that_no_file_holds_is_said(file: HeldBackFile,
                                                   caplog: pytest.LogCaptureFixture) -> None:
    await file.keep(HeldBack.of(Asked(metadata={"x": object()}), ManualClock()))
    assert "cannot be written" in caplog.text
