"""The preset that is remembered with a recording."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from fieldrec.app.offload import Offload
from fieldrec.config import Config
from fieldrec.core.model import Export, JobKind, Recording, RecordingState
from fieldrec.export.presets import preset
from fieldrec.jobs.drive_room import Room
from fieldrec.jobs.job_queue import JobQueue
from fieldrec.jobs.remembered import KEY, by_preset, preset_for

OWN = {"Tiny": dataclasses.replace(preset("Low"), name="Tiny", crf=40)}


def recording(name: str, **metadata: Any) -> Recording:
    return Recording(name, name, "C1", Path("/r"), RecordingState.COMPLETE, None, 3, 1, 2, 0, 0, 9,
                     "", "UTC", user_metadata=metadata)


@pytest.mark.parametrize(("told", "found"), [
    ("Medium", "Medium"), ("medium", "Medium"), ("Tiny", "Tiny"),
    ("Gone", "High"), (5, "High"), (None, "High"), ([], "High")])
def test_a_known_preset_is_taken_and_all_else_is_the_usual_one(told: Any, found: str) -> None:
    assert preset_for(recording("a", **{KEY: told}), "High", OWN) == found
    assert preset_for(recording("a"), "High", OWN) == "High"


def test_recordings_are_told_apart_by_it() -> None:
    a, b, c = recording("a"), recording("b", export_preset="Tiny"), recording("c")
    assert by_preset([a, b, c], "High", OWN) == {"High": [a, c], "Tiny": [b]}


@pytest.mark.asyncio
async def test_the_box_exports_each_with_its_own_and_takes_that_export_along(tmp_path: Path
                                                                             ) -> None:
    """Automatic exports, the raw that goes for them, and a copy that waits for them."""
    config = Config.model_validate({
        "export": {"raw": "delete_verified"},
        "destinations": {"usb": {"path": "/usb", "automatic": True}}})
    queue = JobQueue(tmp_path / "jobs.sqlite")
    await queue.open()
    try:
        offload = Offload(config, queue, say=lambda *_: None, look=no_room, eject=nobody,
                          again=lambda: None)
        medium = Export(Path("/r/b.medium.mp4"), "Medium", 3, 1, "", 1)
        high = dataclasses.replace(medium, preset="High")
        await offload.plan([
            recording("a"), recording("b", export_preset="Medium"),
            dataclasses.replace(recording("done", export_preset="Medium"), exports=(medium,)),
            dataclasses.replace(recording("other", export_preset="Medium"), exports=(high,))])
        assert {(job.kind, job.item, job.preset) for job in queue.jobs()} == {
            (JobKind.EXPORT, "a", "High"), (JobKind.EXPORT, "b", "Medium"),
            (JobKind.EXPORT, "other", "Medium"),
            (JobKind.COPY, "done", None), (JobKind.DELETE_RAW, "done", "Medium")}
    finally:
        await queue.close()


async def no_room(_name: str, _begun: Collection[str]) -> Room:
    raise AssertionError("no drive was put in")


async def nobody(_device: str, _note: str) -> None:
    raise AssertionError("nothing is to be ejected")
