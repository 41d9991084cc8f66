"""Processor time of this process, of its job threads and of its children, as counts that only grow.

Event loop; reads procfs, which is memory. Threads of jobs report themselves (core/thread_time);
children are counted while they run, and by the kernel's own count once they were waited for.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

from fieldrec.core.thread_time import JobThreads, job_threads, proc_text, stat_cpu_s


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
            stat_cpu_s(self._proc / child / "stat", with_children=True)
            for child in self._children())

    def _children(self) -> list[str]:
        """Process ids of those that the main thread has begun, as exports are; none where the
        kernel does not list them (CONFIG_PROC_CHILDREN)."""
        return proc_text(self._proc / "self" / "task" / str(os.getpid()) / "children").split()
