"""Compares a tree with its histories: what is damaged, missing, extra. Blocking, any thread.

Every file is read once, from the medium (what the page cache holds of it is dropped first), in the
order of the names; time is linear in files and bytes. One fault never hides another. A folder that
has a history of its own is compared with that one; the one above says only that it has to be there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from fieldrec.core.errors import StoreDamaged
from fieldrec.mhl import FOLDER, digests, walking
from fieldrec.mhl.history import History, Wanted, load
from fieldrec.mhl.ignoring import Ignored

SLICE_BYTES = 1 << 20
OnBytes = Callable[[int], None]
"""Told the bytes that were read; what it raises ends the work."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as it should be."""

    path: str
    """Below the folder of the history."""
    why: str


@dataclass(frozen=True, slots=True)
class Found:
    """What was read of one file."""

    form: str
    text: str
    size_bytes: int
    modified_ns: int


@dataclass(slots=True)
class Verdict:
    """What came of one history."""

    path: str
    """Of its folder."""
    history: History | None = None
    """None where it cannot be relied on: `broken` says why."""
    broken: str = ""
    right: dict[str, Found] = field(default_factory=dict)
    damaged: list[Fault] = field(default_factory=list)
    bad: dict[str, Found] = field(default_factory=dict)
    """What was read of the damaged ones, where a digest was taken."""
    missing: list[str] = field(default_factory=list)
    extra: list[Fault] = field(default_factory=list)
    new: dict[str, Found] = field(default_factory=dict)
    """What was read of the extra files, where that was asked for."""
    unproven: list[str] = field(default_factory=list)
    """Files of which no digest can be compared: only that they are there, in their size."""
    read_bytes: int = 0
    nested: list[Verdict] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        """Whether everything of this history (not of those deeper) is as it should be."""
        return not (self.broken or self.damaged or self.missing or self.extra)


