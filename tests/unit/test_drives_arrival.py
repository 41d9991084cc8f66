"""What keeps a drive out before it is touched, and what is said of one that was let in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from fieldrec.config.drives import DrivesConfig
from fieldrec.drives.arrival import Arrival, drive_of
from fieldrec.drives.mounted import Mounted
from fieldrec.drives.udev import BlockDevice
from fieldrec.drives.work import DriveWork

BLOCK = BlockDevice("/dev/sdb1", "8:17", "71C7-17D6", "BEES", "exfat", 10**12, 480, None)


def arrival(**drives: Any) -> Arrival:
    return Arrival(DrivesConfig.model_validate(drives), cast(Mounted, None), DriveWork(),
                   lambda _text, _severity: None, (Path("/nowhere"),))


@pytest.mark.parametrize(("drives", "block", "reason"), [
    ({}, BLOCK, ""),
    ({}, replace(BLOCK, fs_type=""), "not formatted; "),
    ({"require_usb3": True}, BLOCK, "on USB 2 (480 Mb/s), and drives.require_usb3 is set; "),
    ({"require_usb3": True}, replace(BLOCK, link_mbps=5000), ""),
    ({"require_usb3": True}, replace(BLOCK, link_mbps=None), ""),
    ({"accept": "uuid:1"}, BLOCK, "not among drives.accept (uuid:1); "),
    ({"accept": "marked"}, BLOCK, ""),  # its marker must be looked for
    ({"accept": ["marked", "label:B*"], "require_usb3": True}, BLOCK, "on USB 2"),
])
def test_what_udev_says_keeps_it_out(drives: dict[str, Any], block: BlockDevice, reason: str
                                     ) -> None:
    told = arrival(**drives).refused(block)
    assert told.startswith(reason)
    assert bool(told) == bool(reason)


def test_a_slow_link_is_named_where_nothing_is_planned_for_it() -> None:
    """Where something is, the plan says it, with the time that it will cost."""
    drive = replace(drive_of(BLOCK), free_bytes=4 * 10**11)
    assert arrival().welcome(drive) == [
        ("drive BEES is ready: 400.0 GB of 1000.0 GB free, exfat", "info")]
    assert arrival(on_insert="nothing").welcome(drive)[1:] == [
        ("drive BEES is on USB 2 (480 Mb/s); use a blue port", "warning")]
    assert len(arrival(on_insert="nothing").welcome(replace(drive, link_mbps=5000))) == 1
