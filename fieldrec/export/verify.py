"""Is the movie what was recorded? Every frame of it is read back and compared to its raw frame.

Blocking; runs in the export process, before the movie gets its final name (I4) and long before
anybody may think of deleting the raw (I5). Four questions, in this order:

1. Is every byte on the medium the byte that was written? (XXH64, past the page cache.)
2. Does every frame decode, without concealment, and are there as many as were recorded?
3. Is every frame shown at its time, to one tick?
4. Does every frame look like its own raw frame, well enough for the preset, nowhere far off, and
   more like it than like the frames before and after? The last is judged only where block means
   really changed: noise that an encoder rightly smooths away does not count as motion.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import xxhash

from fieldrec.core import durable
from fieldrec.core.errors import VerifyMismatch
from fieldrec.export.containers import MP4, Container
from fieldrec.export.pictures import Grey, Luma, Pictures, Pixels, on_grid
from fieldrec.export.presets import Preset
from fieldrec.export.stopped import ExportStopped
from fieldrec.export.timing import Ticks

SLICE_BYTES = 1 << 20
MOVED_LEVELS = 12.0
"""A block whose mean changed by more than this has moved; no preset smooths that away."""
PERFECT_DB = 100.0
"""Stands for the infinite PSNR of identical pictures."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What verification keeps of one raw frame: a twentieth of it."""

    grid: Luma
    blocks: Luma


@dataclass(frozen=True, slots=True)
class Quality:
    """How well the decoded frames match the raw ones."""

    psnr_min_db: float
    psnr_mean_db: float
    ssim_min: float = 0.0
    """Structural similarity of luma, 1 for the same; of the frames that were compared in full."""
    ssim_mean: float = 0.0
    compared: int = 0
    """Frames of which every pixel was compared; of all others a sixteenth and every block."""
    exact: bool = False
    """Whether every pixel of every frame is what was recorded."""


def expected(pictures: Pictures, frames: Iterable[Pixels]) -> Iterator[Expected]:
    """What the raw frames say; nothing of a frame is kept beyond the step."""
    for index, pixels in enumerate(frames):
        yield Expected(pictures.grid(pixels, index), pictures.blocks(pixels))


def written_digest(path: Path, descriptor: int, stop: threading.Event) -> str:
    """XXH64 of a file just written, then the file synced and dropped from the page cache.

    What reads it next gets it from the medium. SyncFailed; ExportStopped.
    """
    digest = file_digest(path, stop)
    durable.fsync(descriptor, path)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    return digest


def file_digest(path: Path, stop: threading.Event) -> str:
    """XXH64 of a file as 16 hexadecimal digits. ExportStopped soon after `stop` is set."""
    digest = xxhash.xxh64()
    with path.open("rb", buffering=0) as file:
        while block := file.read(SLICE_BYTES):
            if stop.is_set():
                raise ExportStopped("export stopped")
            digest.update(block)
    return digest.hexdigest()


def verify(path: Path, digest: str, pts: Ticks, raw: Iterable[Expected], *, pictures: Pictures,
           preset: Preset, stop: threading.Event, on_frame: Callable[[int], None],
           container: Container = MP4) -> Quality:
    """Answer the four questions for the movie at `path`, or raise.

    `digest` is that of the bytes written, `pts` and `raw` belong to the frames in order.
    VerifyMismatch names the first bad frame and the figures; ExportStopped.
    """
    found = file_digest(path, stop)
    if found != digest:
        raise VerifyMismatch(f"{path}: the medium gives other bytes than were written (XXH64 "
                             f"{found}, not {digest}): check the disk; the raw is kept")
    with contextlib.closing(_decoded(path, pictures, pts, stop, container)) as decoded:
        return _compare(path, decoded, raw, pictures, preset, len(pts), on_frame)


def _decoded(path: Path, pictures: Pictures, pts: Ticks, stop: threading.Event,
             container: Container) -> Generator[av.VideoFrame, None, None]:
    """The decoded frames, each whole and at its time, or VerifyMismatch."""
    index = 0
    try:
        with av.open(str(path), "r", format=container.muxer) as movie:
            stream = movie.streams.video[0]
            stream.thread_type = "AUTO"
            stream.codec_context.options = {"err_detect": "explode"}
            for picture in movie.decode(stream):
                if stop.is_set():
                    raise ExportStopped("export stopped")
                _check_place(path, picture, index, pictures, pts, container)
                yield picture
                index += 1
    except (av.FFmpegError, IndexError) as error:
        raise VerifyMismatch(f"{path}: frame {index} of {len(pts)} cannot be decoded: {error}; "
                             "the raw is kept") from error


