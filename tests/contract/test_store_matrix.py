"""Conformance: every format x dtype x shape x encoding, written by each library, read by both.

Generated, not listed: a combination that imgstore can write is written by both libraries, and each
store is read by both. Pixels, numbers, times and metadata must be equal: between the readers
always, and to what was written wherever the format is lossless. Where imgstore itself loses data
(it reads 16 bit pictures as 8 bit, and float TIFF as None) ours must give what was written.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import imgstore
import numpy as np
import pytest
from numpy.typing import NDArray

import fieldrec.store as ours

LIBRARIES: dict[str, ModuleType] = {"imgstore": imgstore, "fieldrec": ours}
CHUNKSIZE = 3
NUMBERS = (-2, 0, 1, 5, 5, 9, 1_000_000_007)
"""Seven frames in three chunks: negative, a gap, a duplicate, a jump."""
TIMES = tuple(1_795_000_000.1234567 + 0.0413 * at for at in range(len(NUMBERS)))
USER = {"genotype": "wt", "age_days": 3, "rig": {"arena": "B", "led": [1, 2.5, None]}, "Größe": "ü"}

RAW = ("npy",)
COLOUR_AND_GREY = ("png", "bmp", "tif", "jpg")
DEEP = {"npy": ("uint8", "uint16", "int16", "float32", "float64", "bool"),
        "png": ("uint8", "uint16"), "tif": ("uint8", "uint16", "float32"),
        "pgm": ("uint8", "uint16"), "ppm": ("uint8", "uint16"),
        "bmp": ("uint8",), "jpg": ("uint8",)}
BAYER = ("cv_bayerbg", "cv_bayergb", "cv_bayerrg", "cv_bayergr")
YUV = {"cv_yuv_nv12": (12, 10), "cv_yuv_i420": (12, 10), "cv_yuv_uyvy": (8, 10, 2),
       "cv_yuv_yuy2": (8, 10, 2)}
VIDEO = ("mjpeg/avi", "h264/mkv", "avc1/mp4")
WRITABLE_VIDEO = {"imgstore": ("mjpeg/avi",), "fieldrec": VIDEO}
"""OpenCV's wheels have no encoder for H.264."""


@dataclass(frozen=True)
class Case:
    """One combination."""

    form: str
    dtype: str
    shape: tuple[int, ...]
    encoding: str | None = None

    def __str__(self) -> str:
        sizes = "x".join(map(str, self.shape))
        return f"{self.form}-{self.dtype}-{sizes}-{self.encoding}".replace("/", ":")

    @property
    def saved_as(self) -> str:
        return self.form.removesuffix("+color")

    @property
    def deep(self) -> bool:
        """Whether imgstore's reader loses data of this: 16 bit and float through OpenCV."""
        return self.saved_as != "npy" and self.dtype != "uint8"

    @property
    def lossy(self) -> bool:
        return self.saved_as == "jpg" or self.form in VIDEO


def shapes_of(form: str) -> tuple[tuple[int, ...], ...]:
    grey: tuple[tuple[int, ...], ...] = ((8, 10), (7, 9))
    colour: tuple[tuple[int, ...], ...] = ((8, 10, 3), (7, 9, 3))
    if form == "npy":
        return (*grey, *colour, (8, 10, 1), (7, 9, 4), (1, 1))
    if form == "ppm":
        return colour
    if form == "pgm":
        return grey
    return (*grey, *colour)


def directory_cases() -> Iterator[Case]:
    for form, dtypes in DEEP.items():
        for dtype, shape in itertools.product(dtypes, shapes_of(form)):
            yield Case(form, dtype, shape)
    for form, code in itertools.product(("npy", "png", "bmp", "tif", "pgm"), BAYER):
        yield Case(form, "uint8", (8, 10), code)
    yield Case("npy", "uint16", (8, 10), "cv_bayerbg")
    for code, shape in YUV.items():
        yield Case("npy", "uint8", shape, code)
    for form, code in itertools.product(("png+color", "bmp+color", "tif+color", "jpg+color"),
                                        ("cv_bayerbg", "cv_bayergr")):
        yield Case(form, "uint8", (8, 10), code)
    for form in ("png+color", "bmp+color", "tif+color", "jpg+color"):
        yield Case(form, "uint8", (8, 10, 3))


