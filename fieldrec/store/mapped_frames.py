"""Frames of npy stores as arrays that lie over their files: no copy, pages come when looked at.

Blocking for the open; any thread. An array keeps its file mapped, and one descriptor, until it is
let go. Files of a finished store do not shrink; where a disk fails beneath a mapping the kernel
ends the process, so this is done only when asked for.
"""

from __future__ import annotations

import math
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.core.errors import StoreDamaged
from fieldrec.store import layout


class MappedFrames:
    """The frames of one store, all of one shape and type as its metadata says."""

    def __init__(self, shape: tuple[int, ...], dtype: str) -> None:
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._header = layout.npy_header(shape, dtype)
        self._count = math.prod(shape)

    def read(self, path: Path) -> NDArray[Any]:
        """The frame in this file, read-only. StoreDamaged when it is missing or cut short."""
        try:
            mapping = _map(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "is empty"
            raise StoreDamaged(f"{path}: {reason}: the index lists this frame") from error
        if mapping[:len(self._header)] != self._header:
            return self._read_other(path)
        if len(mapping) < len(self._header) + self._count * self._dtype.itemsize:
            raise StoreDamaged(f"{path}: cut short: {len(mapping)} bytes")
        return np.frombuffer(mapping, self._dtype, self._count, len(self._header)
                             ).reshape(self._shape)

    def _read_other(self, path: Path) -> NDArray[Any]:
        """A frame with another header than fieldrec writes, or of another shape."""
        try:
            return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        except (OSError, ValueError, EOFError) as error:
            raise StoreDamaged(f"{path}: not a whole .npy frame: {error}") from error


def _map(path: Path) -> mmap.mmap:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)
