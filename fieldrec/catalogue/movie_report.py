"""What an exported movie tells of itself, for people: `fieldrec show FILE.mp4`.

Blocking, any thread; reads the sidecar, or what the movie carries, never a picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldrec.catalogue.report import StoreReport, store_report
from fieldrec.core.errors import StoreDamaged
from fieldrec.store.movie.content import TAIL, TRANSCODE_FORMAT, content_of

KINDS = ("dropped", "lost", "paused")


@dataclass(frozen=True, slots=True)
class MovieReport:
    """One movie as it is now."""

    path: Path
    size_bytes: int
    origin: Path
    """What told all this: the sidecar, or the movie itself."""
    problems: tuple[str, ...]
    """Why it was not the sidecar, and what else is wrong, one line each."""
    told: Mapping[str, Any]
    """All but what is said of single frames, gaps and extra data."""
    gaps: Mapping[str, Sequence[Mapping[str, int]]] | None
    """By kind, as the sidecar has them; None where a sidecar of version 1 does not say it."""
    unreadable: Sequence[Mapping[str, Any]]
    store: StoreReport
    """Its frames, as of any store."""

    @property
    def is_export(self) -> bool:
        """Whether it is an export of a recording, not somebody's own transcode."""
        return self.told.get("format") != TRANSCODE_FORMAT

    @property
    def missing(self) -> dict[str, int]:
        """Frames that are missing among those of this movie, by kind."""
        if self.gaps is None:
            return {"dropped": self.store.gaps.dropped, "lost": self.store.lost, "paused": 0}
        return {kind: sum(gap["count"] for gap in self.gaps.get(kind, ())) for kind in KINDS}


def movie_report(path: Path) -> MovieReport:
    """What there is to say of the movie at `path`. NotFoundError where nothing tells anything of
    it; StoreDamaged."""
    content = content_of(path)
    store = store_report(path)
    values = content.values
    gaps, unreadable = values.get("gaps"), values.get("unreadable") or []
    if not _are_right(gaps, unreadable):
        raise StoreDamaged(f"{content.origin}: what it tells of the movie is damaged")
    return MovieReport(
        path=path, size_bytes=path.stat().st_size, origin=content.origin,
        problems=(*content.problems, *store.problems),
        told={key: value for key, value in values.items() if key not in TAIL},
        gaps=gaps, unreadable=unreadable, store=store)


def _are_right(gaps: Any, unreadable: Any) -> bool:
    """Whether these have the types that they must have."""
    try:
        return (gaps is None or all(
            isinstance(value, int) for kind in KINDS for gap in gaps.get(kind, ())
            for value in (gap["count"], gap["first_number"], *gap.values()))) and all(
            isinstance(one["index"], int) and str(one["reason"]) for one in unreadable)
    except (TypeError, KeyError, AttributeError):
        return False
