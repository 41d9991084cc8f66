"""WriteBehind: the kernel writes what it was told of before anybody syncs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fieldrec.core import write_behind
from fieldrec.core.write_behind import STRETCH_BYTES, WriteBehind


def test_each_byte_is_told_of_once_and_in_order(tmp_path: Path,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    begin = write_behind._begin

    def watch(descriptor: int, offset: int, length: int) -> None:
        told.append((offset, length))
        begin(descriptor, offset, length)

    monkeypatch.setattr(write_behind, "_begin", watch)
    data = bytes(1_500_000)
    with (tmp_path / "file").open("wb", buffering=0) as file:
        behind = WriteBehind(file.fileno())
        for _ in range(7):
            file.write(data)
            behind.wrote(len(data))
    assert told == [(0, 4_500_000), (4_500_000, 4_500_000)]
    assert all(length >= STRETCH_BYTES for _, length in told)
    assert (tmp_path / "file").stat().st_size == 10_500_000


def test_what_cannot_be_begun_is_left_to_the_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    try:
        WriteBehind(write).wrote(STRETCH_BYTES)  # a pipe has nothing to write back
        monkeypatch.setattr(write_behind, "_libc", object())
        WriteBehind(write).wrote(STRETCH_BYTES)
    finally:
        os.close(read)
        os.close(write)
