"""Video files played as cameras: every frame, its picture and its time; and files that are none."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import pytest

from fieldrec.camera import Pixels, blank
from fieldrec.camera.burnt_number import read_number
from fieldrec.camera.file import FileCamera, Options
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import CameraEnded, CameraError, CameraTimeout
from fieldrec.core.model import FrameHeader
from tests.fakes.clips import picture, write_clip, write_sound


def started(path: Path, **options: Any) -> tuple[FileCamera, Pixels]:
    camera = FileCamera("clip", Options.model_validate({"path": path, "paced": False, **options}))
    into = blank(camera.open())
    camera.start()
    return camera, into


def grab_all(camera: FileCamera, into: Pixels) -> list[tuple[FrameHeader, int | None]]:
    seen = []
    while True:
        try:
            seen.append((camera.grab(into, 1.0), read_number(into)))
        except CameraEnded:
            camera.close()
            return seen


@pytest.mark.parametrize(("pixel_format", "shape"), [
    ("BGR8", (120, 160, 3)), ("MONO8", (120, 160))])
def test_every_frame_comes_once_in_order(tmp_path: Path, pixel_format: str,
                                         shape: tuple[int, ...]) -> None:
    camera, into = started(write_clip(tmp_path / "clip.mp4", frames=12), pixel_format=pixel_format)
    assert into.shape == shape
    seen = grab_all(camera, into)
    assert [header.number for header, _ in seen] == list(range(12))
    assert [burnt for _, burnt in seen] == list(range(12))


@pytest.mark.parametrize("width", [64, 66, 126, 160])
def test_the_picture_is_the_one_opencv_decodes(tmp_path: Path, width: int) -> None:
    path = write_clip(tmp_path / "clip.mp4", frames=3, width=width)
    camera, into = started(path)
    capture = cv2.VideoCapture(str(path))
    for _ in range(3):
        camera.grab(into, 1.0)
        _, expected = capture.read()
        assert (into == expected).all()
    capture.release()
    camera.close()


def test_it_plays_at_the_files_own_rate(tmp_path: Path) -> None:
    camera, into = started(write_clip(tmp_path / "clip.mp4", frames=10, hz=50))
    first = camera.grab(into, 1.0)
    second = camera.grab(into, 1.0)
    camera.close()
    assert second.monotonic_ns - first.monotonic_ns == 20_000_000
    assert camera.open().nominal_hz == pytest.approx(50, rel=0.01)
    camera.close()


def test_a_variable_rate_is_kept_to_the_nanosecond(tmp_path: Path) -> None:
    times_ms = [0, 40, 45, 200, 201, 1000, 3000]
    camera, into = started(write_clip(tmp_path / "clip.mkv", frames=7, times_ms=times_ms),
                           drop_when_late=False)
    seen = [camera.grab(into, 10.0) for _ in range(7)]
    camera.close()
    assert [header.device_time_ns for header in seen] == [ms * 1_000_000 for ms in times_ms]
    assert [(header.monotonic_ns - seen[0].monotonic_ns) for header in seen] == [
        ms * 1_000_000 for ms in times_ms]


def test_a_loop_runs_on_in_number_and_time(tmp_path: Path) -> None:
    camera, into = started(write_clip(tmp_path / "clip.mp4", frames=4, hz=25), loop=True)
    headers, burnt = [], []
    for _ in range(11):
        headers.append(camera.grab(into, 1.0))
        burnt.append(read_number(into))
    camera.close()
    assert [header.number for header in headers] == list(range(11))
    assert burnt == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2]
    steps = {later.monotonic_ns - sooner.monotonic_ns
             for sooner, later in itertools.pairwise(headers)}
    assert steps == {40_000_000}


def test_a_frame_that_timed_out_is_given_later(tmp_path: Path) -> None:
    camera, into = started(write_clip(tmp_path / "clip.mp4", frames=3, hz=1))
    camera.grab(into, 0.0)
    for _ in range(3):
        with pytest.raises(CameraTimeout):
            camera.grab(into, 0.25)
    assert camera.grab(into, 0.5).number == 1
    assert read_number(into) == 1
    camera.close()


@pytest.mark.parametrize(("drop", "expected"), [(True, 16), (False, 1)])
def test_frames_fetched_too_late_are_dropped(tmp_path: Path, drop: bool, expected: int) -> None:
    camera, into = started(write_clip(tmp_path / "clip.mp4", frames=30, hz=50),
                           drop_when_late=drop, buffers=4)
    first = camera.grab(into, 1.0)
    pace = camera._pace
    assert pace is not None
    pace.wait(first.monotonic_ns + 400_000_000, 1.0, "test")  # twenty periods
    assert camera.grab(into, 1.0).number == expected
    assert read_number(into) == expected
    camera.close()


def test_a_torn_packet_is_a_gap_in_the_numbers(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.avi", frames=8, codec="mjpeg")
    data = bytearray(path.read_bytes())
    starts = [at for at in range(len(data)) if data[at:at + 3] == b"\xff\xd8\xff"]
    data[starts[3]:starts[4] - 8] = bytes(starts[4] - 8 - starts[3])
    path.write_bytes(data)
    seen = grab_all(*started(path))
    assert [header.number for header, _ in seen] == [0, 1, 2, 4, 5, 6, 7]
    assert [burnt for _, burnt in seen] == [0, 1, 2, 4, 5, 6, 7]


def test_a_file_that_stops_in_the_middle_ends_there(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.avi", frames=8, codec="mjpeg")
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])
    seen = grab_all(*started(path))
    assert 2 <= len(seen) <= 5
    assert [burnt for _, burnt in seen[:-1]] == list(range(len(seen) - 1))


def test_a_stop_in_the_middle_waits_for_no_thread_of_the_decoder(tmp_path: Path) -> None:
    """FFmpeg's threads a frame still work then, and freeing them can hang for ever."""
    camera, into = started(write_clip(tmp_path / "clip.mp4", frames=12))
    camera.grab(into, 1.0)
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    assert not [name for name in names if name.startswith("av:h264:df")]
    camera.stop()
    camera.close()


