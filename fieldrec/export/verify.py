"""Is the movie what was recorded? Every frame of it is read back and compared to its raw frame.

Blocking; runs in the export process, before the movie gets its final name (I4) and long before
anybody may think of deleting the raw (I5). Four questions, in this order:

1. Is every byte on the medium the byte that was written? (XXH64, past the page cache.)
2. Does every frame decode, without concealment, and are there as many as were recorded?
3. Is every frame shown at its time, to one tick?
4. Does every frame look like its own raw frame, well enough for the preset, nowhere far off, and
   more like it than like the frames before and after? The last is judged only where block means
   really changed: noise that an encoder rightly smooths away does not count as motion. Of a
   lossless preset every pixel must be the same (judging.py).

Decoding has one thread, beside that which compares. FFmpeg's frame threads are not used, as a
decoder that is freed while they work can hang for ever, and a mismatch or a stop ends in the
middle; nor its slice threads, with which H.264 hides damage instead of telling it. Only lossless
movies are decoded with those: there every pixel is compared.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path

import av
import xxhash

from fieldrec.core import durable
from fieldrec.core.errors import VerifyMismatch
from fieldrec.export.containers import MP4, Container
from fieldrec.export.judging import Expected, Judge, Place, judge_for, neighbours
from fieldrec.export.judging import Quality as Quality
from fieldrec.export.judging import expected as expected
from fieldrec.export.pictures import Pictures
from fieldrec.export.prefetch import prefetched
from fieldrec.export.presets import Preset
from fieldrec.export.stopped import ExportStopped
from fieldrec.export.timing import Ticks

SLICE_BYTES = 1 << 20


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
    judge = judge_for(pictures, preset)
    with (contextlib.closing(_decoded(path, pictures, pts, stop, container)) as decoded,
          prefetched(decoded, "export-decode") as ahead):
        _compare(path, ahead, raw, judge, len(pts), on_frame)
    return judge.quality()


def _decoded(path: Path, pictures: Pictures, pts: Ticks, stop: threading.Event,
             container: Container) -> Generator[av.VideoFrame, None, None]:
    """The decoded frames, each whole and at its time, or VerifyMismatch."""
    index = 0
    try:
        with av.open(str(path), "r", format=container.muxer) as movie:
            stream = movie.streams.video[0]
            stream.thread_type = "SLICE" if pictures.is_exact else "NONE"
            stream.codec_context.thread_count = 0 if pictures.is_exact else 1
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
    """The decoded frame is whole, of the right size, wanted at all, shown in its colours and at its
    time."""
    if index >= len(pts):
        raise VerifyMismatch(f"{path}: more frames than the {len(pts)} recorded; the raw is kept")
    size = (picture.width, picture.height, picture.format.name)
    if size != (pictures.width, pictures.height, pictures.pixel_format) or picture.is_corrupt:
        raise VerifyMismatch(f"{path}: frame {index} is damaged or not {pictures.width}x"
                             f"{pictures.height} {pictures.pixel_format} but {size}; "
                             "the raw is kept")
    claim = (int(picture.color_range), int(picture.colorspace))
    true = (2 if pictures.colours.full_range else 1, pictures.colours.matrix_code)
    if claim != true and (container.tells_colours or not pictures.is_exact):
        raise VerifyMismatch(f"{path}: frame {index} says range {claim[0]}, matrix {claim[1]} (as "
                             f"in H.273), not {true[0]} and {true[1]}: players would show wrong "
                             "colours; the raw is kept")
    if not _is_shown_at(picture, int(pts[index]), container.ticks_per_second):
        found = None if picture.pts is None or picture.time_base is None else float(
            picture.pts * picture.time_base * container.ticks_per_second)
        raise VerifyMismatch(f"{path}: frame {index} is shown at tick "
                             f"{'none' if found is None else f'{found:.10g}'}, not {pts[index]} "
                             f"(1/{container.ticks_per_second} s); the raw is kept")


def _is_shown_at(picture: av.VideoFrame, tick: int, ticks_per_second: int) -> bool:
    """To one tick, whatever the time base; in whole numbers, which fractions are too slow for."""
    if picture.pts is None or picture.time_base is None:
        return False
    base = picture.time_base
    apart = picture.pts * base.numerator * ticks_per_second - tick * base.denominator
    return abs(apart) <= base.denominator


def _compare(path: Path, decoded: Iterator[av.VideoFrame], raw: Iterable[Expected], judge: Judge,
             count: int, on_frame: Callable[[int], None]) -> None:
    index = -1
    for index, (before, own, after) in enumerate(neighbours(raw)):
        picture = next(decoded, None)
        if picture is None:
            raise VerifyMismatch(f"{path}: only {index} of {count} frames can be decoded; "
                                 "the raw is kept")
        reason = judge.objection(index, picture, Place(before, own, after))
        if reason:
            raise VerifyMismatch(f"{path}: frame {index}: {reason}; the raw is kept")
        on_frame(index)
    if index + 1 != count:
        raise VerifyMismatch(f"{path}: the store gave {index + 1} of its {count} frames")
    for _ in decoded:  # one more frame than recorded is a mismatch, which _decoded raises
        pass
