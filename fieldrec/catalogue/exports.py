"""Which exports of a recording are whole: all slices of a set, or the one file. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from fieldrec.core.model import Export, Recording


def whole(exports: Iterable[Export]) -> tuple[Export, ...]:
    """Without the slices of sets that are not complete: those are no exports, and are made again.

    A set is complete when each of its `slice_count` slices is there once.
    """
    exports = tuple(exports)
    numbers: dict[tuple[str, int], set[int]] = {}
    for export in exports:
        numbers.setdefault(_set(export), set()).add(export.slice_number)
    return tuple(export for export in exports if export.slice_count == 0
                 or numbers[_set(export)] == set(range(1, export.slice_count + 1)))


def in_words(exports: Iterable[Export]) -> list[tuple[str, int, int]]:
    """(preset, bytes, slices) of each export, slices together; 0 slices of one file."""
    found: dict[tuple[str, int, str], tuple[str, int, int]] = {}
    for export in exports:
        key = (*_set(export), "" if export.slice_count else str(export.path))
        _, size_bytes, slices = found.get(key, ("", 0, 0))
        found[key] = (export.preset, size_bytes + export.size_bytes,
                      slices + (export.slice_count > 0))
    return list(found.values())


def without_raw(told: Sequence[Recording]) -> Recording:
    """One recording whose raw is gone, from what the sidecars of its exports tell. A set that lacks
    slices is all that is left then, and counts."""
    exports = tuple(export for recording in told for export in recording.exports)
    first = [known.first_time_ns for known in told if known.first_time_ns is not None]
    last = [known.last_time_ns for known in told if known.last_time_ns is not None]
    frames: dict[str, int] = {}
    for export in exports:
        frames[export.preset.lower()] = frames.get(export.preset.lower(), 0) + export.frame_count
    return dataclasses.replace(
        told[0], exports=exports, frame_count=max(frames.values(), default=0),
        first_time_ns=min(first, default=None), last_time_ns=max(last, default=None))


def _set(export: Export) -> tuple[str, int]:
    return export.preset.lower(), export.slice_count
