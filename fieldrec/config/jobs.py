"""The section about the queue of deferred work."""

from __future__ import annotations

from pydantic import Field

from fieldrec.config.section import Section


class JobsConfig(Section):
    """The queue of exports, copies and deletions."""

    history_count: int = Field(default=500, ge=0, le=100_000)
    """So many finished jobs are kept to be looked at, the latest…"""
    history_days: float = Field(default=90.0, gt=0, le=36_500)
    """…and for so long."""
