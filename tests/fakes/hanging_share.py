"""A network share whose server may be away: a folder served by FUSE, in which every call hangs in
the kernel while the share is held.

`python -m tests.fakes.hanging_share BEHIND MOUNT_POINT LOCK` is the process that serves it. Each
operation takes a shared lock on the file LOCK for a moment; whoever holds that alone holds the
share, and letting go of it wakes them all.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.fakes.faulty_disk import missing as missing
from tests.fakes.waiting import PATIENCE_S

_PROJECT = Path(__file__).parents[2]


class HangingShare:
    """Mounted on `mount_point`; what it holds lies in `behind`, which always answers."""

    def __init__(self, folder: Path) -> None:
        self.behind, self.mount_point = folder / "behind", folder / "share"
        self.behind.mkdir()
        self.mount_point.mkdir()
        self._lock_path = folder / "share.lock"
        self._lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.hanging_share", str(self.behind),
             str(self.mount_point), str(self._lock_path)],
            cwd=_PROJECT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        if self._server.stdout is None or self._server.stdout.readline() != b"serving\n":
            self.close()
            raise OSError(f"the share did not start at {self.mount_point}")

    def hold(self) -> None:
        """From now on every call to it hangs."""
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def release(self) -> None:
        """It answers again, also those that hang."""
        fcntl.flock(self._lock, fcntl.LOCK_UN)

    def close(self) -> None:
        """Unmount, end the server."""
        self.release()
        subprocess.run(["umount", "-l", str(self.mount_point)], check=False, capture_output=True)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._server.wait(timeout=PATIENCE_S)
        self._server.kill()
        self._server.wait()
        if self._server.stdout is not None:
            self._server.stdout.close()
        os.close(self._lock)


@contextlib.contextmanager
def hanging_share(folder: Path) -> Iterator[HangingShare]:
    """A share for the length of a block."""
    share = HangingShare(folder)
    try:
        yield share
    finally:
        share.close()


# -- the server ------------------------------------------------------------------------------------

def _serve(behind: Path, mount_point: Path, lock: Path) -> None:
    import mfusepy

    def at(path: str) -> Path:
        return behind / path.lstrip("/")

    def held(operation: Any) -> Any:
        @functools.wraps(operation)
        def answered(*words: Any, **more: Any) -> Any:
            descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH)  # hangs here while it is held
            finally:
                os.close(descriptor)
            try:
                return operation(*words, **more)
            except OSError as error:
                raise mfusepy.FuseOSError(error.errno or errno.EIO) from error
        return answered

    class Share(mfusepy.Operations):  # type: ignore[misc]
        use_ns = True

        def init(self, path: str) -> None:
            print("serving", flush=True)

        def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
            status = at(path).lstat()
            return {name: getattr(status, name) for name in (
                "st_mode", "st_nlink", "st_size", "st_uid", "st_gid")} | {
                "st_mtime": status.st_mtime_ns}

        def statfs(self, path: str) -> dict[str, int]:
            room = os.statvfs(behind)
            return {name: getattr(room, name) for name in (
                "f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_frsize", "f_namemax")}

        def readdir(self, path: str, fh: int) -> list[str]:
            return [".", "..", *os.listdir(at(path))]  # noqa: PTH208

        def mkdir(self, path: str, mode: int) -> None:
            at(path).mkdir()

        def rmdir(self, path: str) -> None:
            at(path).rmdir()

        def unlink(self, path: str) -> None:
            at(path).unlink()

        def rename(self, old: str, new: str) -> None:
            at(old).rename(at(new))

        def create(self, path: str, mode: int, fi: Any = None) -> int:
            return os.open(at(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)

        def open(self, path: str, flags: int) -> int:
            return os.open(at(path), flags & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR))

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            return os.pread(fh, size, offset)

        def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
            return os.pwrite(fh, data, offset)

        def truncate(self, path: str, length: int, fh: int | None = None) -> None:
            os.truncate(at(path), length)

        def fsync(self, path: str, datasync: bool, fh: int) -> int:
            return 0

        def release(self, path: str, fh: int) -> int:
            os.close(fh)
            return 0

    for name, operation in list(vars(Share).items()):
        if callable(operation) and name != "init":
            setattr(Share, name, held(operation))
    mfusepy.FUSE(Share(), str(mount_point), foreground=True, nothreads=False, attr_timeout=0,
                 entry_timeout=0, fsname="server:/share", default_permissions=True)


if __name__ == "__main__":
    _serve(*(Path(word) for word in sys.argv[1:4]))
