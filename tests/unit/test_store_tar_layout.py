"""Tars byte for byte: the standard library and tar(1) read them, and any offset can be begun at."""

from __future__ import annotations

import io
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from fieldrec.store.tar_layout import END, Part, TarLayout
from tests.fakes.waiting import PATIENCE_S

NAMES = ("metadata.yaml", "000000/000000.npy", "000000/index.npz", "ä", "deep/" * 30 + "x")


@dataclass(frozen=True)
class Made:
    relative: str
    data: bytes
    mtime_ns: int = 1_795_000_000_123_456_789

    @property
    def size_bytes(self) -> int:
        return len(self.data)


ENTRIES = [Made(name, bytes([65 + number]) * size) for number, (name, size) in enumerate(
    zip(NAMES, (0, 1, 511, 512, 1300), strict=True))]


def whole(layout: TarLayout, begin: int = 0) -> bytes:
    return b"".join(ENTRIES[piece.number].data[piece.begin:] if isinstance(piece, Part) else piece
                    for piece in layout.pieces(begin))


def test_the_standard_library_reads_it() -> None:
    data = whole(TarLayout(ENTRIES))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        read = {member.name: (archive.extractfile(member) or io.BytesIO()).read()
                for member in archive if member.isfile()}
    assert read == {entry.relative: entry.data for entry in ENTRIES}


@pytest.mark.parametrize("end", [b"", END])
def test_tar_reads_it_without_a_word(tmp_path: Path, end: bytes) -> None:
    (tmp_path / "x.tar").write_bytes(whole(TarLayout(ENTRIES)) + end)
    done = subprocess.run(["tar", "-xf", "x.tar"], cwd=tmp_path, capture_output=True, check=True,
                          timeout=PATIENCE_S)
    assert done.stderr == b""
    for entry in ENTRIES:
        assert (tmp_path / entry.relative).read_bytes() == entry.data


def test_it_goes_on_at_any_offset() -> None:
    layout = TarLayout(ENTRIES)
    data = whole(layout)
    assert layout.total_bytes == len(data)
    for begin in range(len(data) + 1):
        assert whole(layout, begin) == data[begin:], begin


def test_each_file_lies_where_it_says() -> None:
    layout = TarLayout(ENTRIES)
    data = whole(layout)
    for number, entry in enumerate(ENTRIES):
        begin = layout.data_offset(number)
        assert data[begin:begin + entry.size_bytes] == entry.data


def test_a_file_of_more_than_8_gib_has_its_size() -> None:
    @dataclass(frozen=True)
    class Big:
        relative: str = "big"
        size_bytes: int = 9 << 30
        mtime_ns: int = 0

    layout = TarLayout([Big(), ENTRIES[1]])
    head = next(iter(layout.pieces()))
    assert isinstance(head, bytes)
    assert tarfile.TarInfo.frombuf(head, "utf-8", "strict").size == 9 << 30
    assert layout.data_offset(1) == 512 + (9 << 30) + 512


def test_nothing_makes_nothing() -> None:
    assert whole(TarLayout([])) == b""
