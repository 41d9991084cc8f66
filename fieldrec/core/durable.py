"""The only caller of fsync, rename, unlink and rmtree: every step that must outlive a power cut.

Blocking; called from store, copy, export and db threads, never from the event loop with frame
data. Before each step the hook, if one is set, is told the step and the path: the crash tests kill
the process, cut the power or raise ENOSPC and EIO there. Keeps I1, I2, I4, I5 possible: write,
sync, rename, sync the directory, in this order.

A failed fsync is never tried again on the same file: the kernel may have marked the pages clean
(PostgreSQL's "fsyncgate"). The caller must write the data anew or declare it lost.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import errno
import fcntl
import os
import shutil
import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from fieldrec.core.errors import StoreFull, SyncFailed

Hook = Callable[[str, Path], None]
"""Called before a step with its name (as in STEPS) and path; may raise OSError or not return."""

Removed = Callable[[int, int], None]
"""Told of a tree that is deleted: (folders in it that are gone, of how many)."""

STEPS = ("make_directory", "create", "write", "fsync", "rename", "fsync_directory", "unlink",
         "rmtree", "syncfs", "rmdir")

PART_PREFIX = ".part-"
"""Unfinished work at a destination or beside the recordings (I4)."""
WORK_PREFIX = ".work-"
"""The folder in which an export is made, until it is whole."""
TRASH_PREFIX = ".trash-"
"""A deletion that has begun: the name is gone, the bytes may not be."""

FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_FS_IOC_GETFLAGS = 0x80006601 | struct.calcsize("l") << 16
_FS_IOC_SETFLAGS = 0x40006602 | struct.calcsize("l") << 16
_FS_TOPDIR_FL = 0x00020000

_hook: Hook | None = None
_libc = ctypes.CDLL(None, use_errno=True)


def set_hook(hook: Hook | None) -> None:
    """Install (or with None remove) the hook. Tests only; process-wide."""
    global _hook
    _hook = hook


def _before(step: str, path: Path | str) -> None:
    if _hook is not None:
        _hook(step, Path(path))


def make_directory(path: Path) -> None:
    """Create one directory (the parent must exist) and make its name durable.

    FileExistsError if it is there. Blocks for one directory sync.
    """
    _before("make_directory", path)
    path.mkdir()
    fsync_directory(path.parent)


def make_directory_unsynced(path: Path) -> None:
    """As :func:`make_directory`, but its name is durable only after the next sync of the file
    system. A sync of one's own costs a commit of the journal, for which the caller waits."""
    _before("make_directory", path)
    path.mkdir()


def make_directories(path: Path) -> None:
    """Create `path` and its missing parents, each durably; no error if it is there."""
    missing = []
    at = path
    while not at.exists():
        missing.append(at)
        at = at.parent
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):
            make_directory(directory)


