"""NpyFiles: any plain .npy is read, nothing cut or nonsensical passes, nothing is copied twice."""

from __future__ import annotations

import io
import mmap
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from fieldrec.core.errors import StoreDamaged
from fieldrec.store import layout
from fieldrec.store.npy_frames import NpyFiles, NpyHeader, parse_header, read_file

RNG = np.random.default_rng(11)
FRAME = RNG.integers(0, 256, (48, 64), dtype=np.uint8)
LARGE = RNG.integers(0, 256, (400, 600), dtype=np.uint8)


def _files(pixels: NDArray[Any] = FRAME) -> NpyFiles:
    return NpyFiles(pixels.shape, pixels.dtype)


def _bytes(pixels: NDArray[Any]) -> bytes:
    return b"".join(bytes(part) for part in _files().buffers(pixels)[0])


def _saved(pixels: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, pixels)
    return buffer.getvalue()


def _with_header(pixels: NDArray[Any], text: str, version: int = 1, size: int = 0) -> bytes:
    """An .npy file with this header text, padded to `size` bytes where that is more."""
    lead = 10 if version == 1 else 12
    body = text.encode() + b" " * max(0, size - lead - len(text) - 1) + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(body))
    return b"\x93NUMPY" + bytes((version, 0)) + length + body + pixels.tobytes("A")


ARRAYS: dict[str, NDArray[Any]] = {
    "uint8": FRAME, "large": LARGE, "colour": RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8),
    "uint16": RNG.integers(0, 65536, (6, 5), dtype=np.uint16),
    "big endian": RNG.integers(0, 65536, (6, 5)).astype(">u2"),
    "float16": RNG.random((6, 5)).astype(np.float16), "float32": RNG.random((3, 4, 5, 2)),
    "complex": RNG.random((6, 5)) * 1j, "bool": RNG.random((6, 5)) > 0.5,
    "int64": RNG.integers(-9, 9, (6,)), "longdouble": np.ones((2, 3), np.longdouble),
    "no dimension": np.array(7.5), "empty": np.zeros((0, 4), np.uint8),
    "one": np.zeros((1, 1, 1), np.int8),
}


def _same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and np.array_equal(one, other)


@pytest.mark.parametrize("name", ARRAYS)
def test_what_is_written_is_what_numpy_and_we_read(name: str, tmp_path: Path) -> None:
    pixels = ARRAYS[name]
    files = _files()
    buffers, size = files.buffers(pixels)
    data = b"".join(bytes(part) for part in buffers)
    assert len(data) == size
    assert _same(np.load(io.BytesIO(data)), pixels)
    assert _same(files.decode(memoryview(data), "x"), pixels)
    digest = files.digest(pixels, buffers)
    assert digest == xxhash.xxh3_64_intdigest(pixels.tobytes())
    assert files.is_whole(memoryview(data), digest)
    path = tmp_path / "x.npy"
    path.write_bytes(data)
    for _ in range(3):  # by the store's guess, parsed, by the header of the frame before
        read = files.read(path)
        assert _same(read, pixels)
        assert read.flags.writeable


@pytest.mark.parametrize("name", ARRAYS)
def test_what_numpy_saves_is_read(name: str, tmp_path: Path) -> None:
    pixels = ARRAYS[name]
    path = tmp_path / "x.npy"
    np.save(path, pixels)
    for files in (_files(), NpyFiles(pixels.shape, pixels.dtype)):
        assert _same(files.read(path), pixels)
        assert _same(files.read(str(path)), pixels)
        assert files.looks_whole(memoryview(path.read_bytes()))


TEXT = "{'descr': '|u1', 'fortran_order': False, 'shape': (48, 64), }"


@pytest.mark.parametrize("data", [
    _with_header(FRAME, TEXT, size=128), _with_header(FRAME, TEXT, size=4096),
    _with_header(FRAME, TEXT, size=8192), _with_header(FRAME, TEXT, version=2, size=128),
    _with_header(FRAME, TEXT, version=3, size=4096), _with_header(FRAME, TEXT),
    _with_header(FRAME, TEXT, size=4096) + bytes(1024), _saved(FRAME) + b"padding",
    _with_header(FRAME, "{'descr': '|u1', 'fortran_order': False, 'shape': (48L, 64L)}"),
    _with_header(FRAME, '{"shape":(48,64),"fortran_order":False,"descr":"u1"}'),
    _saved(np.asfortranarray(FRAME)),
], ids=["128", "4096", "8192", "v2", "v3", "not padded", "block", "trailing", "python 2",
        "other order", "fortran"])