def video_cases() -> Iterator[Case]:
    for form, shape in itertools.product(VIDEO, ((48, 64), (48, 64, 3), (33, 47, 3))):
        yield Case(form, "uint8", shape)


def pictures(case: Case) -> list[NDArray[Any]]:
    """Seven distinct frames: noise where every bit counts, smooth where a lossy codec works."""
    random = np.random.default_rng(len(str(case)))
    made = []
    for at in range(len(NUMBERS)):
        if case.lossy:
            rows = np.linspace(0, 60, case.shape[0])[:, None]
            flat = np.clip(rows + np.linspace(0, 60, case.shape[1]) + 18 * at, 0, 255)
            made.append(np.broadcast_to(flat.reshape(flat.shape + (1,) * (len(case.shape) - 2)),
                                        case.shape).astype(np.uint8).copy())
        elif case.dtype == "bool":
            made.append(random.integers(0, 2, case.shape).astype(bool))
        elif case.dtype.startswith("float"):
            made.append(random.normal(0, 100, case.shape).astype(case.dtype))
        else:
            limits = np.iinfo(case.dtype)
            made.append(random.integers(limits.min, limits.max, case.shape, case.dtype,
                                        endpoint=True))
    return made


def write(library: str, case: Case, path: Path) -> list[NDArray[Any]]:
    frames = pictures(case)
    keywords: dict[str, Any] = {"encoding": case.encoding} if case.encoding else {}
    store = LIBRARIES[library].new_for_format(
        case.form, str(path), imgshape=case.shape, imgdtype=np.dtype(case.dtype),
        chunksize=CHUNKSIZE, metadata=dict(USER), **keywords)
    for frame, number, time_s in zip(frames, NUMBERS, TIMES, strict=True):
        store.add_image(frame, number, time_s)
        store.add_extra_data(temperature=number / 7, label=f"n{number}")
    store.close()
    return frames


def everything(library: str, path: Path) -> dict[str, Any]:
    """All that a reader tells of a store but its pixels."""
    store = LIBRARIES[library].new_for_filename(str(path))
    extra = store.get_extra_data()
    told = {
        "user": store.user_metadata, "frames": store.get_frame_metadata(), "uuid": store.uuid,
        "shape": tuple(store.image_shape), "count": store.frame_count, "length": len(store),
        "min": store.frame_min, "max": store.frame_max, "first": store.frame_time_min,
        "last": store.frame_time_max, "duration": store.duration, "chunks": list(store.chunks),
        "created": store.created[0], "zone": str(store.created[1]), "lossless": store.lossless,
        "extra": extra.to_dict("list"), "extra_types": [str(kind) for kind in extra.dtypes],
        "mode": store.mode, "full_path": store.full_path, "filename": store.filename,
        "extra_files": sorted(store.find_extra_data_files()),
    }
    store.close()
    return told


def pixels(library: str, path: Path) -> list[NDArray[Any]]:
    """Every frame by sequential reading; then each again by index, which must agree."""
    store = LIBRARIES[library].new_for_filename(str(path))
    found: list[NDArray[Any]] = []
    for number, time_s in zip(NUMBERS, TIMES, strict=True):
        frame, (got_number, got_time) = store.get_next_image()
        assert (got_number, got_time) == (number, time_s)
        found.append(frame)
    with pytest.raises(EOFError):
        store.get_next_image()
    store.close()
    return found


def by_index(path: Path) -> list[NDArray[Any]]:
    store = ours.new_for_filename(path)
    order = (3, 0, 6, 6, 2, 5, 1, 4)
    found = {at: store.get_image(None, frame_index=at)[0] for at in order}
    store.close()
    return [found[at] for at in sorted(found)]


def meant(case: Case, frame: NDArray[Any]) -> NDArray[Any]:
    """What a reader should show of a written frame, for lossless formats."""
    code = getattr(cv2, f"COLOR_{_CV_NAMES[case.encoding]}2BGR") if case.encoding else None
    return frame if code is None else np.asarray(cv2.cvtColor(frame, code))


