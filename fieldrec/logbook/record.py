"""What a deployment came to, as values: recordings, gaps with their causes, figures. Pure.

**A gap** is time in which a camera should have recorded and did not: from an end that nobody wanted
(lost camera, full disk, battery, crash, fieldrec stopped) until it recorded again or its scheduled
window was over, and every missed window. A stop by the operator, a length or a trigger makes none.
**Planned** time is what was recorded and the gaps together.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from fieldrec.logbook.causes import Cause
from fieldrec.logbook.thinned import Curve


@dataclass(slots=True)
class Recorded:
    """One recording, as far as it is known."""

    camera: str
    name: str
    began_ns: int
    """First frame where that is known, else the start; as the clock said then."""
    ended_ns: int | None = None
    """Last frame; None while it is being recorded, or where nobody knows."""
    reason: str = ""
    """Why it ended; "" while it has not, or where nobody knows."""
    uuid: str = ""
    frames: int | None = None
    dropped: int = 0
    lost: int = 0
    size_bytes: int = 0
    clock: str = ""
    """How far the epoch of its times can be trusted: "gps", "ntp", "rtc", "none"."""
    exact: bool = False
    """Whether the figures are those of the finished recording."""
    recovered: bool = False
    shift_ns: int = 0
    """To be added to its times: the clock was set later, while the box ran on."""

    @property
    def from_ns(self) -> int:
        """When it began, by the clock that was right."""
        return self.began_ns + self.shift_ns

    @property
    def until_ns(self) -> int:
        """When it ended; its beginning where that is not known."""
        return (self.began_ns if self.ended_ns is None else self.ended_ns) + self.shift_ns

    @property
    def seconds(self) -> float:
        return max(self.until_ns - self.from_ns, 0) / 1e9


@dataclass(frozen=True, slots=True)
class Gap:
    """Time that was not recorded and should have been."""

    camera: str
    from_ns: int
    until_ns: int
    cause: Cause
    detail: str
    """In the words of who knew."""
    task: str = ""
    still: bool = False
    """It was not over when the record ended."""

    @property
    def seconds(self) -> float:
        return max(self.until_ns - self.from_ns, 0) / 1e9


@dataclass(frozen=True, slots=True)
class Missing:
    """Frames that are not in a recording."""

    camera: str
    name: str
    dropped: int
    lost: int
    from_ns: int
    until_ns: int


@dataclass(frozen=True, slots=True)
class Happening:
    """Something at one moment."""

    time_ns: int
    kind: str
    text: str
    severity: str = "info"


@dataclass(slots=True)
class Record:
    """A deployment."""

    box: str = ""
    deployment: str = ""
    from_ns: int = 0
    until_ns: int = 0
    cameras: list[str] = field(default_factory=list)
    recordings: list[Recorded] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)
    charge: Curve = field(default_factory=Curve)
    """Percent."""
    volts: Curve = field(default_factory=Curve)
    watts: Curve = field(default_factory=Curve)
    celsius: Curve = field(default_factory=Curve)
    levels: list[tuple[int, str]] = field(default_factory=list)
    """(time_ns, power level) at each change."""
    clock_steps: list[tuple[int, float]] = field(default_factory=list)
    """(time_ns, seconds)."""
    ends: Counter[str] = field(default_factory=Counter)
    """How often fieldrec began, by how it had ended before."""
    jobs: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By (what, state)."""
    copied_bytes: Counter[str] = field(default_factory=Counter)
    """By destination."""
    drives: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Label and visits of each, by its file system's identity."""
    place: tuple[float, float] | None = None
    versions: dict[str, str] = field(default_factory=dict)
    configs: list[tuple[int, str, str]] = field(default_factory=list)
    """(time_ns, digest, text) of each that was used."""
    entries: int = 0
    entries_dropped: int = 0
    not_listed: int = 0
    """Happenings beyond MOST_HAPPENINGS."""

    def recorded_s(self, camera: str) -> float:
        """Seconds from first to last frame, over all recordings of a camera."""
        return sum(one.seconds for one in self.recordings if one.camera == camera)

    def unexplained(self) -> list[Gap]:
        return [gap for gap in self.gaps if gap.cause is Cause.UNEXPLAINED]