def spread_directories(path: Path) -> bool:
    """Have ext4 put each new directory in `path` into a part of the disk of its own (its
    top-directory flag, `chattr +T`): it is slow to make files where many were just deleted.

    Best effort and harmless: False where the flag is not to be had. Blocks for a few system calls.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        flags = bytearray(struct.calcsize("l"))  # the kernel reads and writes 32 bits of it
        fcntl.ioctl(descriptor, _FS_IOC_GETFLAGS, flags)
        now = struct.unpack_from("=I", flags)[0]
        if not now & _FS_TOPDIR_FL:
            struct.pack_into("=I", flags, 0, now | _FS_TOPDIR_FL)
            fcntl.ioctl(descriptor, _FS_IOC_SETFLAGS, flags)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def create(path: Path | str, *, append: bool = False, mode: int = 0o644) -> int:
    """Open a new file for writing (never following a symlink) and return its descriptor.

    FileExistsError if anything has that name. The caller closes it. Called per frame, with a text:
    making a Path takes as long as opening a file.
    """
    _before("create", path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags | (os.O_APPEND if append else 0), mode)


def set_direct(descriptor: int, direct: bool) -> bool:
    """Write past the page cache from now on (O_DIRECT), or through it again; never blocks.

    False, and nothing changed, on file systems that cannot (some FUSE). Addresses, lengths and
    offsets must then be multiples of 4096. Past the cache is not durable: sync all the same.
    """
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    wanted = flags | os.O_DIRECT if direct else flags & ~os.O_DIRECT
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, wanted)
    except OSError:
        return False
    return True


def write(descriptor: int, buffers: Sequence[Any], path: Path | str, total_bytes: int) -> None:
    """Write all buffers (bytes-like) with as few system calls as the kernel allows.

    Called per frame by the store thread: one writev in the normal case, no copy, no allocation
    beyond the argument list. StoreFull when the disk is full; OSError otherwise.
    """
    if _hook is not None:
        _hook("write", Path(path))
    try:
        written = os.writev(descriptor, buffers)
        if written < total_bytes:
            _write_rest(descriptor, buffers, written)
    except OSError as error:
        if error.errno in FULL_ERRNOS:
            raise StoreFull(f"{path}: {os.strerror(error.errno or 0)}") from error
        raise


def _write_rest(descriptor: int, buffers: Sequence[Any], written: int) -> None:
    """Finish a short writev: signals and almost-full disks cause it."""
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        if written >= len(view):
            written -= len(view)
            continue
        view = view[written:]
        written = 0
        while view:
            view = view[os.write(descriptor, view):]


def fsync(descriptor: int, path: Path) -> None:
    """Make a file's data and size durable. SyncFailed means: never trust this file's data."""
    try:
        _before("fsync", path)
        os.fdatasync(descriptor)
    except OSError as error:
        if error.errno in FULL_ERRNOS:
            raise StoreFull(f"{path}: no room to sync: {error.strerror}") from error
        raise SyncFailed(f"{path}: sync failed: {error.strerror}; its data may be lost") from error


def fsync_directory(path: Path) -> None:
    """Make the names in a directory durable. SyncFailed as for :func:`fsync`."""
    try:
        _before("fsync_directory", path)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOTSUP):
            return  # some FUSE file systems cannot sync a directory; nothing more can be asked
        raise SyncFailed(f"{path}: directory sync failed: {error.strerror}") from error


def sync_filesystem(descriptor: int, path: Path) -> None:
    """syncfs(2): make all that was written to one file system durable.

    Called by the sync thread while recording and by copy jobs per batch; blocks for as long as the
    disk takes. Since Linux 5.8 it reports write-back errors that happened after the descriptor was
    opened. SyncFailed on any error.
    """
    try:
        _before("syncfs", path)
        if _libc.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    except OSError as error:
        raise SyncFailed(f"{path}: file system sync failed: {error.strerror}") from error


def write_back(folder: Path) -> None:
    """Have a file system write all that it still holds in memory, as far as it can: before what
    lies there is judged by its content, file by file (:func:`settle`). Promises nothing, raises
    nothing; blocks as a sync does."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _libc.syncfs(descriptor)
        finally:
            os.close(descriptor)


def settle(path: Path) -> bool:
    """Write what memory holds of a file and drop it from there, so that the next reader sees what
    the medium has; False where that fails. A page that is not written yet reads back right and is
    gone after a power cut. No step of its own: its result is what is read afterwards."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.fdatasync(descriptor)
    except OSError as error:
        return error.errno in (errno.EINVAL, errno.ENOTSUP)
    finally:
        with contextlib.suppress(OSError):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
    return True


def rename(source: Path, target: Path) -> None:
    """Rename within one file system and make it durable. An existing target file is replaced."""
    _before("rename", source)
    source.rename(target)
    fsync_directory(target.parent)
    if source.parent != target.parent:
        fsync_directory(source.parent)


def unlink(path: Path, *, missing_ok: bool = False) -> None:
    """Remove a file's name and make that durable."""
    _before("unlink", path)
    path.unlink(missing_ok=missing_ok)
    fsync_directory(path.parent)


def unlink_unsynced(path: Path) -> None:
    """As :func:`unlink`, but durable only after the next sync: until then a power cut may bring the
    file back. No error when it is not there."""
    _before("unlink", path)
    path.unlink(missing_ok=True)


def remove_empty_directory(path: Path) -> None:
    """Remove a directory that has nothing in it (OSError otherwise) and make that durable.

    One atomic step, so it is safe inside a store, where :func:`rmtree` would leave a trash name.
    """
    _before("rmdir", path)
    path.rmdir()
    fsync_directory(path.parent)


