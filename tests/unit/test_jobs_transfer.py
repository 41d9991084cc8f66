"""Copy, move, delete on real files: nothing missing, nothing twice, nothing lost at any point."""

from __future__ import annotations

import errno
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import xxhash

from fieldrec.catalogue.scan import scan
from fieldrec.core import durable
from fieldrec.core.errors import (
    DestinationError,
    DestinationFull,
    JobRefused,
    StateError,
    StoreDamaged,
    VerifyMismatch,
)
from fieldrec.core.model import JobState, Recording
from fieldrec.destinations import Expected, OnBytes
from fieldrec.destinations.folder import FolderDestination
from fieldrec.jobs import manifest, transfer
from fieldrec.jobs.source import Stopped, items_of
from tests.fakes.copies import first_manifest, listed
from tests.fakes.small_stores import contents, make_export, make_store
from tests.unit.test_destinations_folder import flip_on_medium, loop_mounted

NEVER = threading.Event()
WORKS = (transfer.transfer, transfer.move)


class Folders:
    """A recordings folder with one recording, raw and exported, and an empty destination."""

    def __init__(self, root: Path, frames: int = 10) -> None:
        self.recordings = root / "recordings"
        self.nas = root / "nas"
        self.recordings.mkdir(parents=True)
        self.nas.mkdir()
        self.uuid = make_store(self.recordings, "bees", frames)
        make_export(self.recordings, "bees", self.uuid, frames)
        self.raw = contents(self.recordings / "bees")
        self.export = (self.recordings / "bees.high.mp4").read_bytes()

    def recording(self) -> Recording:
        return scan(self.recordings)[0]

    def copy(self, **options: Any) -> transfer.TransferResult:
        with closing(FolderDestination("nas", self.nas)) as place:
            return transfer.transfer(self.recording(), place, stop=NEVER, **options)

    def move(self) -> transfer.TransferResult:
        with closing(FolderDestination("nas", self.nas)) as place:
            return transfer.move(self.recording(), place, stop=NEVER)

    def check_copy(self, item: str = "bees") -> None:
        found = manifest.parse(first_manifest(self.nas / item), item)
        assert contents(self.nas / item / "bees") == self.raw
        assert (found.uuid, found.name) == (self.uuid, "bees")
        assert listed(self.nas / item) == {
            f"bees/{relative}": (len(data), xxhash.xxh64_hexdigest(data))
            for relative, data in self.raw.items()}
        assert names(self.nas / item) == ["ascmhl", "bees"]

    def check_export(self, item: str = "bees.high.mp4") -> None:
        assert (self.nas / item).read_bytes() == self.export
        assert manifest.parse_sidecar((self.nas / f"{item}.json").read_bytes(), item)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_copy_has_raw_export_and_manifests(folders: Folders) -> None:
    result = folders.copy()
    folders.check_copy()
    folders.check_export()
    assert names(folders.nas) == ["bees", "bees.high.mp4", "bees.high.mp4.json"]
    assert [copy.path for copy in result.copied] == ["bees", "bees.high.mp4"]
    assert result.copied_bytes == sum(map(len, folders.raw.values())) + 5000


def test_a_second_copy_writes_and_reads_nothing(folders: Folders) -> None:
    folders.copy()
    steps: list[str] = []
    durable.set_hook(lambda step, _path: steps.append(step))
    result = folders.copy()
    durable.set_hook(None)
    assert steps == []
    assert result.copied == ()
    assert result.present == ("bees", "bees.high.mp4")


def test_an_export_made_later_is_all_that_is_copied_then(folders: Folders) -> None:
    for path in folders.recordings.glob("bees.high*"):
        path.unlink()
    folders.copy()
    make_export(folders.recordings, "bees", folders.uuid)
    result = folders.copy()
    assert [copy.path for copy in result.copied] == ["bees.high.mp4"]


def test_progress_reaches_the_total_in_both_phases(folders: Folders) -> None:
    told: list[tuple[int, int]] = []
    phases: list[JobState] = []
    folders.copy(on_progress=lambda done, total: told.append((done, total)),
                 on_phase=phases.append)
    total = sum(map(len, folders.raw.values())) + 5000
    assert told.count((total, total)) == 2
    assert {whole for _, whole in told} == {total}
    assert phases == [JobState.VERIFYING, JobState.COMMITTING]


