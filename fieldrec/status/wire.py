"""The words on a serial line: pure bytes <-> values, no I/O. Used by the console, one line a piece.

Every line is printable ASCII, ends in ``*HH\\r\\n`` and at most MOST_LINE bytes long; HH is the XOR
of all bytes before the ``*`` (a leading ``$`` not counted) as two capital hex digits. Values never
contain ``$``, ``*`` or ``,``, whatever labels and errors contain.

Status::

    $FREC,<seq>,rec=1,cam=2/2,frames=10500,drop=0,lost=0,disk=41.2,left=730,pwr=MAINS,chg=,
      job=copy:45,jobs=3,drv=BEES1:READY,heat=LOW,err=,stop=0,name=box,age=0,t=20261121T060012Z*HH

| key    | meaning                                                                              |
|--------|--------------------------------------------------------------------------------------|
| seq    | counts every status line made, 0 to 99999; a gap: lines replaced before they were sent |
| rec    | 1 while recording                                                                    |
| cam    | cameras that are well / cameras configured                                           |
| frames | frames handed to the stores, all cameras                                             |
| drop   | frames that cameras skipped                                                          |
| lost   | frames that arrived and found our ring full                                          |
| disk   | percent of the recordings' file system in use                                        |
| left   | minutes until the disks are full, at the present or expected rate; empty: not known  |
| pwr    | MAINS BATTERY LOW CRITICAL UNKNOWN                                                   |
| chg    | battery charge in percent; empty: not known                                          |
| job    | running job as kind:percent, else wait:reason, else none                             |
| jobs   | number of unfinished jobs                                                            |
| drv    | the drive that matters most as label:STATE (SAFE before all others), else none       |
| heat   | fullest ring: NONE LOW MEDIUM HIGH                                                   |
| err    | the first problem in words (what is stuck, when the box stops); empty: none          |
| stop   | 1 while the box stops in order                                                       |
| name   | name of the box                                                                      |
| age    | seconds since the values were collected: more than a few means the box is stuck      |
| t      | UTC of the box when the line was made                                                |

Only while they say something, and as far as there is room (``err`` is shorter then)::

| pause  | 1: the cameras run and nothing is kept                                               |
| arm    | cameras that wait for their trigger                                                  |
| pre    | frames held back from before a start                                                 |
| lrun   | first-last number of the latest run of lost frames                                   |
| space  | WARN ACT STOP: how near the disks are to being full                                  |
| dir    | which recordings folder is in use, 2 for the second                                  |
| skew   | ms between the first frames of cameras started together                              |
| next   | local time at which the schedule records next: 20:14, Mon 20:14, 2026-11-21 20:14    |
| clk    | 1: the clock is known to be wrong                                                    |

A reader must ignore keys it does not know: more may follow. Lines that are not a status are replies
(``OK ...``, ``ERR ...``) or announcements (``SAFE TO REMOVE <label>``).

Commands, one per line, upper or lower case, ended by CR, LF or both: ``status``, ``start [name]``,
``stop``, ``pause``, ``resume``, ``step [frames]``, ``split``, ``configure camera name=value``,
``export all|name… [preset]``, ``eject [drive]``, ``help``. Backspace works; there is no echo. A
line that begins as one of ours does (``$``, ``OK``, ``ERR``, ``SAFE``) is not answered: two boxes
on one cable, or a peer that echoes, would otherwise talk for ever.
"""

from __future__ import annotations

import functools
import math
import operator
import re
from datetime import UTC, datetime

from fieldrec.core.model import CameraState, Drive, DriveState, Heat, JobState, SpaceTier
from fieldrec.core.snapshot import Snapshot
from fieldrec.status import words

MOST_LINE = 400
"""Longest line we send, in bytes, with its end."""
MOST_COMMAND = 256
"""Longest line we take, in bytes."""
MOST_PROBLEM = 60
"""Longest `err`, with the fields that are seldom there."""
MOST_SEQ = 100_000
_MOST_NUMBER = 999_999_999_999
_END = re.compile(rb"[\r\n]")
_OURS = (b"$", b"OK", b"ERR", b"SAFE")
_DRIVE_ORDER = (DriveState.SAFE, DriveState.EJECTING, DriveState.READY, DriveState.MOUNTING,
                DriveState.REJECTED, DriveState.SEEN)
