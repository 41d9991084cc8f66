"""The sidecar: what it says, and when an export counts as there."""

from __future__ import annotations

import datetime
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldrec.core.errors import JobRefused
from fieldrec.core.model import Export
from fieldrec.export import sidecar
from fieldrec.export.opening import encoder_name
from fieldrec.export.presets import preset
from fieldrec.export.verify import Quality, file_digest
from tests.fakes.export_content import BGR

NEVER = threading.Event()


def source(**user: Any) -> sidecar.Source:
    return sidecar.Source(
        name="bees", uuid="abc", created_utc="2026-11-21T06:00:00", timezone="Europe/Vienna",
        spec=BGR, user_metadata=user, numbers=np.array([5, 6, 9]),
        times_ns=np.array([1000, 2000, 5000]))


def written(folder: Path, **user: Any) -> tuple[Export, dict[str, Any]]:
    path = folder / "bees.high.mp4"
    path.write_bytes(b"a movie")
    export = Export(path=path, preset="High", frame_count=3, size_bytes=7,
                    digest=file_digest(path, NEVER), verified_at_ns=77)
    sidecar.write(export, source(**user), preset=preset("High"),
                  quality=Quality(38.5, 41.0), rules={"range": "limited"})
    return export, json.loads((folder / "bees.high.mp4.json").read_text())


def test_it_says_everything(tmp_path: Path) -> None:
    export, content = written(tmp_path, observer="Ada", fieldrec={
        "camera_serial": "cam-7", "dropped": 2, "lost": 1})
    assert content == {
        "format": "fieldrec-export", "version": 1,
        "recording": {
            "name": "bees", "uuid": "abc", "camera_serial": "cam-7",
            "created_utc": "2026-11-21T06:00:00", "timezone": "Europe/Vienna",
            "first_time_ns": 1000, "last_time_ns": 5000, "dropped": 2, "lost": 1,
            "shape": [120, 160, 3], "dtype": "uint8", "pixel_format": "BGR8", "nominal_hz": 60.0},
        "user_metadata": {"observer": "Ada", "fieldrec": {
            "camera_serial": "cam-7", "dropped": 2, "lost": 1}},
        "file": {"name": "bees.high.mp4", "size_bytes": 7, "xxh64": export.digest},
        "preset": "High", "encoder": encoder_name(preset("High"), "libx264"), "codec": "H.264 High",
        "frame_count": 3,
        "verified_at_ns": 77, "quality": {
            "psnr_min_db": 38.5, "psnr_mean_db": 41.0, "ssim_min": 0.0, "ssim_mean": 0.0,
            "compared": 0, "exact": False},
        "frames": {"number": [5, 6, 9], "time_ns": [1000, 2000, 5000]},
        "rules": {"range": "limited"},
    }


def test_a_foreign_store_has_its_gaps_counted(tmp_path: Path) -> None:
    recording = written(tmp_path)[1]["recording"]
    assert (recording["dropped"], recording["lost"], recording["camera_serial"]) == (2, 0, "")


def test_metadata_that_json_does_not_know_becomes_text(tmp_path: Path) -> None:
    content = written(tmp_path, started=datetime.date(2026, 11, 21))[1]
    assert content["user_metadata"]["started"] == "2026-11-21"


def test_a_whole_export_is_there(tmp_path: Path) -> None:
    export, _ = written(tmp_path)
    assert sidecar.committed(export.path, "abc", "High", 3, NEVER) == export


def test_anything_less_is_not(tmp_path: Path) -> None:
    export, content = written(tmp_path)
    path, beside = export.path, sidecar.sidecar_path(export.path)

    def is_there(frame_count: int = 3, preset: str = "High") -> bool:
        return sidecar.committed(path, "abc", preset, frame_count, NEVER) is not None

    assert is_there()
    assert not is_there(frame_count=4)
    assert not is_there(preset="Low")
    for bytes_now in (b"a movi", b"b movie", b""):
        path.write_bytes(bytes_now)
        assert not is_there()
    path.unlink()
    assert not is_there()
    path.write_bytes(b"a movie")
    for text in ("", "[]", "{", json.dumps({**content, "version": 2}),
                 json.dumps({**content, "file": None})):
        beside.write_text(text)
        assert not is_there()
    beside.unlink()
    assert not is_there()


def test_an_export_of_another_recording_is_never_replaced(tmp_path: Path) -> None:
    export, _ = written(tmp_path)
    with pytest.raises(JobRefused, match=r"export of another recording \(uuid abc\): move it"):
        sidecar.committed(export.path, "other", "High", 3, NEVER)
