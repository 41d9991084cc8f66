"""Encoders that take turns: the same packets as of one, in order; errors and ends."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext

from fieldrec.export.colours import RGB
from fieldrec.export.containers import MKV
from fieldrec.export.encoding import MovieFormat
from fieldrec.export.opening import open_encoder
from fieldrec.export.pictures import plane
from fieldrec.export.presets import preset
from fieldrec.export.turns import TakingTurns, turns_for

TICK = Fraction(1, 25)
FORM = MovieFormat(preset("Lossless"), 64, 48, "bgr0", RGB, 25.0, {}, MKV)


def pictures(count: int) -> Iterator[av.VideoFrame]:
    random = np.random.default_rng(4)
    for number in range(count):
        picture = av.VideoFrame(64, 48, "bgr0")
        values = plane(picture, 0)
        # some are much dearer than others, so that a later one is ready before an earlier one
        values[:] = random.integers(0, 256, values.shape, np.uint8) if number % 3 == 0 else number
        picture.pts, picture.time_base, picture.duration = number, TICK, 1
        yield picture


def one_alone() -> VideoCodecContext:
    return open_encoder(FORM, 25.0, TICK, threads=1)


def coded(encoder: VideoCodecContext | TakingTurns, count: int) -> list[tuple[int | None, bytes]]:
    given = itertools.chain(pictures(count), (None,))
    return [(packet.pts, bytes(packet)) for one in given for packet in encoder.encode(one)]


@pytest.mark.parametrize("encoders", [1, 2, 3, 4])
@pytest.mark.parametrize("frames", [0, 1, 2, 23])
def test_the_packets_are_those_of_one_encoder(encoders: int, frames: int) -> None:
    whole = open_encoder(FORM, 25.0, TICK)
    several = TakingTurns(one_alone, encoders)
    try:
        assert coded(several, frames) == coded(whole, frames)
        assert several.extradata == whole.extradata
    finally:
        several.close()


def test_no_more_pictures_are_held_than_there_are_encoders_and_one() -> None:
    several = TakingTurns(one_alone, 2)
    try:
        given = [len(several.encode(picture)) for picture in pictures(8)]
    finally:
        several.close()
    assert given == [0, 0, 1, 1, 1, 1, 1, 1]


def test_an_encoders_error_is_raised_and_no_thread_is_left() -> None:
    several = TakingTurns(one_alone, 2)
    with pytest.raises(av.FFmpegError):
        try:
            several.encode(None)
            several.encode(next(pictures(1)))  # after its end
            several.encode(None)
        finally:
            several.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("encode")]


def test_as_many_as_the_preset_has_threads() -> None:
    assert [turns_for(threads) for threads in (1, 2, 4, 64)] == [1, 2, 4, 4]
    assert turns_for(0) >= 1