def rmtree(path: Path, on_removed: Removed = lambda _done, _total: None) -> None:
    """Delete a directory tree in a way that a power cut cannot leave half of under its name (I5).

    The tree is renamed to ``.trash-<name>`` first; what a cut leaves is swept by
    :func:`sweep_unfinished`. Symlinks are removed, not followed, `path` itself among them. A file
    is removed too.
    """
    if path.is_symlink() or path.is_file():
        unlink(path)
        return
    trash = path
    if not path.name.startswith((TRASH_PREFIX, PART_PREFIX)):
        trash = path.with_name(TRASH_PREFIX + path.name)
        if trash.exists() or trash.is_symlink():
            rmtree(trash)
        rename(path, trash)
    _remove(trash, on_removed)
    fsync_directory(path.parent)


def _remove(path: Path, on_removed: Removed = lambda _done, _total: None) -> None:
    _before("rmtree", path)
    with os.scandir(path) as entries:
        folders = sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
    for number, folder in enumerate(folders, 1):
        shutil.rmtree(folder)
        on_removed(number, len(folders))
    shutil.rmtree(path)


# -- the same steps by name inside an open directory: for places whose paths must not be resolved
#    again, because somebody else may have put a symlink there in the meantime -------------------

def make_directory_at(parent: int, path: Path) -> None:
    """Create the directory `path.name` in the open directory `parent`; not yet durable: a
    :func:`sync_filesystem` or :func:`sync_directory_at` makes it so. `path` is for messages."""
    _before("make_directory", path)
    os.mkdir(path.name, dir_fd=parent)


def create_at(parent: int, path: Path, *, mode: int = 0o644) -> int:
    """As :func:`create`, for `path.name` in the open directory `parent`."""
    _before("create", path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path.name, flags, mode, dir_fd=parent)


def sync_directory_at(parent: int, path: Path) -> None:
    """As :func:`fsync_directory`, for an open directory."""
    try:
        _before("fsync_directory", path)
        os.fsync(parent)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOTSUP):
            return
        raise SyncFailed(f"{path}: directory sync failed: {error.strerror}") from error


def rename_at(parent: int, source: Path, target: Path) -> None:
    """As :func:`rename`, for two names in the open directory `parent`."""
    _before("rename", source)
    os.rename(source.name, target.name, src_dir_fd=parent, dst_dir_fd=parent)
    sync_directory_at(parent, target.parent)


def unlink_at(parent: int, path: Path) -> None:
    """Remove the name `path.name` from the open directory `parent`; not yet durable."""
    _before("unlink", path)
    os.unlink(path.name, dir_fd=parent)


def rmtree_at(parent: int, path: Path) -> None:
    """Delete the unfinished tree `path.name` in the open directory `parent`; symlinks inside are
    removed, not followed. Only for names that begin with PART_PREFIX or TRASH_PREFIX (I5)."""
    if not path.name.startswith((PART_PREFIX, TRASH_PREFIX)):
        raise ValueError(f"{path}: a finished tree is renamed before it is removed")
    _before("rmtree", path)
    shutil.rmtree(path.name, dir_fd=parent)
    sync_directory_at(parent, path.parent)


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Put a small file in place: all of `data` under `path`, or what was there before.

    Written to a temporary *file* name beside it (files harm no imgstore reader, directories do),
    synced, renamed, directory synced. Blocks for two syncs. On failure the temporary is removed.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        descriptor = create(temporary, mode=mode)
        try:
            write(descriptor, [data], path, len(data))
            fsync(descriptor, path)
        finally:
            os.close(descriptor)
        rename(temporary, path)
    except (OSError, StoreFull, SyncFailed) as error:
        with contextlib.suppress(OSError):  # the disk may be gone; the first error says more
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in FULL_ERRNOS:
            raise StoreFull(f"{path}: {error.strerror}") from error
        raise


def sweep_unfinished(directory: Path, prefixes: Iterable[str] = (PART_PREFIX, TRASH_PREFIX)
                     ) -> list[Path]:
    """Remove what a kill or a power cut left unfinished in `directory`; return what was removed.

    Called at start, before any job runs (I7). Only names with our prefixes are touched.
    """
    swept = []
    for path in sorted(directory.iterdir()):
        if path.name.startswith(tuple(prefixes)):
            if path.is_dir() and not path.is_symlink():
                rmtree(path)
            else:
                unlink(path)
            swept.append(path)
    return swept
