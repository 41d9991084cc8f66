"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken promise."""

    path: Path
    invariant: str
    """"I1" … "I9", as in DESIGN.md."""
    text: str
    """What is wrong and what to do, one line."""
    chunk: int | None = None
    """The chunk of a store whose frames, index or extra data it is about."""
