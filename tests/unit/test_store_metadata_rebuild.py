"""Metadata that is lost is found again in what is left of it, in an index, or in the frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from fieldrec.core.errors import StoreDamaged
from fieldrec.core.model import FrameSpec
from fieldrec.store.metadata import metadata_text
from fieldrec.store.recovery.metadata_rebuild import rebuild_metadata, write_metadata
from fieldrec.store.writer import StoreWriter

USER = {"Zoo": "Wien", "animal": "newt", "nested": {"deep": [1, 2]}, "temperature": 21.5}
SHAPE = (6, 8)


def store(path: Path, form: str = "npy", shape: tuple[int, ...] = SHAPE, dtype: str = "uint8",
          encoding: str | None = None) -> Path:
    writer = StoreWriter(path, FrameSpec(shape, dtype, "", 25.0), chunksize=3, timezone="UTC",
                         user_metadata=USER, created_epoch_ns=1_700_000_000_123_456_000, form=form,
                         encoding=encoding)
    for number in range(5):
        writer.append(np.full(shape, number, dtype), number, number, None)
    writer.close()
    return path


def text_of(path: Path) -> str:
    return (path / "metadata.yaml").read_text()


@pytest.mark.parametrize(("form", "shape", "encoding"), [
    ("npy", SHAPE, None), ("png", (6, 8, 3), None), ("bmp", SHAPE, "cv_bayerbg"),
    ("mjpeg/avi", (16, 16, 3), None)])
def test_every_cut_is_mended_from_an_index(tmp_path: Path, form: str, shape: tuple[int, ...],
                                           encoding: str | None) -> None:
    path = store(tmp_path / "s", form, shape, encoding=encoding)
    whole = text_of(path)
    content = yaml.safe_load(whole)
    for size in range(0, len(whole) - 1, 9):
        (path / "metadata.yaml").write_text(whole[:size])
        rebuilt = rebuild_metadata(path, guess=False)
        assert rebuilt.store == content["__store"]
        for key, value in rebuilt.user.items():
            assert content[key] == value, "half a value is none"
        assert "from what an index repeats" in rebuilt.notes[0] or size > whole.index("animal")


def test_user_metadata_before_the_cut_is_kept(tmp_path: Path) -> None:
    path = store(tmp_path / "s")
    whole = text_of(path)
    (path / "metadata.yaml").write_text(whole[:whole.index("nested")])
    rebuilt = rebuild_metadata(path, guess=False)
    assert rebuilt.user == {"Zoo": "Wien"}  # of the last one nobody knows whether it is whole
    (path / "metadata.yaml").write_text(whole[:whole.index("temperature") + 4])
    assert rebuild_metadata(path, guess=False).user.keys() == {"Zoo", "animal", "nested"}


def test_a_spoilt_line_costs_its_own_key(tmp_path: Path) -> None:
    path = store(tmp_path / "s")
    whole = text_of(path)
    (path / "metadata.yaml").write_text(whole.replace("animal: newt", "animal: [\x07newt"))
    rebuilt = rebuild_metadata(path, guess=False)
    assert rebuilt.user == {key: value for key, value in USER.items() if key != "animal"}
    assert rebuilt.store == yaml.safe_load(whole)["__store"]


def test_without_an_index_it_is_guessed_only_when_asked(tmp_path: Path) -> None:
    path = store(tmp_path / "s", "png", (6, 8, 3))
    for index in path.rglob("index.npz"):
        index.unlink()
    (path / "metadata.yaml").unlink()
    with pytest.raises(StoreDamaged, match="check --repair"):
        rebuild_metadata(path, guess=False)
    found = rebuild_metadata(path, guess=True)
    assert (found.store["format"], found.store["imgshape"]) == ("png", [6, 8, 3])
    assert (found.store["imgdtype"], found.store["class"]) == ("uint8", "DirectoryImgStore")
    assert "guessed" in found.notes[1]
    write_metadata(path, found.store, found.user)
    assert not (path / "metadata.yaml.broken").exists()


@pytest.mark.parametrize(("form", "shape", "dtype"), [
    ("npy", SHAPE, "uint16"), ("npy", (6, 8, 3), "float32"), ("tif", SHAPE, "uint8"),
    ("mjpeg/avi", (16, 16, 3), "uint8")])
def test_frames_tell_their_kind(tmp_path: Path, form: str, shape: tuple[int, ...], dtype: str
                                ) -> None:
    path = store(tmp_path / "s", form, shape, dtype)
    before = yaml.safe_load(text_of(path))["__store"]
    for index in [*path.rglob("index.npz"), *path.glob("*.npz")]:
        index.write_bytes(b"")
    (path / "metadata.yaml").write_bytes(b"\0" * 40)
    found = rebuild_metadata(path, guess=True).store
    for key in ("class", "format", "imgshape", "imgdtype"):
        assert found[key] == before[key]


def test_nothing_at_all(tmp_path: Path) -> None:
    (tmp_path / "000000").mkdir()
    (tmp_path / "000000" / "000000.npy").write_bytes(b"garbage")
    with pytest.raises(StoreDamaged, match="put it back"):
        rebuild_metadata(tmp_path, guess=True)


def test_each_broken_file_is_kept_once(tmp_path: Path) -> None:
    path = store(tmp_path / "s")
    content = yaml.safe_load(text_of(path))
    mapping = content.pop("__store")
    for text in ("broken", "broken", "worse"):
        (path / "metadata.yaml").write_text(text)
        write_metadata(path, mapping, content)
        assert text_of(path) == metadata_text(mapping, content)
    assert {name.name: name.read_text() for name in path.glob("metadata.yaml.*")} == {
        "metadata.yaml.broken": "broken", "metadata.yaml.broken.2": "worse"}
