"""Frame files of every format beside the real imgstore's: the same bytes out, the same pixels in,
and an error where imgstore loses something silently."""

from __future__ import annotations

import struct
import subprocess
import sys
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import imgstore
import numpy as np
import pytest
import xxhash
from numpy.typing import NDArray

from fieldrec.core.errors import StoreDamaged, StoreError
from fieldrec.store import frame_files as tested
from fieldrec.store.frame_files import PICTURE_FORMATS, FrameFiles, directory_formats, frame_files
from fieldrec.store.metadata import (
    VIDEO_CLASS,
    StoreMetadata,
    parse_metadata,
    store_mapping,
    store_metadata,
)

RNG = np.random.default_rng(23)
FORMATS = ("npy", *PICTURE_FORMATS)
LOSSLESS = tuple(form for form in FORMATS if form != "jpg")


def metadata(form: str, shape: tuple[int, ...], dtype: Any = "uint8") -> StoreMetadata:
    return store_metadata(store_mapping(
        shape, np.dtype(dtype).name, chunksize=10, timezone="UTC", created_epoch_ns=0,
        uuid=uuid.uuid4().hex, form=form))


def files_for(form: str, pixels: NDArray[Any]) -> FrameFiles:
    return frame_files(metadata(form, pixels.shape, pixels.dtype))


