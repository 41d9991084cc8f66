"""Several recordings folders: which is given, what fails, what comes back; names over all of them.
The disks are real: folders without rights, small file systems that fill or turn read-only."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fieldrec.config import StorageConfig
from fieldrec.core.errors import LockedError, StoreError, StoreFull
from fieldrec.record.folders import Folders
from fieldrec.record.places import CameraPlace
from tests.fakes.disks import FakeDisk

EPOCH_NS = 1_795_000_000_000_000_000
NAME = "bees_20261118_110640"


class Events(list[str]):
    def __call__(self, text: str, severity: str) -> None:
        self.append(f"{severity}: {text}")


class Box:
    """Two folders, `a` and `b`, each on a disk of its own."""

    def __init__(self, root: Path) -> None:
        self.a, self.b = root / "a", root / "b"
        self.disks = {self.a: FakeDisk(10**12, 5 * 10**11), self.b: FakeDisk(10**12, 9 * 10**11)}
        self.said = Events()
        self.claimed: list[Path] = []
        self.held: set[Path] = set()
        for folder in self.disks:
            folder.mkdir()
        self.folders = Folders((self.a, self.b), StorageConfig(), on_event=self.said,
                               claim=self._claim, statvfs=lambda path: self.disks[path](path))

    def _claim(self, path: Path) -> None:
        if path in self.held:
            raise LockedError(f"another fieldrec works on {path}")
        self.claimed.append(path)

    def place(self, serial: str | None = None) -> CameraPlace:
        return CameraPlace(self.folders, "bees", "UTC", serial, EPOCH_NS)

    def fill(self, folder: Path) -> None:
        self.disks[folder].free_bytes = 2 * 10**9

    def given(self) -> Path:
        return self.folders.take_path("x").parent


@pytest.fixture
def box(tmp_path: Path) -> Box:
    box = Box(tmp_path)
    assert box.folders.take() == box.a
    assert box.claimed == [box.a, box.b]
    return box


def test_the_first_that_can_be_written_is_given(box: Box) -> None:
    assert box.place().next_path(EPOCH_NS) == box.a / NAME
    assert box.place("SN1").next_path(EPOCH_NS) == box.a / f"{NAME}_SN1"


def test_one_start_has_one_time_and_what_comes_later_its_own(box: Box) -> None:
    place = box.place("SN1")
    assert place.next_path(EPOCH_NS + 1_900_000_000).name == f"{NAME}_SN1"
    assert place.next_path(EPOCH_NS + 1_900_000_000).name == "bees_20261118_110641_SN1"  # a split
    assert box.place("SN2").next_path(EPOCH_NS + 2 * 10**9).name == "bees_20261118_110642_SN2"
    assert place.next_path(EPOCH_NS - 3_600_000_000_000).name == "bees_20261118_100640_SN1"


@pytest.mark.parametrize("taken", [
    "{}", ".part-{}", ".trash-{}", "{}.high.mp4"])
def test_a_name_in_any_folder_is_taken(box: Box, taken: str) -> None:
    (box.b / taken.format(NAME)).touch()
    assert box.place().next_path(EPOCH_NS) == box.a / f"{NAME}-2"


def test_names_of_one_second_never_collide_before_anything_is_made(box: Box) -> None:
    paths: list[Path] = []
    began = threading.Barrier(8)

    def ask() -> None:
        place = box.place()
        began.wait()
        paths.extend(place.next_path(EPOCH_NS) for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({path.name for path in paths}) == 160
    assert box.folders.failed(paths[0], StoreError("input/output error"))
    assert box.place().next_path(EPOCH_NS).name not in {path.name for path in paths}


def test_a_failed_folder_is_out_until_a_look_finds_it_good(box: Box) -> None:
    path = box.place().next_path(EPOCH_NS)
    path.mkdir()
    assert box.folders.failed(path, StoreError("input/output error"))
    assert box.said == [f"error: recordings folder {box.a} has failed: input/output error; "
                        f"recordings go to {box.b}"]
    assert box.folders.some_failed
    # its names still count
    assert box.place().next_path(EPOCH_NS) == box.b / f"{NAME}-2"
    shown = box.folders.status().folders
    assert [(one.in_use, one.problem) for one in shown] == [
        (False, "input/output error"), (True, "")]
    box.folders.look()
    assert box.given() == box.a
    assert box.folders.status().folders[0].problem == ""
    assert box.said[1:] == [f"info: recordings folder {box.a} can be used again"]


def test_no_folder_left(box: Box) -> None:
    assert box.folders.failed(box.a / "x", StoreError("one"))
    usable = [box.folders.usable]
    assert not box.folders.failed(box.b / "x", StoreError("two"))
    usable.append(box.folders.usable)
    assert usable == [True, False]
    assert box.folders.refusal() is None  # not full: one may come back
    with pytest.raises(StoreError, match=f"no recordings folder can be used: {box.a}: one; "):
        box.given()


def test_a_full_folder_is_left_and_comes_back_when_it_has_room(box: Box) -> None:
    box.fill(box.a)
    assert box.folders.refresh().used_percent == pytest.approx(10.0)  # of the one in use
    assert box.folders.to_leave(box.a)
    assert not box.folders.to_leave(box.b)
    assert box.given() == box.b
    assert "takes no more: disk 99.8 % used (stop at 94 %)" in box.said[0]
    box.disks[box.a].free_bytes = 5 * 10**11
    assert box.given() == box.a
    assert box.said[1:] == [f"info: recordings folder {box.a} has room again"]


def test_one_failed_and_the_other_full_ends_it(box: Box) -> None:
    assert box.folders.failed(box.a / "x", StoreError("one"))
    box.fill(box.b)
    box.folders.refresh()
    assert box.folders.refusal() == (
        f"{box.a}: one; {box.b}: disk 99.8 % used (stop at 94 %), 2.0 GB free")


def test_when_all_are_full_the_refusal_has_the_numbers_of_each(box: Box) -> None:
    box.fill(box.a)
    box.fill(box.b)
    box.folders.refresh()
    assert not box.folders.to_leave(box.a)
    assert box.folders.refusal() == "; ".join(
        f"{folder}: disk 99.8 % used (stop at 94 %), 2.0 GB free" for folder in (box.a, box.b))
    with pytest.raises(StoreFull, match="no recordings folder can be used"):
        box.folders.check_room()


def test_minutes_are_left_over_all_disks_and_one_disk_counts_once(box: Box) -> None:
    # both folders are on the test's own file system, so the room of one counts
    assert box.folders.refresh(10**9).minutes_left == pytest.approx(8.4e11 / 1e9 / 60)
    for number, folder in enumerate(box.folders._folders):
        folder.device = number
    assert box.folders.status(10**9).minutes_left == pytest.approx((8.4e11 + 4.4e11) / 1e9 / 60)


def test_a_further_folder_that_is_missing_at_the_start_has_failed(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.b.rmdir()
    assert box.folders.take() == box.a
    assert box.said == [f"error: recordings folder {box.b} has failed: recordings folder {box.b} "
                        "does not exist; create it, or mount the disk it is on; recordings go to "
                        f"{box.a}"]
    box.b.mkdir()
    box.folders.look()
    assert box.claimed == [box.a, box.b]
    assert not box.folders.some_failed


def test_without_the_first_the_next_is_taken_and_without_any_it_is_refused(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.a.rmdir()
    assert box.folders.take() == box.b
    box.b.rmdir()
    with pytest.raises(StoreError, match="no recordings folder can be used"):
        Folders((box.a, box.b), StorageConfig(), on_event=box.said).take()
    with pytest.raises(StoreError, match=f"recordings folder {box.a} does not exist; create it"):
        Folders((box.a,), StorageConfig(), on_event=box.said).take()


def test_a_folder_that_somebody_else_works_on(tmp_path: Path) -> None:
    box = Box(tmp_path)
    box.held.add(box.b)
    with pytest.raises(LockedError, match="another fieldrec"):
        box.folders.take()
    box.b.rename(tmp_path / "away")
    assert box.folders.take() == box.a
    (tmp_path / "away").rename(box.b)
    box.folders.look()  # it came, but held by somebody
    assert box.folders.some_failed
    assert "another fieldrec" in box.folders.status().folders[1].problem
    box.held.clear()
    box.folders.look()
    assert not box.folders.some_failed


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_rights(box: Box) -> None:
    box.a.chmod(0o555)
    try:
        assert box.given() == box.b
        assert "give the user that runs fieldrec the right to write there" in box.said[0]
        box.folders.look()
        assert box.given() == box.b
    finally:
        box.a.chmod(0o755)
    box.folders.look()
    assert box.given() == box.a


Mount = Callable[..., None]


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Mount]:
    """Mounts and remounts tmpfs; unmounts at the end."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    points: list[Path] = []

    def mount(point: Path, options: str) -> None:
        if "remount" not in options:
            point.mkdir(exist_ok=True)
            points.append(point)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(point)],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"cannot mount here: {done.stderr.strip()}")

    yield mount
    for point in points:
        subprocess.run(["umount", "-l", str(point)], check=False, capture_output=True)


