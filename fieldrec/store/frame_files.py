"""Frame files of a directory store: one class for .npy, one for what OpenCV writes and reads.

One thread at a time. Pixels are written as imgstore writes them (the same bytes) and read as it
reads them, but for what it loses silently: 16 bits stay 16 bits, floats and alpha come back, a cut
file is an error, and a frame that the format cannot hold is refused. OpenCV is loaded by stores of
pictures only.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import xxhash
from numpy.typing import NDArray

from fieldrec.core.errors import StoreDamaged, StoreError
from fieldrec.store import picture_checks
from fieldrec.store.metadata import StoreMetadata
from fieldrec.store.npy_frames import NUMBERS, AnyPath, Buffer, NpyFiles, changed, read_file

COLOUR_SUFFIX = "+color"
PICTURE_FORMATS = ("bmp", "png", "jpg", "tif", "ppm", "pgm")
"""What OpenCV writes; all but jpg are lossless."""
_ALSO_IN_COLOUR = ("bmp", "png", "jpg", "tif")
_UNAVAILABLE = "bpk"


class FrameFiles(Protocol):
    """How frames lie in files of their own, one file each."""

    @property
    def extension(self) -> str:
        """Of the files, without the dot."""
        ...

    @property
    def lossless(self) -> bool:
        """Whether what is read is what was written."""
        ...

    def buffers(self, pixels: NDArray[Any]) -> tuple[list[Buffer], int]:
        """What to write, in this order, and how many bytes it is. Pixels are not copied where
        the file holds them as they are. ValueError for what the format cannot hold."""
        ...

    @property
    def digest_of(self) -> Callable[[NDArray[Any]], int] | None:
        """What :meth:`digest` gives, from C-contiguous pixels alone; None where it is not of
        them."""
        ...

    def digest(self, pixels: NDArray[Any], buffers: list[Buffer]) -> int:
        """XXH3-64 for the log and the index; `buffers` as :meth:`buffers` returned them.
        Of the pixel bytes in .npy, of the file's bytes in the other formats."""
        ...

    def is_whole(self, data: memoryview, digest: int) -> bool:
        """Whether these bytes of a file are all there and match the digest."""
        ...

    def looks_whole(self, data: memoryview) -> bool:
        """The same where no digest is known: nothing is cut, and it can be decoded. Flipped bits
        among the pixels are noticed in png only."""
        ...

    def decode(self, data: memoryview, path: AnyPath, out: NDArray[Any] | None = None
               ) -> NDArray[Any]:
        """The frame in these bytes of the file at `path`, in an array of its own or in `out`
        where that has just its shape and dtype. StoreDamaged, naming the path."""
        ...

    def read(self, path: AnyPath, out: NDArray[Any] | None = None, digest: int | None = None
             ) -> NDArray[Any]:
        """The frame in this file, as :meth:`decode`. One read of the whole file. StoreDamaged also
        when it is not what `digest` says."""
        ...


def directory_formats() -> tuple[str, ...]:
    """Every format that a directory store can be written in here; those with "+color" decode
    their `encoding` before writing."""
    return ("npy", *PICTURE_FORMATS, *(form + COLOUR_SUFFIX for form in _ALSO_IN_COLOUR))


def stored_format(form: str) -> str:
    """The format as metadata.yaml names it: "png" of "png+color"."""
    return form.removesuffix(COLOUR_SUFFIX)


def frame_files(metadata: StoreMetadata) -> FrameFiles:
    """How this directory store keeps its frames. StoreError when it is no format of ours."""
    form = stored_format(metadata.format)
    if metadata.is_video:
        raise StoreError(f"format {metadata.format} keeps frames in videos, not in files")
    if form == NpyFiles.extension:
        return NpyFiles(metadata.imgshape, metadata.dtype)
    if form in PICTURE_FORMATS:
        return PictureFiles(form, metadata.imgshape)
    if form == _UNAVAILABLE:
        raise StoreError("format bpk needs the package bloscpack, which does not run on Python "
                         "3.10 and newer; convert the store to npy with imgstore on an older one")
    raise StoreError(f"format {metadata.format} is not known; known are "
                     f"{', '.join(directory_formats())}")


