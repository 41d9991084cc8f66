"""A schedule at work with everything around it in the test's hand: clock, cameras, power, files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fieldrec.app.scheduling import Scheduling
from fieldrec.camera.parameters import Parameter
from fieldrec.config import Config
from fieldrec.core.errors import FieldrecError
from fieldrec.record.asked import Asked
from tests.fakes.cameras import ManualClock
from tests.fakes.schedules import at
from tests.fakes.waiting import PATIENCE_S


class HandAlarm:
    """Waits until the test lets time pass."""

    def __init__(self) -> None:
        self.until_ns: int | None = None
        self.asleep = asyncio.Event()

    async def wait(self, until_ns: int | None, woken: asyncio.Event) -> None:
        self.until_ns = until_ns
        self.asleep.set()
        await woken.wait()

    def close(self) -> None:
        """It holds nothing."""


class StandInSession:
    """Records, or not, as told."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.recording_since_ns: int | None = None
        self.stop_reason = ""
        self.joined: list[Sequence[str] | None] = []

    @property
    def recording(self) -> bool:
        return self.recording_since_ns is not None

    def status(self) -> Sequence[Any]:
        return (SimpleNamespace(stop_reason=self.stop_reason),)

    async def join(self, cameras: Sequence[str] | None) -> list[str]:
        self.joined.append(cameras)
        return []


class StandInControl:
    """Notes what it is told; what is recorded is the session's to say."""

    def __init__(self, session: StandInSession, clock: ManualClock) -> None:
        self.session = session
        self.clock = clock
        self.calls: list[tuple[Any, ...]] = []
        self.asked: list[Asked] = []
        self.ended: list[tuple[str, int | None]] = []
        """Why each stop was asked for, and the beginning of what it ended."""
        self.refuses: FieldrecError | None = None
        """What a start fails with."""
        self.stopped: Callable[[], None] = lambda: None
        self.parameters: dict[str, tuple[Parameter, ...]] = {"top": (), "side": ()}

    async def begin(self, asked: Asked) -> list[str]:
        if self.refuses is not None:
            self.calls.append(("refused",))
            raise self.refuses
        self.asked.append(asked)
        self.calls.append(("begin", asked.name))
        self.session.recording_since_ns = self.clock.epoch_ns()
        return [f"{asked.name}_1"]

    async def stop(self, reason: str = "stopped") -> list[str]:
        self.stopped()
        self.calls.append(("stop", reason))
        self.ended.append((reason, self.session.recording_since_ns))
        self.session.recording_since_ns = None
        return ["a"]

    async def copy(self, names: Any, destination: str) -> list[Any]:
        self.calls.append(("copy", names, destination))
        return [1, 2]

    async def move(self, names: Any, destination: str) -> list[Any]:
        self.calls.append(("move", names, destination))
        return [1]

    async def export(self, names: Any, preset: Any = None, *, delete_raw: bool = False
                     ) -> list[Any]:
        self.calls.append(("export", names, preset, delete_raw))
        return []

    async def configure(self, camera: str, values: Mapping[str, Any] | None = None) -> Any:
        if values:
            self.calls.append(("configure", camera, dict(values)))
        return self.parameters if camera == "all" else {camera: self.parameters[camera]}


class ScheduleBox:
    """One life of a box after the other, with the same files."""

    def __init__(self, folder: Path, now: str, tasks: Mapping[str, Any], **schedule: Any) -> None:
        self.folder = folder
        self.config = Config.model_validate({
            "cameras": {"top": {"backend": "synthetic"}, "side": {"backend": "synthetic"}},
            "destinations": {"archive": {"path": "/archive"}},
            "schedule": {"location": {"latitude": 48.2, "longitude": 16.4}, "tasks": tasks}
            | schedule})
        self.clock = ManualClock()
        self.clock.epoch = at(now)
        self.session = StandInSession(self.clock)
        self.control = StandInControl(self.session, self.clock)
        self.said: list[str] = []
        self.noted: list[tuple[str, dict[str, Any]]] = []
        self.held_back_forgotten = 0
        self.synchronised = False
        self.scheduling: Scheduling
        self.alarm: HandAlarm

    @asynccontextmanager
    async def runs(self, reason: str | None = "fieldrec stopped") -> AsyncIterator[Scheduling]:
        """A life; `reason` None: it is killed at its end."""
        self.alarm = HandAlarm()
        session, control = self.session, self.control
        self.scheduling = Scheduling(
            self.config, private=self.folder, control=control,  # type: ignore[arg-type]
            session=session, clock=self.clock, alarm=self.alarm,  # type: ignore[arg-type]
            say=lambda text, _severity: self.said.append(text), note=self._note,
            changed=lambda: None, forget_held_back=self._forget,
            synchronised=lambda: self.synchronised)
        control.stopped = self.scheduling.stopped
        await self.scheduling.open()
        running = asyncio.create_task(self.scheduling.run())
        try:
            await self.settled(running)
            yield self.scheduling
        finally:
            running.cancel()
            await asyncio.wait([running])
            if not running.cancelled():
                running.result()
            if reason is None:
                self.scheduling._worker.close()
            else:
                await self.scheduling.close(reason)
            self.session.recording_since_ns = None  # by the box's own end

    async def settled(self, running: asyncio.Task[None] | None = None) -> None:
        """Until it has done all there was to do."""
        async with asyncio.timeout(PATIENCE_S):
            asleep = asyncio.create_task(self.alarm.asleep.wait())
            await asyncio.wait([asleep] if running is None else [asleep, running],
                               return_when=asyncio.FIRST_COMPLETED)
            asleep.cancel()
        if running is not None and running.done():
            running.result()
        self.alarm.asleep.clear()

    async def wake(self) -> None:
        """Something has changed."""
        self.scheduling.wake()
        await self.settled()

    async def passes(self, hours: float) -> None:
        """Time goes on; the schedule is woken when it asked for."""
        left_s = hours * 3600
        while left_s > 0:
            assert self.alarm.until_ns is not None
            step_s = min(max((self.alarm.until_ns - self.clock.epoch) / 1e9, 0.001), left_s)
            self.clock.forward(step_s)
            left_s -= step_s
            await self.wake()

    async def set_clock(self, now: str) -> None:
        """Somebody sets it."""
        self.clock.epoch = at(now)
        await self.wake()

    def off(self, hours: float) -> None:
        """Nothing runs meanwhile."""
        self.clock.forward(hours * 3600)

    def missed(self) -> list[tuple[str, int, int, str]]:
        """(task, begins, ends, cause) as noted."""
        return [(facts["task"], facts["begins_ns"], facts["ends_ns"], facts["cause"])
                for kind, facts in self.noted if kind == "window_missed"]

    def _note(self, kind: str, text: str, **facts: Any) -> None:
        del text
        self.noted.append((str(kind), facts))

    def _forget(self) -> None:
        self.held_back_forgotten += 1
