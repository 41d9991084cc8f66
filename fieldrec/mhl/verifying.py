"""Compares a tree with its histories: what is damaged, missing, extra. Blocking, any thread.

Every file is read once, from the medium (what the page cache holds of it is dropped first), in the
order of the names; time is linear in files and bytes. One fault never hides another. A folder that
has a history of its own is compared with that one; the one above says only that it has to be there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field

from fieldrec.core.errors import StoreDamaged
from fieldrec.mhl import FOLDER, digests, walking
from fieldrec.mhl.history import History, Wanted, load
from fieldrec.mhl.ignoring import Ignored

OnBytes = Callable[[int], None]
"""Told the bytes that were read (0 for each folder); what it raises ends the work."""


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
    right_files: int = 0
    right: dict[str, Found] = field(default_factory=dict)
    """What was read of these, where that was asked for: memory for each of millions."""
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
    folders: list[str] = field(default_factory=list)
    """That were looked through."""
    nested: list[Verdict] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        """Whether everything of this history (not of those deeper) is as it should be."""
        return not (self.broken or self.damaged or self.missing or self.extra)


class Verifier:
    """Compares trees; holds one buffer."""

    def __init__(self, on_bytes: OnBytes = lambda _count: None, *, hash_all: bool = False) -> None:
        """`hash_all`: take a digest of extra files too, and of those whose size tells enough, and
        keep all: for whoever writes down what was found."""
        self._on_bytes = on_bytes
        self._hash_all = hash_all
        self._deepest = 0
        self._buffer = memoryview(bytearray(walking.SLICE_BYTES))

    def verify(self, path: str, only: str = "") -> Verdict:
        """Compare the folder `path` with the history in it and those deeper. `only`: this file or
        folder of it alone. OSError where the folder cannot be opened."""
        self._deepest = path.count("/") + walking.DEEPEST
        with walking.directory(path) as root:
            return self._verify(root, path, only)

    def _verify(self, root: int, path: str, only: str = "") -> Verdict:
        verdict = Verdict(path)
        try:
            verdict.history = load(root, path)
        except StoreDamaged as error:
            verdict.broken = str(error)
            return verdict
        look = _Look(verdict, verdict.history, verdict.history.ignored, only)
        self._folder(root, "", look)
        verdict.missing = sorted(look.missing())
        if not only:
            look.compare_references()
        return verdict

    def _folder(self, at: int, folder: str, look: _Look) -> None:
        self._on_bytes(0)
        wanted = look.history.files.get(folder, {})
        for entry in walking.entries(at):
            path = f"{folder}/{entry.name}" if folder else entry.name
            if not (_within(path, look.only) or look.only.startswith(f"{path}/")):
                continue
            file = wanted.pop(entry.name, None)
            if file is not None:
                self._file(at, entry, path, file, look.verdict)
            if entry.kind == "directory":
                look.folders.add(path)
                if not look.ignored(path, True):
                    self._directory(at, entry.name, path, look)
            elif file is None and not look.ignored(path, False):
                self._extra(at, entry, path, look.verdict)
        if not wanted:
            look.history.files.pop(folder, None)

    def _directory(self, at: int, name: str, path: str, look: _Look) -> None:
        verdict, only = look.verdict, look.only
        if f"{verdict.path}/{path}".count("/") > self._deepest:
            verdict.extra.append(Fault(path, "folders too deep in one another; not looked at"))
            return
        try:
            with walking.directory(name, at) as below:
                if walking.has_history(below):
                    verdict.nested.append(self._verify(
                        below, f"{verdict.path}/{path}", only.removeprefix(f"{path}/")
                        if only.startswith(f"{path}/") else ""))
                else:
                    verdict.folders.append(path)
                    self._folder(below, path, look)
        except OSError as error:
            verdict.damaged.append(Fault(path, f"cannot be read: {error.strerror}"))

    def _file(self, at: int, entry: walking.Entry, path: str, wanted: Wanted, verdict: Verdict
              ) -> None:
        if entry.kind != "file":
            what = "a folder" if entry.kind == "directory" else "a link, device or pipe"
            verdict.damaged.append(Fault(path, f"is no file but {what}"))
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
        verdict.right_files += 1
        if self._hash_all:
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


@dataclass(slots=True)
class _Look:
    """One history while its folder is looked through."""

    verdict: Verdict
    history: History
    """What is found is taken out of its files: what is left was not there."""
    ignored: Ignored
    only: str
    folders: set[str] = field(default_factory=set)
    """That were seen."""

    def missing(self) -> Iterator[str]:
        """Files and folders that were not seen, and that nothing says need not be."""
        nested = self._nested()
        for folder, names in self.history.files.items():
            if names and not self._elsewhere(folder, nested):
                paths = (f"{folder}/{name}" if folder else name for name in names)
                yield from (path for path in paths
                            if _within(path, self.only) and not self.ignored(path, False))
        for folder in self.history.directories - self.folders:
            if _within(folder, self.only) and not self._elsewhere(folder, nested):
                yield folder

    def compare_references(self) -> None:
        """Histories that this one refers to have to be there, with the generations that it knew."""
        verdict, nested = self.verdict, self._nested()
        missing = set(verdict.missing)
        for folder, references in sorted(self.history.references.items()):
            there = nested.get(folder)
            if there is None:
                if folder not in missing and not self._elsewhere(folder, nested):
                    verdict.missing.append(
                        f"{folder}/{FOLDER}" if folder in self.folders else folder)
            elif there.history is not None and not there.broken:
                listed = {(f"{folder}/{FOLDER}/{one.name}", one.c4)
                          for one in there.history.generations}
                if any((one.path, one.c4) not in listed for one in references):
                    there.broken = (f"{there.path}: its history is not the one that "
                                    f"{verdict.path} refers to")

    def _nested(self) -> dict[str, Verdict]:
        own = len(self.verdict.path) + 1
        return {one.path[own:]: one for one in self.verdict.nested}

    def _elsewhere(self, folder: str, nested: Container[str]) -> bool:
        """Whether a folder belongs to a history of its own, or is not wanted by the latest
        generation."""
        parts = folder.split("/") if folder else []
        above = ("/".join(parts[:count]) for count in range(1, len(parts) + 1))
        return any(one in nested or self.ignored(one, True) for one in above)


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
