"""Coded pictures told apart by where they lie: any of them can be gone to, wherever seeks land."""

from __future__ import annotations

import random
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldrec.core.errors import StoreDamaged
from fieldrec.store.video.packets import PacketReader, VideoFile, indexed, listed
from tests.fakes.videos import copy_packets, write_video

B_FRAMES: dict[str, Any] = {"gop": 10, "b_frames": 3}
COPIED = ("copy.ts", "copy.nut", "copy.flv", "copy.h264")


@pytest.fixture(params=["b.mp4", "b.mkv", "b.avi", "ffv1.avi", *COPIED])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    name = str(request.param)
    if name in COPIED:
        return copy_packets(write_video(tmp_path / "whole.mp4", **B_FRAMES), tmp_path / name)
    options = {"codec": "ffv1", "pixels": "bgr0"} if name.startswith("ffv1") else B_FRAMES
    return write_video(tmp_path / name, **options)


def test_any_packet_can_be_gone_to(path: Path) -> None:
    with closing(VideoFile(path)) as video:
        packets, problem = listed(video)
        assert (len(packets), problem) == (60, None)
        reader = PacketReader(video, packets)
        for ordinal in random.Random(3).sample(range(60), 30):
            assert reader.go_to(ordinal)
            for following in range(ordinal, min(60, ordinal + 3)):
                item = reader.read()
                assert item is not None
                assert item[0] == following
                assert item[1].pos == packets.offsets[following]
                assert reader.is_as_listed(*item)
        assert reader.go_to(59)
        assert [reader.read() is None for _ in range(3)] == [False, True, True]


@pytest.mark.parametrize("astray", [-(1 << 40), 0, 1 << 40], ids=["before", "beginning", "behind"])
def test_seeking_to_wrong_times_still_leads_to_the_packet(path: Path, astray: int) -> None:
    with closing(VideoFile(path)) as video:
        packets, _problem = listed(video)
        wrong = np.full(60, astray, np.int64)
        reader = PacketReader(video, replace(packets, pts=wrong, dts=wrong))
        for ordinal in (50, 0, 31):
            assert reader.go_to(ordinal)
            assert (reader.read() or (None,))[0] == ordinal


def test_packets_without_a_place_are_counted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "b.mkv", **B_FRAMES)
    with closing(VideoFile(path)) as video:
        packets, _problem = listed(video)
        reader = PacketReader(video, replace(packets, offsets=np.full(60, -1)))
        for ordinal in (7, 30, 29, 2):
            assert reader.go_to(ordinal)
            item = reader.read()
            assert item is not None
            assert (item[0], item[1].pos) == (ordinal, packets.offsets[ordinal])


def test_a_packet_that_is_not_there_is_not_reached_and_the_next_one_is(tmp_path: Path) -> None:
    path = write_video(tmp_path / "b.mkv", **B_FRAMES)
    with closing(VideoFile(path)) as video:
        packets, _problem = listed(video)
        offsets = packets.offsets.copy()
        offsets[20] += 1
        reader = PacketReader(video, replace(packets, offsets=offsets))
        for _again in range(8):
            assert not reader.go_to(20)
        assert reader.go_to(21)
        assert (reader.read() or (None,))[0] == 21


def test_an_index_says_what_reading_says(tmp_path: Path) -> None:
    for name, options in (("a.avi", {"codec": "mjpeg", "pixels": "yuvj420p"}), ("b.mp4", B_FRAMES),
                          ("f.avi", {"codec": "ffv1", "pixels": "gray"})):
        path = write_video(tmp_path / name, **options)
        with closing(VideoFile(path)) as video:
            quick = indexed(video, path.stat().st_size)
            packets, _problem = listed(video)
        assert quick is not None
        for column in ("offsets", "sizes", "keys", "shown", "sound"):
            assert np.array_equal(getattr(quick, column), getattr(packets, column))


def test_a_file_without_pictures(tmp_path: Path) -> None:
    from tests.fakes.clips import write_sound

    with pytest.raises(StoreDamaged, match="no pictures"):
        VideoFile(write_sound(tmp_path / "sound.mkv"))
