"""A block device that misbehaves on command: a file served by FUSE, with a loop device on it.

`python -m tests.fakes.faulty_disk` is the process that serves the file `disk` (for loop devices;
:class:`FaultyDisk` starts it). What it shall do stands in memory shared with the test, and counts
from the very next operation on; no answer is waited for. The cells are a file of their own, to be
looked at and changed below everything. The kernel keeps no cache of its own of the file (direct
I/O), so that each read of the device is a read here. Needs root, /dev/fuse and libfuse (3 or 2);
:func:`missing` says what is not there. As with a drive, the kernel tries some things again.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import errno
import importlib.util
import mmap
import os
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.fakes.loop_devices import attach, backing, detach
from tests.fakes.waiting import PATIENCE_S

NEVER = (1 << 63) - 1
"""An address, or a count, that is not reached."""
FIELDS = ("fail_reads_from", "fail_writes_from", "drop_writes_from", "wrap_at", "wrap_span",
          "flip_at", "pull_at_operation", "pulled", "stopped", "size_bytes",
          "operations", "read_bytes", "written_bytes", "wrapped_bytes", "dropped_bytes", "waiting",
          "mark", "mark_at_pull")
"""What the test sets, then what the server counts, then a number of the test's own and what it was
when the disk was pulled out; see :class:`Orders`."""
_AT = {name: 8 * number for number, name in enumerate(FIELDS)}
_HEALTHY = {"fail_reads_from": NEVER, "fail_writes_from": NEVER, "drop_writes_from": NEVER,
            "wrap_at": NEVER, "wrap_span": 0, "flip_at": -1, "pull_at_operation": NEVER,
            "pulled": 0, "stopped": 0}
_PROJECT = Path(__file__).parents[2]


class Orders:
    """What the disk shall do, and what it has done; in shared memory."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), len(FIELDS) * 8)

    def __getitem__(self, name: str) -> int:
        return int(struct.unpack_from("=q", self._memory, _AT[name])[0])

    def __setitem__(self, name: str, value: int) -> None:
        struct.pack_into("=q", self._memory, _AT[name], value)

    def add(self, name: str, value: int) -> int:
        """Count; only the server does, one thread at a time."""
        self[name] += value
        return self[name]

    def close(self) -> None:
        """Nothing is told any more."""
        self._memory.close()


def missing() -> str:
    """Why there can be no such disk here; "" when there can be one."""
    if os.geteuid() != 0:
        return "a disk that fails on command needs root: it is a loop device"
    if not Path("/dev/fuse").exists() or not Path("/dev/loop-control").exists():
        return "a disk that fails on command needs /dev/fuse and loop devices"
    if not (ctypes.util.find_library("fuse3") or ctypes.util.find_library("fuse")):
        return "a disk that fails on command needs libfuse (Debian: fuse3)"
    if importlib.util.find_spec("mfusepy") is None:
        return "a disk that fails on command needs the package mfusepy"
    return ""


class FaultyDisk:
    """A healthy disk at `device` until it is told otherwise. Blocking; one test at a time."""

    def __init__(self, folder: Path, cells: Path, *, direct_io: bool = True) -> None:
        """`cells` is an image that is there already, of the disk's size: what it remembers. The
        process that serves it is started and waited for. `direct_io` of the loop device."""
        self.cells = cells
        self._mount_point = folder / f"{cells.stem}.fuse"
        self._mount_point.mkdir()
        self._told = folder / f"{cells.stem}.orders"
        self._told.write_bytes(bytes(len(FIELDS) * 8))
        self.orders = Orders(self._told)
        self.heal()
        self.orders["size_bytes"] = cells.stat().st_size
        self.device = ""
        self.file = self._mount_point / "disk"
        """That the loop device is on."""
        self._server = _started(self._told, cells, self._mount_point)
        try:
            self.device = attach(self.file, f"--direct-io={'on' if direct_io else 'off'}")
        except BaseException:
            self.close()
            raise

    def backing(self) -> str:
        """The file that the loop device is on, as the kernel has it; "" when it is on none."""
        return backing(self.device)

    # -- orders, each from now on ----------------------------------------------------------------

    def heal(self) -> None:
        """No fault any more; what was lost or mixed up in the cells stays so."""
        for name, value in _HEALTHY.items():  # the moment to be pulled out before "pulled"
            self.orders[name] = value

    def fail_reads(self, from_byte: int = 0) -> None:
        """EIO for each read that touches `from_byte` or what comes after it."""
        self.orders["fail_reads_from"] = from_byte

    def fail_writes(self, from_byte: int = 0) -> None:
        """EIO for each write that touches `from_byte` or what comes after it."""
        self.orders["fail_writes_from"] = from_byte

    def drop_writes(self, from_byte: int = 0) -> None:
        """Writes from this address on succeed and change nothing."""
        self.orders["drop_writes_from"] = from_byte

    def wrap(self, real_bytes: int, span_bytes: int = 0) -> None:
        """A counterfeit: there are only `real_bytes` of memory, and addresses beyond are those of
        its last `span_bytes` over and over (0: of all of it)."""
        self.orders["wrap_span"] = span_bytes or real_bytes
        self.orders["wrap_at"] = real_bytes

    def flip(self, at_byte: int) -> None:
        """One bit of this byte reads wrong."""
        self.orders["flip_at"] = at_byte

    def pull(self) -> None:
        """Nothing of it answers but by EIO."""
        self.orders["mark_at_pull"] = self.orders["mark"]
        self.orders["pulled"] = 1

    def pull_after(self, operations: int) -> None:
        """The same, after so many more reads, writes and syncs."""
        self.orders["pull_at_operation"] = self.orders["operations"] + operations

    def shrink(self, size_bytes: int) -> None:
        """What is beyond is gone, and the kernel knows; the cells stay. :meth:`grow` undoes it."""
        self.orders["size_bytes"] = size_bytes
        _run("losetup", "-c", self.device)

    def grow(self) -> None:
        """Its old size again."""
        self.shrink(self.cells.stat().st_size)

    def stop(self) -> None:
        """Nothing answers at all until :meth:`release`; whoever waits does so in the kernel."""
        self.orders["stopped"] = 1

    def release(self) -> None:
        self.orders["stopped"] = 0

    def close(self) -> None:
        """Detach, unmount, end the server, remove all but the cells. Idempotent."""
        if self.device:
            self.heal()
            try:
                detach(self.device)
            except AssertionError:  # somebody has it mounted still
                self._server.kill()
            self.device = ""
        if self._mount_point.exists():
            self.heal()
            self.orders.close()
            subprocess.run(["umount", "-l", str(self._mount_point)], check=False,
                           capture_output=True)
            self._server.wait(PATIENCE_S)
            if self._server.stdout is not None:
                self._server.stdout.close()
            self._mount_point.rmdir()
            self._told.unlink()


