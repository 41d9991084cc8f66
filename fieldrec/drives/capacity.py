"""Whether a drive is as large as it says. Blocking; in a drive's own thread, a copy's, a command's.

A counterfeit drive tells 64 GB and has 8: what is written beyond overwrites what lies before, or is
lost. Each copy may read back right, while it has destroyed an earlier one: only a look at the whole
drive before the first deletion keeps I5. The ruler: N bytes at the front and N at the end written
densely, and one block every S = N/2 between them, each with its own number and this proof's seed;
all written, made durable, then all read back from the medium. Addresses that come round again, at
whatever size, bring a stretch of N onto one in which every block, or every S-th, is marked, so that
at least one reads back with another's number. It finds, too, a drive that loses what is beyond its
end. It does not find single holes shorter than S that lose writes, memory that wears out, or a
drive that was made to know this pattern. What a cache in the drive keeps is read from
there: it must be smaller than all marks together (80 MB for 64 GB, 570 MB for 1 TB). A file system
is looked at within a file over its free space: what lies outside of that is not.

S is size/4096 rounded up to a power of two, 512 KiB to 128 MiB. Reckoned, not measured, with
40 MB/s and 100 small writes or reads a second: 80 s for 64 GB, 3 min for 1 TB.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import secrets
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fieldrec.core import durable
from fieldrec.core.amounts import size as size_words
from fieldrec.core.past_cache import ALIGN_BYTES, aligned_buffer

TOLD_ON = frozenset({"ext4", "xfs", "btrfs"})
"""File systems that give a file room without filling it, and write in the middle of it without
filling what comes before: NTFS and exFAT fill it with zeros."""
LEAST_PART = 0.8
"""So much of a file system must be free to be told: what is full of other things is not looked at,
and must not be."""
LEFT_PART = 0.05
"""Left free beside the file: the file system needs room for its own figures."""
SMALLEST_STEP, LARGEST_STEP = 512 << 10, 128 << 20
_CHUNK = 1 << 20
_SEED_BYTES = 24
_MARK = _SEED_BYTES + 8
_BLKFLSBUF, _BLKGETSIZE64 = 0x1261, 0x80081272
"""ioctl of linux/fs.h."""
_NO_ROOM = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOSPC, errno.EFBIG, errno.EINVAL})

Check = Callable[[], None]
"""Called between writes; raises what shall end the proof."""


class NotTold(Exception):
    """It cannot be told without filling the drive; says why."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the ruler found."""

    told_bytes: int
    kept_bytes: int
    """As many as were told when all was kept; else about what there really is."""

    @property
    def is_true(self) -> bool:
        return self.kept_bytes >= self.told_bytes


def verdict(found: Measured) -> str:
    """Of a drive that is not as large as it says: "it tells 64.0 GB but keeps …"."""
    return (f"it tells {size_words(found.told_bytes)} but keeps no more than about "
            f"{size_words(found.kept_bytes)}: counterfeit or broken; do not use it")


def cannot_tell(fs_type: str, size_bytes: int, free_bytes: int) -> str:
    """Why this file system cannot be told to be as large as it says; "" when it can. Pure."""
    if fs_type not in TOLD_ON:
        return f"cannot be told on {fs_type or 'it'} without filling it"
    if free_bytes * (1 - LEFT_PART) < size_bytes * LEAST_PART - _CHUNK:
        return (f"cannot be told while so much is on it ({size_words(size_bytes - free_bytes)} of "
                f"{size_words(size_bytes)})")
    return ""


