"""The drives' state machine and its leases; no drive needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldrec.core.errors import (
    DriveBusy,
    DriveGone,
    DriveRejected,
    NotFoundError,
    StateError,
    UsageError,
)
from fieldrec.core.model import Drive, DriveState
from fieldrec.drives.table import LONGEST_MEMORY, DriveTable, Key

POINT = Path("/run/fieldrec/drives/A")


class Box:
    """A table that counts its changes."""

    def __init__(self) -> None:
        self.changes = 0
        self.table = DriveTable(self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def seen(self, fs_uuid: str = "A", device: str = "/dev/sda1", label: str = "FIELD") -> Key:
        return self.table.seen(Drive(fs_uuid, label, device, None, "ext4", 5000, 1000, 0,
                                     DriveState.SEEN))

    def ready(self, fs_uuid: str = "A", device: str = "/dev/sda1", label: str = "FIELD") -> Key:
        key = self.seen(fs_uuid, device, label)
        self.table.mounting(key)
        self.table.ready(key, POINT, 1000, 900)
        return key

    def state(self, key: Key) -> DriveState:
        drive = self.table.get(key)
        assert drive is not None
        return drive.state


@pytest.fixture
def box() -> Box:
    return Box()


def test_the_whole_life(box: Box) -> None:
    key = box.ready()
    assert box.table.drives() == (
        Drive("A", "FIELD", "/dev/sda1", POINT, "ext4", 5000, 1000, 900, DriveState.READY,
              insertion=1),)
    box.table.ejecting(key)
    box.table.safe(key, "advice")
    drive = box.table.get(key)
    assert drive is not None
    assert (drive.state, drive.mount_point, drive.reason) == (DriveState.SAFE, None, "advice")
    box.table.absent(key)
    assert box.state(key) is DriveState.ABSENT
    assert box.changes == 6


def test_a_drive_that_is_rejected_while_leased_voids_the_lease(box: Box) -> None:
    key = box.ready()
    lease = box.table.lease("A")
    box.table.rejected(key, "it has recordings on it")
    with pytest.raises(DriveGone):
        lease.check()
    assert box.state(key) is DriveState.REJECTED


def test_lease_and_give_back(box: Box) -> None:
    key = box.ready()
    with box.table.lease("A") as lease:
        lease.check()
        assert (lease.fs_uuid, lease.name, lease.mount_point) == ("A", "FIELD", POINT)
        assert box.table.leases(key) == box.table.drives()[0].leases == 1
        with box.table.lease("A"):
            assert box.table.leases(key) == 2
    assert box.table.leases(key) == 0
    before = box.changes
    lease.release()
    assert box.changes == before


def test_pulled_out_while_leased(box: Box) -> None:
    key = box.ready()
    lease = box.table.lease("A")
    box.table.absent(key)
    assert lease.gone
    with pytest.raises(DriveGone, match="drive FIELD was pulled out"):
        lease.check()
    with pytest.raises(DriveGone):
        box.table.lease("A")
    drive = box.table.get(key)
    assert drive is not None
    assert (drive.leases, drive.reason) == (0, "pulled out while it was being written")
    before = box.changes
    box.table.absent(key)
    lease.release()
    assert box.changes == before


def test_a_void_lease_gives_nothing_back_to_the_drive_that_came_again(box: Box) -> None:
    key = box.ready()
    old = box.table.lease("A")
    box.table.absent(key)
    box.ready()
    new = box.table.lease("A")
    old.release()
    assert (box.table.leases(key), new.gone) == (1, False)


def test_seen_again_without_a_farewell_voids_leases(box: Box) -> None:
    box.ready()
    lease = box.table.lease("A")
    box.seen()
    assert lease.gone


def test_ejecting_refuses(box: Box) -> None:
    key = box.ready()
    box.table.lease("A")
    box.table.ejecting(key)
    with pytest.raises(DriveBusy, match="FIELD is ejecting"):
        box.table.lease("A")
    with pytest.raises(DriveBusy):
        box.table.ejecting(key)
    box.table.eject_failed(key, "held by bash (1)")
    assert box.table.drives()[0].reason == "held by bash (1)"
    box.table.lease("A").release()


def test_no_lease_before_ready_after_safe_or_when_rejected(box: Box) -> None:
    with pytest.raises(NotFoundError, match="put it in first"):
        box.table.lease("A")
    key = box.seen()
    for state in (DriveState.SEEN, DriveState.MOUNTING):
        with pytest.raises(DriveBusy, match=state.value):
            box.table.lease("A")
        if state is DriveState.SEEN:
            box.table.mounting(key)
    box.table.rejected(key, "read-only")
    with pytest.raises(DriveRejected, match="drive FIELD: read-only"):
        box.table.lease("A")
    with pytest.raises(DriveRejected):
        box.table.ejecting(key)
    key = box.ready("B", "/dev/sdb1")
    box.table.ejecting(key)
    box.table.safe(key)
    with pytest.raises(DriveBusy, match="safe to remove"):
        box.table.lease("B")


def test_illegal_steps_raise(box: Box) -> None:
    key = box.seen()
    with pytest.raises(StateError, match="drive FIELD: cannot go from seen to ready"):
        box.table.ready(key, POINT, 1, 1)
    with pytest.raises(StateError):
        box.table.safe(key)
    with pytest.raises(StateError):
        box.table.eject_failed(key, "")


def test_a_clone_is_rejected_and_the_first_stays(box: Box) -> None:
    first = box.ready()
    with pytest.raises(DriveRejected, match="same file-system id as /dev/sda1"):
        box.seen(device="/dev/sdb1")
    assert box.state(("A", "/dev/sdb1")) is DriveState.REJECTED
    with box.table.lease("A"):
        assert box.table.leases(first) == 1


def test_drives_without_an_id_are_no_clones(box: Box) -> None:
    box.seen("", "/dev/sda1")
    box.seen("", "/dev/sdb1")


def test_the_same_drive_on_another_device_replaces_its_memory(box: Box) -> None:
    box.table.absent(box.ready())
    box.ready(device="/dev/sdb1")
    assert [drive.device for drive in box.table.drives()] == ["/dev/sdb1"]
    with box.table.lease("A") as lease:
        assert not lease.gone


def test_what_a_dying_drive_was_last_seen_as_is_not_remembered(box: Box) -> None:
    box.table.absent(box.ready())
    box.table.absent(box.seen("", "/dev/sda1", ""))
    box.ready(device="/dev/sdb1")
    assert [drive.state for drive in box.table.drives()] == [DriveState.READY]


def test_only_a_few_are_remembered(box: Box) -> None:
    for number in range(LONGEST_MEMORY + 5):
        box.table.absent(box.seen(f"U{number}", "/dev/sda1"))
    assert len(box.table.drives()) <= LONGEST_MEMORY + 1
    assert box.table.drives()[-1].fs_uuid == f"U{LONGEST_MEMORY + 4}"


def test_measured(box: Box) -> None:
    key = box.ready()
    before = box.changes
    box.table.measured(key, 900)
    box.table.measured(("X", "/dev/null"), 1)
    assert box.changes == before
    box.table.measured(key, 500)
    assert (box.table.drives()[0].free_bytes, box.changes) == (500, before + 1)


def test_one_that_is_safe_to_remove_stands_in_nobodys_way(box: Box) -> None:
    """The drive before was switched off and taken out, of which there is no event."""
    before = box.ready("A", "/dev/sda1", "FIELD")
    box.table.ejecting(before)
    box.table.safe(before)
    key = box.ready("B", "/dev/sda1", "FIELD")
    assert [box.table.find(which) for which in ("B", "/dev/sda1", "FIELD")] == [key] * 3
    assert box.table.find("A") == before


def test_find(box: Box) -> None:
    first = box.ready("A", "/dev/sda1", "ONE")
    box.ready("B", "/dev/sdb1", "TWO")
    box.seen("C", "/dev/sdc1", "TWO")
    for which in ("A", "ONE", "/dev/sda1"):
        assert box.table.find(which) == first
    with pytest.raises(UsageError, match=r"2 drives are called so.*/dev/sdb1, /dev/sdc1"):
        box.table.find("TWO")
    with pytest.raises(NotFoundError, match=r"there are: ONE \(/dev/sda1\)"):
        box.table.find("X")
    box.table.absent(first)
    with pytest.raises(NotFoundError):
        box.table.find("ONE")
    with pytest.raises(NotFoundError):
        box.table.find("")
