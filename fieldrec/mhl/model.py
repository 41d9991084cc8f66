"""The nouns of ASC MHL, frozen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ORIGINAL = "original"
VERIFIED = "verified"
FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Digest:
    """One digest of one file, and what it was taken for."""

    form: str
    """One of digests.FORMATS."""
    text: str
    action: str = ORIGINAL
    """ORIGINAL: the first ever; VERIFIED: compared, the same; FAILED: compared, another, and never
    a reference (section 2.7.1 of the guidelines); "" where a tool does not say."""


@dataclass(frozen=True, slots=True)
class FileHash:
    """One file of a generation."""

    path: str
    """"/"-separated, below the folder in which ``ascmhl/`` is."""
    digests: tuple[Digest, ...]
    size_bytes: int | None = None
    modified_ns: int | None = None
    """Epoch; written, not read."""
    previous_path: str = ""
    """The name it had in earlier generations; "" where it is the same."""


@dataclass(frozen=True, slots=True)
class DirectoryHash:
    """One directory of a generation: `content` knows no names, `structure` does."""

    path: str
    form: str = ""
    """"" where no digest of it was taken."""
    content: str = ""
    structure: str = ""
    previous_path: str = ""
    """As of a file; read, not written."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A manifest of a history that lies deeper, as the one above it knows it."""

    path: str
    """Of the manifest, below the folder in which the upper ``ascmhl/`` is."""
    c4: str


@dataclass(frozen=True, slots=True)
class Head:
    """What stands at the beginning of a manifest."""

    created: str
    """ISO 8601 with zone."""
    hostname: str
    tool: str
    tool_version: str
    process: str
    comment: str = ""
    ignored: tuple[str, ...] = ()
    """Patterns as in a .gitignore."""
    root: DirectoryHash | None = None


@dataclass(frozen=True, slots=True)
class HashList:
    """A manifest: what one generation knows."""

    head: Head
    files: Iterable[FileHash] = ()
    directories: Sequence[DirectoryHash] = ()
    references: Sequence[Reference] = ()


@dataclass(frozen=True, slots=True)
class Generation:
    """One line of a chain."""

    number: int
    name: str
    """Of the manifest, in ``ascmhl/``."""
    c4: str
