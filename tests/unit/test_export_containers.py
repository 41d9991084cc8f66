"""Which container holds what; an AVI made and looked at by other eyes."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from fieldrec.core.errors import UsageError
from fieldrec.core.model import FrameSpec
from fieldrec.export.containers import MKV, MP4, container_for
from fieldrec.export.presets import Preset, preset
from fieldrec.export.run import run_export
from tests.fakes.export_content import MONO, moving, write_store

HIGH, LOSSLESS = preset("High"), preset("Lossless")
AT_NATIVE = dataclasses.replace(HIGH, name="Even", container=".avi", rate="native")


def test_containers_are_found_by_extension() -> None:
    assert container_for(HIGH, ".mp4", 25.0) is MP4
    assert container_for(LOSSLESS, ".MKV", 29.97) is MKV


def test_ticks_of_an_avi_are_its_frames() -> None:
    assert container_for(AT_NATIVE, ".avi", 60.0).ticks_per_second == 60
    set_to_25 = dataclasses.replace(AT_NATIVE, rate="25")
    assert container_for(set_to_25, ".avi", 59.94).ticks_per_second == 25


@pytest.mark.parametrize(("row", "extension", "hz", "said"), [
    (LOSSLESS, ".mp4", 25.0, "preset Lossless: FFV1 level 3 cannot be put into a .mp4: use .mkv"),
    (preset("VP9"), ".avi", 25.0, "preset VP9: VP9 cannot be put into a .avi: use .mp4 or .mkv"),
    (HIGH, ".mov", 25.0, "preset High: H.264 cannot be put into a .mov: use .mp4 or .mkv or .avi"),
    (HIGH, "", 25.0, "into a file without extension"),
    (HIGH, ".avi", 25.0, "preset High: .avi cannot say when a frame was taken: use .mp4 or .mkv, "
                         "or a constant rate (rate: native, or in Hz)"),
    (AT_NATIVE, ".avi", 29.97, "preset Even: .avi takes whole frames per second, not 29.97: set "
                               "`rate` to a whole number of Hz"),
])
def test_what_cannot_be_held_is_refused_with_what_can(row: Preset, extension: str, hz: float,
                                                      said: str) -> None:
    with pytest.raises(UsageError) as caught:
        container_for(row, extension, hz)
    assert said in str(caught.value)


@pytest.mark.parametrize("row", [
    AT_NATIVE, dataclasses.replace(LOSSLESS, name="EvenLossless", container=".avi", rate="20")],
    ids=lambda row: row.codec)
def test_an_avi_has_every_frame_in_its_place(tmp_path: Path, row: Preset) -> None:
    spec = FrameSpec(MONO.shape, "uint8", "MONO8", 50.0)
    frames = moving(30, spec)
    store = write_store(tmp_path / "bees", frames, spec)
    path = run_export(store, row, output_folder=tmp_path, stop=threading.Event(),
                      on_progress=lambda *_: None).path
    with av.open(str(path)) as movie:
        stream = movie.streams.video[0]
        assert stream.average_rate == (50 if row is AT_NATIVE else 20)
        places = [packet.dts for packet in movie.demux(stream)]
    assert places == [*range(30), None]
    capture = cv2.VideoCapture(str(path))
    for frame in frames:
        _, seen = capture.read()
        assert np.abs(seen[..., 0].astype(int) - frame).mean() < (3 if row is AT_NATIVE else 0.01)
    capture.release()
