"""Each error is ours and a built-in one at the same time, and one line to people."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from fieldrec.core.errors import (
    FieldrecError,
    LockedError,
    NotFoundError,
    StoreDamaged,
    StoreError,
    StoreFull,
    SyncFailed,
    UsageError,
)
from fieldrec.store.api import imgstore_errors
from fieldrec.store.api.imgstore_errors import (
    DiskFull,
    FrameDamaged,
    FrameMissing,
    NoStore,
    StoreBusy,
    StoreUnreadable,
    WriteFailed,
    frame_error,
    read_error,
    write_error,
)

KINDS = [kind for kind in vars(imgstore_errors).values()
         if isinstance(kind, type) and kind.__module__ == imgstore_errors.__name__]


def test_both_kinds_at_once() -> None:
    assert len(KINDS) > 15
    for kind in KINDS:
        error = kind("/x: what is wrong; what to do")
        assert isinstance(error, FieldrecError)
        assert isinstance(error, OSError | ValueError | TypeError | AttributeError | ImportError)
        assert str(error) == "/x: what is wrong; what to do"
        assert not isinstance(error, EOFError)
        assert kind.__doc__


@pytest.mark.parametrize(("error", "kind"), [
    (StoreFull("x"), DiskFull), (StoreError("x"), WriteFailed), (SyncFailed("x"), WriteFailed),
    (LockedError("x"), StoreBusy), (UsageError("x"), UsageError)])
def test_what_writing_raises(error: FieldrecError, kind: type[Any]) -> None:
    found = write_error(error)
    assert type(found) is kind
    assert str(found) == "x"
    assert write_error(found) is found
    assert isinstance(found, OSError) or kind is UsageError
    assert getattr(found, "errno", None) == (errno.ENOSPC if kind is DiskFull else None)


@pytest.mark.parametrize(("error", "kind"), [
    (StoreDamaged("x"), StoreUnreadable), (NotFoundError("x"), NoStore), (StoreError("x"),
                                                                          StoreError)])
def test_what_opening_raises(error: FieldrecError, kind: type[Any]) -> None:
    found = read_error(error)
    assert type(found) is kind
    assert read_error(found) is found


def test_what_reading_a_frame_raises() -> None:
    damaged = StoreDamaged("x")
    assert type(frame_error(damaged)) is FrameDamaged
    damaged.__cause__ = FileNotFoundError()
    missing = frame_error(damaged)
    assert type(missing) is FrameMissing
    assert frame_error(missing) is missing
