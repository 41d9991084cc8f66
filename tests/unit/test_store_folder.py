"""The directory of a store: who may have it, and that nothing is left of one that was not begun."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fieldrec.core import durable
from fieldrec.core.errors import StoreError, StoreFull, SyncFailed
from fieldrec.store.metadata import parse_metadata, store_mapping
from fieldrec.store.store_folder import StoreFolder

STORE = store_mapping((4, 6), "uint8", chunksize=5, timezone="UTC", created_epoch_ns=0,
                      uuid="0" * 32)


def folder(path: Path, *, may_exist: bool = False) -> StoreFolder:
    return StoreFolder(path, STORE, {"a": 1}, reserve_bytes=5000, may_exist=may_exist)


def names(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir()}


def test_a_life(tmp_path: Path) -> None:
    store = folder(tmp_path / "s")
    opened = [store.is_open]
    store.take_reserve()
    store.take_reserve()
    assert (tmp_path / "s" / ".reserve").stat().st_size == 5000
    store.sync()
    store.update_metadata({"a": 2})
    assert names(tmp_path / "s") == {".lock", ".reserve", "metadata.yaml"}
    store.give_reserve_back()
    store.give_reserve_back()
    store.unlock()
    store.let_go()
    store.let_go()
    opened.append(store.is_open)
    assert opened == [True, False]
    assert names(tmp_path / "s") == {"metadata.yaml"}
    assert parse_metadata((tmp_path / "s" / "metadata.yaml").read_text()) == (STORE, {"a": 2})


def test_the_same_metadata_are_not_written_again(tmp_path: Path) -> None:
    store = folder(tmp_path / "s")
    steps: list[str] = []
    durable.set_hook(lambda step, _path: steps.append(step))
    store.update_metadata({"a": 1})
    durable.set_hook(None)
    store.let_go()
    assert steps == []


@pytest.mark.parametrize("there", ["metadata.yaml", ".lock", "000000", "000003.mp4", "7"])
def test_a_place_with_anything_of_a_store_is_left_alone(tmp_path: Path, there: str) -> None:
    (tmp_path / there).mkdir()
    with pytest.raises(StoreError, match="exists already"):
        folder(tmp_path, may_exist=True)
    assert names(tmp_path) == {there}


def test_a_place_with_other_things_will_do_when_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(StoreError, match="exists already") as caught:
        folder(tmp_path)
    assert isinstance(caught.value.__cause__, FileExistsError)
    store = folder(tmp_path, may_exist=True)
    store.let_go()
    assert names(tmp_path) == {"notes.txt", "metadata.yaml", ".lock"}


def test_a_file_is_no_place_for_a_store(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("mine")
    with pytest.raises(StoreError, match="exists already"):
        folder(tmp_path / "s", may_exist=True)
    assert (tmp_path / "s").read_text() == "mine"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("may_exist", [False, True])
def test_what_cannot_be_begun_leaves_nothing(tmp_path: Path, number: int, may_exist: bool) -> None:
    for step in range(30):
        place = tmp_path / "s"
        if may_exist:
            place.mkdir()
            (place / "notes.txt").touch()
        left = step

        def fail_once(_step: str, _path: Path) -> None:
            nonlocal left
            left -= 1
            if left == -1:
                raise OSError(number, os.strerror(number))

        durable.set_hook(fail_once)
        try:
            store = folder(place, may_exist=may_exist)
        except (StoreFull, StoreError, SyncFailed) as error:
            assert "\n" not in str(error)
        else:
            store.let_go()
            assert step > 5
            return
        finally:
            durable.set_hook(None)
        if may_exist:
            assert names(place) == {"notes.txt"}, step
            (place / "notes.txt").unlink()
            place.rmdir()
        assert names(tmp_path) == set(), step
    raise AssertionError("the sweep did not end")
