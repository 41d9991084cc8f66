"""What is known of the frames of one chunk, read from its index or from its journal.

Blocking; any thread; one chunk at a time, so that a long store is never in memory as a whole.
Numbers and times come out exactly as imgstore shows them (:class:`ChunkRows`), whoever wrote them;
nothing is ever unpickled. Whatever is wrong with a chunk is a StoreDamaged that names the file: it
costs this chunk and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from fieldrec.core.errors import StoreDamaged
from fieldrec.store import layout
from fieldrec.store.chunk_paths import ChunkPaths

_SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NS_PER_S = 1_000_000_000
_FURTHEST_S = 9.2e9
"""290 years from 1970: what fits into 64 bits of nanoseconds."""


@dataclass(frozen=True, slots=True, eq=False)
class ChunkRows:
    """One entry per frame in each array, in the order of recording."""

    numbers: NDArray[Any]
    """int64; float64 when one of them is fractional."""
    times_s: NDArray[np.float64]
    """`frame_time` as it was stored."""
    times_ns: NDArray[np.int64]
    """From `times_s` (±120 ns) where the index does not hold them; times further than 290 years
    from 1970 stop there."""
    device_times_ns: NDArray[np.int64] | None
    """None without any; -1 where a frame has none."""
    digests: NDArray[np.uint64] | None
    positions: NDArray[np.int64] | None = None
    """Where in the chunk each frame lies, when that is not simply 0, 1, 2 …"""

    def __len__(self) -> int:
        return len(self.numbers)


NO_ROWS = ChunkRows(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64), None,
                    np.zeros(0, np.uint64))


def read_rows(paths: ChunkPaths) -> ChunkRows:
    """The frames that the chunk's index lists: index.npz, or index.yaml where there is none.

    FileNotFoundError without either; StoreDamaged when the one there cannot be understood.
    """
    try:
        data = _bytes_of(paths.index)
    except FileNotFoundError:
        return _rows_of(paths.index_yaml, _bytes_of(paths.index_yaml), _yaml_members)
    return _rows_of(paths.index, data, layout.index_members)


def _bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreDamaged(f"{file}: {error.strerror}") from error


def _rows_of(file: Path, data: bytes, members: Callable[[bytes], Mapping[str, Any]]) -> ChunkRows:
    try:
        return _rows(members(data))
    except Exception as error:  # zipfile, numpy and yaml raise a dozen kinds for bad bytes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StoreDamaged(f"{file}: unreadable index: {reason}") from error


def read_open_rows(paths: ChunkPaths, extension: str) -> ChunkRows | None:
    """The frames of a chunk that may still be open: what its journal says, when that is more than
    its index does. None when there is neither. StoreDamaged when frames are there and cannot be
    numbered.

    `extension` is that of its frame files without the dot, "" in a video store.
    """
    indexed, damage = _index_or_damage(paths)
    if paths.plan.exists():
        return _mended(paths, indexed)
    logged = _logged(paths, extension)
    if logged is not None and (indexed is None or len(logged) > len(indexed)):
        return logged
    if damage is not None:
        raise damage
    return indexed


def _index_or_damage(paths: ChunkPaths) -> tuple[ChunkRows | None, StoreDamaged | None]:
    try:
        return read_rows(paths), None
    except FileNotFoundError:
        return None, None
    except StoreDamaged as error:
        return None, error


def _mended(paths: ChunkPaths, indexed: ChunkRows | None) -> ChunkRows:
    """The index of a chunk that was being mended, when it was written after the frames had moved:
    before that, no file's name says which frame it holds."""
    try:
        planned = layout.parse_log(paths.plan.read_bytes()).columns
    except (OSError, ValueError) as error:
        raise StoreDamaged(f"{paths.plan}: {error}; recover the store") from error
    if indexed is not None and np.array_equal(planned.numbers, indexed.numbers):
        return indexed
    raise StoreDamaged(f"{paths.plan}: the chunk was being mended when that was cut off; recover "
                       "the store")


