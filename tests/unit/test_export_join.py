"""Segments joined: no seam that ffprobe, ffmpeg or a decoder could find."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from fieldrec.core import durable
from fieldrec.core.errors import EncoderFailed
from fieldrec.core.model import FrameSpec
from fieldrec.export.containers import CONTAINERS, MP4, Container
from fieldrec.export.encoding import MovieFormat, encode_segment, frame_time
from fieldrec.export.join import SegmentsDiffer, decoding_times, join, positions
from fieldrec.export.opening import open_stream
from fieldrec.export.part import PartFile
from fieldrec.export.pictures import pictures_for, plane
from fieldrec.export.presets import PRESETS, Preset, preset
from fieldrec.export.segment_file import Segment, SegmentWriter, Unreadable
from fieldrec.export.stopped import ExportStopped
from fieldrec.export.timing import Ticks, ticks
from tests.fakes.export_content import BGR, MONO, moving, uneven_times
from tests.fakes.waiting import PATIENCE_S

COUNT, PER_SEGMENT, HZ = 64, 24, 60.0
ROWS = {row.codec: row for row in reversed(PRESETS)}.values()
"""A preset for each codec."""
NEVER = threading.Event()
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None,
                                  reason="ffmpeg is not installed")


def movie_form(row: Preset, spec: FrameSpec, container: Container) -> MovieFormat:
    pictures = pictures_for(spec, row)
    return MovieFormat(row, pictures.width, pictures.height, pictures.pixel_format,
                       pictures.colours, HZ, {"title": "bees"}, container)


def converted(row: Preset, spec: FrameSpec, count: int, first: int = 0, end: int | None = None,
              unreadable: Sequence[int] = ()) -> Iterator[av.VideoFrame | Unreadable]:
    pictures = pictures_for(spec, row)
    for position, frame in enumerate(moving(count, spec)[first:end], first):
        if position in unreadable:
            yield Unreadable(position, "not whole")
            continue
        picture = pictures.convert(frame)
        picture.pts = position
        yield picture


def segments_of(folder: Path, form: MovieFormat, spec: FrameSpec, count: int = COUNT,
                per_segment: int = PER_SEGMENT, unreadable: Sequence[int] = ()) -> list[Segment]:
    made = []
    for first in range(0, count, per_segment):
        end = min(count, first + per_segment)
        with SegmentWriter(folder, first, end) as writer:
            own = converted(form.preset, spec, count, first, end, unreadable)
            made.append(encode_segment(writer, own, form, HZ, stop=NEVER, on_frame=lambda _: None))
    return made


def joined(path: Path, segments: Sequence[Segment], pts: Ticks, form: MovieFormat,
           stop: threading.Event = NEVER) -> Path:
    descriptor = durable.create(path)
    try:
        join(PartFile(path, descriptor), segments, pts, form, HZ, content=b'{"a": 1}', stop=stop,
             on_packet=lambda _: None)
    finally:
        os.close(descriptor)
    return path


def decoded(path: Path) -> list[bytes]:
    """The pixels of every picture."""
    with av.open(str(path)) as movie:
        movie.streams.video[0].thread_type = "SLICE"
        return [b"".join(plane(picture, number).tobytes()
                         for number in range(len(picture.planes)))
                for picture in movie.decode(video=0)]


def packets(path: Path) -> list[dict[str, Any]]:
    told = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", "packet=pts_time,dts_time,flags", "-of", "json",
         str(path)], capture_output=True, check=True, text=True, timeout=PATIENCE_S)
    assert told.stderr == ""
    found: list[dict[str, Any]] = json.loads(told.stdout)["packets"]
    return found


@needs_ffmpeg
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@pytest.mark.parametrize("extension", [".mp4", ".mkv"])
def test_there_is_no_seam(tmp_path: Path, row: Preset, extension: str) -> None:
    if extension == ".mp4" and row.lossless:
        pytest.skip("FFV1 is not put into mp4")
    container = next(found for found in CONTAINERS if found.extension == extension)
    form = movie_form(row, BGR, container)
    pts, _ = ticks(uneven_times(COUNT), container)
    segments = segments_of(tmp_path, form, BGR)
    assert positions(segments).tolist() == list(range(COUNT))
    movie = joined(tmp_path / f"x{extension}", segments, pts, form)
    found = packets(movie)
    seconds = sorted(float(packet["pts_time"]) for packet in found)
    assert np.abs(seconds - pts / container.ticks_per_second).max() < 1e-6
    if container is MP4:  # Matroska has no times of decoding
        decoding = [float(packet["dts_time"]) for packet in found]
        assert (np.diff(decoding) > 0).all()
        assert all(at <= float(packet["pts_time"])
                   for at, packet in zip(decoding, found, strict=True))
    keys = {round(float(packet["pts_time"]), 5) for packet in found if "K" in packet["flags"]}
    starts = {round(pts[first] / container.ticks_per_second, 5)
              for first in range(0, COUNT, PER_SEGMENT)}
    assert starts <= keys
    assert row.lossless or len(keys) < len(starts) + 3, "a key frame where none should be"
    said = subprocess.run(
        ["ffmpeg", "-v", "warning", "-i", str(movie), "-fps_mode", "passthrough", "-enc_time_base",
         "1:100000", "-f", "null", "-"], capture_output=True, text=True,
        timeout=PATIENCE_S, check=False)
    assert (said.returncode, said.stderr) == (0, "")
    alone = [picture for number, segment in enumerate(segments) for picture in decoded(joined(
        tmp_path / f"{number}{extension}", [segment], pts[segment.first:segment.end], form))]
    assert decoded(movie) == alone


@pytest.mark.parametrize("row", [row for row in ROWS if not row.lossless],
                         ids=lambda row: row.name)
def test_the_join_is_what_encoding_into_the_movie_gives(tmp_path: Path, row: Preset) -> None:
    """One encoder, as part of a movie, whose packets go into a segment too."""
    form = movie_form(row, MONO, MP4)
    options = {**MP4.options, "moov_size": "30000"}
    with av.open(str(tmp_path / "direct.mp4"), "w", format="mp4", options=options) as movie, \
            SegmentWriter(tmp_path, 0, 60) as writer:
        movie.metadata["title"] = "bees"
        stream = open_stream(movie, form, HZ, frame_time(HZ))
        stream.time_base = Fraction(1, 90_000)
        for picture in (*converted(form.preset, MONO, 60), None):
            assert not isinstance(picture, Unreadable)
            if picture is not None:
                picture.time_base, picture.duration = frame_time(HZ), 1
            for packet in stream.encode(picture):
                assert packet.pts is not None
                writer.add(packet.pts, packet.is_keyframe, bytes(packet))
                movie.mux(packet)
        segment = writer.commit(stream.codec_context.extradata or b"")
    pts = np.arange(60, dtype=np.int64) * 1500
    through = joined(tmp_path / "joined.mp4", [segment], pts, form).read_bytes()
    direct = (tmp_path / "direct.mp4").read_bytes()
    assert box(through, b"mdat") == box(direct, b"mdat")
    for name in (b"stsd", b"stts", b"ctts", b"stss", b"stsz", b"elst", b"mdhd", b"tkhd"):
        assert part_after(through, name) == part_after(direct, name), name


def box(movie: bytes, name: bytes) -> bytes:
    """The content of a box of the movie's first level."""
    at = 0
    while movie[at + 4:at + 8] != name:
        at += int.from_bytes(movie[at:at + 4], "big")
    return movie[at + 8:at + int.from_bytes(movie[at:at + 4], "big")]


