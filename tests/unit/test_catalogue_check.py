"""check: each broken promise is named with its invariant, and a good folder has none."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xxhash

from fieldrec.catalogue.check import check, check_movie
from fieldrec.core.errors import NotFoundError
from fieldrec.core.model import FrameSpec
from fieldrec.store.reader import StoreReader
from fieldrec.store.writer import StoreWriter
from tests.fakes.small_stores import make_export, make_store
from tests.unit.test_catalogue_scan import begin, record, sidecar


def flip_last_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 0xFF
    path.write_bytes(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two recordings, one exported; nothing wrong."""
    record(tmp_path, "bees")
    sidecar(tmp_path, "bees", StoreReader(tmp_path / "bees").uuid)
    record(tmp_path, "empty", 0)
    (tmp_path / ".fieldrec").mkdir()
    return tmp_path


def found(folder: Path, deep: bool = False) -> list[tuple[str, str]]:
    return [(problem.invariant, str(problem.path.relative_to(folder)))
            for problem in check(folder, deep)]


def test_a_good_folder_has_no_problem(folder: Path) -> None:
    assert found(folder) == []
    assert found(folder, deep=True) == []


@pytest.mark.parametrize(("damage", "expected"), [
    (lambda at: (at / "bees/000001/index.npz").unlink(), ("I1", "bees/000001")),
    (lambda at: (at / "bees/000001/index.npz").write_bytes(b""), ("I1", "bees/000001")),
    (lambda at: shutil.rmtree(at / "bees/000001"), ("I1", "bees/000001")),
    (lambda at: shutil.rmtree(at / "empty/000000"), ("I1", "empty")),
    (lambda at: (at / "bees/000000/000001.npy").unlink(), ("I1", "bees/000000/000001.npy")),
    (lambda at: (at / "bees/000000/000002.npy").touch(), ("I1", "bees/000000/000002.npy")),
    (lambda at: (at / "bees/.hidden").mkdir(), ("I1", "bees/.hidden")),
    (lambda at: (at / "bees/metadata.yaml").write_text(""), ("I1", "bees")),
    (lambda at: (at / "bees/metadata.yaml").unlink(), ("I1", "bees")),
    (lambda at: os.truncate(at / "bees/000000/000001.npy", 130), ("I2", "bees/000000/000001.npy")),
    (lambda at: (at / "bees.high.mp4").unlink(), ("I4", "bees.high.mp4.json")),
    (lambda at: os.truncate(at / "bees.high.mp4", 3), ("I4", "bees.high.mp4.json")),
    (lambda at: (at / "bees.high.mp4.json").unlink(), ("I4", "bees.high.mp4")),
    (lambda at: (at / "bees.high.mp4.json").write_text("{"), ("I4", "bees.high.mp4.json")),
    (lambda at: (at / ".part-bees").mkdir(), ("I7", ".part-bees")),
    (lambda at: (at / ".trash-bees").mkdir(), ("I7", ".trash-bees")),
    (lambda at: (at / "bees/.lock").touch(), ("I7", "bees")),
    (lambda at: (at / "bees/.reserve").touch(), ("I7", "bees/.reserve")),
    (lambda at: (at / "bees/000000/frames.log").touch(), ("I7", "bees/000000/frames.log")),
])
def test_each_damage_is_named_once(folder: Path, damage: Callable[[Path], object],
                                   expected: tuple[str, str]) -> None:
    damage(folder)
    invariant, where = expected
    problems = found(folder)
    assert len(problems) == 1
    assert problems[0][0] == invariant
    assert problems[0][1].startswith(where)


@pytest.mark.parametrize(("file", "invariant"), [("bees/000000/000000.npy", "I2"),
                                                 ("bees.high.mp4", "I4")])
def test_changed_bytes_are_found_by_a_deep_check(folder: Path, file: str, invariant: str) -> None:
    flip_last_byte(folder / file)
    assert found(folder) == []
    assert found(folder, deep=True) == [(invariant, file)]


def test_what_is_being_recorded_is_left_alone(folder: Path) -> None:
    store = begin(folder, "now", 3)
    assert found(folder) == []
    store.close()
    assert found(folder, deep=True) == []


def test_one_bad_recording_does_not_hide_another(folder: Path) -> None:
    record(folder, "wasps")
    (folder / "bees/metadata.yaml").write_text("")
    (folder / "wasps/000000/000000.npy").unlink()
    assert [where.split("/")[0] for _, where in found(folder)] == ["bees", "wasps"]


def test_every_text_is_one_line(folder: Path) -> None:
    (folder / "bees/metadata.yaml").write_text("a:\n- [\n")
    assert all("\n" not in problem.text for problem in check(folder))