def _logged(paths: ChunkPaths, extension: str) -> ChunkRows | None:
    """The journal's records, up to the last whose frame file is there; None without a journal."""
    try:
        log = layout.parse_log(paths.log.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StoreDamaged(f"{paths.log}: {error}") from error
    positions, columns = log.positions, log.columns
    count = len(positions)
    while count and not _is_there(paths, int(positions[count - 1]), extension):
        count -= 1
    if count < len(positions):
        positions, columns = positions[:count], columns.take(np.arange(count))
    gapless = np.array_equal(positions, np.arange(count))
    return ChunkRows(columns.numbers, columns.seconds(), columns.times_ns,
                     _clock(columns.device_times_ns), columns.digests,
                     None if gapless else positions)


def _is_there(paths: ChunkPaths, position: int, extension: str) -> bool:
    if extension:
        return paths.frame(position, extension).exists()
    return paths.frames.exists() or (paths.open_video is not None and paths.open_video.exists())


# --- what an index holds ------------------------------------------------------------------------

def _yaml_members(data: bytes) -> dict[str, NDArray[Any]]:
    content = yaml.load(data, Loader=_SafeLoader)
    if not isinstance(content, dict):
        raise ValueError("not a mapping")
    return {name: np.asarray(content[name]) for name in ("frame_number", "frame_time")}


def _rows(members: Mapping[str, NDArray[Any]]) -> ChunkRows:
    """Rows of equal length: imgstore, too, cuts to the shorter of numbers and times."""
    for name in ("frame_number", "frame_time"):
        if name not in members:
            raise ValueError(f"it has no {name}")
    numbers = _numbers(_finite("frame_number", members["frame_number"]))
    times_s = _finite("frame_time", members["frame_time"]).astype(np.float64, copy=False)
    count = min(len(numbers), len(times_s))
    numbers, times_s = numbers[:count], times_s[:count]
    times_ns = _ours(members.get("frame_time_ns"), np.int64, count)
    device_ns = _ours(members.get("device_time_ns"), np.int64, count)
    return ChunkRows(numbers, times_s, nanoseconds_of(times_s) if times_ns is None else times_ns,
                     None if device_ns is None else _clock(device_ns),
                     _ours(members.get("frame_digest"), np.uint64, count))


def _finite(name: str, values: NDArray[Any]) -> NDArray[Any]:
    if values.ndim != 1 or (values.dtype.kind not in "iufb" and len(values)):
        raise ValueError(f"{name}: expected numbers, found {values.dtype} of shape {values.shape}")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(f"{name}: number {int(np.argmin(np.isfinite(values)))} is not finite")
    return values


def _numbers(values: NDArray[Any]) -> NDArray[Any]:
    """As int64 where that says the same, else as float64."""
    if values.dtype.kind == "u" and len(values) and int(values.max()) > np.iinfo(np.int64).max:
        raise ValueError("frame_number: does not fit into 64 bits")
    if values.dtype.kind != "f":
        return values.astype(np.int64, copy=False)
    wide = values.astype(np.float64, copy=False)
    if np.array_equal(wide, np.rint(wide)) and bool((np.abs(wide) < 2.0 ** 63).all()):
        return wide.astype(np.int64)
    return wide


def _ours(values: NDArray[Any] | None, dtype: type[Any], count: int) -> NDArray[Any] | None:
    """A column that only fieldrec writes; None where it is not one value of this type per frame."""
    if values is None or values.dtype != dtype or values.ndim != 1 or len(values) < count:
        return None
    return values[:count]


def _clock(device_ns: NDArray[np.int64]) -> NDArray[np.int64] | None:
    return None if bool((device_ns == layout.NO_DEVICE_TIME).all()) else device_ns


def nanoseconds_of(times_s: NDArray[np.float64]) -> NDArray[np.int64]:
    """Nanoseconds of epoch seconds, whole seconds apart: a product would be off by 120 ns."""
    near = np.clip(times_s, -_FURTHEST_S, _FURTHEST_S)
    whole = np.floor(near)
    rest = np.rint((near - whole) * _NS_PER_S)
    nanoseconds: NDArray[np.int64] = whole.astype(np.int64) * _NS_PER_S + rest.astype(np.int64)
    return nanoseconds