def part_after(movie: bytes, name: bytes) -> bytes:
    """The content of a box within moov; b"" without it."""
    tables = box(movie, b"moov")
    at = tables.find(name)
    return tables[at:at + int.from_bytes(tables[at - 4:at], "big") - 4] if at > 0 else b""


def test_frames_that_could_not_be_read_are_left_out(tmp_path: Path) -> None:
    form = movie_form(preset("High"), MONO, MP4)
    segments = segments_of(tmp_path, form, MONO, 60, 12, unreadable=[0, 5, *range(24, 36), 59])
    kept = positions(segments)
    assert kept.tolist() == [*range(1, 5), *range(6, 24), *range(36, 59)]
    pts, _ = ticks(uneven_times(60)[kept])
    assert len(decoded(joined(tmp_path / "x.mp4", segments, pts, form))) == 45


@pytest.mark.parametrize("count", [1, 2, 3])
def test_very_short_ones(tmp_path: Path, count: int) -> None:
    form = movie_form(preset("High"), MONO, MP4)
    pts, _ = ticks(uneven_times(count))
    segments = segments_of(tmp_path, form, MONO, count)
    assert len(decoded(joined(tmp_path / "x.mp4", segments, pts, form))) == count


def test_segments_of_other_encoders_do_not_join(tmp_path: Path) -> None:
    form = movie_form(preset("High"), MONO, MP4)
    (tmp_path / "other").mkdir()
    other = dataclasses.replace(form, preset=preset("Low"))
    segments = segments_of(tmp_path, form, MONO, 24, 12)
    segments[1] = segments_of(tmp_path / "other", other, MONO, 24, 12)[1]
    with pytest.raises(SegmentsDiffer, match="set up otherwise"):
        joined(tmp_path / "x.mp4", segments, ticks(uneven_times(24))[0], form)


@pytest.mark.parametrize("harm", ["lost", "twice", "foreign"])
def test_an_encoder_that_gives_other_frames_is_found_out(tmp_path: Path, harm: str) -> None:
    segment = segments_of(tmp_path, movie_form(preset("High"), MONO, MP4), MONO, 12)[0]
    table = segment.table.copy()
    table["position"][3] = {"twice": table["position"][4], "foreign": 12}.get(harm, 3)
    broken = dataclasses.replace(segment, table=table[:-1] if harm == "lost" else table)
    with pytest.raises(EncoderFailed, match="other frames"):
        positions([broken])


def test_stop_ends_it_soon(tmp_path: Path) -> None:
    form = movie_form(preset("High"), MONO, MP4)
    segments = segments_of(tmp_path, form, MONO, 12)
    stop = threading.Event()
    stop.set()
    with pytest.raises(ExportStopped):
        joined(tmp_path / "x.mp4", segments, ticks(uneven_times(12))[0], form, stop)


@pytest.mark.parametrize("places", [[0], [0, 1, 2], [0, 3, 1, 2, 4], [0, 4, 2, 1, 3]])
@pytest.mark.parametrize("depth", [0, 2])
def test_decoding_times_ascend_and_are_not_after_showing(places: list[int], depth: int) -> None:
    pts = np.array([0, 10, 11, 40, 1000], np.int64)[:len(places)]
    found = decoding_times(pts, np.array(places), depth)
    assert (np.diff(found) > 0).all()
    assert (found <= pts[places]).all()
