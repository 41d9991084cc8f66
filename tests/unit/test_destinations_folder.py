"""The folder: what is planted there, what is missing, and that read-back comes from the medium."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from fieldrec.core import durable
from fieldrec.core.errors import DestinationError, FieldrecError, JobRefused
from fieldrec.destinations import File, _beneath, _tree
from fieldrec.destinations._item_files import ItemFiles
from fieldrec.destinations.folder import FolderDestination, errno_of, folder_failure
from fieldrec.jobs.transfer import check_proves
from tests.fakes.copies import history
from tests.fakes.loop_devices import attach, detach
from tests.fakes.sources import Given
from tests.fakes.stick import missing

EXT4 = ("mkfs.ext4", "-q", "-F", "-m", "0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "nas"
    path.mkdir()
    return path


@pytest.fixture
def place(folder: Path) -> Iterator[FolderDestination]:
    destination = FolderDestination("nas", folder)
    yield destination
    destination.close()


def test_a_missing_folder_is_not_created(tmp_path: Path) -> None:
    destination = FolderDestination("nas", tmp_path / "gone")
    with pytest.raises(DestinationError, match="gone is missing; create it, or mount"):
        destination.begin("bees")
    assert not (tmp_path / "gone").exists()


def test_files_of_somebody_else_are_not_looked_at_one_by_one(
        folder: Path, place: FolderDestination, monkeypatch: pytest.MonkeyPatch) -> None:
    """10^6 of them would take minutes."""
    for number in range(20):
        (folder / f"theirs-{number}.mp4").touch()
    for name in ("ours.mp4", "ours.mp4.json", ".hidden.mp4", ".hidden.mp4.json", "alone.json"):
        (folder / name).touch()
    (folder / "link.mp4").symlink_to("ours.mp4")
    (folder / "link.mp4.json").touch()
    (folder / "piped.mp4").touch()
    os.mkfifo(folder / "piped.mp4.json")
    looks: list[Path] = []
    kind = _tree.kind

    def seen(parent: int, path: Path) -> str | None:
        looks.append(path)
        return kind(parent, path)

    monkeypatch.setattr(_tree, "kind", seen)
    assert place.items() == place.movies("o") == ["ours.mp4"]
    assert list(place.movies("theirs")) == []
    assert looks == []


def test_a_file_where_the_folder_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DestinationError, match="missing"):
        FolderDestination("nas", tmp_path / "file").free_bytes()


def test_what_must_stay_free_is_not_offered(folder: Path) -> None:
    with closing(FolderDestination("nas", folder)) as whole, \
            closing(FolderDestination("nas", folder, keep_free_bytes=10**18)) as kept:
        assert whole.free_bytes() > 0
        assert kept.free_bytes() == 0


def test_a_planted_link_at_the_unfinished_directory_is_refused(
        place: FolderDestination, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (folder / ".part-bees").symlink_to(target)
    with pytest.raises(JobRefused, match="in the way"):
        place.begin("bees")
    with pytest.raises(JobRefused, match="in the way"):
        place.write("bees", Given(tmp_path / "source", {"a": b"x"}), nothing)
    place.abort("bees")
    assert list(target.iterdir()) == []
    assert (folder / ".part-bees").is_symlink()


def test_a_planted_link_inside_the_unfinished_directory_is_refused(
        place: FolderDestination, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (folder / ".part-bees").mkdir()
    (folder / ".part-bees" / "000000").symlink_to(target)
    with pytest.raises(JobRefused):
        place.begin("bees")
    with pytest.raises(JobRefused):
        place.write("bees", Given(tmp_path / "source", {"000000/a": b"x"}), nothing)
    with item_files(folder) as files, pytest.raises(JobRefused):
        files.new(File("000000/a", folder, 1, 0))  # planted after it was looked at
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("relative", ["", "a"])
def test_a_planted_link_at_a_file_is_refused(place: FolderDestination, folder: Path,
                                             tmp_path: Path, relative: str) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    if relative:
        (folder / ".part-bees").mkdir()
        (folder / ".part-bees" / relative).symlink_to(target)
    else:
        (folder / ".part-bees").symlink_to(target)
    source = Given(tmp_path / "source", {relative: b"x"})
    with pytest.raises(JobRefused):
        place.write("bees", source, nothing)
    with pytest.raises(JobRefused):
        place.verify("bees", source, nothing)
    with item_files(folder) as files, pytest.raises(JobRefused):
        files.new(File(relative, folder, 1, 0))  # planted after it was looked at
    assert target.read_text() == "precious"


def test_a_planted_fifo_is_refused_and_does_not_hang(place: FolderDestination, folder: Path,
                                                     tmp_path: Path) -> None:
    os.mkfifo(folder / ".part-bees")
    with pytest.raises(JobRefused):
        place.begin("bees")
    with pytest.raises(JobRefused):
        place.verify("bees", Given(tmp_path / "source", {"": b"x"}), nothing)


def test_a_planted_link_at_the_final_name_or_manifest_is_not_followed(
        place: FolderDestination, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    for relative, data in history(b"{}").items():
        (target / relative).parent.mkdir(exist_ok=True)
        (target / relative).write_bytes(data)
    (folder / "bees").symlink_to(target)
    assert place.taken("bees")
    assert place.committed("bees") is None
    assert place.items() == []
    (folder / "wasps").mkdir()
    (folder / "wasps" / "ascmhl").symlink_to(target / "ascmhl")
    assert place.committed("wasps") is None
    (folder / "flies" / "ascmhl").mkdir(parents=True)
    for path in (target / "ascmhl").iterdir():
        (folder / "flies" / "ascmhl" / path.name).symlink_to(path)
    assert place.committed("flies") is None
    assert place.items() == []


def test_a_manifest_that_the_chain_does_not_list_proves_nothing(
        place: FolderDestination, folder: Path, tmp_path: Path) -> None:
    place.begin("bees")
    place.write("bees", Given(tmp_path / "source", {"bees/a": b"x"}), nothing)
    place.commit("bees", history(b"ours"))
    manifest, = (folder / "bees" / "ascmhl").glob("*.mhl")
    chain = folder / "bees" / "ascmhl" / "ascmhl_chain.xml"
    assert place.committed("bees") == b"ours"
    manifest.write_bytes(b"another's")
    assert place.committed("bees") is None
    manifest.unlink()
    assert place.committed("bees") is None
    manifest.write_bytes(b"ours")
    chain.write_bytes(b"")
    assert place.committed("bees") is None
    assert place.taken("bees")


def test_what_an_earlier_commit_left_does_not_stay(
        place: FolderDestination, folder: Path, tmp_path: Path) -> None:
    place.begin("bees")
    place.write("bees", Given(tmp_path / "source", {"bees/a": b"x"}), nothing)
    (folder / ".part-bees" / "ascmhl").mkdir()
    (folder / ".part-bees" / "ascmhl" / "0001_bees_2020-01-01_000000Z.mhl").write_text("cut")
    assert place.begin("bees") == {"bees/a": 1}
    place.commit("bees", history(b"ours"))
    assert len(list((folder / "bees" / "ascmhl").iterdir())) == 2
    assert place.sizes("bees") == {"bees/a": 1}


def test_a_full_disk_is_told_as_such(place: FolderDestination, tmp_path: Path) -> None:
    def full(step: str, path: Path) -> None:
        if step == "write":
            raise OSError(errno.ENOSPC, "no space")

    place.begin("bees")
    durable.set_hook(full)
    with pytest.raises(DestinationError, match="full"):
        place.write("bees", Given(tmp_path / "source", {"a": b"x"}), nothing)
    durable.set_hook(None)


def test_a_failed_sync_is_told_and_known_by_its_number(place: FolderDestination, tmp_path: Path
                                                       ) -> None:
    def broken(step: str, path: Path) -> None:
        if step == "syncfs":
            raise OSError(errno.EIO, "input/output error")

    place.begin("bees")
    durable.set_hook(broken)
    with pytest.raises(FieldrecError, match="sync failed") as raised:
        place.write("bees", Given(tmp_path / "source", {"a": b"x"}), nothing)
    durable.set_hook(None)
    assert isinstance(raised.value, DestinationError)
    assert errno_of(raised.value.__cause__ or raised.value) == errno.EIO


def loop_mounted(tmp_path: Path, size_mb: int, make: tuple[str, ...] = EXT4,
                 mounts: tuple[str, ...] = ("mount", "-t", "ext4")
                 ) -> Iterator[tuple[Path, Path, Path]]:
    """(mount point, image, device) of a fresh ext4, or another file system, whose image is read and
    written directly."""
    if os.geteuid() != 0:
        pytest.skip("needs root for a loop device")
    image, mount = tmp_path / "image", tmp_path / "mount"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(size_mb * 1024 * 1024)
    subprocess.run([*make, image], check=True, stdout=subprocess.DEVNULL)
    device = attach(image, "--direct-io=on")
    try:
        subprocess.run([*mounts, device, mount], check=True)
        try:
            yield mount, image, Path(device)
        finally:
            subprocess.run(["umount", mount], check=True)
    finally:
        detach(device)


def nothing(_count: int) -> None:
    pass


@contextmanager
def item_files(folder: Path) -> Iterator[ItemFiles]:
    """Of the unfinished item bees."""
    root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with closing(ItemFiles(root, folder, ".part-bees")) as files:
            yield files
    finally:
        os.close(root)


@pytest.fixture
def loop_ext4(tmp_path: Path) -> Iterator[tuple[Path, Path, Path]]:
    yield from loop_mounted(tmp_path, 16)


@pytest.mark.root
def test_read_back_is_what_the_medium_has_not_what_the_cache_has(
        loop_ext4: tuple[Path, Path, Path], tmp_path: Path) -> None:
    mount, image, _ = loop_ext4
    data = b"a very telling mark" * 1000
    source = Given(tmp_path / "source", {"a": data})
    with closing(FolderDestination("loop", mount)) as place:
        place.begin("bees")
        place.write("bees", source, nothing)
        flip_on_medium(image, data[:4096])
        cached = (mount / ".part-bees" / "a").read_bytes()
        assert cached == data, "control: the page cache still has what was written"
        assert place.verify("bees", source, nothing) == ["a"]


@pytest.mark.root
@pytest.mark.skipif(bool(missing("exfat")), reason=missing("exfat"))
def test_read_back_is_what_the_medium_has_also_through_a_daemon(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that happens to lie on a drive which a FUSE program serves: that reads through the
    page cache of the device, which only root may drop."""
    data = b"a very telling mark" * 10_000
    source = Given(tmp_path / "source", {"a": data})
    for mount, image, _ in loop_mounted(tmp_path, 8, ("mkfs.exfat",), ("mount.exfat-fuse",)):
        with closing(FolderDestination("usb", mount)) as place:
            place.begin("bees")
            place.write("bees", source, nothing)
            assert place.verify("bees", source, nothing) == []
            flip_on_medium(image, data[:4096])
            cached = (mount / ".part-bees" / "a").read_bytes()
            assert cached == data, "control: what was read before is still in memory"
            assert place.verify("bees", source, nothing) == ["a"]
            assert place.proves
            monkeypatch.setattr("fieldrec.destinations.folder.forget_device", lambda _: False)
            with pytest.raises(JobRefused, match="usb can be verified in memory only"):
                check_proves(place, threading.Event())


