"""What the box says about itself: one immutable picture, made by the app, read by every channel.

The status board publishes these; console, terminal, CLI and socket only format them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fieldrec.core.model import (
    CameraState,
    Drive,
    FrameSpec,
    Heat,
    Job,
    LostFrames,
    PowerLevel,
    PowerState,
    SpaceState,
)


@dataclass(frozen=True, slots=True)
class RecorderStatus:
    """One camera and, while it records, its recording."""

    key: str
    """Name in the configuration."""
    serial: str
    state: CameraState
    problem: str = ""
    """Why the camera is FAILED, in one line; "" otherwise."""
    spec: FrameSpec | None = None
    recording: str = ""
    """Name of the recording under way; after it the last one's."""
    frame_count: int = 0
    """Frames handed to the store in this recording."""
    dropped: int = 0
    lost: int = 0
    measured_hz: float = 0.0
    """Frames per second over the last few seconds."""
    written_bytes: int = 0
    heat: Heat = Heat.NONE
    ring_slots: int = 0
    ring_used: int = 0
    ring_peak: int = 0
    ring_bytes: int = 0
    """Memory of the ring: its share of `record.ring_max_bytes`."""
    started_ns: int | None = None
    last_frame_ns: int | None = None
    lost_runs: tuple[LostFrames, ...] = ()
    """The latest runs of lost frames of this recording, oldest first, at most eight."""
    paused: bool = False
    """The camera runs and its frames are not kept: after PAUSE, until RESUME or STEP."""
    armed: bool = False
    """The camera runs and a trigger decides when frames are kept; between two events."""
    preroll_frames: int = 0
    """Frames that are held back from before a start, should one come."""
    first_frame_ns: int | None = None
    """Epoch of the first frame of the session: what the cameras' skew is made of."""
    folder: str = ""
    """Where the recording lies, when that is not the first recordings folder."""
    wanted: bool = False
    """The session wants it to record, whether it does (yet, again) or not."""
    stop_reason: str = ""
    """Why the last recording ended ("stopped", "disk 94.1 % full", "camera lost: …")."""


@dataclass(frozen=True, slots=True)
class FolderStatus:
    """One recordings folder of several."""

    path: str
    in_use: bool = False
    """Whether the next recording goes there."""
    problem: str = ""
    """Why nothing is recorded there; "" when it could be."""
    total_bytes: int = 0
    free_bytes: int = 0
    used_percent: float = 0.0


@dataclass(frozen=True, slots=True)
class StorageStatus:
    """The file system of the recordings; of several folders, that of the one in use."""

    total_bytes: int = 0
    free_bytes: int = 0
    used_percent: float = 0.0
    stop_percent: float = 0.0
    minutes_left: float | None = None
    """Recording time left at the present rate, over all folders; None while not recording."""
    folders: tuple[FolderStatus, ...] = ()
    """All recordings folders in their order; the last figures known where one has failed."""


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """What the schedule does now and next."""

    next_task: str = ""
    """Whose window begins next; "" when none does, as far as can be seen."""
    next_ns: int | None = None
    """When it begins, epoch…"""
    next_at: str = ""
    """…and in the box's local time: "20:14", "Mon 20:14"."""
    running: tuple[tuple[str, int], ...] = ()
    """Tasks whose windows it is in, and when these end, epoch ns."""
    clock_problem: str = ""
    """Why the clock is known to be wrong; "" when it is not."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened, for people."""

    time_ns: int
    text: str
    """One line, printable."""
    severity: str = "info"
    """"info", "warning" or "error"."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that is shown anywhere, at one moment."""

    version: int
    time_ns: int
    name: str
    recording: bool
    recording_since_ns: int | None
    recorders: tuple[RecorderStatus, ...] = ()
    jobs: tuple[Job, ...] = ()
    """Unfinished jobs, then the most recent finished ones."""
    drives: tuple[Drive, ...] = ()
    power: PowerState = field(default_factory=lambda: PowerState(level=PowerLevel.UNKNOWN))
    storage: StorageStatus = field(default_factory=StorageStatus)
    parts: tuple[tuple[str, str], ...] = ()
    """(part, problem) of supervised parts; "" while a part runs well."""
    events: tuple[Event, ...] = ()
    """The latest, oldest first."""
    loop_lag_ms: float = 0.0
    """Worst delay of the event loop in the last second."""
    skew_ms: float | None = None
    """Between the first frames of the cameras that were started together; None until each has
    one."""
    recovery: str = ""
    """How far completing interrupted recordings is; "" when nothing is left to complete."""
    stopping: bool = False
    stuck: tuple[str, ...] = ()
    """While it stops: what does not end in its share of the time ("recordings (left)")."""
    space: SpaceState = field(default_factory=SpaceState)
    schedule: ScheduleStatus = field(default_factory=ScheduleStatus)
    temperature_c: float | None = None
    """Of the processor; None where nothing tells it, or nothing is going on."""
