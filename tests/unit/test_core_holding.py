"""Who holds a file or a folder: seen, and not disturbed."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldrec.core.holding import hold, is_held
from fieldrec.export.work_folder import work_path, working_folder


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_an_exclusive_lock_is_seen_and_a_free_one_is_left_free(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    path.mkdir() if kind == "folder" else path.touch()
    assert not is_held(path)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the probe has let go
        assert is_held(path)
    finally:
        os.close(descriptor)
    assert not is_held(path)


def test_what_is_not_there_and_what_is_a_link(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        is_held(tmp_path / "gone")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OSError):
        is_held(tmp_path / "link")


@contextlib.contextmanager
def probed(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Somebody's probe holds the path, and lets go at the first pause of whoever wants it; the
    pauses."""
    descriptor = os.open(path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        fcntl.flock(descriptor, fcntl.LOCK_UN)

    monkeypatch.setattr("fieldrec.core.holding.time.sleep", pause)
    try:
        yield pauses
    finally:
        os.close(descriptor)


def test_a_probe_does_not_keep_a_writer_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch
                                            ) -> None:
    with probed(tmp_path, monkeypatch) as pauses:
        descriptor = os.open(tmp_path, os.O_RDONLY)
        try:
            hold(descriptor)
            assert is_held(tmp_path)
        finally:
            os.close(descriptor)
        assert len(pauses) == 1


def test_a_probe_does_not_keep_an_export_out_of_its_folder(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "bees.high.mp4"
    work_path(target).mkdir()
    with probed(work_path(target), monkeypatch) as pauses, working_folder(target) as folder:
        assert is_held(folder)
        assert len(pauses) == 1


def test_another_writer_keeps_it_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("fieldrec.core.holding.time.sleep", pauses.append)
    one, other = (os.open(tmp_path, os.O_RDONLY) for _ in range(2))
    try:
        hold(one)
        with pytest.raises(BlockingIOError):
            hold(other)
        assert sum(pauses) == pytest.approx(0.2, abs=0.01)
    finally:
        os.close(one)
        os.close(other)
