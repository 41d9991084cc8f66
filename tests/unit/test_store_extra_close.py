"""Extra data cut anywhere keeps every whole record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fieldrec.store.recovery.extra_close import close_extra, is_closed, read_records

RECORDS = [{"temperature": at / 2, "label": "a {b} ] \" ü", "nested": {"deep": [1, {"x": 2}]},
            "frame_time": 1000.0 + at, "frame_number": at, "frame_index": at} for at in range(5)]
TEXT = json.dumps(RECORDS)


def test_every_cut_keeps_the_records_before_it(tmp_path: Path) -> None:
    ends = [len(json.dumps(RECORDS[:count])) - 1 for count in range(6)]
    for size in range(len(TEXT)):
        path = tmp_path / "index.extra.json"
        path.write_text(TEXT[:size])
        said = close_extra(path, tmp_path / "aside")
        whole = sum(1 for end in ends[1:] if end <= size)
        if whole:
            assert json.loads(path.read_text()) == RECORDS[:whole]
            assert "end was missing" in said
            assert not (tmp_path / "aside").exists()
        else:
            assert not path.exists()
        (tmp_path / "aside").unlink(missing_ok=True)


def test_a_whole_list_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(TEXT + "\n ")
    assert is_closed(path)
    assert close_extra(path, tmp_path / "aside") == ""
    assert path.read_text() == TEXT + "\n "


def test_what_is_damaged_inside_is_kept_beside(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    spoilt = TEXT.replace('"frame_number": 1,', '"frame_number": \x07,')
    path.write_text(spoilt)
    said = close_extra(path, tmp_path / "aside")
    assert json.loads(path.read_text()) == [RECORDS[0], *RECORDS[2:]]
    assert (tmp_path / "aside").read_text() == spoilt
    assert "damaged; 4 records" in said


def test_a_part_of_a_damaged_record_is_no_record() -> None:
    found = read_records('[{"a": \x01, "inner": {"b": 1}}, {"c": 2, "frame_number": 1, '
                         '"frame_index": 1, "frame_time": 1.0}]')
    assert [json.loads(text) for text in found.texts] == [
        {"c": 2, "frame_number": 1, "frame_index": 1, "frame_time": 1.0}]
    assert found.torn_inside


def test_what_holds_no_record_is_removed_and_kept_when_it_held_anything(tmp_path: Path) -> None:
    for text, kept in (("", False), ("[", False), ("\0" * 50, False), ("[{", True),
                       ("garbage", True)):
        path, aside = tmp_path / "x.json", tmp_path / "aside"
        path.write_text(text)
        assert "removed" in close_extra(path, aside)
        assert (path.exists(), aside.exists()) == (False, kept)
        aside.unlink(missing_ok=True)


def test_not_a_number_stays_readable(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('[{"t": NaN, "frame_number": 1}, {"t": Infinity')
    close_extra(path, tmp_path / "aside")
    assert path.read_text() == '[{"t": NaN, "frame_number": 1}]\n'


@pytest.mark.parametrize(("text", "closed"), [
    ("[]", True), (" [1] \n", True), ("[{}", False), ("", False), ("{}", False), ("]", False),
    ("[" + "1," * 500 + "1]", True), ("[" + "1," * 500, False)])
def test_a_look_at_both_ends(tmp_path: Path, text: str, closed: bool) -> None:
    (tmp_path / "x").write_text(text)
    assert is_closed(tmp_path / "x") == closed


def test_deep_nesting_and_many_braces_end(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("[" + "{" * 60_000)
    assert "removed" in close_extra(path, tmp_path / "aside")
    path.write_text("[" + '{"a":' * 3000)
    assert "removed" in close_extra(path, tmp_path / "other")
