"""What a viewer says of a store and its frames; terminals are tested with the real command."""

from __future__ import annotations

from pathlib import Path

import cv2
import imgstore
import numpy as np
import pytest

from fieldrec.cli import view, window
from fieldrec.cli.sheet import Cell
from fieldrec.cli.view import Shown, write_sheet
from fieldrec.cli.window import why_no_window
from fieldrec.core.errors import StateError, StoreError, UsageError
from tests.fakes.recordings import small_recording


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return small_recording(tmp_path / "frogs")


def test_a_store_in_a_line_and_a_frame_in_another(store: Path) -> None:
    with Shown(store, "3") as shown:
        assert shown.first == 3
        assert shown.facts() == ("160x120 BGR8 npy · 12 frames · 0.440 s · 25.00 fps · "
                                 "from 2026-11-21 07:00:12 CET")
        assert shown.status(3) == "3 of 12   #3   2026-11-21 07:00:12.120 CET"
        picture, trouble = shown.picture(3)
        assert (picture is not None, trouble) == (True, "")


def test_it_plays_at_the_recordings_own_rate_unless_told(store: Path) -> None:
    with Shown(store, "0") as shown:
        own = shown.player(None)
        assert own.wait_s(own._since_s) == pytest.approx(1 / 25)
        slow = shown.player(5)
        assert slow.wait_s(slow._since_s) == pytest.approx(1 / 5)


def test_what_cannot_be_read_is_said_and_the_rest_is_shown(store: Path) -> None:
    (store / "000000" / "000002.npy").write_bytes(b"")
    with Shown(store, "0") as shown:
        assert shown.picture(2) == (None, "CANNOT BE READ")
        assert shown.picture(3)[0] is not None


def test_nothing_to_look_at(tmp_path: Path, store: Path) -> None:
    imgstore.new_for_format("npy", str(tmp_path / "empty"), imgshape=(4, 4), imgdtype="uint8",
                            ).close()
    with pytest.raises(StoreError, match="no frame in it"):
        Shown(tmp_path / "empty", "0")
    with pytest.raises(UsageError, match="ends before"):
        Shown(store, "12")


def cells(path: Path, count: int) -> list[Cell]:
    with Shown(path, "0") as shown:
        return view._cells(shown, count)


def test_captions_have_the_day_where_there_is_more_than_one(store: Path, tmp_path: Path) -> None:
    assert [(cell.left, cell.right) for cell in cells(store, 2)] == [
        ("#0", "07:00:12.000"), ("#11", "07:00:12.440")]
    long = imgstore.new_for_format("npy", str(tmp_path / "long"), imgshape=(4, 4),
                                   imgdtype="uint16")
    for number in range(3):
        long.add_image(np.full((4, 4), 1000 * number, np.uint16), number, 1.7e9 + number * 86_400)
    long.close()
    assert [cell.right[:6] for cell in cells(tmp_path / "long", 3)] == ["11-14 ", "11-15 ",
                                                                       "11-16 "]


@pytest.mark.parametrize(("form", "encoding", "dtype"), [
    ("npy", "cv_bayerbg", "uint8"), ("npy", None, "uint16"), ("npy", None, "float32"),
    ("png", None, "uint8"), ("mjpeg/avi", None, "uint8")])
def test_a_sheet_of_every_kind_of_store(tmp_path: Path, form: str, encoding: str | None,
                                        dtype: str) -> None:
    theirs = imgstore.new_for_format(form, str(tmp_path / "frogs"), imgshape=(48, 64),
                                     imgdtype=dtype, encoding=encoding)
    for number in range(9):
        frame = np.zeros((48, 64), dtype)
        frame[::2, ::2] = 180 if dtype == "uint8" else number * 300 + 1
        theirs.add_image(frame, number, 1.7e9 + number)
    theirs.close()
    write_sheet(tmp_path / "frogs", "0", tmp_path / "sheet.png", 4)
    drawn = cv2.imread(str(tmp_path / "sheet.png"))
    assert drawn is not None
    frames = drawn[76:]
    if encoding:
        assert (frames[:, :, 2].astype(int) - frames[:, :, 0]).max() > 100  # red
    else:
        assert frames.max() > 170


def test_no_window_is_said_why(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", "")
    assert why_no_window() == "there is no display"
    monkeypatch.setenv("DISPLAY", ":97")
    if "NONE" in cv2.getBuildInformation().partition("GUI:")[2].partition("\n")[0]:
        assert "has no windows" in why_no_window()
        monkeypatch.setattr(window, "why_no_window", lambda: "")  # and if it seemed to have some
        with pytest.raises(StateError, match="--terminal"):
            view._play(store, "0", None, terminal=False)
