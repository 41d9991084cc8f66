"""The parts of one disk: what is pulled out is the disk, with every partition on it.

On the event loop; reads mountinfo and sysfs, which the kernel answers from memory.
"""

from __future__ import annotations

from collections.abc import Mapping

from fieldrec.drives.labels import printable
from fieldrec.drives.mounts import mounts_on_disk
from fieldrec.drives.table import IN_USE, DriveTable, Key, name_of
from fieldrec.drives.udev import BlockDevice


def others_in_use(key: Key, blocks: Mapping[Key, BlockDevice], table: DriveTable) -> list[str]:
    """What else on the disk of this drive is in use, so that it must not be taken out yet: names of
    drives, mount points of what is no drive of ours."""
    block = blocks.get(key)
    if block is None or not block.disk:
        return []
    names, by_number = set(), {}
    for other, its in blocks.items():
        drive = table.get(other)
        if other == key or its.disk != block.disk or drive is None:
            continue
        by_number[its.number] = name_of(drive)
        if drive.state in IN_USE:
            names.add(name_of(drive))
    for mounted in mounts_on_disk(block.disk):
        names.add(by_number.get(mounted.number, printable(str(mounted.mount_point), 80)))
    return sorted(names)
