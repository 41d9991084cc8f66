"""What a slow USB link costs, in words."""

from __future__ import annotations

import pytest

from fieldrec.drives.link import is_slow, refusal, seconds_for, warning


@pytest.mark.parametrize(("mbps", "slow"), [
    (None, False), (1, True), (12, True), (480, True), (5000, False), (10000, False),
    (20000, False)])
def test_what_is_slow(mbps: int | None, slow: bool) -> None:
    assert is_slow(mbps) == slow


@pytest.mark.parametrize(("mbps", "going", "text"), [
    (480, 212 * 10**9, "on USB 2 (480 Mb/s): 212 GB will take about 1 h 50 min, and as long again "
                       "to compare; use a blue port"),
    (480, 0, "on USB 2 (480 Mb/s); use a blue port"),
    (12, 36 * 10**8, "on USB 1 (12 Mb/s): 3.6 GB will take about 1 h, and as long again to "
                     "compare; use a blue port"),
    (1, 9 * 10**6, "on USB 1 (1 Mb/s): 9.0 MB will take about 1 min, and as long again to "
                   "compare; use a blue port"),
])
def test_what_it_costs(mbps: int, going: int, text: str) -> None:
    assert warning(mbps, going) == text


def test_a_link_never_takes_longer_when_it_is_faster() -> None:
    times = [seconds_for(mbps, 10**9) for mbps in (0, 1, 2, 12, 100, 480, 4999)]
    assert times == sorted(times, reverse=True)


def test_why_it_is_kept_out() -> None:
    assert refusal(480) == ("on USB 2 (480 Mb/s), and drives.require_usb3 is set; use a blue port "
                            "and a USB 3 cable")
