"""An .npz put together by hand is what np.savez makes: for numpy, zipfile and imgstore alike."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from fieldrec.store.npz import npy_bytes, npy_head, npz_bytes

KINDS = (hn.integer_dtypes(endianness="<") | hn.floating_dtypes(endianness="<", sizes=(32, 64))
         | hn.unsigned_integer_dtypes(endianness="<") | hn.unicode_string_dtypes(endianness="<")
         | hn.boolean_dtypes())


@given(st.dictionaries(st.text("abcdefgü_", min_size=1), KINDS.flatmap(
    lambda kind: hn.arrays(kind, hn.array_shapes(min_dims=0, max_dims=3, min_side=0))), max_size=5))
def test_members_are_those_of_savez(members: dict[str, Any]) -> None:
    data = npz_bytes(members)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"{name}.npy" for name in members]
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        for name, array in members.items():
            assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
            np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("array", [np.arange(7), np.float64(2.5), np.asarray("text"),
                                   np.zeros((0, 3), np.uint16)], ids=str)
def test_the_head_is_worded_as_numpy_words_it(array: Any) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array)
    ours = npy_bytes(np.asarray(array))
    assert ours[10:ours.index(b"}") + 1] == buffer.getvalue()[10:buffer.getvalue().index(b"}") + 1]
    assert (len(ours) - np.asarray(array).nbytes) % 64 == 0


@pytest.mark.parametrize("alignment", [64, 128, 4096])
def test_a_head_ends_on_its_alignment(alignment: int) -> None:
    head = npy_head((480, 640, 3), np.dtype(">u2"), alignment)
    assert len(head) % alignment == 0
    loaded = np.load(io.BytesIO(head + bytes(480 * 640 * 6)), max_header_size=10_000)
    assert (loaded.shape, loaded.dtype.str) == ((480, 640, 3), ">u2")
