"""The real-time clock's alarm: what wakes a machine that sleeps or is switched off.

Blocking but short (sysfs); called in a worker. Nobody sleeps on an alarm that was not read back.

What the kernel's sysfs files do (Documentation/ABI/testing/rtc-cdev and drivers/rtc/sysfs.c):
``since_epoch`` is the clock in seconds, in the RTC's *own* time zone, and EINVAL while it does not
know the time (its battery was empty). ``wakealarm`` is there only where the alarm can wake the
machine; it reads as seconds in the same time zone, or as nothing while no alarm is set. Writing a
number ahead of the RTC sets it, EBUSY where one is set already; a number that is not ahead switches
the alarm off without a word, and so does 0. A driver refuses (EINVAL, ERANGE, EDOM) what its
registers do not hold, for some of them anything more than a day ahead; some know only whole
minutes.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fieldrec.core.errors import StateError

AS_ONE_S = 90
"""An RTC that differs by no more than this shows the same time, drift included."""
ZONE_STEP_S, WIDEST_ZONE_S = 900, 14 * 3600
"""Civil time differs from UTC by whole quarters of an hour, up to fourteen hours."""
OLDEST_S = 1_577_836_800
"""2020-01-01: an RTC that shows less has lost its time."""
MINUTE_S = 60
"""An alarm of whole minutes may come this much earlier than asked; never later."""
SINCE_EPOCH, WAKE_ALARM = "since_epoch", "wakealarm"


class NoAlarm(StateError):
    """The RTC cannot be relied on to wake the machine; the message says why and what to do."""


class Attributes(Protocol):
    """The files of one RTC. OSError as from the kernel."""

    def read(self, name: str) -> str:
        """What the file says."""
        ...

    def write(self, name: str, text: str) -> None:
        """One write(2) of all of `text`."""
        ...


class SysfsAttributes:
    """The files of an RTC as the kernel shows them, e.g. /sys/class/rtc/rtc0."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, name: str) -> str:
        return (self._path / name).read_text(encoding="ascii", errors="replace")

    def write(self, name: str, text: str) -> None:
        descriptor = os.open(self._path / name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode("ascii"))
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm that was read back from the RTC."""

    at_s: int
    """Epoch (UTC) at which it wakes the machine."""
    off_s: int
    """How far the RTC is ahead of UTC: 0 or a drift of seconds, or a time zone."""


class Rtc:
    """One real-time clock. `name` is for messages."""

    def __init__(self, name: str, attributes: Attributes) -> None:
        self._name = name
        self._files = attributes

    @classmethod
    def at(cls, path: Path) -> Rtc:
        """The RTC with this folder in sysfs."""
        return cls(str(path), SysfsAttributes(path))

    def off_s(self, now_s: int) -> int:
        """How far the RTC is ahead of the wall clock `now_s`. NoAlarm when it has lost its time."""
        shown_s = self._shown_s()
        off_s = shown_s - now_s
        from_zone_s = abs((off_s + ZONE_STEP_S // 2) % ZONE_STEP_S - ZONE_STEP_S // 2)
        if shown_s < OLDEST_S:
            raise NoAlarm(f"{self._name} has lost its time (it shows {shown_s} s since 1970): "
                          "its battery is empty; replace it, then `hwclock --systohc`")
        if from_zone_s > AS_ONE_S or abs(off_s) > WIDEST_ZONE_S + AS_ONE_S:
            raise NoAlarm(f"{self._name} is {abs(off_s)} s {'ahead of' if off_s > 0 else 'behind'} "
                          "the system's clock; set the wrong one of the two (`hwclock`)")
        return off_s

    def alarm(self, now_s: int) -> Alarm | None:
        """The alarm that is set now; None for none. NoAlarm where there can be none."""
        off_s = self.off_s(now_s)
        set_s = self._alarm_s()
        return None if set_s is None else Alarm(set_s - off_s, off_s)

    def wake_at(self, at_s: int, now_s: int) -> Alarm:
        """Set the alarm to `at_s` and read it back; both are seconds since the epoch, UTC.

        An alarm that is set so already is not touched. NoAlarm: none is set for then, and one
        that was set before is there again where that could be done.
        """
        off_s = self.off_s(now_s)
        wanted_s = at_s + off_s
        if at_s <= now_s:
            raise NoAlarm(f"{self._name}: {at_s} is not ahead of now ({now_s})")
        before_s = self._alarm_s()
        if not _fits(before_s, wanted_s):
            self._replace(before_s, wanted_s)
        found_s = self._alarm_s()
        if found_s is None or not _fits(found_s, wanted_s):
            raise NoAlarm(f"{self._name} was told to wake at {wanted_s} and shows "
                          f"{'no alarm' if found_s is None else found_s}: it cannot be relied on")
        return Alarm(found_s - off_s, off_s)

    def clear(self) -> None:
        """No alarm any more. NoAlarm where there can be none."""
        self._write("0")

    def _replace(self, before_s: int | None, wanted_s: int) -> None:
        """Put another alarm in place of the one that is set."""
        self._write("0")
        try:
            self._write(str(wanted_s))
        except NoAlarm:
            if before_s is not None:
                self._write(str(before_s))
            raise

    def _shown_s(self) -> int:
        """The time that the RTC shows."""
        try:
            return int(self._files.read(SINCE_EPOCH))
        except FileNotFoundError:
            raise NoAlarm(f"no RTC at {self._name}; see /sys/class/rtc and `sleep.rtc`") from None
        except OSError as error:
            raise NoAlarm(f"{self._name} does not know the time ({error.strerror}): set it with "
                          "`hwclock --systohc`, or replace its battery") from error
        except ValueError as error:
            raise NoAlarm(f"{self._name}/{SINCE_EPOCH} is no number ({error})") from error

    def _alarm_s(self) -> int | None:
        """The alarm in the RTC's own time."""
        try:
            text = self._files.read(WAKE_ALARM).strip()
            return int(text) if text else None
        except FileNotFoundError:
            raise self._cannot_wake() from None
        except OSError as error:
            raise NoAlarm(f"{self._name}/{WAKE_ALARM}: {error.strerror}") from error
        except ValueError as error:
            raise NoAlarm(f"{self._name}/{WAKE_ALARM} is no number ({error})") from error

    def _write(self, text: str) -> None:
        try:
            self._files.write(WAKE_ALARM, text)
        except FileNotFoundError:
            raise self._cannot_wake() from None
        except OSError as error:
            raise NoAlarm(f"{self._name}: an alarm at {text} is refused "
                          f"({error.strerror}){_advice(error)}") from error

    def _cannot_wake(self) -> NoAlarm:
        return NoAlarm(f"{self._name} cannot wake this machine: it has no `{WAKE_ALARM}`")


def _fits(found_s: int | None, wanted_s: int) -> bool:
    """Whether this alarm is the wanted one, rounded down to a minute at most."""
    return found_s is not None and wanted_s - MINUTE_S < found_s <= wanted_s


def _advice(error: OSError) -> str:
    if error.errno == errno.EBUSY:
        return ": another program sets it too"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ": fieldrec must run as root, and systemd's unit must let it write to sysfs"
    if error.errno in (errno.EINVAL, errno.ERANGE, errno.EDOM):
        return ": perhaps too far ahead for it; try a shorter `sleep.longest_s`"
    return ""
