"""H.264 as far as recording must understand it, against a real encoder and what it was told."""

from __future__ import annotations

import av
import pytest

from fieldrec.core import h264
from tests.fakes.coded_streams import KEY_EVERY, Packet, h264_packets


def told_by(packet: Packet, start_codes: bool = True) -> h264.SequenceSet:
    units = h264.units_of(packet.data, start_codes)
    return h264.sequence_set(next(unit for unit in units
                                  if h264.kind_of(unit) == h264.SEQUENCE_SET))


def heads(packets: tuple[Packet, ...]) -> list[h264.SliceHead]:
    told = told_by(packets[0])
    return [h264.slice_head(next(unit for unit in h264.units_of(packet.data, True)
                                 if h264.is_picture(unit)), told) for packet in packets]


@pytest.mark.parametrize(("width", "height"), [(320, 180), (64, 48), (1920, 1080), (130, 98)])
@pytest.mark.parametrize("profile", ["baseline", "high", "high444"])
def test_a_sequence_set_tells_the_size_that_is_shown(width: int, height: int, profile: str) -> None:
    params = {"baseline": "", "high": "8x8dct=1:cabac=1:cqm=jvt", "high444": "qp=0"}[profile]
    told = told_by(h264_packets(1, width=width, height=height, params=params)[0])
    assert (told.width, told.height) == (width, height)
    assert (told.luma_bits, told.chroma_bits, told.chroma_format) == (8, 8, 1)
    assert not told.interlaced
    assert told.profile == {"baseline": 66, "high": 100, "high444": 244}[profile]


def test_interlaced_streams_are_told() -> None:
    told = told_by(h264_packets(1, params="tff=1:interlaced=1")[0])
    assert told.interlaced
    assert (told.width, told.height) == (320, 180)


def test_frame_num_counts_up_and_begins_anew_at_key_pictures() -> None:
    packets = h264_packets(3 * KEY_EVERY)
    found = heads(packets)
    assert [head.frame_num for head in found] == [*range(KEY_EVERY)] * 3
    assert [head.key for head in found] == [packet.key for packet in packets]
    assert all(head.reference and not head.bidirectional for head in found)


def test_b_slices_are_told() -> None:
    found = heads(h264_packets(20, params="bframes=2:b-adapt=0:b-pyramid=none"))
    assert sum(head.bidirectional for head in found) >= 10
    assert not any(head.reference for head in found if head.bidirectional)


def test_both_ways_of_framing_have_the_same_units() -> None:
    with_codes = h264_packets(12)
    with_lengths = h264_packets(12, start_codes=False)
    for one, other in zip(with_codes, with_lengths, strict=True):
        assert h264.has_start_codes(one.data)
        assert not h264.has_start_codes(other.data)
        units = h264.units_of(one.data, True)
        assert units == h264.units_of(other.data, False)
        assert h264.with_lengths(units) == other.data
        assert h264.units_of(h264.with_start_codes(units), True) == units


def test_a_length_that_looks_like_a_start_code_is_told_by_what_follows() -> None:
    unit = b"\x41" + b"\x9a" * 300          # 301 bytes: the length is 00 00 01 2d
    assert not h264.has_start_codes(h264.with_lengths([unit]))
    assert not h264.has_start_codes(h264.with_lengths([b"\x0a", unit]))  # 00 00 00 01 0a
    assert h264.has_start_codes(h264.with_start_codes([unit]))
    assert h264.has_start_codes(b"\0\0\1" + unit)


def test_zeros_behind_a_unit_do_not_belong_to_it() -> None:
    assert h264.units_of(b"\0\0\0\1\x41\x9a\0\0\0\0\1\x41\x9b\0", True) == [b"\x41\x9a",
                                                                            b"\x41\x9b"]


@pytest.mark.parametrize(("packet", "start_codes"), [
    (b"", True), (b"\x41\x9a", True), (b"x\0\0\1\x41\x9a", True), (b"\0\0\0\5\x41\x9a", False),
    (b"\0\0\0\0", False)])
def test_damaged_packets_are_refused(packet: bytes, start_codes: bool) -> None:
    with pytest.raises(ValueError, match=r"unit|start code"):
        h264.units_of(packet, start_codes)


def test_cut_sets_and_slices_are_refused() -> None:
    packet = h264_packets(1)[0]
    told = told_by(packet)
    units = h264.units_of(packet.data, True)
    sequence = next(unit for unit in units if h264.kind_of(unit) == h264.SEQUENCE_SET)
    for size in range(1, 9):
        with pytest.raises(ValueError, match=r"cut|too large"):
            h264.sequence_set(sequence[:size])
    with pytest.raises(ValueError, match="cut"):
        h264.slice_head(b"\x65", told)


@pytest.mark.parametrize("params", ["", "8x8dct=1:cabac=1"])
def test_the_record_of_the_sets_is_what_decoders_want(params: str) -> None:
    packets = h264_packets(12, params=params)
    units = h264.units_of(packets[0].data, True)
    sets = [tuple(unit for unit in units if h264.kind_of(unit) == kind)
            for kind in (h264.SEQUENCE_SET, h264.PICTURE_SET)]
    context = av.CodecContext.create("h264", "r")
    assert isinstance(context, av.VideoCodecContext)
    context.extradata = h264.avcc(*sets)
    pictures = []
    for packet in packets:
        bare = [unit for unit in h264.units_of(packet.data, True) if h264.is_picture(unit)]
        pictures += context.decode(av.Packet(h264.with_lengths(bare)))
    pictures += context.decode(None)
    assert [(picture.width, picture.height) for picture in pictures] == [(320, 180)] * 12
