"""Read one store: numbers and times of all frames as arrays, pixels one frame at a time.

Blocking; one thread at a time. Holds no descriptor between calls. Reads what fieldrec and imgstore
wrote (format npy); one bad index costs its own chunk, and ``problems`` says which.
"""

from __future__ import annotations

import datetime
import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec.core.errors import NotFoundError, StoreDamaged, StoreError
from fieldrec.core.model import FrameSpec
from fieldrec.store import layout
from fieldrec.store.layout import Columns
from fieldrec.store.metadata import METADATA_NAME, parse_metadata


@dataclass(frozen=True, slots=True, eq=False)
class StoredFrame:
    """One frame as it was recorded."""

    index: int
    number: int
    time_ns: int
    pixels: NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class _Contents:
    """All readable indexes, joined."""

    columns: Columns
    chunks: tuple[Path, ...]
    starts: NDArray[np.int64]
    """Index of each chunk's first frame, and at the end the number of frames."""
    problems: tuple[str, ...]


class StoreReader:
    """One store, opened from its metadata; the indexes are read when first needed."""

    def __init__(self, path: Path) -> None:
        """NotFoundError without a store there, StoreDamaged when its metadata is unreadable,
        StoreError for formats that are not read yet."""
        self.path = path
        self._store, self.user_metadata = read_metadata(path)
        self.chunksize = int(self._store["chunksize"])
        kind, stored_as = self._store["class"], self._store["format"]
        if kind != "DirectoryImgStore" or stored_as != "npy":
            raise StoreError(f"{path}: {kind} of format {stored_as} is not read yet, only npy "
                             "directories; open it with the imgstore package")
        self.uuid = str(self._store.get("uuid") or "")
        self.timezone = str(self._store.get("timezone_local") or "UTC")
        self.created_utc = created_text(self._store.get("created_utc"))
        self._shape = tuple(int(extent) for extent in self._store["imgshape"])
        self._dtype = np.dtype(self._store["imgdtype"])
        self._header = layout.npy_header(self._shape, self._dtype.name)

    # --- what there is --------------------------------------------------------------------------

    @functools.cached_property
    def _contents(self) -> _Contents:
        return _read_contents(self.path)

    @functools.cached_property
    def spec(self) -> FrameSpec:
        """What the frames look like; `nominal_hz` is measured where the metadata is silent."""
        return frame_spec(self._store, self.user_metadata) or FrameSpec(
            self._shape, self._dtype.name, _pixel_format(self._shape, self._dtype.name),
            self._measured_hz())

    @property
    def frame_count(self) -> int:
        """Frames in chunks that have a readable index."""
        return len(self._contents.columns)

    @property
    def problems(self) -> tuple[str, ...]:
        """One line per chunk that cannot be read, and what to do."""
        return self._contents.problems

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The camera's frame numbers, in the order of recording."""
        return self._contents.columns.numbers

    @property
    def times_ns(self) -> NDArray[np.int64]:
        """Epoch nanoseconds; from `frame_time` (±120 ns) in stores of other programs."""
        return self._contents.columns.times_ns

    @property
    def device_times_ns(self) -> NDArray[np.int64]:
        """The camera's own clock; -1 where it has none."""
        return self._contents.columns.device_times_ns

    @property
    def digests(self) -> NDArray[np.uint64] | None:
        """XXH3-64 of each frame's pixel bytes; None in stores of other programs."""
        return self._contents.columns.digests

    def __len__(self) -> int:
        return self.frame_count

    def _measured_hz(self) -> float:
        times_ns = self.times_ns
        if len(times_ns) < 2:
            return 0.0
        gap_ns = float(np.median(np.diff(times_ns)))
        return 1e9 / gap_ns if gap_ns > 0 else 0.0

    # --- pixels ---------------------------------------------------------------------------------

    def frame_path(self, index: int) -> Path:
        """The file of the frame at this index (0 … frame_count - 1); IndexError outside."""
        contents = self._contents
        if not 0 <= index < len(contents.columns):
            raise IndexError(f"{self.path}: no frame {index}, it has {len(contents.columns)}")
        at = int(np.searchsorted(contents.starts, index, side="right")) - 1
        return contents.chunks[at] / layout.frame_name(int(index - contents.starts[at]))

    def read(self, index: int, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """The pixels of one frame, into `out` (C-contiguous, of the store's shape and dtype) when
        given: then nothing is copied twice. StoreDamaged when the file is missing or not whole."""
        path = self.frame_path(index)
        if out is None:
            out = np.empty(self._shape, self._dtype)
        elif (out.shape != self._shape or out.dtype != self._dtype
              or not out.flags.c_contiguous):
            raise ValueError(f"out must be a contiguous {self._dtype} {self._shape} array")
        if not self._read_as_written(path, out):
            np.copyto(out, self._read_any(path))
        return out

    def _read_as_written(self, path: Path, out: NDArray[Any]) -> bool:
        """Read with one call what fieldrec wrote; False when the header is another's."""
        header = bytearray(len(self._header))
        total = len(header) + out.nbytes
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                got = os.readv(descriptor, [header, out.data])
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StoreDamaged(f"{path}: {error.strerror}: the index lists this frame") from error
        if got >= len(header) and header != self._header:
            return False
        if got < total:
            raise StoreDamaged(f"{path}: cut short: {got} of {total} bytes")
        return True

    def _read_any(self, path: Path) -> NDArray[Any]:
        """A frame with another .npy header (Fortran order, longer header, another dtype)."""
        try:
            pixels: NDArray[Any] = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise StoreDamaged(f"{path}: not a whole .npy frame: {error}") from error
        if pixels.shape != self._shape or pixels.dtype != self._dtype:
            raise StoreDamaged(f"{path}: the frame is {pixels.dtype} {pixels.shape}, the store "
                               f"{self._dtype} {self._shape}")
        return pixels

    def __iter__(self) -> Iterator[StoredFrame]:
        """Every frame in the order of recording, each with an array of its own."""
        for index in range(self.frame_count):
            yield StoredFrame(index, int(self.numbers[index]), int(self.times_ns[index]),
                              self.read(index))

    def close(self) -> None:
        """Nothing is held open; here so that readers can be used in a with statement."""

    def __enter__(self) -> StoreReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


# --- parts of a store, for reader, recover, catalogue and check ---------------------------------

def read_metadata(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """(``__store``, user metadata) of the store at `path`. NotFoundError, StoreDamaged."""
    file = path / METADATA_NAME
    try:
        return parse_metadata(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: no store there (no {METADATA_NAME})") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise StoreDamaged(f"{file}: {reason}; the frames beside it are intact") from error


def frame_spec(store: dict[str, Any], user: dict[str, Any]) -> FrameSpec | None:
    """The spec that the metadata tells, None when it does not know the frame rate."""
    ours = user.get("fieldrec")
    ours = ours if isinstance(ours, dict) else {}
    nominal_hz = ours.get("nominal_hz", user.get("acquisitionframerate"))
    if isinstance(nominal_hz, bool) or not isinstance(nominal_hz, int | float):
        return None
    shape = tuple(int(extent) for extent in store["imgshape"])
    dtype = np.dtype(store["imgdtype"]).name
    return FrameSpec(shape, dtype, str(ours.get("pixel_format") or _pixel_format(shape, dtype)),
                     float(nominal_hz))


def chunk_directories(path: Path) -> list[Path]:
    """The chunks of a store by number; directories with other names are not chunks."""
    found = [entry.name for entry in os.scandir(path) if _is_chunk(entry)]
    return [path / name for name in sorted(found, key=int)]


def _is_chunk(entry: os.DirEntry[str]) -> bool:
    return entry.name.isascii() and entry.name.isdecimal() and entry.is_dir()


def read_index(chunk: Path) -> Columns:
    """The index of one chunk. FileNotFoundError without one, StoreDamaged when unreadable."""
    file = chunk / layout.INDEX_NAME
    try:
        return layout.parse_index(file.read_bytes())
    except FileNotFoundError:
        return _read_index_yaml(chunk)
    except (OSError, ValueError) as error:
        raise StoreDamaged(f"{file}: {error}") from error


def _read_index_yaml(chunk: Path) -> Columns:
    file = chunk / "index.yaml"
    try:
        return layout.parse_index_yaml(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise StoreDamaged(f"{file}: {error}") from error


def _read_contents(path: Path) -> _Contents:
    columns: list[Columns] = []
    chunks: list[Path] = []
    problems: list[str] = []
    for chunk in chunk_directories(path):
        try:
            columns.append(read_index(chunk))
            chunks.append(chunk)
        except FileNotFoundError:
            open_now = (chunk / layout.LOG_NAME).exists()
            problems.append(f"{chunk}: no index: " + (
                "being written, or interrupted; recover it" if open_now else "its frames have no "
                "numbers or times"))
        except StoreDamaged as error:
            problems.append(f"{error}; its frames are left out")
    starts = np.cumsum([0, *(len(part) for part in columns)], dtype=np.int64)
    return _Contents(_join(columns), tuple(chunks), starts, tuple(problems))


def _join(parts: list[Columns]) -> Columns:
    if not parts:
        return Columns.empty()
    digests = [part.digests for part in parts if part.digests is not None]
    return Columns(np.concatenate([part.numbers for part in parts]),
                   np.concatenate([part.times_ns for part in parts]),
                   np.concatenate([part.device_times_ns for part in parts]),
                   np.concatenate(digests) if len(digests) == len(parts) else None)


def created_text(value: Any) -> str:
    """ISO text of created_utc, which some files carry unquoted, as a YAML time."""
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    return "" if value is None else str(value)


def _pixel_format(shape: tuple[int, ...], dtype: str) -> str:
    bits = np.dtype(dtype).itemsize * 8
    return f"BGR{bits}" if len(shape) == 3 and shape[2] == 3 else f"MONO{bits}"
