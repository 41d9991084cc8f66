"""Folders that this process works on: others are kept out, and a new one is told of once."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldrec.app.own_folders import OwnFolders
from fieldrec.core.errors import LockedError


def test_who_wants_to_know_is_told_of_each_new_folder_once(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    own, told = OwnFolders(), list[tuple[Path, ...]]()
    own.claim(one)
    own.on_claim = lambda: told.append(tuple(own.paths))
    own.claim(one)
    own.claim(two)
    assert told == [(one, two)]
    other = OwnFolders()
    other.on_claim = lambda: told.append(())
    with pytest.raises(LockedError):
        other.claim(two)
    own.release()
    assert len(told) == 1
    other.claim(two)
    other.release()
