"""The handle of a running export: what it tells the process, and whether that has stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from fieldrec.jobs.held import Held
from tests.fakes.job_box import NotedEncoder


def test_it_is_held_slowed_down_and_let_go() -> None:
    changes: list[int] = []
    taken: list[bool] = []
    held, encoder = Held(lambda: changes.append(1)), NotedEncoder()
    assert not held.hold()  # there is none yet
    held.take(encoder, taken.append)
    assert held.hold()
    assert held.hold()
    assert held.let_go(0.25)
    assert not held.let_go(0.25)
    assert not held.let_go()
    assert encoder.calls == ["pause", "pause", "throttle 0.25", "resume", "throttle 1.0"]
    assert (taken, len(changes)) == ([True, False], 1)
    held.hold()
    assert held.drop()
    assert not held.let_go()


def test_only_the_kernels_word_counts_as_stopped() -> None:
    child = subprocess.Popen([sys.executable, "-c", "print('up', flush=True); input()"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        held = Held(lambda: None)
        assert held.is_stopped()  # there is no process
        held.take(NotedEncoder(), lambda _: None)
        assert not held.is_stopped()  # it is being started
        held.take(NotedEncoder(child.pid), lambda _: None)
        held.hold()
        assert not held.is_stopped()
        child.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        assert held.is_stopped()
        assert held.is_stopped()  # looking takes nothing away
        child.send_signal(signal.SIGCONT)
        assert not held.is_stopped()
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert held.is_stopped()
        child.wait()
        assert held.is_stopped()
    finally:
        child.kill()
        child.communicate()
