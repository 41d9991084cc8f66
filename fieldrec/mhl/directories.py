"""Digests of directories: content (of what is in the files) and structure (names too). Pure.

The digest of a directory is that of the sorted digests of what is in it; for the structure each of
these is taken of the name and the digest together (section 2.5 of the guidelines). The content of
the root is a receipt of one line: two copies have the same whatever their folders are called.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from fieldrec.mhl import digests
from fieldrec.mhl.model import DirectoryHash


def directory_hashes(form: str, files: Iterable[tuple[str, str]],
                     below: Iterable[DirectoryHash] = (), folders_too: Iterable[str] = ()
                     ) -> list[DirectoryHash]:
    """Of every directory, the deepest first, the root last (its path is "."), from the paths and
    digests of all files. `below`: directories that are known as a whole, histories of their own;
    `folders_too`: directories by path, for those with no file in them count as well."""
    folders: dict[str, _Folder] = defaultdict(_Folder)
    folders["."]  # of a data set without any file, too
    for path in folders_too:
        _make(folders, path)
    for path, text in files:
        parent, _, name = path.rpartition("/")
        _make(folders, parent)
        folders[parent or "."].add(form, name, text, text)
    for one in below:
        parent, _, name = one.path.rpartition("/")
        _make(folders, parent)
        folders[parent or "."].add(form, name, one.content, one.structure)
    made = []
    for path in sorted(folders, key=_depth, reverse=True):
        folder = folders[path]
        whole = DirectoryHash(path, form, digests.of_many(form, folder.contents),
                              digests.of_many(form, folder.structures))
        made.append(whole)
        if path != ".":
            parent, _, name = path.rpartition("/")
            folders[parent or "."].add(form, name, whole.content, whole.structure)
    return made


class _Folder:
    def __init__(self) -> None:
        self.contents: list[str] = []
        self.structures: list[str] = []

    def add(self, form: str, name: str, content: str, structure: str) -> None:
        named = digests.hasher(form)
        named.update(name.encode("utf-8", "surrogateescape") + digests.bytes_of(form, structure))
        self.contents.append(content)
        self.structures.append(digests.text_of(form, named.digest()))


def _make(folders: dict[str, _Folder], path: str) -> None:
    while path and path not in folders:
        folders[path]
        path = path.rpartition("/")[0]


def _depth(path: str) -> tuple[int, str]:
    return (0, "") if path == "." else (path.count("/") + 1, path)
