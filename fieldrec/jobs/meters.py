"""Processor time of this process, of its job threads and of its children, as counts that only grow.

Event loop; reads procfs, which is memory. Threads of jobs report themselves (:data:`job_threads`);
children are counted while they run, and by the kernel's own count once they were waited for.
"""

from __future__ import annotations

import contextlib
import os
import resource
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
        return ended_s + sum(_cpu_s(proc / "self" / "task" / str(one) / "stat") for one in running)


job_threads = JobThreads()


class CpuMeters:
    """Owned by the energy watch."""

    def __init__(self, proc: Path = Path("/proc"), threads: JobThreads = job_threads) -> None:
        self._proc = proc
        self._job_threads = threads
        self._most_s = 0.0

    def daemon_s(self) -> float:
        """Of this process, all threads."""
        used = os.times()
        return used.user + used.system

    def job_threads_s(self) -> float:
        """Of that, by threads that do jobs' work."""
        self._most_s = max(self._most_s, self._job_threads.seconds(self._proc))
        return self._most_s

    def children_s(self) -> float:
        """Of all child processes: those that run, and those that have ended."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return ended.ru_utime + ended.ru_stime + sum(
            _cpu_s(self._proc / child / "stat", with_children=True) for child in self._children())

    def _children(self) -> list[str]:
        """Process ids of those that the main thread has begun, as exports are; none where the
        kernel does not list them (CONFIG_PROC_CHILDREN)."""
        return _text(self._proc / "self" / "task" / str(os.getpid()) / "children").split()


def _cpu_s(stat: Path, *, with_children: bool = False) -> float:
    """utime + stime (+ cutime + cstime) of proc(5)'s stat; 0 for what has ended."""
    fields = _text(stat).rpartition(")")[2].split()
    try:
        used = [int(field) for field in fields[11:15 if with_children else 13]]
    except ValueError:
        return 0.0
    return sum(used) / _TICKS


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