def test_other_formats_are_not_called_sound(folder: Path) -> None:
    text = (folder / "bees/metadata.yaml").read_text().replace("format: npy", "format: png")
    (folder / "bees/metadata.yaml").write_text(text)
    assert {invariant for invariant, _ in found(folder)} == {"I1"}


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="must exist"):
        check(tmp_path / "none")


def test_sixteen_bit_colour_is_checked_by_the_same_rules(tmp_path: Path) -> None:
    spec = FrameSpec((5, 7, 3), "uint16", "BGR16", 1.0)
    store = StoreWriter(tmp_path / "s", spec, chunksize=2, user_metadata={}, timezone="UTC",
                        created_epoch_ns=0)
    store.append(np.zeros(spec.shape, np.uint16), 0, 0, None)
    store.close()
    assert found(tmp_path, deep=True) == []


# --- movies -------------------------------------------------------------------------------------

@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """A recording with an export in slices and one in a file; nothing wrong."""
    uuid = make_store(tmp_path, "bees")
    make_export(tmp_path, "bees", uuid, extension=".mkv")
    for number in (1, 2):
        make_export(tmp_path, "bees", uuid, slices=(number, 2))
    return tmp_path


def told(folder: Path, deep: bool = False) -> list[tuple[str, str]]:
    return [(problem.path.name, problem.text) for problem in check(folder, deep)]


def test_good_exports_of_every_kind(exported: Path) -> None:
    assert told(exported) == told(exported, deep=True) == []
    for movie in exported.glob("*.m[pk]?"):
        assert check_movie(movie, deep=True) == []


def test_an_incomplete_set_of_slices(exported: Path) -> None:
    (exported / "bees.high.001.mp4").unlink()
    (exported / "bees.high.001.mp4.json").unlink()
    (name, text), = told(exported)
    assert name == "bees.high.002.mp4"
    assert "slice 2 of 2, of which others are missing" in text


def test_movies_that_lost_their_sidecar(exported: Path) -> None:
    for path in exported.glob("*.json"):
        path.unlink()
    assert {text for _, text in told(exported)} == {
        "an export of bees without its sidecar; delete it and export again"}
    assert len(told(exported)) == 3
    (exported / "bees").rename(exported / "wasps")
    assert all("whose raw is gone" in text and "keep it" in text for _, text in told(exported))
    movie = exported / "bees.high.mkv"
    assert "keep it" in check_movie(movie)[0].text
    movie.write_bytes(b"x" * 100)
    assert "an export without its sidecar" in check_movie(movie)[0].text
    clip = exported / "clip.avi"
    clip.write_bytes(b"a clip of somebody's")
    assert not any(name == clip.name for name, _ in told(exported))
    assert "no movie of fieldrec" in check_movie(clip)[0].text


def test_sidecars_whose_long_parts_are_damaged(exported: Path) -> None:
    beside = exported / "bees.high.mkv.json"
    whole = beside.read_bytes()
    at = whole.rindex(b'"data":"') + 20
    beside.write_bytes(whole[:at] + b"AAAAAA" + whole[at + 6:])
    (name, text), = told(exported)
    assert (name, "export again" in text) == (beside.name, True)
    beside.write_bytes(whole[:-4])
    assert "cut short" in told(exported)[0][1]


def test_what_a_movie_carries_must_be_its_own(exported: Path) -> None:
    movie = exported / "bees.high.mkv"
    data = movie.read_bytes().replace(b'"frame_count":10', b'"frame_count":11')
    movie.write_bytes(data)
    beside = json.loads((exported / "bees.high.mkv.json").read_bytes())
    beside["file"]["xxh64"] = xxhash.xxh64_hexdigest(data)
    (exported / "bees.high.mkv.json").write_text(json.dumps(beside))
    assert told(exported) == []
    assert told(exported, deep=True) == [
        (movie.name, "what it carries is not what its sidecar says")]


def test_damaged_bytes_of_an_export_whose_raw_is_gone(exported: Path) -> None:
    flip_last_byte(exported / "bees.high.mkv")
    assert told(exported) == []
    assert told(exported, deep=True)[0][1].endswith("delete it and export again")
    shutil.rmtree(exported / "bees")
    assert told(exported, deep=True)[0][1].endswith("put it back from a copy")


def test_working_folders_that_nobody_works_in(exported: Path) -> None:
    work = exported / ".work-bees.low.mp4"
    work.mkdir()
    assert [name for name, _ in told(exported)] == [work.name]
    descriptor = os.open(work, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert told(exported) == []
    os.close(descriptor)
