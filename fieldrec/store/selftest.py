"""Does this machine write and read every format right? Small stores of each kind, written through
the public interface into a folder, read back in order and by seeks, and compared.

Blocking; what it wrote is gone at the end. A format that cannot be written here is told as such,
with the reason; it is no failure. A picture that reads back wrong is.
"""

from __future__ import annotations

import importlib.util
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldrec import store as stores
from fieldrec.core.errors import FieldrecError, StoreError
from fieldrec.store import encodings
from fieldrec.store.compare_pixels import pixel_digest, psnr_db
from fieldrec.store.frame_files import directory_formats, holds
from fieldrec.store.metadata import VIDEO_FORMATS
from fieldrec.store.video.codec import available

Pixels = NDArray[Any]

SHAPES: tuple[tuple[int, ...], ...] = ((48, 64), (47, 63), (48, 64, 3), (47, 63, 3))
DTYPES = ("uint8", "uint16", "float32")
MOSAIC = "cv_bayerbg"
FRAMES, CHUNKSIZE = 10, 4
VIDEO_FRAMES, VIDEO_CHUNKSIZE = 75, 30
"""Longer than a codec looks ahead, and not a multiple of the chunk."""
LEAST_DB = 35.0
"""Of jpg, which has 46 dB and more here, and the frame before 30 at most; video is judged by which
frame it shows."""
NOTES = {"bpk": "bloscpack, which it needs, does not run on Python 3.10 and newer; convert such "
                "stores with imgstore on an older one"}


@dataclass(slots=True)
class Result:
    """What was found of one format."""

    format: str
    tried: list[str] = field(default_factory=list)
    """What was written and read: "uint8 mono", "cv_bayerbg" …"""
    failures: list[str] = field(default_factory=list)
    unavailable: str = ""
    """Why it cannot be written here."""

    @property
    def right(self) -> bool:
        """Whether nothing that was tried read back wrong."""
        return not self.failures


@dataclass(frozen=True, slots=True)
class Missing:
    """An optional part that is not installed."""

    name: str
    needed_for: str
    how: str


class SelftestStopped(StoreError):
    """The test was told to stop; nothing of it is left."""


def selftest(folder: Path | None, stop: threading.Event) -> Iterator[Result]:
    """Test each format in turn, in a new folder within `folder` (default: the system's temporary
    one). StoreError when nothing can be written there."""
    try:
        with tempfile.TemporaryDirectory(prefix="fieldrec-selftest-", dir=folder) as name:
            for form in (*directory_formats(), "bpk", *VIDEO_FORMATS):
                yield _tested(form, Path(name), stop)
    except OSError as error:
        raise StoreError(f"{folder or tempfile.gettempdir()}: {error.strerror or error}") from error


def missing() -> list[Missing]:
    """Optional packages that are not there."""
    packages = (
        Missing("pandas", "extra data as a table (get_extra_data)", "pip install 'fieldrec[pandas]'"
                ),
        Missing("h5py", "extra data of Motif's .h5 files", "pip install 'fieldrec[motif]'"),
    )
    return [part for part in packages if importlib.util.find_spec(part.name) is None]


def _tested(form: str, folder: Path, stop: threading.Event) -> Result:
    result = Result(form)
    result.unavailable = NOTES.get(form) or (
        (available(form) or "") if form in VIDEO_FORMATS else "")
    if result.unavailable:
        return result
    for at, case in enumerate(_cases(form)):
        if stop.is_set():
            raise SelftestStopped("stopped")
        result.tried.append(case.name)
        try:
            problem = case.problem(folder / f"{form.replace('/', '-')}-{at}")
        except (FieldrecError, OSError, ValueError, EOFError) as error:
            problem = f"{type(error).__name__}: {error}"
        if problem:
            result.failures.append(f"{case.name}: {problem}")
    return result


def _cases(form: str) -> Iterator[_Case]:
    if form in VIDEO_FORMATS:
        yield from (_VideoCase(form, shape, "uint8", None) for shape in SHAPES)
        return
    plain = form.removesuffix("+color")
    for shape in SHAPES if plain == form else ():
        channels = shape[2] if len(shape) == 3 else 1
        if plain == "pgm" and channels == 3:
            continue  # it would be written as grey
        for dtype in DTYPES:
            if holds(form, np.dtype(dtype).str, channels):
                yield _Case(form, shape, dtype, None)
    if plain not in ("jpg", "ppm") or plain != form:
        yield _Case(form, SHAPES[0], "uint8", MOSAIC)


