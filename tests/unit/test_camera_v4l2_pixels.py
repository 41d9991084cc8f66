"""What drivers send, as what slots hold."""

from __future__ import annotations

from typing import Any, get_args

import cv2
import numpy as np
import pytest

from fieldrec.camera import v4l2_pixels as pixels
from fieldrec.camera.opencv import _PixelFormat
from fieldrec.camera.v4l2 import Layout

HIGH, WIDE = 6, 8
GENERATOR = np.random.default_rng(4)


def random(*shape: int) -> Any:
    return GENERATOR.integers(0, 256, shape, dtype=np.uint8)


def put(fourcc: str, pixel_format: str, sent: Any, *, padding: int = 0) -> Any:
    """What a slot holds after `sent` (rows or bytes) came, each row with `padding` after it."""
    if padding:
        rows = np.zeros((len(sent), sent.reshape(len(sent), -1).shape[1] + padding), np.uint8)
        rows[:, :-padding] = sent.reshape(len(sent), -1)
        sent = rows
    line = sent.reshape(len(sent), -1).shape[1] if sent.ndim > 1 else 0
    slot = np.full(pixels.shape_of(pixel_format, WIDE, HIGH), 7, pixels.dtype_of(pixel_format))
    layout = Layout(fourcc, WIDE, HIGH, line, sent.size)
    sent = np.ascontiguousarray(sent).reshape(-1)
    sent.flags.writeable = False
    assert pixels.putter(layout, pixel_format)(sent, slot)
    return slot


@pytest.mark.parametrize("padding", [0, 16])
@pytest.mark.parametrize(("fourcc", "first"), [("YUYV", 0), ("YVYU", 0), ("UYVY", 1)])
def test_grey_of_yuv_is_its_brightness_untouched(fourcc: str, first: int, padding: int) -> None:
    sent = random(HIGH, WIDE, 2)
    assert (put(fourcc, "MONO8", sent, padding=padding) == sent[..., first]).all()


