"""StoreAligner: imgstore's interface, doing what it was meant to do; and timecodes."""

from __future__ import annotations

import io
import math
from typing import Any

import imgstore.align as oracle
import imgstore.apps as oracle_apps
import numpy as np
import pytest
from numpy.typing import NDArray

from fieldrec.store.align import StoreAligner, generate_timecodes


class Frames:
    """A store in memory: numbers to times; an image is full of its number."""

    def __init__(self, numbers: dict[int, float], shape: tuple[int, ...] = (2, 3),
                 dtype: str = "uint8", damaged: int | None = None) -> None:
        self.image_shape = shape
        self._numbers, self._dtype, self._damaged = numbers, dtype, damaged

    def get_frame_metadata(self) -> dict[str, list[Any]]:
        return {"frame_number": list(self._numbers), "frame_time": list(self._numbers.values())}

    def get_image(self, frame_number: Any, exact_only: bool = True
                  ) -> tuple[NDArray[Any], tuple[int, float]]:
        assert type(frame_number) is int  # what imgstore's own stores need
        if frame_number not in self._numbers or frame_number == self._damaged:
            raise ValueError("not found")
        image = np.full(self.image_shape, frame_number, self._dtype)
        return image, (frame_number, self._numbers[frame_number])


def stores() -> tuple[Frames, Frames]:
    return (Frames({1: 0.1, 2: 0.2, 4: 0.4, 5: 0.5}), Frames({0: 1.0, 2: 1.2, 3: 1.3, 5: 1.5}))


def seen(policy: str) -> list[tuple[int, list[int]]]:
    aligner = StoreAligner(*stores())
    aligner.extract_common_frames(policy)
    return [(number, [int(image[0, 0]) for image in images])
            for number, images in aligner.iter_imgs()]


def test_only_what_all_have() -> None:
    aligner = StoreAligner(*stores())
    numbers = aligner.extract_common_frames(StoreAligner.MISSING_POLICY_DROP)
    assert numbers.tolist() == [2, 5]
    assert seen("drop") == [(2, [2, 2]), (5, [5, 5])]


def test_black_where_there_is_none() -> None:
    assert seen("black") == [(0, [0, 0]), (1, [1, 0]), (2, [2, 2]), (3, [0, 3]), (4, [4, 0]),
                             (5, [5, 5])]


def test_the_last_one_is_held() -> None:
    assert seen("zoh") == [(0, [0, 0]), (1, [1, 0]), (2, [2, 2]), (3, [2, 3]), (4, [4, 3]),
                           (5, [5, 5])]


def test_times_beside_the_images() -> None:
    aligner = StoreAligner(*stores())
    aligner.extract_common_frames("zoh")
    times = [times for _, _, times in aligner.iter_imgs(return_times=True)]
    assert times[2] == [0.2, 1.2]
    assert math.isnan(times[1][1])


def test_a_second_call_starts_anew_with_its_own_policy() -> None:
    aligner = StoreAligner(*stores())
    assert len(aligner.extract_common_frames("zoh")) == 6
    assert aligner.extract_common_frames("drop").tolist() == [2, 5]
    assert aligner.extract_common_frames("black").tolist() == [0, 1, 2, 3, 4, 5]


def test_a_damaged_frame_counts_as_missing() -> None:
    aligner = StoreAligner(Frames({1: 1.0, 2: 2.0}), Frames({1: 1.0, 2: 2.0}, damaged=1))
    aligner.extract_common_frames("drop")
    assert [number for number, _ in aligner.iter_imgs()] == [2]


def test_black_is_of_the_stores_type() -> None:
    aligner = StoreAligner(Frames({1: 1.0}, dtype="uint16"), Frames({2: 1.0}, dtype="uint16"))
    aligner.extract_common_frames("black")
    assert {image.dtype.name for _, images in aligner.iter_imgs() for image in images} == {"uint16"}


def test_nothing_in_common() -> None:
    aligner = StoreAligner(Frames({1: 1.0}), Frames({2: 1.0}))
    assert aligner.extract_common_frames("drop").tolist() == []
    assert list(aligner.iter_imgs()) == []


@pytest.mark.parametrize("module", [oracle.StoreAligner, StoreAligner], ids=["imgstore", "ours"])
def test_the_same_mistakes_fail_alike(module: Any) -> None:
    with pytest.raises(AssertionError):
        module()
    with pytest.raises(AssertionError):
        module(Frames({}), Frames({}, (4, 4)))
    with pytest.raises(AssertionError):
        module(*stores()).extract_common_frames("nearest")
    with pytest.raises(AssertionError):
        next(module(*stores()).iter_imgs())
    assert (module.MISSING_POLICY_DROP, module.MISSING_POLICY_HOLD,
            module.MISSING_POLICY_BLACK) == ("drop", "zoh", "black")


def test_timecodes_are_imgstores() -> None:
    ours, theirs = io.StringIO(), io.StringIO()
    store = Frames({1: 1700000000.25, 2: 1700000000.29, 9: 1700000001.0004, 3: 1699999999.0})
    since = generate_timecodes(store, ours)
    assert since.tolist() == oracle_apps.generate_timecodes(store, theirs).tolist()
    assert ours.getvalue() == theirs.getvalue()
    assert generate_timecodes(Frames({}), ours).tolist() == []
