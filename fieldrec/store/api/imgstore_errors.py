"""Our errors that are at the same time the built-in ones which imgstore raises for the mistake.

A script written for imgstore catches ValueError, OSError, TypeError …; fieldrec's own code catches
FieldrecError. Each class here is both, so neither has to know of the other. Pure; any thread.

A frame that cannot be read is a StoreDamaged, an OSError and a ValueError: imgstore raises the
latter two for it, or EOFError, which reads as the end of the store and is never raised here for
anything else.
"""

from __future__ import annotations

import errno

from yaml.representer import RepresenterError

from fieldrec.core.errors import (
    FieldrecError,
    LockedError,
    NotFoundError,
    StateError,
    StoreDamaged,
    StoreError,
    StoreFull,
    UsageError,
)


class NoStore(NotFoundError, ValueError):
    """There is no store at this path."""


class NoMetadataFile(NotFoundError, FileNotFoundError):
    """There is no such metadata.yaml."""


class StoreUnreadable(StoreDamaged, ValueError):
    """The metadata of a store, its extra data or its files as a whole cannot be understood."""


class FrameDamaged(StoreDamaged, OSError, ValueError):
    """One frame is cut, changed or cannot be decoded; the next call reads the one after it."""


class FrameMissing(FrameDamaged, FileNotFoundError):
    """The file of a frame that the index lists is not there; as for FrameDamaged."""


class ExtraDataDamaged(StoreDamaged, OSError, ValueError):
    """A file of extra data is cut or not what it should be."""


class PackageMissing(UsageError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""


class NoSuchFrame(NotFoundError, ValueError):
    """The store has no frame of this number or index."""


class EmptyStore(NotFoundError, TypeError):
    """The nearest frame was asked of a store without frames."""


class WrongArgument(UsageError, ValueError):
    """An argument has a value that makes no sense."""


class WrongType(UsageError, TypeError):
    """An argument is of a type that makes no sense."""


class MetadataRefused(UsageError, ValueError, RepresenterError):
    """The user's metadata holds what YAML cannot carry."""


class NotReadable(StateError, AttributeError):
    """Reading was asked of a store that is open for writing."""


class NotWritable(StateError, AttributeError, TypeError, ValueError):
    """Writing was asked of a store that is open for reading."""


class StoreClosed(StateError, ValueError):
    """Writing was asked of a store that is closed."""


class StoreExists(StoreError, FileExistsError):
    """There is a store at this path already; it was not touched."""


class StoreBusy(LockedError, OSError):
    """Another process writes this store."""


class InsertRefused(UsageError, AssertionError, ValueError):
    """A video that does not fit the store was to become a chunk of it."""


class FrameRefused(StoreError, ValueError, TypeError):
    """A frame is not of the shape or type that the store was made for; nothing was written."""


class WriteFailed(StoreError, OSError):
    """The disk did not take it."""


class DiskFull(StoreFull, OSError):
    """There is no room for it; the store can still be closed."""


def write_error(error: FieldrecError) -> FieldrecError:
    """What writing a store raised, as the like of it that is an OSError too."""
    if isinstance(error, OSError | ValueError | TypeError):
        return error
    if isinstance(error, StoreFull):
        full = DiskFull(str(error))
        full.errno = errno.ENOSPC
        return full
    if isinstance(error, LockedError):
        return StoreBusy(str(error))
    return WriteFailed(str(error)) if isinstance(error, StoreError) else error


def read_error(error: FieldrecError) -> FieldrecError:
    """What opening a store raised, as the like of it that is a ValueError too."""
    if isinstance(error, OSError | ValueError | TypeError):
        return error
    if isinstance(error, StoreDamaged):
        return StoreUnreadable(str(error))
    if isinstance(error, NotFoundError):
        return NoStore(str(error))
    return error


def frame_error(error: StoreDamaged) -> FrameDamaged:
    """What reading one frame raised, as the like of it that is an OSError and a ValueError too."""
    if isinstance(error, FrameDamaged):
        return error
    cause = error.__cause__
    missing = isinstance(cause, FileNotFoundError)
    return FrameMissing(str(error)) if missing else FrameDamaged(str(error))
