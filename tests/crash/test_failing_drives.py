"""Drives that lie or fail: counterfeit ones that wrap around, ones that drop writes, give other
bits than they were given, cannot write or read. Whatever it is, it is found before a source goes,
nothing of it has a final name, and what is said names the file and blames the drive.

A real ext4 on a disk that fails on command (tests/fakes/faulty_disk.py); where the bytes of the
recording come to lie is learnt from a copy that nobody disturbed.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldrec.catalogue.scan import scan
from fieldrec.core.errors import DestinationError, FieldrecError, VerifyMismatch
from fieldrec.core.model import FrameSpec
from fieldrec.destinations.drive import DriveDestination
from fieldrec.jobs import transfer
from fieldrec.jobs.suspects import is_fault
from tests.crash import whole
from tests.crash.running import quick_folder
from tests.fakes.export_content import write_store
from tests.fakes.faulty_disk import FaultyDisk
from tests.fakes.stick import Stick, missing, stick

pytestmark = [pytest.mark.root, pytest.mark.slow,
              pytest.mark.skipif(bool(missing("ext4")), reason=missing("ext4"))]
MB = 1 << 20
SPEC = FrameSpec((512, 1024), "uint8", "MONO8", 25.0)
FRAMES = 24
FIBMAP = 1
BLOCK = 4096
IN_FRONT = ("-b", str(BLOCK), "-E", "packed_meta_blocks=1", "-O", "^resize_inode")
"""The file system's own blocks come first, so that it is the recording that suffers."""
NAME = "bees"

WORKS: dict[str, Callable[..., object]] = {"copy": transfer.transfer, "move": transfer.move}


@dataclass
class Field:
    """A recording of 13 MB, a drive of 64 MB."""

    recordings: Path
    before: whole.Original
    stick: Stick
    first: int = 0
    end: int = 0
    """Where on the drive its bytes come to lie; those of its proof come after them."""

    def do(self, work: str) -> Any:
        """A job's work, with the drive in."""
        recording, = scan(self.recordings)
        with closing(DriveDestination("drive:STICK", self.stick.mount_point, "fieldrec",
                                      device=Path(self.stick.device), gone=lambda: False)) as place:
            return WORKS[work](recording, place, stop=threading.Event())

    def again(self) -> FaultyDisk:
        """The drive as it was at first, in."""
        if self.stick.is_in:
            self.stick.disk.heal()
            self.stick.take_out()
        self.stick.reset()
        self.stick.put_in()
        return self.stick.disk

    def wrong(self) -> list[str]:
        """With I4, I5 and the source, once the drive was taken out and is healthy again."""
        self.stick.take_out()
        self.stick.heal()
        folder = self.stick.mount_point / "fieldrec"
        try:
            self.stick.put_in()
        except OSError:  # nothing can be read of it any more
            folder = self.recordings / "none"
        return (whole.broken_items(folder) + whole.lost(self.recordings, folder, self.before)
                + [f"{name} has gone from the source" for name in self.before.items
                   if whole.files_in(self.recordings / name) != self.before.items[name]])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with quick_folder(tmp_path_factory.mktemp("failing")) as folder:
        recordings = folder / "recordings"
        recordings.mkdir()
        random = np.random.default_rng(1)
        write_store(recordings / NAME, [random.integers(0, 256, SPEC.shape, np.uint8)
                                        for _ in range(FRAMES)], SPEC)
        with stick(folder, "ext4", 64 * MB, options=IN_FRONT) as drive:
            field = Field(recordings, whole.original(recordings, NAME), drive)
            field.again()
            field.do("copy")
            copied = drive.mount_point / "fieldrec" / NAME
            places = [place(file) for file in copied.rglob("*") if file.is_file()
                      and not whole.is_proof(file.relative_to(copied).as_posix())]
            field.first, field.end = min(map(min, places)), max(map(max, places)) + BLOCK
            size = sum(map(len, field.before.items[NAME].values()))
            assert field.end - field.first < size * 1.1, "they lie in one piece"
            yield field


@pytest.fixture
def field(prepared: Field) -> Field:
    prepared.again()
    for name, files in prepared.before.items.items():  # a test that failed may have cost it
        for relative, data in files.items():
            path = prepared.recordings / name / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_bytes(data)
    return prepared


