"""What every kind of destination must do; each module in fieldrec/destinations is enrolled."""

from __future__ import annotations

import dataclasses
import os
import pkgutil
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

import fieldrec.destinations
from fieldrec.config.destinations import RsyncConfig
from fieldrec.core.errors import JobRefused, StoreDamaged
from fieldrec.core.past_cache import Take
from fieldrec.destinations import Destination, File
from fieldrec.destinations.drive import DriveDestination
from fieldrec.destinations.folder import FolderDestination
from fieldrec.destinations.rsync import RsyncDestination
from tests.fakes import near_ssh
from tests.fakes.copies import first_manifest, history
from tests.fakes.sources import Given

KINDS: dict[str, Callable[[Path], Destination]] = {
    "folder": lambda path: FolderDestination("nas", path),
    "drive": lambda path: DriveDestination("stick", path, "fieldrec", device=None,
                                           gone=lambda: False, must_be_mounted=False),
    "rsync": lambda path: RsyncDestination("lab", RsyncConfig(
        type="rsync", target=f"box@lab:{path}")),
}
ROOT_OF: dict[str, Callable[[Path], Path]] = {
    "folder": lambda path: path,
    "drive": lambda path: path / "fieldrec",
    "rsync": lambda path: path,
}

PARTS = {"limits", "http_call", "tus"}
"""Of destinations, and no kind of their own."""
ELSEWHERE = {"loopy"}
"""A kind that is no place for copies: its own tests hold it to what it is, against a real
server."""


def test_every_kind_is_enrolled() -> None:
    modules = {module.name for module in pkgutil.iter_modules(fieldrec.destinations.__path__)
               if not module.name.startswith("_")}
    assert modules - PARTS - ELSEWHERE == set(KINDS)


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def there(tmp_path: Path) -> Path:
    folder = tmp_path / "there"
    folder.mkdir()
    return folder


@pytest.fixture
def aside(tmp_path: Path) -> Path:
    """Where sources are made."""
    return tmp_path / "aside"


@pytest.fixture
def place(kind: str, there: Path, aside: Path, monkeypatch: pytest.MonkeyPatch
          ) -> Iterator[Destination]:
    if kind == "rsync":
        if shutil.which("rsync") is None:
            pytest.skip("rsync is not installed: sudo apt install rsync")
        monkeypatch.setenv("PATH", f"{near_ssh.install(aside / 'bin')}:{os.environ['PATH']}")
    destination = KINDS[kind](there)
    yield destination
    destination.close()


@pytest.fixture
def root(kind: str, there: Path) -> Path:
    return ROOT_OF[kind](there)


STORE = {"metadata.yaml": b"a: 1\n", "000000/000000.npy": b"x" * 5000 + b"y" * 5000}
SIZES = {relative: len(data) for relative, data in STORE.items()}


def nothing(_count: int) -> None:
    pass


def write(place: Destination, item: str, folder: Path, contents: Mapping[str, bytes]) -> Given:
    """Put these files, made in `folder`, into an unfinished item."""
    source = Given(folder / f"source of {item}", contents)
    place.begin(item)
    place.write(item, source, nothing)
    return source


def differs(place: Destination, item: str, folder: Path, contents: Mapping[str, bytes]
            ) -> list[str]:
    """What `item` has otherwise than these files."""
    return list(place.verify(item, Given(folder / "expected", contents), nothing))


def test_directory_item_from_begin_to_commit(place: Destination, root: Path, aside: Path) -> None:
    assert place.begin("bees") == {}
    write(place, "bees", aside, STORE)
    assert place.begin("bees") == SIZES
    assert place.committed("bees") is None
    assert place.items() == []
    assert not (root / "bees").exists()
    assert differs(place, "bees", aside, STORE) == []
    place.commit("bees", history(b"{}"))
    assert place.committed("bees") == b"{}"
    assert place.items() == ["bees"]
    assert place.sizes("bees") == SIZES
    assert first_manifest(root / "bees") == b"{}"
    assert sorted(path.name for path in root.iterdir()) == ["bees"]
    assert differs(place, "bees", aside, STORE) == [], "of the committed item, too"
    assert differs(place, "bees", aside, {**STORE, "metadata.yaml": b"a: 2\n"}) == [
        "metadata.yaml"]


