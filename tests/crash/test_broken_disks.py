"""A disk that is full, cannot be written, goes read-only or loses its end under several cameras:
they go on in the next folder without a missing number; without one they end in order, saying why.
I1, I2, I8 and I9, on real file systems.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.crash.broken_disks import (
    assert_without_gap,
    kept,
    promised_until_ns,
    recording,
)
from tests.crash.ledger import Rows
from tests.crash.running import quick_folder
from tests.fakes.loop_devices import LoopDisk, Memory, loop_disk, memory, missing_for, now_ns

MB = 1 << 20
pytestmark = [pytest.mark.root, pytest.mark.slow]


class Rig:
    """Folders for a test, and disks in them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.spare = folder / "spare"
        self._stack = stack

    def memory(self, size_bytes: int) -> Memory:
        return self._stack.enter_context(memory(self.folder / "memory", size_bytes))

    def disk(self, file_system: str, size_bytes: int, *options: str, inside: Path | None = None
             ) -> LoopDisk:
        return self._stack.enter_context(
            loop_disk(inside or self.folder, file_system, size_bytes, *options))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    missing = missing_for("ext4") or missing_for("xfs")
    if missing:
        pytest.skip(f"broken disks: {missing}")
    with quick_folder(tmp_path) as folder, ExitStack() as stack:
        yield Rig(folder, stack)


def fill(folder: Path, free_bytes: int) -> None:
    """Leave just so much of a file system."""
    figures = os.statvfs(folder)
    with (folder / "ballast").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, figures.f_bavail * figures.f_frsize - free_bytes)


# -- there is another folder ---------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("medium", ["tmpfs", "ext4"])
async def test_a_full_disk_is_left_without_a_missing_number(medium: str, rig: Rig) -> None:
    root = (rig.memory(64 * MB).folder if medium == "tmpfs"
            else rig.disk("ext4", 96 * MB).mount_point)
    fill(root, 12 * MB)
    full = root / "recordings"
    async with recording(full, rig.spare) as box:
        await box.recorded(20, rig.spare)
        assert box.said("goes on in") >= 1
        await box.app.control.stop()
        assert all((one.lost, one.dropped) == (0, 0) for one in box.status())
    assert not list(full.glob("*/.lock")), "what was left was not closed in order"
    for found in kept(box.ledger.rows(), full, rig.spare).values():
        assert_without_gap(found.numbers, 32)


@pytest.mark.asyncio
@pytest.mark.parametrize("file_system", ["ext4", "xfs"])
async def test_a_disk_that_cannot_be_written_is_left(file_system: str, rig: Rig) -> None:
    """Blocks that were not written before fail with EIO; what was written stays readable."""
    under = rig.memory(512 * MB)
    disk = rig.disk(file_system, 400 * MB, inside=under.folder)
    bad = disk.mount_point / "recordings"
    async with recording(bad, rig.spare) as box:
        under.freeze()
        broken_ns = now_ns()
        await box.recorded(20, rig.spare)
        await box.app.control.stop()
    under.resize(512 * MB)
    disk.repair()
    check_left(broken_ns, box.ledger.rows(), bad, rig.spare)


@pytest.mark.asyncio
async def test_a_disk_that_turns_read_only_is_left(rig: Rig) -> None:
    """As ext4 does when it finds itself damaged."""
    disk = rig.disk("ext4", 96 * MB, "errors=remount-ro")
    bad = disk.mount_point / "recordings"
    async with recording(bad, rig.spare) as box:
        broken_ns = now_ns()
        disk.find_error()
        await box.recorded(20, rig.spare)
        assert disk.refuses_writing
        await box.app.control.stop()
    disk.repair()
    check_left(broken_ns, box.ledger.rows(), bad, rig.spare)


@pytest.mark.asyncio
async def test_a_file_system_that_shuts_itself_down_is_left(rig: Rig) -> None:
    """As xfs does when its log cannot be written."""
    disk = rig.disk("xfs", 400 * MB)
    bad = disk.mount_point / "recordings"
    async with recording(bad, rig.spare) as box:
        broken_ns, _ = disk.go_down()
        await box.recorded(20, rig.spare)
        await box.app.control.stop()
    disk.repair()
    check_left(broken_ns, box.ledger.rows(), bad, rig.spare)


def check_left(broken_ns: int, rows: Rows, bad: Path, spare: Path) -> None:
    """Nothing is missing but the youngest of what was on the disk when it broke."""
    for key, found in kept(rows, bad, spare).items():
        assert found.numbers[0] == 0
        assert set(range(found.numbers[-1] + 1)) - set(found.numbers) == set(
            found.missing["number"].tolist()), key
        for row in found.missing:
            assert row["done_ns"] > promised_until_ns(rows, broken_ns), key


@pytest.mark.asyncio
async def test_a_disk_that_loses_its_end_is_left(rig: Rig) -> None:
    """What lay in the part that is gone is gone; what came after is in the other folder."""
    disk = rig.disk("ext4", 96 * MB)
    bad = disk.mount_point / "recordings"
    async with recording(bad, rig.spare) as box:
        disk.shrink(1 * MB)
        await box.recorded(20, rig.spare)
        await box.app.control.stop()
    for found in kept(box.ledger.rows(), rig.spare).values():
        assert len(found.numbers) >= 10
        assert found.numbers == list(range(found.numbers[0], found.numbers[-1] + 1)), found.numbers


# -- there is no other folder --------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_full_disk_ends_the_recording_in_order(rig: Rig) -> None:
    root = rig.disk("ext4", 96 * MB).mount_point
    fill(root, 12 * MB)
    full = root / "recordings"
    async with recording(full) as box:
        await box.until(lambda: not box.app.board.latest.recording)
        assert any("full" in one.stop_reason or "used" in one.stop_reason for one in box.status())
    assert not list(full.glob("*/.lock"))
    for found in kept(box.ledger.rows(), full).values():
        assert_without_gap(found.numbers, 12)


@pytest.mark.asyncio
async def test_a_disk_that_cannot_be_written_is_said_and_its_stores_are_recovered(rig: Rig) -> None:
    under = rig.memory(256 * MB)
    disk = rig.disk("ext4", 96 * MB, inside=under.folder)
    bad = disk.mount_point / "recordings"
    async with recording(bad) as box:
        under.freeze()
        broken_ns = now_ns()
        await box.until(lambda: all(
            any(one.key in event.text and event.severity == "error"
                for event in box.app.events.latest()) for one in box.status()))
    under.resize(256 * MB)
    disk.repair()
    rows = box.ledger.rows()
    for key, found in kept(rows, bad).items():
        assert found.numbers[:1] == [0]
        for row in found.missing:
            assert row["done_ns"] > promised_until_ns(rows, broken_ns), key
