"""The section about the record of the deployment."""

from __future__ import annotations

from pydantic import Field

from fieldrec.config.section import Bytes, Section


class LogbookConfig(Section):
    """What is kept of all that happened: `.fieldrec/logbook` in the recordings folder, copied to
    every destination; `fieldrec report` makes a table and a page of it."""

    enabled: bool = True
    max_bytes: Bytes = Field(default=64 << 20, ge=1 << 20)
    """Of one deployment: a year or more. Beyond it the oldest goes, but for how it began."""
    power_every_s: float = Field(default=600.0, ge=10, le=86_400)
    """Power, temperature and free space at least this often while they hardly change; sooner when
    they do (2 % of charge, 2 °C, another level)."""
