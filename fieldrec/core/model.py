"""The nouns, frozen: what crosses the border between packages.

Units are in the names. Shapes are numpy shapes, (height, width) or (height, width, 3), never
(width, height). Times are integer nanoseconds since 1970 UTC unless the name says otherwise.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class RecordingState(enum.Enum):
    """Life of a recording; the table is in ``core/states.py``, its evidence in DESIGN.md."""

    OPENING = "opening"
    RECORDING = "recording"
    PAUSED = "paused"
    CLOSING = "closing"
    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    RECOVERING = "recovering"
    DAMAGED = "damaged"
    FAILED = "failed"
    DELETING = "deleting"
    GONE = "gone"


class JobKind(enum.Enum):
    """What a job does to its items."""

    EXPORT = "export"
    COPY = "copy"
    MOVE = "move"
    UPLOAD = "upload"
    """Send to a server from which nothing can be read back: no proof of anything."""
    DELETE = "delete"
    DELETE_RAW = "delete-raw"
    """Delete the raw of a recording whose verified export is there."""


class JobState(enum.Enum):
    """Life of a job; after a restart every unfinished state is QUEUED again."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    VERIFYING = "verifying"
    COMMITTING = "committing"
    DELETING_SOURCE = "deleting source"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to the job by itself."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class DriveState(enum.Enum):
    """Life of a removable drive, as seen by us."""

    SEEN = "seen"
    MOUNTING = "mounting"
    READY = "ready"
    EJECTING = "ejecting"
    SAFE = "safe to remove"
    ABSENT = "absent"
    REJECTED = "rejected"


class PowerLevel(enum.Enum):
    """What the power supply allows."""

    MAINS = "mains"
    BATTERY = "battery"
    LOW = "low"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


class SpaceTier(enum.Enum):
    """How near the recordings' disks are to being full, best first."""

    OK = "ok"
    WARN = "warn"
    """Worth saying."""
    ACT = "act"
    """What `space.act` allows is done to make room."""
    STOP = "stop"
    """Nothing can be recorded any more."""


class CameraState(enum.Enum):
    """Whether a camera can record, and whether it does."""

    CLOSED = "closed"
    OPENING = "opening"
    READY = "ready"
    RECORDING = "recording"
    FAILED = "failed"


class Heat(enum.Enum):
    """How full a ring is: what the operator sees of back-pressure."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class ClockQuality(enum.Enum):
    """How far the epoch of a recording's times can be trusted."""

    NONE = "none"
    RTC = "rtc"
    NTP = "ntp"
    GPS = "gps"


@dataclass(frozen=True, slots=True)
class FrameSpec:
    """What every frame of one camera looks like."""

    shape: tuple[int, ...]
    """(height, width) or (height, width, channels)."""
    dtype: str
    """numpy name: "uint8", "uint16"."""
    pixel_format: str
    """GenICam-like: "MONO8", "BGR8", "MONO16", "BAYER_RG8"."""
    nominal_hz: float
    """Frames per second that the camera was asked for; the true times are in the frames."""

    @property
    def frame_bytes(self) -> int:
        """Bytes of pixels in one frame."""
        import numpy as np  # a command that only asks a daemon does without

        count = 1
        for extent in self.shape:
            count *= extent
        return count * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """All that is known of a grabbed frame but its pixels."""

    number: int
    """The camera's own integer; a gap means that the camera dropped frames."""
    monotonic_ns: int
    """CLOCK_BOOTTIME when the frame reached the host."""
    device_time_ns: int | None = None
    """The camera's own clock (Motif: ChunkTimestamp), where it has one."""
    packet_bytes: int | None = None
    """Where the camera gives encoded packets (pixel format H264, MJPEG): length of this one, which
    lies at the beginning of the slot's memory; None for pixels."""
    key: bool = True
    """Of a packet: whether decoding may begin with it."""


@dataclass(frozen=True, slots=True)
class LostFrames:
    """A run of frames that arrived and found our ring full."""

    first_number: int
    last_number: int
    count: int
    first_time_ns: int
    last_time_ns: int


