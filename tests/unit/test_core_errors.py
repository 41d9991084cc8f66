"""The error tree: as drawn in its file."""

from __future__ import annotations

import re

from fieldrec.core import errors
from fieldrec.core.errors import FieldrecError

ROW = re.compile(r"^ +[│├└─ ]*(\w+) +(?:(\d+) +(yes|no)\b|exit +transient)?")


def every(kind: type[FieldrecError]) -> set[type[FieldrecError]]:
    return {kind}.union(*(every(sub) for sub in kind.__subclasses__()
                          if sub.__module__ == errors.__name__))


def drawn() -> dict[str, tuple[str | None, str | None]]:
    rows = (ROW.match(line) for line in (errors.__doc__ or "").splitlines())
    return {row[1]: (row[2], row[3]) for row in rows
            if row and hasattr(errors, row[1])}


def test_the_drawing_shows_every_error_with_its_code() -> None:
    picture = drawn()
    assert set(picture) == {kind.__name__ for kind in every(FieldrecError)}
    for kind in every(FieldrecError):
        code, transient = picture[kind.__name__]
        if code is not None:
            assert (int(code), transient == "yes") == (kind.exit_code, kind.transient), kind


def test_exit_codes_are_free_of_other_meanings() -> None:
    codes = {kind.exit_code for kind in every(FieldrecError)}
    assert codes.isdisjoint({0, 1, 2, 130})
    assert all(code < 126 for code in codes)


def test_every_error_is_documented() -> None:
    assert all(kind.__doc__ for kind in every(FieldrecError))
