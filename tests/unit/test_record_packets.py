"""A camera's own packets in recordings: every store begins with one that can be decoded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fieldrec.camera import Pixels
from fieldrec.camera.burnt_number import read_number
from fieldrec.config import RecordConfig
from fieldrec.config.recording import SplitConfig
from fieldrec.core.model import FrameHeader, FrameSpec
from fieldrec.store.reader import StoreReader
from tests.fakes.cameras import ManualClock, ScriptedCamera
from tests.fakes.coded_streams import h264_packets
from tests.fakes.places import SeveralFolders
from tests.fakes.rigs import RecorderRig, extra_data

pytestmark = pytest.mark.asyncio

H264 = FrameSpec((180, 320, 3), "uint8", "H264", 10.0)


class PacketCamera(ScriptedCamera):
    """Gives the packet of each number; every tenth is a key picture."""

    def grab(self, into: Pixels, timeout_s: float) -> FrameHeader:
        header = super().grab(into, timeout_s)
        packet = h264_packets(40)[header.number]
        into.reshape(-1)[:len(packet.data)] = np.frombuffer(packet.data, np.uint8)
        return replace(header, packet_bytes=len(packet.data), key=packet.key)


def packet_rig(record: RecordConfig) -> RecorderRig:
    clock = ManualClock()
    return RecorderRig(clock=clock, camera=PacketCamera(clock, H264), record=record, chunksize=100)


async def feed(rig: RecorderRig, first: int, last: int) -> None:
    for number in range(first, last + 1):
        rig.camera.give(number, after_s=0.1)
        rig.camera.wait_taken()
    await rig.settled()


def burnt(path: Path) -> list[int | None]:
    with StoreReader(path) as store:
        assert store.problems == ()
        return [read_number(store.read(at)) for at in range(store.frame_count)]


async def test_begins_and_splits_at_key_pictures(tmp_path: Path) -> None:
    rig = packet_rig(RecordConfig(ring_s=2.0, split_after=SplitConfig(frames=6)))
    try:
        await rig.recorder.open()
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await feed(rig, 3, 19)
        series = rig.recorder._runs.series
        assert series is not None
        while not series._stores.ready:
            await rig.settled()
        await feed(rig, 20, 24)
        assert (rig.status.lost, rig.status.dropped) == (0, 0)
        await rig.recorder.stop()
    finally:
        await rig.recorder.close()
    assert burnt(tmp_path / "a-1") == list(range(10, 20))
    assert burnt(tmp_path / "a-2") == list(range(20, 25))


async def test_goes_on_after_a_pause_with_a_key_picture(tmp_path: Path) -> None:
    rig = packet_rig(RecordConfig(ring_s=2.0))
    try:
        await rig.recorder.open()
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await feed(rig, 0, 4)
        await rig.recorder.pause()
        await feed(rig, 5, 12)
        await rig.recorder.resume()
        await feed(rig, 13, 22)
        await rig.recorder.stop()
    finally:
        await rig.recorder.close()
    assert burnt(tmp_path / "a-1") == [0, 1, 2, 3, 4, 20, 21, 22]
    with StoreReader(tmp_path / "a-1") as store:
        ours = store.user_metadata["fieldrec"]
    assert (ours["paused_frames"], ours["lost"], ours["dropped"]) == (15, 0, 0)
    gaps = [(r["paused_first_number"], r["paused_last_number"])
            for r in extra_data(tmp_path / "a-1") if r.get("paused") is True]
    assert gaps == [(5, 12), (13, 19)]


async def test_preroll_begins_with_a_key_picture(tmp_path: Path) -> None:
    rig = packet_rig(RecordConfig(ring_s=2.0, preroll_s=1.5))
    try:
        await rig.recorder.open()
        await feed(rig, 0, 22)
        assert rig.status.preroll_frames == 16
        await rig.recorder.start(SeveralFolders(tmp_path), {})
        await rig.settled()
        await feed(rig, 23, 24)
        await rig.recorder.stop()
    finally:
        await rig.recorder.close()
    assert burnt(tmp_path / "a-1") == list(range(10, 25))