@dataclass(frozen=True, slots=True)
class Export:
    """One encoded file of a recording, verified."""

    path: Path
    preset: str
    frame_count: int
    size_bytes: int
    digest: str
    verified_at_ns: int
    slice_number: int = 0
    """From 1 on, where the export was cut into slices; 0 where it is one file."""
    slice_count: int = 0
    """Slices that there are in all; 0 where it is one file."""
    unreadable: int = 0
    """Frames that could not be read in the raw store and so are not in the movie; the sidecar names
    them."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One verified copy of a recording (or of an export of it) at a destination."""

    destination: str
    path: str
    size_bytes: int
    verified_at_ns: int


@dataclass(frozen=True, slots=True)
class Recording:
    """One camera's frames from one start to one stop."""

    name: str
    uuid: str
    camera_serial: str
    path: Path
    state: RecordingState
    spec: FrameSpec | None
    frame_count: int
    first_time_ns: int | None
    last_time_ns: int | None
    dropped: int
    """Frames the camera skipped: gaps in its own numbers."""
    lost: int
    """Frames that arrived and found our ring full."""
    size_bytes: int
    created_utc: str
    timezone: str
    clock_quality: ClockQuality = ClockQuality.NONE
    user_metadata: dict[str, Any] = field(default_factory=dict)
    exports: tuple[Export, ...] = ()
    copies: tuple[Copy, ...] = ()
    has_raw: bool = True
    """False once the raw was deleted and only exports are left."""
    chunk_count: int = 0
    """Folders of the raw store that hold frames; 0 where that was not counted."""
    frame_files: int = 0
    """Files with one frame each; 0 for a store of videos, and where that was not counted."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What an export will come to, drawn from earlier ones like it."""

    size_bytes: int
    least_bytes: int
    most_bytes: int
    seconds: float
    """Of encoding and verifying, without any pause; 0 when nothing is known."""
    drawn_from: int
    """Exports that were looked at; 0: it is what the preset typically needs."""


@dataclass(frozen=True, slots=True)
class ExportProgress:
    """How far an export is that runs."""

    phase: str
    """"encoding", "joining", "verifying" or "committing"."""
    frames_done: int
    frames_total: int
    """In this phase."""
    frames_per_second: float
    """In this phase, pauses left out; 0 while not known."""
    size_bytes: int
    """Encoded so far."""


@dataclass(frozen=True, slots=True)
class Job:
    """One unit of deferred work on one recording; a row of the queue."""

    id: int
    kind: JobKind
    item: str
    """Name of the recording."""
    item_uuid: str
    destination: str | None
    preset: str | None
    delete_source: bool
    allow_battery: bool
    state: JobState
    reason: str
    """Why it waits, failed or was refused, or what came of it, in words and figures; or ""."""
    attempt: int
    done_bytes: int
    total_bytes: int
    created_ns: int
    changed_ns: int
    paused: bool = False
    """By the operator, until told to go on."""
    prediction: Prediction | None = None
    """Of an export; None while not known."""
    progress: ExportProgress | None = None
    """Of an export that runs; None for all others."""
    seconds_left: float | None = None
    """Of work that it still needs, pauses left out: by its own pace while it runs, before that by
    earlier ones like it; None while not known."""
    frees_bytes: int = 0
    """What its end gives back here: the raw that it deletes."""
    first: int = 0
    """Put before others by the operator: the highest goes first; 0 for most jobs."""
    destination_label: str = ""
    """What people call the destination: a drive's label. "" where it has none but its name."""
    cpu_s: float = 0.0
    """Processor seconds that it has used, over restarts; by the energy book's rule."""
    energy_mwh: float | None = None
    """What it drew from the battery, above the box's idling; None where nothing told the power."""


@dataclass(frozen=True, slots=True)
class DriveMarker:
    """What `fieldrec drive prepare` wrote on a drive."""

    id: str
    """Of this drive as a destination; it stays when the drive is given another label."""
    ours: bool
    """Whether this recorder wrote it, for this file system. What another says is not followed."""
    owner: str = ""
    """Sanitised, for showing: whose drive it is."""
    on_insert: str = ""
    """copy, move, export, nothing; "" = as configured."""
    cameras: tuple[str, ...] | None = None
    """Patterns of serials, () = all; None = as configured."""
    capacity_bytes: int = 0
    """The drive was found to be as large as this when it was marked; 0: it was not looked at."""