class PictureFiles:
    """The frame files of a store of format png, bmp, tif, jpg, pgm or ppm."""

    digest_of = None

    def __init__(self, form: str, imgshape: tuple[int, ...]) -> None:
        """`imgshape` decides what is read: (h, w, 3) as BGR, (h, w, 4) as the file has it, any
        other as grey (h, w)."""
        self.extension = form
        channels = imgshape[2] if len(imgshape) == 3 else 1
        self.lossless = form != "jpg" and not (form == "pgm" and channels > 1)
        self._flags = _read_flags(channels)

    def buffers(self, pixels: NDArray[Any]) -> tuple[list[Buffer], int]:
        """[the encoded file] and its size. What ppm gets becomes colour, what pgm gets grey (and
        so loses its colours), as in imgstore. ValueError for what the format cannot hold."""
        import cv2

        channels = _channels(pixels)
        if not holds(self.extension, pixels.dtype.str, channels):
            raise ValueError(_refusal(self.extension, pixels, channels))
        try:
            done, encoded = cv2.imencode(f".{self.extension}", _fitted(self.extension, pixels))
        except cv2.error as error:
            raise ValueError(f"OpenCV cannot write a {pixels.dtype} frame of shape {pixels.shape} "
                             f"as {self.extension}") from error
        if not done:
            raise ValueError(f"OpenCV does not write a frame of shape {pixels.shape} as "
                             f"{self.extension}")
        return [encoded], int(encoded.nbytes)

    def digest(self, pixels: NDArray[Any], buffers: list[Buffer]) -> int:
        """XXH3-64 of the file's bytes."""
        return xxhash.xxh3_64_intdigest(buffers[0])

    def is_whole(self, data: memoryview, digest: int) -> bool:
        """Whether these are just the bytes that were written."""
        return xxhash.xxh3_64_intdigest(data) == digest

    def looks_whole(self, data: memoryview) -> bool:
        """Whether nothing is missing and OpenCV can decode it."""
        try:
            self.decode(data, "")
        except StoreDamaged:
            return False
        return True

    def read(self, path: AnyPath, out: NDArray[Any] | None = None, digest: int | None = None
             ) -> NDArray[Any]:
        """The picture in this file; `out` is used when shape and dtype are the picture's."""
        data = memoryview(read_file(path))
        if digest is not None and not self.is_whole(data, digest):
            raise changed(path)
        return self.decode(data, path, out)

    def decode(self, data: memoryview, path: AnyPath, out: NDArray[Any] | None = None
               ) -> NDArray[Any]:
        """The picture in these bytes, 8 or 16 bits or float as the file has it."""
        import cv2

        reason = picture_checks.problem(data)
        if reason is not None:
            raise StoreDamaged(f"{os.fspath(path)}: {reason}")
        try:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), self._flags)
        except cv2.error:
            pixels = None
        if pixels is None:
            raise StoreDamaged(f"{os.fspath(path)}: cannot be decoded as {self.extension}; damaged")
        picture: NDArray[Any] = np.asarray(pixels)
        if out is None or out.shape != picture.shape or out.dtype != picture.dtype:
            return picture
        np.copyto(out, picture)
        return out


# --- what fits -----------------------------------------------------------------------------------

@functools.cache
def holds(form: str, dtype: str, channels: int) -> bool:
    """Whether frames of this dtype (numpy's text, "<u2") come back as they are from the format,
    with the OpenCV that is installed: versions differ, so it is tried. Of jpg: dtype and shape.

    `channels` is 1 for (h, w) and (h, w, 1), 0 for what is no picture.
    """
    import cv2

    kind = np.dtype(dtype)
    if form == "npy":
        return kind.kind in NUMBERS
    if kind.kind not in "iuf" or channels not in (1, 3, 4):
        return False
    if form in ("pgm", "ppm"):
        if channels == 4:
            return False
        channels = 3 if form == "ppm" else 1
    sample = _sample(kind.newbyteorder("="), channels)
    try:
        done, encoded = cv2.imencode(f".{form}", sample)
        back = cv2.imdecode(encoded, _read_flags(channels)) if done else None
    except (cv2.error, TypeError):
        return False
    if back is None or back.dtype != sample.dtype or back.shape != sample.shape:
        return False
    return form == "jpg" or bool(np.array_equal(back, sample))


def _sample(dtype: np.dtype[Any], channels: int) -> NDArray[Any]:
    """A small picture with the extremes and some other values of a dtype."""
    values: list[Any]
    if dtype.kind == "f":
        limits = np.finfo(dtype)
        values = [limits.min, limits.max, limits.tiny, 0.1, -2.5, 1 / 3, 0.0]
    else:
        bounds = np.iinfo(dtype)
        values = [bounds.min, bounds.max, bounds.max // 2, bounds.max // 3, 0, 1, 2]
    shape = (5, 8) if channels == 1 else (5, 8, channels)
    return np.resize(np.array(values, dtype), shape)


def _channels(pixels: NDArray[Any]) -> int:
    if pixels.size == 0 or pixels.ndim not in (2, 3):
        return 0
    return 1 if pixels.ndim == 2 else pixels.shape[2]


def _refusal(form: str, pixels: NDArray[Any], channels: int) -> str:
    fitting = [other for other in ("npy", *PICTURE_FORMATS)
               if other != "jpg" and not (other == "pgm" and channels > 1)
               and holds(other, pixels.dtype.str, channels)]
    hint = f"use {' or '.join(fitting)}" if fitting else "no format holds it"
    return f"{form} cannot hold a {pixels.dtype} frame of shape {pixels.shape}: {hint}"


def _fitted(form: str, pixels: NDArray[Any]) -> NDArray[Any]:
    """The frame as OpenCV takes it: in this machine's byte order, and with the channels that pgm
    and ppm have."""
    import cv2

    if not pixels.dtype.isnative:
        pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    channels = _channels(pixels)
    if form == "ppm" and channels == 1:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR))
    if form == "pgm" and channels == 3:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY))
    return pixels


def _read_flags(channels: int) -> int:
    import cv2

    if channels == 4:
        return int(cv2.IMREAD_UNCHANGED)
    return int((cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE)
               | cv2.IMREAD_ANYDEPTH)
