"""A stretch of code in which the calling thread, and threads it starts, get no real-time priority.

SVT-AV1 gives its threads SCHED_FIFO 99 wherever it may, as it may for root: they would stand before
the camera's thread and before the kernel's own. Capabilities belong to a thread and are inherited
by those it starts, so it is enough to lay one down while the encoder starts its threads; they then
keep the caller's policy (SCHED_IDLE in the export process). Blocking, a few microseconds.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
from collections.abc import Iterator

from fieldrec.core.errors import EncoderFailed

CAP_SYS_NICE = 23

_VERSION_3 = 0x20080522
"""Of the kernel's interface: two sets of 32 capabilities each."""


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Set(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32),
                ("inheritable", ctypes.c_uint32))


@contextlib.contextmanager
def without_realtime() -> Iterator[None]:
    """Real-time priority cannot be taken by what this thread starts within.

    The process's limit for it (RLIMIT_RTPRIO) is 0 meanwhile, which other threads may notice too.
    EncoderFailed where the kernel does not let this thread lay its capability down.
    """
    sets = _capabilities()
    had = bool(sets[0].effective & (1 << CAP_SYS_NICE))
    soft, hard = resource.getrlimit(resource.RLIMIT_RTPRIO)
    try:
        if had:
            sets[0].effective &= ~(1 << CAP_SYS_NICE)
            _set_capabilities(sets)
        resource.setrlimit(resource.RLIMIT_RTPRIO, (0, hard))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_RTPRIO, (soft, hard))
        if had:
            sets[0].effective |= 1 << CAP_SYS_NICE
            _set_capabilities(sets)


def _capabilities() -> ctypes.Array[_Set]:
    sets = (_Set * 2)()
    _call("capget", sets)
    return sets


def _set_capabilities(sets: ctypes.Array[_Set]) -> None:
    _call("capset", sets)


def _call(name: str, sets: ctypes.Array[_Set]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(ctypes.byref(_Header(_VERSION_3, 0)), sets) != 0:
        raise EncoderFailed(f"{name}: {os.strerror(ctypes.get_errno())}: an encoder that takes "
                            "real-time priority cannot be kept from it here; use another preset")
