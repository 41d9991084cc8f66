"""Every configuration key, documented where it is declared.

Unknown keys are errors: a misspelt `durabilty_s` must not silently mean the default. Sizes accept
plain bytes or "20 GB", "512 MiB"; durations are seconds. `config/field.yaml` shows every key.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

_SIZE = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*(?:([kKMGT])(i?))?[bB]?\s*$")
_POWERS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}
SAFE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
"""What may become part of a file name on any file system a drive may carry."""


def parse_size(value: object) -> object:
    """Bytes from 1048576, "20 GB" (10^9) or "512 MiB" (2^20); anything else is left to pydantic."""
    if isinstance(value, bool):  # YAML's yes and no, which pydantic takes for 1 and 0
        raise ValueError("expected a size, not yes or no")
    if isinstance(value, str):
        match = _SIZE.match(value)
        if match is None:
            raise ValueError("expected a size such as 500 MB, 1.5 GiB or a number of bytes")
        number, unit, binary = match.groups()
        return int(float(number) * (1024 if binary else 1000) ** _POWERS[unit or ""])
    return value


def check_safe_name(value: str) -> str:
    """`value`, or ValueError saying what a name may consist of."""
    if not SAFE_NAME.match(value):
        raise ValueError("use letters, digits, '.', '_' and '-' only (at most 100 characters)")
    return value


SafeName = Annotated[str, AfterValidator(check_safe_name)]
Bytes = Annotated[int, BeforeValidator(parse_size), Field(ge=0)]


def _located(path: tuple[str, ...], message: str) -> PydanticCustomError:
    """An error about a key below the one that is being validated; :class:`Document` finds its
    line."""
    return PydanticCustomError("located", "{message}", {"path": path, "message": message})


class Section(BaseModel):
    """A mapping in the file: unknown keys forbidden, values frozen after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class StorageConfig(Section):
    """Where recordings go, and when to stop because the disk fills."""

    directory: Path = Path("recordings")
    """Folder of the recordings; relative to the configuration file. It must exist."""
    directories: tuple[Path, ...] = ()
    """Further folders, best on other disks: recording goes on in the first of them that can be
    written when `directory` cannot (full, read-only, I/O error)."""
    mount_points: tuple[Path, ...] = ()
    """Where the disks of these folders are mounted. A folder below one of them is not used, and
    nothing is written there, while nothing is mounted on it: the empty folder underneath looks
    like a good one and is on another disk."""
    stop_percent: float = Field(default=94.0, gt=0, le=100)
    """Recording stops in order, and does not start, when the file system is this full."""
    reserve_bytes: Bytes = 500_000_000
    """…or when less than this is free, whichever comes first."""


class StoreConfig(Section):
    """How frames are laid out and how soon they survive a power cut."""

    chunksize: int = Field(default=200, ge=2, le=100_000)
    """Frames per chunk directory."""
    durability_s: float = Field(default=1.0, ge=0.1, le=60)
    """A frame older than this is there after a power cut (I8)."""
    write: Literal["auto", "direct", "buffered"] = "auto"
    """How frames reach the disk. `auto` measures while it records: past the page cache where the
    file system allows it and gains by it, else through it."""


class SplitConfig(Section):
    """When a recording goes on in a new one, without losing a frame; whichever comes first."""

    seconds: float | None = Field(default=None, ge=1)
    bytes: Annotated[int, BeforeValidator(parse_size), Field(ge=1_000_000)] | None = None
    frames: int | None = Field(default=None, ge=2)


class MotionConfig(Section):
    """When `record.trigger` is `motion`: what counts as motion, and how much is kept around it."""

    threshold: float = Field(default=12.0, gt=0, le=255)
    """How much a pixel must have changed, in grey levels of 8 bits, to count as changed."""
    area_percent: float = Field(default=0.5, gt=0, le=100)
    """Share of the picture that must have changed for motion to begin…"""
    leave_percent: float = Field(default=0.2, ge=0, le=100)
    """…and below which it is over."""
    frames: int = Field(default=2, ge=1, le=1000)
    """In so many looks one after the other, so that a single flash begins nothing."""
    look_hz: float = Field(default=5.0, gt=0, le=120)
    """Looks a second; each costs about what a thousandth of the pixels cost."""
    postroll_s: float = Field(default=3.0, ge=0, le=3600)
    """Kept after motion was seen last; what comes before it is `record.preroll_s`."""

    @model_validator(mode="after")
    def _thresholds_are_ordered(self) -> MotionConfig:
        if self.leave_percent > self.area_percent:
            raise ValueError("expected leave_percent <= area_percent")
        return self


