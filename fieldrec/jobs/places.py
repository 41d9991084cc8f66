"""Where jobs take things, and whether a recording is ready for them. Event loop, no I/O."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

from fieldrec.core.errors import DestinationError, JobRefused
from fieldrec.core.model import Recording, RecordingState
from fieldrec.destinations import Destination
from fieldrec.jobs.admission import describe_destination

DestinationFactory = Callable[[], contextlib.AbstractContextManager[Destination]]
"""Called, entered and left on the loop without I/O: for a drive it holds the lease meanwhile."""
_NOT_YET = frozenset({RecordingState.OPENING, RecordingState.RECORDING, RecordingState.PAUSED,
                      RecordingState.CLOSING, RecordingState.INTERRUPTED,
                      RecordingState.RECOVERING})


GONE_PATIENCE_S = 2.0
"""A pulled drive fails a job a moment before anybody is told that it went."""


class NotYet(Exception):
    """The job cannot be done now, for no fault of its own; asked again at the next change."""


def opened(places: Mapping[str, DestinationFactory], name: str
           ) -> contextlib.AbstractContextManager[Destination]:
    """The destination of that name, for a block. DestinationError when it is not present."""
    factory = places.get(name)
    if factory is None:
        raise DestinationError(f"{describe_destination(name)} not present")
    return factory()


async def went(places: Callable[[], Mapping[str, DestinationFactory]], name: str) -> bool:
    """Whether a drive has been pulled out just now; a moment is given for the word of it. Before
    that comes a drive may fail in any way, or give bytes that nobody wrote."""
    if not name.startswith("drive:"):
        return False
    loop = asyncio.get_running_loop()
    until_s = loop.time() + GONE_PATIENCE_S
    while name in places():
        if loop.time() >= until_s:
            return False
        await asyncio.sleep(0.05)
    return True


def check_ready(recording: Recording, verb: str) -> None:
    """NotYet for a raw that will be complete later, JobRefused for one that will not."""
    if not recording.has_raw or recording.state is RecordingState.COMPLETE:
        return
    if recording.state in _NOT_YET:
        raise NotYet(f"{recording.name} is {recording.state.value}; it is {verb} once complete")
    raise JobRefused(f"{recording.name} is {recording.state.value}; run `fieldrec check` on it; "
                     f"only a complete recording is {verb}")