def prove_device(node: str, check: Check) -> Measured:
    """Look at a whole block device, which nobody uses: ERASES what is where the ruler writes.
    OSError."""
    descriptor = os.open(node, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
    try:
        size = struct.unpack("=Q", fcntl.ioctl(descriptor, _BLKGETSIZE64, bytes(8)))[0]
        kept = ruler(descriptor, size, check, lambda: _settle(descriptor, Path(node), node))
        return Measured(size, kept)
    finally:
        os.close(descriptor)


def prove_file_system(folder: int, place: Path, fs_type: str, device: str, check: Check
                      ) -> Measured:
    """Look at the file system that the open `folder` is on, within a file that has no name there
    and is gone with its descriptor, also by a kill; `place` for messages, `device` its block
    device, "" for none. Other files are not touched, but on a counterfeit drive. NotTold; OSError,
    SyncFailed."""
    room = os.fstatvfs(folder)
    size, free = size_of(folder), room.f_bavail * room.f_frsize
    if why := cannot_tell(fs_type, size, free):
        raise NotTold(why)
    descriptor = _nameless(folder, fs_type)
    try:
        length = int(free * (1 - LEFT_PART)) // ALIGN_BYTES * ALIGN_BYTES
        _allocate(descriptor, length, fs_type)
        kept = ruler(descriptor, length, check, lambda: _settle(descriptor, place, device))
    finally:
        os.close(descriptor)
    return Measured(size, size if kept == length else kept)


def size_of(folder: int) -> int:
    """Bytes of the file system that an open folder is on; a proof is kept with them."""
    room = os.fstatvfs(folder)
    return room.f_blocks * room.f_frsize


def ruler(descriptor: int, size_bytes: int, check: Check, settle: Callable[[], None]) -> int:
    """Mark the first `size_bytes` of an open file or device (O_DIRECT), then look which marks are
    there: `size_bytes` when all are, else about how many bytes are really kept. `settle` makes what
    was written durable and has memory forget it."""
    blocks = size_bytes // ALIGN_BYTES
    seed = secrets.token_bytes(_SEED_BYTES)
    memory = aligned_buffer(_CHUNK)
    for first, count in stretches(blocks):
        check()
        view = memory[:count * ALIGN_BYTES]
        view[:] = _marks(seed, first, count)
        _whole(os.pwritev, descriptor, view, first * ALIGN_BYTES)
    settle()
    kept = blocks
    for first, count in stretches(blocks):
        check()
        view = memory[:count * ALIGN_BYTES]
        _whole(os.preadv, descriptor, view, first * ALIGN_BYTES)
        if view != _marks(seed, first, count):
            kept = min(kept, _kept(view, seed, first, count, blocks))
    return size_bytes if kept == blocks else kept * ALIGN_BYTES


def stretches(blocks: int) -> Iterator[tuple[int, int]]:
    """(first block, how many) of each mark, in order, none longer than 1 MiB."""
    step = _step(blocks * ALIGN_BYTES) // ALIGN_BYTES
    dense, piece = 2 * step, _CHUNK // ALIGN_BYTES
    end = max(blocks - dense, dense)
    for at in range(0, min(dense, blocks), piece):
        yield at, min(piece, min(dense, blocks) - at)
    for at in range(dense, min(end, blocks), step):
        yield at, 1
    for at in range(end, blocks, piece):
        yield at, min(piece, blocks - at)


def _step(size_bytes: int) -> int:
    """S: a power of two, about size/4096."""
    step = SMALLEST_STEP
    while step < min(size_bytes // 4096, LARGEST_STEP):
        step *= 2
    return step


def _marks(seed: bytes, first: int, count: int) -> bytes:
    return b"".join((seed + number.to_bytes(8, "little")) * (ALIGN_BYTES // _MARK)
                    for number in range(first, first + count))


def _kept(view: memoryview, seed: bytes, first: int, count: int, blocks: int) -> int:
    """How many blocks there are at most, by what came back from these."""
    found = blocks
    for number in range(first, first + count):
        block = bytes(view[(number - first) * ALIGN_BYTES:][:ALIGN_BYTES])
        if block == _marks(seed, number, 1):
            continue
        other = int.from_bytes(block[_SEED_BYTES:_MARK], "little")
        wrapped = number < other < blocks and block == _marks(seed, other, 1)
        found = min(found, other - number if wrapped else number)
    return found


def _whole(call: Callable[[int, list[memoryview], int], int], descriptor: int, view: memoryview,
           at: int) -> None:
    done = 0
    while done < len(view):
        count = call(descriptor, [view[done:]], at + done)
        if count <= 0:
            raise OSError(errno.EIO, "the drive ended before its size")
        done += count


def _settle(descriptor: int, path: Path, device: str) -> None:
    durable.fsync(descriptor, path)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    if not device:
        return
    with contextlib.suppress(OSError):  # without root it stays; O_DIRECT passes it all the same
        node = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(node, _BLKFLSBUF)
        finally:
            os.close(node)


def _nameless(folder: int, fs_type: str) -> int:
    try:
        return os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC, 0o600,
                       dir_fd=folder)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise NotTold(f"cannot be told on {fs_type} here ({error.strerror})") from error


def _allocate(descriptor: int, length: int, fs_type: str) -> None:
    """Room for the file, none of it written. Not os.posix_fallocate: where the file system cannot,
    that writes every block."""
    libc = ctypes.CDLL(None, use_errno=True)
    call = getattr(libc, "fallocate64", None) or libc.fallocate
    if call(descriptor, 0, ctypes.c_int64(0), ctypes.c_int64(length)) == 0:
        return
    number = ctypes.get_errno()
    if number in _NO_ROOM:
        raise NotTold(f"cannot be told on {fs_type} here: no file can be given so much room "
                      f"({os.strerror(number)})")
    raise OSError(number, os.strerror(number))