@dataclass(frozen=True, slots=True)
class _Case:
    """One store that is written and read."""

    form: str
    shape: tuple[int, ...]
    dtype: str
    encoding: str | None
    frames = FRAMES
    chunksize = CHUNKSIZE

    @property
    def name(self) -> str:
        if self.encoding:
            return self.encoding
        return (f"{self.dtype} {'colour' if len(self.shape) == 3 else 'mono'} "
                f"{self.shape[1]}x{self.shape[0]}")

    def problem(self, path: Path) -> str:
        """What is wrong with what was read; "" when nothing is."""
        numbers = [2 * at + (5 if at > 3 else 0) for at in range(self.frames)]
        times_s = [1.7e9 + at / 7 for at in range(self.frames)]
        self._write(path, numbers, times_s)
        with stores.new_for_filename(path) as store:
            found = store.get_frame_metadata()
            if found["frame_number"] != numbers or found["frame_time"] != times_s:
                return "numbers or times differ"
            if store.user_metadata != {"species": "frog"}:
                return "user metadata differs"
            for at, (pixels, (number, time_s)) in enumerate(store):
                if (number, time_s) != (numbers[at], times_s[at]):
                    return f"frame {at} in order: another number or time"
                if what := self.objection(at, pixels):
                    return f"frame {at} in order: {what}"
            for at in _anyhow(self.frames):
                pixels, (number, _) = store.get_image(numbers[at])
                if number != numbers[at] or (what := self.objection(at, pixels)):
                    return f"frame {at} by its number: {what or 'another one'}"
        return self._extra_problem(path)

    def _write(self, path: Path, numbers: list[int], times_s: list[float]) -> None:
        with stores.new_for_format(
                self.form, path, imgshape=self.shape, imgdtype=self.dtype, encoding=self.encoding,
                chunksize=self.chunksize, metadata={"species": "frog"}) as store:
            for at in range(self.frames):
                store.add_image(self.given(at), numbers[at], times_s[at])
                store.add_extra_data(temperature=at / 2)

    def _extra_problem(self, path: Path) -> str:
        read = [record["temperature"] for record in stores.iter_extra_records(path)]
        return "" if read == [at / 2 for at in range(self.frames)] else "extra data differs"

    def given(self, at: int) -> Pixels:
        """The frame that is written."""
        height, width = self.shape[:2]
        smooth = np.add.outer(3 * np.arange(height), 2 * np.arange(width)) + 9 * at
        planes = [smooth + 30 * n for n in range(self.shape[2] if len(self.shape) == 3 else 1)]
        values = np.dstack(planes).reshape(self.shape)
        if self.dtype == "float32":
            return (values / 37 - 1).astype(np.float32)
        scale = 1 if self.dtype == "uint8" else 131
        pixels: Pixels = (np.abs(values % 400 - 200) * scale).astype(self.dtype)
        return pixels

    def objection(self, at: int, pixels: Pixels) -> str:
        """What is wrong with a frame that was read; "" when nothing is."""
        expected = self.given(at)
        if self.encoding:
            expected = encodings.decode(expected, self.encoding)
        if self.form.startswith("jpg"):
            if pixels.shape != expected.shape:
                return f"its shape is {pixels.shape}"
            quality_db = psnr_db(expected, pixels)
            return "" if quality_db >= LEAST_DB else f"PSNR {quality_db:.1f} dB"
        return "" if pixel_digest(pixels) == pixel_digest(expected) else "other pixels"


class _VideoCase(_Case):
    """Lossy: which frame it is stands in large squares, one per bit."""

    __slots__ = ()
    frames = VIDEO_FRAMES
    chunksize = VIDEO_CHUNKSIZE

    def given(self, at: int) -> Pixels:
        """Eight squares in two rows, dark or bright."""
        bits = np.array([(at >> bit) & 1 for bit in range(8)]).reshape(2, 4)
        squares = np.kron(30 + 190 * bits, np.ones((24, 16)))[:self.shape[0], :self.shape[1]]
        grey = squares.astype(np.uint8)
        return grey if len(self.shape) == 2 else np.dstack([grey, grey, grey])

    def objection(self, at: int, pixels: Pixels) -> str:
        """As of any other, by the squares."""
        height, width = (extent & -2 for extent in self.shape[:2])
        if pixels.shape[:2] != (height, width) or pixels.ndim != len(self.shape):
            return f"its shape is {pixels.shape}"
        grey = pixels if pixels.ndim == 2 else pixels[:, :, 1]
        centres = grey[12::24, 8::16] > 125
        shown = sum(1 << bit for bit, is_set in enumerate(centres.ravel().tolist()) if is_set)
        return "" if shown == at else f"it shows frame {shown}"


def _anyhow(count: int) -> list[int]:
    """All places, in an order that seeks far, near, forwards and back."""
    places: list[int] = np.random.default_rng(count).permutation(count).tolist()
    return places
