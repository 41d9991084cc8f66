"""What admission may look at, and destinations by name."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from fieldrec.app.conditions import (
    conditions_of,
    destinations_of,
    folder_of,
    labels_of,
)
from fieldrec.config import Config
from fieldrec.config.destinations import FolderConfig
from fieldrec.core.model import (
    Drive,
    DriveState,
    Job,
    JobKind,
    JobState,
    PowerLevel,
    PowerState,
)
from fieldrec.core.snapshot import StorageStatus
from fieldrec.destinations import Destination
from fieldrec.jobs.tars import wants_tars

READY = Drive("AB-12", "FIELD", "/dev/sda1", Path("/m"), "ext4", None, 10, 5, DriveState.READY)


class StandInDrives:
    """What is asked of the watcher."""

    def __init__(self, *drives: Drive) -> None:
        self._drives = drives

    def drives(self) -> tuple[Drive, ...]:
        return self._drives


def job(destination: str | None) -> Job:
    return Job(1, JobKind.COPY, "bees", "u", destination, None, False, False, JobState.QUEUED, "",
               0, 0, 0, 0, 0)


def test_destinations_are_present_when_configured_named_by_a_job_or_ready(tmp_path: Path) -> None:
    config = Config.model_validate({"destinations": {"nas": {"path": tmp_path}}})
    gone = dataclasses.replace(READY, fs_uuid="CD-34", state=DriveState.EJECTING)
    power = PowerState(PowerLevel.MAINS)
    found = conditions_of(config, None, power, [READY, gone],
                          [job("/some/folder"), job("drive:CD-34"), job(None)],
                          StorageStatus(free_bytes=7), stopping=True)
    assert found.present_destinations == {"nas", "/some/folder", "drive:AB-12"}
    assert (found.recording, found.recording_since_ns) == (False, None)
    assert (found.power, found.free_bytes, found.shutting_down) == (power, 7, True)


def test_drives_are_called_by_their_labels() -> None:
    nameless = dataclasses.replace(READY, fs_uuid="CD-34", label="")
    gone = dataclasses.replace(READY, fs_uuid="EF-56", label="OLD", state=DriveState.ABSENT)
    assert labels_of([READY, nameless, gone]) == {"drive:AB-12": "FIELD", "drive:EF-56": "OLD"}


def test_only_what_can_be_opened_now_is_a_destination(tmp_path: Path) -> None:
    config = Config.model_validate({"destinations": {"nas": {"path": tmp_path}}})
    watcher: Any = StandInDrives(READY, dataclasses.replace(READY, fs_uuid="X",
                                                            state=DriveState.SAFE))
    jobs = [job(str(tmp_path / "b")), job("drive:X")]
    found = destinations_of(config, watcher, watcher.drives(), jobs)
    assert set(found) == {"nas", str(tmp_path / "b"), "drive:AB-12"}
    bad = dataclasses.replace(READY, suspect="gave back other bytes, 3 times")
    assert set(destinations_of(config, watcher, [bad], jobs)) == {"nas", str(tmp_path / "b")}
    assert "drive:AB-12" not in conditions_of(
        config, None, PowerState(PowerLevel.MAINS), [bad], [], StorageStatus(),
        stopping=False).present_destinations


@pytest.mark.parametrize("name", ["nas", "path"])
def test_a_folder_is_opened_and_closed(tmp_path: Path, name: str) -> None:
    config = Config.model_validate({"destinations": {"nas": {"path": tmp_path}}})
    found = destinations_of(config, None, [], [job(str(tmp_path))])
    with found["nas" if name == "nas" else str(tmp_path)]() as destination:
        opened: Destination = destination
        assert list(opened.items()) == []


def test_whether_raw_goes_as_tars_is_the_places_own(tmp_path: Path) -> None:
    for wanted in ("files", "tar"):
        folder = folder_of("usb", FolderConfig.model_validate({"path": tmp_path,
                                                               "raw_as": wanted}))
        assert wants_tars(folder) is (wanted == "tar")
