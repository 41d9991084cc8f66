"""What goes into a deployment's record: the kinds of entries, and how anybody makes one.

Pure. Parts of the box that know something which no snapshot shows (why a window was missed, that
the box sleeps) are handed a :class:`Note`; the rest is drawn from the snapshots by
``app/keeping_log.py``. The words of a kind are in files that are read years later: they are never
given another meaning, and a reader keeps what it does not know.
"""

from __future__ import annotations

import enum
from typing import Protocol

JsonValue = (str | int | float | bool | None | list["JsonValue"] | tuple["JsonValue", ...]
             | dict[str, "JsonValue"])
"""What a fact may be. Times are epoch nanoseconds, ``<what>_ns``."""


class Note(Protocol):
    """Puts one entry into the record. On the loop; never blocks, never raises."""

    def __call__(self, kind: str, text: str, **facts: JsonValue) -> None:
        """`kind`: one of :class:`Kind`; `text`: one line for people; `facts`: as the kind says."""
        ...


class Kind(enum.StrEnum):
    """What happened; under each its facts. A fact that is not known is left out."""

    FILE = "file"
    """First line of each file: format, box, deployment, program."""
    ENTRIES_DROPPED = "entries_dropped"
    """The record itself could not be written for a while: count, from_ns, until_ns."""
    STARTED = "started"
    """fieldrec began to run: program, previous ("first", "in order", "killed", "power cut"),
    last_ns (the last line before), pid."""
    STOPPED = "stopped"
    """fieldrec ended in order: reason, over (it was a command that has done its work, not the
    daemon). Where it is missing, it was killed or power was cut."""
    VERSIONS = "versions"
    """fieldrec, kernel, python, machine, and one fact for each library."""
    CONFIG = "config"
    """The configuration as it is used: digest, yaml (secrets left out)."""
    PLACE = "place"
    """Where the box stands: latitude, longitude (degrees), source."""
    RECORDING_BEGAN = "recording_began"
    """camera, name, began_ns."""
    RECORDING_ENDED = "recording_ended"
    """camera, name, reason, began_ns, ended_ns (the last frame), frames, dropped, lost, bytes: as
    known at that moment."""
    RECORDING = "recording"
    """A recording that is complete on disk, in exact figures: name, uuid, serial, frames, dropped,
    lost, bytes, first_ns, last_ns, clock, recovered (after a crash)."""
    FRAMES_MISSING = "frames_missing"
    """Frames that were dropped or lost while recording: camera, name, dropped, lost (both since
    the entry before), from_ns, until_ns."""
    CAMERA = "camera"
    """A camera failed or is back, is paused or goes on: camera, state ("failed", "ready", "paused",
    "recording"), problem."""
    WANTED = "wanted"
    """A camera that does not record is to do so (wanted: true), or no longer: camera, wanted,
    since_ns, reason (why it does not; why it is no longer to)."""
    WINDOW = "window"
    """A scheduled recording: task, begins_ns, ends_ns, cameras (names; all where left out)."""
    WINDOW_MISSED = "window_missed"
    """A scheduled recording, or part of it, that did not happen: task, begins_ns, ends_ns, cause,
    cameras (names; all where left out)."""
    SLEPT = "slept"
    """The box goes to sleep: until_ns, reason."""
    WOKE = "woke"
    """The box is awake again: reason, slept_s."""
    LEASE_DROPPED = "lease_dropped"
    """Something held the box awake longer than it may: who, held_s."""
    POWER_OFF = "power_off"
    """The box closes, and then switches the machine off unless it is fed meanwhile: reason."""
    POWER = "power"
    """level, charge_percent, voltage_mv, power_mw, minutes_left, source, reason."""
    TEMPERATURE = "temperature"
    """celsius."""
    SPACE = "space"
    """tier, free_bytes, total_bytes, hours_left, reason."""
    CLOCK_STEP = "clock_step"
    """The wall clock was set: moved_s (above 0: forward)."""
    DRIVE_IN = "drive_in"
    """label, fs_uuid, size_bytes, free_bytes."""
    DRIVE_OUT = "drive_out"
    """label, fs_uuid, free_bytes, safe (whether it was said to be)."""
    DRIVE_REJECTED = "drive_rejected"
    """label, fs_uuid, reason."""
    JOB = "job"
    """A job ended: job, what, item, destination, preset, state, reason, bytes, took_s (from its
    beginning in the queue)."""
    EVENT = "event"
    """A warning or an error that was shown: severity, times (how often since the entry before)."""
