"""JPEG packets: how large, and whether whole."""

from __future__ import annotations

import pytest

from fieldrec.core.jpeg import jpeg_size
from tests.fakes.coded_streams import jpeg_packets

WHOLE = jpeg_packets(1)[0].data


def test_the_size_is_read_from_a_whole_picture() -> None:
    assert jpeg_size(WHOLE) == (320, 180)
    assert jpeg_size(WHOLE + bytes(500)) == (320, 180)
    assert jpeg_size(jpeg_packets(1, width=64, height=50)[0].data) == (64, 50)
    filled = WHOLE[:2] + b"\xff\xff\xff" + WHOLE[2:]
    assert jpeg_size(filled) == (320, 180)


@pytest.mark.parametrize("packet", [
    b"", b"\xff\xd8", WHOLE[1:], WHOLE[:-2], WHOLE[:len(WHOLE) // 2], b"\xff\xd8\xff\xd9",
    b"<html>\xff\xd9", WHOLE[:2] + b"\0" + WHOLE[2:]])
def test_what_is_cut_or_none_has_no_size(packet: bytes) -> None:
    assert jpeg_size(packet) is None
