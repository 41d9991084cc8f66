"""Processor time of the threads that do jobs' work. Any thread; reads procfs, which is memory.

Threads of jobs report themselves (:data:`job_threads`): those of the jobs (jobs/threads), and those
that a copy has beside it (destinations/_pipeline).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


class JobThreads:
    """The threads that do jobs' work. One for the process, as its processor time is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[int] = set()
        self._ended_s = 0.0

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """What this thread does inside the block is a job's work."""
        own, before_s = threading.get_native_id(), time.thread_time()
        with self._lock:
            self._running.add(own)
            self._ended_s -= before_s  # a thread may do several pieces of work
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(own)
                self._ended_s += time.thread_time()

    def seconds(self, proc: Path) -> float:
        """Used so far, by those that run and those that have ended."""
        with self._lock:
            running, ended_s = list(self._running), self._ended_s
        tasks = proc / "self" / "task"
        return ended_s + sum(stat_cpu_s(tasks / str(one) / "stat") for one in running)


job_threads = JobThreads()


def stat_cpu_s(stat: Path, *, with_children: bool = False) -> float:
    """utime + stime (+ cutime + cstime) of proc(5)'s stat; 0 for what has ended."""
    fields = proc_text(stat).rpartition(")")[2].split()
    try:
        used = [int(field) for field in fields[11:15 if with_children else 13]]
    except ValueError:
        return 0.0
    return sum(used) / _TICKS


def proc_text(file: Path) -> str:
    """A file of procfs; "" when it is gone."""
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
