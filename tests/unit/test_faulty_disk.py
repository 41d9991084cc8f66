"""The disk that fails on command does what it is told: what is proven with it rests on that."""

from __future__ import annotations

import errno
import mmap
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.crash.running import quick_folder
from tests.fakes.faulty_disk import FaultyDisk, faulty_disk, missing

pytestmark = [pytest.mark.root, pytest.mark.skipif(bool(missing()), reason=missing())]
BLOCK = 4096
SIZE = 64 * BLOCK


class Device:
    """A disk's blocks, read and written past every cache."""

    def __init__(self, disk: FaultyDisk) -> None:
        self._descriptor = os.open(disk.device, os.O_RDWR | os.O_DIRECT)
        self._page = mmap.mmap(-1, BLOCK)

    def write(self, block: int, letter: bytes) -> None:
        self._page[:] = letter * BLOCK
        os.pwrite(self._descriptor, self._page, block * BLOCK)

    def read(self, block: int) -> bytes:
        """The letters that are in it, each once."""
        os.preadv(self._descriptor, [self._page], block * BLOCK)
        return bytes(sorted(set(self._page[:])))

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


@pytest.fixture(params=[True, False], ids=["direct", "buffered"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FaultyDisk]:
    with quick_folder(tmp_path) as folder:
        (folder / "cells").write_bytes(bytes(SIZE))
        with faulty_disk(folder, folder / "cells", direct_io=request.param) as disk:
            yield disk
        assert sorted(path.name for path in folder.iterdir()) == ["cells"]


@pytest.fixture
def device(disk: FaultyDisk) -> Iterator[Device]:
    with closing(Device(disk)) as device:
        yield device


def test_errors_lies_and_mixed_up_addresses(disk: FaultyDisk, device: Device) -> None:
    device.write(1, b"a")
    assert (device.read(1), disk.cells.read_bytes()[BLOCK:BLOCK + 3]) == (b"a", b"aaa")
    disk.fail_writes(from_byte=8 * BLOCK)
    device.write(7, b"b")
    with pytest.raises(OSError, match="Input/output") as raised:
        device.write(8, b"b")
    assert raised.value.errno == errno.EIO
    disk.heal()
    disk.fail_reads(from_byte=7 * BLOCK)
    assert device.read(1) == b"a"
    with pytest.raises(OSError, match="Input/output"):
        device.read(7)
    disk.heal()
    disk.drop_writes(from_byte=9 * BLOCK)
    device.write(9, b"c")
    device.write(8, b"c")
    assert (device.read(8), device.read(9)) == (b"c", b"\0")
    assert disk.orders["dropped_bytes"] == BLOCK
    disk.heal()
    disk.flip(1 * BLOCK + 17)
    assert device.read(1) == b"`a", "one bit of one byte"
    disk.heal()
    assert device.read(1) == b"a", "it only reads wrong"


def test_a_counterfeit_wraps_around(disk: FaultyDisk, device: Device) -> None:
    disk.wrap(16 * BLOCK)
    for block in range(24):
        device.write(block, bytes([65 + block]))
    assert [device.read(block) for block in (0, 7, 8, 15)] == [b"Q", b"X", b"I", b"P"]
    assert device.read(16) == device.read(0)
    assert disk.orders["wrapped_bytes"] == 8 * BLOCK
    disk.wrap(16 * BLOCK, span_bytes=2 * BLOCK)
    for block, letter in ((14, b"a"), (15, b"b"), (16, b"c"), (19, b"d")):
        device.write(block, letter)
    assert [device.read(block) for block in (13, 14, 15)] == [b"N", b"c", b"d"]


def test_pulled_out_at_once_and_at_an_operation(disk: FaultyDisk, device: Device) -> None:
    disk.pull()
    for attempt in (lambda: device.read(0), lambda: device.write(0, b"x"), device.sync):
        with pytest.raises(OSError, match="Input/output"):
            attempt()
    disk.heal()
    disk.pull_after(2)
    written = 0
    with pytest.raises(OSError, match="Input/output"):
        for block in range(3):  # the machine's udevd may look at the device meanwhile, and counts
            device.write(block, b"a")
            written += 1
    with pytest.raises(OSError, match="Input/output"):
        device.read(0)
    disk.heal()
    assert [device.read(block) for block in range(3)] == [b"a"] * written + [b"\0"] * (3 - written)


def test_it_stops_until_it_is_released(disk: FaultyDisk, device: Device) -> None:
    device.write(3, b"d")
    disk.stop()
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(device.read(3)))
    reader.start()
    try:
        while not disk.orders["waiting"]:
            reader.join(0.01)
        assert found == []
    finally:
        disk.release()
        reader.join()
    assert found == [b"d"]


def test_a_disk_that_shrank_says_so_to_the_kernel(disk: FaultyDisk) -> None:
    disk.shrink(BLOCK)
    told = subprocess.run(["blockdev", "--getsize64", disk.device], check=True,
                          capture_output=True, text=True)
    assert int(told.stdout) == BLOCK