def test_what_is_committed_is_looked_at_and_not_what_an_old_try_left(
        place: FolderDestination, folder: Path, tmp_path: Path) -> None:
    source = Given(tmp_path / "source", {"a": b"right"})
    place.begin("bees")
    place.write("bees", source, nothing)
    place.commit("bees", history(b"bees"))
    place.write("bees", source, nothing)
    assert (folder / ".part-bees" / "a").exists(), "control"
    (folder / "bees" / "a").write_bytes(b"wrong")
    assert place.verify("bees", source, nothing) == ["a"]


def flip_on_medium(image: Path, mark: bytes) -> None:
    """Flip the first byte of `mark` in a loop device's image, below every cache."""
    fresh = os.open(image, os.O_RDWR)
    try:
        at = image.read_bytes().index(mark)
        os.pwrite(fresh, bytes([mark[0] ^ 1]), at)
        os.fsync(fresh)
    finally:
        os.close(fresh)


def test_what_has_another_size_is_not_even_read(place: FolderDestination, folder: Path,
                                                tmp_path: Path) -> None:
    """A stranger's file may be endless."""
    source = Given(tmp_path / "source", {"": b"12345"})
    (folder / "bees").touch()
    os.truncate(folder / "bees", 1 << 40)

    def never(_count: int) -> None:
        raise AssertionError("read")

    assert place.verify("bees", source, never) == [""]


