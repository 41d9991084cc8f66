"""The marker: only what this recorder wrote, for this file system and unchanged, is followed."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import socket
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fieldrec.core.errors import DriveError, DriveRejected
from fieldrec.core.folder import DRIVES_KEY_NAME, PRIVATE_NAME
from fieldrec.core.model import DriveMarker
from fieldrec.drives.marker import NAME, Found, key_for, keys_in, new_id, read, write

UUID = "71C7-17D6"
KEY, OTHER = b"k" * 32, b"o" * 32
WANTED = DriveMarker("d1", ours=True, owner="Bee lab", on_insert="move", cameras=("top", "side-*"))


def edited(root: Path, **values: Any) -> None:
    now = json.loads((root / NAME).read_text())
    (root / NAME).write_text(json.dumps(now | values))


@pytest.mark.parametrize("wanted", [
    WANTED, DriveMarker("d1", ours=True), DriveMarker("d1", ours=True, cameras=()),
    DriveMarker(new_id(), ours=True, on_insert="nothing", owner="x" * 80)])
def test_it_reads_what_was_written(tmp_path: Path, wanted: DriveMarker) -> None:
    assert write(tmp_path, UUID, KEY, wanted) == wanted
    assert read(tmp_path, UUID, [OTHER, KEY]) == Found(wanted)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_no_marker_is_no_problem(tmp_path: Path) -> None:
    assert read(tmp_path, UUID, [KEY]) == Found(None)


@pytest.mark.parametrize("keys", [[], [OTHER]])
def test_another_recorders_is_foreign(tmp_path: Path, keys: list[bytes]) -> None:
    write(tmp_path, UUID, KEY, WANTED)
    assert read(tmp_path, UUID, keys) == Found(replace(WANTED, ours=False))


def test_copied_to_another_drive_it_is_not_ours(tmp_path: Path) -> None:
    write(tmp_path, UUID, KEY, WANTED)
    found = read(tmp_path, "71C7-17D7", [KEY]).marker
    assert found is not None and not found.ours


@pytest.mark.parametrize("change", [
    {"on_insert": "copy"}, {"on_insert": ""}, {"cameras": []}, {"cameras": None}, {"id": "d2"},
    {"owner": "Bee Lab"}, {"cameras": ["top"]}, {"hmac": ""}, {"hmac": "0" * 64},
    {"capacity_bytes": 64 * 10**9}, {"capacity_bytes": 1}])
def test_whoever_edits_it_unmakes_it(tmp_path: Path, change: dict[str, Any]) -> None:
    write(tmp_path, UUID, KEY, WANTED)
    edited(tmp_path, **change)
    found = read(tmp_path, UUID, [KEY])
    assert found.problem == "" and found.marker is not None and not found.marker.ours


@pytest.mark.parametrize(("change", "problem"), [
    ({"fieldrec_destination": 2}, "is of a newer fieldrec"),
    ({"fieldrec_destination": True}, "is not what fieldrec writes"),
    ({"fieldrec_destination": "1"}, "is not what fieldrec writes"),
    ({"id": "../x"}, "has values that no fieldrec writes"),
    ({"id": 7}, "has values that no fieldrec writes"),
    ({"owner": ["x"]}, "has values that no fieldrec writes"),
    ({"on_insert": "delete"}, "has values that no fieldrec writes"),
    ({"on_insert": ["move"]}, "has values that no fieldrec writes"),
    ({"cameras": "top"}, "has values that no fieldrec writes"),
    ({"cameras": [1]}, "has values that no fieldrec writes"),
    ({"cameras": [" "]}, "has values that no fieldrec writes"),
    ({"cameras": ["x"] * 65}, "has values that no fieldrec writes"),
    ({"hmac": None}, "has values that no fieldrec writes"),
    ({"hmac": "é"}, "has values that no fieldrec writes"),
    ({"more": "x" * 4096}, "has more than 4096 bytes"),
])
def test_values_that_are_none_of_ours(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    write(tmp_path, UUID, KEY, WANTED)
    edited(tmp_path, **change)
    assert read(tmp_path, UUID, [KEY]) == Found(
        None, f"{NAME} on it {problem}; it counts as not marked")


@pytest.mark.parametrize(("text", "problem"), [
    (b"", "is not JSON"), (b"\xff\xfe", "is not JSON"), (b"[" * 4096, "is not JSON"),
    (b"[1]", "is not what fieldrec writes"), (b"7", "is not what fieldrec writes"),
    (b'{"fieldrec_destination": ' + b"9" * 4000 + b"}", "is of a newer fieldrec"),
    (b'{"fieldrec_destination": NaN}', "is not what fieldrec writes"),
    (b"x" * 10**6, "has more than 4096 bytes")])
def test_bytes_that_are_no_marker(tmp_path: Path, text: bytes, problem: str) -> None:
    (tmp_path / NAME).write_bytes(text)
    found = read(tmp_path, UUID, [KEY])
    assert found.marker is None and problem in found.problem


def _link(path: Path) -> None:
    (path.parent / "secret").write_text("{}")
    path.symlink_to("secret")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


@pytest.mark.parametrize("plant", [
    _link, _socket, Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero"),
    lambda path: path.symlink_to(path.name)],
    ids=["link", "socket", "folder", "fifo", "link to a device", "loop of links"])
def test_what_is_planted_is_neither_followed_nor_waited_for(
        tmp_path: Path, plant: Callable[[Path], None]) -> None:
    plant(tmp_path / NAME)
    found = read(tmp_path, UUID, [KEY])
    assert found.marker is None and "is no plain file" in found.problem


def test_a_planted_link_is_replaced_and_what_it_leads_to_left_alone(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("theirs")
    root = tmp_path / "drive"
    root.mkdir()
    (root / NAME).symlink_to(outside)
    (root / ".part-fieldrec-destination").symlink_to(outside)
    write(root, UUID, KEY, WANTED)
    assert outside.read_text() == "theirs"
    assert read(root, UUID, [KEY]) == Found(WANTED)


def test_a_folder_in_its_place_is_said(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    with pytest.raises(DriveRejected, match=r"cannot be written .*remove what is there"):
        write(tmp_path, UUID, KEY, WANTED)
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_too_many_cameras_for_a_marker(tmp_path: Path) -> None:
    with pytest.raises(DriveError, match="at most 4096 bytes"):
        write(tmp_path, UUID, KEY, replace(WANTED, cameras=("x" * 100,) * 60))
    assert not list(tmp_path.iterdir())


def test_an_owner_cannot_act(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(json.dumps({
        "fieldrec_destination": 1, "id": "d", "owner": "\x1b[31m<b>\u202e\ud800", "hmac": ""}))
    found = read(tmp_path, UUID, [KEY]).marker
    assert found is not None and found.owner == "?[31m<b>??"


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner,
                                                                max_size=3), max_leaves=8)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("id", "owner", "on_insert", "cameras", "hmac"), _VALUES)))
def test_nothing_on_a_drive_raises_or_becomes_ours(tmp_path: Path, values: dict[str, Any]) -> None:
    (tmp_path / NAME).write_text(json.dumps({"fieldrec_destination": 1} | values))
    found = read(tmp_path, UUID, [KEY])
    assert found.marker is None or not found.marker.ours


def test_the_key_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    assert keys_in([first, second, tmp_path / "away"]) == ()
    key = key_for([first, second])
    path = first / PRIVATE_NAME / DRIVES_KEY_NAME
    assert (len(key), stat.S_IMODE(path.stat().st_mode)) == (32, 0o600)
    assert key_for([first, second]) == key == key_for([second, first])
    assert keys_in([second, first]) == (key,)
    other = key_for([second])
    assert other != key
    assert keys_in([first, second]) == (key, other)


def test_two_that_mark_their_first_drive_at_once_have_one_key(tmp_path: Path) -> None:
    made: list[bytes] = []
    threads = [threading.Thread(target=lambda: made.append(key_for([tmp_path])))
               for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8 and len(set(made)) == 1


@pytest.mark.parametrize("text", ["", "00", "zz" * 32, "00" * 33])
def test_a_key_that_is_none_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / PRIVATE_NAME / DRIVES_KEY_NAME
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(DriveError, match=r"drives\.key: not a key .*mark the drives again"):
        keys_in([tmp_path])


@pytest.mark.parametrize("value", [-1, True, 1.5, "8 GB", None, 1 << 63])
def test_a_capacity_that_is_none(tmp_path: Path, value: Any) -> None:
    write(tmp_path, UUID, KEY, replace(WANTED, capacity_bytes=64 * 10**9))
    found = read(tmp_path, UUID, [KEY]).marker
    assert found is not None and found.ours and found.capacity_bytes == 64 * 10**9
    edited(tmp_path, capacity_bytes=value)
    assert read(tmp_path, UUID, [KEY]).marker is None


def test_a_marker_that_says_nothing_of_capacity_is_signed_as_ever(tmp_path: Path) -> None:
    write(tmp_path, UUID, KEY, WANTED)
    told = json.loads((tmp_path / NAME).read_text())
    said = json.dumps([1, WANTED.id, UUID, WANTED.owner, WANTED.on_insert,
                       None if WANTED.cameras is None else list(WANTED.cameras)])
    assert told["hmac"] == hmac.new(KEY, said.encode(), hashlib.sha256).hexdigest()
