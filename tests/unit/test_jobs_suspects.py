"""Which errors speak against a drive, when it is suspect, and what then proves nothing."""

from __future__ import annotations

import errno

import pytest

from fieldrec.core.errors import (
    DestinationError,
    DestinationFull,
    DriveGone,
    FieldrecError,
    JobRefused,
    StoreDamaged,
    SyncFailed,
    VerifyMismatch,
)
from fieldrec.jobs.suspects import Suspects, describe, is_fault


def caused(error: FieldrecError, *causes: BaseException) -> FieldrecError:
    one: BaseException = error
    for cause in causes:
        one.__cause__ = cause
        one = cause
    return error


EIO = OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize(("error", "fault"), [
    (VerifyMismatch("differs"), True),
    (caused(DestinationError("d: Input/output error"), EIO), True),
    (caused(DestinationError("d"), SyncFailed("d"), OSError(errno.EIO, "x")), True),
    (caused(DestinationError("d"), OSError(errno.EUCLEAN, "x")), True),
    (caused(DestinationError("d"), OSError(errno.EROFS, "x")), False),
    (caused(DestinationFull("d"), OSError(errno.ENOSPC, "x")), False),
    (DestinationError("not present"), False),
    (caused(DriveGone("out"), EIO), False),
    (JobRefused("in the way"), False),
    (StoreDamaged("the source"), False),
])
def test_what_speaks_against_a_drive(error: FieldrecError, fault: bool) -> None:
    assert is_fault("drive:A", error) is fault
    assert not is_fault("nas", error) and not is_fault(None, error)


def test_suspect_after_so_many_over_all_visits_until_trusted() -> None:
    book = Suspects()
    for number, expected in enumerate([False, False, True, True], 1):
        one = book.fault("A", "FIELD1", "bees/000000/000001.npy differs", number * 10, 3)
        assert (one.is_suspect, one.faults) == (expected, number)
        assert book.is_suspect("drive:A") is expected
    assert describe(one) == ("gave back other bytes than were written, or failed, 4 times; last: "
                             "bees/000000/000001.npy differs")
    assert book.new == [one] and book.all() == (one,)
    assert not book.is_suspect("drive:B") and not book.is_suspect("A")
    assert book.doubts("drive:A", 99)
    assert book.trust("A") == one
    assert not book.is_suspect("drive:A") and book.all() == ()
    assert book.doubts("drive:A", 40) and not book.doubts("drive:A", 41)
    assert book.trust("A") is None and book.trust("B") is None
    again = Suspects(book.new)
    assert again.doubts("drive:A", 40) and again.fault("A", "", "x", 50, 3).faults == 1


def test_words_of_a_stranger_are_cut() -> None:
    assert len(Suspects().fault("A", "", "x" * 10_000, 1, 3).words) == 300
    assert "once" in describe(Suspects().fault("A", "", "x", 1, 3))
