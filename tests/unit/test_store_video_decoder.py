"""Pictures by position: exact where the container's own claims about key pictures are wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from fieldrec.core.errors import StoreDamaged
from fieldrec.store.video.decoder import VideoDecoder
from tests.fakes.videos import write_video

COUNT = 40


def pixels_of(decoder: VideoDecoder, position: int) -> bytes:
    return decoder.picture(position).to_ndarray(format="bgr24").tobytes()


def in_a_row(path: Path) -> list[bytes]:
    with closing(VideoDecoder(path, None)) as decoder:
        return [pixels_of(decoder, position) for position in range(COUNT)]


def assert_exact_in_any_order(path: Path, expected: list[bytes]) -> None:
    for seed in range(3):
        with closing(VideoDecoder(path, COUNT)) as decoder:
            for position in random.Random(seed).sample(range(COUNT), COUNT):
                assert pixels_of(decoder, position) == expected[position]


def remuxed(source: Path, path: Path, is_key: Callable[[int, bool], bool]) -> Path:
    """The same pictures, with other ones called key pictures."""
    with av.open(str(source)) as reading, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(reading.streams.video[0])
        for ordinal, packet in enumerate(reading.demux(video=0)):
            if packet.size:
                packet.is_keyframe = is_key(ordinal, packet.is_keyframe)
                packet.stream = stream
                container.mux(packet)
    return path


CODED: dict[str, dict[str, Any]] = {
    "x264": {"gop": 10, "b_frames": 2},
    "ffv1": {"codec": "ffv1", "pixels": "bgr0", "gop": 10},
    "vp9": {"codec": "libvpx-vp9", "gop": 10},
    "mpeg4": {"codec": "mpeg4", "gop": 10},
}


@pytest.mark.parametrize("wrong", ["all", "none", "others"])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize("coded", CODED)
def test_wrong_claims_about_key_pictures(tmp_path: Path, coded: str, suffix: str, wrong: str
                                         ) -> None:
    source = write_video(tmp_path / f"true{suffix}", frames=COUNT, **CODED[coded])
    expected = in_a_row(source)
    rule: dict[str, Callable[[int, bool], bool]] = {
        "all": lambda _ordinal, _true: True,
        "none": lambda ordinal, _true: ordinal == 0,
        "others": lambda ordinal, true: true or ordinal % 7 == 3}
    assert_exact_in_any_order(remuxed(source, tmp_path / f"wrong{suffix}", rule[wrong]), expected)


@pytest.mark.parametrize("options", [
    {"x264-params": "open-gop=1:scenecut=0:b-adapt=0"}, {"x264-params": "intra-refresh=1"},
    {"x264-params": "b-pyramid=normal:b-adapt=0:ref=4"}, {"x264-params": "slices=3"}], ids=str)
@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".avi"])
def test_ways_of_coding(tmp_path: Path, suffix: str, options: dict[str, str]) -> None:
    path = write_video(tmp_path / f"a{suffix}", frames=COUNT, gop=8, b_frames=3, options=options)
    assert_exact_in_any_order(path, in_a_row(path))


def test_kept_pictures_are_few(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", frames=COUNT, gop=250, b_frames=3)
    with closing(VideoDecoder(path, COUNT)) as decoder:
        for position in [*range(COUNT), *range(COUNT - 1, 0, -1), 3, 39, 0, 20]:
            decoder.picture(position)
            assert len(decoder._recent) <= 8 + 4


def test_a_damaged_group_is_decoded_once_not_for_each_of_its_pictures(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", frames=COUNT, gop=250, codec="ffv1", pixels="bgr0",
                       container_options={"write_crc32": "0"})
    with closing(VideoDecoder(path, COUNT)) as decoder:
        offset = int(decoder.listing.table.packets.offsets[5])
    data = bytearray(path.read_bytes())
    data[offset + 60] ^= 0xFF
    path.write_bytes(data)
    with closing(VideoDecoder(path, COUNT)) as decoder:
        said = []
        for position in range(COUNT):
            try:
                decoder.picture(position)
            except StoreDamaged as error:
                said.append((position, str(error)))
        assert [position for position, _text in said] == list(range(5, COUNT))
        assert all(f"a.mkv, picture {position}: " in text for position, text in said)
        assert decoder._next <= 7
        decoder.picture(4)


def test_a_known_listing_saves_the_work(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", frames=COUNT, b_frames=2)
    with closing(VideoDecoder(path, COUNT)) as first, \
            closing(VideoDecoder(path, COUNT, first.listing)) as second:
        assert second.listing is first.listing
        assert np.array_equal(first.picture(7).to_ndarray(), second.picture(7).to_ndarray())
