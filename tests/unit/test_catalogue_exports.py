"""Which exports a recording has: slices count together or not at all, whatever the container."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldrec.catalogue import sidecar
from fieldrec.catalogue.exports import in_words
from fieldrec.catalogue.halves import half_exports
from fieldrec.catalogue.scan import Catalogue, find, scan
from fieldrec.jobs.proofs import has_export
from fieldrec.jobs.transfer import delete_recording, sweep_sidecars
from fieldrec.store.movie import content
from fieldrec.store.movie.content import sidecar_path
from tests.fakes.small_stores import contents, make_export, make_store


def slices(folder: Path, uuid: str, *numbers: int, of: int = 3, extension: str = ".mp4") -> None:
    for number in numbers:
        make_export(folder, "bees", uuid, frames=4, slices=(number, of), extension=extension)


@pytest.mark.parametrize("extension", [".mp4", ".mkv", ".avi"])
def test_every_container_is_seen(tmp_path: Path, extension: str) -> None:
    make_export(tmp_path, "bees", make_store(tmp_path, "bees"), extension=extension)
    found = find(tmp_path, "bees")
    assert [export.path.name for export in found.exports] == [f"bees.high{extension}"]
    assert has_export(found, "High")
    assert has_export(found, "hIGH")
    assert not has_export(found, "Low")


def test_slices_count_when_all_are_there(tmp_path: Path) -> None:
    uuid = make_store(tmp_path, "bees")
    slices(tmp_path, uuid, 1, 3)
    found = find(tmp_path, "bees")
    assert found.exports == ()
    slices(tmp_path, uuid, 2)
    found = find(tmp_path, "bees")
    assert [(export.slice_number, export.slice_count) for export in found.exports] == [
        (1, 3), (2, 3), (3, 3)]
    assert find(tmp_path, "bees").frame_count == 10


def test_slices_of_another_cut_do_not_complete_a_set(tmp_path: Path) -> None:
    uuid = make_store(tmp_path, "bees")
    slices(tmp_path, uuid, 1, 2, of=3)
    slices(tmp_path, uuid, 3, of=4)
    assert find(tmp_path, "bees").exports == ()


def test_without_the_raw_what_is_left_is_shown(tmp_path: Path) -> None:
    slices(tmp_path, "u1", 1, 3)
    found, = scan(tmp_path)
    assert (found.name, found.has_raw, found.frame_count) == ("bees", False, 8)
    assert len(found.exports) == 2
    make_export(tmp_path, "bees", "u1", frames=12, extension=".mkv")
    found, = scan(tmp_path)
    assert (len(found.exports), found.frame_count) == (3, 20)


def test_slices_are_told_together(tmp_path: Path) -> None:
    uuid = make_store(tmp_path, "bees")
    slices(tmp_path, uuid, 1, 2, 3)
    make_export(tmp_path, "bees", uuid, extension=".mkv")
    assert sorted(in_words(find(tmp_path, "bees").exports)) == [
        ("High", 5000, 0), ("High", 15_000, 3)]


def test_a_refresh_reads_no_frames_of_sidecars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                               ) -> None:
    uuid = make_store(tmp_path, "bees")
    make_export(tmp_path, "bees", uuid)
    read: list[Path] = []

    def reading(path: Path) -> dict[str, object]:
        read.append(path)
        return content.read_head(path)

    def never(*_: object) -> None:
        raise AssertionError("the columns of frames were unpacked")

    monkeypatch.setattr(sidecar, "read_head", reading)
    monkeypatch.setattr(sidecar, "unpack", never)
    catalogue = Catalogue(tmp_path)
    for _ in range(3):
        found, = catalogue.refresh()
        assert len(found.exports) == 1
    assert len(read) == 1, "and its first line once only"


def test_a_recording_is_deleted_with_slices_that_are_not_complete(tmp_path: Path) -> None:
    uuid = make_store(tmp_path, "bees")
    slices(tmp_path, uuid, 1, 2)
    make_export(tmp_path, "bees", uuid, extension=".mkv")
    make_export(tmp_path, "wasps", "other")
    delete_recording(find(tmp_path, "bees"))
    assert {path.name for path in tmp_path.iterdir()} == {"wasps.high.mp4", "wasps.high.mp4.json"}


@pytest.mark.parametrize("extension", [".mp4", ".mkv", ".avi"])
def test_sidecars_without_their_movie_are_swept(tmp_path: Path, extension: str) -> None:
    make_export(tmp_path, "bees", "u1", extension=extension)
    sweep_sidecars(tmp_path, "bees")
    assert len(list(tmp_path.iterdir())) == 2
    (tmp_path / f"bees.high{extension}").unlink()
    sweep_sidecars(tmp_path, "wasps")
    assert len(list(tmp_path.iterdir())) == 1
    sweep_sidecars(tmp_path, "bees")
    assert list(tmp_path.iterdir()) == []


# --- halves -------------------------------------------------------------------------------------

@pytest.mark.parametrize("extension", [".mp4", ".mkv", ".avi"])
def test_half_an_export_can_be_made_again(tmp_path: Path, extension: str) -> None:
    uuid = make_store(tmp_path, "bees")
    make_export(tmp_path, "bees", uuid, extension=extension)
    slices(tmp_path, uuid, 2, extension=extension)
    assert half_exports(tmp_path) == []
    sidecar_path(tmp_path / f"bees.high{extension}").unlink()
    (tmp_path / f"bees.high.002{extension}").unlink()
    assert {path.name for path in half_exports(tmp_path)} == {
        f"bees.high{extension}", f"bees.high.002{extension}.json"}


def test_what_is_somebodys_own_stays(tmp_path: Path) -> None:
    """Of another recording, of a recording that is gone, of nobody: never ours to remove."""
    uuid = make_store(tmp_path, "bees")
    make_export(tmp_path, "bees", "another uuid")
    make_export(tmp_path, "wasps", uuid)
    for path in tmp_path.glob("*.json"):
        path.unlink()
    (tmp_path / "bees.annotated.mp4").write_bytes(b"somebody drew into it")
    (tmp_path / "bees.counts.mkv.json").write_text('{"bees": 7}')
    (tmp_path / "empty.avi").touch()
    before = contents(tmp_path)
    assert half_exports(tmp_path) == []
    assert contents(tmp_path) == before