class RecordConfig(Section):
    """Recording sessions."""

    autostart: bool = False
    """Start recording from every camera as soon as the daemon runs."""
    name: SafeName = "recording"
    """First part of the name of recordings started without one."""
    duration_s: float | None = Field(default=None, gt=0)
    """Length of recordings started without one; none means until stopped."""
    ring_s: float = Field(default=2.0, gt=0, le=60)
    """Seconds of frames that each camera's ring holds while the disk is busy."""
    ring_max_bytes: Bytes = 512 * 1024 * 1024
    """Upper bound of all cameras' rings together; wins over `ring_s` and `preroll_s`."""
    preroll_s: float = Field(default=0.0, ge=0, le=60)
    """Seconds before a start that are kept too: cameras run, and cost energy, all the time."""
    split_after: SplitConfig = Field(default_factory=SplitConfig)
    """Length or size at which a recording goes on in a new one; none: never."""
    trigger: Literal["none", "motion"] = "none"
    """`motion`: after a start only what moves is kept, in a recording for each event."""
    motion: MotionConfig = Field(default_factory=MotionConfig)
    metadata: dict[str, Any] = Field(default_factory=dict)
    """User metadata written into every recording."""


class PrepareConfig(Section):
    """What is done to every frame before it is stored, in this order. A mosaic (BAYER_…) stays one
    where that can be: the pattern moves with region, flip and rotation; else it is refused."""

    every_nth: int = Field(default=1, ge=1, le=1_000_000)
    """Keep one frame of so many; frame_number is the camera's divided by it, rounded down."""
    region: tuple[int, int, int, int] | None = None
    """x, y, width, height in pixels of the camera's picture."""
    binning: Literal[1, 2, 4, 8] = 1
    """Mean of so many pixels in both directions."""
    scale: float = Field(default=1.0, gt=0, le=1)
    """Size of the stored picture against the camera's, by area interpolation."""
    grey: bool = False
    """Colour to MONO8 (weights of ITU-R BT.601)."""
    rotate: Literal[0, 90, 180, 270] = 0
    """Degrees clockwise; Motif's MotifImageRotate."""
    flip: Literal["none", "horizontal", "vertical", "both"] = "none"
    """After the rotation; horizontal: left becomes right."""


class CameraConfig(Section):
    """One camera; the key in `cameras:` is its name in commands."""

    backend: str
    """Module in fieldrec/camera: synthetic, file, opencv (V4L2), network, basler, genicam…"""
    serial: str | None = None
    """Serial as the backend knows it; part of the recording's name. Default: the key."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The backend's own keys; `fieldrec config check` validates them too."""
    prepare: PrepareConfig = Field(default_factory=PrepareConfig)
    """What is done to frames before they are stored."""
    metadata: dict[str, Any] = Field(default_factory=dict)
    """User metadata of this camera's recordings, over `record.metadata`."""


_BITRATE = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*([kM])bit/s\s*\Z")


def parse_bitrate(value: object) -> object:
    """Bits per second from "800 kbit/s" or "4 Mbit/s"; a bare number would not say of what."""
    match = _BITRATE.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a rate such as 800 kbit/s or 4.5 Mbit/s")
    return round(float(match[1]) * (1_000 if match[2] == "k" else 1_000_000))


def _word(value: object) -> object:
    """What YAML takes for a number or a switch, as the word that encoders take."""
    if isinstance(value, bool):
        return "1" if value else "0"
    return format(value, "g") if isinstance(value, int | float) else value


def _rate_word(value: object) -> object:
    return "true" if value is True else _word(value)  # `rate: true` is a word to people


Word = Annotated[str, BeforeValidator(_word)]


class SliceConfig(Section):
    """When an export goes on in a new movie; whichever comes first."""

    seconds: float | None = Field(default=None, ge=1)
    bytes: Annotated[int, BeforeValidator(parse_size), Field(ge=1_000_000)] | None = None


