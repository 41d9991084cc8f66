"""The one error of this package that is no fault."""

from __future__ import annotations

from fieldrec.core.errors import JobError


class ExportStopped(JobError):
    """The export was told to stop and left nothing behind; it can be made again."""

    transient = True
