"""Every way in which an export can be wrong is found before it counts, and its raw stays.

Of both kinds: a movie that people watch, whose frames are only like the raw ones, and a lossless
one. The message names the frame, and the figures.
"""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import xxhash

from fieldrec.core import durable
from fieldrec.core.errors import VerifyMismatch
from fieldrec.core.model import FrameSpec
from fieldrec.export import judging
from fieldrec.export.colours import BT601, BT709, Colours
from fieldrec.export.containers import MKV, MP4
from fieldrec.export.pictures import Pictures, pictures_for, plane
from fieldrec.export.pictures_lossy import LossyPictures
from fieldrec.export.presets import Preset, preset
from fieldrec.export.run import run_export
from fieldrec.export.stopped import ExportStopped
from fieldrec.export.timing import Ticks
from fieldrec.export.verify import Quality, expected, file_digest, verify
from tests.fakes.export_content import BGR, MONO, Pixels, moving, write_store
from tests.fakes.export_movie import make_movie, write

HIGH, LOSSLESS = preset("High"), preset("Lossless")
COUNT = 24
PTS = np.arange(COUNT) * 17
"""In milliseconds, which PyAV can write into Matroska."""
both = pytest.mark.parametrize("row", [HIGH, LOSSLESS], ids=["High", "Lossless"])
Change = Callable[[list[Pixels]], list[Pixels]]


# --- on the medium: the very bytes of a real export ---------------------------------------------

@pytest.fixture
def at_sync() -> Iterator[Callable[[Callable[[Path], None]], None]]:
    """What to do to the movie when its last byte is written and it is about to be synced."""
    def change(damage: Callable[[Path], None]) -> None:
        durable.set_hook(lambda step, path: damage(path) if step == "fsync" and
                         path.name.startswith(durable.PART_PREFIX) else None)

    yield change
    durable.set_hook(None)


def flipped(where: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        at = int(where * path.stat().st_size)
        with path.open("r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 0x10]))
    return damage


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 100)


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): xxhash.xxh64(path.read_bytes()).hexdigest()
            for path in folder.rglob("*") if path.is_file()}


@both
@pytest.mark.parametrize(
    "damage", [flipped(0.001), flipped(0.3), flipped(0.6), flipped(0.999), cut],
    ids=["head", "a third", "two thirds", "the end", "truncated"])
def test_bytes_that_changed_after_they_were_written(
        tmp_path: Path, row: Preset, damage: Callable[[Path], None],
        at_sync: Callable[[Callable[[Path], None]], None]) -> None:
    store = write_store(tmp_path / "bees", moving(COUNT))
    before = contents(store)
    at_sync(damage)
    with pytest.raises(VerifyMismatch, match=r"other bytes than were written \(XXH64 .*the raw is"):
        run_export(store, row, output_folder=tmp_path, stop=threading.Event(),
                   on_progress=lambda *_: None)
    assert contents(store) == before
    assert not list(tmp_path.glob("bees.*")) + list(tmp_path.glob(".part-*"))


# --- in the movie: as if the encoder or the muxer had made it so --------------------------------

def movie(folder: Path, frames: list[Pixels], row: Preset, pts: Ticks = PTS,
          pictures: Pictures | None = None, colours: Colours | None = None) -> Path:
    path = folder / f"x{row.container}"
    spec = FrameSpec(frames[0].shape, "uint8", "MONO8" if frames[0].ndim == 2 else "BGR8", 60.0)
    make_movie(path, frames, spec, pts, row, ticks_per_second=1000, pictures=pictures,
               colours=colours)
    return path


def check(path: Path, raw: list[Pixels], row: Preset, spec: FrameSpec = MONO) -> Quality:
    never = threading.Event()
    pictures = pictures_for(spec, row)
    container = dataclasses.replace(MKV if row.lossless else MP4, ticks_per_second=1000)
    return verify(path, file_digest(path, never), PTS[:len(raw)], expected(pictures, raw),
                  pictures=pictures, preset=row, stop=never, on_frame=lambda _: None,
                  container=container)


