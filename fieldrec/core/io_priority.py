"""A thread's place in the queue of a disk. Linux; any thread, for itself.

Only the disk's queue: a thread of ours that the processor serves less would be held up while it
holds Python's lock, and with it those that record.
"""

from __future__ import annotations

import ctypes
import platform
import sys

_NUMBERS = {"x86_64": (251, 252), "aarch64": (30, 31), "riscv64": (30, 31),
            "armv7l": (314, 315), "armv6l": (314, 315), "i686": (289, 290)}
"""Of ioprio_set and ioprio_get, which libc has no names for."""
_OF_32_BITS = {"x86_64": "i686", "aarch64": "armv7l"}
"""What a 32-bit program is to a 64-bit kernel, which says its own kind."""
_THREAD, _CLASS_SHIFT, _IDLE = 1, 13, 3
_libc = ctypes.CDLL(None, use_errno=True)


def give_way() -> bool:
    """From now on this thread's reads and writes wait while anybody else's do (class "idle" of
    ionice(1)). False, and nothing changed, where that cannot be asked for. Queues without classes
    (scheduler "none") take no notice."""
    number, _ = _numbers()
    return bool(number) and _libc.syscall(number, _THREAD, 0, _IDLE << _CLASS_SHIFT) == 0


def gives_way() -> bool:
    """Whether this thread does."""
    _, number = _numbers()
    return bool(number) and _libc.syscall(number, _THREAD, 0) >> _CLASS_SHIFT == _IDLE


def _numbers() -> tuple[int, int]:
    machine = platform.machine()
    if sys.maxsize < 1 << 32:
        machine = _OF_32_BITS.get(machine, machine)
    return _NUMBERS.get(machine, (0, 0))
