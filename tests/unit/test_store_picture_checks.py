"""picture_checks: every cut is noticed before a decoder can make a half grey picture of it."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest

from fieldrec.store.picture_checks import problem

RNG = np.random.default_rng(5)
GREY = (np.add.outer(np.arange(48), np.arange(64)) * 2 + RNG.integers(0, 40, (48, 64))).astype(
    np.uint8)
COLOUR = np.dstack([GREY, GREY // 2, GREY // 3])


def _encoded(form: str, colour: bool, *options: int) -> bytes:
    done, data = cv2.imencode(f".{form}", COLOUR if colour else GREY, options)
    assert done
    return data.tobytes()


def _tif(order: str, big: bool) -> bytes:
    """A tif of 2 x 3 grey pixels in one strip, its directory before the pixels; with a text that
    lies elsewhere."""
    mark = {"<": b"II", ">": b"MM"}[order]
    place, count_as = ("Q", "Q") if big else ("I", "H")
    inline = struct.calcsize(place)
    head = mark + struct.pack(order + ("HHHQ" if big else "HI"),
                              *((43, 8, 0, 16) if big else (42, 8)))
    fields = [(256, 3, 1, 3), (257, 3, 1, 2), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
              (270, 2, 12, None), (273, 4, 1, None), (277, 3, 1, 1), (278, 3, 1, 2), (279, 4, 1, 6)]
    entry_size = 4 + 2 * inline
    end = len(head) + struct.calcsize(order + count_as) + len(fields) * entry_size + inline
    directory = struct.pack(order + count_as, len(fields))
    for tag, kind, number, value in fields:
        raw = (struct.pack(order + place, end) if tag == 270 else
               struct.pack(order + "I", end + 12) if tag == 273 else
               struct.pack(order + {3: "H", 4: "I"}[kind], value or 0)).ljust(inline, b"\0")
        directory += struct.pack(order + "HH" + place, tag, kind, number) + raw
    return head + directory + bytes(inline) + b"description\0" + bytes(range(0, 60, 10))


def _bmp_old() -> bytes:
    rows = b"".join(bytes([10 * row] * 9 + [0] * 3) for row in range(2))
    head = struct.pack("<IHHI", 26 + len(rows), 0, 0, 26)
    return b"BM" + head + struct.pack("<IHHHH", 12, 3, 2, 1, 24) + rows


PICTURES = {
    "png": _encoded("png", False), "png colour": _encoded("png", True),
    "jpg": _encoded("jpg", False), "jpg colour": _encoded("jpg", True),
    "jpg progressive": _encoded("jpg", True, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "jpg restarts": _encoded("jpg", True, cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    "bmp": _encoded("bmp", False), "bmp colour": _encoded("bmp", True), "bmp old": _bmp_old(),
    "pgm": _encoded("pgm", False), "ppm": _encoded("ppm", True),
    "pgm text": _encoded("pgm", False, cv2.IMWRITE_PXM_BINARY, 0),
    "tif": _encoded("tif", False), "tif colour": _encoded("tif", True),
    "tif plain": _encoded("tif", True, cv2.IMWRITE_TIFF_COMPRESSION, 1),
    "tif strips": _encoded("tif", True, cv2.IMWRITE_TIFF_ROWSPERSTRIP, 7),
    "tif front": _tif("<", False), "tif big endian": _tif(">", False),
    "tif big": _tif("<", True), "tif big, big endian": _tif(">", True),
}


def test_whole_pictures_pass() -> None:
    for name, data in PICTURES.items():
        assert problem(memoryview(data)) is None, name
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) is not None, name


@pytest.mark.parametrize("name", PICTURES)
def test_every_single_cut_is_noticed(name: str) -> None:
    data = memoryview(PICTURES[name])
    unnoticed = [cut for cut in range(len(data)) if problem(data[:cut]) is None]
    if name == "pgm text":  # its last number can lose digits, its last byte is a newline
        assert unnoticed == [len(data) - end for end in range(len(unnoticed), 0, -1)]
        assert len(unnoticed) < 6
    else:
        assert unnoticed == []


@pytest.mark.parametrize("name", ["png", "jpg", "tif", "tif colour"])
def test_a_tail_that_became_zero_is_noticed(name: str) -> None:
    """As a power cut leaves it: the size is right, the last blocks are not there."""
    data = PICTURES[name]
    for kept in range(0, len(data) - 16, 256):
        assert problem(memoryview(data[:kept].ljust(len(data), b"\0"))) is not None


def test_every_flipped_bit_of_a_png_is_noticed() -> None:
    data = bytearray(PICTURES["png"])
    for bit in range(len(data) * 8):
        data[bit // 8] ^= 1 << bit % 8
        assert problem(memoryview(data)) is not None, bit
        data[bit // 8] ^= 1 << bit % 8


def test_random_damage_raises_nothing() -> None:
    for data in PICTURES.values():
        head = min(len(data), 256)
        for _ in range(300):
            broken = bytearray(data)
            for at in RNG.integers(0, head, RNG.integers(1, 4)).tolist():
                broken[at] = int(RNG.integers(0, 256))
            found = problem(memoryview(broken))
            assert found is None or (found and "\n" not in found)


def test_padding_after_a_picture_does_no_harm() -> None:
    for name, data in PICTURES.items():
        assert problem(memoryview(data + bytes(512))) is None, name


def test_a_jpg_that_ends_too_early_is_noticed() -> None:
    """A flipped bit can make an end marker: what follows would be grey."""
    data = PICTURES["jpg"]
    early = data[:1500] + b"\xff\xd9" + data[1502:]
    assert "goes on" in str(problem(memoryview(early)))


def test_a_thumbnail_is_not_the_end() -> None:
    """The Exif segment holds a whole jpg with an end of its own."""
    data, small = PICTURES["jpg"], b"Exif\0\0" + PICTURES["jpg"]
    exif = b"\xff\xe1" + struct.pack(">H", len(small) + 2) + small
    picture = memoryview(data[:2] + exif + data[2:])
    assert problem(picture) is None
    for cut in range(0, len(picture), 61):
        assert problem(picture[:cut]) is not None


@pytest.mark.parametrize("header", [b"P5\n# text\n64 48\n255\n", b"P5 64\t48\r\n255 ",
                                    b"P5\n#a\n#b\n 64 # c\n48\n255\n"])
def test_pgm_headers_with_comments(header: bytes) -> None:
    data = memoryview(header + GREY.tobytes())
    assert problem(data) is None
    assert "cut short" in str(problem(data[:-1]))
    assert np.array_equal(np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), 0)), GREY)


def test_sixteen_bits_are_two_bytes() -> None:
    data = memoryview(b"P5\n64 48\n65535\n" + bytes(64 * 48 * 2))
    assert problem(data) is None
    assert problem(data[:-1]) is not None


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(
        ">I", zlib.crc32(kind + content))


@pytest.mark.parametrize("data", [
    b"", b"x", bytes(5000), b"GIF89a" + bytes(99), b"\x89PNG\r\n\x1a\r" + bytes(99),
    b"\x93NUMPY" + bytes(99), b"P5\n0 48\n255\n" + bytes(99), b"P5\n64 48\n99999\n" + bytes(9999),
    b"P5 " * 2000, b"P5" + b" " * 9000, b"BM" + bytes(60), b"\xff\xd8" + b"\xff" * 5000,
    b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xe0\0\0" * 99, b"II*\0" + bytes(99),
    b"II*\0\x08\0\0\0\0\0" + bytes(99), b"II*\0\x08\0\0\0\1\0" + bytes(99),
    b"II*\0\x08\0\0\0\xff\xff" + bytes(99),
    b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", bytes(13)),
], ids=lambda data: repr(data[:14]))
def test_what_is_no_picture(data: bytes) -> None:
    assert problem(memoryview(data))


def test_says_how_much_is_there() -> None:
    assert problem(memoryview(PICTURES["bmp"])[:1000]) == "cut short (1000 bytes are there)"
    assert problem(memoryview(b"")) == "0 bytes that do not begin like a picture"
