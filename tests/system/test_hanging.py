"""A place that hangs holds up nothing but its own jobs: a share while a drive is brought all and
ejected, and the other way round. The real daemon, udevd, loop devices, FUSE."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fakes import faulty_disk, hanging_share
from tests.fakes.commands import is_leaving
from tests.fakes.copies import store_of
from tests.fakes.small_stores import contents, make_store
from tests.fakes.waiting import PATIENCE_S, wait_until
from tests.system.box import Box, unfinished
from tests.system.test_field_box import NO_EXPORT, state_of
from tests.system.udevd import Udevd

pytestmark = [pytest.mark.root,
              pytest.mark.skipif(bool(faulty_disk.missing()), reason=faulty_disk.missing())]
NAMES = [f"old_20261121_06{minute:02}00" for minute in range(3)]


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for seed, name in enumerate(NAMES, 1):
        make_store(folder, name, seed=seed)
    return folder


def jobs_to(now: Any, destination: str) -> list[str]:
    """The states of the jobs for a destination."""
    return [job["state"] for job in now["jobs"] if job["destination"] == destination]


def all_done(now: Any, destination: str) -> bool:
    return jobs_to(now, destination) == ["done"] * len(NAMES)


def left_in_order(box: Box) -> None:
    """Stopped, but for threads that the kernel holds."""
    assert box.process is not None
    pid = box.process.pid
    box.terminate()
    wait_until(lambda: is_leaving(pid), PATIENCE_S, "it leaves")


def test_a_drive_is_ejected_and_the_box_stops_while_a_share_hangs(
        udevd: Udevd, tmp_path: Path, recordings: Path) -> None:
    """It hangs from before the start on: nothing asks it but a thread that may be left."""
    local = tmp_path / "local"
    local.mkdir()
    with hanging_share.hanging_share(tmp_path) as share:
        share.hold()
        places = {name: {"type": "folder", "path": str(path), "automatic": True}
                  for name, path in (("nas", share.mount_point), ("local", local))}
        places["nas"]["must_be_mounted"] = True
        with Box(tmp_path, match=udevd.match, export=NO_EXPORT, destinations=places) as box:
            udevd.insert(udevd.image())
            now = box.until(lambda now: state_of(now, "FIELD") == "safe to remove"
                            and all_done(now, "local"), "all but the share has all")
            assert set(jobs_to(now, "nas")) & {"running", "waiting"}
            assert not set(jobs_to(now, "nas")) & {"done", "failed"}
            left_in_order(box)
            assert not list(share.behind.iterdir())
            share.release()  # FUSE lets no thread go before it has answered
    for name in NAMES:
        assert contents(store_of(local / name)) == contents(recordings / name)


def test_a_share_gets_all_and_the_box_stops_while_a_drive_hangs(
        udevd: Udevd, tmp_path: Path, recordings: Path) -> None:
    """What is stuck is named; the next start goes on with the drive as it was left: mounted."""
    image = udevd.image(label="STUCK")
    nas = tmp_path / "nas"
    nas.mkdir()
    with faulty_disk.faulty_disk(udevd.folder, image) as disk:
        udevd.settle()
        box = Box(tmp_path, match=udevd.match, export=NO_EXPORT, drives={"on_insert": "nothing"},
                  destinations={"nas": {"type": "folder", "path": str(nas)}},
                  system={"name": "testbox", "shutdown_budget_s": 2})
        with pytest.raises(AssertionError, match=r"stuck: jobs \(copy old.*drives \(STUCK\)"), box:
            box.until(lambda now: state_of(now, "STUCK") == "ready", "mounted")
            disk.stop()
            box.ask("copy", names=NAMES, destination="STUCK")
            wait_until(lambda: disk.orders["waiting"], PATIENCE_S, "a call hangs")
            box.ask("copy", names=NAMES, destination="nas")
            box.until(lambda now: all_done(now, "nas"), "the share has all")
            left_in_order(box)
            disk.release()  # the kernel lets no thread go before it has answered
        with Box(tmp_path, match=udevd.match, export=NO_EXPORT) as box:
            box.until(lambda now: state_of(now, "STUCK") == "safe to remove", "it goes on")
            assert not unfinished(box.ask("snapshot"))
