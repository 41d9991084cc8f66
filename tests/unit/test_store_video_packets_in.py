"""A camera's packets before they are written: what is kept, what is refused, where chunks end."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest

from fieldrec.core import h264
from fieldrec.core.errors import StoreError
from fieldrec.store.metadata import VIDEO_CLASS, store_mapping, store_metadata
from fieldrec.store.video import packets_in
from fieldrec.store.video.codec import VideoForm, video_form
from fieldrec.store.video.packets_in import PacketStream, Taken, track_in
from tests.fakes.coded_streams import KEY_EVERY, Packet, h264_packets, jpeg_packets


def form_of(name: str = "h264/mkv", width: int = 320, height: int = 180) -> VideoForm:
    return video_form(store_metadata(store_mapping(
        (height, width, 3), "uint8", chunksize=9, timezone="UTC", created_epoch_ns=0,
        uuid="ab" * 16, class_name=VIDEO_CLASS, form=name, extension="." + name[-3:])))


def stream(name: str = "h264/mkv", chunksize: int = 15) -> PacketStream:
    return PacketStream(form_of(name), chunksize)


def take(packets: PacketStream, packet: Packet, number: int) -> Taken | None:
    """As a writer without trouble does."""
    taken = packets.take(memoryview(packet.data), packet.key, number)
    if taken is not None:
        packets.stored(taken, number)
    return taken


def kept(packets: PacketStream, coded: Iterable[tuple[int, Packet]]) -> list[int]:
    return [number for number, packet in coded if take(packets, packet, number) is not None]


def test_nothing_is_taken_before_the_first_key_picture() -> None:
    coded = list(enumerate(h264_packets(25)))
    assert kept(stream(), coded[3:]) == list(range(10, 25))


def test_behind_a_gap_nothing_is_taken_up_to_the_next_key_picture() -> None:
    coded = [item for item in enumerate(h264_packets(40)) if item[0] not in (4, 20, 33)]
    assert kept(stream(), coded) == [*range(4), *range(10, 20), *range(30, 33)]


def test_what_could_not_be_written_is_missing_to_those_behind_it() -> None:
    packets = stream()
    coded = h264_packets(12)
    take(packets, coded[0], 0)
    assert packets.take(memoryview(coded[1].data), False, 1) is not None  # the write fails
    assert [take(packets, coded[number], number) is not None
            for number in range(2, 12)] == [False] * 8 + [True] * 2


def test_units_are_kept_byte_for_byte() -> None:
    packets = stream()
    for number, packet in enumerate(h264_packets(12)):
        taken = take(packets, packet, number)
        assert taken is not None
        assert h264.units_of(taken.data, False) == h264.units_of(packet.data, True)
        assert taken.key == packet.key


def test_packets_with_lengths_are_the_same() -> None:
    by_code, by_length = stream(), stream()
    for number, (one, other) in enumerate(zip(h264_packets(12),
                                              h264_packets(12, start_codes=False), strict=True)):
        assert take(by_code, one, number) == take(by_length, other, number)


def test_each_key_picture_brings_its_parameter_sets_along() -> None:
    """A camera may send them once, in a packet before or with the first key picture."""
    coded = h264_packets(25)
    packets = stream()
    kinds = (h264.SEQUENCE_SET, h264.PICTURE_SET)
    for number, packet in enumerate(coded):
        units = h264.units_of(packet.data, True)
        if number:
            units = [unit for unit in units if h264.kind_of(unit) not in kinds]
        if packet.key:
            units.insert(0, b"\x09\x10")  # a delimiter stays in front
        bare = Packet(h264.with_start_codes(units), packet.key)
        taken = take(packets, bare, number)
        assert taken is not None
        found = [h264.kind_of(unit) for unit in h264.units_of(taken.data, False)]
        if packet.key:
            assert found[:3] == [h264.DELIMITER, *kinds]
            assert found.count(h264.SEQUENCE_SET) == 1
            assert track_in(taken.data, form_of()) == taken.track
        else:
            assert found == [h264.SLICE]


def test_the_word_of_the_stream_counts_for_what_is_a_key_picture() -> None:
    packets = stream()
    coded = h264_packets(12)
    assert packets.take(memoryview(coded[1].data), True, 0) is None
    assert packets.take(memoryview(coded[0].data), False, 1) is not None


def test_a_chunk_goes_on_to_the_next_key_picture() -> None:
    packets = stream(chunksize=15)
    begins, count = [], 0
    for number, packet in enumerate(h264_packets(60)):
        taken = packets.take(memoryview(packet.data), packet.key, number)
        assert taken is not None
        if packets.begins_chunk(taken, count):
            begins.append(number)
            count = 0
        packets.stored(taken, number)
        count += 1
    assert begins == [20, 40]


def test_another_set_up_begins_another_chunk() -> None:
    packets = stream(chunksize=100)
    first, second = h264_packets(10), h264_packets(10, first=10, params="cabac=1:8x8dct=1")
    begins = []
    for number, packet in enumerate((*first, *second)):
        taken = packets.take(memoryview(packet.data), packet.key, number)
        assert taken is not None
        if packets.begins_chunk(taken, number):
            begins.append(number)
        packets.stored(taken, number)
    assert begins == [KEY_EVERY]


def test_a_set_up_that_changes_between_key_pictures_begins_a_chunk_at_the_next() -> None:
    packets = stream(chunksize=100)
    coded = list(h264_packets(21))
    spare = b"\x68\xce\x3c\x81"  # a picture set that no picture uses
    coded[5] = Packet(h264.with_start_codes([spare, *h264.units_of(coded[5].data, True)]), False)
    units = h264.units_of(coded[10].data, True)
    coded[10] = Packet(h264.with_start_codes([spare, *units]), True)
    begins = []
    for number, packet in enumerate(coded):
        taken = packets.take(memoryview(packet.data), packet.key, number)
        assert taken is not None
        if packets.begins_chunk(taken, number):
            begins.append(number)
        packets.stored(taken, number)
    assert begins == [10, 20]


@pytest.mark.parametrize(("coded", "why"), [
    (h264_packets(20, params="bframes=2:b-adapt=0"), "B-frames.*baseline"),
    (h264_packets(3, width=640, height=360), "640 x 360 now, the store has 320 x 180"),
    (h264_packets(3, params="tff=1:interlaced=1"), "interlaced.*progressive"),
])
def test_what_no_store_holds_is_refused_with_what_to_do(coded: tuple[Packet, ...], why: str
                                                        ) -> None:
    with pytest.raises(StoreError, match=why) as error:
        kept(stream(), enumerate(coded))
    assert "\n" not in str(error.value)


def test_a_stream_without_key_pictures_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets_in, "_MOST_WITHOUT_KEY", 20)
    packets = stream()
    later = h264_packets(10)[1:]
    with pytest.raises(StoreError, match="no key picture came in 20 packets; on the camera"):
        for number in range(21):
            take(packets, later[number % 9], number)


@pytest.mark.parametrize("data", [b"", b"\0\0\1", b"\0\0\1\x65", b"nonsense", b"\0\0\1\x67\x42"])
def test_damaged_packets_are_left_out(data: bytes) -> None:
    coded = list(enumerate(h264_packets(25)))
    coded[4] = (4, Packet(data, False))
    assert kept(stream(), coded) == [*range(4), *range(10, 25)]


def test_jpegs_are_taken_as_they_are_whatever_is_missing() -> None:
    packets = stream("mjpeg/avi")
    coded = list(enumerate(jpeg_packets(10)))
    assert kept(packets, [coded[0], *coded[4:]]) == [0, *range(4, 10)]
    taken = take(packets, coded[1][1], 11)
    assert taken is not None
    assert (taken.data, taken.key) == (coded[1][1].data, True)


def test_damaged_and_other_jpegs() -> None:
    packets = stream("mjpeg/avi")
    whole = jpeg_packets(1)[0].data
    assert take(packets, Packet(whole[:900], True), 0) is None
    assert take(packets, Packet(whole, True), 1) is not None
    with pytest.raises(StoreError, match=re.escape("64 x 50 now, the store has 320 x 180")):
        take(packets, jpeg_packets(1, width=64, height=50)[0], 2)


def test_packets_of_our_own_encoder_do_not_tell_their_set_up() -> None:
    bare = h264_packets(2, start_codes=False, sets_in_band=False)
    assert track_in(bare[0].data, form_of()) is None
    assert track_in(jpeg_packets(1)[0].data, form_of("mjpeg/avi")) is None
