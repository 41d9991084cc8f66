"""The cheaper way while there is time; the way that carries more when the ring is nearly full."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldrec.core.model import Heat
from fieldrec.record import write_mode
from fieldrec.record.write_mode import (
    AGAIN_NS,
    LEAST_TURNS,
    RATE_LOOKS,
    STALE_NS,
    TURNS,
    WriteMode,
)

QUARTER_NS = 250_000_000
FRAME_BYTES = 1_310_720


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    write_mode._known.clear()
    yield
    write_mode._known.clear()


class Storing:
    """A store thread whose frames take what they take either way, four looks a second."""

    def __init__(self, past_us: float, through_us: float, hz: float = 60.0,
                 policy: write_mode.Policy = "auto") -> None:
        self.mode = WriteMode(policy, cpu_ns=lambda: int(self._cpu_ns))
        self.us = {True: past_us, False: through_us}
        self.hz = hz
        self.now_ns = 0
        self.extra_us = 0.0
        """The end of a chunk, in the next quarter of a second."""
        self._count = self._cpu_ns = 0.0

    def look(self, heat: Heat = Heat.NONE) -> bool:
        frames = self.hz / 4
        self._count += frames
        self._cpu_ns += (frames * self.us[self.mode.past_cache] + self.extra_us) * 1000
        self.extra_us = 0.0
        self.now_ns += QUARTER_NS
        return self.mode.look(heat, int(self._count), self.now_ns)

    def looks(self, count: int, heat: Heat = Heat.NONE) -> list[bool]:
        return [self.look(heat) for _ in range(count)]


def test_each_way_has_its_turns_and_the_cheaper_is_kept() -> None:
    for past_us, through_us in ((300.0, 900.0), (900.0, 300.0)):
        storing = Storing(past_us, through_us)
        storing.looks(1 + 2 * TURNS)
        assert set(storing.looks(20)) == {past_us < through_us}


def test_a_plain_difference_ends_the_turns_sooner() -> None:
    near, far = Storing(300.0, 300.0), Storing(300.0, 900.0)
    assert [each.looks(20).count(False) for each in (near, far)] == [TURNS, LEAST_TURNS]


def test_what_the_kernel_does_later_counts_too() -> None:
    storing = Storing(300.0, 280.0)
    assert set(storing.looks(20)[-10:]) == {True}


@pytest.mark.parametrize("turn", range(2 * TURNS))
def test_the_end_of_a_chunk_decides_nothing(turn: int) -> None:
    storing = Storing(300.0, 400.0)
    storing.looks(1 + turn)
    storing.extra_us = 100_000.0
    assert set(storing.looks(20)[-10:]) == {True}


def test_a_slow_camera_is_measured_too() -> None:
    storing = Storing(900.0, 300.0, hz=4.0)
    assert set(storing.looks(2 + 2 * TURNS * write_mode.TURN_FRAMES)[-1:]) == {False}


def test_what_was_measured_on_a_file_system_is_remembered(tmp_path: Path) -> None:
    first = Storing(900.0, 300.0)
    first.mode.begin(tmp_path, FRAME_BYTES)
    first.looks(20)
    second = Storing(900.0, 300.0)
    second.mode.begin(tmp_path, FRAME_BYTES)
    assert not second.mode.past_cache
    assert set(second.looks(20)) == {False}
    other_size = Storing(300.0, 900.0)
    other_size.mode.begin(tmp_path, 2 * FRAME_BYTES)
    assert len(set(other_size.looks(10))) == 2


def test_going_to_another_file_system_measures_there(tmp_path: Path) -> None:
    storing = Storing(300.0, 900.0)
    storing.mode.begin(tmp_path, FRAME_BYTES)
    storing.looks(20)
    storing.mode.begin(tmp_path, FRAME_BYTES)  # the next recording
    assert set(storing.looks(20)) == {True}
    storing.mode.begin(Path("/proc"), FRAME_BYTES)
    assert len(set(storing.looks(10))) == 2
    storing.mode.begin(tmp_path / "gone", FRAME_BYTES)


def test_another_rate_is_measured_anew_but_not_all_the_time() -> None:
    storing = Storing(300.0, 900.0)
    storing.looks(20)
    storing.us = {True: 900.0, False: 300.0}
    storing.hz = 200.0
    assert set(storing.looks(RATE_LOOKS + 20)) == {True}
    storing.now_ns += AGAIN_NS
    storing.looks(2)  # a look at a silence of a minute, and one that begins the turns
    assert set(storing.looks(30)[-10:]) == {False}


def test_a_burst_of_another_rate_changes_nothing() -> None:
    storing = Storing(300.0, 900.0)
    storing.looks(20 + AGAIN_NS // QUARTER_NS)
    storing.hz = 200.0
    decisions = storing.looks(RATE_LOOKS - 1)
    storing.hz = 60.0
    assert set(decisions + storing.looks(20)) == {True}


def test_silence_is_no_rate() -> None:
    storing = Storing(300.0, 900.0)
    storing.looks(20)
    storing.hz = 0.0
    assert set(storing.looks(400)) == {True}


@pytest.mark.parametrize("policy", ["direct", "buffered"])
def test_what_is_configured_is_done(policy: write_mode.Policy, tmp_path: Path) -> None:
    storing = Storing(300.0, 300.0, policy=policy)
    storing.mode.begin(tmp_path, FRAME_BYTES)
    decisions = [storing.mode.past_cache, *storing.looks(20), *storing.looks(20, Heat.HIGH)]
    assert set(decisions) == {policy == "direct"}


# --- while the ring is nearly full ---------------------------------------------------------------

def simulate(past_hz: float, through_hz: float, looks: int) -> list[bool]:
    """The decisions on a disk that carries so many frames a second either way, ring full."""
    mode, count, decisions = WriteMode(), 0.0, []
    for number in range(looks):
        count += (past_hz if mode.past_cache else through_hz) / 4
        decisions.append(mode.look(Heat.HIGH, int(count), number * QUARTER_NS))
    return decisions


def test_a_full_ring_tries_the_cache_and_keeps_what_carries_more() -> None:
    assert simulate(100.0, 400.0, 12).count(False) >= 10
    assert simulate(400.0, 100.0, 12).count(True) >= 10


def test_the_slower_way_is_tried_again_for_disks_change() -> None:
    looks = 4 * (3 * STALE_NS // 1_000_000_000)
    decisions = simulate(400.0, 100.0, looks)
    tried = [number for number, past in enumerate(decisions) if not past]
    assert 2 <= len(tried) <= 5


class SlowDisk:
    """A full ring; the cache takes what comes, the disk what it can, counted in frames a second."""

    def __init__(self, disk_hz: float, cache_hz: float, folder: Path) -> None:
        self.disk_hz, self.cache_hz = disk_hz, cache_hz
        self._waiting = 0.0
        self._count = 0.0
        self._now_ns = 0
        self.mode = WriteMode(waiting_bytes=lambda: int(self._waiting) * FRAME_BYTES)
        self.mode.begin(folder, FRAME_BYTES)

    def look(self) -> bool:
        taken = self.disk_hz if self.mode.past_cache else self.cache_hz
        self._waiting += (0.0 if self.mode.past_cache else taken / 4) - self.disk_hz / 4
        self._waiting = max(0.0, self._waiting)
        self._count += taken / 4
        self._now_ns += QUARTER_NS
        return self.mode.look(Heat.HIGH, int(self._count), self._now_ns)


def test_what_only_waits_in_the_cache_was_not_carried(tmp_path: Path) -> None:
    disk = SlowDisk(100.0, 800.0, tmp_path)
    assert [disk.look() for _ in range(20)].count(False) <= 3


def test_the_cache_takes_frames_while_the_disk_stands_still(tmp_path: Path) -> None:
    disk = SlowDisk(0.0, 800.0, tmp_path)
    disk.look()
    assert not any(disk.look() for _ in range(8))


def test_what_the_kernel_says_of_its_cache(tmp_path: Path) -> None:
    said = tmp_path / "meminfo"
    assert write_mode.bytes_in_cache(said) == 0
    said.write_text("MemTotal: 9 kB\nDirty: 3 kB\nWriteback: 2 kB\nWritebackTmp: 7 kB\n")
    assert write_mode.bytes_in_cache(said) == 5 * 1024
    assert write_mode.bytes_in_cache() >= 0


def test_back_to_the_cheaper_way_once_there_is_room_and_measured_anew_later() -> None:
    storing = Storing(300.0, 900.0)
    storing.looks(20)
    assert False in storing.looks(4, Heat.HIGH)
    assert set(storing.looks(20)) == {True}
    storing.now_ns += AGAIN_NS
    assert len(set(storing.looks(20))) == 2
