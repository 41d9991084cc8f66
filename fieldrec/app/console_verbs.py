"""What a person at a serial console may order: three verbs of the control, one line each. On the
event loop."""

from __future__ import annotations

from fieldrec.control import Control


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
