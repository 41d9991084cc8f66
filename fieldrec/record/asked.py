"""What a session was asked for, and what is known of it while it lasts. On the event loop only."""

from __future__ import annotations

import difflib
import math
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fieldrec.config import RecordConfig
from fieldrec.config.recording import SplitConfig
from fieldrec.core.errors import CameraError, FieldrecError, NotFoundError, UsageError
from fieldrec.record.places import CameraPlace
from fieldrec.record.skew import Skew

RESERVED = frozenset({"timezone", "acquisitionframerate", "acquisitionframerateenable", "fieldrec",
                      "__store"})
"""Metadata keys that fieldrec or the format writes itself."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What :meth:`Session.start` was asked for: enough to ask again. What is None is as
    configured."""

    name: str | None = None
    metadata: Mapping[str, Any] | None = None
    duration_s: float | None = None
    cameras: Sequence[str] | None = None
    preroll_s: float | None = None
    split_after: SplitConfig | None = None
    trigger: Literal["none", "motion"] | None = None
    by_schedule: bool = False
    """The schedule wants it, and begins it again when something has cut it."""

    def over(self, record: RecordConfig) -> RecordConfig:
        """The configuration with what was asked for in its place."""
        asked = {"preroll_s": self.preroll_s, "split_after": self.split_after,
                 "trigger": self.trigger}
        return record.model_copy(update={key: value for key, value in asked.items()
                                         if value is not None})


AS_CONFIGURED = Asked()


@dataclass(slots=True)
class Active:
    """A session under way, from start to stop."""

    asked: Asked
    base: str
    metadata: Mapping[str, Any]
    with_serial: bool
    since_ns: int
    wanted: set[str]
    """Cameras that shall record; one that has played out leaves."""
    session_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    """The same in the metadata of all its stores."""
    deadline_ns: int | None = None
    """By the monotonic clock."""
    over: str = ""
    """Why the session shall end, once something inside it ended it."""
    paused: bool = False
    running: set[str] = field(default_factory=set)
    """Cameras that record, or begin to just now."""
    places: dict[str, CameraPlace] = field(default_factory=dict)
    rings: dict[str, int] = field(default_factory=dict)
    """Memory given to each camera's ring, in bytes."""
    together: set[str] = field(default_factory=set)
    """Cameras that were started by the same start and still run."""
    skew: Skew | None = None
    leaving: dict[str, str] = field(default_factory=dict)
    """Recording, by camera, that was told to go on in another folder and has not done so yet."""
    done: list[str] = field(default_factory=list)
    """Recordings that were closed, with at least one frame."""

    def forget(self, key: str) -> None:
        """This camera does not record any more."""
        self.running.discard(key)
        self.together.discard(key)
        self.rings.pop(key, None)
        self.leaving.pop(key, None)


def chosen_cameras(known: Collection[str], cameras: Sequence[str] | None) -> list[str]:
    """The named cameras, each once; all that are known for None. NotFoundError, CameraError."""
    names = ", ".join(known) or "none configured"
    for key in cameras or ():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {names}"
            raise NotFoundError(f"no camera {key!r}; {hint}")
    chosen = list(dict.fromkeys(known if cameras is None else cameras))
    if not chosen:
        raise CameraError(f"no camera to record from; known: {names}")
    return chosen


def checked_duration(duration_s: float | None) -> float | None:
    """The duration, or UsageError."""
    if duration_s is not None and not (math.isfinite(duration_s) and duration_s > 0):
        raise UsageError(f"duration {duration_s:g} s: use a number of seconds above 0")
    return duration_s


def check_metadata(metadata: Mapping[str, Any], kind: type[FieldrecError], where: str) -> None:
    """Keys that would be overwritten are refused rather than lost."""
    for key in metadata:
        if not isinstance(key, str) or not key or key in RESERVED:
            raise kind(f"{where}: metadata key {key!r} is reserved or no text; use another name")
