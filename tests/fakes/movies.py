"""Small movies of stores, with what they carry and their sidecars, made by PyAV alone."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from fieldrec.core.model import Export
from fieldrec.export import embedding, sidecar
from fieldrec.export.containers import MKV, MP4, Container
from fieldrec.export.pictures import Pictures, pictures_for
from fieldrec.export.presets import preset
from fieldrec.export.reduced import reduction
from fieldrec.export.verify import Quality, file_digest
from fieldrec.store.reader import StoreReader
from fieldrec.store.spec import ours_in

AVI = Container(".avi", "avi", 1_000, 2**31 - 1)
ENCODERS = {"High": "libx264", "HEVC": "libx265", "VP9": "libvpx-vp9", "Lossless": "ffv1"}
OPTIONS = {"libx264": {"bf": "2", "g": "6", "crf": "8", "preset": "fast"},
           "libx265": {"crf": "8", "x265-params": "log-level=error:keyint=6:bframes=2"},
           "libvpx-vp9": {"crf": "8", "b": "0", "g": "6", "deadline": "realtime", "cpu-used": "8"},
           "ffv1": {"level": "3", "slicecrc": "1", "g": "1"}}


class File:
    """What encoding.PartFile is to an export."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def seek(self, offset: int, whence: int = 0) -> int:
        assert (offset, whence) == (0, 2)
        return 0

    def write(self, data: bytes) -> int:
        with self._path.open("ab") as file:
            return file.write(data)


def make_movie(store: Path, target: Path, name: str = "High", *, first: int = 0,
               end: int | None = None, unreadable: Sequence[int] = (), embeds: bool = True,
               form: str = sidecar.FORMAT, slices: tuple[int, int] = (0, 0)) -> Export:
    """The movie `target` of these frames, as an export makes it, true times in ticks."""
    row = preset(name)
    container = {".mp4": MP4, ".mkv": MKV, ".avi": AVI}[target.suffix]
    with StoreReader(store) as reader:
        end = reader.frame_count if end is None else end
        told = str(ours_in(reader.user_metadata).get("pixel_format") or "")
        reduced = reduction(reader.metadata, reader.spec, told, lambda: map(reader.read, range(3)),
                            lossless=row.lossless)
        pictures = pictures_for(reduced.spec, row)
        kept = [at for at in range(first, end) if at not in unreadable]
        frames = [reduced.apply(reader.read(at)) for at in kept]
        content = sidecar.content(
            sidecar.source_of(reader, store.name, first, end), preset=row, pictures=pictures,
            rules=pictures.rules(), encoder=ENCODERS[name], form=form, slice_number=slices[0],
            slice_count=slices[1], unreadable=[
                sidecar.Unreadable(at, int(reader.numbers[at]), "cut") for at in unreadable])
        ticks = (reader.times_ns[kept] - reader.times_ns[kept[0]]) * 90_000 // 10**9
    data = sidecar.text(content) if embeds else b""
    _encode(target, container, ENCODERS[name], pictures, frames, ticks.tolist(), data)
    export = Export(target, row.name, len(kept), target.stat().st_size,
                    file_digest(target, threading.Event()), 77, *slices, len(unreadable))
    sidecar.commit(export, content, Quality(40.0, 45.0))
    return export


def _encode(target: Path, container: Container, encoder: str, pictures: Pictures,
            frames: list[Any], ticks: list[int], data: bytes) -> None:
    with av.open(str(target), "w", format=container.muxer) as movie:
        stream: Any = movie.add_stream(encoder, rate=30, options=OPTIONS[encoder])
        stream.width, stream.height = pictures.width, pictures.height
        stream.pix_fmt = pictures.pixel_format
        colours = pictures.colours
        stream.codec_context.color_range = 2 if colours.full_range else 1
        stream.codec_context.colorspace = colours.matrix_code
        tick = Fraction(1, 30) if container is AVI else Fraction(1, 90_000)
        stream.codec_context.time_base = tick
        if data:
            embedding.before(movie, container, data)
        for at, pixels in enumerate(frames):
            picture = pictures.convert(np.ascontiguousarray(pixels))
            picture.pts = at if container is AVI else ticks[at]
            picture.time_base = tick
            movie.mux(stream.encode(picture))
        movie.mux(stream.encode(None))
    if data:
        embedding.after(File(target), container, data)
