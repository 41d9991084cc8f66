"""What commands say on stdout: results. A reader that has gone changes nothing about the command.

`fieldrec list | head -1` closes the pipe early: from then on nothing more is said, and the exit
code is still that of what the command did. On the command's thread; blocks while the reader does
not read.
"""

from __future__ import annotations

import logging
import os
import sys

import click

from fieldrec.core.errors import StoreError


def echo(text: str, *, nl: bool = True) -> None:
    """Print `text` now. StoreError when stdout cannot take it (a file on a full disk)."""
    try:
        click.echo(text, nl=nl)
        sys.stdout.flush()
    except BrokenPipeError:
        silence()
    except OSError as error:
        silence()
        raise StoreError(f"cannot write the result to stdout: {error.strerror}") from error


def silence() -> None:
    """Send what stdout still holds, and all that follows, nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def prepare() -> None:
    """Before anything else: no standard descriptor is closed, for a store's file opened as number
    1 or 2 would get what is printed; and what happens is shown as events, not logged to stderr."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # the lowest free number, which is this one
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8")
    logging.getLogger("fieldrec").addHandler(logging.NullHandler())
