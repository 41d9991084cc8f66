"""The pixels of an exported movie, frame by frame: exact where it is lossless, else grey or BGR.

One thread at a time; blocks for the disk and the decoder. Which picture is the i-th, and that none
is missing, is :class:`VideoDecoder`'s work. Colours are what the movie's tags say: matrix and range
are obeyed, which players guess and OpenCV ignores. Imports PyAV and OpenCV.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from av import VideoFrame
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from fieldrec.core.errors import StoreDamaged
from fieldrec.store.chunk_paths import ChunkPaths
from fieldrec.store.metadata import StoreMetadata
from fieldrec.store.video.decoder import VideoDecoder

Pixels = NDArray[Any]

_FULL_RANGE = 2
_MATRICES = {1: Colorspace.ITU709, 5: Colorspace.ITU601, 6: Colorspace.ITU601}
"""H.273 code points of the matrices that we write."""
_HD_LINES = 720


class MovieFrames:
    """See :class:`fieldrec.store.frame_source.FrameSource`."""

    def __init__(self, path: Path, count: int, metadata: StoreMetadata,
                 pictures: Mapping[str, Any]) -> None:
        """`pictures`: what the movie's content says of them."""
        self._path, self._count = path, count
        self._shape = metadata.imgshape
        self._dtype = np.dtype(metadata.dtype)
        self._is_exact = bool(pictures.get("exact"))
        self._is_rgb = pictures.get("pixel_format") == "RGB8"
        self._decoder: VideoDecoder | None = None
        self._reformatter = VideoReformatter()
        self._grey: tuple[tuple[int, bool], Pixels] | None = None

    def read(self, chunk: ChunkPaths, position: int, out: Pixels | None = None,
             digest: int | None = None) -> Pixels:
        """As in the protocol; movies have no digests of frames."""
        if self._decoder is None:
            self._decoder = VideoDecoder(self._path, self._count)
        picture = self._decoder.picture(position)
        pixels = self._exact(picture) if self._is_exact else self._shown(picture)
        if pixels.shape[:2] != self._shape[:2] or pixels.dtype != self._dtype:
            raise StoreDamaged(f"{self._path}, picture {position}: it is {pixels.dtype} "
                               f"{list(pixels.shape)}, but {self._dtype} {list(self._shape)} was "
                               "recorded: it is another movie")
        pixels = pixels.reshape(self._shape)
        if out is None:
            return pixels
        np.copyto(out, pixels)
        return out

    def close(self) -> None:
        """As in the protocol."""
        if self._decoder is not None:
            self._decoder.close()
            self._decoder = None

    # --- lossless -------------------------------------------------------------------------------

    def _exact(self, picture: VideoFrame) -> Pixels:
        name = picture.format.name
        if name.startswith("gray"):
            return self._cropped(_plane(picture, 0)).copy()
        if name in ("bgr0", "bgra"):
            code = cv2.COLOR_BGRA2RGB if self._is_rgb else cv2.COLOR_BGRA2BGR
            return np.asarray(cv2.cvtColor(self._cropped(_plane(picture, 0, 4)), code))
        if name.startswith("gbrp") and "a" not in name:
            green, blue, red = (self._cropped(_plane(picture, number)) for number in range(3))
            return np.dstack([red, green, blue] if self._is_rgb else [blue, green, red])
        raise StoreDamaged(f"{self._path}: its pictures are {name}, which is no lossless movie of "
                           "fieldrec")

    # --- lossy ----------------------------------------------------------------------------------

    def _shown(self, picture: VideoFrame) -> Pixels:
        if len(self._shape) == 2:
            return self._lightness(picture)
        try:
            colour = self._reformatter.reformat(
                picture, format="bgr24", src_colorspace=_matrix(picture),
                src_color_range=(ColorRange.JPEG if _is_full(picture) else ColorRange.MPEG),
                dst_color_range=ColorRange.JPEG,
                interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND, threads=1)
        except (FFmpegError, ValueError) as error:
            raise StoreDamaged(f"{self._path}: pictures of format {picture.format.name} cannot be "
                               f"converted ({error})") from error
        return self._cropped(_plane(colour, 0, 3)).copy()

    def _lightness(self, picture: VideoFrame) -> Pixels:
        """Grey from luma alone, which is all that a movie of grey frames has."""
        luma = self._cropped(_plane(picture, 0))
        bits = picture.format.components[0].bits
        if bits == 8 and _is_full(picture):
            return luma.copy()
        return np.asarray(self._table(bits, _is_full(picture))[luma])

    def _table(self, bits: int, is_full: bool) -> Pixels:
        """8 bits of grey for every value of luma."""
        if self._grey is None or self._grey[0] != (bits, is_full):
            unit = 1 << (bits - 8)
            black, span = (0, (1 << bits) - 1) if is_full else (16 * unit, 219 * unit)
            values = (np.arange(1 << bits) - black) * (255 / span)
            self._grey = (bits, is_full), np.rint(values.clip(0, 255)).astype(np.uint8)
        return self._grey[1]

    def _cropped(self, pixels: Pixels) -> Pixels:
        """Without the padding at the right and below."""
        return pixels[:self._shape[0], :self._shape[1]]


def _is_full(picture: VideoFrame) -> bool:
    return picture.color_range == _FULL_RANGE or picture.format.name.startswith("yuvj")


def _matrix(picture: VideoFrame) -> int:
    untagged = Colorspace.ITU709 if picture.height >= _HD_LINES else Colorspace.ITU601
    return _MATRICES.get(int(picture.colorspace), untagged)


def _plane(picture: VideoFrame, number: int, channels: int = 1) -> Pixels:
    """One plane as an array over its memory, without the padding of its rows: (h, w), or
    (h, w, channels) of packed bytes."""
    memory: Any = picture.planes[number]
    rows: Pixels = np.frombuffer(memory, np.uint8).reshape(-1, memory.line_size)
    if channels > 1:
        packed = rows[:picture.height, :picture.width * channels]
        return packed.reshape(picture.height, picture.width, channels)
    if picture.format.components[0].bits == 8:
        return rows[:picture.height, :picture.width]
    return rows[:picture.height, :picture.width * 2].view("<u2")