_HEAT_ORDER = (Heat.NONE, Heat.LOW, Heat.MEDIUM, Heat.HIGH)


def checksum(payload: bytes) -> str:
    """XOR of all bytes, as two capital hex digits."""
    return f"{functools.reduce(operator.xor, payload, 0):02X}"


def reply_line(text: str) -> bytes:
    """A reply or announcement as it goes over the wire; cut to what a line may hold."""
    payload = _clean(text, MOST_LINE - 5, forbidden="$*").encode("ascii")
    return b"%s*%s\r\n" % (payload, checksum(payload).encode())


def status_fields(snapshot: Snapshot) -> str:
    """The part of a status line that tells whether anything has changed."""
    recorders, storage = snapshot.recorders, snapshot.storage
    well = sum(r.state in (CameraState.READY, CameraState.RECORDING) for r in recorders)
    hottest = max((_HEAT_ORDER.index(r.heat) for r in recorders), default=0)
    more = _more(snapshot)
    return ",".join((
        f"rec={int(snapshot.recording)}",
        f"cam={well}/{len(recorders)}",
        f"frames={_number(sum(r.frame_count for r in recorders))}",
        f"drop={_number(sum(r.dropped for r in recorders))}",
        f"lost={_number(sum(r.lost for r in recorders))}",
        f"disk={_decimal(storage.used_percent, 1)}",
        f"left={_decimal(words.minutes_left(snapshot), 0)}",
        f"pwr={snapshot.power.level.name}",
        f"chg={_decimal(snapshot.power.charge_percent, 0)}",
        f"job={_job(snapshot)}",
        f"jobs={_number(sum(not job.state.finished for job in snapshot.jobs))}",
        f"drv={_drive(snapshot)}",
        f"heat={_HEAT_ORDER[hottest].name}",
        f"err={_problem(snapshot)[:MOST_PROBLEM - sum(len(field) + 1 for field in more)]}",
        f"stop={int(snapshot.stopping)}",
        f"name={_clean(snapshot.name, 24)}",
        *more,
    ))


def _more(snapshot: Snapshot) -> list[str]:
    """Fields that are seldom there; they take the room of the problem in words."""
    recorders, folders = snapshot.recorders, snapshot.storage.folders
    lost = max((run for r in recorders for run in r.lost_runs),
               key=lambda run: run.last_time_ns, default=None)
    in_use = next((number for number, one in enumerate(folders, 1) if one.in_use), 1)
    fields = [
        "pause=1" if any(r.paused for r in recorders) else "",
        f"arm={armed}" if (armed := sum(r.armed for r in recorders)) else "",
        f"pre={_number(held)}" if (held := sum(r.preroll_frames for r in recorders)) else "",
        "" if snapshot.space.tier is SpaceTier.OK else f"space={snapshot.space.tier.name}",
        f"dir={in_use}" if in_use > 1 else "",
        "" if snapshot.skew_ms is None else f"skew={_decimal(snapshot.skew_ms, 1)}",
        "" if lost is None else f"lrun={_number(lost.first_number)}-{_number(lost.last_number)}",
        "clk=1" if snapshot.schedule.clock_problem else "",
        f"next={at}" if (at := _clean(snapshot.schedule.next_at, 16)) else "",
    ]
    kept: list[str] = []
    for field in fields:
        if field and sum(len(one) + 1 for one in kept) + len(field) < MOST_PROBLEM:
            kept.append(field)
    return kept


def status_line(seq: int, fields: str, age_s: float, epoch_ns: int) -> bytes:
    """A whole status line. `fields` from :func:`status_fields`."""
    try:
        now = f"{datetime.fromtimestamp(epoch_ns // 1_000_000_000, UTC):%Y%m%dT%H%M%SZ}"
    except (ValueError, OverflowError, OSError):
        now = ""
    age = _number(int(max(age_s, 0)))
    payload = f"FREC,{seq % MOST_SEQ},{fields},age={age},t={now}".encode("ascii")
    return b"$%s*%s\r\n" % (payload, checksum(payload).encode())


