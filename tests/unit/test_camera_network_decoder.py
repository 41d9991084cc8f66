"""Decoding a stream: the pictures that went in, each as itself, and none that is made up."""

from __future__ import annotations

import numpy as np
import pytest

from fieldrec.camera.burnt_number import read_number
from fieldrec.camera.network_decoder import Decoder
from fieldrec.camera.network_pictures import Picture, Pictures, Piece
from fieldrec.core.errors import CameraError
from tests.fakes.coded_streams import Packet, h264_packets, jpeg_packets


def pictures(packets: tuple[Packet, ...], codec: str = "h264") -> list[Picture]:
    made = Pictures(codec, (320, 180), b"")
    found = [made.add(Piece(packet.data, packet.key, at, None, at * 1000))
             for at, packet in enumerate(packets)]
    return [picture for picture in found if picture is not None]


def shown(decoder: Decoder, coded: list[Picture], shape: tuple[int, ...] = (180, 320)
          ) -> list[tuple[int, int | None, int | None]]:
    """(number, number burnt in, camera's time) of what comes out."""
    into = np.zeros(shape, np.uint8)
    found = []
    for picture in coded:
        for frame, known in decoder.decode(picture):
            decoder.put(frame, into)
            found.append((known.number, read_number(into), known.device_time_ns))
    return found


@pytest.mark.parametrize("shape", [(180, 320), (180, 320, 3)])
@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_each_picture_comes_out_at_once_as_itself(shape: tuple[int, ...], codec: str) -> None:
    packets = h264_packets(25) if codec == "h264" else jpeg_packets(25)
    found = shown(Decoder(codec, b""), pictures(packets, codec), shape)
    assert found == [(at, at, at * 1000) for at in range(25)]


def test_behind_a_missing_picture_nothing_is_shown_up_to_the_next_key_picture() -> None:
    coded = [picture for picture in pictures(h264_packets(40)) if picture.number not in (4, 20)]
    found = shown(Decoder("h264", b""), coded[2:])
    assert [number for number, burnt, _time in found] == [*range(10, 20), *range(30, 40)]
    assert all(number == burnt for number, burnt, _time in found)


def test_a_damaged_picture_hides_those_made_from_it() -> None:
    coded = pictures(h264_packets(30))
    good = coded[14]
    coded[14] = Picture(good.data[:-len(good.data) // 3], False, 14, 0, None)
    found = shown(Decoder("h264", b""), coded)
    assert [number for number, *_ in found] == [*range(14), *range(20, 30)]


def test_b_frames_come_in_the_order_of_showing_with_rising_numbers() -> None:
    coded = pictures(h264_packets(40, params="bframes=2:b-adapt=0"))
    found = shown(Decoder("h264", b""), coded)
    assert [number for number, *_ in found] == list(range(len(found)))
    burnt = [number for _, number, _ in found]
    assert burnt == list(range(len(found)))
    assert len(found) >= 36


def test_grey_is_the_luma_as_coded() -> None:
    decoder = Decoder("mjpeg", b"")
    (frame, _known), = decoder.decode(pictures(jpeg_packets(1), "mjpeg")[0])
    into = np.zeros((180, 320), np.uint8)
    decoder.put(frame, into)
    assert np.array_equal(into, frame.to_ndarray()[:180])


def test_another_size_and_an_unknown_coding_are_errors() -> None:
    decoder = Decoder("mjpeg", b"")
    (frame, _known), = decoder.decode(pictures(jpeg_packets(1), "mjpeg")[0])
    with pytest.raises(CameraError, match="320x180 now, not of 64x48"):
        decoder.put(frame, np.zeros((48, 64), np.uint8))
    with pytest.raises(CameraError, match=r"no decoder for nothing; set the camera to H\.264"):
        Decoder("nothing", b"")
