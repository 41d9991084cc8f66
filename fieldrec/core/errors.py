"""Every error that fieldrec raises on purpose, as one tree.

    FieldrecError                       exit  transient
    ├─ ConfigError                         3      no     the configuration is wrong: file, line, key
    │  └─ ScheduleError                    3      no     a cron line, window or place is wrong
    ├─ UsageError                          4      no     a command or name is wrong
    ├─ NotFoundError                       5      no     no such recording, destination, job
    ├─ StateError                          6      no     not allowed in the present state
    ├─ ShutdownStuck                       8     yes     the orderly stop did not end in its budget
    ├─ LockedError                         7     yes     another fieldrec works on this folder
    ├─ CameraError                        10      no     a camera did not do what it should
    │  ├─ CameraLost                      11     yes     it was there and is gone
    │  ├─ CameraTimeout                   12     yes     no frame in time
    │  └─ CameraEnded                     10      no     a finite source has played out (no fault)
    ├─ StoreError                         20      no
    │  ├─ StoreFull                       21     yes     no room: on the disk, or by our own limits
    │  ├─ StoreDamaged                    22      no     what is on disk breaks an invariant
    │  ├─ SyncFailed                      23      no     the disk refused to make data durable
    │  ├─ FilesMissing                    24      no     files that a history knows are gone
    │  ├─ FilesExtra                      25      no     files that no history knows
    │  └─ HistoryDamaged                  26      no     a history that cannot be relied on
    ├─ DriveError                         30      no
    │  ├─ DriveGone                       31     yes     pulled out
    │  ├─ DriveBusy                       32     yes     somebody holds it
    │  └─ DriveRejected                   33      no     not fit for use, with what to do
    ├─ PowerError                         50     yes     a power source cannot be read
    └─ JobError                           40      no
       ├─ JobRefused                      41      no     cannot ever run as asked
       ├─ VerifyMismatch                  42      no     read-back differs from what was written
       │  └─ DriveCounterfeit             42      no     a drive keeps less than it says
       ├─ EncoderFailed                   43      no     the encoder process failed
       │  └─ EncoderKilled                43     yes     somebody, or want of memory, killed it
       └─ DestinationError                44     yes     a destination cannot be used now
          ├─ DestinationFull              44     yes     it has not the room that is needed
          └─ DestinationAway              44     yes     it is not there, whoever asks: jobs wait
             └─ Unreachable               44     yes     nobody answers; waited for without end

The message says what is wrong, where, and what the operator should do. ``exit_code`` is the
process exit code of a command that fails with it; ``transient`` says whether trying again later,
with nothing changed by hand, can succeed. Exit codes 1 (a bug: traceback) and 2 (command-line
syntax, by click) are not in the tree. 130 means interrupted by a second signal.
"""

from __future__ import annotations


class FieldrecError(Exception):
    """Root of the tree; catch this at the edges (CLI, console, job queue) and nowhere else."""

    exit_code: int = 9
    transient: bool = False


class ConfigError(FieldrecError):
    """The configuration cannot be used."""

    exit_code = 3


class ScheduleError(ConfigError):
    """A cron line, a window or a place cannot be used; the message shows which part."""


class UsageError(FieldrecError):
    """A command, an argument or a name is wrong."""

    exit_code = 4


class NotFoundError(FieldrecError):
    """No recording, destination, job or file of that name."""

    exit_code = 5


class StateError(FieldrecError):
    """The verb is not allowed in the present state, or a state machine was driven wrongly."""

    exit_code = 6


class LockedError(FieldrecError):
    """Another fieldrec process owns this recordings folder or store (I3)."""

    exit_code = 7
    transient = True


class ShutdownStuck(FieldrecError):
    """The orderly stop took longer than its budget; the process must leave at once, whatever its
    threads still wait for. The invariants make that safe."""

    exit_code = 8
    transient = True


class CameraError(FieldrecError):
    """A camera could not be opened or used."""

    exit_code = 10


class CameraLost(CameraError):
    """The camera was open and is gone (cable, power, driver)."""

    exit_code = 11
    transient = True


class CameraTimeout(CameraError):
    """No frame arrived within the time allowed."""

    exit_code = 12
    transient = True


class CameraEnded(CameraError):
    """A finite source (a video file without loop) has no more frames: an orderly end."""


class StoreError(FieldrecError):
    """A store cannot be read or written."""

    exit_code = 20


class StoreFull(StoreError):
    """There is no room for another frame."""

    exit_code = 21
    transient = True


class StoreDamaged(StoreError):
    """What is on disk breaks an invariant."""

    exit_code = 22


class SyncFailed(StoreError):
    """The kernel could not make written data durable; it is never asked twice for the same data."""

    exit_code = 23


class FilesMissing(StoreError):
    """Files that a history knows are not there."""

    exit_code = 24


class FilesExtra(StoreError):
    """There are files that no history knows."""

    exit_code = 25


class HistoryDamaged(StoreError):
    """A history cannot be relied on: its chain or a manifest is not what it was."""

    exit_code = 26


class DriveError(FieldrecError):
    """A removable drive cannot be used."""

    exit_code = 30


class DriveGone(DriveError):
    """The drive was pulled out while it was leased."""

    exit_code = 31
    transient = True


class DriveBusy(DriveError):
    """The drive is held by somebody."""

    exit_code = 32
    transient = True


class DriveRejected(DriveError):
    """The drive is not fit for use; the message says what to do."""

    exit_code = 33


class PowerError(FieldrecError):
    """A source of power readings cannot be read: a gauge, a UPS's server, a program."""

    exit_code = 50
    transient = True


class JobError(FieldrecError):
    """A job failed."""

    exit_code = 40


class JobRefused(JobError):
    """The job cannot run as asked, now or later."""

    exit_code = 41


class VerifyMismatch(JobError):
    """What was read back differs from what was written; the source is kept."""

    exit_code = 42


class DriveCounterfeit(VerifyMismatch):
    """A drive keeps less than it says; nothing was deleted for it."""


class EncoderFailed(JobError):
    """The encoder process ended with an error."""

    exit_code = 43


class EncoderKilled(EncoderFailed):
    """The encoder process was killed: by hand, or because memory ran out. Nothing is wrong with
    what it encoded; it can go on."""

    transient = True


class DestinationError(JobError):
    """A destination is missing, full or refuses writing."""

    exit_code = 44
    transient = True


class DestinationFull(DestinationError):
    """What is to be written does not fit; nothing is wrong with the destination."""


class DestinationAway(DestinationError):
    """A destination is not there at all: not mounted, not answering, its network away, its host
    unknown. It says nothing against a job: that waits until somebody or something brings it
    back."""

    progressed = False
    """Whether it was there for a while before."""


class Unreachable(DestinationAway):
    """A computer somewhere else does not answer. In the field that may be so for days: a job waits
    for as long as it takes, and goes on where it was."""

    def __init__(self, message: str, *, progressed: bool = False) -> None:
        """`progressed`: it did answer for a while before."""
        super().__init__(message)
        self.progressed = progressed