def real(tmp_path: Path, said: Events) -> Folders:
    storage = StorageConfig(reserve_bytes=0, stop_percent=100)
    return Folders((tmp_path / "a", tmp_path / "b"), storage, on_event=said)


def test_a_file_system_that_turns_read_only(tmp_path: Path, mounted: Mount) -> None:
    for name in "ab":
        mounted(tmp_path / name, "size=2m")
    said = Events()
    folders = real(tmp_path, said)
    folders.take()
    assert folders.take_path("x").parent == tmp_path / "a"
    mounted(tmp_path / "a", "remount,ro")
    assert folders.take_path("x").parent == tmp_path / "b"
    assert "its file system is read-only: check the disk and mount it for writing" in said[0]
    folders.look()
    assert folders.some_failed
    with pytest.raises(StoreError, match="read-only"):
        mounted(tmp_path / "b", "remount,ro")
        folders.take_path("x")
    mounted(tmp_path / "a", "remount,rw")
    folders.look()
    assert folders.take_path("x").parent == tmp_path / "a"


def test_a_disk_that_is_put_in_later(tmp_path: Path, mounted: Mount) -> None:
    """Until it is mounted its folder is refused, and nothing is left below the mount point."""
    disk, spare = tmp_path / "disk", tmp_path / "spare"
    disk.mkdir()
    spare.mkdir()
    storage = StorageConfig(reserve_bytes=0, stop_percent=100, mount_points=(disk,))
    said, claimed = Events(), list[Path]()
    folders = Folders((disk, spare), storage, on_event=said, claim=claimed.append)
    assert folders.take() == spare
    assert f"nothing is mounted on {disk}" in said[0]
    folders.look()
    assert folders.take_path("x").parent == spare
    assert (list(disk.iterdir()), claimed) == ([], [spare])
    mounted(disk, "size=2m")
    folders.look()
    assert folders.take_path("x").parent == disk
    assert claimed == [spare, disk]
    subprocess.run(["umount", str(disk)], check=True)
    assert folders.take_path("x").parent == spare
    assert list(disk.iterdir()) == []