@both
def test_what_is_right_passes(tmp_path: Path, row: Preset, monkeypatch: pytest.MonkeyPatch
                              ) -> None:
    monkeypatch.setattr(judging, "EVERY", 20)
    quality = check(movie(tmp_path, moving(COUNT), row), moving(COUNT), row)
    if row.lossless:
        assert quality == Quality(100.0, 100.0, 1.0, 1.0, COUNT, exact=True)
    else:
        assert 35 < quality.psnr_min_db <= quality.psnr_mean_db < 50
        assert 0.9 < quality.ssim_min <= quality.ssim_mean < 1
        assert (quality.compared, quality.exact) == (3, False)  # 0, 20 and 23, the last


def swapped(one: int, other: int) -> Change:
    def change(frames: list[Pixels]) -> list[Pixels]:
        frames[one], frames[other] = frames[other], frames[one]
        return frames
    return change


def repeated(frames: list[Pixels]) -> list[Pixels]:
    return [*frames[:10], frames[9], *frames[11:]]


def wrong_block(frames: list[Pixels]) -> list[Pixels]:
    frames[10][48:56, 80:88] = 255 - frames[10][48:56, 80:88] // 2
    return frames


FIGURES = r"luma PSNR [\d.]+ dB is under|a block is off by [\d.]+ levels"


@pytest.mark.parametrize(("change", "lossy", "lossless"), [
    (swapped(10, 11), f"it shows the frame after it|{FIGURES}", "it shows the frame after it"),
    (swapped(10, 20), FIGURES, r"\d+ of 19200 pixels are not as recorded, by up to \d+, the "),
    (repeated, f"it shows the frame before it|{FIGURES}", "it shows the frame before it"),
    (wrong_block, r"a block is off by \d+", r"64 of 19200 pixels .* in line 48, column 80")],
    ids=["neighbours", "far away", "repeated", "block"])
@both
def test_wrong_frames(tmp_path: Path, row: Preset, change: Change, lossy: str, lossless: str
                      ) -> None:
    path = movie(tmp_path, change(moving(COUNT)), row)
    with pytest.raises(VerifyMismatch, match=f"frame 10: ({lossless if row.lossless else lossy}).*"
                                             "; the raw is kept"):
        check(path, moving(COUNT), row)


def test_one_pixel_by_one_level_in_a_lossless_movie(tmp_path: Path) -> None:
    frames = moving(COUNT, BGR)
    frames[23][119, 159, 2] ^= 1
    path = movie(tmp_path, frames, LOSSLESS)
    with pytest.raises(VerifyMismatch, match="frame 23: 1 of 19200 pixels are not as recorded, by "
                                             "up to 1, the first in line 119, column 159"):
        check(path, moving(COUNT, BGR), LOSSLESS, BGR)


@both
def test_missing_and_surplus_frames(tmp_path: Path, row: Preset) -> None:
    frames = moving(COUNT)
    path = movie(tmp_path, frames[:-1], row)
    with pytest.raises(VerifyMismatch, match="only 23 of 24 frames can be decoded"):
        check(path, frames, row)
    path = movie(tmp_path, frames, row)
    with pytest.raises(VerifyMismatch, match="more frames than the 23 recorded"):
        check(path, frames[:-1], row)


@both
def test_a_frame_that_is_left_out_in_the_middle(tmp_path: Path, row: Preset) -> None:
    frames = moving(COUNT)
    path = movie(tmp_path, [*frames[:10], *frames[11:]], row, np.delete(PTS, 10))
    with pytest.raises(VerifyMismatch, match="frame 10 is shown at tick 187, not 170"):
        check(path, frames, row)


