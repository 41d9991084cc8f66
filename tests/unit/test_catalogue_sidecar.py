"""The sidecar's reader: any bytes are a sidecar or a StoreDamaged, never another error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldrec.catalogue.sidecar import (
    NoExport,
    matches,
    read_sidecar,
    transcode_problem,
    whole_problem,
)
from fieldrec.core.errors import StoreDamaged
from fieldrec.store.movie.content import text
from tests.fakes.small_stores import make_export
from tests.unit.test_catalogue_scan import sidecar


def test_a_good_sidecar(tmp_path: Path) -> None:
    told = read_sidecar(sidecar(tmp_path, "bees", "u1"))
    assert told.file == tmp_path / "bees.high.mp4"
    assert matches(told)
    assert told.recording.exports == (told.export,)
    told.file.unlink()
    assert not matches(told)


def test_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreDamaged, match="export again"):
        read_sidecar(tmp_path / "none.mp4.json")


@pytest.mark.parametrize("name", ["../bees", "", "wasps", "/etc"])
def test_one_that_tells_of_another_recording(tmp_path: Path, name: str) -> None:
    path = sidecar(tmp_path, "bees", "u1")
    content = json.loads(path.read_text())
    content["recording"]["name"] = name
    path.write_text(json.dumps(content))
    with pytest.raises(StoreDamaged, match="tells of the recording"):
        read_sidecar(path)


def test_a_movie_that_is_no_export_is_told_apart_and_judged(tmp_path: Path) -> None:
    path = sidecar(tmp_path, "bees", "u1")
    content = json.loads(path.read_text())
    content["format"] = "fieldrec-transcode"
    movie = path.with_suffix("")
    movie.write_bytes(b"pictures")
    content["file"] = {"name": movie.name, "size_bytes": 8,
                       "xxh64": xxhash.xxh64_hexdigest(b"pictures")}
    path.write_text(json.dumps(content))
    with pytest.raises(NoExport):
        read_sidecar(path)
    assert transcode_problem(path, deep=True) == ""
    movie.write_bytes(b"Pictures")
    assert transcode_problem(path, deep=False) == ""
    assert "transcode again" in transcode_problem(path, deep=True)
    movie.write_bytes(b"pictur")
    assert "another size" in transcode_problem(path, deep=False)
    movie.unlink()
    assert "missing" in transcode_problem(path, deep=False)
    for broken in (b"", b"{", b"[]", b'{"file": 1}', b'{"file": {"name": "x"}}'):
        path.write_bytes(broken)
        assert "cannot be understood" in transcode_problem(path, deep=False)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                    lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=5)


@pytest.mark.parametrize("version", [1, 2])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_wrong_value_is_damage(tmp_path_factory: pytest.TempPathFactory, version: int,
                                   data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("s")
    if version == 1:
        path = sidecar(folder, "bees", "u1")
    else:
        make_export(folder, "bees", "u1", slices=(1, 2))
        path = folder / "bees.high.001.mp4.json"
    content: dict[str, Any] = json.loads(path.read_text())
    target = content
    key = data.draw(st.sampled_from(sorted(content)))
    if isinstance(content[key], dict) and content[key] and data.draw(st.booleans()):
        target = content[key]
        key = data.draw(st.sampled_from(sorted(target)))
    target[key] = data.draw(JSON)
    path.write_bytes(json.dumps(content).encode() if version == 1 else text(content))
    try:
        told = read_sidecar(path)
    except StoreDamaged as error:
        assert str(path) in str(error)
    else:
        assert told.file.parent == path.parent
    assert isinstance(whole_problem(path), str)
    assert isinstance(transcode_problem(path, deep=False), str)
