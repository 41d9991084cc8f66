"""What a command for all recordings comes to: the value that its channels show. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from fieldrec.core.model import Job

COPY, MOVE, EXPORT = "copy", "move", "export"


@dataclass(frozen=True, slots=True)
class Offer:
    """What a command for all recordings comes to, in figures and words; told before it is done."""

    what: str
    """COPY, MOVE or EXPORT."""
    destination: str
    recordings: int
    """Chosen and complete."""
    size_bytes: int
    """That they will write there; what is there already needs nothing."""
    there: int
    """Of them, already there by their names."""
    fits: int
    stays: int
    stay_bytes: int
    free_bytes: int | None
    """None where the destination does not tell."""
    left_out: int
    """Chosen, and not complete, or with nothing to bring."""
    text: tuple[str, ...]
    """Lines for people."""
    jobs: tuple[Job, ...] = ()
    """None of a dry run."""
