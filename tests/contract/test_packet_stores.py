"""Stores of a camera's own packets, read by the real imgstore and by ours: the same pictures, each
the one that its number says; chunks longer than `chunksize` too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from imgstore import new_for_filename

from fieldrec.camera.burnt_number import read_number
from fieldrec.catalogue.check import check
from fieldrec.store.reader import StoreReader
from tests.fakes.packet_stores import CODINGS, PACKETS, START_NS, STEP_NS, append, packet_writer


@pytest.mark.parametrize("coding", CODINGS)
def test_imgstore_reads_them_to_the_frame(tmp_path: Path, coding: str) -> None:
    path = tmp_path / "s"
    writer = packet_writer(path, coding, chunksize=13)
    coded = [item for item in enumerate(PACKETS[coding](55)) if item[0] not in (24, 25)]
    stored = append(writer, coded)
    writer.close()
    assert stored == [number for number, _packet in coded
                      if coding == "MJPEG" or not 26 <= number < 30]
    store = new_for_filename(str(path))
    try:
        assert store.frame_count == len(stored)
        for number in stored:
            image, (read, time_s) = store.get_next_image()
            assert (read_number(image), read) == (number, number)
            assert time_s == (START_NS + number * STEP_NS) / 1e9
        with StoreReader(path) as reader:
            for at in (len(stored) - 1, 0, 21, 20, 19, 40, 5):
                image, (read, _time) = store.get_image(stored[at])
                assert (read_number(image), read) == (stored[at], stored[at])
                assert np.array_equal(reader.read(at), image)
    finally:
        store.close()


@pytest.mark.parametrize("coding", CODINGS)
def test_check_finds_nothing_wrong_with_them(tmp_path: Path, coding: str) -> None:
    writer = packet_writer(tmp_path / "s", coding, chunksize=13)
    append(writer, enumerate(PACKETS[coding](30)))
    writer.close()
    assert check(tmp_path, deep=True) == []