@contextlib.contextmanager
def faulty_disk(folder: Path, cells: Path, *, direct_io: bool = True) -> Iterator[FaultyDisk]:
    """A disk for the length of a block."""
    disk = FaultyDisk(folder, cells, direct_io=direct_io)
    try:
        yield disk
    finally:
        disk.close()


def _started(told: Path, cells: Path, mount_point: Path) -> subprocess.Popen[bytes]:
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.faulty_disk", str(told), str(cells), str(mount_point)],
        cwd=_PROJECT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert server.stdout is not None
    if server.stdout.readline() != b"serving\n":
        server.kill()
        server.wait()
        server.stdout.close()
        raise OSError(f"the disk that fails on command did not start at {mount_point}")
    return server


def _run(*words: str) -> str:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


# -- the server ------------------------------------------------------------------------------------

def _serve(told: Path, cells: Path, mount_point: Path) -> None:
    import mfusepy

    orders = Orders(told)
    descriptor = os.open(cells, os.O_RDWR | os.O_CLOEXEC)
    lock = threading.Lock()

    def refuse(number: int) -> None:
        raise mfusepy.FuseOSError(number)

    def operation(count: str, size: int) -> None:
        if orders["stopped"]:
            with lock:
                orders.add("waiting", 1)
            released = threading.Event()
            while orders["stopped"]:
                released.wait(0.002)  # memory wakes nobody
        with lock:
            number = orders.add("operations", 1)
            # in this order: heal() takes back the moment first, and then what came of it
            if not orders["pulled"] and number > orders["pull_at_operation"]:
                orders["mark_at_pull"] = orders["mark"]
                orders["pulled"] = 1
            if count:
                orders.add(count, size)
        if orders["pulled"]:
            refuse(errno.EIO)

    def pieces(at: int, size: int) -> Iterator[tuple[int, int]]:
        """(real address, bytes) of what lies at an address."""
        while size:
            real, span = orders["wrap_at"], orders["wrap_span"]
            if at < real:
                here, length = at, min(size, real - at)
            else:
                here = real - span + (at - real) % span
                length = min(size, real - here)
            yield here, length
            at += length
            size -= length

    class Disk(mfusepy.Operations):  # type: ignore[misc]
        use_ns = True

        def init(self, path: str) -> None:
            print("serving", flush=True)

        def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
            if path == "/":
                return {"st_mode": 0o40700, "st_nlink": 2}
            if path != "/disk":
                refuse(errno.ENOENT)
            return {"st_mode": 0o100600, "st_nlink": 1, "st_size": orders["size_bytes"]}

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            operation("read_bytes", size)
            if offset + size > orders["fail_reads_from"]:
                refuse(errno.EIO)
            data = bytearray(b"".join(os.pread(descriptor, length, at)
                                      for at, length in pieces(offset, size)))
            wrong = orders["flip_at"]
            if offset <= wrong < offset + len(data):
                data[wrong - offset] ^= 1
            return bytes(data)

        def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
            operation("written_bytes", len(data))
            if offset + len(data) > orders["fail_writes_from"]:
                refuse(errno.EIO)
            done = 0
            for at, length in pieces(offset, len(data)):
                if offset + done >= orders["drop_writes_from"]:
                    orders.add("dropped_bytes", length)
                else:
                    os.pwrite(descriptor, data[done:done + length], at)
                if at != offset + done:
                    orders.add("wrapped_bytes", length)
                done += length
            return len(data)

        def fsync(self, path: str, datasync: bool, fh: int) -> int:
            operation("", 0)
            return 0

    mfusepy.FUSE(Disk(), str(mount_point), foreground=True, direct_io=True, nothreads=False,
                 attr_timeout=0, fsname=str(cells), default_permissions=True)
    os.close(descriptor)


def missing_for(program: str) -> str:
    """As :func:`missing`, where `program` makes the file system on it."""
    return missing() or ("" if shutil.which(program) else f"{program} is not installed")


if __name__ == "__main__":
    _serve(*(Path(word) for word in sys.argv[1:4]))
