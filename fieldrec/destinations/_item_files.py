"""The files of one item below a folder's open descriptor: made, opened, removed by name, through no
symlink. Not a kind of destination. Blocking; each thread has one of its own.

The directory that was used last stays open: a store has thousands of files in a row in one.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from fieldrec.core import durable
from fieldrec.core.past_cache import ALIGN_BYTES, PastCache
from fieldrec.destinations import File, _tree

DIRECT_FROM_BYTES = 128 * 1024
"""Files of this size are written past the page cache: below, it is cheaper through it (as frames
are recorded)."""


@contextlib.contextmanager
def named(what: Path | str) -> Iterator[None]:
    """Have an OSError say which file it is about, where the system does not."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(what)
        raise


class ItemFiles:
    """`top`: the name in the folder `path` that the item has now; `root`: its open descriptor."""

    def __init__(self, root: int, path: Path, top: str) -> None:
        self._root = root
        self._path = path
        self._top = top
        self._open: tuple[tuple[str, ...], int, Path] | None = None

    def new(self, file: File) -> NewFile:
        """Make a file in place of what has its name; JobRefused unless that is a file."""
        parent, path = self._parent(file.relative, make=True)
        try:
            descriptor = durable.create_at(parent, path)
        except FileExistsError as error:
            if _tree.kind(parent, path) != "file":
                raise _tree.refused(path, "file") from error
            durable.unlink_at(parent, path)
            descriptor = durable.create_at(parent, path)
        return NewFile(descriptor, path, file.size_bytes)

    def read(self, relative: str) -> PastCache:
        """Open a file to read it as the medium has it; the caller closes it."""
        parent, path = self._parent(relative)
        return PastCache(lambda flags: _tree.open_file(parent, path, flags))

    def make_durable(self, relative: str) -> None:
        """Make one file durable, where only this reaches it."""
        parent, path = self._parent(relative)
        descriptor = _tree.open_file(parent, path)
        try:
            durable.fsync(descriptor, path)
        finally:
            os.close(descriptor)

    def drop(self, relative: str) -> None:
        """Remove a file; not yet durable."""
        durable.unlink_at(*self._parent(relative))

    def close(self) -> None:
        """Idempotent."""
        if self._open is not None:
            os.close(self._open[1])
            self._open = None

    def _parent(self, relative: str, *, make: bool = False) -> tuple[int, Path]:
        """The open directory of a file, and the file's path."""
        parts = (self._top, *(_tree.split(relative) if relative else ()))
        above = parts[:-1]
        if self._open is None or self._open[0] != above:
            self.close()
            with _tree.descend(self._root, self._path, above, make=make) as (at, path):
                self._open = above, os.dup(at), path
        return self._open[1], self._open[2] / parts[-1]


class NewFile:
    """A file that is being written, from its beginning to its end."""

    def __init__(self, descriptor: int, path: Path, size_bytes: int) -> None:
        self._descriptor = descriptor
        self._path = path
        self._direct = (size_bytes >= DIRECT_FROM_BYTES
                        and durable.set_direct(descriptor, True))

    def write(self, data: memoryview) -> None:
        """The next bytes: past the page cache, but for what is not whole blocks at the end."""
        if self._direct:
            whole = len(data) - len(data) % ALIGN_BYTES
            data = data[self._write_direct(data[:whole]):]
            if data:
                self._direct = not durable.set_direct(self._descriptor, False)
        if data:
            with named(self._path):
                durable.write(self._descriptor, [data], self._path, len(data))

    def close(self) -> None:
        """Not yet durable. A share may say only now that something was not written."""
        with named(self._path):
            os.close(self._descriptor)

    def _write_direct(self, data: memoryview) -> int:
        """How many bytes could be written so."""
        if not data:
            return 0
        before = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        try:
            with named(self._path):
                durable.write(self._descriptor, [data], self._path, len(data))
        except OSError as error:
            if error.errno != errno.EINVAL:  # takes the flag, but cannot: some FUSE, NFS
                raise
        return os.lseek(self._descriptor, 0, os.SEEK_CUR) - before