def test_a_name_taken_by_another_recording_gets_a_suffix(folders: Folders) -> None:
    folders.copy()
    other = Folders(folders.nas.parent / "other")
    for path in other.recordings.iterdir():
        if path.is_file():
            path.unlink()
    transfer.delete_raw(other.recordings / "bees")
    uuid = make_store(other.recordings, "bees", seed=77)
    make_export(other.recordings, "bees", uuid, seed=8)
    other.nas, other.uuid = folders.nas, uuid
    other.raw = contents(other.recordings / "bees")
    other.export = (other.recordings / "bees.high.mp4").read_bytes()
    other.copy()
    folders.check_copy()
    folders.check_export()
    other.check_copy(f"bees-{uuid[:8]}")
    other.check_export(f"bees-{uuid[:8]}.high.mp4")
    assert other.copy().copied == ()
    assert folders.copy().copied == ()


def test_the_same_recording_with_other_content_is_kept_beside(folders: Folders) -> None:
    folders.copy()
    path = folders.recordings / "bees" / "metadata.yaml"
    path.write_text(path.read_text().replace("dove", "crow"))
    changed = contents(folders.recordings / "bees")
    folders.copy()
    folders.check_copy("bees")
    assert contents(folders.nas / f"bees-{folders.uuid[:8]}" / "bees") == changed


def test_somebody_elses_folder_of_that_name_is_left_alone(folders: Folders) -> None:
    (folders.nas / "bees").mkdir()
    (folders.nas / "bees" / "ascmhl").mkdir()
    (folders.nas / "bees" / "ascmhl" / "ascmhl_chain.xml").write_text("rubbish")
    folders.copy()
    assert contents(folders.nas / "bees") == {"ascmhl/ascmhl_chain.xml": b"rubbish"}
    folders.check_copy(f"bees-{folders.uuid[:8]}")


def test_a_copy_that_lost_a_file_is_not_taken_for_whole(folders: Folders) -> None:
    folders.copy()
    (folders.nas / "bees" / "bees" / "000000" / "000000.npy").unlink()
    folders.copy()
    folders.check_copy(f"bees-{folders.uuid[:8]}")


