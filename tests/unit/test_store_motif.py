"""Motif's files and settings, with real HDF5 files, against imgstore's own functions."""

from __future__ import annotations

import datetime
import itertools
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import h5py
import imgstore.util as oracle
import numpy as np
import pytest

from fieldrec.core.errors import StoreDamaged, UsageError
from fieldrec.store import motif

CAMERA = np.dtype([("frame_number", "<i8"), ("frame_index", "<i8"), ("frame_time", "<f8")])


def make_h5(path: Path, *, attributes_as: type = str, datasets: str = "daq",
            samplerate: int | None = 500) -> Path:
    """Six samples allocated, four of them recorded, in a dataset of two columns."""
    camera = np.zeros(6, CAMERA)
    camera["frame_number"] = [7, 8, 9, 11, -1, -1]
    camera["frame_index"] = [0, 1, 2, 3, -1, -1]
    camera["frame_time"] = np.arange(6) / 10

    def text(value: str) -> Any:
        return np.bytes_(value) if attributes_as is bytes else value

    with h5py.File(path, "w") as file:
        file["camera"] = camera
        file["sample_delay"] = np.arange(6) / 1000
        for at, name in enumerate(datasets.split(",")):
            file[name] = np.arange(12.0).reshape(2, 6) + 100 * at
            file[name].attrs["column_names"] = text(f"temp{at}, light{at}")
            if samplerate is not None:
                file[name].attrs["samplerate"] = samplerate
        file.attrs["datasets"] = text(datasets)
    return path


@pytest.mark.parametrize("attributes_as", [str, bytes])
@pytest.mark.parametrize("datasets", ["daq", "daq,audio"])
def test_h5_as_a_table(tmp_path: Path, attributes_as: type, datasets: str) -> None:
    path = make_h5(tmp_path / "000000.extra_data.h5", attributes_as=attributes_as,
                   datasets=datasets)
    table = motif.motif_extra_data_h5_to_df(None, str(path))
    expected = oracle.motif_extra_data_h5_to_df(None, str(path))
    assert table.equals(expected)
    assert table["frame_number"].tolist() == [7, 8, 9, 11]
    assert list(motif.iter_motif_records(path)) == expected.to_dict("records")


@pytest.mark.parametrize("attributes_as", [str, bytes])
def test_h5_attributes(tmp_path: Path, attributes_as: type) -> None:
    """imgstore's own fails where the list is text."""
    path = make_h5(tmp_path / "000000.extra_data.h5", attributes_as=attributes_as)
    attributes = motif.motif_extra_data_h5_attrs(path)
    assert attributes["_datasets"] == ["daq"]
    assert attributes["daq"]["samplerate"] == 500
    assert attributes["camera"] == {}


ROWS: list[dict[str, Any]] = [
    {"frame_number": 9, "frame_index": 2, "a": 1.5}, {"frame_number": 7, "frame_index": 0},
    {"frame_number": -1, "frame_index": -1}, {"frame_number": 8, "frame_index": 1, "a": 2.5}]


@pytest.mark.parametrize("rows", [ROWS, [{**row, "sensor_time": -at} for at, row in
                                         enumerate(ROWS * 2)]], ids=["index", "sensor time"])
def test_json_as_a_table(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    path = tmp_path / "000000.extra_data.json"
    path.write_text(json.dumps(rows))
    table = motif.motif_extra_data_json_to_df(None, path)
    assert table is not None
    assert table.equals(oracle.motif_extra_data_json_to_df(None, str(path)))
    assert [row["frame_number"] for row in motif.iter_motif_records(path)] == table[
        "frame_number"].tolist()


@pytest.mark.parametrize("rows", [[], [{"frame_number": -1, "frame_index": 0}]])
def test_json_without_rows(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    path = tmp_path / "000000.extra_data.json"
    path.write_text(json.dumps(rows))
    assert motif.motif_extra_data_json_to_df(None, path) is None
    assert list(motif.iter_motif_records(path)) == []


@pytest.mark.parametrize("content", [b"", b"[{", b"{}", b"[1]", b"\xff\xfe"])
@pytest.mark.parametrize("name", ["000000.extra_data.json", "000000.extra_data.h5"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(StoreDamaged, match=name) as raised:
        list(motif.iter_motif_records(path))
    assert isinstance(raised.value, ValueError)


@pytest.mark.parametrize("missing", ["camera", "sample_delay", "daq"])
def test_an_h5_file_with_a_part_missing_is_named(tmp_path: Path, missing: str) -> None:
    path = make_h5(tmp_path / "000000.extra_data.h5")
    with h5py.File(path, "r+") as file:
        del file[missing]
    with pytest.raises(StoreDamaged, match=r"000000\.extra_data\.h5"):
        motif.motif_extra_data_h5_to_df(None, path)


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_h5(tmp_path / "000000.extra_data.h5")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"fieldrec\[motif\]") as raised:
        motif.motif_extra_data_h5_attrs(path)
    assert isinstance(raised.value, UsageError)


def store_with(user: Mapping[str, Any], times_s: list[float] | None = None) -> Any:
    frames = {"frame_number": list(range(len(times_s or []))), "frame_time": times_s or []}
    return SimpleNamespace(user_metadata=user, get_frame_metadata=lambda: frames,
                           _get_chunk_metadata=lambda _chunk: frames,
                           created=(datetime.datetime.now(datetime.UTC), ZoneInfo("Asia/Tokyo")))


USERS: list[dict[str, Any]] = [
    {}, {"hwframerate": "99.5", "motifptpframerate": 3}, {"motifptpframerate": 12},
    {"acquisitionframerate": 30, "acquisitionframerateenable": True},
    {"acquisitionframerate": 30, "acquisitionframerateenable": 1},
    {"acquisitionframerate": 30}, {"acquisitionframerate": 0, "acquisitionframerateenable": True}]
KEYWORDS: list[dict[str, Any]] = [{}, {"default": None}, {"default": 7.0}, {"hwardware_only": True}]


def test_the_true_rate() -> None:
    for user, keywords in itertools.product(USERS, KEYWORDS):
        store = store_with(user, [0.0, 0.02, 0.04, 0.5])
        expected = oracle.motif_get_parse_true_fps(store, **keywords)
        assert motif.motif_get_parse_true_fps(store, **keywords) == expected, (user, keywords)


def test_the_rate_of_a_store_with_one_frame_is_not_known() -> None:
    assert motif.motif_get_parse_true_fps(store_with({}, [3.0]), default=None) is None


def test_the_zone_of_the_recording() -> None:
    for name in ("Europe/Vienna", "Nowhere/X", None, 3):
        store = store_with({"timezone": name})
        assert motif.motif_get_recording_timezone(store) == oracle.motif_get_recording_timezone(
            store)
    assert motif.motif_get_recording_timezone(store_with({})) == ZoneInfo("Asia/Tokyo")
