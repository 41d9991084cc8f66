"""What a store's metadata says of its frames: rate and pixel format, fieldrec's, imgstore's and
Motif's."""

from __future__ import annotations

from typing import Any

import pytest

from fieldrec.store.metadata import VIDEO_CLASS, store_mapping, store_metadata
from fieldrec.store.spec import frame_spec, nominal_rate, pixel_format, spec_at


def mapping(**more: Any) -> dict[str, Any]:
    return store_mapping((6, 8), "uint16", chunksize=4, timezone="UTC", created_epoch_ns=0,
                         uuid="u", **more)


@pytest.mark.parametrize(("user", "rate"), [
    ({}, None),
    ({"fieldrec": {"nominal_hz": 25.0}, "hwframerate": 50}, 25.0),
    ({"fieldrec": "not a mapping", "hwframerate": 50}, 50.0),
    ({"hwframerate": "99.5", "motifptpframerate": 50}, 99.5),
    ({"motifptpframerate": 50, "acquisitionframerate": 60}, 50.0),
    ({"acquisitionframerate": 60, "acquisitionframerateenable": True}, 60.0),
    ({"acquisitionframerate": 60}, 60.0),
    ({"acquisitionframerate": 60, "acquisitionframerateenable": False}, None),
    ({"hwframerate": "fast", "acquisitionframerate": 60}, 60.0),
    ({"hwframerate": True}, None),
    ({"hwframerate": 0}, None),
    ({"hwframerate": float("nan")}, None),
    ({"hwframerate": 10 ** 400}, None),
])
def test_the_frame_rate(user: dict[str, Any], rate: float | None) -> None:
    assert nominal_rate(user) == rate
    found = frame_spec(store_metadata(mapping()), user)
    assert (None if found is None else found.nominal_hz) == rate


@pytest.mark.parametrize(("shape", "dtype", "encoding", "name"), [
    ((6, 8), "uint8", None, "MONO8"), ((6, 8, 1), "uint16", None, "MONO16"),
    ((6, 8, 3), "uint8", None, "BGR8"), ((6, 8, 4), "uint8", None, "BGRA8"),
    ((6, 8), "int16", None, "MONO16S"), ((6, 8), "float16", None, "MONO16F"),
    ((6, 8), "bool", None, "MONO8B"),
    ((6, 8), "uint8", "cv_bayerbg", "BAYER_RG8"), ((6, 8), "uint16", "cv_bayerrg", "BAYER_BG16"),
    ((6, 8), "uint8", "cv_bayergb", "BAYER_GR8"), ((6, 8), "uint8", "cv_bayergr", "BAYER_GB8"),
    ((6, 8), "uint8", "cv_bayerrggb", "BAYER_RG8"), ((6, 8), "uint8", "cv_bayergbrg", "BAYER_GB8"),
    ((6, 8, 3), "uint8", "cv_rgb", "RGB8"), ((6, 8), "uint8", "cv_gray", "MONO8"),
    ((9, 8), "uint8", "cv_yuv_nv12", "YUV_NV12"),
])
def test_the_pixel_format(shape: tuple[int, ...], dtype: str, encoding: str | None, name: str
                          ) -> None:
    assert pixel_format(shape, dtype, encoding) == name


@pytest.mark.parametrize("name", ["BG", "RG", "GB", "GR"])
def test_mosaics_have_the_name_that_the_encodings_have(name: str) -> None:
    from fieldrec.store.encodings import from_pylon
    assert pixel_format((6, 8), "uint8", from_pylon(f"Bayer{name}8")) == f"BAYER_{name}8"


def test_what_fieldrec_noted_goes_before_what_can_be_guessed() -> None:
    user = {"fieldrec": {"pixel_format": "MONO12"}}
    found = spec_at(store_metadata(mapping()), user, 5.0)
    assert (found.shape, found.dtype, found.pixel_format, found.nominal_hz) == (
        (6, 8), "uint16", "MONO12", 5.0)


def test_video_is_of_eight_bits() -> None:
    metadata = store_metadata(mapping(class_name=VIDEO_CLASS, form="avc1/mp4", extension=".mp4"))
    assert spec_at(metadata, {}, 0.0).pixel_format == "MONO8"
