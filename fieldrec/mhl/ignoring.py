"""Patterns of what a history leaves out, as in a .gitignore. Pure; any thread.

A pattern without a slash in it means any file or folder of that name; one with a slash is relative
to the folder of the history; one that ends with a slash means folders only; ``**`` is any folders;
``!`` takes back what an earlier pattern left out. What is in a folder that is left out is left out.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence

_LONGEST = 1000
_MOST_PARTS = 32
_MOST_STARS = 64
_ANY_FOLDERS = "**"


class Ignored:
    """What some patterns leave out. Time is linear in patterns and path."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._rules = [rule for rule in map(_Rule.of, patterns) if rule is not None]

    def __call__(self, path: str, is_directory: bool) -> bool:
        """Whether `path`, below the history's folder, is left out by itself; callers do not look
        into folders that are."""
        parts = path.split("/")
        out = False
        for rule in self._rules:
            if (is_directory or not rule.folders_only) and rule.matches(parts):
                out = not rule.takes_back
        return out


class _Rule:
    """One pattern."""

    def __init__(self, pattern: str) -> None:
        self.takes_back = pattern.startswith("!")
        pattern = pattern[self.takes_back:]
        self.folders_only = pattern.endswith("/")
        anchored = "/" in pattern.rstrip("/")
        parts = pattern.strip("/").split("/")
        if not anchored:
            parts.insert(0, _ANY_FOLDERS)
        self._parts = [None if part == _ANY_FOLDERS else re.compile(fnmatch.translate(part))
                       for part in parts]

    @classmethod
    def of(cls, pattern: str) -> _Rule | None:
        """None for what is no pattern, and for one that nobody can mean."""
        pattern = pattern.strip()
        if (not pattern.strip("!/") or pattern.startswith("#") or len(pattern) > _LONGEST
                or pattern.count("/") > _MOST_PARTS or pattern.count("*") > _MOST_STARS):
            return None
        try:
            return cls(pattern)
        except re.error:
            return None

    def matches(self, path: Sequence[str]) -> bool:
        """Whether the whole pattern matches the whole path."""
        at = {0}
        for last, part in enumerate(self._parts, 1 - len(self._parts)):
            if part is None:
                # at the end it means what is in a folder, not the folder
                least = min(at) + (last == 0)
                at = set(range(least, len(path) + 1))
            else:
                at = {here + 1 for here in at if here < len(path) and part.match(path[here])}
            if not at:
                return False
        return len(path) in at
