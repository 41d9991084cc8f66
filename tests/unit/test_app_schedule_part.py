"""The schedule as a part of the box: a process without one, and the place that gpsd tells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fieldrec.app.schedule_part import SchedulePart
from fieldrec.app.surroundings import Surroundings
from fieldrec.app.tasks import Tasks
from fieldrec.config import Config
from fieldrec.core.snapshot import ScheduleStatus
from tests.fakes.cameras import ManualClock
from tests.fakes.schedule_box import StandInControl, StandInSession
from tests.fakes.schedules import at
from tests.fakes.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio
TPV = b'{"class":"TPV","mode":3,"lat":47.76,"lon":16.8}\n'


class Part:
    """A part, with its files in a folder, in a box that is not there."""

    def __init__(self, folder: Path, port: int, *, kept: bool = True, **schedule: Any) -> None:
        self.config = Config.model_validate({"schedule": {
            "location": "gpsd", "gpsd": f"127.0.0.1:{port}",
            "tasks": {"night": {"do": "start", "when": "from dusk to dawn"}}} | schedule})
        self.folder = folder
        self.clock = ManualClock()
        self.clock.epoch = at("2026-11-21 12:00")
        self.said: list[str] = []
        self.notes: list[dict[str, Any]] = []
        self.news = asyncio.Event()
        self.forgotten = 0
        self.part = SchedulePart(self.config, self.clock, kept=kept, say=self._say,
                                 note=self._note, changed=self.news.set)
        self.tasks = Tasks(lambda _name, _problem: None)
        self.surroundings = Surroundings(self.config, self.clock)

    @asynccontextmanager
    async def runs(self) -> AsyncIterator[SchedulePart]:
        session = StandInSession(self.clock)
        control: Any = StandInControl(session, self.clock)

        async def recordings() -> tuple[()]:
            return ()

        await self.part.open(self.folder, control, session,  # type: ignore[arg-type]
                             recordings, self._forget, self.surroundings)
        self.part.spawn(self.tasks)
        try:
            yield self.part
        finally:
            await self.part.end("over")

    async def told(self, text: str) -> None:
        await self.until(lambda: any(text in one for one in self.said))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Looked at whenever something is said or has changed."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self.news.clear()
                await self.news.wait()

    def _say(self, text: str, _severity: str) -> None:
        self.said.append(text)
        self.news.set()

    def _note(self, kind: str, text: str, **facts: Any) -> None:
        del text
        self.notes.append({"kind": kind, **facts})

    def _forget(self) -> None:
        self.forgotten += 1


@asynccontextmanager
async def gpsd(*lines: bytes) -> AsyncIterator[int]:
    """A server that says these lines to each client; its port."""
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(lines))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def test_a_process_that_keeps_no_schedule_does_nothing(tmp_path: Path) -> None:
    some = Part(tmp_path, 1, kept=False)
    async with some.runs() as part:
        part.stopped()
        part.wake()
        assert (part.next_start_ns, part.windows_running, part.status()) == (
            None, (), ScheduleStatus())
        assert part.next_start() == (None, "")
    assert some.forgotten == 1
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - a test may wait for its disk


async def test_gpsd_tells_the_place_and_it_is_known_when_gpsd_is_silent(tmp_path: Path) -> None:
    async with gpsd(b'{"class":"VERSION"}\n', TPV) as port:
        some = Part(tmp_path, port)
        async with some.runs() as part:
            await some.told("gpsd says that the box is at 47.7600 N 16.8000 E")
            await some.until(lambda: part.next_start_ns is not None)
            dusk_ns = part.next_start_ns
            assert some.surroundings.next_start() == (dusk_ns, "night")
        assert some.notes[0] == {"kind": "place", "latitude": 47.76, "longitude": 16.8,
                                 "source": "gpsd"}
    other = Part(tmp_path, port)
    async with other.runs() as part:
        await other.told("dawn and dusk are those of 47.7600 N 16.8000 E")
        await other.until(lambda: part.next_start_ns == dusk_ns)


async def test_without_any_place_the_sun_waits_and_it_is_said(tmp_path: Path) -> None:
    async with gpsd(b'{"class":"TPV","mode":1}\n') as port:
        some = Part(tmp_path, port)
        async with some.runs() as part:
            await some.told("no dawn or dusk until it answers")
            assert part.next_start_ns is None


async def test_autostart_beside_scheduled_recordings_is_said(tmp_path: Path) -> None:
    some = Part(tmp_path, 1, location=None, tasks={"all": {"do": "start", "when": "always"}})
    some.part._config = some.config.model_copy(update={
        "record": some.config.record.model_copy(update={"autostart": True})})
    async with some.runs():
        await some.told("record.autostart records all the time")