_CV_NAMES = {"cv_bayerbg": "BayerBG", "cv_bayergb": "BayerGB", "cv_bayerrg": "BayerRG",
             "cv_bayergr": "BayerGR"}


def equal(found: list[NDArray[Any]], expected: list[NDArray[Any]]) -> None:
    for at, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert one.dtype == other.dtype, f"frame {at}"
        assert one.shape == other.shape, f"frame {at}"
        np.testing.assert_array_equal(one, other, err_msg=f"frame {at}")


@pytest.mark.parametrize("case", list(directory_cases()), ids=str)
def test_a_directory_store_reads_the_same_in_both_libraries_whoever_wrote_it(
        case: Case, tmp_path: Path) -> None:
    for library in LIBRARIES:
        path = tmp_path / library
        frames = write(library, case, path)
        assert everything("fieldrec", path) == everything("imgstore", path)
        mine = pixels("fieldrec", path)
        equal(by_index(path), mine)
        if not case.deep:
            equal(mine, pixels("imgstore", path))
        if not case.lossy and case.encoding not in YUV:
            equal(mine, [meant(case, frame) for frame in frames])


@pytest.mark.parametrize("case", [c for c in directory_cases() if c.deep], ids=str)
def test_imgstore_opens_our_deep_pictures_and_sees_what_it_sees_of_its_own(
        case: Case, tmp_path: Path) -> None:
    for library in LIBRARIES:
        write(library, case, tmp_path / library)
    stores = [imgstore.new_for_filename(str(tmp_path / library)) for library in LIBRARIES]
    for _ in NUMBERS:
        frames = [store.get_next_image()[0] for store in stores]
        if frames[0] is None:  # float TIFF
            assert frames[1] is None
        else:
            equal([frames[1]], [frames[0]])


@pytest.mark.parametrize("case", list(directory_cases()), ids=str)
def test_what_is_on_disk_is_what_imgstore_would_have_written(case: Case, tmp_path: Path) -> None:
    """The same files with the same names; pictures of the OpenCV formats byte for byte."""
    for library in LIBRARIES:
        write(library, case, tmp_path / library)
    names = [{path.relative_to(tmp_path / library).as_posix()
              for path in (tmp_path / library).rglob("*")
              if path.is_file() and not path.name.startswith(".")} for library in LIBRARIES]
    # the record of the last frame of a full chunk goes where its frame is in ours
    assert {n for n in names[0] if "extra" not in n} == {n for n in names[1] if "extra" not in n}
    for name in names[0]:
        if name.endswith((".png", ".bmp", ".tif", ".jpg", ".ppm", ".pgm")):
            assert (tmp_path / "fieldrec" / name).read_bytes() == (
                tmp_path / "imgstore" / name).read_bytes(), name


@pytest.mark.parametrize("case", list(video_cases()), ids=str)
def test_a_video_store_reads_the_same_in_both_libraries_whoever_wrote_it(
        case: Case, tmp_path: Path) -> None:
    for library, forms in WRITABLE_VIDEO.items():
        if case.form not in forms or (library == "imgstore" and case.shape[0] % 2):
            continue  # OpenCV drops frames of an odd size without a word
        path = tmp_path / library
        frames = write(library, case, path)
        told, expected = everything("fieldrec", path), everything("imgstore", path)
        assert told == expected
        mine = pixels("fieldrec", path)
        equal(by_index(path), mine)
        theirs = pixels("imgstore", path)
        for at, (one, other) in enumerate(zip(mine, theirs, strict=True)):
            assert one.shape == other.shape
            # the two come with different builds of the same decoder and colour converter
            assert np.abs(one.astype(int) - other).max() <= 2, f"frame {at}"
        for at, (one, frame) in enumerate(zip(mine, frames, strict=True)):
            whole = frame[:one.shape[0], :one.shape[1]].astype(int)
            assert np.abs(one.astype(int) - whole).mean() < 3, f"frame {at} is another picture"
