"""Processor time is really counted: of threads by their names, of children while and after."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from fieldrec.core.thread_time import JobThreads
from fieldrec.jobs.meters import CpuMeters

BURN = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass\n"


def burn() -> None:
    exec(BURN.replace("process_time", "thread_time"), {})


def test_a_job_thread_is_told_from_others() -> None:
    threads = JobThreads()
    meters = CpuMeters(threads=threads)
    other = threading.Thread(target=burn)
    other.start()
    other.join()
    assert meters.job_threads_s() == 0
    hold, burnt = threading.Event(), threading.Event()

    def copy() -> None:
        burn()
        with threads.counted():
            burn()
            burnt.set()
            hold.wait()

    thread = threading.Thread(target=copy)
    daemon_s = meters.daemon_s()
    thread.start()
    burnt.wait()
    running = meters.job_threads_s()
    assert 0.15 <= running <= 0.35
    assert running <= meters.daemon_s() - daemon_s
    hold.set()
    thread.join()
    assert running - 0.02 <= meters.job_threads_s() <= running + 0.1  # it has ended: it stays


def test_a_child_counts_while_it_runs_and_once_after() -> None:
    meters = CpuMeters()
    before = meters.children_s()
    with subprocess.Popen([sys.executable, "-c", BURN + "print('burnt', flush=True)\ninput()"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdin is not None
        child.stdout.readline()
        running = meters.children_s() - before
        child.stdin.write(b"\n")
        child.stdin.close()
        child.wait()
    ended = meters.children_s() - before
    assert 0.15 <= running <= ended + 0.05
    assert ended <= running + 0.15


def test_a_proc_that_says_nothing(tmp_path: Path) -> None:
    meters = CpuMeters(tmp_path)
    assert meters.job_threads_s() >= 0
    assert meters.children_s() >= 0
    own = tmp_path / "self" / "task" / str(os.getpid())
    own.mkdir(parents=True)
    (own / "children").write_text("12 x 14 ")
    (tmp_path / "12").mkdir()
    (tmp_path / "12" / "stat").write_text("12 (a) b) S 1 " + "nonsense " * 20)
    assert meters.children_s() >= 0
