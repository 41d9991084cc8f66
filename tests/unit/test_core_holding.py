"""Who holds a file or a folder: seen, and not disturbed."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from fieldrec.core.holding import is_held


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