def place(file: Path) -> tuple[int, int]:
    """Where a file's first and last block lie on the device."""
    with file.open("rb") as opened:
        last = max(os.fstat(opened.fileno()).st_size - 1, 0) // BLOCK
        found = [fcntl.ioctl(opened, FIBMAP, struct.pack("i", block)) for block in (0, last)]
    first_at, last_at = (struct.unpack("i", at)[0] * BLOCK for at in found)
    return first_at, last_at


@pytest.mark.parametrize("work", sorted(WORKS))
@pytest.mark.parametrize("past", [1 * MB, 8 * MB, "half"])
def test_a_drive_that_wraps_around(field: Field, work: str, past: int | str) -> None:
    """A recording that goes so far past what the drive has overwrites its own beginning."""
    size = field.end - field.first
    over = size // 2 if isinstance(past, str) else past
    disk = field.stick.disk
    disk.wrap(field.end - over, span_bytes=size - over)
    disk.orders["wrapped_bytes"] = 0
    with pytest.raises(VerifyMismatch, match=rf"{NAME}/\d+/.* read back from drive:STICK differs "
                       "from what was written; the source is kept; check or replace that medium"):
        field.do(work)
    assert disk.orders["wrapped_bytes"] > over // 2, "control: it was overwritten"
    assert field.wrong() == []


FAULTS: dict[str, tuple[Callable[[Field, FaultyDisk], None], str]] = {
    "cannot write": (lambda field, disk: disk.fail_writes(field.end - 2 * MB),
                     r"drive:STICK: .*(bees/|sync failed).*Input/output error"),
    "cannot read": (lambda field, disk: disk.fail_reads(field.end - 2 * MB),
                    r"drive:STICK: bees/\d+/.*Input/output error; the medium is failing"),
    "drops writes": (lambda field, disk: disk.drop_writes(field.end - 2 * MB),
                     r"bees/\d+/.* read back from drive:STICK differs"),
    "drops what proves it": (lambda field, disk: disk.drop_writes(field.end),
                              "read back from drive:STICK differs"),
    "flips a bit": (lambda field, disk: disk.flip((field.first + field.end) // 2 + 17),
                    r"bees/\d+/\d+.npy read back from drive:STICK differs"),
}


@pytest.mark.parametrize("work", sorted(WORKS))
@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_drive_that_fails(field: Field, fault: str, work: str) -> None:
    begin, said = FAULTS[fault]
    begin(field, field.stick.disk)
    with pytest.raises((VerifyMismatch, DestinationError), match=said) as raised:
        field.do(work)
    assert is_fault("drive:STICK", raised.value), "it counts against the drive"
    assert "\n" not in str(raised.value)
    assert field.wrong() == []


def test_a_copy_that_went_bad_on_the_drive_since_then_lets_no_source_go(field: Field) -> None:
    """Committed and verified at an earlier visit; by now a bit of it reads wrong."""
    field.do("copy")
    frame = field.stick.mount_point / "fieldrec" / NAME / NAME / "000000" / "000007.npy"
    at = place(frame)[0] + 4000
    field.stick.take_out()
    field.stick.put_in()
    field.stick.disk.flip(at)
    with pytest.raises(VerifyMismatch, match=r"000007\.npy .*is not what was recorded"):
        field.do("move")
    field.stick.disk.heal()
    assert field.wrong() == []


def test_a_drive_that_does_not_answer_holds_nobody_but_its_own_copy(field: Field) -> None:
    """Stopped in the middle: the copy waits in the kernel; released, it ends well."""
    disk = field.stick.disk
    ended: list[FieldrecError | None] = []

    def work() -> None:
        try:
            field.do("copy")
            ended.append(None)
        except FieldrecError as error:
            ended.append(error)

    disk.stop()
    copying = threading.Thread(target=work)
    copying.start()
    try:
        while not disk.orders["waiting"]:
            copying.join(0.01)
        assert ended == []
        assert whole.files_in(field.recordings / NAME) == field.before.items[NAME]
    finally:
        disk.release()
        copying.join()
    assert ended == [None]
    assert field.wrong() == []
