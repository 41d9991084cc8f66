"""Threads for what a job does on disks: one for each piece of work, ended with it. Event loop.

A thread of its own for each, because a copy to a slow drive must not hold up one to another, nor
the proof that an export waits for; ended with it, because most of the time there are no jobs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from fieldrec.core.thread_time import job_threads
from fieldrec.core.workers import Worker

T = TypeVar("T")


async def in_thread(name: str, work: Callable[[threading.Event], T]) -> T:
    """Run ``work(stop)`` in a thread of this name; on cancel `stop` is set, and this does not
    return before the work has (:class:`Worker`)."""
    worker = Worker(name)

    def counted(stop: threading.Event) -> T:
        with job_threads.counted():
            return work(stop)

    try:
        return await worker.run(counted)
    finally:
        worker.close()  # the work has ended: there is nothing to wait for