@dataclass(frozen=True, slots=True)
class Drive:
    """One file system on a removable block device."""

    fs_uuid: str
    label: str
    """Sanitised: printable ASCII only, at most 32 characters; never used to build a path."""
    device: str
    mount_point: Path | None
    fs_type: str
    link_mbps: int | None
    """Negotiated USB speed; USB3 is 5000 or more; None where it cannot be known."""
    size_bytes: int
    free_bytes: int
    state: DriveState
    reason: str = ""
    leases: int = 0
    insertion: int = 0
    """Counts up with each insertion since the start: the same drive put in again has another."""
    known: bool = False
    """Marked by this recorder, or named by its id or label in the configuration. An unknown drive
    may be anybody's: it gets copies, and nothing is ever deleted for it."""
    rule: int = -1
    """Which of `drives.rules` is for it, from 0; -1: none."""
    marker: DriveMarker | None = None
    """What the marker on it says; None: it has none that can be read, or it was not looked for."""
    visit: str = ""
    """What it is given now and how far that is, or what it got, in words and figures; "" while
    nothing is known."""
    suspect: str = ""
    """Why it must not be relied on; "" while there is no reason."""
    capacity_bytes: int = 0
    """It was found to be as large as this, when it was marked or later; 0: that is not known."""


@dataclass(frozen=True, slots=True)
class PowerState:
    """What the readings mean, with hysteresis."""

    level: PowerLevel
    charge_percent: float | None = None
    voltage_mv: int | None = None
    power_mw: int | None = None
    minutes_left: float | None = None
    source: str = ""
    reason: str = ""
    """Why this level, in words and figures ("charge 34 % < 40 %, back above 50 %")."""
    minutes_left_range: tuple[float, float] | None = None
    """Between these `minutes_left` most probably lies; None where it is unknown."""


@dataclass(frozen=True, slots=True)
class SpaceState:
    """How long the disks of the recordings last, judged with hysteresis. Whole bytes throughout."""

    tier: SpaceTier = SpaceTier.OK
    free_bytes: int = 0
    """What may still be written, over all recordings folders, until recording has to stop."""
    hours_left: float | None = None
    """At the present rate; None where nothing is written and nothing is expected to be."""
    bytes_per_hour: int = 0
    """That rate, smoothed; 0 while it is not known."""
    reason: str = ""
    """Why this tier, in words and figures ("9.5 h left < 12 h, at 40 GB/h"); "" for OK."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """All that admission may look at."""

    recording: bool
    recording_since_ns: int | None
    power: PowerState
    present_destinations: frozenset[str]
    """Names that can be written to now: folders that exist, drives that are READY."""
    free_bytes: int
    """On the file system of the recordings."""
    shutting_down: bool = False
    recovering: bool = False
    """Interrupted recordings are being completed: what is on disk may still change."""
    export_share: float = 0.0
    """Of the processor's time that an export may take while something is recorded; 0: none."""
    now_ns: int = 0
    """Epoch, by the wall clock."""
    timezone: str = "UTC"
    """IANA zone that moments are told in."""
    next_start_ns: int | None = None
    """When the schedule begins a recording next; None where it does not."""
    next_start_name: str = ""
    """Of that recording."""
    before_schedule_s: float = 0.0
    """No export that does not fit in begins, or goes on, so near to the next start."""
    quiet_until_ns: int | None = None
    """When the quiet hours end that it is in now; None outside of them."""
    quiet_from_ns: int | None = None
    """When quiet hours begin next; None where there are none."""
    temperature_c: float | None = None
    """Of the processor; None where it cannot be read."""
    max_temperature_c: float | None = None
    """Above it exports wait; None: never for that…"""
    back_temperature_c: float | None = None
    """…until it is below this again."""
    too_warm: bool = False
    """Whether they wait for that now, hysteresis included."""
    space: SpaceState = field(default_factory=SpaceState)
    export_on_battery_when_full: bool = False
    """Whether exports may run on battery from `space` ACT on: the disks would be full before mains
    is back."""
