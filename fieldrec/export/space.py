"""Is there room for an export? Pure but for asking the file system. Blocking."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from fieldrec.core.errors import StoreFull
from fieldrec.export.presets import Preset
from fieldrec.export.segment_file import Segment

MARGIN_BYTES = 4_000_000
"""Kept free beside all that is counted: the file system's own tables, a log, a status file."""
SIDECAR_BYTES_PER_FRAME = 40


def check_before(target: Path, expected_bytes: float, frame_count: int, preset: Preset,
                 there_bytes: int) -> None:
    """Refuse what cannot fit: half of what such a movie typically has, twice, as its segments and
    as the movie, which are there at the same time; less what is there of an earlier run. StoreFull
    with the figures."""
    needed = max(round(expected_bytes) - there_bytes, 0) + MARGIN_BYTES
    needed += SIDECAR_BYTES_PER_FRAME * frame_count
    free = _free_bytes(target)
    if free < needed:
        raise StoreFull(f"{target.parent}: {preset.name} of {target.name} needs at least "
                        f"{needed / 1e6:.1f} MB and {free / 1e6:.1f} MB are free: make room, or "
                        "use a lower preset")


def check_during(target: Path, segments: Sequence[Segment], frame_count: int) -> None:
    """Refuse as soon as it is known that the rest cannot fit: what is to be encoded yet, at the
    size of what was, and the joined movie. StoreFull with the figures."""
    written = sum(segment.size_bytes for segment in segments)
    whole = written / segments[-1].end * frame_count
    needed = round(2 * whole - written) + SIDECAR_BYTES_PER_FRAME * frame_count + MARGIN_BYTES
    free = _free_bytes(target)
    if free < needed:
        raise StoreFull(f"{target.parent}: {target.name} needs {needed / 1e6:.1f} MB more, "
                        f"{whole / 1e6:.1f} MB of them for the movie itself, and "
                        f"{free / 1e6:.1f} MB are free: make room")


def _free_bytes(target: Path) -> int:
    return shutil.disk_usage(target.absolute().parent).free