def test_single_file_item_from_begin_to_commit(place: Destination, root: Path, aside: Path
                                               ) -> None:
    assert place.begin("bees.mp4") == {}
    write(place, "bees.mp4", aside, {"": b"film"})
    assert place.begin("bees.mp4") == {"": 4}
    assert place.committed("bees.mp4") is None
    assert differs(place, "bees.mp4", aside, {"": b"film"}) == []
    assert differs(place, "bees.mp4", aside, {"": b"firm"}) == [""]
    place.commit("bees.mp4", {"": b'{"a": 1}'})
    assert place.committed("bees.mp4") == b'{"a": 1}'
    assert place.items() == ["bees.mp4"]
    assert place.sizes("bees.mp4") == {"": 4}
    assert sorted(path.name for path in root.iterdir()) == ["bees.mp4", "bees.mp4.json"]


def test_what_is_there_in_full_size_is_not_read_again(place: Destination, aside: Path) -> None:
    write(place, "bees", aside, {"a": b"one", "b": b"two"})
    source = write(place, "bees", aside, {"a": b"ONE", "b": b"longer", "c": b"three"})
    assert source.read == ["b", "c"]
    assert differs(place, "bees", aside, {"a": b"one", "b": b"longer", "c": b"three"}) == []


def test_what_was_dropped_is_written_again(place: Destination, aside: Path) -> None:
    write(place, "bees", aside, {"a": b"one", "folder/b": b"two"})
    place.drop("bees", ["folder/b"])
    assert place.begin("bees") == {"a": 3}
    assert write(place, "bees", aside, {"a": b"one", "folder/b": b"TWO"}).read == ["folder/b"]
    assert differs(place, "bees", aside, {"a": b"one", "folder/b": b"TWO"}) == []


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 100_000])
def test_any_size_is_written_and_verified_whole(place: Destination, aside: Path, size: int) -> None:
    data = bytes(index % 251 for index in range(size))
    write(place, "bees", aside, {"a": data})
    assert place.begin("bees") == {"a": size}
    assert differs(place, "bees", aside, {"a": data}) == []
    if size:
        assert differs(place, "bees", aside, {"a": data[:-1] + b"\xff"}) == ["a"]
        assert differs(place, "bees", aside, {"a": data[:-1]}) == ["a"]


def test_every_byte_is_told_once(place: Destination, aside: Path) -> None:
    told: list[int] = []
    source = Given(aside, STORE)
    place.begin("bees")
    place.write("bees", source, told.append)
    assert sum(told) == sum(SIZES.values())
    told.clear()
    place.verify("bees", source, told.append)
    assert sum(told) == sum(SIZES.values())


def test_what_the_progress_raises_ends_the_work_there(place: Destination, aside: Path) -> None:
    def stop(_count: int) -> None:
        raise Stop

    source = Given(aside, STORE)
    place.begin("bees")
    with pytest.raises(Stop):
        place.write("bees", source, stop)
    place.write("bees", source, nothing)
    with pytest.raises(Stop):
        place.verify("bees", source, stop)
    assert list(place.verify("bees", source, nothing)) == []


class Stop(Exception):
    """Asked to stop."""


def test_errors_of_the_source_pass_through_and_what_was_written_stays(
        place: Destination, kind: str, aside: Path) -> None:
    class Broken(Given):
        def slices(self, file: File, take: Take | None = None) -> Iterator[memoryview]:
            yield from super().slices(file, take)
            if file.relative == "b":
                raise StoreDamaged("source cannot be read")

    place.begin("bees")
    with pytest.raises(StoreDamaged, match="source cannot be read"):
        place.write("bees", Broken(aside, {"a": b"one", "b": b"two", "c": b"three"}), nothing)
    left = place.begin("bees")
    assert kind == "rsync" or (left["a"] == 3 and "c" not in left), "rsync has some on their way"


def test_abort_leaves_nothing(place: Destination, root: Path, aside: Path) -> None:
    for item, relative in (("bees", "000000/a"), ("bees.mp4", "")):
        write(place, item, aside, {relative: b"x"})
        place.abort(item)
        place.abort(item)
    assert list(root.iterdir()) == []


def test_a_taken_name_is_never_replaced(place: Destination, root: Path, aside: Path) -> None:
    place.free_bytes()
    (root / "bees").mkdir()
    (root / "bees.mp4").write_bytes(b"somebody's film")
    for item, relative in (("bees", "a"), ("bees.mp4", "")):
        assert place.taken(item)
        assert place.committed(item) is None
        write(place, item, aside, {relative: b"x"})
        with pytest.raises(JobRefused, match="exists already"):
            place.commit(item, history(b"{}") if relative else {"": b"{}"})
        place.abort(item)
    assert list((root / "bees").iterdir()) == []
    assert (root / "bees.mp4").read_bytes() == b"somebody's film"


