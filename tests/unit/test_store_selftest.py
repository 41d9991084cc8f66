"""The self-test tells the truth: right where all is right, wrong where anything is."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldrec.core.errors import StoreError
from fieldrec.store import selftest as under_test
from fieldrec.store.api.base_store import ImgStore
from fieldrec.store.frame_files import directory_formats
from fieldrec.store.metadata import VIDEO_FORMATS
from fieldrec.store.selftest import Result, SelftestStopped, missing, selftest


def results(folder: Path) -> dict[str, Result]:
    return {result.format: result for result in selftest(folder, threading.Event())}


@pytest.fixture
def fast(tmp_path: Path) -> Iterator[Path]:
    """A folder where syncs cost nothing, where there is one: hundreds of them are made."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)


def test_every_format_is_tried_and_right_and_nothing_is_left(fast: Path) -> None:
    found = results(fast)
    assert set(found) == {*directory_formats(), *VIDEO_FORMATS, "bpk"}
    assert [result.failures for result in found.values() if not result.right] == []
    assert {name for name, result in found.items() if result.unavailable} == {"bpk"}
    assert all(len(set(result.tried)) == len(result.tried) for result in found.values())
    assert {"uint8 mono 63x47", "float32 colour 64x48", "cv_bayerbg"} <= set(found["npy"].tried)
    assert len(found["avc1/mp4"].tried) == 4
    assert list(fast.iterdir()) == []


def only(monkeypatch: pytest.MonkeyPatch, *formats: str) -> None:
    monkeypatch.setattr(under_test, "directory_formats",
                        lambda: [form for form in formats if "/" not in form])
    monkeypatch.setattr(under_test, "VIDEO_FORMATS", [form for form in formats if "/" in form])


@pytest.mark.parametrize(("form", "how"), [
    ("npy", "pixels"), ("png", "pixels"), ("jpg", "pixels"), ("avc1/mp4", "neighbour"),
    ("npy", "neighbour"), ("jpg", "neighbour"), ("mjpeg/avi", "lost")])
def test_a_picture_that_reads_back_wrong_is_a_failure(
        fast: Path, monkeypatch: pytest.MonkeyPatch, form: str, how: str) -> None:
    add = ImgStore.add_image
    before: list[Any] = []

    def wrong(self: ImgStore, img: Any, number: Any, time: Any) -> None:
        if self.frame_count == 5:
            if how == "lost":
                return
            img = np.flip(img) if how == "pixels" else before[-1]
        before.append(img.copy())
        add(self, img, number, time)

    monkeypatch.setattr(ImgStore, "add_image", wrong)
    only(monkeypatch, form)
    found = results(fast)
    assert not found[form].right
    assert len(found[form].failures) == len(found[form].tried)
    if how != "lost":
        assert "frame 5" in found[form].failures[0]


def test_extra_data_that_is_lost_is_a_failure(tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImgStore, "add_extra_data", lambda *_, **__: None)
    only(monkeypatch, "npy")
    assert "extra data" in results(tmp_path)["npy"].failures[0]


def test_an_encoder_that_is_not_there_is_told_and_no_failure(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "available", lambda form: f"no encoder for {form}")
    only(monkeypatch, "avc1/mp4")
    found = results(tmp_path)["avc1/mp4"]
    assert (found.right, found.tried, found.unavailable) == (True, [], "no encoder for avc1/mp4")


def test_told_to_stop_it_leaves_nothing(tmp_path: Path) -> None:
    stop = threading.Event()
    with pytest.raises(SelftestStopped):
        for _ in selftest(tmp_path, stop):
            stop.set()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="none"):
        list(selftest(tmp_path / "none", threading.Event()))


def test_packages_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert {part.name for part in missing()} == {"pandas", "h5py"}
    assert all("pip install" in part.how for part in missing())
