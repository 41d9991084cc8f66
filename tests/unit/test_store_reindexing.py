"""Reindexing: atomic file by file, completed by another run, and never beside a writer."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imgstore
import numpy as np
import pytest
import yaml

import fieldrec.store as store_api
from fieldrec.core import durable
from fieldrec.core.errors import LockedError, StoreError
from fieldrec.store.recover import recover
from tests.fakes.small_stores import contents

SHAPE = (6, 8)
NUMBERS = [7, 8, 9, 10, 11, 0, 1, 2, 3]
AFTER = [-5, -4, -3, -2, -1, 0, 1, 2, 3]


def make(path: Path, numbers: list[int] | None = None) -> Path:
    """Chunks of two frames, extra data for each frame."""
    with store_api.new_for_format("npy", path, imgshape=SHAPE, chunksize=2) as store:
        store.add_extra_data(label="before")
        for at, number in enumerate(numbers or NUMBERS):
            store.add_image(np.full(SHAPE, at, np.uint8), number, 1000.1 + at)
            store.add_extra_data(label=f"n{number}")
    return path


def reindex(path: Path) -> None:
    with store_api.new_for_filename(path) as store:
        store.reindex()
        assert store.get_frame_metadata()["frame_number"] == AFTER


def assert_reindexed(path: Path) -> None:
    with imgstore.new_for_filename(str(path)) as oracle:
        assert oracle.get_frame_metadata() == {
            "frame_number": AFTER, "frame_time": [1000.1 + at for at in range(9)]}
        for number in (-5, -1, 0, 3):
            assert oracle.get_image(number)[0][0, 0] == AFTER.index(number)
        table = oracle.get_extra_data()
    assert np.isnan(table["frame_number"][0])
    assert table["frame_number"].tolist()[1:] == AFTER
    assert table["_frame_number_before_reindex"].tolist()[1:] == NUMBERS
    before = [np.load(path / f"{chunk:06d}" / "index.npz")["_frame_number_before_reindex"].tolist()
              for chunk in range(3)]
    assert before == [[7, 8], [9, 10], [11, 0]]
    assert not (path / ".lock").exists()


def test_what_else_the_index_says_stays(tmp_path: Path) -> None:
    path = make(tmp_path / "s")
    old = dict(np.load(path / "000001" / "index.npz"))
    reindex(path)
    assert_reindexed(path)
    new = dict(np.load(path / "000001" / "index.npz"))
    for name in old:
        if name != "frame_number":
            assert np.array_equal(old[name], new[name]), name
    assert "_frame_number_before_reindex" not in np.load(path / "000003" / "index.npz")


def test_twice_is_as_once(tmp_path: Path) -> None:
    path = make(tmp_path / "s")
    reindex(path)
    once = contents(path)
    reindex(path)
    assert contents(path) == once


class Cut(BaseException):
    """The power goes."""


def test_it_may_be_cut_off_at_any_step(tmp_path: Path) -> None:
    told: list[str] = []
    made = make(tmp_path / "made")
    counted = shutil.copytree(made, tmp_path / "counted")
    durable.set_hook(lambda step, _path: told.append(step))
    reindex(counted)
    durable.set_hook(None)
    for step in range(0, len(told), 2):
        path = shutil.copytree(made, tmp_path / f"s{step}")
        left = [step]

        def hook(_step: str, _path: Path, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Cut

        durable.set_hook(hook)
        with pytest.raises(Cut):
            reindex(path)
        durable.set_hook(None)
        with imgstore.new_for_filename(str(path)) as oracle:
            assert oracle.frame_count == len(NUMBERS)
        if step % 8 == 0:
            recover(path, force=True)
        reindex(path)
        assert_reindexed(path)


def test_never_beside_a_writer(tmp_path: Path) -> None:
    with store_api.new_for_format("npy", tmp_path / "s", imgshape=SHAPE, chunksize=1) as writer:
        writer.add_image(np.zeros(SHAPE, np.uint8), 0, 1.0)
        with store_api.new_for_filename(tmp_path / "s") as store:
            before = contents(tmp_path / "s")
            with pytest.raises(LockedError, match="being written") as raised:
                store.reindex()
            assert isinstance(raised.value, OSError)
            assert contents(tmp_path / "s") == before


def test_never_before_recovery(tmp_path: Path) -> None:
    path = make(tmp_path / "s")
    (path / "000004" / "index.npz").unlink()
    (path / ".lock").touch()
    with (store_api.new_for_filename(path) as store,
          pytest.raises(LockedError, match="recover the store first")):
        store.reindex()


def test_never_beside_another_run(tmp_path: Path) -> None:
    path = make(tmp_path / "s")
    with (path / ".lock").open("w") as lock, store_api.new_for_filename(path) as store:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(LockedError, match="another program"):
            store.reindex()
    reindex(path)
    assert_reindexed(path)


def test_not_with_an_index_that_is_out_of_date(tmp_path: Path) -> None:
    path = make(tmp_path / "s")
    with store_api.new_for_filename(path) as store:
        reindex(path)
        with pytest.raises(ValueError, match="changed meanwhile"):
            store.reindex()
    assert_reindexed(path)


def test_a_disk_that_refuses(tmp_path: Path) -> None:
    path = make(tmp_path / "s")

    def hook(step: str, file: Path) -> None:
        if step == "rename" and "000001" in str(file):
            raise OSError(5, "Input/output error")

    durable.set_hook(hook)
    with store_api.new_for_filename(path) as store, pytest.raises(OSError, match="output") as told:
        store.reindex()
    durable.set_hook(None)
    assert isinstance(told.value, StoreError)
    reindex(path)
    assert_reindexed(path)


def test_an_old_stores_yaml_index(tmp_path: Path) -> None:
    path = make(tmp_path / "s")
    for chunk in range(5):
        file = path / f"{chunk:06d}" / "index.npz"
        columns = np.load(file)
        file.with_suffix(".yaml").write_text(yaml.safe_dump(
            {name: columns[name].tolist() for name in ("frame_number", "frame_time")}))
        file.unlink()
    reindex(path)
    assert_reindexed(path)
    assert not (path / "000000" / "index.yaml").exists()
    assert (path / "000004" / "index.yaml").exists()


def broken(file: Path) -> None:
    file.write_text("[{")


def without_place(file: Path) -> None:
    file.write_text(json.dumps([{"a": 1, "frame_number": 9}]))


@pytest.mark.parametrize("change", [broken, without_place])
def test_extra_data_that_cannot_be_renumbered_is_left(
        tmp_path: Path, change: Callable[[Path], None], caplog: pytest.LogCaptureFixture) -> None:
    path = make(tmp_path / "s")
    file = path / "000001" / "index.extra.json"
    change(file)
    before = file.read_bytes()
    reindex(path)
    assert file.read_bytes() == before
    assert "000001" in caplog.text
    other: Any = json.loads((path / "000002" / "index.extra.json").read_text())
    assert [record["frame_number"] for record in other] == [-1, 0]


def test_fractional_numbers_stay_what_they_are(tmp_path: Path) -> None:
    path = make(tmp_path / "s")
    file = path / "000002" / "index.npz"
    columns = dict(np.load(file))
    columns["frame_number"] = np.array([10.5, 0.0])
    np.savez(file, **columns)
    reindex(path)
    assert np.load(file)["frame_number"].tolist() == [-1, 0]
    assert np.load(file)["_frame_number_before_reindex"].tolist() == [10.5, 0.0]
