"""Lines of mountinfo, and what strangers' labels in them must not do to whoever reads them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from fieldrec.config.mounted_paths import may_hang, resolve_unasked
from fieldrec.core.mountinfo import read_mounts
from fieldrec.destinations.folder import FolderDestination
from fieldrec.destinations.limits import limits_at
from tests.fakes.mountinfo import TEXT


def test_lines() -> None:
    found = read_mounts(TEXT)
    assert [str(m.mount_point) for m in found] == [
        "/", "/media/my disk", "/mnt/a", "/mnt/b", "/mnt/c"]
    assert [m.read_only for m in found] == [False, False, True, True, True]
    disk = found[1]
    assert (disk.number, disk.fs_type, disk.source) == ("7:0", "fuseblk", "/dev/sdb1")
    assert disk.options == {"rw", "nosuid", "nodev"}
    assert [m.ident for m in found] == ["27", "42", "43", "44", "45"]


def test_a_label_in_a_mount_point_tears_no_line() -> None:
    """udisks names mount points after labels; these bytes end lines for str.splitlines."""
    for odd in ("\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\r"):
        line = f"36 35 8:1 / /media/root/A{odd}B rw,nosuid - ext4 /dev/sdz1 rw"
        found = read_mounts(line + "\n")
        assert [str(m.mount_point) for m in found] == [f"/media/root/A{odd}B"]


@pytest.mark.root
def test_a_drive_with_such_a_label_stops_nobody(tmp_path: Path) -> None:
    """Not those who load a configuration, nor those who copy to another place."""
    folder = tmp_path / "there"
    folder.mkdir()
    odd = os.fsencode(tmp_path) + b"/A\x0cB\x0cC\xe2\x80\xa8\xff\rD"
    Path(os.fsdecode(odd)).mkdir()
    subprocess.run([b"mount", b"-t", b"tmpfs", b"none", odd], check=True)
    try:
        assert resolve_unasked(tmp_path, Path("there")) == folder
        assert not may_hang(folder)
        descriptor = os.open(folder, os.O_RDONLY)
        limits_at(descriptor)
        os.close(descriptor)
        place = FolderDestination("there", folder)
        assert place.items() == []
        place.close()
    finally:
        subprocess.run([b"umount", odd], check=True)