@both
@pytest.mark.parametrize("shift", [-2, 2])
def test_a_frame_shown_at_another_time(tmp_path: Path, row: Preset, shift: int) -> None:
    wrong = PTS.copy()
    wrong[10] += shift
    path = movie(tmp_path, moving(COUNT), row, wrong)
    with pytest.raises(VerifyMismatch, match=f"frame 10 is shown at tick {170 + shift}, not 170"):
        check(path, moving(COUNT), row)


@both
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.98])
def test_a_truncated_tail(tmp_path: Path, row: Preset, kept: float) -> None:
    path = movie(tmp_path, moving(COUNT), row)
    os.truncate(path, int(kept * path.stat().st_size))
    with pytest.raises(VerifyMismatch, match="the raw is kept"):
        check(path, moving(COUNT), row)


@pytest.mark.parametrize("where", [0.2, 0.4, 0.6, 0.8])
def test_flipped_bytes_in_a_lossless_movie(tmp_path: Path, where: float) -> None:
    path = movie(tmp_path, moving(COUNT), LOSSLESS)
    flipped(where)(path)
    with pytest.raises(VerifyMismatch, match=r"frame \d+.*; the raw is kept"):
        check(path, moving(COUNT), LOSSLESS)


# --- colours ------------------------------------------------------------------------------------

def test_a_wrong_matrix(tmp_path: Path) -> None:
    """Pictures made with that of HD, in a movie that says the other one, as it should."""
    pictures = LossyPictures(BGR, colours=BT709)
    path = movie(tmp_path, coloured(), HIGH, pictures=pictures, colours=BT601)
    with pytest.raises(VerifyMismatch, match="frame 0: its values are those of matrix bt709"):
        check(path, coloured(), HIGH, BGR)


def coloured() -> list[Pixels]:
    """Leaves rather than stones: a wrong matrix is 12 levels off, which a preset may be."""
    return [frame // 2 + np.array([0, 110, 0], np.uint8) for frame in moving(COUNT, BGR)]


def test_a_range_that_was_not_limited(tmp_path: Path) -> None:
    """Values of full range in a movie that says limited."""
    low = [frame // 2 for frame in moving(COUNT)]
    form = LossyPictures(MONO)
    path = tmp_path / "x.mp4"
    write(path, (full_range(frame) for frame in low), PTS, form, HIGH, form.colours, 1000)
    with pytest.raises(VerifyMismatch, match="frame 0: its values are those of full range"):
        check(path, low, HIGH)


def full_range(frame: Pixels) -> av.VideoFrame:
    picture = av.VideoFrame(frame.shape[1], frame.shape[0], "yuv420p")
    for number in range(3):
        plane(picture, number)[:] = frame if number == 0 else 128
    return picture


@pytest.mark.parametrize(("claim", "says"), [
    (BT709, "says range 1, matrix 1 .*, not 1 and 6"),
    (dataclasses.replace(BT601, full_range=True), "is damaged or not .* yuv420p but .*yuvj420p")],
    ids=["matrix", "range"])
def test_a_wrong_claim_of_right_pictures(tmp_path: Path, claim: Colours, says: str) -> None:
    path = movie(tmp_path, moving(COUNT, BGR), HIGH, colours=claim)
    with pytest.raises(VerifyMismatch, match=f"frame 0 {says}"):
        check(path, moving(COUNT, BGR), HIGH, BGR)


# --- stopped in the middle ----------------------------------------------------------------------

@both
def test_a_stop_in_the_middle_returns_and_leaves_no_thread(tmp_path: Path, row: Preset) -> None:
    path = movie(tmp_path, moving(COUNT), row)
    stop = threading.Event()
    pictures = pictures_for(MONO, row)
    for _ in range(5):
        stop.clear()
        with pytest.raises(ExportStopped):
            verify(path, file_digest(path, stop), PTS, expected(pictures, moving(COUNT)),
                   pictures=pictures, preset=row, stop=stop,
                   on_frame=lambda index: stop.set() if index == 5 else None,
                   container=dataclasses.replace(MKV if row.lossless else MP4,
                                                 ticks_per_second=1000))
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    assert not [name for name in names if name.startswith("av:")]