def frame(shape: tuple[int, ...], dtype: Any = np.uint8) -> NDArray[Any]:
    """Noise in all values of the dtype, smooth enough for jpg."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return ((RNG.random(shape) - 0.5) * 1e4).astype(kind)
    bounds = np.iinfo(kind)
    return RNG.integers(bounds.min, bounds.max, shape, kind.newbyteorder("="), True).astype(kind)


def written(files: FrameFiles, pixels: NDArray[Any]) -> bytes:
    buffers, size = files.buffers(pixels)
    data = b"".join(bytes(part) for part in buffers)
    assert len(data) == size
    return data


def by_imgstore(folder: Path, form: str, frames: list[NDArray[Any]]) -> Path:
    """A store of these frames, written by the real imgstore."""
    store = imgstore.new_for_format(form, str(folder), mode="w", imgshape=frames[0].shape,
                                    imgdtype=frames[0].dtype, chunksize=100)
    for number, pixels in enumerate(frames):
        store.add_image(pixels, number, number / 10)
    store.close()
    return folder / "000000"


def as_imgstore_reads(folder: Path) -> Iterator[Any]:
    store = imgstore.new_for_filename(str(folder))
    for index in range(store.frame_count):
        yield store.get_image(None, frame_index=index)[0]
    store.close()


SHAPES = [(48, 64), (47, 63), (1, 1), (48, 64, 1), (48, 64, 3), (33, 21, 3), (1, 1, 3)]


@pytest.mark.filterwarnings("ignore:The 'warn' method is deprecated")
@pytest.mark.parametrize("form", FORMATS)
def test_imgstores_files_and_pixels(form: str, tmp_path: Path) -> None:
    for shape in SHAPES:
        _check_as_imgstore(form, shape, tmp_path / str(shape))


def _check_as_imgstore(form: str, shape: tuple[int, ...], folder: Path) -> None:
    frames = [frame(shape) for _ in range(2)] + [np.zeros(shape, np.uint8)]
    chunk = by_imgstore(folder, form, frames)
    files = files_for(form, frames[0])
    for at, theirs in enumerate(as_imgstore_reads(folder)):
        path = chunk / f"{at:06d}.{files.extension}"
        ours = files.read(path)
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs)
        assert ours.flags.writeable
        data = path.read_bytes()
        if form != "npy":
            assert written(files, frames[at]) == data
        assert files.looks_whole(memoryview(data))
        if files.lossless:
            assert np.array_equal(ours.reshape(frames[at].shape), frames[at])


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "npy"])
def test_imgstore_reads_our_files(form: str, tmp_path: Path) -> None:
    frames = [frame((48, 64, 3) if form == "ppm" else (48, 64)) for _ in range(2)]
    chunk = by_imgstore(tmp_path / "store", form, frames)
    files = files_for(form, frames[0])
    other = frame(frames[0].shape)
    (chunk / f"000001.{files.extension}").write_bytes(written(files, other))
    read = list(as_imgstore_reads(tmp_path / "store"))[1]
    assert np.array_equal(read, files.decode(memoryview(written(files, other)), ""))


def test_colour_and_grey_as_the_store_says_not_as_the_file_is(tmp_path: Path) -> None:
    """imgstore reads by imgshape: a colour file in a grey store comes back grey."""
    for form in ("png", "jpg", "bmp", "tif"):
        for declared, given in (((9, 8), (9, 8, 3)), ((9, 8, 3), (9, 8))):
            folder = tmp_path / f"{form}{len(given)}"
            chunk = by_imgstore(folder, form, [frame(declared), frame(given)])
            theirs = list(as_imgstore_reads(folder))[1]
            files = frame_files(metadata(form, declared))
            assert np.array_equal(files.read(chunk / f"000001.{form}"), theirs)
            assert theirs.ndim == len(declared)


# --- what imgstore loses -------------------------------------------------------------------------

DTYPES = ("uint8", "int8", "uint16", ">u2", "int16", "int32", "uint32", "float32", "float64",
          ">f4", "float16", "int64", "uint64", "bool", "complex64", "longdouble")


@pytest.mark.parametrize("form", LOSSLESS)
def test_a_frame_comes_back_as_it_was_or_is_refused(form: str) -> None:
    for dtype in DTYPES:
        for shape in ((48, 64), (47, 63, 3), (16, 9, 4), (8, 9, 1), (6, 5, 2)):
            kind = np.dtype(dtype)
            some = kind.kind in "bc" or dtype == "longdouble"
            _check_kept_or_refused(form, RNG.integers(0, 2, shape).astype(kind) if some
                                   else frame(shape, kind))


def _check_kept_or_refused(form: str, pixels: NDArray[Any]) -> None:
    files = files_for(form, pixels)
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if not tested.holds(form, pixels.dtype.str, channels):
        with pytest.raises(ValueError, match=f"{form} cannot hold .*use npy") as refused:
            files.buffers(pixels)
        assert "\n" not in str(refused.value)
        return
    back = files.decode(memoryview(written(files, pixels)), "")
    native = pixels.dtype.newbyteorder("=")
    if form == "pgm" and channels == 3:
        assert not files.lossless
        back, pixels = back[..., 0], cv2.cvtColor(pixels.astype(native), cv2.COLOR_BGR2GRAY)
    assert back.dtype == (pixels.dtype if form == "npy" else native)
    assert np.array_equal(back.reshape(pixels.shape), pixels)


def test_what_the_formats_hold() -> None:
    """OpenCV versions differ at the edges; these all have."""
    for form, dtypes, channels in (
            ("png", ("|u1", "<u2", ">u2"), (1, 3, 4)), ("bmp", ("|u1",), (1, 3)),
            ("jpg", ("|u1",), (1, 3)), ("pgm", ("|u1", "<u2"), (1, 3)),
            ("ppm", ("|u1", "<u2"), (1, 3)),
            ("tif", ("|u1", "|i1", "<u2", "<i2", "<i4", "<f8"), (1, 3)), ("tif", ("<f4",), (1,))):
        assert all(tested.holds(form, dtype, count) for dtype in dtypes for count in channels)


@pytest.mark.parametrize(("form", "dtype", "shape"), [
    ("png", "uint16", (48, 64)), ("png", "uint16", (48, 64, 3)), ("tif", "uint16", (48, 64)),
    ("tif", "uint16", (48, 64, 3)), ("pgm", "uint16", (48, 64)), ("ppm", "uint16", (48, 64, 3)),
    ("ppm", "uint16", (48, 64)), ("tif", "float32", (48, 64)), ("tif", "float64", (48, 64, 3)),
    ("tif", "int16", (48, 64)), ("png", "uint8", (48, 64, 4)), ("png", "uint16", (48, 64, 4)),
    ("tif", "uint8", (48, 64, 4))])
def test_what_imgstore_wrote_and_cannot_read_comes_back(form: str, dtype: str,
                                                        shape: tuple[int, ...], tmp_path: Path
                                                        ) -> None:
    pixels = frame(shape, dtype)
    chunk = by_imgstore(tmp_path / "store", form, [pixels])
    theirs = next(as_imgstore_reads(tmp_path / "store"))
    assert theirs is None or not np.array_equal(theirs, pixels)
    path = chunk / f"000000.{form}"
    ours = files_for(form, pixels).read(path)
    assert ours.dtype == pixels.dtype
    assert np.array_equal(ours, pixels)
    assert written(files_for(form, pixels), pixels) == path.read_bytes()


@pytest.mark.parametrize(("form", "pixels"), [
    ("png", frame((4, 5), "float32")), ("png", frame((4, 5), "float64")),
    ("png", frame((4, 5), "int32")), ("jpg", frame((4, 5), "uint16")),
    ("jpg", frame((4, 5, 4))), ("bmp", frame((4, 5), "uint16")), ("pgm", frame((4, 5), "float32")),
    ("ppm", frame((4, 5, 4))), ("pgm", frame((4, 5, 4))), ("png", frame((4, 5)) > 99),
    ("tif", frame((4, 5)) > 99), ("tif", frame((4, 5)) * 1j), ("tif", frame((4, 5), "int64")),
    ("tif", frame((4, 5), "float16")), ("png", frame((4, 5, 2))), ("png", frame((4, 5, 7))),
    ("png", frame((4, 5, 3, 2))), ("png", frame((4,))), ("png", np.zeros((0, 4), np.uint8)),
    ("png", np.zeros((4, 0, 3), np.uint8)), ("png", np.array(3, np.uint8))],
    ids=lambda value: value if isinstance(value, str) else f"{value.dtype}{value.shape}")
def test_what_would_be_clipped_is_refused(form: str, pixels: NDArray[Any]) -> None:
    files = frame_files(metadata(form, (4, 5)))
    with pytest.raises(ValueError, match=f"^{form} cannot hold a .*: use npy") as refused:
        files.buffers(pixels)
    assert "\n" not in str(refused.value)


def test_a_refusal_names_what_holds_the_frame() -> None:
    files = frame_files(metadata("jpg", (4, 5)))
    with pytest.raises(ValueError, match=r"use npy or png or tif or ppm or pgm$"):
        files.buffers(frame((4, 5), "uint16"))
    with pytest.raises(ValueError, match=r"no format holds it$"):
        frame_files(metadata("png", (4, 5))).buffers(np.array([["x"]]))


def test_a_picture_larger_than_the_format_allows_is_refused() -> None:
    with pytest.raises(ValueError, match="as jpg"):
        frame_files(metadata("jpg", (1, 70_000))).buffers(np.zeros((1, 70_000), np.uint8))


def test_pixels_of_any_layout_are_written_alike() -> None:
    plain = frame((48, 64), "uint16")
    for form in ("png", "tif", "pgm", "ppm"):
        files = files_for(form, plain)
        expected = written(files, plain)
        for pixels in (plain.astype(">u2"), np.asfortranarray(plain), plain[::-1][::-1],
                       np.repeat(plain, 2, axis=1)[:, ::2], plain[..., np.newaxis]):
            assert written(files, pixels) == expected


# --- damage --------------------------------------------------------------------------------------

@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
@pytest.mark.parametrize("form", FORMATS)
def test_a_file_cut_anywhere_is_damage(form: str, colour: bool, tmp_path: Path) -> None:
    pixels = frame((24, 31, 3) if colour else (24, 31))
    files = files_for(form, pixels)
    data = written(files, pixels)
    digest = files.digest(pixels, files.buffers(pixels)[0])
    path = tmp_path / f"000004.{files.extension}"
    assert files.is_whole(memoryview(data), digest)
    for cut in sorted({*range(64), *range(64, len(data), 7), len(data) - 2, len(data) - 1}):
        part = memoryview(data)[:cut]
        assert not files.looks_whole(part)
        assert not files.is_whole(part, digest)
        path.write_bytes(part)
        with pytest.raises(StoreDamaged, match=rf"000004\.{files.extension}: "):
            files.read(path)
    path.write_bytes(data)
    assert files.read(path).shape == pixels.shape


@pytest.mark.parametrize("form", FORMATS)
def test_flipped_bits_never_pass_a_digest(form: str, capfd: pytest.CaptureFixture[str]) -> None:
    pixels = frame((16, 24))
    files = files_for(form, pixels)
    buffers, _ = files.buffers(pixels)
    digest = files.digest(pixels, buffers)
    data = bytearray(written(files, pixels))
    right = files.decode(memoryview(data), "")
    start = len(data) - pixels.nbytes if form == "npy" else 0
    for bit in RNG.integers(start * 8, len(data) * 8, 300).tolist():
        data[bit // 8] ^= 1 << bit % 8
        assert not files.is_whole(memoryview(data), digest)
        try:
            read = files.decode(memoryview(data), "x")
        except StoreDamaged:
            assert not files.looks_whole(memoryview(data))
        else:
            assert form != "png" or np.array_equal(read, right)
        data[bit // 8] ^= 1 << bit % 8
    capfd.readouterr()  # what libjpeg and OpenCV say of it


@pytest.mark.parametrize("form", FORMATS)
def test_a_missing_an_empty_and_a_foreign_file(form: str, tmp_path: Path) -> None:
    files = frame_files(metadata(form, (4, 5)))
    with pytest.raises(StoreDamaged, match=r"000000: No such file .*the index lists this frame"):
        files.read(tmp_path / "000000")
    for content in (b"", b"not a frame", bytes(10_000)):
        (tmp_path / "000001").write_bytes(content)
        with pytest.raises(StoreDamaged, match=r"000001: ") as damaged:
            files.read(tmp_path / "000001")
        assert "\n" not in str(damaged.value)


def test_what_has_the_structure_but_no_picture(capfd: pytest.CaptureFixture[str]) -> None:
    """The checks pass, OpenCV does not: still our error."""
    files = frame_files(metadata("bmp", (4, 5)))
    data = bytearray(written(files, frame((4, 5))))
    data[28:30] = b"\x09\x00"  # nine bits per pixel
    vast = (b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", struct.pack(">IIBxxxx", 60_000, 60_000, 8))
            + _png_chunk(b"IDAT", zlib.compress(b"")) + _png_chunk(b"IEND", b""))
    for content in (bytes(data) + bytes(999), vast):
        with pytest.raises(StoreDamaged, match="cannot be decoded as bmp"):
            files.decode(memoryview(content), "x")
    capfd.readouterr()


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(
        ">I", zlib.crc32(kind + content))


@pytest.mark.parametrize("form", FORMATS)
def test_out_is_used_only_where_it_fits(form: str) -> None:
    pixels = frame((24, 31))
    files = files_for(form, pixels)
    data = memoryview(written(files, pixels))
    expected = files.decode(data, "")
    fitting = np.zeros_like(expected)
    assert files.decode(data, "", fitting) is fitting
    assert np.array_equal(fitting, expected)
    for other in (np.zeros((31, 24), np.uint8), np.zeros((24, 31), np.uint16)):
        read = files.decode(data, "", other)
        assert read is not other
        assert np.array_equal(read, expected)
        assert not other.any()


@pytest.mark.parametrize("form", FORMATS)
def test_digests_are_of_what_recovery_can_hash(form: str) -> None:
    pixels = frame((24, 31))
    files = files_for(form, pixels)
    buffers, _ = files.buffers(pixels)
    expected = pixels.tobytes() if form == "npy" else bytes(buffers[0])
    assert files.digest(pixels, buffers) == xxhash.xxh3_64_intdigest(expected)


# --- which formats -------------------------------------------------------------------------------

def test_formats_are_imgstores() -> None:
    theirs = {form for form in imgstore.get_supported_formats() if "/" not in form}
    assert set(directory_formats()) == theirs - {"bpk"}
    assert len(directory_formats()) == len(set(directory_formats())) == 11


@pytest.mark.parametrize("form", directory_formats())
def test_every_format_is_made(form: str) -> None:
    files = frame_files(metadata(form, (4, 5)))
    assert files.extension == tested.stored_format(form)
    assert files.lossless == (files.extension != "jpg")


def test_losslessness_is_the_truth() -> None:
    assert not frame_files(metadata("pgm", (4, 5, 3))).lossless
    assert frame_files(metadata("ppm", (4, 5))).lossless


def test_unknown_formats_say_what_is_known() -> None:
    with pytest.raises(StoreError, match=r"format webp is not known; known are npy, bmp, png"):
        frame_files(metadata("webp", (4, 5)))
    with pytest.raises(StoreError, match="bpk needs the package bloscpack"):
        frame_files(metadata("bpk", (4, 5)))
    video = store_metadata(store_mapping(
        (4, 6), "uint8", chunksize=10, timezone="UTC", created_epoch_ns=0, uuid="",
        form="avc1/mp4", class_name=VIDEO_CLASS, extension=".mp4"))
    with pytest.raises(StoreError, match="videos, not in files"):
        frame_files(video)


def test_metadata_of_the_real_imgstore(tmp_path: Path) -> None:
    for form in ("png+color", "jpg"):
        folder = tmp_path / form
        store = imgstore.new_for_format(form, str(folder), imgshape=(4, 6), imgdtype=np.uint8,
                                        encoding="cv_bayerbg" if "+" in form else None)
        store.add_image(frame((4, 6)), 0, 0.5)
        store.close()
        mapping, _ = parse_metadata((folder / "metadata.yaml").read_text())
        files = frame_files(store_metadata(mapping))
        assert np.array_equal(files.read(folder / "000000" / f"000000.{files.extension}"),
                              next(as_imgstore_reads(folder)))


def test_npy_stores_do_without_opencv(tmp_path: Path) -> None:
    """What the recorder loads at its start must not drag OpenCV in."""
    code = ("import sys, numpy, fieldrec.store.directory_frames as d, fieldrec.store.metadata as m;"
            "f = d.frame_files(m.store_metadata(m.store_mapping((4, 5), 'uint8', chunksize=1, "
            "timezone='UTC', created_epoch_ns=0, uuid='')));"
            "b, n = f.buffers(numpy.zeros((4, 5), 'uint8')); f.digest(b[1], b);"
            "sys.exit('cv2' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
