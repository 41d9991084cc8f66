"""Threads for what a job does on disks: one for each piece of work, ended with it. Event loop.

A thread of its own for each, because a copy to a slow drive must not hold up one to another, nor
the proof that an export waits for; ended with it, because most of the time there are no jobs.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import TypeVar

from fieldrec.core.answering import Place
from fieldrec.core.errors import DestinationAway
from fieldrec.core.thread_time import job_threads
from fieldrec.core.workers import Worker
from fieldrec.destinations import Destination, Heeding

T = TypeVar("T")


async def at(destination: Destination, work: Callable[[threading.Event], T], *,
             verb: str = "copy") -> T:
    """As :func:`in_thread`, for work at a destination, in its thread ``VERB NAME``. NotAnswering
    when that is a place which hangs (core/answering); a cancel does not wait for it then, nor for
    a network."""
    name = f"{verb} {destination.name}"
    place = getattr(destination, "place", None)
    if isinstance(place, Place):
        return await place.run(name, _counted(work))
    if isinstance(destination, Heeding):
        heeding = destination

        def heeded(stop: threading.Event) -> T:
            heeding.heed(stop)
            return work(stop)

        return await in_thread(name, heeded)
    return await in_thread(name, work)


async def in_thread(name: str, work: Callable[[threading.Event], T]) -> T:
    """Run ``work(stop)`` in a thread of this name; on cancel `stop` is set, and this does not
    return before the work has (:class:`Worker`)."""
    worker = Worker(name)
    try:
        return await worker.run(_counted(work))
    finally:
        worker.close()  # the work has ended: there is nothing to wait for


async def within(limit_s: float, work: Coroutine[object, object, T], complaint: str) -> T:
    """What `work` gives; DestinationAway (`complaint`, and to try again) when it takes longer: it
    is left to itself then, with what it holds. A cancel reaches it, and waits for it."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=limit_s)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task})
        raise
    if not task.done():
        task.add_done_callback(lambda left: left.cancelled() or left.exception())
        raise DestinationAway(f"{complaint} (waited {limit_s:g} s); try again later")
    return task.result()


def _counted(work: Callable[[threading.Event], T]) -> Callable[[threading.Event], T]:
    def counted(stop: threading.Event) -> T:
        with job_threads.counted():
            return work(stop)
    return counted
