"""When a new picture of the box is shown: at every change, ten a second at most, and now and then
while nothing changes. On the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

PUBLISH_PAUSE_S = 0.1
"""At most ten snapshots a second."""
PUBLISH_BUSY_S = 1.0
"""At least this often while something is recorded…"""
PUBLISH_IDLE_S = 5.0
"""…and this often otherwise."""


async def publish_on_change(changed: asyncio.Event, publish: Callable[[], None],
                            busy: Callable[[], bool]) -> None:
    """Call `publish` until cancelled."""
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PUBLISH_BUSY_S if busy() else PUBLISH_IDLE_S):
                await changed.wait()
        changed.clear()
        publish()
        await asyncio.sleep(PUBLISH_PAUSE_S)