class OwnPresetConfig(Section):
    """A preset of one's own; the key in `export.presets:` is its name. What a codec's encoder takes
    of it is checked by export/own_presets.py."""

    codec: str = "h264"
    """h264, hevc, vp9, av1, or ffv1, which loses nothing."""
    container: Literal["mp4", "mkv", "avi"] | None = None
    """None: the codec's usual one. avi needs a constant `rate`."""
    crf: int | None = None
    """Quality on the codec's scale, lower is better; the built-in presets' when neither this nor
    `bitrate` is given."""
    bitrate: Annotated[int, BeforeValidator(parse_bitrate), Field(ge=10_000, le=1_000_000_000)
                       ] | None = None
    """Mean rate instead of a quality, such as 4 Mbit/s."""
    speed: Word | None = None
    """The encoder's speed preset: veryfast for h264, 5 for vp9…"""
    pixel_format: str | None = None
    """yuv420p; yuv444p or, of mono cameras, yuv420p10le where the codec takes it."""
    keyframe_s: float = Field(default=1.0, gt=0, le=3600)
    """Seconds from key frame to key frame: how far a player decodes when it seeks."""
    threads: int = Field(default=0, ge=0, le=64)
    """Of the encoder; 0: as many as it wants."""
    encoder: str = "software"
    """software; auto: the machine's hardware encoder where one works; or the name of one."""
    rate: Annotated[str, BeforeValidator(_rate_word)] = "true"
    """true: every frame at its own time; native: evenly spaced, at the camera's nominal rate; or
    a rate in Hz."""
    slice_after: SliceConfig = Field(default_factory=SliceConfig)
    """Length or size at which an export goes on in a new movie; none: never."""
    crop: tuple[int, int, int, int] | None = None
    """x, y, width, height in pixels of the recording."""
    scale: float = Field(default=1.0, gt=0, le=1)
    """Of both sides, after the crop; or `width` and `height`."""
    width: int | None = Field(default=None, ge=1, le=65_535)
    height: int | None = Field(default=None, ge=1, le=65_535)
    rotate: Literal[0, 90, 180, 270] = 0
    """Degrees clockwise."""
    flip: Literal["none", "horizontal", "vertical", "both"] = "none"
    """After the rotation; horizontal: left becomes right."""
    options: dict[str, Word] = Field(default_factory=dict)
    """The encoder's own, such as tune: grain; one that it does not take is an error."""

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> OwnPresetConfig:
        if self.crf is not None and self.bitrate is not None:
            raise ValueError("expected crf (a quality) or bitrate, not both")
        if self.scale != 1 and (self.width is not None or self.height is not None):
            raise ValueError("expected scale or a width and height, not both")
        return self


class ExportConfig(Section):
    """Deferred encoding."""

    automatic: bool = True
    """Queue an export of every recording when it is complete."""
    preset: str = "High"
    """Preset of automatic exports and of commands that name none."""
    allow_battery: bool = False
    """Let exports run on battery (level BATTERY; never at LOW)."""
    raw: Literal["keep", "delete_verified", "delete_when_offloaded"] = "keep"
    """What becomes of the raw of a recording whose export with `preset` was verified:
    `delete_when_offloaded` deletes it once the export was also copied, and compared, to a
    destination. Never where a frame could not be read, or is missing in the export."""
    while_recording: Literal["wait", "throttled"] = "wait"
    """`wait`: exports are held while something is recorded. `throttled`: they take
    `throttle_share` of the processor's time, as long as the ring keeps nearly empty."""
    throttle_share: float = Field(default=0.25, ge=0.05, le=0.9)
    """Of the time that an export may run beside a recording."""
    presets: dict[str, OwnPresetConfig] = Field(default_factory=dict)
    """Presets of one's own, by name."""


class DestinationConfig(Section):
    """A named place to copy to; the key in `destinations:` is its name."""

    type: Literal["folder"] = "folder"
    path: Path
    """Existing folder, outside the recordings folder; relative to the configuration file."""
    automatic: bool = False
    """Queue a copy of every recording (raw and exported) when it is complete."""


class DrivesConfig(Section):
    """Removable drives."""

    enabled: bool = True
    match: dict[str, str] = Field(default_factory=lambda: {"ID_BUS": "usb"})
    """udev properties that a block device must have, all of them, to count as a drive."""
    on_insert: Literal["copy", "nothing"] = "copy"
    """`copy`: give the drive every complete recording and export it lacks, then eject it."""
    mount_root: Path = Path("/run/fieldrec/drives")
    """Folder in which drives are mounted, one private folder each."""
    folder: SafeName = "fieldrec"
    """Folder on the drive that receives recordings."""
    file_systems: tuple[str, ...] = ("ext4", "exfat", "vfat", "ntfs", "ntfs3", "xfs", "btrfs")
    """File-system types that may be mounted; any other drive is rejected."""
    keep_free_bytes: Bytes = 50_000_000
    """Left free on the drive."""


