"""A local folder as destination. Blocking; ``copy`` thread; keeps I4.

The folder must exist: it is never created, because a missing folder is most often a share that is
not mounted, and the copy would fill the system disk. Directory items are written to
``.part-<item>/`` and renamed when their ``ascmhl/`` is in them. A single file is written to
``.part-<item>``; its sidecar ``<item>.json`` is made durable as ``.part-<item>.json``, then the
file gets its name, then the sidecar: a file without sidecar is not there (I4), and the waiting
``.part-`` sidecar is the evidence that it is ours, so that the next try takes it back.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from fieldrec.core import durable
from fieldrec.core.answering import Place, Pulse
from fieldrec.core.errors import (
    DestinationAway,
    DestinationError,
    DestinationFull,
    FieldrecError,
    JobRefused,
    StoreFull,
    SyncFailed,
    VerifyMismatch,
)
from fieldrec.core.past_cache import PastCache, aligned_buffer, forget_device
from fieldrec.destinations import (
    PROOF_LIMIT,
    Expected,
    OnBytes,
    Source,
    _pipeline,
    _tree,
    limits,
)
from fieldrec.destinations._item_files import ItemFiles
from fieldrec.destinations._verifying import differing
from fieldrec.mhl import CHAIN_NAME, FOLDER
from fieldrec.mhl.reading import first_manifest

FAULT_ERRNOS = frozenset({errno.EIO, errno.EREMOTEIO, errno.EBADMSG, errno.EUCLEAN, errno.ENODATA,
                          errno.EILSEQ})
"""What the kernel says of a medium that cannot be read or written, or of a torn file system."""
AWAY_ERRNOS = frozenset({errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN,
                         errno.EHOSTUNREACH, errno.ECONNABORTED, errno.ECONNRESET})
"""What a network share says while its server is away."""
Failure = Callable[[BaseException], FieldrecError]
"""Turns an error of the operating system into the one to report."""


class FolderDestination:
    """Items in one folder. Holds one descriptor of it from the first use until :meth:`close`."""

    def __init__(self, name: str, path: Path, *, keep_free_bytes: int = 0, subfolder: str = "",
                 failure: Failure | None = None,
                 device: Path | None = None, check_opened: Callable[[int], None] | None = None,
                 place: Place | None = None, raw_as: str = "files") -> None:
        """`path` is trusted (an operator named it) and may be a symlink; everything below is not.

        `subfolder` is made where missing and receives the items. `failure`, `device` (that it lies
        on) and `check_opened` (OSError unless the open descriptor of `path` is the right one) are
        for kinds of folders that know more about their errors and their medium (drive.py). `place`
        is told of every call, for folders that may stop answering.
        """
        self.name = name
        self.raw_as = raw_as
        self.path = path / subfolder if subfolder else path
        self.place = place
        self._pulse = Pulse() if place is None else place.pulse
        self._outer = path
        self._subfolder = subfolder
        self._keep_free_bytes = keep_free_bytes
        self._failure = failure or (lambda error: folder_failure(name, error))
        self._device = device
        self._check_opened = check_opened or (lambda _descriptor: None)
        self._descriptor: int | None = None
        self._by_daemon = False
        """Whether a FUSE daemon serves it. That keeps data of its own, which only an fsync of each
        file reaches, not syncfs (Linux 6.x); and it reads through the page cache of its device,
        which O_DIRECT does not pass."""
        self._limits: limits.Limits | None = None

    @property
    def proves(self) -> bool:
        """Not where a daemon reads from a device whose page cache we may not drop (we are not
        root): what it gives then is in memory and may be nowhere else."""
        with self._errors():
            return not self._by_daemon or self._device is None or forget_device(self._device)

    # -- looking ---------------------------------------------------------------------------------

    def free_bytes(self) -> int:
        with self._errors() as root:
            room = os.fstatvfs(root)
            return max(room.f_bavail * room.f_frsize - self._keep_free_bytes, 0)

    def allocation_bytes(self) -> int:
        with self._errors() as root:
            return max(os.fstatvfs(root).f_frsize, 1)

    def limits(self) -> limits.Limits:
        """Of the file system that the folder is on."""
        with self._errors() as root:
            if self._limits is None:
                self._limits = limits.limits_at(root)
            return self._limits

    def items(self) -> Sequence[str]:
        with self._errors() as root:
            folders = [name for name, kind in _tree.entries(root) if kind == "directory"
                       and not name.startswith(".") and self._proof(root, name) is not None]
            return sorted([*folders, *_movies(root)])

    def movies(self, start: str) -> Sequence[str]:
        """Names of the committed files that begin so, sorted."""
        with self._errors() as root:
            return sorted(_movies(root, start))

    def committed(self, item: str, limit_bytes: int = PROOF_LIMIT) -> bytes | None:
        with self._errors() as root:
            proof = self._proof(root, item)
            if proof is None:
                return None
            with _tree.descend(root, self.path, proof.relative_to(self.path).parts[:-1]) as (
                    parent, directory):
                if proof.name != CHAIN_NAME:
                    return _tree.read_small(parent, proof, limit_bytes)
                return first_manifest(
                    lambda name, limit: _tree.read_small(parent, directory / name, limit),
                    limit_bytes)

    def sizes(self, item: str) -> Mapping[str, int]:
        with self._errors() as root:
            path = self.path / item
            if _tree.kind(root, path) == "file":
                return {"": os.stat(item, dir_fd=root, follow_symlinks=False).st_size}
            with _tree.descend(root, self.path, [item]) as (below, below_path):
                found = _tree.file_sizes(below, below_path)
            return _without_history(found)

    def taken(self, item: str) -> bool:
        with self._errors() as root:
            if self._half_committed(root, item):
                return False
            return (_tree.kind(root, self.path / item) is not None
                    or _tree.kind(root, self.path / f"{item}.json") is not None
                    or limits.twin(self.limits(), item, root))

    # -- writing ---------------------------------------------------------------------------------

    def opened(self) -> Path:
        """The folder by its open descriptor, checked as at every first use. What is written below
        this path lands there or nowhere, even if the medium is pulled out and let go of. Other
        processes of this user may use it too, until :meth:`close`."""
        with self._errors() as root:
            return Path(f"/proc/{os.getpid()}/fd/{root}")

    def begin(self, item: str) -> Mapping[str, int]:
        with self._errors() as root:
            _check_item(item)
            part = self._part(item)
            if self._half_committed(root, item):
                durable.rename_at(root, self.path / item, part)
            waiting = self._part(f"{item}.json")
            if _tree.kind(root, waiting) is not None and _tree.kind(root, part) != "directory":
                durable.unlink_at(root, waiting)
            match _tree.kind(root, part):
                case None:
                    return {}
                case "file":
                    return {"": os.stat(part.name, dir_fd=root, follow_symlinks=False).st_size}
                case "directory":
                    with _tree.descend(root, self.path, [part.name]) as (below, below_path):
                        found = _tree.file_sizes(below, below_path)
                    return _without_history(found)
            raise _tree.refused(part, "file")

    def write(self, item: str, source: Source, on_bytes: OnBytes) -> None:
        left = self.begin(item)
        missing = [file for file in source.files if left.get(file.relative) != file.size_bytes]
        with self._errors() as root, contextlib.closing(
                ItemFiles(root, self.path, self._part(item).name)) as there:
            _pipeline.write(missing, source, there.new,
                            lambda batch: self.sync(item, [file.relative for file in batch]),
                            self._pulse.beating(on_bytes))

    def verify(self, item: str, source: Expected, on_bytes: OnBytes) -> Sequence[str]:
        with self._errors() as root:
            def open_item() -> ItemFiles:
                is_there = _tree.kind(root, self.path / item) is not None
                return ItemFiles(root, self.path, item if is_there else self._part(item).name)

            return differing(source, open_item, self._pulse.beating(on_bytes),
                             forget=self._forget_device, by_daemon=self._by_daemon)

    def drop(self, item: str, relatives: Iterable[str]) -> None:
        _check_item(item)
        with self._errors() as root, contextlib.closing(
                ItemFiles(root, self.path, self._part(item).name)) as files:
            for relative in relatives:
                files.drop(relative)

    def sync(self, item: str, relatives: Iterable[str] = ()) -> None:
        """Make everything written so far durable; of a FUSE file system, `relatives` of the
        item."""
        with self._errors() as root:
            if self._by_daemon:
                with contextlib.closing(
                        ItemFiles(root, self.path, self._part(item).name)) as files:
                    for relative in relatives:
                        files.make_durable(relative)
            durable.sync_filesystem(root, self.path)
            self._forget_device()

    def commit(self, item: str, last: Mapping[str, bytes]) -> None:
        with self._errors() as root:
            if self.taken(item):
                raise JobRefused(f"{self.path / item} exists already; it is not replaced")
            part = self._part(item)
            if _tree.kind(root, part) == "directory":
                self._drop_history(root, part)
                self._write_last(root, item, last)
                durable.rename_at(root, part, self.path / item)
                return
            waiting = f"{item}.json"
            self._write_last(root, waiting, last)
            durable.rename_at(root, part, self.path / item)
            durable.rename_at(root, self._part(waiting), self.path / waiting)

    def abort(self, item: str) -> None:
        with contextlib.suppress(FieldrecError), self._errors() as root:
            self.begin(item)  # takes back what was half committed
            part = self._part(item)
            match _tree.kind(root, part):
                case "directory":
                    durable.rmtree_at(root, part)
                case "file":
                    durable.unlink_at(root, part)
                    durable.sync_directory_at(root, self.path)

    # -- files that are no items -------------------------------------------------------------------

    def beside(self, relative: str, limit_bytes: int) -> bytes | None:
        parts = _tree.split(relative)
        with self._errors() as root, contextlib.suppress(FileNotFoundError), \
                _tree.descend(root, self.path, parts[:-1]) as (parent, directory):
            path = directory / parts[-1]
            if _tree.kind(parent, path) == "file" and os.stat(
                    path.name, dir_fd=parent, follow_symlinks=False).st_size <= limit_bytes:
                return self._read_back(parent, path)
        return None

    def put_beside(self, relative: str, data: bytes) -> None:
        parts = _tree.split(relative)
        with self._errors() as root, \
                _tree.descend(root, self.path, parts[:-1], make=True) as (parent, directory):
            path, part = directory / parts[-1], directory / (durable.PART_PREFIX + parts[-1])
            for name in (path, part):
                if _tree.kind(parent, name) not in (None, "file"):
                    raise _tree.refused(name, "file")
            if len(parts) > 1:
                _sweep_parts(parent, directory)
            self._write_small(parent, part, data)
            durable.sync_filesystem(root, self.path)  # the folders made on the way, too
            self._forget_device()
            if self._read_back(parent, part) != data:
                durable.unlink_at(parent, part)
                raise VerifyMismatch(f"{relative} read back from {self.name} differs from what "
                                     "was written; check or replace that medium")
            durable.rename_at(parent, part, path)

    def set_aside(self, name: str, other: str) -> None:
        with self._errors() as root:
            durable.rename_at(root, self.path / name, self.path / other)

    def _read_back(self, parent: int, path: Path) -> bytes:
        view, whole = aligned_buffer(1 << 20), io.BytesIO()
        with contextlib.closing(
                PastCache(lambda flags: _tree.open_file(parent, path, flags))) as file:
            whole.writelines(file.slices(lambda: view))
        return whole.getvalue()

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    # -- inside ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _errors(self) -> Iterator[int]:
        """The folder's descriptor; what goes wrong with it is told in the operator's words."""
        try:
            with self._pulse.inside():
                yield self._root()
        except (OSError, StoreFull, SyncFailed) as error:
            raise self._failure(error) from error

    def _root(self) -> int:
        if self._descriptor is None:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            outer = os.open(self._outer, flags)
            try:
                self._check_opened(outer)
                if os.fstatvfs(outer).f_flag & os.ST_RDONLY:
                    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self._outer))
                self._look_who_serves(outer)
                if not self._subfolder:
                    self._descriptor = os.dup(outer)
                else:
                    self._descriptor = _tree.open_directory(outer, self.path, make=True)
            finally:
                os.close(outer)
        return self._descriptor

    def _look_who_serves(self, outer: int) -> None:
        fs_type, source = limits.mounted(outer)
        self._by_daemon = fs_type.startswith("fuse")
        if self._by_daemon and self._device is None and Path(source).is_block_device():
            self._device = Path(source)

    def _forget_device(self) -> None:
        if self._device is not None:
            forget_device(self._device)

    def _part(self, item: str) -> Path:
        return self.path / (durable.PART_PREFIX + item)

    def _half_committed(self, root: int, item: str) -> bool:
        """Whether a cut fell between the last two steps of committing a single file."""
        return (_tree.kind(root, self.path / item) == "file"
                and _tree.kind(root, self.path / f"{item}.json") is None
                and _tree.kind(root, self._part(f"{item}.json")) == "file")

    def _proof(self, root: int, item: str) -> Path | None:
        """Where the proof of a committed item is: the chain of a directory, the sidecar of a file;
        None when it is not there."""
        _check_item(item)
        found = _tree.kind(root, self.path / item)
        if found == "file":
            beside = self.path / f"{item}.json"
            return beside if _tree.kind(root, beside) == "file" else None
        if found == "directory":
            with contextlib.suppress(FileNotFoundError, JobRefused), \
                    _tree.descend(root, self.path, [item, FOLDER]) as (below, below_path):
                chain = below_path / CHAIN_NAME
                return chain if _tree.kind(below, chain) == "file" else None
        return None

    def _drop_history(self, root: int, part: Path) -> None:
        """Remove what an earlier try to commit left: a manifest that no chain will list."""
        with contextlib.suppress(FileNotFoundError), \
                _tree.descend(root, self.path, [part.name, FOLDER]) as (below, below_path):
            for name in _tree.names(below):
                if _tree.kind(below, below_path / name) == "directory":
                    raise _tree.refused(below_path / name, "file")
                durable.unlink_at(below, below_path / name)

    def _write_last(self, root: int, item: str, last: Mapping[str, bytes]) -> None:
        """Write the files that complete an item and compare what the medium has."""
        for relative, data in last.items():
            parts = self._part_of(item, relative)
            with _tree.descend(root, self.path, parts[:-1], make=True) as (parent, directory):
                self._write_small(parent, directory / parts[-1], data)
        durable.sync_filesystem(root, self.path)
        self._forget_device()
        for relative, data in last.items():
            parts = self._part_of(item, relative)
            with _tree.descend(root, self.path, parts[:-1]) as (parent, directory):
                if self._read_back(parent, directory / parts[-1]) != data:
                    raise VerifyMismatch(
                        f"{'/'.join([item, relative]).rstrip('/')} read back from {self.name} "
                        "differs from what was written; check or replace that medium")

    def _part_of(self, item: str, relative: str) -> list[str]:
        return [self._part(item).name, *(_tree.split(relative) if relative else ())]

    def _write_small(self, parent: int, path: Path, data: bytes) -> None:
        if _tree.kind(parent, path) is not None:
            durable.unlink_at(parent, path)
        descriptor = durable.create_at(parent, path)
        try:
            durable.write(descriptor, [data], path, len(data))
            durable.fsync(descriptor, path)
        finally:
            os.close(descriptor)


def folder_failure(name: str, error: BaseException) -> FieldrecError:
    """The error to report for a folder: what is wrong, and what to do."""
    number = errno_of(error)
    where = str(getattr(error, "filename", None) or "")
    if number in (errno.ENOENT, errno.ENOTDIR) and where.startswith("/"):
        return DestinationAway(f"destination {name}: folder {where} is missing; "
                                "create it, or mount what belongs there")
    if number in AWAY_ERRNOS:
        return DestinationAway(f"destination {name} is not there: {os.strerror(number or 0)}")
    if number in durable.FULL_ERRNOS:
        return DestinationFull(f"destination {name} is full; make room there and try again")
    if number == errno.EROFS:
        return DestinationError(f"destination {name} is read-only; make it writable")
    if number in (errno.EACCES, errno.EPERM):
        return DestinationError(f"destination {name}: no permission to write there ({error})")
    if number in FAULT_ERRNOS:
        what = f"{_tree.shown(where)}: {os.strerror(number)}" if where else str(error)
        return DestinationError(f"destination {name}: {what}; the medium is failing: check or "
                                "replace it; nothing was deleted")
    return DestinationError(f"destination {name}: {error}")


def errno_of(error: BaseException) -> int | None:
    """The operating system's number behind an error of ours or its own."""
    if isinstance(error, OSError):
        return error.errno
    return error.__cause__.errno if isinstance(error.__cause__, OSError) else None


def _movies(root: int, start: str = "") -> list[str]:
    """Files with a sidecar, in no order. The folder is gone through twice, so that of what somebody
    else has put there, however much it is, no name is kept."""
    told = {name.removesuffix(".json") for name, kind in _tree.entries(root)
            if kind == "file" and name.startswith(start) and name.endswith(".json")}
    return [name for name, kind in _tree.entries(root) if name in told and kind == "file"
            and not name.startswith(".")] if told else []


def _sweep_parts(parent: int, directory: Path) -> None:
    """Remove files that an earlier try left under another name."""
    for name in _tree.names(parent):
        path = directory / name
        if name.startswith(durable.PART_PREFIX) and _tree.kind(parent, path) == "file":
            durable.unlink_at(parent, path)


def _without_history(sizes: dict[str, int]) -> dict[str, int]:
    return {relative: size for relative, size in sizes.items()
            if not relative.startswith(f"{FOLDER}/")}


def _check_item(item: str) -> None:
    if item.startswith(".") or "/" in item or "\0" in item or not item:
        raise JobRefused(f"{item!r} cannot be the name of an item")
