"""What imgstore takes for a chunk and cannot open is moved away, and nothing is deleted."""

from __future__ import annotations

from pathlib import Path

import imgstore
import numpy as np
import pytest

from fieldrec.core import durable
from fieldrec.store.metadata import StoreMetadata, parse_metadata, store_metadata
from fieldrec.store.recovery.strays import find_strays, move_strays


def store(path: Path, form: str = "npy") -> StoreMetadata:
    shape = (16, 16, 3)
    written = imgstore.new_for_format(form, path=str(path), imgshape=shape, imgdtype="uint8",
                                      chunksize=3, metadata={})
    for number in range(4):
        written.add_image(np.zeros(shape, np.uint8), number, float(number))
    written.close()
    return store_metadata(parse_metadata((path / "metadata.yaml").read_text())[0])


def frames_in(path: Path) -> int:
    return int(imgstore.new_for_filename(str(path)).frame_count)


@pytest.mark.parametrize("name", ["tmp", ".hidden", "lost+found", "__MACOSX", "000002.part", "1e3"])
def test_directories_go_beside_the_store(tmp_path: Path, name: str) -> None:
    metadata = store(tmp_path / "s")
    (tmp_path / "s" / name).mkdir()
    (tmp_path / "s" / name / "file").write_text("kept")
    with pytest.raises(ValueError, match="invalid literal"):
        frames_in(tmp_path / "s")
    assert [stray.path.name for stray in find_strays(tmp_path / "s", metadata)] == [name]
    said, = move_strays(tmp_path / "s", metadata)
    assert f"../s.{name}" in said
    assert (tmp_path / f"s.{name}" / "file").read_text() == "kept"
    assert frames_in(tmp_path / "s") == 4
    assert find_strays(tmp_path / "s", metadata) == []


def test_a_chunk_with_too_few_zeros_gets_them(tmp_path: Path) -> None:
    metadata = store(tmp_path / "s")
    (tmp_path / "s" / "000001").rename(tmp_path / "s" / "1")
    stray, = find_strays(tmp_path / "s", metadata)
    assert stray.chunk == 1
    assert "000001" in stray.text
    move_strays(tmp_path / "s", metadata)
    assert frames_in(tmp_path / "s") == 4


def test_a_second_chunk_of_that_number_goes_away(tmp_path: Path) -> None:
    metadata = store(tmp_path / "s")
    (tmp_path / "s" / "1").mkdir()
    move_strays(tmp_path / "s", metadata)
    assert (tmp_path / "s.1").is_dir()
    assert frames_in(tmp_path / "s") == 4


def test_videos_that_are_no_chunk_get_another_ending(tmp_path: Path) -> None:
    """One that stayed a video beside the recordings would be taken for an export."""
    metadata = store(tmp_path / "s", "mjpeg/avi")
    (tmp_path / "s" / "preview.avi").touch()
    (tmp_path / "s" / "a directory").mkdir()
    with pytest.raises(ValueError, match="invalid literal"):
        frames_in(tmp_path / "s")
    move_strays(tmp_path / "s", metadata)
    assert (tmp_path / "s" / "preview.avi.aside").exists()
    assert frames_in(tmp_path / "s") == 4


def test_files_in_a_directory_store_are_no_strays(tmp_path: Path) -> None:
    metadata = store(tmp_path / "s")
    for name in ("notes.txt", ".x.tmp", "recovered.json", "000001.x.damaged"):
        (tmp_path / "s" / name).touch()
    assert find_strays(tmp_path / "s", metadata) == []


def test_what_cannot_be_moved_is_said(tmp_path: Path) -> None:
    metadata = store(tmp_path / "s")
    (tmp_path / "s" / "tmp").mkdir()

    def refuse(step: str, path: Path) -> None:
        if step == "rename":
            raise OSError(16, "Device or resource busy")

    durable.set_hook(refuse)
    said, = move_strays(tmp_path / "s", metadata)
    durable.set_hook(None)
    assert "cannot be moved" in said
