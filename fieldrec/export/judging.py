"""Is a decoded picture its raw frame? Said frame by frame, with figures; and how well, in the end.

Runs in the export process, in the thread that verifies. A judge sees a frame between the frames
before and after it: no quality alone tells a swapped frame from a noisy one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from fieldrec.export.looks import PERFECT_DB, Levels, Look, LossyLooks, psnr_db
from fieldrec.export.pictures import Pictures
from fieldrec.export.pictures_exact import ExactPictures
from fieldrec.export.pictures_lossy import LossyPictures
from fieldrec.export.presets import Preset
from fieldrec.export.similarity import Similarity

Pixels = NDArray[Any]
T = TypeVar("T")

EVERY = 30
"""Of so many frames one is compared in full; the first and the last are too."""
MOVED_LEVELS = 12.0
"""A block whose mean changed by more than this has moved; no preset smooths that away."""
MISTAKEN_LEVELS, MISTAKEN_BLOCKS = 6.0, 64
"""So many blocks must differ so much between right and wrong before a wrong matrix or range is
believed: chance, which errs both ways, does not come half the way for all of them."""

_NOTHING = np.empty(0, np.intp)

Expected = Look | Pixels
"""What is kept of a raw frame: its look, of a lossless movie's the frame itself."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How well the decoded frames match the raw ones."""

    psnr_min_db: float
    psnr_mean_db: float
    ssim_min: float = 0.0
    """Structural similarity of luma (windows of 8x8), 1 for the same; of `compared` frames."""
    ssim_mean: float = 0.0
    compared: int = 0
    """Frames of which every pixel was compared; of all others a 64th and every block."""
    exact: bool = False
    """Whether every pixel of every frame is what was recorded."""


@dataclass(frozen=True, slots=True)
class Place(Generic[T]):
    """A raw frame between its neighbours; None where there is none."""

    before: T | None
    own: T
    after: T | None


class Judge(Protocol):
    """Takes the frames of one movie in order."""

    def objection(self, index: int, picture: av.VideoFrame, place: Place[Any]) -> str:
        """Why the decoded frame is not acceptable, with figures; "" when it is."""
        ...

    def quality(self) -> Quality:
        """Of all frames so far, of which there was one at least."""
        ...


def expected(pictures: Pictures, frames: Iterable[Pixels]) -> Iterator[Expected]:
    """What the raw frames say. Of a lossless movie they are kept themselves, else a twentieth."""
    if isinstance(pictures, LossyPictures):
        looks = LossyLooks(pictures)
        for index, (_, pixels, after) in enumerate(neighbours(frames)):
            yield looks.of_raw(pixels, index, in_full=after is None or index % EVERY == 0)
    else:
        yield from frames


def judge_for(pictures: Pictures, preset: Preset) -> Judge:
    """The judge of movies with these pictures."""
    if isinstance(pictures, LossyPictures):
        return LossyJudge(pictures, preset)
    assert isinstance(pictures, ExactPictures)  # noqa: S101 - there is no third kind
    return ExactJudge(pictures)


def neighbours(items: Iterable[T]) -> Iterator[tuple[T | None, T, T | None]]:
    """Each item with the one before and the one after, holding three at a time."""
    before: T | None = None
    own: T | None = None
    for after in items:
        if own is not None:
            yield before, own, after
        before, own = own, after
    if own is not None:
        yield before, own, None


