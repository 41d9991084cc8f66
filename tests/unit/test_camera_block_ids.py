"""Numbers that run on from block IDs of 16 bits and of 64."""

from __future__ import annotations

from fieldrec.camera.block_ids import BlockCounter


def test_numbers_run_on_when_sixteen_bits_are_full() -> None:
    blocks = BlockCounter()
    raw = [65533, 65534, 65535, 1, 2, 65535, 1]
    assert [blocks.number(value) for value in raw] == [
        65533, 65534, 65535, 65536, 65537, 131070, 131071]


def test_a_gap_across_the_wrap_is_a_gap() -> None:
    blocks = BlockCounter()
    assert [blocks.number(value) for value in (65530, 4)] == [65530, 65539]


def test_numbers_of_more_bits_do_not_wrap() -> None:
    blocks = BlockCounter()
    assert [blocks.number(value) for value in (0, 65535, 65536, 10**12)] == [
        0, 65535, 65536, 10**12]


def test_frames_without_id_are_counted() -> None:
    blocks = BlockCounter()
    assert [blocks.skip() for _ in range(3)] == [0, 1, 2]
