"""The RTC's alarm: set, read back, and never believed without."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldrec.power.rtc import Alarm, NoAlarm, Rtc
from tests.fakes.rtc import KernelRtc

NOW = 1_795_000_000
LATER = NOW + 3600


@pytest.fixture
def files() -> KernelRtc:
    return KernelRtc(lambda: NOW)


@pytest.fixture
def rtc(files: KernelRtc) -> Rtc:
    return Rtc("rtc0", files)


def test_an_alarm_is_set_and_read_back(files: KernelRtc, rtc: Rtc) -> None:
    assert rtc.alarm(NOW) is None
    assert rtc.wake_at(LATER, NOW) == Alarm(LATER, 0)
    assert (files.wakes_at_s, rtc.alarm(NOW)) == (LATER, Alarm(LATER, 0))
    assert files.writes == ["0", str(LATER)]  # the kernel refuses a second alarm: EBUSY


def test_another_one_takes_its_place_and_the_same_one_is_not_touched(files: KernelRtc, rtc: Rtc
                                                                     ) -> None:
    rtc.wake_at(LATER, NOW)
    rtc.wake_at(LATER - 600, NOW)
    assert files.wakes_at_s == LATER - 600
    files.writes.clear()
    rtc.wake_at(LATER - 600, NOW)
    assert files.writes == []
    rtc.clear()
    assert files.wakes_at_s is None


@pytest.mark.parametrize("off_s", [3600, -5 * 3600, 20_700, 13 * 3600, 3600 + 40, -80, 3])
def test_an_rtc_in_local_time_or_adrift_wakes_at_the_true_moment(
        files: KernelRtc, rtc: Rtc, off_s: int) -> None:
    files.off_s = off_s
    assert rtc.wake_at(LATER, NOW) == Alarm(LATER, off_s)
    assert files.wakes_at_s == LATER


def test_an_rtc_of_whole_minutes_wakes_earlier_never_later(files: KernelRtc, rtc: Rtc) -> None:
    files.whole_minutes = True
    alarm = rtc.wake_at(LATER + 59, NOW)
    assert LATER < alarm.at_s <= LATER + 59
    assert alarm.at_s % 60 == 0


@pytest.mark.parametrize(("trouble", "why"), [
    ({"there": False}, "no RTC at rtc0; see /sys/class/rtc and `sleep.rtc`"),
    ({"can_wake": False}, "rtc0 cannot wake this machine: it has no `wakealarm`"),
    ({"knows_time": False}, "rtc0 does not know the time (Invalid argument): set it"),
    ({"off_s": -NOW + 77}, "rtc0 has lost its time (it shows 77 s since 1970): its battery"),
    ({"off_s": 500}, "rtc0 is 500 s ahead of the system's clock; set the wrong one"),
    ({"off_s": -86_400}, "rtc0 is 86400 s behind the system's clock"),
    ({"farthest_s": 3599}, "is refused (Invalid argument): perhaps too far ahead"),
    ({"read_only": True}, "is refused (Permission denied): fieldrec must run as root"),
    ({"forgets": True}, "shows no alarm: it cannot be relied on"),
    ({"set_by_others": LATER + 9}, "is refused (Device or resource busy): another program"),
])
def test_what_cannot_be_relied_on_is_said(files: KernelRtc, rtc: Rtc, trouble: dict[str, object],
                                          why: str) -> None:
    for name, value in trouble.items():
        setattr(files, name, value)
    with pytest.raises(NoAlarm) as caught:
        rtc.wake_at(LATER, NOW)
    assert why in str(caught.value)


def test_an_alarm_that_is_over_is_refused_here_for_the_kernel_is_silent(
        files: KernelRtc, rtc: Rtc) -> None:
    files.write("wakealarm", str(NOW))  # no error, and no alarm
    assert files.alarm_s is None
    for at_s in (NOW, NOW - 1, 0):
        with pytest.raises(NoAlarm, match="is not ahead of now"):
            rtc.wake_at(at_s, NOW)


def test_what_was_set_before_stays_when_the_new_one_is_refused(files: KernelRtc, rtc: Rtc) -> None:
    rtc.wake_at(LATER, NOW)
    files.farthest_s = 3600
    with pytest.raises(NoAlarm, match="too far ahead"):
        rtc.wake_at(LATER + 86_400, NOW)
    assert files.wakes_at_s == LATER


def test_the_files_of_sysfs(tmp_path: Path) -> None:
    """Read and written where the kernel has them; a number that is none is said."""
    rtc = Rtc.at(tmp_path)
    with pytest.raises(NoAlarm, match="no RTC at "):
        rtc.alarm(NOW)
    (tmp_path / "since_epoch").write_text(f"{NOW + 2}\n")
    with pytest.raises(NoAlarm, match="has no `wakealarm`"):
        rtc.alarm(NOW)
    with pytest.raises(NoAlarm, match="has no `wakealarm`"):
        rtc.clear()
    alarm = tmp_path / "wakealarm"
    alarm.write_text("")
    assert rtc.alarm(NOW) is None
    alarm.write_text(f"{LATER + 2}\n")
    assert rtc.alarm(NOW) == rtc.wake_at(LATER, NOW) == Alarm(LATER, 2)
    rtc.clear()
    assert alarm.read_text().startswith("0")
    for name in ("wakealarm", "since_epoch"):
        (tmp_path / name).write_text("?")
        with pytest.raises(NoAlarm, match=f"{name} is no number"):
            rtc.alarm(NOW)
