"""The unfinished file of an export: made, locked, gone again unless it gets its final name (I4).

Blocking; in the export process, or in a command of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from fieldrec.core import durable
from fieldrec.core.errors import EncoderFailed, FieldrecError, LockedError, StoreFull
from fieldrec.core.write_behind import WriteBehind

_INFO, _CRC_32 = b"\x15\x49\xa9\x66", b"\xbf\x84"
_HEAD_BYTES = 4_096


class PartFile:
    """The file object that libavformat writes to: sequential but for the index at the end."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._behind = WriteBehind(descriptor)
        self.failure: Exception | None = None
        """The first error of a write: libavformat may forget it and name one of its own."""

    def write(self, data: bytes) -> int:
        """All of `data` at the present position; StoreFull when the disk is full."""
        try:
            durable.write(self._descriptor, [data], self._path, len(data))
        except Exception as error:
            self.failure = self.failure or error
            raise
        self._behind.wrote(len(data))
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file."""
        return os.lseek(self._descriptor, offset, whence)

    def tell(self) -> int:
        """As of any file."""
        return os.lseek(self._descriptor, 0, os.SEEK_CUR)

    def seekable(self) -> bool:
        """Always."""
        return True

    def replace_head(self, old: bytes, new: bytes) -> None:
        """Put `new` in the place of `old`, of the same length, near the beginning of the file, and
        put the checksum right of the Matroska element in which it lies."""
        with self._path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        at = head.find(old)
        if at < 0 or len(old) != len(new):
            raise EncoderFailed(f"{self._path}: the movie does not begin as it should")
        self.seek(at)
        self.write(new)
        checksum = _info_checksum(head[:at] + new + head[at + len(new):], at)
        if checksum is not None:
            self.seek(checksum[0])
            self.write(checksum[1])


def _info_checksum(head: bytes, within: int) -> tuple[int, bytes] | None:
    """Where the CRC-32 of a Matroska file's Info lies, and what it must be; None without one.
    `within` is a place in it: its id is in the SeekHead too."""
    at = head.rfind(_INFO, 0, within)
    size = head[at + 4:at + 12]
    if at < 0 or len(size) < 8:
        return None
    width = 9 - size[0].bit_length()
    begin = at + 4 + width
    length = int.from_bytes(size[:width], "big") - (1 << 7 * width)
    content = head[begin:begin + length]
    if not content.startswith(_CRC_32) or len(content) < length:
        return None
    return begin + 2, zlib.crc32(content[6:]).to_bytes(4, "little")


def part_path(target: Path) -> Path:
    """Where an export is made before it gets its name."""
    return target.with_name(durable.PART_PREFIX + target.name)


def fresh_part(part: Path) -> int:
    """Create the part file and hold its flock; what a dead run left is removed first.

    LockedError when another process is making the same export.
    """
    with contextlib.suppress(FileNotFoundError):
        # on somebody's drive it may be a FIFO
        stale = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _lock(stale, part)
            durable.unlink(part)
        finally:
            os.close(stale)
    descriptor = durable.create(part)
    try:
        _lock(descriptor, part)
    except LockedError:
        os.close(descriptor)
        raise
    return descriptor


def _lock(descriptor: int, part: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise LockedError(f"{part}: another process is making this export") from error


@contextlib.contextmanager
def removed_on_failure(path: Path) -> Iterator[None]:
    """Whatever ends the block early, a stop or Ctrl-C too, takes the file with it."""
    try:
        yield
    except LockedError:
        raise  # the file is the other process's
    except BaseException:
        discard(path)
        raise


def discard(path: Path) -> None:
    """Remove our own file if it can be removed; the error under way says more than a new one."""
    with contextlib.suppress(OSError, FieldrecError):
        durable.unlink(path, missing_ok=True)


@contextlib.contextmanager
def errors_in_one_line(part: Path) -> Iterator[None]:
    """Give the errors of the encoder and of the system a place in our tree."""
    from av import FFmpegError  # the daemon sweeps such files and needs no codecs for that

    try:
        yield
    except FFmpegError as error:
        raise EncoderFailed(f"{part}: the encoder failed: {error}") from error
    except OSError as error:
        if error.errno in durable.FULL_ERRNOS:
            raise StoreFull(f"{part}: {error.strerror}: make room") from error
        where = error.filename or part
        raise EncoderFailed(f"{where}: the export failed: {error.strerror or error}") from error
