"""check: each broken promise is named with its invariant, and a good folder has none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fieldrec.catalogue.check import check
from fieldrec.core.errors import NotFoundError
from fieldrec.core.model import FrameSpec
from fieldrec.store.reader import StoreReader
from fieldrec.store.writer import StoreWriter
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