def test_a_file_system_without_any_room(tmp_path: Path, mounted: Mount) -> None:
    mounted(tmp_path / "a", "size=1m")
    (tmp_path / "b").mkdir()
    with pytest.raises(OSError, match="No space"), (tmp_path / "a" / "much").open("wb", 0) as much:
        while True:
            much.write(bytes(4096))
    said = Events()
    folders = real(tmp_path, said)
    assert folders.take() == tmp_path / "b"
    folders.check_room()
    assert folders.take_path("x").parent == tmp_path / "b"
    (tmp_path / "a" / "much").unlink()
    folders.look()
    assert folders.take_path("x").parent == tmp_path / "a"


class Answers:
    """Stands for os.statvfs: the answers of a script, one after the other; then a good one.
    "ok" as the disk is, "0" nothing at all, "full", "gone" an error."""

    def __init__(self, *script: str) -> None:
        self.disk = FakeDisk(10**12, 5 * 10**11)
        self.script = list(script)

    def __call__(self, path: Path) -> os.statvfs_result:
        match self.script.pop(0) if self.script else "ok":
            case "gone":
                raise OSError(5, "Input/output error")
            case "0":
                return os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, 0, 255))
            case "full":
                return FakeDisk(10**12, 0)(path)
        return self.disk(path)


