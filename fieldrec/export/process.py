"""The export process: one request in, JSON lines out. ``python -m fieldrec.export.process REQUEST``

A process of its own, so that its crash or memory is not the recorder's (I9); it takes only idle
processor and disk time, and dies with the daemon. SIGSTOP and SIGCONT pause and resume it; SIGTERM
stops it, and what was encoded stays in the working folder for the next run.

REQUEST is JSON: ``{"store": path, "preset": {…}, "output_folder": path, "parent": pid}``, the
preset as :meth:`Preset.to_request` tells it.
Lines: ``{"progress": [phase, done, total], "bytes": encoded so far}``, then one of
``{"export": {…}}`` (of slices the first) and ``{"error": [class name, message]}``. Exit code: 0,
that of the error, 143 after SIGTERM. How fast it is, and when it will be there, is known to who
holds it and lets it go.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import os
import platform
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from fieldrec.core.errors import EncoderFailed, FieldrecError

PROGRESS_INTERVAL_S = 0.25
EXIT_STOPPED = 128 + signal.SIGTERM
EXIT_ORPHANED = 128 + signal.SIGKILL

_PR_SET_PDEATHSIG = 1
_IOPRIO_WHO_PROCESS = 1
_IOPRIO_CLASS_IDLE = 3 << 13
_SYS_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "armv7l": 314, "armv6l": 314,
                   "i686": 289, "ppc64le": 273}


def main(arguments: list[str]) -> int:
    """Run one request to its end and return the exit code; the last line says how it went."""
    request = json.loads(arguments[0])
    if not die_with_parent(int(request["parent"])):
        return EXIT_ORPHANED
    be_idle()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the daemon, which tells us
    try:
        _say({"export": _export(request, stop)})
    except FieldrecError as error:
        _say({"error": [type(error).__name__, str(error)]})
        return EXIT_STOPPED if stop.is_set() else error.exit_code
    except Exception as error:  # noqa: BLE001 - a bug: the daemon gets one line, not a traceback
        _say({"error": ["EncoderFailed", f"the export broke: {type(error).__name__}: {error}"]})
        return EncoderFailed.exit_code
    return 0


def die_with_parent(parent: int) -> bool:
    """Have the kernel kill this process when its parent ends; False when it has ended already."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    return os.getppid() == parent


def be_idle() -> None:
    """Take only processor and disk time that nobody else wants, and be the first to go when memory
    runs out; best effort, also for threads started later."""
    with contextlib.suppress(OSError):  # a service's own protection is inherited otherwise
        Path("/proc/self/oom_score_adj").write_text("500")
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    number = _SYS_IOPRIO_SET.get(platform.machine())
    if number is not None:
        ctypes.CDLL(None).syscall(number, _IOPRIO_WHO_PROCESS, 0, _IOPRIO_CLASS_IDLE)


def give_back_memory() -> None:
    """What one phase has freed is not kept for the next, which needs blocks of other sizes."""
    with contextlib.suppress(AttributeError):  # a C library that does not know it
        ctypes.CDLL(None).malloc_trim(0)


def _export(request: dict[str, Any], stop: threading.Event) -> dict[str, Any]:
    # imported here, after becoming idle: these load the codecs
    from fieldrec.export.presets import Preset
    from fieldrec.export.run import run_export

    words = _Words()
    export = run_export(Path(request["store"]), Preset.from_request(request["preset"]),
                        output_folder=_kept_open(Path(request["output_folder"])), stop=stop,
                        on_progress=words.on_progress, on_size=words.on_size)
    return {**dataclasses.asdict(export), "path": str(export.path)}


def _kept_open(folder: Path) -> Path:
    """The same folder, by a descriptor of our own where it was named by one of the daemon's: that
    one may not be looked at any more once rights were dropped."""
    if not folder.is_relative_to("/proc"):
        return folder
    return Path(f"/proc/self/fd/{os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)}")


class _Words:
    """Says the first and last of each phase and a few in between."""

    def __init__(self) -> None:
        self._phase = ""
        self._next_s = 0.0
        self._size_bytes = 0

    def on_size(self, size_bytes: int) -> None:
        """Bytes encoded so far."""
        self._size_bytes = size_bytes

    def on_progress(self, phase: str, done: int, total: int) -> None:
        """A frame is through."""
        now_s = time.monotonic()
        if phase != self._phase:
            give_back_memory()
        if phase != self._phase or done == total or now_s >= self._next_s:
            _say({"progress": [phase, done, total], "bytes": self._size_bytes})
            self._phase, self._next_s = phase, now_s + PROGRESS_INTERVAL_S


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