def test_a_signal_while_a_folder_is_opened_changes_nothing(folder: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        calls = 0

        def syscall(self, *words: object) -> int:
            self.calls += 1
            if self.calls == 1:
                ctypes.set_errno(errno.EINTR)
                return -1
            return int(real.syscall(*words))

    real = _beneath._libc
    monkeypatch.setattr(_beneath, "_libc", Interrupted())
    (folder / "bees").mkdir()
    parent = os.open(folder, os.O_RDONLY)
    os.close(_beneath.open_directory("bees", parent))
    os.close(parent)


def test_what_a_share_says_when_a_file_is_closed_names_the_file(folder: Path) -> None:
    with item_files(folder) as files:
        made = files.new(File("a", folder, 1, 0))
        os.close(made._descriptor)
        with pytest.raises(OSError, match=r"part-bees/a"):
            made.close()


@pytest.mark.parametrize("name", ["a\x1b[2Jb", "a\nSAFE"])
def test_names_that_a_stranger_gave_do_nothing_in_a_message(name: str) -> None:
    told = str(folder_failure("usb", OSError(errno.EIO, "input/output error", name)))
    assert told.isprintable()
    assert "failing" in told


@pytest.mark.root
def test_a_really_full_disk(tmp_path: Path) -> None:
    for mount, _, _ in loop_mounted(tmp_path, 2):
        with closing(FolderDestination("loop", mount)) as place:
            place.begin("bees")
            with pytest.raises(DestinationError, match="full"):
                place.write("bees", Given(tmp_path / "source", {"a": b"x" * 6_000_000}), nothing)
            place.abort("bees")
            assert place.free_bytes() > 0
