"""Which drives get data, and what: by table; an unknown one never gets a move."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldrec.config.drives import DrivesConfig
from fieldrec.core.model import Drive, DriveMarker, DriveState
from fieldrec.drives.accept import (
    Serving,
    described,
    marker_decides,
    recognised,
    refusal,
    serving,
)

OURS = DriveMarker("d1", ours=True)
FOREIGN = DriveMarker("d1", ours=False, on_insert="move", cameras=("x",))


def drive(label: str = "BEES", uuid: str = "71C7-17D6", marker: DriveMarker | None = None
          ) -> Drive:
    return Drive(fs_uuid=uuid, label=label, device="/dev/sdb1", mount_point=None, fs_type="exfat",
                 link_mbps=5000, size_bytes=10**12, free_bytes=10**12, state=DriveState.MOUNTING,
                 marker=marker)


def config(**keys: Any) -> DrivesConfig:
    """Of drives whose size nobody doubts, unless that is what is asked."""
    return DrivesConfig.model_validate({"unproven_moves": True} | keys)


def gets(what: DrivesConfig, which: Drive) -> Serving:
    return serving(what, recognised(what, which))


@pytest.mark.parametrize(("accept", "which", "accepted"), [
    (["any"], drive(), True),
    (["marked"], drive(), False),
    (["marked"], drive(marker=OURS), True),
    (["marked"], drive(marker=FOREIGN), False),
    (["uuid:71c7-17d6"], drive(), True),
    (["uuid:71c7-17d7"], drive(), False),
    (["label:BEE?"], drive(), True),
    (["label:bee*"], drive(), True),
    (["label:BEE"], drive(), False),
    (["label:[ab]*"], drive(label="BEES"), True),
    (["label:*X"], drive(label=""), False),
    (["label:Käfer"], drive(label="K?fer"), True),
    (["marked", "label:X*", "uuid:71C7-17D6"], drive(), True),
])
def test_who_is_accepted(accept: list[str], which: Drive, accepted: bool) -> None:
    assert (refusal(config(accept=accept), which) == "") == accepted


def test_a_refusal_says_what_to_do() -> None:
    assert refusal(config(accept=["marked", "label:X*"]), drive()) == (
        "not among drives.accept (marked, label:X*); to use it mark it with `fieldrec drive "
        "prepare /dev/sdb1` or add uuid:71C7-17D6 to drives.accept")
    assert refusal(config(accept="marked"), drive(marker=FOREIGN)).startswith(
        "marked by another recorder and not among drives.accept (marked); to use it mark it")
    assert refusal(config(accept="uuid:1"), drive()) == (
        "not among drives.accept (uuid:1); to use it add uuid:71C7-17D6 to drives.accept")


@pytest.mark.parametrize(("accept", "decides"), [
    ("any", False), ("marked", True), (["marked", "uuid:71C7-17D6"], False),
    (["marked", "label:X*"], True), ("uuid:1", False)])
def test_when_the_marker_decides(accept: Any, decides: bool) -> None:
    assert marker_decides(config(accept=accept), drive(marker=OURS)) == decides


@pytest.mark.parametrize(("keys", "which", "known"), [
    ({}, drive(), False),
    ({}, drive(marker=OURS), True),
    ({}, drive(marker=FOREIGN), False),
    ({"accept": ["any", "label:BEES"]}, drive(), True),
    ({"accept": ["any", "uuid:1"]}, drive(), False),
    ({"rules": [{"drive": "any"}]}, drive(), False),
    ({"rules": [{"drive": "uuid:71C7-17D6"}]}, drive(), True),
    ({"rules": [{"drive": "marked"}]}, drive(marker=FOREIGN), False),
])
def test_who_is_known(keys: dict[str, Any], which: Drive, known: bool) -> None:
    assert recognised(config(**keys), which).known == known


def test_an_unknown_drive_gets_copies_and_is_told_how_to_change_that() -> None:
    got = gets(config(on_insert="move"), drive())
    assert got.on_insert == "copy"
    assert got.why == (
        "by drives.on_insert, but it is unknown to this recorder, so it gets copies and nothing is "
        "deleted here; for moves mark it with `fieldrec drive prepare /dev/sdb1`, or name "
        "uuid:71C7-17D6 in drives.accept")
    rule = {"rules": [{"drive": "any", "on_insert": "move"}]}
    got = gets(config(**rule), drive(marker=FOREIGN))
    assert got.on_insert == "copy"
    assert "by rule 1 of drives.rules (any), but it was marked by another recorder" in got.why


def test_a_known_drive_gets_what_is_asked() -> None:
    assert gets(config(on_insert="move"), drive(marker=OURS)).on_insert == "move"
    got = gets(config(on_insert="move", accept=["any", "uuid:71C7-17D6"]), drive())
    assert (got.on_insert, got.why) == ("move", "by drives.on_insert")


def test_the_first_rule_that_fits_counts_and_the_owner_has_the_last_word() -> None:
    ours = DriveMarker("d1", ours=True, on_insert="move", cameras=("side",))
    what = config(eject=False, keep_free_bytes=7, cameras=["a"], raw_as="tar", rules=[
        {"drive": "label:OTHER", "on_insert": "nothing"},
        {"drive": "marked", "keep_free_bytes": 9, "eject": True},
        {"drive": "uuid:71C7-17D6", "on_insert": "nothing"}])
    got = gets(what, drive(marker=ours))
    assert got == Serving("move", ("side",), True, 9, "tar", "by its marker")
    got = gets(what, drive())
    assert got == Serving("nothing", ("a",), False, 7, "tar",
                          "by rule 3 of drives.rules (uuid:71C7-17D6)")
    over = config(rules=[{"drive": "marked", "on_insert": "export", "cameras": [],
                          "raw_as": "tar"}])
    got = gets(over, drive(marker=ours))
    assert (got.on_insert, got.cameras, got.raw_as) == ("export", (), "tar")


def test_anothers_marker_is_not_followed() -> None:
    got = gets(config(on_insert="export"), drive(marker=FOREIGN))
    assert (got.on_insert, got.cameras) == ("export", ())
    assert got.why == ("by drives.on_insert; the marker on it is another recorder's, and not "
                       "followed")


def test_in_words() -> None:
    assert described(gets(config(), drive())) == "copies; then eject"
    assert described(gets(config(cameras=["top", "side-*"], raw_as="tar", eject=False), drive())) \
        == "copies of cameras top, side-* as tar; stays in use"
    assert described(gets(config(on_insert="move"), drive(marker=OURS))) \
        == "moves; then eject"
    assert described(gets(config(on_insert="export", raw_as="tar"), drive())) \
        == "exports; then eject"
    assert described(gets(config(on_insert="nothing"), drive())) == "nothing by itself"


def test_whose_recordings_are_for_it() -> None:
    got = gets(config(cameras=["top", "side-*"]), drive())
    assert [s for s in ("top", "side-1", "Top", "x-top") if got.takes(s)] == ["top", "side-1"]
    assert gets(config(), drive()).takes("whichever")


_ACTIONS = st.sampled_from(["copy", "move", "export", "nothing"])
_ITEMS = st.sampled_from(["any", "marked", "label:BEES", "label:O*", "uuid:71C7-17D6", "uuid:1"])


@given(on_insert=_ACTIONS, accept=st.lists(_ITEMS, min_size=1),
       rules=st.lists(st.tuples(_ITEMS, st.none() | _ACTIONS)),
       marker=st.none() | st.builds(DriveMarker, st.just("d"), ours=st.booleans(),
                                    on_insert=st.just("") | _ACTIONS),
       label=st.sampled_from(["BEES", "OWL", ""]), uuid=st.sampled_from(["71C7-17D6", "1", ""]))
def test_only_known_drives_ever_get_moves(
        on_insert: str, accept: list[str], rules: list[tuple[str, str | None]],
        marker: DriveMarker | None, label: str, uuid: str) -> None:
    first: dict[str, str | None] = {}
    for item, action in rules:
        if "any" not in first:
            first.setdefault(item, action)
    what = config(on_insert=on_insert, accept=accept,
                  rules=[{"drive": item, "on_insert": action} for item, action in first.items()])
    got = recognised(what, drive(label, uuid, marker))
    named = {f"uuid:{uuid}", "label:BEES" if label == "BEES" else "-",
             "label:O*" if label == "OWL" else "-"}
    known = (marker is not None and marker.ours) or bool(named & {*accept, *first})
    assert got.known == known
    assert known or serving(what, got).on_insert != "move"


def test_no_moves_to_a_drive_that_may_be_smaller_than_it_says() -> None:
    what = config(on_insert="move", unproven_moves=False)
    got = gets(what, drive(marker=OURS))
    assert got.on_insert == "copy"
    assert "drive BEES is as large as it says cannot be told on exfat without filling it" in got.why
    assert "drives.unproven_moves" in got.why and "--format exfat" in got.why
    for capacity, ours, move in ((10**12, True, True), (10**12 - 1, True, False),
                                 (10**12, False, False)):
        marked = replace(OURS, capacity_bytes=capacity, ours=ours)
        asked = gets(config(accept="label:BEES", on_insert="move", unproven_moves=False),
                     drive(marker=marked))
        assert asked.on_insert == ("move" if move else "copy")
    ext4 = replace(drive(marker=OURS), fs_type="ext4")
    assert gets(what, ext4).on_insert == "move"  # it is looked at before the first deletion
    full = replace(ext4, mount_point=Path("/m"), free_bytes=10**11)
    assert "900 GB of 1.0 TB" in gets(what, full).why and gets(what, full).on_insert == "copy"
    assert gets(what, replace(full, capacity_bytes=10**12)).on_insert == "move"  # by the books
