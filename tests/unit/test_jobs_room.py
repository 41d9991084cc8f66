"""Room for an export: figures, and what an earlier run has written already."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from fieldrec.core.model import Prediction
from fieldrec.export.presets import preset
from fieldrec.jobs import room
from fieldrec.record.storage import size_text

HIGH = preset("High")
TOLD = Prediction(1_600_000_000, 1, 2, 0.0, 3)


def test_what_does_not_fit_is_told_in_figures() -> None:
    with pytest.raises(room.NoRoom) as refused:
        room.check(TOLD, HIGH, 1_100_000_000, "usb")
    assert str(refused.value) == (
        "needs about 3.2 GB while it is made (High, 1.6 GB in the end), 1.1 GB free at usb; make "
        "room, or export with a lower preset")
    room.check(TOLD, HIGH, 3_200_000_000, "usb")
    room.check(None, HIGH, 0, "usb")  # nobody knows


def test_what_is_there_counts_as_room(tmp_path: Path) -> None:
    assert room.held_bytes(tmp_path / "none") == 0
    for name in ("0.seg", "1.seg"):
        (tmp_path / name).write_bytes(b"x" * 500)
    assert room.held_bytes(tmp_path) == 1000


def test_what_must_be_kept_is_not_free(tmp_path: Path) -> None:
    assert room.free_bytes(tmp_path, 0) > 0
    assert room.free_bytes(tmp_path, 1 << 62) == 0


@pytest.mark.parametrize(("count", "words"), [
    (999, "999 B"), (1000, "1.0 kB"), (41_250_000, "41.2 MB"), (3_200_000_000, "3.2 GB"),
    (5_000_000_000_000, "5.0 TB")])
def test_sizes_in_words(count: int, words: str) -> None:
    assert size_text(count) == words


def test_what_is_held_is_counted_while_it_comes_and_goes(tmp_path: Path) -> None:
    assert room.held_bytes(tmp_path / "none") == 0
    (tmp_path / "a").write_bytes(b"x" * 7)
    (tmp_path / "b").write_bytes(b"x" * 5)
    assert room.held_bytes(tmp_path) == 12
    for number in range(3):
        (tmp_path / f"gone{number}").symlink_to("nothing")
    assert room.held_bytes(tmp_path) == 0
    gc.collect()  # a folder that was left open would be told now