class PowerConfig(Section):
    """Battery and mains, and what their readings mean."""

    source: Literal["sysfs", "mains"] = "sysfs"
    """`sysfs` reads /sys/class/power_supply; `mains` says there is no battery to watch."""
    path: Path = Path("/sys/class/power_supply")
    poll_s: float = Field(default=10.0, ge=0.05, le=600)
    low_percent: float = Field(default=25.0, ge=0, le=100)
    """At or below this charge on battery the level is LOW…"""
    low_leave_percent: float = Field(default=35.0, ge=0, le=100)
    """…until it is above this again, or on mains."""
    critical_percent: float = Field(default=10.0, ge=0, le=100)
    """At or below this charge on battery recordings are closed in order."""
    critical_leave_percent: float = Field(default=15.0, ge=0, le=100)
    dwell_s: float = Field(default=30.0, ge=0)
    """A worse level must be read for this long before it is believed."""
    unreadable_s: float = Field(default=120.0, ge=0)
    """A battery that cannot be read for this long counts as LOW."""
    poweroff_command: tuple[str, ...] = ()
    """Run after the orderly stop at CRITICAL, e.g. [systemctl, poweroff]; empty: keep running."""

    @model_validator(mode="after")
    def _thresholds_are_ordered(self) -> PowerConfig:
        if not (self.critical_percent < self.critical_leave_percent
                <= self.low_leave_percent and self.low_percent < self.low_leave_percent
                and self.critical_percent <= self.low_percent):
            raise ValueError("expected critical_percent < critical_leave_percent and "
                             "critical_percent <= low_percent < low_leave_percent")
        return self


class ConsoleConfig(Section):
    """A serial line or TTY that shows the status and takes commands."""

    device: Path
    """e.g. /dev/ttyUSB0, /dev/ttyGS0, /dev/pts/3"""
    baud: Literal[9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600] = 115200
    interval_s: float = Field(default=5.0, ge=0.1, le=3600)
    """A status line at least this often, and at every change (at most ten a second)."""
    commands: bool = True
    """Whether start, stop and eject are taken from it; status and help always are."""


class SystemConfig(Section):
    """The box."""

    name: SafeName = "fieldrec"
    """Shown in the status, so that several boxes can be told apart."""
    timezone: str = "UTC"
    """IANA zone of recording names and of `timezone_local` in stores."""
    shutdown_budget_s: float = Field(default=30.0, gt=0)
    """After this an orderly stop names what is stuck and exits all the same."""

    @field_validator("timezone")
    @classmethod
    def _timezone_exists(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("expected an IANA time zone such as UTC or Europe/Vienna") from error
        return value


class Config(Section):
    """The whole file."""

    system: SystemConfig = Field(default_factory=SystemConfig)
    storage: StorageConfig = Field(default_factory=StorageConfig)
    store: StoreConfig = Field(default_factory=StoreConfig)
    record: RecordConfig = Field(default_factory=RecordConfig)
    cameras: dict[str, CameraConfig] = Field(default_factory=dict)
    export: ExportConfig = Field(default_factory=ExportConfig)
    destinations: dict[str, DestinationConfig] = Field(default_factory=dict)
    drives: DrivesConfig = Field(default_factory=DrivesConfig)
    power: PowerConfig = Field(default_factory=PowerConfig)
    console: tuple[ConsoleConfig, ...] = ()

    @field_validator("cameras", "destinations")
    @classmethod
    def _keys_are_safe(cls, value: dict[str, Any]) -> dict[str, Any]:
        for key in value:
            if not SAFE_NAME.match(key):
                raise _located((key,), "this cannot be a name: use letters, digits, '.', '_', '-'")
        return value

    @model_validator(mode="after")
    def _serials_are_unique(self) -> Config:
        seen: dict[str, str] = {}
        for key, camera in self.cameras.items():
            serial = camera.serial or key
            if not SAFE_NAME.match(serial):
                raise _located(("cameras", key, "serial"),
                               f"{serial!r} cannot be part of a file name: use letters, digits, "
                               "'.', '_', '-'")
            same = seen.setdefault(serial.casefold(), key)  # FAT and exFAT ignore case
            if same != key:
                raise _located(("cameras", key, "serial"),
                               f"camera {same!r} has the same serial {serial!r}; give each its own")
        return self
