"""What fits is planned by whole recordings: never less than what is then written, in figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fieldrec.catalogue.scan import scan
from fieldrec.core.model import Export, FrameSpec, Recording, RecordingState
from fieldrec.jobs import drive_room
from fieldrec.jobs.drive_room import Room, copied_bytes, describe_stays, fit, in_order, raw_bytes
from tests.fakes.small_stores import make_store

GB = 1_000_000_000
SPEC = FrameSpec((1216, 1936), "uint8", "MONO8", 25.0)


def recording(name: str, size_gb: float = 1.0, *, camera: str = "C1", first_ns: int = 0,
              exports: tuple[Export, ...] = ()) -> Recording:
    """A store of one video, so that its size is what it takes up, next to nothing more."""
    return Recording(name, f"uuid-{name}", camera, Path("/r") / name, RecordingState.COMPLETE,
                     None, 10, first_ns, first_ns + 1, 0, 0, round(size_gb * GB), "", "UTC",
                     exports=exports, chunk_count=1)


def takes(root: Path, cluster: int) -> int:
    """What a folder takes up where files and folders are whole clusters."""
    return sum(max(-(-path.stat().st_size // cluster), 1) * cluster for path in root.rglob("*"))


@pytest.mark.parametrize("cluster", [512, 4096, 32768, 131072, 1 << 20])
@pytest.mark.parametrize("frames", [1, 10, 203])
def test_what_is_planned_is_never_less_than_what_is_written(tmp_path: Path, cluster: int,
                                                            frames: int) -> None:
    make_store(tmp_path, "bees", frames=frames)
    (found,) = scan(tmp_path)
    assert (found.chunk_count, found.frame_files) == (-(-frames // 4), frames)
    planned = copied_bytes(found, Room(0, cluster))
    assert planned >= takes(tmp_path / "bees", cluster) + cluster
    assert planned <= 4 * takes(tmp_path / "bees", cluster) + 40 * cluster


def test_frames_of_one_size_are_reckoned_by_clusters() -> None:
    """2.4 MB frames on an exFAT drive of 128 kB clusters: 18 clusters and a part are 19 (4 %)."""
    frame = SPEC.frame_bytes + 128
    raw = replace(recording("bees", 0), spec=SPEC, frame_count=10_000, frame_files=10_000,
                  chunk_count=50, size_bytes=10_000 * frame)
    planned = raw_bytes(raw, 131072)
    assert 10_000 * 18 * 131072 <= planned <= 10_000 * 18 * 131072 * 1.02 + 50 * 8 * 131072


def test_pictures_waste_half_a_cluster_each() -> None:
    jpegs = replace(recording("bees", 1), spec=SPEC, frame_files=10_000, chunk_count=50)
    planned = raw_bytes(jpegs, 32768)
    assert 1.15 * GB < planned < 1.25 * GB
    assert raw_bytes(replace(jpegs, frame_files=0), 32768) < 1.01 * GB  # videos


def test_whole_recordings_oldest_first_and_the_rest_in_figures() -> None:
    some = [recording(f"r{number:02}", 15.0, first_ns=number) for number in range(19)]
    found = fit(in_order(reversed(some)), Room(215 * GB, 4096))
    assert [one.name for one in found.fits] == [f"r{number:02}" for number in range(14)]
    assert found.new == found.fits
    assert describe_stays(found) == ("14 of 19 recordings fit (210.0 GB of 285.0 GB); 5 stay, "
                                     "75.0 GB; use another drive")
    assert describe_stays(fit(some[:2], Room(300 * GB))) == ""


def test_what_is_there_or_begun_needs_no_room_again() -> None:
    bees = recording("bees", 10, exports=(Export(Path("/r/bees.high.mp4"), "High", 1, GB, "", 0),))
    assert copied_bytes(bees, Room(0)) > 11 * GB
    assert copied_bytes(bees, Room(0, present=frozenset({"bees"}))) < 1.01 * GB
    assert copied_bytes(bees, Room(0, present=frozenset({"bees", "bees.high.mp4"}))) == 0
    begun = copied_bytes(bees, Room(0, begun={"bees": 9 * GB}))
    assert 2 * GB < begun < 2.01 * GB
    found = fit([bees], Room(0, present=frozenset({"bees", "bees.high.mp4"})))
    assert found.fits == (bees,) and found.new == ()


def test_one_that_does_not_fit_lets_smaller_ones_pass_and_one_too_large_is_named() -> None:
    some = [recording("huge", 300), recording("a", 5), recording("large", 30), recording("b", 4)]
    found = fit(some, Room(10 * GB, 4096, total_bytes=64 * GB))
    assert [one.name for one in found.fits] == ["a", "b"]
    assert describe_stays(found) == (
        "2 of 4 recordings fit (9.0 GB of 339.0 GB); 2 stay, 330.0 GB; use another drive; huge "
        "(300.0 GB) is larger than the whole drive")


@pytest.mark.parametrize(("how", "expected"), [
    ({}, ["old", "side", "new"]),
    ({"cameras": ("side*", "*")}, ["side", "old", "new"]),
    ({"elsewhere": lambda one: one.name == "old"}, ["side", "new", "old"]),
    ({"first": {"new": 2, "side": 1}}, ["new", "side", "old"]),
    ({"elsewhere": lambda one: one.name == "side", "cameras": ("side*",)}, ["old", "new", "side"]),
])
def test_who_goes_first(how: dict[str, object], expected: list[str]) -> None:
    some = [recording("new", camera="top-1", first_ns=30), recording("old", camera="top-1"),
            recording("side", camera="side-1", first_ns=20)]
    assert [one.name for one in in_order(some, **how)] == expected  # type: ignore[arg-type]


def test_figures_of_more_than_a_few_that_are_too_large() -> None:
    found = fit([recording(f"r{number}", 90) for number in range(6)], Room(0, total_bytes=GB))
    assert describe_stays(found, "destination").endswith("so are 3 more")
    assert drive_room.describe_stays(found).startswith("0 of 6 recordings fit (0 B of 540.0 GB)")
