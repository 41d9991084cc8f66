"""Two frames are the same when type, shape and values are; lossy ones are told by how far."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fieldrec.store.compare_pixels import PERFECT_DB, pixel_digest, psnr_db

RAMP = np.arange(48, dtype=np.uint8).reshape(6, 8)


def test_the_same_in_another_layout_byte_order_or_with_a_last_extent_of_one() -> None:
    deep = RAMP.astype(np.uint16)
    assert pixel_digest(deep) == pixel_digest(np.asfortranarray(deep))
    assert pixel_digest(deep) == pixel_digest(deep.astype(">u2"))
    assert pixel_digest(RAMP) == pixel_digest(RAMP[:, :, np.newaxis])


@pytest.mark.parametrize("other", [RAMP + 1, RAMP.reshape(8, 6), RAMP.astype(np.int8),
                                   RAMP.astype(np.uint16), np.dstack([RAMP] * 3), RAMP[:5]])
def test_other_values_shapes_and_types_differ(other: NDArray[Any]) -> None:
    assert pixel_digest(other) != pixel_digest(RAMP)


def test_psnr() -> None:
    assert psnr_db(RAMP, RAMP) == PERFECT_DB
    assert psnr_db(RAMP, RAMP + 1) == pytest.approx(20 * np.log10(255))
    assert psnr_db(RAMP.astype(np.uint16), RAMP.astype(np.uint16) + 1) == pytest.approx(
        20 * np.log10(65535))
    assert psnr_db(RAMP, RAMP[:4, :6]) == PERFECT_DB  # cut to even sizes
    assert psnr_db(np.dstack([RAMP] * 3), RAMP) == PERFECT_DB  # grey in colour
    assert psnr_db(RAMP[:, :, np.newaxis], RAMP) == PERFECT_DB
    assert psnr_db(np.dstack([RAMP, RAMP, RAMP + 100]), RAMP) < 20