def _check_place(path: Path, picture: av.VideoFrame, index: int, pictures: Pictures, pts: Ticks,
                 container: Container) -> None:
    """The decoded frame is whole, of the right size, wanted at all, and shown at its time."""
    if index >= len(pts):
        raise VerifyMismatch(f"{path}: more frames than the {len(pts)} recorded; the raw is kept")
    size = (picture.width, picture.height, picture.format.name)
    if size != (pictures.width, pictures.height, "yuv420p") or picture.is_corrupt:
        raise VerifyMismatch(f"{path}: frame {index} is damaged or not {pictures.width}x"
                             f"{pictures.height} yuv420p but {size}; the raw is kept")
    found = None
    if picture.pts is not None and picture.time_base is not None:
        found = picture.pts * picture.time_base * container.ticks_per_second
    if found is None or abs(found - int(pts[index])) > 1:
        raise VerifyMismatch(f"{path}: frame {index} is shown at tick {found}, not {pts[index]} "
                             f"(1/{container.ticks_per_second} s); the raw is kept")


def _compare(path: Path, decoded: Iterator[av.VideoFrame], raw: Iterable[Expected],
             pictures: Pictures, preset: Preset, count: int, on_frame: Callable[[int], None]
             ) -> Quality:
    worst_db, sum_db = PERFECT_DB, 0.0
    index = -1
    for index, (before, own, after) in enumerate(_with_neighbours(raw)):
        picture = next(decoded, None)
        if picture is None:
            raise VerifyMismatch(f"{path}: only {index} of {count} frames can be decoded; "
                                 "the raw is kept")
        psnr_db = _psnr_db(own.grid, on_grid(pictures.decoded_luma(picture), index))
        reason = _objection(pictures.decoded_blocks(picture), psnr_db, preset, before, own, after)
        if reason:
            raise VerifyMismatch(f"{path}: frame {index}: {reason}; the raw is kept")
        worst_db, sum_db = min(worst_db, psnr_db), sum_db + psnr_db
        on_frame(index)
    if index + 1 != count:
        raise VerifyMismatch(f"{path}: the store gave {index + 1} of its {count} frames")
    for _ in decoded:  # one more frame than recorded is a mismatch, which _decoded raises
        pass
    return Quality(psnr_min_db=round(worst_db, 2), psnr_mean_db=round(sum_db / count, 2))


def _objection(blocks: Luma, psnr_db: float, preset: Preset, before: Expected | None,
               own: Expected, after: Expected | None) -> str:
    """Why a decoded frame is not acceptable, with figures; "" when it is."""
    if psnr_db < preset.floor_db:
        return (f"luma PSNR {psnr_db:.1f} dB is under the {preset.floor_db:.0f} dB that "
                f"{preset.name} must have")
    furthest = float(np.abs(blocks - own.blocks).max())
    if furthest > preset.block_bound:
        return (f"a block is off by {furthest:.1f} levels, more than the "
                f"{preset.block_bound:.0f} allowed for {preset.name}")
    for other, which in ((before, "before"), (after, "after")):
        if other is not None and _is_nearer(blocks, other.blocks, own.blocks):
            return f"it shows the frame {which} it"
    return ""


def _is_nearer(blocks: Luma, other: Luma, own: Luma) -> bool:
    """Whether, where `own` and `other` really differ, the decoded blocks are nearer to `other`."""
    moved = np.abs(own - other) > MOVED_LEVELS
    to_own, to_other = blocks[moved] - own[moved], blocks[moved] - other[moved]
    return bool(np.dot(to_own, to_own) > np.dot(to_other, to_other))


def _psnr_db(own: Luma, decoded: Grey) -> float:
    difference = (own - decoded).ravel()
    mean_square = float(np.dot(difference, difference)) / difference.size
    if mean_square == 0:
        return PERFECT_DB
    return min(PERFECT_DB, 10 * float(np.log10(255 * 255 / mean_square)))


def _with_neighbours(raw: Iterable[Expected]
                     ) -> Iterator[tuple[Expected | None, Expected, Expected | None]]:
    """Each frame with the one before and the one after, holding three at a time."""
    before: Expected | None = None
    own: Expected | None = None
    for after in raw:
        if own is not None:
            yield before, own, after
        before, own = own, after
    if own is not None:
        yield before, own, None