def test_times_are_the_host_clocks(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", frames=2)
    camera = FileCamera("clip", Options(path=path))
    into = blank(camera.open())
    before_ns = SystemClock().monotonic_ns()
    camera.start()
    first = camera.grab(into, 5.0)
    camera.close()
    assert before_ns <= first.monotonic_ns <= SystemClock().monotonic_ns()


def refused(path: Path, capfd: pytest.CaptureFixture[str]) -> str:
    camera = FileCamera("clip", Options(path=path))
    with pytest.raises(CameraError) as error:
        camera.open()
    camera.close()
    assert capfd.readouterr() == ("", "")
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_files_that_cannot_be_played(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("hello")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    whole = write_clip(tmp_path / "whole.mp4")
    torn = tmp_path / "torn.mp4"
    torn.write_bytes(whole.read_bytes()[:whole.stat().st_size // 2])
    capfd.readouterr()
    assert "no such file" in refused(tmp_path / "missing.mp4", capfd)
    assert "is a folder" in refused(tmp_path, capfd)
    assert "is not a file" in refused(Path("/dev/null"), capfd)
    for path in (text, empty, torn):
        assert "not a video file that can be played" in refused(path, capfd)


def test_sound_alone_is_no_video(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "has no video in it" in refused(write_sound(tmp_path / "sound.wav"), capfd)


def test_a_url_is_not_fetched(capfd: pytest.CaptureFixture[str]) -> None:
    refused(Path("http://127.0.0.1:9/clip.mp4"), capfd)


def test_a_file_gone_after_opening_is_an_error_and_not_a_crash(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4")
    camera, into = started(path)
    path.unlink()
    with pytest.raises(CameraError, match="no such file"):
        camera.grab(into, 1.0)
    camera.close()


@pytest.mark.parametrize(("name", "form", "codec", "pixels"), [
    ("a.h264", "h264", "libx264", "yuv420p"),  # no times, no length
    ("a.ts", "mpegts", "libx264", "yuv420p"), ("a.gif", "gif", "gif", "rgb8"),
    ("a.mjpeg", "mjpeg", "mjpeg", "yuvj420p"), ("a.mkv", "matroska", "ffv1", "yuv422p10le")])
def test_odd_containers_play_and_loop(tmp_path: Path, name: str, form: str, codec: str, pixels: str
                                      ) -> None:
    with av.open(str(tmp_path / name), "w", format=form) as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, pixels
        for number in range(4):
            frame = av.VideoFrame.from_ndarray(picture(number, 120, 160), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    camera = FileCamera("a", Options(path=tmp_path / name, paced=False, loop=True))
    into = blank(camera.open())
    camera.start()
    seen = []
    for _ in range(9):
        header = camera.grab(into, 1.0)
        seen.append((header.number, header.device_time_ns, read_number(into)))
    camera.close()
    assert seen == [(number, number * 40_000_000, number % 4) for number in range(9)]
