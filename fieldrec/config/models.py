"""The whole configuration file. Every key is documented where it is declared.

`config/field.yaml` shows every key. Sizes accept plain bytes or "20 GB", "512 MiB"; durations are
seconds. Larger sections have a file of their own beside this one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from fieldrec.config.destinations import DestinationConfig
from fieldrec.config.drives import DrivesConfig
from fieldrec.config.energy import EnergyConfig
from fieldrec.config.exporting import ExportConfig
from fieldrec.config.idle import IdleConfig
from fieldrec.config.jobs import JobsConfig
from fieldrec.config.logbook import LogbookConfig
from fieldrec.config.power import PowerConfig
from fieldrec.config.recording import PrepareConfig, RecordConfig
from fieldrec.config.schedule import ScheduleConfig
from fieldrec.config.section import SAFE_NAME, Bytes, SafeName, Section, located
from fieldrec.config.sleep import SleepConfig
from fieldrec.config.space import SpaceConfig, contradiction


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
    deployment: SafeName = "deployment"
    """Name of the stay in the field that is being recorded: each has a record of its own
    (`fieldrec report`). `fieldrec deployment NAME` begins another one too."""
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
    space: SpaceConfig = Field(default_factory=SpaceConfig)
    energy: EnergyConfig = Field(default_factory=EnergyConfig)
    idle: IdleConfig = Field(default_factory=IdleConfig)
    jobs: JobsConfig = Field(default_factory=JobsConfig)
    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)
    logbook: LogbookConfig = Field(default_factory=LogbookConfig)
    sleep: SleepConfig = Field(default_factory=SleepConfig)
    console: tuple[ConsoleConfig, ...] = ()

    @field_validator("cameras", "destinations")
    @classmethod
    def _keys_are_safe(cls, value: dict[str, Any]) -> dict[str, Any]:
        for key in value:
            if not SAFE_NAME.match(key):
                raise located((key,), "this cannot be a name: use letters, digits, '.', '_', '-'")
        return value

    @field_validator("destinations")
    @classmethod
    def _no_drive_is_meant(cls, value: dict[str, Any]) -> dict[str, Any]:
        if "drive" in value:
            raise located(("drive",), "`--to drive` means the one drive that is in: choose another "
                                      "name")
        return value

    @model_validator(mode="after")
    def _serials_are_unique(self) -> Config:
        seen: dict[str, str] = {}
        for key, camera in self.cameras.items():
            serial = camera.serial or key
            if not SAFE_NAME.match(serial):
                raise located(("cameras", key, "serial"),
                               f"{serial!r} cannot be part of a file name: use letters, digits, "
                               "'.', '_', '-'")
            same = seen.setdefault(serial.casefold(), key)  # FAT and exFAT ignore case
            if same != key:
                raise located(("cameras", key, "serial"),
                               f"camera {same!r} has the same serial {serial!r}; give each its own")
        return self

    @model_validator(mode="after")
    def _it_can_be_switched_off(self) -> Config:
        sleep = self.sleep
        if sleep.mode != "never" and sleep.by == "power_off" and not self.power.poweroff_command:
            raise located(("sleep", "by"), "power_off needs `power.poweroff_command`")
        return self

    @model_validator(mode="after")
    def _room_can_be_made(self) -> Config:
        wrong = contradiction(self.space, self.storage.stop_percent, self.export.raw)
        if wrong is not None:
            raise located(("space", wrong[0]), wrong[1])
        return self
