"""What the bench starts beside itself, and how all of it ends when it is broken off.

Whatever is started is a group of processes of its own, so that Ctrl-C reaches the bench alone: it
ends the group and waits for it, before it takes away what the group works on (mounts, devices,
folders). A second Ctrl-C changes nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

PATIENCE_S = 60.0
"""For a process that puts in order what it made; then it is killed."""
LOOK_S, MOST_LOOKS = 0.01, 500
"""At whether all that it had started is gone: what is taken away next must be used by nobody."""


class _Interrupt:
    """Ctrl-C: asked for, and held back for a moment."""

    def __init__(self) -> None:
        self.asked = False
        self.held = 0
        self.pending = False

    def come(self, *_: object) -> None:
        """The signal's handler."""
        if self.asked:
            return
        self.asked = True
        if self.held:
            self.pending = True
        else:
            raise KeyboardInterrupt


_interrupt = _Interrupt()


def heed_ctrl_c() -> None:
    """From now on the first Ctrl-C raises KeyboardInterrupt, wherever it is not held back."""
    signal.signal(signal.SIGINT, _interrupt.come)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Ctrl-C waits until the end of this block: of what must be whole to be undone later."""
    _interrupt.held += 1
    try:
        yield
    finally:
        _interrupt.held -= 1
        if _interrupt.pending and not _interrupt.held:
            _interrupt.pending = False
            raise KeyboardInterrupt


@contextlib.contextmanager
def started(*words: object, ending: signal.Signals = signal.SIGTERM, **options: Any
            ) -> Iterator[subprocess.Popen[str]]:
    """A command that runs beside this block, which waits for its end. Where the block ends early,
    `ending` is sent, and what it leaves is killed."""
    with subprocess.Popen([str(word) for word in words], text=True, process_group=0,
                          **options) as process:
        try:
            yield process
        except BaseException:
            _end(process, ending)
            raise


def run(*words: object, **options: Any) -> str:
    """A command that must succeed; what it printed."""
    with started(*words, **{"stdout": subprocess.PIPE, **options}) as process:
        output, _ = process.communicate()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, [str(word) for word in words])
    return output or ""


def _end(process: subprocess.Popen[str], ending: signal.Signals) -> None:
    process.send_signal(ending)
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with contextlib.suppress(ProcessLookupError):
        for _ in range(MOST_LOOKS):
            os.killpg(process.pid, signal.SIGKILL)  # until the last of the group has gone
            time.sleep(LOOK_S)
