"""Extra data of whole stores: what imgstore writes, what Motif writes, and what a crash leaves."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import imgstore
import numpy as np
import pandas
import pytest

from fieldrec.core.errors import StoreDamaged, UsageError
from fieldrec.store.extra_read import (
    extra_files,
    extra_table,
    iter_extra_records,
    own_records,
    samplerate,
)
from fieldrec.store.metadata import StoreMetadata, store_metadata
from fieldrec.store.reader import read_metadata
from tests.unit.test_store_motif import ROWS, make_h5

FORMATS = ("npy", "mjpeg/avi")


def make_store(path: Path, form: str = "npy") -> Path:
    """Seven frames in chunks of three, a record for most of them, one before the first."""
    store = imgstore.new_for_format(form, str(path), imgshape=(16, 18), imgdtype=np.uint8,
                                    chunksize=3)
    store.add_extra_data(note="before", ratio=np.float64("nan"))
    for number in range(7):
        store.add_image(np.zeros((16, 18), np.uint8), number + 100, 1000.5 + number)
        if number != 4:
            store.add_extra_data(temperature=20 + number / 2, count=number, label=f"n{number}",
                                 many=[1, number], array=np.arange(2))
    store.close()
    return path


def metadata_of(path: Path) -> StoreMetadata:
    return store_metadata(read_metadata(path)[0])


def table_of(path: Path, **keywords: Any) -> Any:
    return extra_table(path, metadata_of(path), **keywords)


def imgstores_table(path: Path) -> Any:
    store = imgstore.new_for_filename(str(path))
    try:
        return store.get_extra_data()
    finally:
        store.close()


@pytest.mark.parametrize("form", FORMATS)
def test_the_table_is_imgstores_to_the_type_of_each_column(tmp_path: Path, form: str) -> None:
    path = make_store(tmp_path / "s", form)
    ours, theirs = table_of(path), imgstores_table(path)
    pandas.testing.assert_frame_equal(ours, theirs)
    assert len(ours) == 7
    assert ours.dtypes.to_dict() == theirs.dtypes.to_dict()


@pytest.mark.parametrize("form", FORMATS)
def test_the_records_need_no_pandas(tmp_path: Path, form: str,
                                    monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_store(tmp_path / "s", form)
    monkeypatch.setitem(sys.modules, "pandas", None)
    records = list(iter_extra_records(path))
    assert [record.get("label") for record in records] == [None, "n0", "n1", "n2", "n3", "n5", "n6"]
    assert records[1] == {"temperature": 20.0, "count": 0, "label": "n0", "many": [1, 0],
                          "array": [0, 1], "frame_time": 1000.5, "frame_number": 100,
                          "frame_index": 0}
    with pytest.raises(ImportError, match=r"fieldrec\[pandas\]") as raised:
        table_of(path)
    assert isinstance(raised.value, UsageError)


def test_nothing_recorded(tmp_path: Path) -> None:
    store = imgstore.new_for_format("npy", str(tmp_path / "s"), imgshape=(4, 4))
    store.close()
    assert extra_files(tmp_path / "s", metadata_of(tmp_path / "s")) == []
    assert table_of(tmp_path / "s") is None
    assert list(iter_extra_records(tmp_path / "s")) == []


def test_before_the_first_frame_is_nan_though_strict_json_says_null(tmp_path: Path) -> None:
    path = make_store(tmp_path / "s")
    (path / "000000" / "index.extra.json").write_text(
        '[{"a": 1, "frame_time": null, "frame_number": null, "frame_index": -1}]')
    for chunk in ("000001", "000002"):
        (path / chunk / "index.extra.json").unlink()
    table = table_of(path)
    assert table.dtypes["frame_number"] == np.float64
    assert np.isnan(table["frame_time"][0])


@pytest.mark.parametrize("form", FORMATS)
def test_motifs_file_stands_for_the_chunks_own(tmp_path: Path, form: str) -> None:
    path = make_store(tmp_path / "s", form)
    make_h5(path / "000000.extra_data.h5")
    (path / "000000.extra_data.json").write_text("not looked at: there is an .h5")
    (path / "000001.extra_data.json").write_text(json.dumps(ROWS))
    pandas.testing.assert_frame_equal(table_of(path), imgstores_table(path))
    assert [row["frame_number"] for row in iter_extra_records(path)][:7] == [7, 8, 9, 11, 7, 8, 9]
    store = imgstore.new_for_filename(str(path))
    for extensions in [(".extra.json",), (".extra_data.h5",), (".extra_data.json", ".extra.json"),
                       (".extra_data.json", ".extra_data.h5"), ()]:
        found = extra_files(path, metadata_of(path), extensions)
        assert [str(file.path) for file in found] == store.find_extra_data_files(extensions)
    store.close()


def test_an_old_store_has_motifs_name_beside_its_index(tmp_path: Path) -> None:
    path = make_store(tmp_path / "s")
    own = path / "000000" / "index.extra.json"
    own.rename(own.with_name("index.extra_data.json"))
    pandas.testing.assert_frame_equal(table_of(path), imgstores_table(path))


@pytest.mark.parametrize("cut", [1, 2, 5, 30])
def test_a_file_that_a_crash_cut_off(tmp_path: Path, cut: int) -> None:
    path = make_store(tmp_path / "s")
    file = path / "000001" / "index.extra.json"
    file.write_bytes(file.read_bytes()[:-cut])
    with pytest.raises(StoreDamaged, match=r"000001/index\.extra\.json.*cut off") as raised:
        list(iter_extra_records(path))
    assert isinstance(raised.value, ValueError)
    kept = [record.get("label") for record in iter_extra_records(path, ignore_corrupt=True)]
    whole = ["n2", "n3"] if cut == 1 else ["n2"]
    assert kept == [None, "n0", "n1", *whole, "n5", "n6"]
    assert table_of(path, ignore_corrupt=True)["label"].tolist()[3:] == [*whole, "n5", "n6"]


@pytest.mark.parametrize("content", [b"", b"[", b"\0" * 40, b"[1, 2]", b'{"a": 1}', b"[[]]",
                                     b"\xff\xfe\x00[{", b"[" * 100_000])
def test_a_damaged_file_costs_itself_only(tmp_path: Path, content: bytes) -> None:
    path = make_store(tmp_path / "s")
    (path / "000000" / "index.extra.json").write_bytes(content)
    with pytest.raises(StoreDamaged, match="000000"):
        table_of(path)
    labels = [record.get("label") for record in iter_extra_records(path, ignore_corrupt=True)]
    assert labels[-4:] == ["n2", "n3", "n5", "n6"]


def test_a_damaged_file_of_motifs_costs_itself_only(tmp_path: Path) -> None:
    path = make_store(tmp_path / "s")
    (path / "000000.extra_data.h5").write_bytes(b"\x89HDF")
    (path / "000001.extra_data.json").write_text("[]")
    with pytest.raises(StoreDamaged, match=r"000000\.extra_data\.h5"):
        table_of(path)
    assert table_of(path, ignore_corrupt=True)["label"].tolist() == ["n5", "n6"]
    assert len(list(iter_extra_records(path, ignore_corrupt=True))) == 2


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.extra.json").mkdir()
    with pytest.raises(StoreDamaged, match=r"x\.extra\.json: Is a directory"):
        own_records(tmp_path / "x.extra.json")


def test_the_sample_rate(tmp_path: Path) -> None:
    path = make_store(tmp_path / "s")
    with pytest.raises(ValueError, match="no extra data of Motif"):
        samplerate(path, metadata_of(path))
    make_h5(path / "000000.extra_data.h5", samplerate=None)
    make_h5(path / "000001.extra_data.h5", samplerate=250)
    assert samplerate(path, metadata_of(path)) == 250
    make_h5(path / "000000.extra_data.h5", datasets="daq,audio")
    with pytest.raises(ValueError, match="2 datasets"):
        samplerate(path, metadata_of(path))
