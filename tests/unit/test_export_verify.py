"""Verification finds every kind of wrong movie, and passes the hardest right ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from fieldrec.core import durable
from fieldrec.core.errors import VerifyMismatch
from fieldrec.core.model import FrameSpec
from fieldrec.export.pictures import pictures_for
from fieldrec.export.presets import PRESETS, Preset, preset
from fieldrec.export.stopped import ExportStopped
from fieldrec.export.timing import Ticks, ticks
from fieldrec.export.verify import Quality, expected, file_digest, verify, written_digest
from tests.fakes.export_content import BGR, MONO, Pixels, moving, uneven_times
from tests.fakes.export_movie import ENCODERS, make_movie

HIGH = preset("High")
COUNT = 40
PTS = ticks(uneven_times(COUNT))[0]
by_name = pytest.mark.parametrize(
    "row", [row for row in PRESETS if row.codec in ENCODERS and not row.lossless],
    ids=lambda row: row.name)
by_spec = pytest.mark.parametrize("spec", [MONO, BGR], ids=["mono", "bgr"])


def make(path: Path, frames: Sequence[Pixels], spec: FrameSpec, pts: Ticks, *, row: Preset = HIGH
         ) -> None:
    make_movie(path, frames, spec, pts, row)


def check(path: Path, raw: Sequence[Pixels], spec: FrameSpec = MONO, row: Preset = HIGH,
          pts: Ticks = PTS, digest: str | None = None) -> Quality:
    never = threading.Event()
    pictures = pictures_for(spec, row)
    return verify(path, digest or file_digest(path, never), pts, expected(pictures, raw),
                  pictures=pictures, preset=row, stop=never, on_frame=lambda _: None)


# --- right movies -------------------------------------------------------------------------------

@by_name
@by_spec
def test_faithful_movie_passes(tmp_path: Path, spec: FrameSpec, row: Preset) -> None:
    frames = moving(COUNT, spec)
    make(tmp_path / "x.mp4", frames, spec, PTS, row=row)
    quality = check(tmp_path / "x.mp4", frames, spec, row)
    assert row.floor_db < quality.psnr_min_db <= quality.psnr_mean_db < 60


def noise(low: int, high: int) -> list[Pixels]:
    random = np.random.default_rng(3)
    return [random.integers(low, high, (240, 320)).astype(np.uint8) for _ in range(COUNT)]


def hard_edges() -> list[Pixels]:
    y, x = np.mgrid[:240, :320]
    return [((((x + 7 * i) // 5 + (y + 3 * i) // 7) % 2) * 255).astype(np.uint8)
            for i in range(COUNT)]


def flashes() -> list[Pixels]:
    return [np.full((240, 320), 255 * (i % 2), np.uint8) for i in range(COUNT)]


def still_with_grain() -> list[Pixels]:
    """The encoder repeats the picture before: nearer to the neighbour, and right."""
    random = np.random.default_rng(4)
    return [(90 + random.normal(0, 4, (240, 320))).astype(np.uint8) for _ in range(COUNT)]


@by_name
def test_noise_in_colour_passes(tmp_path: Path, row: Preset) -> None:
    random = np.random.default_rng(5)
    spec = FrameSpec((241, 321, 3), "uint8", "BGR8", 60.0)
    frames = [random.integers(0, 256, spec.shape).astype(np.uint8) for _ in range(COUNT)]
    make(tmp_path / "x.mp4", frames, spec, PTS, row=row)
    check(tmp_path / "x.mp4", frames, spec, row)


@by_name
@pytest.mark.parametrize("content", [
    lambda: noise(0, 256), lambda: noise(100, 156), hard_edges, flashes, still_with_grain],
    ids=["noise", "weak noise", "hard edges", "flashes", "still with grain"])
def test_hardest_content_passes(tmp_path: Path, row: Preset, content: Callable[[], list[Pixels]]
                                ) -> None:
    spec = FrameSpec((240, 320), "uint8", "MONO8", 60.0)
    frames = content()
    make(tmp_path / "x.mp4", frames, spec, PTS, row=row)
    check(tmp_path / "x.mp4", frames, spec, row)


# --- wrong movies -------------------------------------------------------------------------------

@by_name
@by_spec
def test_swapped_neighbours_are_found(tmp_path: Path, spec: FrameSpec, row: Preset) -> None:
    frames = moving(COUNT, spec)
    wrong = [*frames]
    wrong[17], wrong[18] = wrong[18], wrong[17]
    make(tmp_path / "x.mp4", wrong, spec, PTS, row=row)
    with pytest.raises(VerifyMismatch, match=r"frame 17: .*; the raw is kept"):
        check(tmp_path / "x.mp4", frames, spec, row)


def test_swap_under_a_small_dim_motion_is_found_by_the_neighbours(tmp_path: Path) -> None:
    """An animal of 24 pixels, 20 grey levels over its ground: PSNR and bound see nothing."""
    frames = []
    for index in range(COUNT):
        frame = np.full((240, 320), 90, np.uint8)
        frame[96:120, 8 * index % 280:][:, :24] += 15
        frames.append(frame)
    spec = FrameSpec((240, 320), "uint8", "MONO8", 60.0)
    wrong = [*frames]
    wrong[17], wrong[18] = wrong[18], wrong[17]
    make(tmp_path / "x.mp4", wrong, spec, PTS)
    with pytest.raises(VerifyMismatch, match="frame 17: it shows the frame after it"):
        check(tmp_path / "x.mp4", frames, spec)


@by_name
@by_spec
def test_repeated_frame_is_found(tmp_path: Path, spec: FrameSpec, row: Preset) -> None:
    frames = moving(COUNT, spec)
    make(tmp_path / "x.mp4", [*frames[:20], frames[19], *frames[21:]], spec, PTS, row=row)
    with pytest.raises(VerifyMismatch, match="frame 20: "):
        check(tmp_path / "x.mp4", frames, spec, row)


@by_name
@pytest.mark.parametrize("level", [0, 128, 255])
def test_blank_frame_is_found(tmp_path: Path, row: Preset, level: int) -> None:
    frames = moving(COUNT)
    wrong = [*frames[:9], np.full_like(frames[9], level), *frames[10:]]
    make(tmp_path / "x.mp4", wrong, MONO, PTS, row=row)
    with pytest.raises(VerifyMismatch, match=r"frame 9: (luma PSNR|a block is off by)"):
        check(tmp_path / "x.mp4", frames, row=row)


@by_name
def test_wrong_colour_of_the_right_brightness_is_found(tmp_path: Path, row: Preset) -> None:
    frames = moving(COUNT, BGR)
    wrong = [frame.copy() for frame in frames]
    same_luma = np.array([50 * 0.587 / 0.114, -50, 0])  # by BT.601
    wrong[22][40:80, 40:80] = np.clip(wrong[22][40:80, 40:80] + same_luma, 0, 255)
    make(tmp_path / "x.mp4", wrong, BGR, PTS, row=row)
    with pytest.raises(VerifyMismatch, match="frame 22: a block is off by"):
        check(tmp_path / "x.mp4", frames, BGR, row)


def test_one_bad_corner_is_found(tmp_path: Path) -> None:
    frames = moving(COUNT)
    wrong = [frame.copy() for frame in frames]
    wrong[30][:16, :16] ^= 0x40
    make(tmp_path / "x.mp4", wrong, MONO, PTS)
    with pytest.raises(VerifyMismatch, match="frame 30: "):
        check(tmp_path / "x.mp4", frames)


@pytest.mark.parametrize("where", [0.02, 0.2, 0.5, 0.8, 0.999])
def test_flipped_byte_is_found_by_the_digest(tmp_path: Path, where: float) -> None:
    path = tmp_path / "x.mp4"
    frames = moving(COUNT)
    make(path, frames, MONO, PTS)
    digest = file_digest(path, threading.Event())
    flip(path, where, 1)
    with pytest.raises(VerifyMismatch, match=r"other bytes than were written .*the raw is kept"):
        check(path, frames, digest=digest)


def flip(path: Path, where: float, count: int) -> None:
    content = bytearray(path.read_bytes())
    at = int(where * len(content))
    for index in range(at, min(at + count, len(content))):
        content[index] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("where", [0.1, 0.3, 0.5, 0.8])
def test_broken_stream_is_found_even_with_a_matching_digest(tmp_path: Path, where: float) -> None:
    """As if the encoder itself had written nonsense."""
    path = tmp_path / "x.mp4"
    frames = moving(COUNT)
    make(path, frames, MONO, PTS)
    content = path.read_bytes()
    pictures_at = content.find(b"mdat") / len(content)
    flip(path, pictures_at + where * (1 - pictures_at), 40)
    with pytest.raises(VerifyMismatch, match="the raw is kept"):
        check(path, frames)


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_truncated_tail_is_found(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "x.mp4"
    frames = moving(COUNT)
    make(path, frames, MONO, PTS)
    os.truncate(path, int(kept * path.stat().st_size))
    with pytest.raises(VerifyMismatch, match="the raw is kept"):
        check(path, frames)


@pytest.mark.parametrize("shift", [2, 90, -90])
def test_shifted_timestamps_are_found(tmp_path: Path, shift: int) -> None:
    path = tmp_path / "x.mp4"
    frames = moving(COUNT)
    wrong = PTS.copy()
    wrong[12:] += shift
    make(path, frames, MONO, wrong)
    with pytest.raises(VerifyMismatch, match=f"frame 12 is shown at tick {wrong[12]}, not"):
        check(path, frames)


def test_missing_and_surplus_frames_are_found(tmp_path: Path) -> None:
    frames = moving(COUNT)
    make(tmp_path / "x.mp4", frames, MONO, PTS)
    longer = ticks(uneven_times(COUNT + 1))[0]
    with pytest.raises(VerifyMismatch, match="only 40 of 41 frames can be decoded"):
        check(tmp_path / "x.mp4", [*frames, frames[0]], pts=longer)
    with pytest.raises(VerifyMismatch, match="more frames than the 39 recorded"):
        check(tmp_path / "x.mp4", frames[:-1], pts=PTS[:-1])


def test_wrong_size_is_found(tmp_path: Path) -> None:
    frames = moving(COUNT)
    make(tmp_path / "x.mp4", frames, MONO, PTS)
    larger = FrameSpec((124, 160), "uint8", "MONO8", 60.0)
    with pytest.raises(VerifyMismatch, match="frame 0 is damaged or not 160x124"):
        check(tmp_path / "x.mp4", moving(COUNT, larger), larger)


def test_store_that_gives_too_few_frames_is_found(tmp_path: Path) -> None:
    frames = moving(COUNT)
    make(tmp_path / "x.mp4", frames, MONO, PTS)
    with pytest.raises(VerifyMismatch, match="the store gave 38 of its 40 frames"):
        check(tmp_path / "x.mp4", frames[:-2])


# --- the rest -----------------------------------------------------------------------------------

def test_written_digest_syncs_and_leaves_nothing_in_the_page_cache(tmp_path: Path) -> None:
    if shutil.which("fincore") is None:
        pytest.skip("fincore is not installed (package util-linux)")
    path = tmp_path / "x.mp4"
    steps: list[str] = []
    descriptor = durable.create(path)
    try:
        os.write(descriptor, os.urandom(1 << 20))
        durable.set_hook(lambda step, _: steps.append(step))
        digest = written_digest(path, descriptor, threading.Event())
    finally:
        durable.set_hook(None)
        os.close(descriptor)
    assert steps == ["fsync"]
    cached = subprocess.run(["fincore", "-nb", "-o", "RES", str(path)], capture_output=True,
                            check=True, text=True).stdout.strip()
    kind = subprocess.run(["stat", "-f", "-c", "%T", str(path)], capture_output=True, check=True,
                          text=True).stdout.strip()
    if kind in ("tmpfs", "ramfs"):
        pytest.skip(f"{kind} is nothing but page cache")
    assert cached == "0"
    assert digest == file_digest(path, threading.Event())


def test_stop_ends_it_soon(tmp_path: Path) -> None:
    frames = moving(COUNT)
    make(tmp_path / "x.mp4", frames, MONO, PTS)
    stop = threading.Event()
    pictures = pictures_for(MONO, HIGH)

    def raw() -> Iterator[Pixels]:
        for index, frame in enumerate(frames):
            if index == 5:
                stop.set()
            yield frame

    with pytest.raises(ExportStopped):
        verify(tmp_path / "x.mp4", file_digest(tmp_path / "x.mp4", threading.Event()), PTS,
               expected(pictures, raw()), pictures=pictures, preset=HIGH, stop=stop,
               on_frame=lambda _: None)
