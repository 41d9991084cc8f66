"""Checks of single coded pictures: what was written passes, what was damaged does not."""

from __future__ import annotations

import random
from pathlib import Path

import av
import pytest

from fieldrec.store.chunk_paths import chunk_paths
from fieldrec.store.video.avi import Avi
from fieldrec.store.video.checks import (
    ChunkHeads,
    FrameHeads,
    UnitChecks,
    jpeg_is_sound,
    packet_check,
    slices_are_sound,
)
from fieldrec.store.video.chunk import OpenVideoChunk
from fieldrec.store.video.codec import video_form
from fieldrec.store.video.structure import AVI, MP4, OTHER
from tests.fakes.videos import picture, video_metadata, write_video


def coded(path: Path) -> list[tuple[int, bytes]]:
    """(offset, bytes) of each packet."""
    with av.open(str(path)) as container:
        return [(packet.pos or 0, bytes(packet)) for packet in container.demux(video=0)
                if packet.size]


@pytest.mark.parametrize("pixels", ["bgr0", "gray", "yuv420p"])
def test_any_flipped_bit_of_ffv1_is_found(tmp_path: Path, pixels: str) -> None:
    for _offset, packet in coded(write_video(tmp_path / "a.mkv", codec="ffv1", pixels=pixels,
                                             frames=5, size=(31, 17))):
        assert slices_are_sound(packet)
        chance = random.Random(len(packet))
        for _round in range(50):
            flipped = bytearray(packet)
            flipped[chance.randrange(len(packet))] ^= 1 << chance.randrange(8)
            assert not slices_are_sound(bytes(flipped))
        assert not slices_are_sound(packet[:-1])
        assert not slices_are_sound(b"")


@pytest.mark.parametrize("pixels", ["yuvj420p", "yuvj422p", "yuvj444p"])
def test_lost_blocks_of_a_jpeg_are_found(tmp_path: Path, pixels: str) -> None:
    for _offset, packet in coded(write_video(tmp_path / "a.avi", codec="mjpeg", pixels=pixels,
                                             frames=5)):
        assert jpeg_is_sound(packet)
        assert jpeg_is_sound(packet + bytes(3))
        tables = packet.index(b"\xff\xc4")
        for broken in (packet[:-2], packet[2:], packet[:tables + 4] + bytes(9) + packet[tables:],
                       packet[:tables + 6] + b"\x09" + packet[tables + 7:], b"", b"\xff\xd8"):
            assert not jpeg_is_sound(broken)


@pytest.mark.parametrize("options", [{}, {"x264-params": "slices=4"}, {"tune": "zerolatency"}],
                         ids=str)
def test_lost_blocks_of_h264_are_found(tmp_path: Path, options: dict[str, str]) -> None:
    check = UnitChecks(4)
    for _offset, packet in coded(write_video(tmp_path / "a.mp4", frames=12, b_frames=2,
                                             options=options)):
        assert check(packet)
        assert not check(packet[:-1])
        assert not check(packet + b"\0")
        assert not check(b"")
        for at in range(4, len(packet) - 9, 7):
            broken = packet[:at] + bytes(8) + packet[at + 8:]
            assert not check(broken)


def test_a_packet_without_a_picture_is_none() -> None:
    assert not UnitChecks(4)(b"\0\0\0\2\x06\x80")  # a message, and nothing to show


def test_avi_names_and_measures_its_packets(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", codec="mjpeg", pixels="yuvj420p", frames=4)
    heads = ChunkHeads(path)
    for offset, packet in coded(path):
        assert heads.is_sound(offset, packet)
        assert not heads.is_sound(offset + 2, packet)
        assert not heads.is_sound(offset, packet[1:])
    heads.close()
    heads.close()
    assert not heads.is_sound(0, b"")


def test_the_checks_that_a_file_allows(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", codec="ffv1", pixels="gray", frames=4)
    samples = coded(path)
    check = packet_check(path, OTHER, "ffv1", None, samples)
    assert not check.is_sound(samples[0][0], samples[0][1][:-1])
    check.close()
    strange = packet_check(path, OTHER, "mjpeg", None, samples)  # no sample is one: so none need be
    assert strange.is_sound(0, b"anything")
    strange.close()
    nothing = packet_check(path, MP4, "h264", b"\0\0\0\1", [])
    assert nothing.is_sound(0, b"anything")


def test_frame_heads_tell_what_a_list_lacks(tmp_path: Path) -> None:
    metadata = video_metadata((48, 64, 3), ".avi", "mjpeg/avi")
    chunk = OpenVideoChunk(chunk_paths(tmp_path, 0, ".avi"), 9, video_form(metadata))
    for number in range(9):
        chunk.append(picture(number, 48, 64), number, number, -1)
    chunk.finish()
    chunk.release()
    path = tmp_path / "000000.avi"
    packets = coded(path)
    offsets, sizes = [offset for offset, _ in packets], [len(packet) for _, packet in packets]
    heads = FrameHeads(path, Avi())
    assert heads.lists_all(offsets, sizes)
    assert [(head.position, at) for head, at in heads.frames()] == list(enumerate(offsets))
    for lost in (0, 4, 8):
        assert not heads.lists_all(offsets[:lost] + offsets[lost + 1:],
                                   sizes[:lost] + sizes[lost + 1:])
    assert not heads.is_sound(offsets[3], packets[4][1])
    track = heads.track()
    assert track is not None
    assert (track.width, track.height) == (64, 48)
    check = packet_check(path, AVI, "mjpeg", None, packets)
    assert isinstance(check, FrameHeads)
    check.close()
    heads.close()
    heads.close()
