"""Our names of pixel formats and the cameras'."""

from __future__ import annotations

from typing import get_args

import pytest

from fieldrec.camera import pixel_formats as formats
from fieldrec.store import encodings


@pytest.mark.parametrize(("ours", "names", "dtype", "shape"), [
    ("MONO8", ("Mono8",), "uint8", (3, 4)),
    ("MONO12", ("Mono12",), "uint16", (3, 4)),
    ("MONO16", ("Mono16",), "uint16", (3, 4)),
    ("BAYER_RG8", ("BayerRG8",), "uint8", (3, 4)),
    ("BAYER_GB12", ("BayerGB12",), "uint16", (3, 4)),
    ("BGR8", ("BGR8", "BGR8Packed"), "uint8", (3, 4, 3)),
    ("RGB8", ("RGB8", "RGB8Packed"), "uint8", (3, 4, 3)),
])
def test_names_types_and_shapes(ours: str, names: tuple[str, ...], dtype: str,
                                shape: tuple[int, ...]) -> None:
    assert formats.genicam_names(ours) == names
    assert {formats.our_name(name) for name in names} == {ours}
    assert formats.dtype_of(ours) == dtype
    assert formats.shape_of(ours, 3, 4) == shape


def test_what_is_packed_is_not_recorded() -> None:
    offered = ("Mono8", "Mono12p", "Mono12Packed", "Mono12", "YUV422Packed", "Confidence8")
    assert formats.recordable(offered) == ("Mono8", "Mono12")
    assert formats.our_name("Mono10p") is None


def test_stores_know_them_all() -> None:
    for ours in get_args(formats.PixelFormat):
        encodings.from_pylon(ours)
