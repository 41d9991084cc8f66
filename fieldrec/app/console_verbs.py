"""What a person at a serial console may order: verbs of the control, one line each. On the event
loop."""

from __future__ import annotations

from fieldrec.camera.parameter_values import parse_values
from fieldrec.control import Control
from fieldrec.core.errors import UsageError

ALL = "all"
"""In place of names: every complete recording."""


class ConsoleVerbs:
    """The control's verbs as the serial console wants them: one line each."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def start(self, name: str | None) -> str:
        return "recording " + " ".join(await self._control.start(name))

    async def stop(self) -> str:
        names = await self._control.stop("stopped on the console")
        return "stopped " + " ".join(names) if names else "nothing was recording"

    async def eject(self, name: str | None) -> str:
        return await self._control.eject(name)

    async def export(self, text: str | None) -> str:
        """"all" or names, then perhaps a preset; the last word is one if no recording is called
        so."""
        words = (text or ALL).split()
        known = {recording.name for recording in await self._control.recordings()}
        preset = words.pop() if len(words) > 1 and words[-1] not in known else None
        every = [word.lower() for word in words] == [ALL]
        jobs = await self._control.export(None if every else words, preset)
        if not jobs:
            return "already exported" if known else "no recordings"
        left = "" if every or len(jobs) == len(words) else \
            f"; already exported: {len(words) - len(jobs)}"
        return f"{len(jobs)} export{'' if len(jobs) == 1 else 's'} queued{left}"

    async def pause(self) -> str:
        return "paused " + " ".join(await self._control.pause())

    async def resume(self) -> str:
        return "recording again " + " ".join(await self._control.resume())

    async def step(self, frames: str | None) -> str:
        if frames is not None and not frames.isdecimal():
            raise UsageError(f"step {frames}: use a number of frames")
        count = 1 if frames is None else int(frames)
        return f"{count} of " + " ".join(await self._control.step(count))

    async def split(self) -> str:
        return "split " + " ".join(await self._control.split())

    async def configure(self, text: str | None) -> str:
        camera, *pairs = (text or "").split() or [""]
        if not pairs:
            raise UsageError("send configure CAMERA NAME=VALUE")
        values = parse_values(pairs)
        changed = await self._control.configure(camera, values)
        return "; ".join(
            f"{key} " + " ".join(f"{p.name}={p.value}" for p in parameters
                                 if p.name in values or p.alias in values)
            for key, parameters in changed.items())
