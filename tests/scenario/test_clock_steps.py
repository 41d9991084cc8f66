"""A wall clock that is set while the daemon records: an hour back, a day forward, to 1985, standing
still. Frame times go on smoothly, each step is written down, names never meet, and what was
recorded in 1985 is a recording like any other, for us and for the real imgstore."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path

import imgstore
import pytest

from fieldrec.catalogue.check import check
from fieldrec.store.reader import StoreReader
from tests.fakes.commands import Daemon, daemon, fieldrec, fieldrec_json, leftovers, write_config
from tests.fakes.rigs import extra_data
from tests.fakes.stepped_clock import LIBRARY, SteppedClock

HZ = 25
HOUR_S = 3600.0
DAY_S = 86400.0
THEN = dt.datetime(1985, 6, 1, 12, 0, 0, tzinfo=dt.UTC)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(LIBRARY is None, reason="needs libfaketime (Debian package libfaketime)")]


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SteppedClock]:
    """The clock of all programs that this test starts."""
    stepped = SteppedClock(tmp_path / "clock")
    for name, value in stepped.environment.items():
        monkeypatch.setenv(name, value)
    yield stepped
    stepped.close()


def frame_times(path: Path) -> tuple[list[int], list[float]]:
    """Numbers and times, as the real imgstore reads them one after the other."""
    store = imgstore.new_for_filename(str(path))
    try:
        read = [store.get_next_image()[1] for _ in range(store.frame_count)]
    finally:
        store.close()
    return [int(number) for number, _ in read], [float(time_s) for _, time_s in read]


def assert_smooth(path: Path) -> float:
    """A frame's time differs from the first one's by its number alone; the first one's time."""
    numbers, times_s = frame_times(path)
    assert len(numbers) >= 3
    for number, time_s in zip(numbers, times_s, strict=True):
        assert time_s - times_s[0] == pytest.approx((number - numbers[0]) / HZ, abs=2e-6)
    return times_s[0]


def steps_in(path: Path) -> list[float]:
    """How far wall clock and recording were apart, at each step that is written down."""
    return [(record["clock_wall_ns"] - record["clock_recording_ns"]) / 1e9
            for record in extra_data(path) if record.get("clock_step") is True]


def step(box: Daemon, clock: SteppedClock, off_s: float, steps: int) -> None:
    """Set the clock and wait until each of the two cameras has said so."""
    clock.set_off(off_s)

    box.wait(lambda: box.log.count("the wall clock moved by") == 2 * steps,
             f"both cameras say that the clock was set ({steps})")


def test_the_clock_is_set_while_recording(tmp_path: Path, clock: SteppedClock) -> None:
    config = write_config(tmp_path)
    recordings = tmp_path / "recordings"
    to_then_s = THEN.timestamp() - time.time()
    offsets_s = [-HOUR_S, DAY_S - HOUR_S, to_then_s]
    began_s = time.time()
    with daemon(config) as box:
        names = box.ask("start", name="bees")
        box.recorded(3)
        for steps, off_s in enumerate(offsets_s, start=1):
            step(box, clock, off_s, steps)
        assert sorted(box.ask("stop")) == sorted(names)
        ended_s = time.time()
        (in_1985,) = box.ask("start", name="bees", cameras=["left"])
        box.recorded_by("left", 3, in_1985)
        box.ask("stop")
        assert box.stop() == 0
        assert "Traceback" not in box.log

    assert leftovers(recordings) == []
    for name in names:
        assert began_s - 1 < assert_smooth(recordings / name) < ended_s
        assert steps_in(recordings / name) == pytest.approx(offsets_s, abs=0.2)
    assert in_1985.startswith("bees_19850601_12")
    assert THEN.timestamp() - 1 <= assert_smooth(recordings / in_1985) < THEN.timestamp() + 600
    assert_listed(config, [in_1985, *sorted(names)])
    shown = fieldrec("show", in_1985, "--config", config)
    assert shown.returncode == 0, shown.stderr
    assert "1985-06-01" in shown.stdout


def assert_listed(config: Path, names: list[str]) -> None:
    """`list` has them, the one that began first by its own clock first; each is whole and says how
    good its clock was."""
    listed = fieldrec_json("list", "--config", config)
    assert listed[0]["name"] == names[0]
    assert sorted(row["name"] for row in listed) == sorted(names)
    assert all(row["state"] == "complete" for row in listed)
    for name in names:
        with StoreReader(config.parent / "recordings" / name) as store:
            assert store.user_metadata["fieldrec"]["clock_quality"] in ("ntp", "rtc", "none")
    assert check(config.parent / "recordings", deep=True) == []


def test_recordings_of_the_same_second_have_names_of_their_own(tmp_path: Path, clock: SteppedClock
                                                               ) -> None:
    """A clock that stands still, or is set back to where a recording began, gives a name twice."""
    config = write_config(tmp_path, cameras={
        "left": {"backend": "synthetic", "options": {"width": 96, "height": 64, "hz": HZ}}})
    clock.stand_still(THEN)
    names: list[str] = []
    with daemon(config) as box:
        for _ in range(2):
            names += box.ask("start", name="bees")
            box.recorded(3, names[-1])
            box.ask("stop")
        assert box.stop() == 0
    assert names == ["bees_19850601_120000", "bees_19850601_120000-2"]
    for name in names:
        assert_smooth(tmp_path / "recordings" / name)
    assert check(tmp_path / "recordings", deep=True) == []
