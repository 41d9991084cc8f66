"""What a new store is to be: formats and encodings as imgstore names them, metadata as given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from imgstore import new_for_format

from fieldrec import __version__
from fieldrec.core.errors import StoreError
from fieldrec.core.model import FrameSpec
from fieldrec.store.api.new_store import new_store, recording_metadata
from fieldrec.store.metadata import parse_metadata
from fieldrec.store.writer import StoreWriter

GREY = FrameSpec((31, 46), "uint8", "MONO8", 25.0)
BGR = FrameSpec((31, 46, 3), "uint8", "BGR8", 25.0)


def store_of(spec: FrameSpec, **arguments: Any) -> Any:
    return new_store(Path("/there"), spec, **{"chunksize": 4, "timezone": "UTC",
                                              "created_epoch_ns": 0, **arguments})


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning",
                            "ignore:The 'warn' method is deprecated")  # imgstore's own
@pytest.mark.parametrize(("form", "spec", "encoding"), [
    *((form, spec, None) for form in ("npy", "png", "tif", "bmp", "jpg", "ppm", "pgm", "png+color")
      for spec in (GREY, BGR)),
    ("mjpeg/avi", GREY, None), ("mjpeg/avi", BGR, None), ("mjpeg", GREY, None),
    ("npy", GREY, "cv_bayerbg"), ("png", GREY, "cv_bayergr"), ("tif+color", GREY, "cv_bayerbg"),
])
def test_the_mapping_is_what_imgstore_writes(tmp_path: Path, form: str, spec: FrameSpec,
                                             encoding: str | None) -> None:
    oracle = new_for_format(form, basedir=str(tmp_path / "s"), imgshape=spec.shape,
                            imgdtype=spec.dtype, chunksize=4, metadata={}, encoding=encoding)
    oracle.close()
    theirs = yaml.safe_load((tmp_path / "s" / "metadata.yaml").read_text())["__store"]
    ours = store_of(spec, form=form, encoding=encoding).store
    assert ours.keys() == theirs.keys()
    for key in ours.keys() - {"uuid", "created_utc", "timezone_local"}:
        assert ours[key] == theirs[key], key


def test_planar_colours_are_stored_as_the_picture_that_they_make() -> None:
    new = store_of(FrameSpec((48, 20), "uint8", "MONO8", 1.0), form="png+color",
                   encoding="cv_yuv_nv12")
    assert (new.metadata.imgshape, new.decode_as, new.metadata.encoding) == (
        (32, 20, 3), "cv_yuv_nv12", None)


@pytest.mark.parametrize(("arguments", "match"), [
    ({"form": "gif"}, "format 'gif' cannot be written; known are npy, "),
    ({"form": "bpk"}, "'bpk' cannot be written"),
    ({"encoding": "cv_sepia"}, "cv_sepia"),
    ({"form": "png+color", "encoding": "cv_sepia"}, "cv_sepia"),
    ({"chunksize": 0}, "at least 1"),
    ({"timezone": "Mars/Base"}, "Mars/Base"),
    ({"timezone": "../etc"}, "/there: "),
])
def test_what_cannot_be_is_refused(arguments: dict[str, Any], match: str) -> None:
    with pytest.raises(StoreError, match=match) as caught:
        store_of(GREY, **arguments)
    assert "\n" not in str(caught.value)


def test_a_recordings_metadata_are_the_users_and_ours() -> None:
    found = recording_metadata({"bird": "dove", "timezone": "mine",
                                "fieldrec": {"camera_serial": "C1", "version": "user's"}},
                               GREY, "Europe/Vienna")
    assert found == {
        "bird": "dove", "timezone": "Europe/Vienna", "acquisitionframerate": 25.0,
        "acquisitionframerateenable": True,
        "fieldrec": {"version": "user's", "camera_serial": "C1", "pixel_format": "MONO8",
                     "nominal_hz": 25.0, "dropped": 0, "lost": 0, "interrupted": True}}
    assert recording_metadata({"fieldrec": 7}, GREY, "UTC")["fieldrec"]["version"] == __version__


@pytest.mark.parametrize("given", [{}, {"bird": "dove", "n": 3}, {"fieldrec": "mine"}])
def test_metadata_stay_as_they_were_given(tmp_path: Path, given: dict[str, Any]) -> None:
    store = StoreWriter(tmp_path / "s", GREY, chunksize=4, user_metadata=given, timezone="UTC",
                        created_epoch_ns=0)
    before = (tmp_path / "s" / "metadata.yaml").read_bytes()
    store.close()
    assert (tmp_path / "s" / "metadata.yaml").read_bytes() == before
    assert parse_metadata(before.decode())[1] == given
