"""The pixels of a video store, byte for byte as OpenCV (and so imgstore) shows the same file.

Frame `position` of a chunk is the picture at that place in the order of showing, whatever the
container says about times and rates. One thread at a time; blocks for the disk and the decoder. The
store's index says how many pictures a chunk must have: with it a lost picture is noticed. PyAV and
OpenCV are imported when the first picture is read.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from fieldrec.core.errors import StoreDamaged
from fieldrec.store.chunk_paths import ChunkPaths
from fieldrec.store.layout import parse_index, parse_index_yaml
from fieldrec.store.metadata import StoreMetadata

if TYPE_CHECKING:
    from av import VideoFrame

    from fieldrec.store.video.decoder import VideoDecoder
    from fieldrec.store.video.order import Listing

_OPEN_CHUNKS = 2
"""Two, so that comparing frames at a chunk's border does not open files for ever."""
_LISTING_BYTES = 32 << 20
"""Listings of closed chunks are kept up to here: some 600,000 frames."""
_Signature = tuple[int, int, int, int]


class VideoFrames:
    """See :class:`fieldrec.store.frame_source.FrameSource`."""

    def __init__(self, metadata: StoreMetadata) -> None:
        self._shape = metadata.imgshape
        self._colour = metadata.is_colour
        self._open: OrderedDict[Path, VideoDecoder] = OrderedDict()
        self._listings: OrderedDict[Path, tuple[_Signature, Listing]] = OrderedDict()
        self._converter: Any = None

    def read(self, chunk: ChunkPaths, position: int, out: NDArray[Any] | None = None,
             digest: int | None = None) -> NDArray[Any]:
        """As in the protocol: uint8, (h, w, 3) BGR or, for all that is not colour, (h, w). Video
        chunks have no digests of pixels."""
        frame = self._decoder(chunk).picture(position)
        return self._pixels(frame, chunk.frames, position, out)

    def close(self) -> None:
        """As in the protocol."""
        while self._open:
            self._open.popitem()[1].close()
        self._listings.clear()
        self._converter = None

    def _decoder(self, chunk: ChunkPaths) -> VideoDecoder:
        path = chunk.frames
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path]
        from fieldrec.store.video.decoder import VideoDecoder

        while len(self._open) >= _OPEN_CHUNKS:
            self._open.popitem(last=False)[1].close()
        signature = _signature(path)
        known = self._listings.get(path)
        listing = known[1] if known is not None and known[0] == signature else None
        expected = _expected(chunk) if listing is None else None
        decoder = self._open[path] = VideoDecoder(path, expected, listing)
        if signature is not None:
            self._remember(path, signature, decoder.listing)
        return decoder

    def _remember(self, path: Path, signature: _Signature, listing: Listing) -> None:
        self._listings[path] = signature, listing
        self._listings.move_to_end(path)
        held = sum(listing.table.nbytes for _signature, listing in self._listings.values())
        while held > _LISTING_BYTES and len(self._listings) > 1:
            held -= self._listings.popitem(last=False)[1][1].table.nbytes

    def _pixels(self, frame: VideoFrame, path: Path, position: int, out: NDArray[Any] | None
                ) -> NDArray[Any]:
        if self._converter is None:
            from fieldrec.store.video.pixels import PixelConverter

            self._converter = PixelConverter(self._colour)
        try:
            return self._converter.pixels(frame, out)  # type: ignore[no-any-return]
        except ValueError as error:
            raise StoreDamaged(f"{path}, picture {position}: {error}; the store's metadata says "
                               f"{list(self._shape)}") from error


def picture_count(path: Path) -> int:
    """How many pictures of a video file can be told apart for certain, whatever its header says:
    all of a whole one. Blocks for up to one reading of the file. StoreDamaged when it cannot be
    opened, StoreError."""
    from fieldrec.store.video.decoder import VideoDecoder

    decoder = VideoDecoder(path, None)
    decoder.close()
    return decoder.listing.table.told_apart()


def problems_of(path: Path, *, deep: bool = False) -> str | None:
    """Why a video file is not whole, in words; None when nothing speaks against it.

    Reads the file to its end and checks what checksums it has; `deep` decodes every picture too.
    StoreError when it cannot be read for a reason outside of it.
    """
    from fieldrec.store.video.decoder import problems

    return problems(path, deep)


def _signature(path: Path) -> _Signature | None:
    with contextlib.suppress(OSError):
        status = path.stat()
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    return None


def _expected(chunk: ChunkPaths) -> int | None:
    """How many frames the chunk's index lists; None when it cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        return len(parse_index(chunk.index.read_bytes()))
    with contextlib.suppress(OSError, ValueError):
        return len(parse_index_yaml(chunk.index_yaml.read_text(encoding="utf-8")))
    return None
