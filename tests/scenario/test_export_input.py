"""Exports and movies of what people really have, by the real command: whatever is wrong is said in
one line, with the exit code of its kind, and nothing half-made is left.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import av
import imgstore
import numpy as np
import pytest

from fieldrec.core import errors
from tests.fakes.commands import COMMAND, environment, fieldrec, leftovers, refused, write_config
from tests.fakes.recordings import small_recording
from tests.fakes.waiting import PATIENCE_S, wait_until

CONFIG = errors.ConfigError.exit_code
USAGE = errors.UsageError.exit_code
STORE = errors.StoreError.exit_code
FULL = errors.StoreFull.exit_code
DAMAGED = errors.StoreDamaged.exit_code
REFUSED = errors.JobRefused.exit_code
ENCODER = errors.EncoderFailed.exit_code
SHAPE = (64, 96)


def make(path: Path, times_s: list[float], shape: tuple[int, ...] = SHAPE,
         dtype: str = "uint8") -> Path:
    """A store by imgstore itself, with chunks of four frames."""
    store = imgstore.new_for_format("npy", str(path), imgshape=shape, imgdtype=dtype, chunksize=4)
    grain = np.random.default_rng(1).normal(100, 20, shape).astype(dtype)
    for number, time_s in enumerate(times_s):
        store.add_image(np.roll(grain, 5 * number, axis=0), number, time_s)
    store.close()
    return path


def at_25_hz(count: int) -> list[float]:
    return [index / 25 for index in range(count)]


def half_made(*folders: Path) -> list[str]:
    """Also working folders, which outlive a kill and nothing else."""
    return leftovers(*folders) + [str(path) for folder in folders
                                  for path in folder.rglob(".work-*")]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def told(movie: Path) -> Any:
    return json.loads(movie.with_name(movie.name + ".json").read_text())


# --- many stores ----------------------------------------------------------------------------------


def test_odd_stores_become_movies_side_by_side(tmp_path: Path) -> None:
    """Odd sizes, one pixel, one frame, hours between two, times that go back, a frame that cannot
    be read: each is a movie with every frame that there is."""
    (tmp_path / "out").mkdir()
    counts = {"back": 6, "holed": 7, "hours": 2, "odd": 6, "one": 1, "tiny": 3}
    make(tmp_path / "back", [0.0, 0.04, 0.08, 0.02, 0.12, 0.16])
    make(tmp_path / "holed", at_25_hz(8))
    (tmp_path / "holed" / "000001" / "000001.npy").write_bytes(b"no frame")
    make(tmp_path / "hours", [0.0, 5 * 3600.0])
    make(tmp_path / "odd", at_25_hz(6), (65, 97, 3))
    make(tmp_path / "one", [5.0])
    make(tmp_path / "tiny", at_25_hz(3), (1, 1))
    done = fieldrec("transcode", *counts, "out", "--jobs", 3, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("6 movies made\n")
    assert "1 frame left out: not readable; holed.high.mp4.json names them" in done.stdout
    assert "1 frame shown one tick later" in done.stdout
    for name, count in counts.items():
        with av.open(str(tmp_path / "out" / f"{name}.high.mp4")) as movie:
            times_s = [float(frame.time or 0) for frame in movie.decode(video=0)]
        assert len(times_s) == count
        assert times_s == sorted(set(times_s))
    assert times_s[0] == 0.0
    assert len(names(tmp_path / "out")) == 2 * len(counts)
    assert half_made(tmp_path) == []


def test_one_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    make(tmp_path / "alpha", at_25_hz(3), (64, 96, 4))
    make(tmp_path / "bees", at_25_hz(3))
    make(tmp_path / "days", [0.0, 5 * 86_400.0])
    make(tmp_path / "empty", [])
    make(tmp_path / "lost", at_25_hz(8))
    (tmp_path / "lost" / "000001" / "index.npz").unlink()
    make(tmp_path / "wasps", at_25_hz(3))
    done = fieldrec("transcode", "alpha", "bees", "days", "empty", "lost", "wasps", "out",
                    cwd=tmp_path)
    assert done.returncode == REFUSED, done.stderr
    lines = sorted(done.stderr.splitlines())
    for line, words in zip(lines, (
            "4 of 6 failed: alpha, days, empty, lost", "alpha: cannot make a movie of frames with "
            "an alpha channel", "days: frames 0 and 1 are 120.0 h apart", "empty: ",
            "lost: a movie would lack frames"), strict=True):
        assert line.startswith(f"fieldrec: {words}")
    assert names(tmp_path / "out") == [f"{name}.high.mp4{end}" for name in ("bees", "wasps")
                                       for end in ("", ".json")]
    assert half_made(tmp_path) == []


def test_two_stores_of_one_name_and_a_name_that_is_taken(tmp_path: Path) -> None:
    for folder in ("left", "right"):
        (tmp_path / folder).mkdir()
        make(tmp_path / folder / "bees", at_25_hz(3))
    (tmp_path / "out").mkdir()
    refused(fieldrec("transcode", "left/bees", "right/bees", "out", cwd=tmp_path), USAGE,
            "bees.high.mp4 would be made of two stores of the same name")
    (tmp_path / "out" / "bees.high.mp4").write_text("mine")
    refused(fieldrec("transcode", "left/bees", "out", cwd=tmp_path), STORE, "exists already")
    assert (tmp_path / "out" / "bees.high.mp4").read_text() == "mine"
    assert names(tmp_path / "out") == ["bees.high.mp4"]


def test_a_signal_ends_all_and_leaves_what_is_whole(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    make(tmp_path / "small", at_25_hz(3))
    make(tmp_path / "large", at_25_hz(120), (480, 640))
    shutil.copytree(tmp_path / "large", tmp_path / "large2")
    running = subprocess.Popen(
        [*COMMAND, "transcode", "small", "large", "large2", "out", "--jobs", "2"], cwd=tmp_path,
        env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with running:
        wait_until((tmp_path / "out" / "small.high.mp4.json").exists, PATIENCE_S,
                   "the small one is made")
        running.send_signal(signal.SIGINT)
        said, complaint = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 130
    assert complaint == ("fieldrec: interrupted; what was said to be made is whole, nothing of the "
                         "rest is left\n")
    assert said.startswith("out/small.high.mp4: 3 frames")
    assert names(tmp_path / "out") == ["small.high.mp4", "small.high.mp4.json"]
    assert half_made(tmp_path) == []


# --- how it is asked for --------------------------------------------------------------------------


def test_rates_containers_and_parts_are_as_asked_for(tmp_path: Path) -> None:
    small_recording(tmp_path / "frogs")
    done = fieldrec("transcode", "frogs", "a.avi", "--fps", "native", "--start", "2", "--end", "10",
                    cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "out").mkdir()
    done = fieldrec("transcode", "frogs", "out", "--container", "mkv", "--preset", "hq", "--fps",
                    "12.5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for name, count, hz in (("a.avi", 8, 25.0), ("out/frogs.high.mkv", 12, 12.5)):
        with av.open(str(tmp_path / name)) as movie:
            times_s = [float(frame.time or 0) for frame in movie.decode(video=0)]
        times_s = [time_s - times_s[0] for time_s in times_s]  # libavformat's guess in AVI
        assert times_s == pytest.approx([index / hz for index in range(count)], abs=0.001)
    assert half_made(tmp_path) == []


def test_a_movie_as_a_store_that_imgstore_reads(tmp_path: Path) -> None:
    small_recording(tmp_path / "frogs")
    (tmp_path / "out").mkdir()
    done = fieldrec("transcode", "frogs", "out", "--to-store", "--preset", "ll", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("out/frogs.lossless: 12 frames, ")
    assert "exact to the bit" in done.stdout
    assert half_made(tmp_path) == []
    store = imgstore.new_for_filename(str(tmp_path / "out" / "frogs.lossless"))
    picture, (number, _) = store.get_next_image()
    assert (store.frame_count, number) == (12, 0)
    assert np.array_equal(picture, np.load(tmp_path / "frogs" / "000000" / "000000.npy"))
    store.close()


OWN = {"small": {"codec": "h264", "crf": 23, "scale": 0.5},
       "wrong": {"codec": "h264", "crf": 23, "options": {"no-such-option": "1"}}}


def test_presets_of_ones_own(tmp_path: Path) -> None:
    small_recording(tmp_path / "frogs")
    config = write_config(tmp_path, export={"presets": OWN})
    done = fieldrec("transcode", "./frogs", "out.mp4", "--preset", "small", "--config", config,
                    cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with av.open(str(tmp_path / "out.mp4")) as movie:
        stream = movie.streams.video[0]
        assert (stream.width, stream.height) == (80, 60)
    refused(fieldrec("transcode", "./frogs", "x.mp4", "--preset", "wrong", "--config", config,
                     cwd=tmp_path), ENCODER, "no-such-option")
    refused(fieldrec("transcode", "./frogs", "x.mp4", "--preset", "smal", "--config", config,
                     cwd=tmp_path), USAGE, "did you mean small")
    config = write_config(tmp_path, export={"presets": {"bad": {
        "codec": "h264", "container": "webm"}}})
    done = fieldrec("transcode", "./frogs", "x.mp4", "--preset", "bad", "--config", config,
                    cwd=tmp_path)
    assert done.returncode == CONFIG
    assert re.search(r"fieldrec: .*fieldrec\.yaml.*export\.presets\.bad", done.stderr)
    assert sorted(name for name in names(tmp_path) if name.startswith(("x", "out"))) == [
        "out.mp4", "out.mp4.json"]
    assert half_made(tmp_path) == []


# --- exports --------------------------------------------------------------------------------------


def test_exports_refuse_in_one_line_and_leave_nothing(tmp_path: Path) -> None:
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    small_recording(recordings / "frogs")
    before = sorted(names(recordings / "frogs"))
    refused(fieldrec("export", "frogs", "--preset", "Hihg", cwd=tmp_path), USAGE,
            "did you mean High")
    refused(fieldrec("export", "toads", cwd=tmp_path), errors.NotFoundError.exit_code,
            "no recording 'toads'")
    done = fieldrec("export", "frogs", "--preset", "lq", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    movie = recordings / "frogs.low.mp4"
    made = movie.stat().st_mtime_ns
    assert told(movie)["format"] == "fieldrec-export"
    done = fieldrec("export", "frogs", "--preset", "Low", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert movie.stat().st_mtime_ns == made
    assert sorted(names(recordings / "frogs")) == before
    assert half_made(recordings) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_no_space_is_said_and_nothing_half_made_is_left(tmp_path: Path) -> None:
    make(tmp_path / "noise", at_25_hz(40), (480, 640))
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(small)], check=True)
    try:
        refused(fieldrec("transcode", "noise", small / "out.mp4", cwd=tmp_path), FULL, "make room")
        assert names(small) == []
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
