"""Which exports stand for a recording, and which jobs a policy gives for them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from fieldrec.core.model import Export, JobKind, Recording, RecordingState
from fieldrec.jobs.automation import Wanted, raw_to_delete, raw_to_delete_offloaded
from fieldrec.jobs.proofs import exports_with, has_export, why_raw_stays
from tests.unit.test_jobs_history import RECORDING


def export(frames: int = 1000, name: str = "High", **more: Any) -> Export:
    return Export(Path(f"/x/bees.{name}.mp4"), name, frames, 10, "d", more.pop("at_ns", 50), **more)


def having(*exports: Export, **more: Any) -> Recording:
    return dataclasses.replace(RECORDING, exports=exports, **more)


SLICES = tuple(export(frames, slice_number=number, slice_count=2)
               for number, frames in ((1, 600), (2, 400)))


@pytest.mark.parametrize(("recording", "has"), [
    (having(export()), True),
    (having(export(name="high")), True),
    (having(export(name="Low")), False),
    (having(export(999)), False),
    (having(export(1001)), False),
    (having(export(998, unreadable=2)), True),
    (having(*SLICES), True),
    (having(SLICES[0]), False),
    (having(export(999), has_raw=False), True),  # who knows how many there were
    (having(), False),
])
def test_an_export_is_of_all_frames(recording: Recording, has: bool) -> None:
    assert has_export(recording, "High") is has
    assert exports_with(recording, "High") == (recording.exports if has else ())


@pytest.mark.parametrize(("recording", "says"), [
    (having(export()), ""),
    (having(*SLICES), ""),
    (having(export(999)), "no export with High of all its frames; the raw is kept"),
    (having(export(998, unreadable=2)), "2 frames could not be read"),
    (having(export(), state=RecordingState.DAMAGED), "is damaged, not complete"),
    (having(export(), state=RecordingState.RECORDING), "is recording, not complete"),
    (having(SLICES[1]), "no export with High"),
])
def test_why_raw_stays(recording: Recording, says: str) -> None:
    told = why_raw_stays(recording, "High")
    assert says in told
    assert bool(told) is bool(says)
    assert bool(raw_to_delete([recording], "High")) is not bool(says)


def test_raw_that_is_gone_or_empty_is_not_deleted() -> None:
    assert raw_to_delete([having(export(), has_raw=False)], "High") == []
    assert raw_to_delete([having(export(0), frame_count=0)], "High") == []


def test_offloaded_raw_goes_for_a_copy_that_ended_after_the_export() -> None:
    recording = having(export(at_ns=50))
    copied = {("u", "before"): 49, ("u", "usb"): 50, ("other", "nas"): 99}
    assert raw_to_delete_offloaded([recording], "High", copied) == [
        Wanted(JobKind.DELETE_RAW, "bees", "u", destination="usb", preset="High")]
    assert raw_to_delete_offloaded([having(export(9))], "High", copied) == []