class Verifier:
    """Compares trees; holds one buffer."""

    def __init__(self, on_bytes: OnBytes = lambda _count: None, *, hash_all: bool = False) -> None:
        """`hash_all`: take a digest of extra files too, and of those whose size tells enough: for
        whoever writes down what was found."""
        self._on_bytes = on_bytes
        self._hash_all = hash_all
        self._buffer = memoryview(bytearray(SLICE_BYTES))

    def verify(self, path: str, only: str = "") -> Verdict:
        """Compare the folder `path` with the history in it and those deeper. `only`: this file or
        folder of it alone. OSError where the folder cannot be opened."""
        with walking.directory(path) as root:
            return self._verify(root, path, only)

    def _verify(self, root: int, path: str, only: str = "") -> Verdict:
        verdict = Verdict(path)
        try:
            verdict.history = load(root, path)
        except StoreDamaged as error:
            verdict.broken = str(error)
            return verdict
        seen: set[str] = set()
        ignored = verdict.history.ignored
        self._folder(root, "", verdict, ignored, seen, only)
        wanted = verdict.history.files.keys() | verdict.history.directories
        verdict.missing += sorted(one for one in wanted - seen if _within(one, only)
                                  and not _in_nested(one, verdict)
                                  and not _left_out(one, ignored))
        if not only:
            self._references(verdict)
        return verdict

    def _folder(self, at: int, prefix: str, verdict: Verdict, ignored: Ignored, seen: set[str],
                only: str) -> None:
        for entry in walking.entries(at):
            path = prefix + entry.name
            if not (_within(path, only) or only.startswith(f"{path}/")):
                continue
            if entry.kind == "directory":
                seen.add(path)
                if not ignored(path, True):
                    self._directory(at, entry.name, path, verdict, ignored, seen, only)
            elif verdict.history is not None and path in verdict.history.files:
                seen.add(path)
                self._file(at, entry, path, verdict.history.files[path], verdict)
            elif not ignored(path, False):
                self._extra(at, entry, path, verdict)

    def _directory(self, at: int, name: str, path: str, verdict: Verdict, ignored: Ignored,
                   seen: set[str], only: str) -> None:
        if path.count("/") >= walking.DEEPEST:
            verdict.extra.append(Fault(path, "folders too deep in one another; not looked at"))
            return
        try:
            with walking.directory(name, at) as below:
                if walking.has_history(below):
                    verdict.nested.append(self._verify(
                        below, f"{verdict.path}/{path}", only.removeprefix(f"{path}/")
                        if only.startswith(f"{path}/") else ""))
                else:
                    self._folder(below, f"{path}/", verdict, ignored, seen, only)
        except OSError as error:
            verdict.damaged.append(Fault(path, f"cannot be read: {error.strerror}"))

    def _file(self, at: int, entry: walking.Entry, path: str, wanted: Wanted, verdict: Verdict
              ) -> None:
        if entry.kind != "file":
            verdict.damaged.append(Fault(path, "is no file but a link, device or pipe"))
            return
        try:
            found = self._read(at, entry.name, wanted, verdict)
        except OSError as error:
            verdict.damaged.append(Fault(path, f"cannot be read: {error.strerror}"))
            return
        why = _difference(wanted, found)
        if why:
            verdict.damaged.append(Fault(path, why))
            if found.text:
                verdict.bad[path] = found
            return
        verdict.right[path] = found
        if not wanted.form:
            verdict.unproven.append(path)

    def _extra(self, at: int, entry: walking.Entry, path: str, verdict: Verdict) -> None:
        if entry.kind != "file":
            verdict.extra.append(Fault(path, "a link, device or pipe"))
            return
        verdict.extra.append(Fault(path, "in no generation"))
        if self._hash_all:
            try:
                verdict.new[path] = self._read(at, entry.name, Wanted("xxh64", "", None), verdict)
            except OSError as error:
                verdict.extra[-1] = Fault(path, f"cannot be read: {error.strerror}")

    def _read(self, at: int, name: str, wanted: Wanted, verdict: Verdict) -> Found:
        descriptor = walking.open_file(name, at)
        try:
            status = os.fstat(descriptor)
            other_size = wanted.size_bytes not in (None, status.st_size)
            if not wanted.form or (other_size and not self._hash_all):
                return Found("", "", status.st_size, status.st_mtime_ns)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            whole = digests.hasher(wanted.form)
            size = 0
            while count := os.readv(descriptor, [self._buffer]):
                whole.update(self._buffer[:count])
                size += count
                self._on_bytes(count)
            verdict.read_bytes += size
            return Found(wanted.form, digests.text_of(wanted.form, whole.digest()), size,
                         status.st_mtime_ns)
        finally:
            os.close(descriptor)

    def _references(self, verdict: Verdict) -> None:
        """Histories that this one refers to have to be there, with the generations that it knew."""
        if verdict.history is None:
            return
        there = {one.path.removeprefix(f"{verdict.path}/"): one for one in verdict.nested}
        for folder, references in sorted(verdict.history.references.items()):
            nested = there.get(folder)
            if nested is None:
                if folder not in verdict.missing and not _nested_deeper(folder, there):
                    verdict.missing.append(folder)
            elif nested.history is not None and not nested.broken:
                listed = {(f"{folder}/{FOLDER}/{one.name}", one.c4)
                          for one in nested.history.generations}
                if any((one.path, one.c4) not in listed for one in references):
                    nested.broken = (f"{nested.path}: its history is not the one that "
                                     f"{verdict.path} refers to")


def _difference(wanted: Wanted, found: Found) -> str:
    """What is wrong with a file; "" when nothing is."""
    if wanted.size_bytes is not None and found.size_bytes != wanted.size_bytes:
        what = "truncated" if found.size_bytes < wanted.size_bytes else "grown"
        return f"{what}: {found.size_bytes} bytes, not {wanted.size_bytes}"
    if wanted.form and found.text != wanted.text:
        return f"other content ({wanted.form} differs)"
    return ""


def _within(path: str, only: str) -> bool:
    return not only or path == only or path.startswith(f"{only}/")


def _in_nested(path: str, verdict: Verdict) -> bool:
    """Whether a path that was not seen lies in a history of its own, which says what is of it."""
    own = len(verdict.path) + 1
    return any(path.startswith(f"{one.path[own:]}/") for one in verdict.nested)


def _left_out(path: str, ignored: Ignored) -> bool:
    """Whether the latest generation does not want a file, or a folder that it is in."""
    parts = path.split("/")
    return ignored(path, False) or any(ignored("/".join(parts[:count]), True)
                                       for count in range(1, len(parts) + 1))


def _nested_deeper(folder: str, there: dict[str, Verdict]) -> bool:
    return any(folder.startswith(f"{one}/") for one in there)