def test_headers_of_every_kind(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(data)
    files = _files()
    out = np.zeros_like(FRAME)
    assert _same(files.read(path), FRAME)
    assert files.read(path, out) is out
    assert np.array_equal(out, FRAME)
    assert np.array_equal(files.mapped(path), FRAME)
    assert files.is_whole(memoryview(data), xxhash.xxh3_64_intdigest(
        FRAME.tobytes("F" if b"True" in data else "C")))


def test_out_is_used_only_where_it_fits(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(_bytes(FRAME))
    files = _files()
    fitting = np.zeros_like(FRAME)
    assert files.read(path, fitting) is fitting
    assert np.array_equal(fitting, FRAME)
    others: list[NDArray[Any]] = [
        np.zeros((64, 48), np.uint8), np.zeros((48, 64), np.int8),
        np.zeros((48, 64), np.uint8, order="F"), np.zeros((48, 128), np.uint8)[:, ::2]]
    for other in others:
        for read in (files.read(path, other), files.decode(memoryview(path.read_bytes()), path,
                                                           other)):
            assert read is not other
            assert _same(read, FRAME)
    assert not any(other.any() for other in others)


def test_frames_that_differ_from_the_store_have_their_own_shape(tmp_path: Path) -> None:
    """imgstore checks nothing, so stores may hold a mixture."""
    files = _files()
    mixture: list[NDArray[Any]] = [FRAME, FRAME[:9], LARGE, FRAME.astype(np.uint16), FRAME,
                                   ARRAYS["big endian"], FRAME]
    for at, pixels in enumerate(mixture):
        np.save(tmp_path / f"{at}.npy", pixels)
    out = np.zeros_like(FRAME)
    for at, pixels in enumerate(mixture):
        read = files.read(tmp_path / f"{at}.npy", out)
        assert _same(read, pixels)
        assert (read is out) == _same(pixels, FRAME)


@pytest.mark.parametrize("pixels", [FRAME, LARGE], ids=["small", "large"])
def test_writing_copies_and_allocates_nothing(pixels: NDArray[Any]) -> None:
    files = _files(pixels)
    (header, first), size = files.buffers(pixels)
    (again, second), _ = files.buffers(pixels)
    assert first is pixels
    assert second is pixels
    assert header is again
    assert bytes(header) == layout.npy_header(pixels.shape, pixels.dtype.str)
    assert size == len(header) + pixels.nbytes


def test_headers_of_large_frames_fill_a_page_of_their_own() -> None:
    header = _files(LARGE).buffers(LARGE)[0][0]
    assert isinstance(header, mmap.mmap)
    assert len(header) == layout.PAGE_BYTES
    assert np.frombuffer(header, np.uint8).ctypes.data % layout.PAGE_BYTES == 0


def test_pixels_of_any_strides_are_written_in_order() -> None:
    for pixels in (FRAME[::-1, ::2], FRAME.T, np.broadcast_to(FRAME[0], (3, 64))):
        buffers, _ = _files().buffers(pixels)
        assert buffers[1].flags.c_contiguous  # else the system call takes none of it
        assert _same(np.load(io.BytesIO(_bytes(pixels))), pixels)


@pytest.mark.parametrize("pixels", [
    np.array([[None]]), np.array(["text"]), np.zeros(3, "M8[s]"), np.zeros(3, "u1,u2")],
    ids=["object", "text", "date", "record"])
def test_only_numbers_are_written(pixels: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="numbers"):
        _files().buffers(pixels)


# --- damage --------------------------------------------------------------------------------------

@pytest.mark.parametrize("data", [_bytes(FRAME), _saved(FRAME), _bytes(LARGE)],
                         ids=["ours", "numpy's", "large"])
def test_a_file_cut_anywhere_is_noticed(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "000007.npy"
    shape = parse_header(memoryview(data)).shape
    files = NpyFiles(shape, np.uint8)
    out = np.zeros(shape, np.uint8)
    digest = xxhash.xxh3_64_intdigest(data[len(data) - out.nbytes:])
    assert files.is_whole(memoryview(data), digest)
    cuts = sorted({*range(140), *range(140, len(data), 997), len(data) - 1})
    for cut in cuts:
        part = data[:cut]
        path.write_bytes(part)
        with pytest.raises(StoreDamaged, match=r"000007\.npy: "):
            files.read(path, out)
        with pytest.raises(StoreDamaged, match=r"000007\.npy: "):
            files.mapped(path)
        assert not files.looks_whole(memoryview(part))
        assert not files.is_whole(memoryview(part), digest)
    path.write_bytes(data)
    assert np.array_equal(files.read(path, out), np.load(path))


def test_a_cut_frame_says_how_much_of_it_is_there(tmp_path: Path) -> None:
    path = tmp_path / "000007.npy"
    data = _bytes(FRAME)
    path.write_bytes(data[:1000])
    with pytest.raises(StoreDamaged) as damaged:
        _files().read(path)
    assert str(damaged.value) == f"{path}: cut short: 1000 of {len(data)} bytes"


def test_a_missing_frame_and_a_directory_are_damage(tmp_path: Path) -> None:
    (tmp_path / "000001.npy").mkdir()
    for name in ("000000.npy", "000001.npy"):
        for read in (_files().read, _files().mapped, read_file):
            with pytest.raises(StoreDamaged, match=rf"{name}: .*the index lists this frame"):
                read(tmp_path / name)


def test_flipped_bits_never_pass_a_digest_and_never_raise_anything_else() -> None:
    data = bytearray(_bytes(FRAME))
    files = _files()
    digest = xxhash.xxh3_64_intdigest(FRAME.tobytes())
    passed = set()
    for bit in [*range(128 * 8), *RNG.integers(128 * 8, len(data) * 8, 500).tolist()]:
        data[bit // 8] ^= 1 << bit % 8
        try:
            read = files.decode(memoryview(data), "x")
        except StoreDamaged:
            assert not files.looks_whole(memoryview(data))
            assert not files.is_whole(memoryview(data), digest)
        else:
            assert read.nbytes == FRAME.nbytes  # never a shorter or shifted frame
            if files.is_whole(memoryview(data), digest):
                assert read.tobytes() == FRAME.tobytes()
                if not _same(read, FRAME):
                    passed.add(bit)
        data[bit // 8] ^= 1 << bit % 8
    # Only the sort of number can be mistaken: the pixel bytes are all there, in their order.
    at = data.index(b"|u1")
    assert {bit // 8 for bit in passed} <= {at, at + 1}


def test_a_header_that_says_less_than_the_file_holds_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(_bytes(FRAME).replace(b"(48, 64)", b"(48, 24)"))
    with pytest.raises(StoreDamaged, match="a whole frame of the store follows"):
        _files().read(path)
    np.save(path, FRAME[:, :24])
    assert _files().read(path).shape == (48, 24)


def _header_with(descr: str = "'|u1'", order: str = "False", shape: str = "(2, 2)",
                 more: str = "") -> bytes:
    return _with_header(np.zeros((2, 2), np.uint8),
                        f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}{more}}}")


@pytest.mark.parametrize("data", [
    b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00", b"\x89PNG\r\n\x1a\n" + bytes(200), bytes(4096),
    b"\x93NUMPY\x04\x00" + bytes(200), b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 31),
    b"\x93NUMPY\x01\x00" + struct.pack("<H", 0), _header_with(descr="'|O'"),
    _header_with(descr="[('a', '|u1')]"), _header_with(descr="'|V1'"), _header_with(descr="'<x9'"),
    _header_with(descr="'<u3'"), _header_with(order="0"), _header_with(shape="(-2, -2)"),
    _header_with(shape="4"), _header_with(shape="(2.0, 2)"), _header_with(more=", 'a': 1"),
    _header_with(shape="(0, 99999999999, 99999999999)"), _header_with(shape="(0,)*99"),
    _header_with(shape="(" + "1, " * 70 + ")"), _header_with(descr="__import__('os')"),
    _header_with(shape="(" * 5000), _header_with(shape="(48, 64, 'a')"),
    _with_header(FRAME, "{'fortran_order': False, 'shape': (48, 64)}"),
    _header_with(shape="(True, 2)"), _header_with(descr="'\\x'"),
    _with_header(FRAME, TEXT, size=10_100), _with_header(FRAME, "[" * 9000),
    _with_header(FRAME, TEXT)[:-FRAME.nbytes - 1] + b" " + FRAME.tobytes(),
], ids=lambda data: repr(data[:90]))
def test_nonsense_is_damage(data: bytes) -> None:
    with pytest.raises(StoreDamaged) as damaged:
        _files().decode(memoryview(data), "/somewhere/000003.npy")
    assert str(damaged.value).startswith("/somewhere/000003.npy: ")
    assert "\n" not in str(damaged.value)
    assert not _files().looks_whole(memoryview(data))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(StoreDamaged, match="not numbers"):
        _files().read(path)


def test_metadata_alone_does_not_take_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, FRAME)
    files = NpyFiles((10**9, 10**9), "float64")
    assert _same(files.read(path), FRAME)
    assert _same(files.read(path), FRAME)


def test_headers_agree_with_numpy() -> None:
    for pixels in ARRAYS.values():
        data = _saved(pixels)
        stream = io.BytesIO(data)
        npy_format.read_magic(stream)
        shape, order, dtype = npy_format.read_array_header_1_0(stream)
        assert parse_header(memoryview(data)) == NpyHeader(shape, dtype, order, stream.tell())


# --- mapped --------------------------------------------------------------------------------------

@pytest.mark.parametrize("pixels", [FRAME, LARGE, np.asfortranarray(FRAME), ARRAYS["big endian"]],
                         ids=["small", "large", "fortran", "big endian"])
def test_a_mapped_frame_is_the_file_itself(pixels: NDArray[Any], tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, pixels)
    view = _files().mapped(path)
    assert _same(view, pixels)
    assert not view.flags.writeable
    assert not view.flags.owndata
    with path.open("r+b") as file:
        file.seek(-1, io.SEEK_END)
        file.write(b"\x55")
    assert view.reshape(-1, order="A")[-1:].tobytes()[-1:] == b"\x55"
    with pytest.raises(ValueError, match="read-only"):
        view[...] = 0