def test_a_file_left_between_the_last_two_steps_is_taken_back(place: Destination, root: Path
                                                             ) -> None:
    place.free_bytes()
    (root / "bees.mp4").write_bytes(b"film")
    (root / ".part-bees.mp4.json").write_bytes(b"{}")
    assert not place.taken("bees.mp4")
    assert place.committed("bees.mp4") is None
    assert place.begin("bees.mp4") == {"": 4}
    place.commit("bees.mp4", {"": b"{}"})
    assert place.items() == ["bees.mp4"]


def test_a_manifest_over_the_limit_is_not_read(place: Destination, aside: Path) -> None:
    write(place, "bees", aside, {"a": b"x"})
    place.commit("bees", history(b"x" * 100))
    assert place.committed("bees", limit_bytes=99) is None
    assert place.committed("bees", limit_bytes=100) == b"x" * 100


@pytest.mark.parametrize("item", ["", ".", "..", ".part-x", "a/b", "a\0b"])
def test_names_that_leave_the_place_are_refused(place: Destination, aside: Path, item: str
                                                ) -> None:
    with pytest.raises(JobRefused):
        place.write(item, Given(aside, {"a": b"x"}), nothing)


@pytest.mark.parametrize("relative", ["../a", "/etc/x", "a//b", "a/../../b", "a/.", "a\0b"])
def test_paths_that_leave_the_item_are_refused(place: Destination, aside: Path, relative: str
                                               ) -> None:
    source = Given(aside, {"a": b"x"})
    source.files = [dataclasses.replace(source.files[0], relative=relative)]
    place.begin("bees")
    with pytest.raises(JobRefused):
        place.write("bees", source, nothing)
    with pytest.raises(JobRefused):
        place.drop("bees", [relative])


def test_room_is_never_negative_and_clusters_are_known(place: Destination) -> None:
    assert place.free_bytes() >= 0
    assert place.allocation_bytes() >= 1


def test_close_may_be_called_twice_and_use_goes_on(place: Destination) -> None:
    place.free_bytes()
    place.close()
    place.close()
    assert place.items() == []


def test_a_file_beside_the_items_is_replaced_whole(place: Destination, root: Path) -> None:
    assert place.beside("logbook/box/pond/1.jsonl", 100) is None
    place.put_beside("logbook/box/pond/1.jsonl", b"one\n")
    place.put_beside("logbook/box/pond/1.jsonl", b"one\ntwo\n" * 5000)
    assert place.beside("logbook/box/pond/1.jsonl", 10) is None, "over the limit"
    assert place.beside("logbook/box/pond/1.jsonl", 1 << 20) == b"one\ntwo\n" * 5000
    assert [path.name for path in root.rglob("*") if path.is_file()] == ["1.jsonl"]
    assert place.items() == []
    place.put_beside("logbook/empty", b"")
    assert place.beside("logbook/empty", 1) == b""


def test_what_an_interrupted_replacement_left_is_in_nobodys_way(place: Destination, root: Path
                                                                ) -> None:
    place.put_beside("logbook/1", b"whole")
    (root / "logbook" / ".part-1").write_bytes(b"half")
    assert place.beside("logbook/1", 100) == b"whole"
    place.put_beside("logbook/1", b"whole and more")
    assert place.beside("logbook/1", 100) == b"whole and more"
    assert sorted(path.name for path in (root / "logbook").iterdir()) == ["1"]


@pytest.mark.parametrize("planted", ["logbook", "logbook/box", "logbook/box/1",
                                     "logbook/box/.part-1"])
def test_a_planted_link_is_not_followed_for_files_beside(place: Destination, root: Path,
                                                         tmp_path: Path, planted: str) -> None:
    place.free_bytes()  # makes the folder
    outside = tmp_path / "outside"
    outside.mkdir()
    (root / planted).parent.mkdir(parents=True, exist_ok=True)
    (root / planted).symlink_to(outside)
    with pytest.raises(JobRefused, match="in the way"):
        place.put_beside("logbook/box/1", b"x")
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("relative", ["../a", "/etc/x", "a//b", "logbook/../../b", "", "a/."])
def test_files_beside_do_not_leave_the_place(place: Destination, relative: str) -> None:
    with pytest.raises(JobRefused):
        place.put_beside(relative, b"x")
    with pytest.raises(JobRefused):
        place.beside(relative, 10)