class FlipsAByteOnSync(FolderDestination):
    """A medium that gives back another byte than it was given, from the first sync on."""

    def __init__(self, folder: Path, relative: str) -> None:
        super().__init__("flips", folder)
        self._flipped = folder / relative
        self._done = False

    def sync(self, item: str, relatives: Iterable[str] = ()) -> None:
        super().sync(item, relatives)
        if self._flipped.exists() and not self._done:
            self._done = True
            data = bytearray(self._flipped.read_bytes())
            data[len(data) // 2] ^= 1
            self._flipped.write_bytes(data)


@pytest.mark.parametrize("relative", ["000000/000003.npy", "000002/index.npz", "metadata.yaml"])
@pytest.mark.parametrize("work", WORKS)
def test_a_flipped_byte_is_found_named_and_nothing_committed(
        folders: Folders, relative: str, work: Any) -> None:
    with closing(FlipsAByteOnSync(folders.nas, f".part-bees/bees/{relative}")) as place, \
            pytest.raises(VerifyMismatch, match=f"bees/bees/{relative} read back"):
        work(folders.recording(), place, stop=NEVER)
    assert "bees" not in names(folders.nas)
    assert ".part-bees" not in names(folders.nas)
    assert contents(folders.recordings / "bees") == folders.raw
    assert (folders.recordings / "bees.high.mp4").read_bytes() == folders.export


class LosesAByteInTheEnd(FolderDestination):
    """A medium on which a byte goes wrong when everything was written and the last sync is over."""

    def verify(self, item: str, source: Expected, on_bytes: OnBytes) -> Sequence[str]:
        for path in self.path.glob(f".part-{item}/*/000001/000002.npy"):
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
        return super().verify(item, source, on_bytes)


@pytest.mark.parametrize("work", WORKS)
def test_every_byte_is_read_after_the_last_one_was_written(folders: Folders, work: Any) -> None:
    with closing(LosesAByteInTheEnd("late", folders.nas)) as place, \
            pytest.raises(VerifyMismatch, match=r"000001/000002\.npy read back"):
        work(folders.recording(), place, stop=NEVER)
    assert contents(folders.recordings / "bees") == folders.raw


def test_a_flipped_byte_in_an_export_is_found(folders: Folders) -> None:
    with closing(FlipsAByteOnSync(folders.nas, ".part-bees.high.mp4")) as place, \
            pytest.raises(VerifyMismatch, match=r"bees\.high\.mp4 read back"):
        transfer.transfer(folders.recording(), place, stop=NEVER)
    assert not any(name.startswith("bees") for name in names(folders.nas))


@pytest.mark.root
def test_a_byte_flipped_below_the_page_cache_is_found(folders: Folders, tmp_path: Path) -> None:
    mark = folders.raw["000001/000001.npy"][128:]

    class FlipsOnMedium(FolderDestination):
        """A medium whose platter differs from the cache: syncs, then flips in the image."""

        def __init__(self, mount: Path, image: Path) -> None:
            super().__init__("loop", mount)
            self._image = image

        def sync(self, item: str, relatives: Iterable[str] = ()) -> None:
            super().sync(item, relatives)
            if item == "bees":
                flip_on_medium(self._image, mark)

    (tmp_path / "loop").mkdir()
    for mount, image, _ in loop_mounted(tmp_path / "loop", 16):
        with closing(FlipsOnMedium(mount, image)) as place, \
                pytest.raises(VerifyMismatch, match=r"000001/000001\.npy"):
            transfer.transfer(folders.recording(), place, stop=NEVER)
        assert not (mount / "bees").exists()


def test_an_export_that_is_not_what_its_sidecar_says_is_not_copied(folders: Folders) -> None:
    path = folders.recordings / "bees.high.mp4"
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(StoreDamaged, match="sidecar"):
        folders.copy()
    assert "bees.high.mp4" not in names(folders.nas)


def test_an_incomplete_recording_is_not_copied(folders: Folders) -> None:
    (folders.recordings / "bees" / ".lock").touch()
    with pytest.raises(StateError):
        folders.copy()
    assert names(folders.nas) == []


def created(folders: Folders, stop: threading.Event, after: int) -> set[Path]:
    """Copy; the files that were made there. `stop` is set when there are so many."""
    made: set[Path] = set()

    def hook(step: str, path: Path) -> None:
        if step == "create":
            made.add(path)
            if len(made) == after:
                stop.set()

    durable.set_hook(hook)
    try:
        with closing(FolderDestination("nas", folders.nas)) as place:
            transfer.transfer(folders.recording(), place, stop=stop)
    finally:
        durable.set_hook(None)
    return made


def stopped(folders: Folders) -> int:
    """A copy that was stopped midway; how many whole files it has left."""
    with pytest.raises(Stopped):
        created(folders, threading.Event(), after=6)
    whole = contents(folders.nas / ".part-bees" / "bees").items() & folders.raw.items()
    assert 0 < len(whole) < len(folders.raw)
    return len(whole)


def test_a_stopped_copy_goes_on_with_what_is_missing(folders: Folders) -> None:
    left = stopped(folders)
    proofs = 3  # manifest and chain of the raw, sidecar of the export
    assert len(created(folders, NEVER, -1)) == len(folders.raw) + 1 - left + proofs
    folders.check_copy()


@pytest.mark.parametrize("damage", ["content", "size", "extra"])
def test_what_an_earlier_try_left_damaged_is_put_again(folders: Folders, damage: str) -> None:
    stopped(folders)
    path = folders.nas / ".part-bees" / "bees" / "000000" / "000000.npy"
    if damage == "content":
        path.write_bytes(bytes(path.stat().st_size))
    elif damage == "size":
        path.write_bytes(b"torn")
    else:
        path.with_name("stranger").write_bytes(b"x")
    folders.copy()
    folders.check_copy()


def test_too_little_room_is_told_in_numbers_before_anything_is_written(folders: Folders) -> None:
    with closing(FolderDestination("nas", folders.nas, keep_free_bytes=10**18)) as place, \
            pytest.raises(DestinationError, match=r"destination nas: 0\.1 MB needed, 0\.0 MB free"):
        transfer.transfer(folders.recording(), place, stop=NEVER)
    assert names(folders.nas) == []


def test_the_room_for_what_proves_it_is_reckoned_too(folders: Folders) -> None:
    files = items_of(folders.recording())[0].files
    used = {file.relative.rpartition("/")[0] for file in files}
    whole_clusters = 512 * (len(used) + 2 + sum(-(-file.size_bytes // 512) for file in files))

    class Small(FolderDestination):
        def free_bytes(self) -> int:
            return whole_clusters + 128 * len(files)  # the names; not the manifest

        def allocation_bytes(self) -> int:
            return 512

    (folders.recordings / "bees.high.mp4").unlink()
    with closing(Small("nas", folders.nas)) as place, \
            pytest.raises(DestinationFull, match="MB needed"):
        transfer.transfer(folders.recording(), place, stop=NEVER)
    assert names(folders.nas) == []


def test_a_name_that_no_manifest_holds_is_refused_before_the_first_byte(folders: Folders) -> None:
    (folders.recordings / "bees" / "note\x01.txt").write_text("x")
    with closing(FolderDestination("nas", folders.nas)) as place, \
            pytest.raises(StoreDamaged, match="no ASC MHL manifest can hold"):
        transfer.transfer(folders.recording(), place, stop=NEVER)
    assert names(folders.nas) == []


@pytest.mark.root
def test_a_small_disk_is_refused_by_numbers(folders: Folders, tmp_path: Path) -> None:
    (tmp_path / "loop").mkdir()
    make_export(folders.recordings, "bees", folders.uuid, size_bytes=4_000_000)
    for mount, _, _ in loop_mounted(tmp_path / "loop", 3):
        with closing(FolderDestination("loop", mount)) as place, \
                pytest.raises(DestinationError, match="MB needed"):
            transfer.transfer(folders.recording(), place, stop=NEVER)
        assert names(mount) == ["lost+found"]


def test_a_disk_that_fills_meanwhile_fails_without_harm(folders: Folders) -> None:
    def full(step: str, path: Path) -> None:
        if step == "write" and path.name == "index.npz":
            raise OSError(errno.ENOSPC, "no space")

    durable.set_hook(full)
    with pytest.raises(DestinationError, match="full"):
        folders.copy()
    durable.set_hook(None)
    assert names(folders.nas) == [".part-bees"]
    folders.copy()
    folders.check_copy()


def test_a_planted_link_is_refused_and_its_target_untouched(folders: Folders, tmp_path: Path
                                                            ) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (folders.nas / ".part-bees").symlink_to(target)
    with pytest.raises(JobRefused, match="in the way"):
        folders.copy()
    assert names(target) == []


def test_a_move_deletes_the_source_after_the_copy(folders: Folders) -> None:
    folders.move()
    folders.check_copy()
    folders.check_export()
    assert names(folders.recordings) == []


def test_a_move_of_what_was_copied_before_reads_it_back_first(folders: Folders) -> None:
    folders.copy()
    folders.move()
    folders.check_copy()
    assert names(folders.recordings) == []


@pytest.mark.parametrize("relative", ["bees/bees/000001/000000.npy", "bees.high.mp4"])
def test_a_move_does_not_trust_an_old_copy_that_rotted(folders: Folders, relative: str) -> None:
    folders.copy()
    path = folders.nas / relative
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(VerifyMismatch, match="not what was recorded"):
        folders.move()
    assert contents(folders.recordings / "bees") == folders.raw
    assert (folders.recordings / "bees.high.mp4").exists()


def test_a_source_that_changed_after_the_copy_is_kept(folders: Folders) -> None:
    def change(phase: JobState) -> None:
        if phase is JobState.COMMITTING:
            (folders.recordings / "bees" / "note.txt").write_text("wait")

    with closing(FolderDestination("nas", folders.nas)) as place, \
            pytest.raises(JobRefused, match=r"note\.txt changed after it was copied"):
        transfer.move(folders.recording(), place, stop=NEVER, on_phase=change)
    assert contents(folders.recordings / "bees").items() > folders.raw.items()
    assert (folders.recordings / "bees.high.mp4").exists()


def test_a_phase_that_is_refused_stops_before_the_commit(folders: Folders) -> None:
    def refuse(phase: JobState) -> None:
        if phase is JobState.COMMITTING:
            raise StateError("cancelled")

    with pytest.raises(StateError):
        folders.copy(on_phase=refuse)
    assert names(folders.nas) == [".part-bees", ".part-bees.high.mp4"]
    with closing(FolderDestination("nas", folders.nas)) as place:
        transfer.discard_unfinished(folders.recording(), place)
    assert names(folders.nas) == []


def test_delete_renames_first_and_takes_the_raw_before_its_exports(folders: Folders) -> None:
    steps: list[tuple[str, str]] = []
    durable.set_hook(lambda step, path: steps.append((step, path.name)))
    transfer.delete_recording(folders.recording())
    durable.set_hook(None)
    assert names(folders.recordings) == []
    assert [step for step in steps if step[0] in ("rename", "unlink", "rmtree")] == [
        ("rename", "bees"), ("rmtree", ".trash-bees"), ("rename", "bees.high.mp4"),
        ("unlink", "bees.high.mp4.json"), ("unlink", ".trash-bees.high.mp4")]


def test_stray_sidecars_go_but_those_of_exports_stay(folders: Folders) -> None:
    (folders.recordings / "bees.low.mp4.json").write_text("{}")
    (folders.recordings / "wasps.low.mp4.json").write_text("{}")
    transfer.sweep_sidecars(folders.recordings, "bees")
    assert names(folders.recordings) == ["bees", "bees.high.mp4", "bees.high.mp4.json",
                                         "wasps.low.mp4.json"]


def test_a_verified_copy_is_known_by_uuid(folders: Folders) -> None:
    with closing(FolderDestination("nas", folders.nas)) as place:
        assert not transfer.verified_copy_exists(place, "bees", folders.uuid)
        folders.copy()
        assert transfer.verified_copy_exists(place, "bees", folders.uuid)
        assert not transfer.verified_copy_exists(place, "bees", "other")


class Killed(BaseException):
    """What a hook raises where a kill -9 would end the process: no handler may catch it."""


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: a killed process needs no disk, and hundreds of
    syncs do."""
    shared = Path("/dev/shm")
    if not shared.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


def steps_of(folders: Folders, work: str) -> int:
    count = 0

    def counting(step: str, path: Path) -> None:
        nonlocal count
        count += 1

    durable.set_hook(counting)
    getattr(folders, work)()
    durable.set_hook(None)
    return count


def kill_points(work: str, root: Path) -> Iterator[tuple[int, Folders]]:
    total = steps_of(Folders(root / "count", frames=3), work)
    assert total > 20
    for point in range(total):
        yield point, Folders(root / str(point), frames=3)


def run_until(folders: Folders, work: str, point: int, error: BaseException) -> None:
    count = -1

    def hook(step: str, path: Path) -> None:
        nonlocal count
        count += 1
        if count == point:
            raise error

    durable.set_hook(hook)
    with pytest.raises((Killed, Exception)):
        getattr(folders, work)()
    durable.set_hook(None)


def check_invariants(folders: Folders) -> None:
    """I4: what has its final name is whole. I5: the source is whole, or a committed copy is."""
    if (folders.nas / "bees").exists():
        folders.check_copy()
    if (folders.nas / "bees.high.mp4.json").exists():
        folders.check_export()
    source = folders.recordings / "bees"
    if source.exists():
        assert contents(source) == folders.raw
    else:
        folders.check_copy()
    if (folders.recordings / "bees.high.mp4").exists():
        assert (folders.recordings / "bees.high.mp4").read_bytes() == folders.export
    else:
        folders.check_export()


def finish(folders: Folders, work: str) -> None:
    """What a restart does: sweep, look, run the job again if its recording is still there."""
    durable.sweep_unfinished(folders.recordings)
    if scan(folders.recordings):
        getattr(folders, work)()
    transfer.sweep_sidecars(folders.recordings, "bees")
    folders.check_copy()
    folders.check_export()
    assert names(folders.nas) == ["bees", "bees.high.mp4", "bees.high.mp4.json"]
    if work == "move":
        assert names(folders.recordings) == []


@pytest.mark.parametrize("work", ["copy", "move"])
def test_killed_at_any_step_and_run_again(quick: Path, work: str) -> None:
    for point, folders in kill_points(work, quick):
        run_until(folders, work, point, Killed())
        check_invariants(folders)
        finish(folders, work)


@pytest.mark.parametrize("work", ["copy", "move"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_an_error_at_any_step_and_run_again(quick: Path, work: str, number: int) -> None:
    for point, folders in kill_points(work, quick):
        run_until(folders, work, point, OSError(number, "injected"))
        check_invariants(folders)
        finish(folders, work)