def parse_command(line: bytes) -> tuple[str, str] | None:
    """(verb in lower case, argument or "") of one line; None for what gets no answer: an empty
    line, or one of our own that came back. Verb "" means not a command at all."""
    line = line.strip(b" \t\0")
    if not line or line.upper().startswith(_OURS):
        return None
    if any(byte < 0x20 or byte > 0x7E for byte in line):
        return "", ""
    verb, _, argument = line.decode("ascii").partition(" ")
    return verb.lower(), argument.strip()


class LineReader:
    """Bytes as they come -> whole lines; holds at most MOST_COMMAND bytes, whatever comes."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._too_long = False

    @property
    def held_bytes(self) -> int:
        """Bytes of the line that has not ended yet."""
        return len(self._held)

    def feed(self, data: bytes) -> list[bytes | None]:
        """The lines that ended in `data`, without their ends; None for each that was too long.
        Empty lines are left out (a CR LF ends one line, not two)."""
        *ended, rest = _END.split(data)
        lines: list[bytes | None] = []
        for piece in ended:
            self._add(piece)
            if self._too_long:
                lines.append(None)
            elif self._held:
                lines.append(bytes(self._held))
            self._held.clear()
            self._too_long = False
        self._add(rest)
        return lines

    def _add(self, piece: bytes) -> None:
        for byte in piece[:MOST_COMMAND * 4]:
            if byte in (0x08, 0x7F):
                del self._held[-1:]
            elif len(self._held) < MOST_COMMAND:
                self._held.append(byte)
            else:
                self._too_long = True
        if len(piece) > MOST_COMMAND * 4:
            self._too_long = True


def _clean(text: str, limit: int, forbidden: str = "$*,") -> str:
    """Printable ASCII with none of the characters that mean something on the wire."""
    kept = words.ascii_text(text, limit)
    return "".join("_" if c in forbidden else c for c in kept).strip()


def _number(value: int) -> str:
    return str(min(max(value, 0), _MOST_NUMBER))


def _decimal(value: float | None, digits: int) -> str:
    if value is None or not math.isfinite(value):
        return ""
    return f"{min(max(value, 0.0), 1e9):.{digits}f}"


def _job(snapshot: Snapshot) -> str:
    for job in snapshot.jobs:
        if not job.state.finished and job.state not in (JobState.QUEUED, JobState.WAITING):
            return f"{job.kind.value}:{words.percent_done(job)}"
    for job in snapshot.jobs:
        if not job.state.finished:
            return f"wait:{_clean(job.reason or job.state.value, 40)}"
    return "none"


def most_important_drive(snapshot: Snapshot) -> Drive | None:
    """The drive a person waits for: one that may be pulled out, else one in use."""
    present = [drive for drive in snapshot.drives if drive.state in _DRIVE_ORDER]
    return min(present, key=lambda drive: _DRIVE_ORDER.index(drive.state), default=None)


def _drive(snapshot: Snapshot) -> str:
    drive = most_important_drive(snapshot)
    if drive is None:
        return "none"
    return f"{_clean(words.drive_label(drive), 24).replace(':', '_')}:{drive.state.name}"


def _problem(snapshot: Snapshot) -> str:
    if snapshot.stuck:
        return _clean(f"stuck: {' '.join(snapshot.stuck)}", MOST_PROBLEM)
    for recorder in snapshot.recorders:
        if recorder.problem:
            return _clean(f"{recorder.key}: {recorder.problem}", MOST_PROBLEM)
    for folder in snapshot.storage.folders:
        if folder.problem:
            return _clean(folder.problem, MOST_PROBLEM)
    for part, problem in snapshot.parts:
        if problem:
            return _clean(f"{part}: {problem}", MOST_PROBLEM)
    return ""
