"""How fast disks fill: what is written, smoothed; over recordings, splits, pauses and deletions."""

from __future__ import annotations

import pytest

from fieldrec.core.model import CameraState
from fieldrec.core.snapshot import RecorderStatus
from fieldrec.record.space_rate import HOUR_NS, SmoothRate, SpaceRate, WrittenBytes

GB = 10**9
S = 10**9


def recorder(key: str, name: str, written: int) -> RecorderStatus:
    return RecorderStatus(key, key, CameraState.RECORDING, recording=name, written_bytes=written)


def test_written_bytes_only_grow() -> None:
    written = WrittenBytes()
    assert written.look([recorder("a", "one", 100), recorder("b", "uno", 5)]) == 105
    assert written.look([recorder("a", "one", 150), recorder("b", "uno", 5)]) == 155
    assert written.look([recorder("a", "two", 20), recorder("b", "uno", 6)]) == 176  # a split
    assert written.look([recorder("a", "two", 10)]) == 186  # begun anew under the same name
    assert written.look([]) == 186
    assert written.look([recorder("a", "two", 10), recorder("b", "uno", 9)]) == 189


def test_a_steady_rate_is_exact_and_a_change_is_followed() -> None:
    rate = SmoothRate(smooth_ns=600 * S, settle_ns=5 * S)
    count = 0
    for second in range(100):
        rate.look(count, second * S)
        assert (rate.bytes_per_hour() is None) == (second < 5)
        count += 100_000_000
    assert rate.bytes_per_hour() == 360 * GB
    for second in range(100, 3100):
        rate.look(count, second * S)
    assert 0 <= (rate.bytes_per_hour() or 0) < 5 * GB


def test_bursts_are_smoothed() -> None:
    """Motion: ten seconds of every minute are kept."""
    rate = SmoothRate(smooth_ns=600 * S, settle_ns=5 * S)
    count, said = 0, []
    for second in range(3600):
        rate.look(count, second * S)
        if second > 1200:
            said.append(rate.bytes_per_hour() or 0)
        count += 60_000_000 if second % 60 < 10 else 0
    assert min(said) > 0.8 * 36 * GB and max(said) < 1.2 * 36 * GB


def test_times_that_do_not_go_on_are_left_out() -> None:
    rate = SmoothRate(smooth_ns=600 * S, settle_ns=S)
    for at, count in ((0, 0), (2 * S, 2000), (2 * S, 10**15), (S, 10**15), (4 * S, 4000)):
        rate.look(count, at)
    assert rate.bytes_per_hour() == 3_600_000


def test_huge_figures() -> None:
    rate = SmoothRate(smooth_ns=600 * S, settle_ns=S)
    rate.look(0, 0)
    rate.look(2**62, 1)
    rate.look(2**63, 2 * S)
    assert (rate.bytes_per_hour() or 0) > 2**63


def test_what_is_recorded_now_comes_first_then_the_last_then_free_room() -> None:
    rate = SpaceRate()
    now, free, written = 0, 1000 * GB, 0

    def run(seconds: int, *, write: int, recording: bool, net: int = 0) -> None:
        nonlocal now, free, written
        for _ in range(seconds):
            now += S
            written += write
            free -= write + net
            rate.look(written_bytes=written, free_bytes=free, total_bytes=2000 * GB,
                      recording=recording, now_ns=now)

    run(10, write=0, recording=False)
    assert rate.bytes_per_hour() == 0
    assert rate.bytes_per_hour(recorded=40 * GB) == 0  # no schedule says when
    assert rate.bytes_per_hour(recorded=40 * GB, share=0.25) == 10 * GB
    run(3, write=10_000_000, recording=True)
    assert rate.bytes_per_hour(recorded=40 * GB) == 40 * GB  # not settled yet
    run(60, write=10_000_000, recording=True, net=-10**9)  # somebody deletes meanwhile
    assert rate.bytes_per_hour(recorded=40 * GB, share=0.25) == 36 * GB
    run(2, write=0, recording=False)
    assert rate.bytes_per_hour(recorded=40 * GB, share=0.5) == 18 * GB  # the last one, not older
    assert rate.bytes_per_hour(share=7.0) == 36 * GB
    assert rate.bytes_per_hour() == 0
    run(2 * 3600, write=0, recording=False, net=1_000_000)
    assert rate.bytes_per_hour() == pytest.approx(3.6 * GB, rel=1e-3)
    run(20 * 3600 // 10, write=0, recording=False, net=-1_000_000)  # room comes back
    assert 0 <= rate.bytes_per_hour() < 3.6 * GB


def test_a_box_that_waits_for_motion_goes_by_the_last_recordings() -> None:
    rate = SpaceRate()
    for second in range(100):
        rate.look(written_bytes=0, free_bytes=GB, total_bytes=9 * GB, recording=True,
                  now_ns=second * S)
    assert rate.bytes_per_hour(recorded=7 * GB) == 7 * GB
    assert rate.bytes_per_hour() == 0
    assert SmoothRate(HOUR_NS, 0).bytes_per_hour() is None


def test_a_disk_that_goes_was_not_used_up() -> None:
    rate = SpaceRate()
    for minute in range(600):
        away = minute >= 300  # one of two disks fails
        rate.look(written_bytes=0, free_bytes=(500 if away else 1500) * GB,
                  total_bytes=(1000 if away else 2000) * GB, recording=False,
                  now_ns=minute * 60 * S)
        assert rate.bytes_per_hour() == 0
