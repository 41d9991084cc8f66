"""Encoding: what ffprobe, another reader than ours, finds in the file; full disk; stop."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from fieldrec.core import durable
from fieldrec.core.errors import StoreFull
from fieldrec.core.model import FrameSpec
from fieldrec.export.encoding import MovieFormat, encode_segment
from fieldrec.export.join import join
from fieldrec.export.part import PartFile
from fieldrec.export.pictures import pictures_for
from fieldrec.export.presets import PRESETS, Preset, preset
from fieldrec.export.segment_file import SegmentWriter
from fieldrec.export.stopped import ExportStopped
from fieldrec.export.timing import Ticks, ticks
from tests.fakes.export_content import BGR, MONO, Pixels, moving, uneven_times

HIGH = preset("High")
PROFILES = {"h264": "High", "hevc": "Main", "vp9": "Profile 0", "av1": "Main"}
needs_ffprobe = pytest.mark.skipif(shutil.which("ffprobe") is None,
                                   reason="ffprobe is not installed (package ffmpeg)")


def make(path: Path, frames: Sequence[Pixels], spec: FrameSpec, pts: Ticks, *,
         row: Preset = HIGH, stop: threading.Event | None = None) -> list[int]:
    """Encode in one segment and join; returns the indexes that were reported."""
    pictures = pictures_for(spec, row)
    reported: list[int] = []
    form = MovieFormat(row, pictures.width, pictures.height, pictures.pixel_format,
                       pictures.colours, spec.nominal_hz,
                       {"title": "bees", "comment": "fieldrec recording abc",
                        "creation_time": "2026-11-21T06:00:00.000000Z"})
    stop = stop or threading.Event()
    work = path.with_suffix(".work")
    work.mkdir()

    def converted() -> Iterator[av.VideoFrame]:
        for position, frame in enumerate(frames):
            picture = pictures.convert(frame)
            picture.pts = position
            yield picture

    with SegmentWriter(work, 0, len(pts)) as writer:
        segment = encode_segment(writer, converted(), form, spec.nominal_hz, stop=stop,
                                 on_frame=reported.append)
    descriptor = durable.create(path)
    try:
        join(PartFile(path, descriptor), [segment], pts, form, spec.nominal_hz, content=b"{}",
             stop=stop, on_packet=lambda _: None)
    finally:
        os.close(descriptor)
    return reported


def ffprobe(path: Path, entries: str) -> Any:
    done = subprocess.run(["ffprobe", "-v", "error", "-show_entries", entries, "-of", "json",
                           str(path)], capture_output=True, check=True, text=True)
    assert done.stderr == ""
    return json.loads(done.stdout)


@needs_ffprobe
@pytest.mark.parametrize("row", [row for row in PRESETS if not row.lossless],
                         ids=lambda row: row.name)
@pytest.mark.parametrize("spec", [MONO, BGR], ids=["mono", "bgr"])
def test_ffprobe_sees_the_codec_with_the_frames_times(tmp_path: Path, spec: FrameSpec, row: Preset
                                                      ) -> None:
    times_ns = uneven_times(75)
    pts, moved = ticks(times_ns)
    path = tmp_path / "x.mp4"
    assert make(path, moving(75, spec), spec, pts, row=row) == list(range(75))
    assert moved == 0
    found = ffprobe(path, "stream:format=duration,start_time:format_tags:frame=pts,pts_time")
    stream = found["streams"][0]
    assert (stream["codec_name"], stream["profile"], stream["pix_fmt"]) == (
        row.codec, PROFILES[row.codec], "yuv420p")
    assert (stream["color_range"], stream["color_space"]) == ("tv", "smpte170m")
    assert (stream["time_base"], stream["nb_frames"]) == ("1/90000", "75")
    seconds = np.array([float(frame["pts_time"]) for frame in found["frames"]])
    assert seconds[0] == 0.0
    assert np.abs(seconds - (times_ns - times_ns[0]) / 1e9).max() < 0.000_02
    last_s = float(np.median(np.diff(seconds)))
    assert abs(float(found["format"]["duration"]) - seconds[-1] - last_s) < 0.001
    assert found["format"]["tags"]["title"] == "bees"
    assert found["format"]["tags"]["comment"] == "fieldrec recording abc"
    assert found["format"]["tags"]["creation_time"].startswith("2026-11-21T06:00:00")


@needs_ffprobe
def test_hd_is_tagged_bt709(tmp_path: Path) -> None:
    spec = FrameSpec((720, 64), "uint8", "MONO8", 25.0)
    make(tmp_path / "x.mp4", [np.zeros((720, 64), np.uint8)] * 3, spec, np.array([0, 3600, 7200]))
    stream = ffprobe(tmp_path / "x.mp4", "stream")["streams"][0]
    assert {stream[key] for key in ("color_space", "color_transfer", "color_primaries")} == {
        "bt709"}


@needs_ffprobe
@pytest.mark.parametrize("count", [1, 2, 3])
def test_very_short_recordings(tmp_path: Path, count: int) -> None:
    make(tmp_path / "x.mp4", moving(count), MONO, ticks(uneven_times(count))[0])
    found = ffprobe(tmp_path / "x.mp4", "stream=nb_frames:frame=pts")
    assert found["streams"][0]["nb_frames"] == str(count)
    assert found["frames"][0]["pts"] == 0


def test_index_is_at_the_front_and_had_room(tmp_path: Path) -> None:
    """The worst case for the index: every distance differs, tiny frames, many key frames."""
    spec = FrameSpec((16, 16), "uint8", "MONO8", 1.0)
    pts = np.cumsum(np.random.default_rng(0).integers(1, 9000, 4000)).astype(np.int64)
    make(tmp_path / "x.mp4", [np.zeros((16, 16), np.uint8)] * 4000, spec, pts - pts[0])
    content = (tmp_path / "x.mp4").read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")


@pytest.fixture
def hook() -> Iterator[Callable[[durable.Hook], None]]:
    yield durable.set_hook
    durable.set_hook(None)


def test_every_byte_but_the_index_is_written_once(
        tmp_path: Path, hook: Callable[[durable.Hook], None]) -> None:
    steps: list[str] = []
    hook(lambda step, _: steps.append(step))
    make(tmp_path / "x.mp4", moving(60), MONO, ticks(uneven_times(60))[0])
    size = (tmp_path / "x.mp4").stat().st_size
    assert 0 < steps.count("write") < 20 + 2 * size / 32_768


def test_full_disk_is_store_full_at_whatever_write(
        tmp_path: Path, hook: Callable[[durable.Hook], None]) -> None:
    frames, pts = moving(20), ticks(uneven_times(20))[0]
    steps: list[str] = []
    hook(lambda step, _: steps.append(step))
    make(tmp_path / "whole.mp4", frames, MONO, pts)
    for good_writes in range(steps.count("write")):
        left = iter(range(good_writes))

        def fill(step: str, path: Path, left: Iterator[int] = left) -> None:
            if step == "write" and next(left, None) is None:
                raise StoreFull(f"{path}: No space left on device")

        hook(fill)
        with pytest.raises(StoreFull, match="No space left"):
            make(tmp_path / f"{good_writes}.mp4", frames, MONO, pts)


def test_stop_ends_it_soon(tmp_path: Path) -> None:
    stop = threading.Event()

    def frames() -> Any:
        for index, frame in enumerate(moving(50)):
            if index == 7:
                stop.set()
            yield frame

    with pytest.raises(ExportStopped):
        make(tmp_path / "x.mp4", frames(), MONO, ticks(uneven_times(50))[0], stop=stop)
