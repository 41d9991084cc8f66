"""What is said of drives that cannot be mounted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fieldrec.config.drives import DrivesConfig
from fieldrec.core.errors import DriveRejected
from fieldrec.drives import mount
from fieldrec.drives.udev import BlockDevice

TYPES = DrivesConfig().file_systems


def block(fs_type: str, fs_uuid: str = "A", usage: str = "filesystem", *,
          partitioned: bool = False) -> BlockDevice:
    return BlockDevice("/dev/sdz1", "8:1", fs_uuid, "FIELD", fs_type, 1000, None, None, usage,
                       partitioned=partitioned)


@pytest.mark.parametrize(("device", "words"), [
    (block("ext4"), ""), (block("ntfs"), ""), (block("ntfs3"), ""), (block("exfat"), ""),
    (block(""), "not formatted; format it as exFAT or ext4"),
    (block("", usage=""), "not formatted; format it as exFAT or ext4"),
    (block("crypto", usage="crypto"), "encrypted, and fieldrec has no key; use another, or format"),
    (block("LVM2_member", usage="raid"), "a set of disks (LVM2_member), of no use alone; use"),
    (block("swap", usage="other"), "a computer's swap space; use another, or format"),
    (block("bcache", usage="other"), "no file system, but bcache; use another, or format"),
    (block("iso9660"), "read-only by its nature (iso9660"),
    (block("ext4", partitioned=True), "it has partitions"),
    (block("hfsplus"), "file system hfsplus is not among drives.file_systems"),
    (block("ext4", ""), "no id"),
])
def test_unusable(device: BlockDevice, words: str) -> None:
    reason = mount.unusable(device, TYPES)
    assert words in reason
    assert bool(reason) is bool(words)


def test_either_name_of_ntfs_allows_it() -> None:
    for name in ("ntfs", "ntfs3"):
        assert mount.unusable(block("ntfs"), (name,)) == ""


@pytest.mark.asyncio
@pytest.mark.parametrize("what", ["file", "symlink", "full folder"])
async def test_something_else_at_the_mount_folder(tmp_path: Path, what: str) -> None:
    place = tmp_path / "A"
    if what == "file":
        place.write_text("")
    elif what == "symlink":
        place.symlink_to("/")
    else:
        (place / "x").mkdir(parents=True)
    with pytest.raises(DriveRejected, match="not an empty folder"):
        await mount.mount(block("ext4"), tmp_path)


@pytest.mark.asyncio
async def test_no_driver_for_it(tmp_path: Path) -> None:
    with pytest.raises(DriveRejected) as caught:
        await mount.mount(block("nosuchfs"), tmp_path)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())  # noqa: ASYNC240


@pytest.mark.asyncio
async def test_a_root_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DriveRejected, match=r"drives\.mount_root .*/file/x cannot be made: Not a "
                                            r"directory; run fieldrec as root"):
        await mount.mount(block("ext4"), tmp_path / "file/x")


@pytest.mark.asyncio
@pytest.mark.parametrize(("uid", "words"), [
    (65534, "only root may mount; run fieldrec as root .*, or have udisks2 mount"),
    (0, r"cannot be mounted as ext4 \(failed to open '/dev/sdz1': Permission denied\)")])
async def test_who_may_not_mount_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                            uid: int, words: str) -> None:
    """To root the same words mean a device that is protected."""
    async def refused(*_command: str, timeout_s: float) -> tuple[int, str]:
        monkeypatch.setattr(os, "geteuid", lambda: uid)
        return 1, "mount: failed to open '/dev/sdz1': Permission denied"

    monkeypatch.setattr(mount, "run", refused)
    with pytest.raises(DriveRejected, match=words):
        await mount.mount(block("ext4"), tmp_path)
