"""The lock of a recordings folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fieldrec.core.errors import LockedError, StoreError
from fieldrec.core.folder import LOCK_NAME, PRIVATE_NAME, FolderLock


def test_the_second_is_refused_by_the_first_ones_number_until_it_lets_go(tmp_path: Path) -> None:
    first = FolderLock(tmp_path)
    assert first.private == tmp_path / PRIVATE_NAME
    with pytest.raises(LockedError, match=rf"process {os.getpid()}\) works on {tmp_path}"):
        FolderLock(tmp_path)
    first.release()
    FolderLock(tmp_path).release()


def test_a_lock_left_by_a_killed_process_harms_nobody(tmp_path: Path) -> None:
    taken = ("import os, sys, pathlib; from fieldrec.core.folder import FolderLock;"
             "FolderLock(pathlib.Path(sys.argv[1])); os.kill(os.getpid(), 9)")
    subprocess.run([sys.executable, "-c", taken, str(tmp_path)], check=False, timeout=60)
    assert (tmp_path / PRIVATE_NAME / LOCK_NAME).read_text().strip().isdigit()
    lock = FolderLock(tmp_path)
    assert (tmp_path / PRIVATE_NAME / LOCK_NAME).read_text() == f"{os.getpid()}\n"
    lock.release()


def test_a_folder_that_takes_no_lock_is_told(tmp_path: Path) -> None:
    (tmp_path / PRIVATE_NAME).write_text("a file is in the way")
    with pytest.raises(StoreError, match="cannot write to the recordings folder"):
        FolderLock(tmp_path)


def test_the_lock_is_not_inherited(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    assert not os.get_inheritable(lock._descriptor)
    lock.release()