class LossyJudge:
    """Good enough for the preset, nowhere far off, and nearer to its own frame than to others."""

    def __init__(self, pictures: LossyPictures, preset: Preset) -> None:
        self._looks, self._preset = LossyLooks(pictures), preset
        self._similarity = Similarity((pictures.lines, pictures.columns))
        self._psnr_db, self._ssim = _Tally(), _Tally()
        self._moved = _NOTHING
        """Where the blocks of the frame before moved to get to this one."""

    def objection(self, index: int, picture: av.VideoFrame, place: Place[Look]) -> str:
        """See :class:`Judge`."""
        own = place.own
        if own.luma is None:
            similar = None
            decibel = psnr_db(own.grid, self._looks.grid(picture, index))
        else:
            luma = self._looks.luma(picture)
            similar, decibel = self._similarity.of(own.luma, luma), psnr_db(own.luma, luma)
            self._ssim.add(similar)
        self._psnr_db.add(decibel)
        return self._too_poor(decibel, similar) or self._misplaced(self._looks.blocks(picture),
                                                                   place)

    def quality(self) -> Quality:
        """See :class:`Judge`."""
        return Quality(
            psnr_min_db=round(self._psnr_db.least, 2), psnr_mean_db=round(self._psnr_db.mean, 2),
            ssim_min=round(self._ssim.least, 4), ssim_mean=round(self._ssim.mean, 4),
            compared=self._ssim.count)

    def _too_poor(self, decibel: float, similar: float | None) -> str:
        preset = self._preset
        if decibel < preset.floor_db:
            return (f"luma PSNR {decibel:.1f} dB is under the {preset.floor_db:.0f} dB that "
                    f"{preset.name} must have")
        if similar is not None and similar < preset.floor_ssim:
            return (f"luma SSIM {similar:.3f} is under the {preset.floor_ssim:.2f} that "
                    f"{preset.name} must have")
        return ""

    def _misplaced(self, blocks: Levels, place: Place[Look]) -> str:
        furthest = float(np.abs(blocks - place.own.blocks).max())
        if furthest > self._preset.block_bound:
            return (f"a block is off by {furthest:.1f} levels, more than the "
                    f"{self._preset.block_bound:.0f} allowed for {self._preset.name}")
        own, moved = place.own.blocks, self._moved
        if place.before is not None and _is_nearer(blocks, place.before.blocks, own, moved):
            return "it shows the frame before it"
        if place.after is not None:
            self._moved = moved = _apart(own, place.after.blocks, MOVED_LEVELS)
            if _is_nearer(blocks, place.after.blocks, own, moved):
                return "it shows the frame after it"
        for mistake, luma in place.own.mistakes:
            apart = _apart(own[:luma.size], luma, MISTAKEN_LEVELS)
            if apart.size >= MISTAKEN_BLOCKS and _is_nearer(blocks, luma, own, apart):
                return f"its values are those of {mistake}"
        return ""


class _Tally:
    """Least and mean of figures that come one by one, in millions perhaps."""

    def __init__(self) -> None:
        self.count, self.least, self._sum = 0, float("inf"), 0.0

    def add(self, figure: float) -> None:
        """One more."""
        self.count, self.least, self._sum = (
            self.count + 1, min(self.least, figure), self._sum + figure)

    @property
    def mean(self) -> float:
        """Of one at least."""
        return self._sum / self.count


class ExactJudge:
    """Every pixel as it was recorded."""

    def __init__(self, pictures: ExactPictures) -> None:
        self._pictures = pictures
        self._count = 0

    def objection(self, index: int, picture: av.VideoFrame, place: Place[Pixels]) -> str:
        """See :class:`Judge`."""
        self._count += 1
        decoded = self._pictures.decoded(picture)
        if np.array_equal(decoded, place.own.reshape(decoded.shape)):
            return ""
        for other, which in ((place.before, "before"), (place.after, "after")):
            if other is not None and np.array_equal(decoded, other.reshape(decoded.shape)):
                return f"it shows the frame {which} it"
        return _difference(decoded, place.own.reshape(decoded.shape))

    def quality(self) -> Quality:
        """See :class:`Judge`."""
        return Quality(PERFECT_DB, PERFECT_DB, 1.0, 1.0, self._count, exact=True)


def _difference(decoded: Pixels, own: Pixels) -> str:
    apart = np.abs(decoded.astype(np.int32) - own)
    wrong = apart.reshape(*apart.shape[:2], -1).max(axis=2)
    line, column = divmod(int((wrong > 0).argmax()), wrong.shape[1])
    return (f"{int(np.count_nonzero(wrong))} of {wrong.size} pixels are not as recorded, by up to "
            f"{int(wrong.max())}, the first in line {line}, column {column}")


def _apart(own: Levels, other: Levels, levels: float) -> NDArray[np.intp]:
    """Where both differ by more."""
    return np.flatnonzero(cv2.absdiff(own, other) > levels)


def _is_nearer(blocks: Levels, other: Levels, own: Levels, where: NDArray[np.intp]) -> bool:
    """Whether there, the decoded blocks are nearer to `other` than to `own`."""
    shown = blocks[where]
    to_own, to_other = shown - own[where], shown - other[where]
    return bool(np.dot(to_own, to_own) > np.dot(to_other, to_other))
