"""The burnt-in number: written and read back, through H.264, and never seen where none is."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldrec.camera import blank
from fieldrec.camera.burnt_number import (
    MIN_HEIGHT,
    MIN_WIDTH,
    burn_number,
    burn_time,
    read_number,
    read_time_us,
)
from fieldrec.camera.synthetic import Options, SyntheticCamera
from tests.fakes.clips import picture, write_clip


@settings(deadline=None, max_examples=60)
@given(height=st.integers(MIN_HEIGHT, 400), width=st.integers(MIN_WIDTH, 700),
       channels=st.sampled_from([(), (3,)]), dtype=st.sampled_from([np.uint8, np.uint16]),
       number=st.integers(0, 2**32 - 1))
def test_what_was_burnt_is_read(height: int, width: int, channels: tuple[int, ...],
                                dtype: type[np.generic], number: int) -> None:
    pixels = np.full((height, width, *channels), 100, dtype=dtype)
    burn_number(pixels, number)
    assert read_number(pixels) == number
    assert (pixels[height // 2:] == 100).all()


@pytest.mark.parametrize("crf", [18, 28, 34])
@pytest.mark.parametrize(("width", "height"), [(64, 48), (160, 120), (640, 480), (1280, 1024)])
def test_it_survives_h264(tmp_path: Path, width: int, height: int, crf: int) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=6, width=width, height=height, crf=crf)
    with av.open(str(clip)) as container:
        decoded = list(container.decode(video=0))
    for form in ("bgr24", "gray"):
        numbers = [read_number(frame.to_ndarray(format=form)) for frame in decoded]
        assert numbers == list(range(6))


def test_nothing_is_read_where_there_is_nothing() -> None:
    random = np.random.default_rng(1)
    shape = (120, 160)
    assert read_number(np.zeros(shape, np.uint8)) is None
    assert read_number(np.full(shape, 255, np.uint8)) is None
    assert read_number(random.integers(0, 256, shape, dtype=np.uint8)) is None
    assert read_number(np.zeros((8, 8), np.uint8)) is None
    assert read_number(np.zeros(4096, np.uint8)) is None


def test_a_flipped_cell_is_noticed() -> None:
    pixels = picture(1234, 480, 640)
    for cell in range(40):
        damaged = pixels.copy()
        place = damaged[:16, 16 * cell:16 * cell + 16]
        place[...] = 255 - place
        assert read_number(damaged) is None


def test_a_grey_cell_is_not_guessed() -> None:
    pixels = picture(1234, 480, 640)
    assert (pixels[:16, 608:624] == 255).all()
    pixels[:16, 608:624] = 140  # nearer to the right answer, but too near to the wrong one
    assert read_number(pixels) is None


def test_a_later_frame_does_not_show_an_earlier_number() -> None:
    pixels = picture(99_999_999, 480, 640)
    burn_number(pixels, 2)
    fresh = picture(2, 480, 640)
    assert (pixels[:60, :160] == fresh[:60, :160]).all()


def test_the_digits_are_legible() -> None:
    pixels = np.full((48, 128), 9, dtype=np.uint8)
    burn_number(pixels, 10_234_567)
    white = pixels[8:15, :32] == 255
    drawn = ["".join(" #"[int(dot)] for dot in row).rstrip() for row in white]
    assert drawn == [
        "",
        " #  ### ### ### # # ### ### ###",
        "##  # #   #   # # # #   #     #",
        " #  # # ### ### ### ### ###  #",
        " #  # # #     #   #   # # #  #",
        "### ### ### ###   # ### ###  #",
        "",
    ]


def test_too_small_a_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 64x48"):
        burn_number(np.zeros((40, 64), np.uint8), 1)


@pytest.mark.parametrize("pixel_format", ["MONO8", "BGR8", "MONO16"])
def test_no_array_of_frame_size_is_made_per_frame(pixel_format: str) -> None:
    import tracemalloc

    camera = SyntheticCamera("a", Options.model_validate(
        {"width": 640, "height": 480, "pixel_format": pixel_format, "paced": False}))
    into = blank(camera.open())
    camera.start()
    camera.grab(into, 1.0)
    tracemalloc.start()
    camera.grab(into, 1.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < into.nbytes // 8


@settings(deadline=None, max_examples=60)
@given(height=st.integers(MIN_HEIGHT, 400), width=st.integers(MIN_WIDTH, 700),
       channels=st.sampled_from([(), (3,)]), bits=st.sampled_from([8, 10, 12, 14, 16]),
       number=st.integers(0, 2**32 - 1), time_ns=st.integers(0, 2**62))
def test_number_and_time_stand_beside_each_other(
        height: int, width: int, channels: tuple[int, ...], bits: int, number: int, time_ns: int
        ) -> None:
    pixels = np.full((height, width, *channels), 100, dtype=np.uint8 if bits == 8 else np.uint16)
    burn_time(pixels, time_ns, white=2**bits - 1)
    assert read_number(pixels) is None
    burn_number(pixels, number, white=2**bits - 1)
    assert read_number(pixels) == number
    assert read_time_us(pixels) == time_ns // 1000 % 2**40
    assert pixels.max() == 2**bits - 1


def test_a_number_is_not_taken_for_a_time() -> None:
    pixels = np.zeros((480, 640), np.uint8)
    burn_number(pixels, 7)
    assert read_time_us(pixels) is None
    assert read_time_us(np.zeros((10, 10), np.uint8)) is None


def test_the_time_survives_lossy_video(tmp_path: Path) -> None:
    camera = SyntheticCamera("a", Options(width=320, height=240, paced=False))
    into = blank(camera.open())
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.options = {"crf": "28", "preset": "ultrafast"}
        for number in range(5):
            camera.render(number, into)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(into, format="gray")))
        container.mux(stream.encode(None))
    with av.open(str(tmp_path / "a.mp4")) as container:
        read = [read_time_us(frame.to_ndarray(format="gray"))
                for frame in container.decode(video=0)]
    assert read == [number * 1_000_000 // 60 for number in range(5)]
