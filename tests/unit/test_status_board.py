"""Status board: the newest snapshot, waiting for a newer one, JSON and back."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldrec.core.errors import FieldrecError
from fieldrec.core.model import (
    CameraState,
    Drive,
    DriveState,
    FrameSpec,
    Heat,
    Job,
    JobKind,
    JobState,
    PowerLevel,
    PowerState,
)
from fieldrec.core.snapshot import Event, RecorderStatus, Snapshot, StorageStatus
from fieldrec.status.board import NOTHING, Board, snapshot_as_dict, snapshot_from_dict, utc_text

SPEC = FrameSpec(shape=(480, 640, 3), dtype="uint8", pixel_format="BGR8", nominal_hz=25.0)
TIME_NS = 1_795_250_412_123_456_789


def snapshot(version: int = 1, **more: Any) -> Snapshot:
    return Snapshot(version=version, time_ns=TIME_NS, name="box", recording=False,
                    recording_since_ns=None, **more)


def full_snapshot() -> Snapshot:
    recorder = RecorderStatus("left", "227", CameraState.RECORDING, spec=SPEC, heat=Heat.LOW,
                              measured_hz=24.9, started_ns=TIME_NS)
    job = Job(id=1, kind=JobKind.COPY, item="bees", item_uuid="u", destination="nas", preset=None,
              delete_source=False, allow_battery=False, state=JobState.RUNNING, reason="",
              attempt=1, done_bytes=1, total_bytes=2, created_ns=TIME_NS, changed_ns=TIME_NS)
    drive = Drive("uu", "BEES", "/dev/sda1", Path("/run/x"), "ext4", None, 10, 5, DriveState.READY)
    return snapshot(recorders=(recorder,), jobs=(job,), drives=(drive,),
                    power=PowerState(PowerLevel.BATTERY, 83.0),
                    storage=StorageStatus(10, 5, 50.0, 94.0, 12.5), parts=(("console", "gone"),),
                    events=(Event(TIME_NS, "started"),))


@pytest.mark.asyncio
async def test_wait_returns_at_once_when_the_version_is_another() -> None:
    board = Board()
    assert board.latest is NOTHING
    board.publish(snapshot(7))
    assert (await board.wait_changed(3, None)).version == 7
    assert (await board.wait_changed(9, None)).version == 7  # the box was restarted


@pytest.mark.asyncio
async def test_all_waiters_wake_and_see_the_newest() -> None:
    board = Board()
    waiters = [asyncio.create_task(board.wait_changed(-1, None)) for _ in range(3)]
    await asyncio.sleep(0)
    board.publish(snapshot(1))
    board.publish(snapshot(2))
    assert [s.version for s in await asyncio.gather(*waiters)] == [2, 2, 2]


@pytest.mark.asyncio
async def test_same_version_published_again_does_not_wake() -> None:
    board = Board(snapshot(1))
    waiter = asyncio.create_task(board.wait_changed(1, None))
    await asyncio.sleep(0)
    board.publish(snapshot(1))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiter.done()
    board.publish(snapshot(2))
    assert (await waiter).version == 2


@pytest.mark.asyncio
async def test_timeout_returns_the_newest() -> None:
    board = Board(snapshot(4))
    assert (await board.wait_changed(4, 0)).version == 4


@pytest.mark.asyncio
async def test_cancel_passes_through() -> None:
    waiter = asyncio.create_task(Board(snapshot(1)).wait_changed(1, 60))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter


@pytest.mark.asyncio
async def test_wait_until_prefers_news_over_the_end() -> None:
    board, until = Board(snapshot(1)), asyncio.Event()
    until.set()
    assert await board.wait_changed_until(1, until) is None
    board.publish(snapshot(2))
    newer = await board.wait_changed_until(1, until)
    assert newer is not None
    assert newer.version == 2


def test_dict_is_json_and_comes_back_equal() -> None:
    before = full_snapshot()
    values = json.loads(json.dumps(snapshot_as_dict(before), allow_nan=False))
    assert snapshot_from_dict(values) == before
    assert values["time_ns"] == TIME_NS
    assert values["time_utc"] == utc_text(TIME_NS)
    assert values["recorders"][0]["started_utc"].endswith(".123456Z")
    assert values["recorders"][0]["state"] == "recording"
    assert values["recording_since_utc"] is None
    assert values["drives"][0]["mount_point"] == "/run/x"


def test_utc_text() -> None:
    assert utc_text(0) == "1970-01-01T00:00:00.000000Z"
    assert utc_text(10**30) == ""


def test_infinite_numbers_become_null() -> None:
    storage = StorageStatus(minutes_left=math.inf, used_percent=math.nan)
    values = snapshot_as_dict(snapshot(storage=storage))
    json.dumps(values, allow_nan=False)
    back = snapshot_from_dict(values)
    assert back.storage.minutes_left is None
    assert math.isnan(back.storage.used_percent)


def test_neighbouring_versions_understand_each_other() -> None:
    values = snapshot_as_dict(full_snapshot())
    values["new_key"] = 1
    values["power"]["colour"] = "green"
    del values["loop_lag_ms"]
    assert snapshot_from_dict(values) == full_snapshot()


@pytest.mark.parametrize(("path", "value"), [
    (("version",), "1"), (("version",), True), (("name",), 3), (("recorders",), {}),
    (("power",), []), (("power", "level"), "nuclear"), (("power", "level"), []),
    (("parts",), [["only one"]]), (("drives",), [{}]), (("storage", "total_bytes"), 1.5),
    (("events",), [{"time_ns": 1}]),
])
def test_what_is_not_a_snapshot_is_refused(path: tuple[str, ...], value: object) -> None:
    values = snapshot_as_dict(full_snapshot())
    at = values
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises(FieldrecError, match=rf"^status\.{path[0]}.*same version\?$"):
        snapshot_from_dict(values)


@given(st.recursive(st.none() | st.integers() | st.text(max_size=5) | st.booleans(),
                    lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from([*Snapshot.__slots__, "level"]), inner)))
def test_no_value_makes_anything_but_a_snapshot_or_our_error(value: Any) -> None:
    try:
        snapshot_from_dict(value)
    except FieldrecError as error:
        assert "\n" not in str(error)
