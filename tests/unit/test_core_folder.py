"""The lock of a recordings folder."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fieldrec.core.errors import LockedError, StoreError
from fieldrec.core.folder import DRIVES_KEY_NAME, LOCK_NAME, PRIVATE_NAME, FolderLock
from tests.fakes.waiting import PATIENCE_S


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
    subprocess.run([sys.executable, "-c", taken, str(tmp_path)], check=False, timeout=PATIENCE_S)
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


def test_what_this_process_made_can_go_without_a_trace(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    lock.remove_if_made()
    lock.release()
    assert list(tmp_path.iterdir()) == []
    FolderLock(tmp_path).release()
    lock = FolderLock(tmp_path)  # it was there before
    lock.remove_if_made()
    lock.release()
    assert [path.name for path in tmp_path.iterdir()] == [PRIVATE_NAME]


def test_the_key_of_marked_drives_is_worth_keeping(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    key = lock.private / DRIVES_KEY_NAME
    key.write_text("00")  # fieldrec drive prepare, beside us
    lock.remove_if_made()
    lock.release()
    assert key.read_text() == "00"


def test_a_lock_file_that_was_removed_meanwhile_keeps_somebody_out(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process removes its folder between our opening and our locking of the file."""
    first = FolderLock(tmp_path)
    really = fcntl.flock

    def flock(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        first.remove_if_made()
        first.release()
        really(descriptor, operation)

    monkeypatch.setattr("fcntl.flock", flock)
    second = FolderLock(tmp_path)
    with pytest.raises(LockedError):
        FolderLock(tmp_path)
    second.release()


def test_a_full_disk_keeps_nobody_from_working_on_it(tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever makes room there needs the lock; its holder's number has no room."""
    def full(_descriptor: int, _data: bytes, _at: int) -> int:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    lock = FolderLock(tmp_path)
    with pytest.raises(LockedError, match="process unknown"):
        FolderLock(tmp_path)
    lock.release()


def test_a_file_system_without_locks_is_told_as_such(tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(StoreError, match="no locks available"):
        FolderLock(tmp_path)