@pytest.mark.parametrize("padding", [0, 16])
def test_grey_as_sent(padding: int) -> None:
    sent = random(HIGH, WIDE)
    assert (put("GREY", "MONO8", sent, padding=padding) == sent).all()
    planar = random(HIGH * 3 // 2, WIDE)
    assert (put("NV12", "MONO8", planar, padding=padding) == planar[:HIGH]).all()


@pytest.mark.parametrize("padding", [0, 16])
@pytest.mark.parametrize(("fourcc", "channels", "code"), [
    ("YUYV", 2, cv2.COLOR_YUV2BGR_YUYV), ("UYVY", 2, cv2.COLOR_YUV2BGR_UYVY),
    ("RGB3", 3, cv2.COLOR_RGB2BGR)])
def test_colours(fourcc: str, channels: int, code: int, padding: int) -> None:
    sent = random(HIGH, WIDE, channels)
    assert (put(fourcc, "BGR8", sent, padding=padding) == cv2.cvtColor(sent, code)).all()


@pytest.mark.parametrize("padding", [0, 16])
def test_more_colours(padding: int) -> None:
    sent = random(HIGH, WIDE, 3)
    assert (put("BGR3", "BGR8", sent, padding=padding) == sent).all()
    planar = random(HIGH * 3 // 2, WIDE)
    assert (put("NV12", "BGR8", planar, padding=padding)
            == cv2.cvtColor(planar, cv2.COLOR_YUV2BGR_NV12)).all()
    grey = random(HIGH, WIDE)
    assert (put("GREY", "BGR8", grey, padding=padding) == grey[..., None]).all()


@pytest.mark.parametrize("padding", [0, 16])
@pytest.mark.parametrize(("fourcc", "pixel_format"), [
    ("Y16 ", "MONO16"), ("Y10 ", "MONO10"), ("RG10", "BAYER_RG10"), ("BA12", "BAYER_GR12"),
    ("BYR2", "BAYER_BG16")])
def test_sixteen_bits_keep_their_value(fourcc: str, pixel_format: str, padding: int) -> None:
    numbers = GENERATOR.integers(0, 1 << 16, (HIGH, WIDE)).astype("<u2")
    assert (put(fourcc, pixel_format, numbers.view(np.uint8), padding=padding) == numbers).all()


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize(("fourcc", "pixel_format", "bits", "group"), [
    ("pRAA", "BAYER_RG10", 10, 4), ("Y10P", "MONO10", 10, 4), ("pgCC", "BAYER_GR12", 12, 2)])
def test_packed_mosaics_are_unpacked(
        fourcc: str, pixel_format: str, bits: int, group: int, padding: int) -> None:
    numbers = GENERATOR.integers(0, 1 << bits, (HIGH, WIDE)).astype(np.uint16)
    in_groups = numbers.reshape(HIGH, -1, group)
    low = sum((in_groups[..., place] & ((1 << (bits - 8)) - 1)) << (place * (bits - 8))
              for place in range(group))
    sent = np.concatenate([in_groups >> (bits - 8), np.asarray(low)[..., None]], axis=2)
    packed = sent.astype(np.uint8).reshape(HIGH, -1)
    assert (put(fourcc, pixel_format, packed, padding=padding) == numbers).all()


@pytest.mark.parametrize("order", ["RG", "GR", "BG", "GB"])
def test_mosaics_of_eight_bits(order: str) -> None:
    sent = random(HIGH, WIDE)
    fourcc = {"RG": "RGGB", "GR": "GRBG", "BG": "BA81", "GB": "GBRG"}[order]
    assert (put(fourcc, f"BAYER_{order}8", sent) == sent).all()


def jpeg(picture: Any) -> Any:
    return np.frombuffer(cv2.imencode(".jpg", picture)[1].tobytes(), np.uint8)


@pytest.mark.parametrize("after", [b"", bytes(200), b"\x00rubbish" * 40])
def test_jpegs_in_colour_and_grey(after: bytes) -> None:
    sent = jpeg(np.full((HIGH, WIDE, 3), (200, 100, 50), np.uint8))
    sent = np.frombuffer(sent.tobytes() + after, np.uint8)
    assert np.abs(put("MJPG", "BGR8", sent).astype(int) - (200, 100, 50)).max() < 4
    grey = put("MJPG", "MONO8", sent)
    assert grey.shape == (HIGH, WIDE)
    assert abs(int(grey[0, 0]) - 96) < 4  # 0.114 * 200 + 0.587 * 100 + 0.299 * 50


def test_what_is_not_whole_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    slot = np.zeros((HIGH, WIDE), np.uint8)
    torn = jpeg(random(64, 96))[:-200]
    assert not pixels._ends_as_jpeg(torn)  # not left to the decoder: older ones fill with grey
    assert not pixels.putter(Layout("MJPG", 96, 64, 0, 9999), "MONO8")(
        torn, np.zeros((64, 96), np.uint8))
    no_jpeg = np.frombuffer(b"not a picture at all\xff\xd9", np.uint8)
    assert not pixels.putter(Layout("MJPG", WIDE, HIGH, 0, 999), "MONO8")(no_jpeg, slot)
    for fourcc, pixel_format, need in (("GREY", "MONO8", HIGH * WIDE), ("YUYV", "BGR8",
                                       HIGH * WIDE * 2), ("NV12", "BGR8", HIGH * WIDE * 3 // 2),
                                       ("pRAA", "BAYER_RG10", HIGH * WIDE * 10 // 8)):
        short = random(need - 1)
        assert not pixels.putter(Layout(fourcc, WIDE, HIGH, 0, need), pixel_format)(
            short, np.zeros(pixels.shape_of(pixel_format, WIDE, HIGH),
                            pixels.dtype_of(pixel_format)))
    assert capfd.readouterr() == ("", "")


def test_a_jpeg_of_another_size_says_which() -> None:
    with pytest.raises(pixels.WrongSize, match=r"^4x2$"):
        put("MJPG", "MONO8", jpeg(random(2, 4)))


def test_options_take_what_can_be_made() -> None:
    assert set(get_args(_PixelFormat)) == set(pixels.PIXEL_FORMATS)
    assert pixels.choices("RGGB") == ("BAYER_RG8",)
    assert pixels.choices("H264") == ()
    assert pixels.wire_formats("MONO8")[0] == "GREY"
