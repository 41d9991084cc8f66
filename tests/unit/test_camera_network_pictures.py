"""Coded pictures out of what a demuxer gives, by pieces of real streams."""

from __future__ import annotations

import pytest

from fieldrec.camera.network_pictures import Picture, Pictures, Piece
from fieldrec.core import h264
from fieldrec.core.errors import CameraError
from tests.fakes.coded_streams import Packet, h264_packets, jpeg_packets

SIZE = (320, 180)
PERIOD_NS = 40_000_000


def piece(data: bytes, at: int, key: bool = False) -> Piece:
    return Piece(data, key, at * PERIOD_NS + 7, at * PERIOD_NS, at)


def through(pictures: Pictures, packets: list[tuple[int, Packet]]) -> list[Picture]:
    found = [pictures.add(piece(packet.data, at, packet.key)) for at, packet in packets]
    return [picture for picture in found if picture is not None]


def test_h264_comes_through_with_numbers_and_keys() -> None:
    packets = list(enumerate(h264_packets(30)))
    found = through(Pictures("h264", SIZE, b""), packets)
    assert [(picture.data, picture.key, picture.number) for picture in found] == [
        (packet.data, packet.key, at) for at, packet in packets]
    assert found[5].arrived_ns == 5 * PERIOD_NS + 7
    assert found[5].device_time_ns == 5


def test_what_belongs_in_front_of_a_picture_is_put_there() -> None:
    """FFmpeg hands out a delimiter and notes by themselves when parameter sets follow."""
    front, rest = b"\0\0\0\1\x09\x10", h264_packets(1)[0].data
    pictures = Pictures("h264", SIZE, b"")
    assert pictures.add(piece(front, 3)) is None
    found = pictures.add(piece(rest, 4))
    assert found is not None
    assert (found.data, found.number, found.arrived_ns) == (front + rest, 0, 3 * PERIOD_NS + 7)


def test_sets_that_only_the_description_has_are_put_before_key_pictures() -> None:
    sets: list[bytes] = []
    stream = []
    for packet in h264_packets(25):
        units = h264.units_of(packet.data, True)
        bare = [unit for unit in units if h264.is_picture(unit)]
        sets = [unit for unit in units if h264.kind_of(unit) in (7, 8)] or sets
        stream.append(Packet(h264.with_start_codes(bare), packet.key))
    found = through(Pictures("h264", SIZE, h264.with_start_codes(sets)), list(enumerate(stream)))
    for picture in found:
        kinds = [h264.kind_of(unit) for unit in h264.units_of(picture.data, True)]
        assert kinds == ([7, 8, 5] if picture.key else [1])
    assert [picture.number for picture in found] == list(range(25))


def test_damaged_pictures_are_left_out_with_their_number() -> None:
    packets = list(enumerate(h264_packets(20)))
    packets[4] = (4, Packet(b"\0\0\1\x61", False))
    found = through(Pictures("h264", SIZE, b""), packets)
    assert [picture.number for picture in found] == [*range(4), *range(5, 20)]
    jpegs = list(enumerate(jpeg_packets(9)))
    jpegs[4] = (4, Packet(jpegs[4][1].data[:700], True))
    pictures = Pictures("mjpeg", SIZE, b"")
    assert [picture.number for picture in through(pictures, jpegs)] == [0, 1, 2, 3, 5, 6, 7, 8]
    pictures.leave_out()
    assert through(pictures, [(10, jpegs[0][1])])[0].number == 10


@pytest.mark.parametrize(("codec", "other"), [
    ("h264", h264_packets(1, width=640, height=360)), ("mjpeg", jpeg_packets(1, width=640,
                                                                             height=360))])
def test_another_size_is_an_error(codec: str, other: tuple[Packet, ...]) -> None:
    with pytest.raises(CameraError, match="640x360 now, not of 320x180 any more; a new recording"):
        through(Pictures(codec, SIZE, b""), list(enumerate(other)))


def test_b_frames_are_told() -> None:
    found = through(Pictures("h264", SIZE, b""),
                    list(enumerate(h264_packets(20, params="bframes=2:b-adapt=0"))))
    assert any(picture.bidirectional for picture in found)
    assert [picture.number for picture in found] == list(range(20))


def test_other_codings_are_only_counted() -> None:
    found = through(Pictures("hevc", SIZE, b""), [(at, Packet(b"x", at == 0)) for at in range(3)])
    assert [(picture.data, picture.key, picture.number) for picture in found] == [
        (b"x", True, 0), (b"x", False, 1), (b"x", False, 2)]