def patient(root: Path, *script: str, said: Events | None = None) -> tuple[Folders, Answers]:
    answers = Answers()
    folders = Folders((root,), StorageConfig(), on_event=said or Events(), statvfs=answers,
                      readings=3)
    folders.take()
    answers.script = list(script)
    return folders, answers


@pytest.mark.parametrize("script", [
    ("full",), ("0",), ("gone",), ("full", "full"), ("gone", "gone"), ("0", "0"),
    ("full", "full", "ok", "full", "full"), ("gone", "gone", "ok", "gone", "gone"),
    ("full", "gone", "full", "0", "ok", "full", "full")])
def test_a_few_bad_answers_end_nothing(tmp_path: Path, script: tuple[str, ...]) -> None:
    folders, answers = patient(tmp_path, *script)
    doubts = []
    while answers.script:
        folders.refresh()
        doubts.append(folders.in_doubt)
        assert folders.usable and folders.refusal() is None and not folders.some_failed
    folders.refresh()
    assert not folders.in_doubt and any(doubts)


@pytest.mark.parametrize("start", ["check_room", "take_path"])
@pytest.mark.parametrize("bad", [("full", "full"), ("0", "0"), ("gone", "gone")])
def test_a_few_bad_answers_keep_no_recording_from_beginning(
        tmp_path: Path, start: str, bad: tuple[str, ...]) -> None:
    folders, _ = patient(tmp_path, *bad)
    if start == "check_room":
        folders.check_room()
    else:
        assert folders.take_path("x") == tmp_path / "x"


def test_what_is_said_three_times_is_believed(tmp_path: Path) -> None:
    folders, _ = patient(tmp_path, *["full"] * 3)
    for _ in range(3):
        assert folders.refusal() is None
        folders.refresh()
    assert "disk 100.0 % used (stop at 94 %)" in str(folders.refusal())
    silent, answers = patient(tmp_path, *["gone"] * 3)
    for _ in range(3):
        assert silent.usable
        silent.refresh()
    assert silent.some_failed and not silent.usable
    answers.script = ["full"] * 9
    with pytest.raises(StoreFull, match=r"100\.0 % used"):
        silent.check_room()


def test_a_folder_that_was_full_has_room_again_by_a_margin(tmp_path: Path) -> None:
    folders, answers = patient(tmp_path)
    for free, usable in ((59 * 10**9, False), (60.4 * 10**9, False), (60.6 * 10**9, True)):
        answers.disk.free_bytes = int(free)
        for _ in range(3):
            folders.refresh()
        assert folders.usable is usable, free


def test_the_room_of_all_folders(box: Box) -> None:
    assert box.folders.room.total_bytes == 0  # nothing was looked at yet
    box.folders.refresh()
    assert box.folders.looks == 1
    for number, folder in enumerate(box.folders._folders):
        folder.device = number
    room = box.folders.room
    assert room.total_bytes == pytest.approx(2e12)
    assert room.free_bytes == pytest.approx(1.4e12)
    assert room.left_bytes == pytest.approx(4.4e11 + 8.4e11)
    box.folders.failed(box.b / "x", StoreError("input/output error"))
    assert box.folders.room.total_bytes == pytest.approx(1e12)
    box.folders.failed(box.a / "x", StoreError("input/output error"))
    assert box.folders.room.total_bytes == 0
