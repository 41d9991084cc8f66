"""The sidecar: what it says, and when an export counts as there."""

from __future__ import annotations

import dataclasses
import datetime
import json
import threading
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from fieldrec import __version__
from fieldrec.core.errors import JobRefused
from fieldrec.core.model import Export, FrameSpec
from fieldrec.export import sidecar
from fieldrec.export.opening import encoder_name
from fieldrec.export.pictures import pictures_for
from fieldrec.export.presets import Preset, preset
from fieldrec.export.verify import Quality, file_digest
from tests.fakes.export_content import BGR
from tests.fakes.sidecar_content import plain, told_by

NEVER = threading.Event()
HIGH = preset("High")
RULES = {"range": "limited"}


def source(numbers: list[int] | None = None, **more: Any) -> sidecar.Source:
    numbers = numbers or [5, 6, 9]
    more = {"user_metadata": {}, **more}
    return sidecar.Source(
        name="bees", uuid="abc", created_utc="2026-11-21T06:00:00", timezone="Europe/Vienna",
        spec=BGR, numbers=np.array(numbers),
        times_ns=np.array([1000 * (number - 4) for number in numbers]), **more)


def content(told: sidecar.Source, **more: Any) -> dict[str, Any]:
    return sidecar.content(told, preset=HIGH, pictures=pictures_for(told.spec, HIGH), rules=RULES,
                           encoder="libx264", **more)


def written(folder: Path, told: sidecar.Source | None = None, **more: Any
            ) -> tuple[Export, dict[str, Any]]:
    path = folder / "bees.high.mp4"
    path.write_bytes(b"a movie")
    told = told or source()
    values = content(told, **more)
    export = Export(path=path, preset="High", frame_count=values["frame_count"], size_bytes=7,
                    digest=file_digest(path, NEVER), verified_at_ns=77,
                    unreadable=len(more.get("unreadable", ())))
    sidecar.commit(export, values, Quality(38.5, 41.0))
    return export, told_by(path)


def test_it_says_everything(tmp_path: Path) -> None:
    user = {"observer": "Ada", "fieldrec": {"camera_serial": "cam-7", "dropped": 2, "lost": 1}}
    export, told = written(tmp_path, source(user_metadata=user))
    for key in ("tail_bytes", "versions", "request", "quality"):
        assert told.pop(key)
    assert told == {
        "format": "fieldrec-export", "version": 2,
        "recording": {
            "name": "bees", "uuid": "abc", "camera_serial": "cam-7",
            "created_utc": "2026-11-21T06:00:00", "timezone": "Europe/Vienna",
            "clock_quality": "none", "frame_count": 3,
            "first_time_ns": 1000, "last_time_ns": 5000, "dropped": 2, "lost": 1, "paused": 0,
            "shape": [120, 160, 3], "dtype": "uint8", "pixel_format": "BGR8", "nominal_hz": 60.0,
            "raw_bytes": 3 * 120 * 160 * 3},
        "user_metadata": user, "store": {},
        "file": {"name": "bees.high.mp4", "size_bytes": 7, "xxh64": export.digest},
        "preset": "High", "encoder": encoder_name(HIGH, "libx264"), "codec": "H.264",
        "pictures": {"shape": [120, 160, 3], "dtype": "uint8", "pixel_format": "BGR8",
                     "exact": False, "encoding": None, "width": 160, "height": 120,
                     "coded_as": "yuv420p"},
        "frame_count": 3, "part": {"first_index": 0, "end_index": 3, "of": 3}, "slice": None,
        "missing": {"dropped": 2, "lost": 0, "paused": 0},
        "unreadable_count": 0, "extra_data_count": 0, "verified_at_ns": 77, "rules": RULES,
        "gaps": {"dropped": [{"first_number": 7, "count": 2, "before_ns": 2000,
                              "after_ns": 5000}], "lost": [], "paused": []},
        "unreadable": [], "frames": {"number": [5, 6, 9], "time_ns": [1000, 2000, 5000]},
    }


def test_it_says_with_what_it_was_made(tmp_path: Path) -> None:
    told = written(tmp_path)[1]
    assert Preset.from_request(told["request"]) == HIGH
    assert told["versions"]["fieldrec"] == __version__
    assert told["versions"]["PyAV"] == av.__version__
    assert {"libavcodec", "libavformat"} < set(told["versions"])
    assert (told["quality"]["psnr_min_db"], told["quality"]["psnr_mean_db"]) == (38.5, 41.0)


def test_what_is_known_before_verification_goes_into_the_movie(tmp_path: Path) -> None:
    before = plain(sidecar.text(content(source())))
    told = written(tmp_path)[1]
    for of in (before, told):
        of.pop("tail_bytes")
    assert {*told} - {*before} == {"file", "verified_at_ns", "quality"}
    assert before == {key: told[key] for key in before}


def test_an_unreadable_frame_is_named_and_left_out(tmp_path: Path) -> None:
    bad = sidecar.Unreadable(11, 6, "000000/000001.npy: its digest is wrong")
    export, told = written(tmp_path, source(first_index=10, of=20), unreadable=[bad])
    assert told["unreadable"] == [{"index": 11, "number": 6, "reason": bad.reason}]
    assert told["frames"] == {"number": [5, 9], "time_ns": [1000, 5000], "index": [10, 12]}
    assert (told["frame_count"], told["unreadable_count"]) == (2, 1)
    assert told["missing"]["dropped"] == 2, "it was recorded, so nobody dropped it"
    assert sidecar.committed(export.path, "abc", "High", 3, NEVER) == export
    assert sidecar.committed(export.path, "abc", "High", 2, NEVER) is None


def test_a_slice_says_which_one_it_is(tmp_path: Path) -> None:
    export, told = written(tmp_path, source(first_index=6, of=9), slice_number=3, slice_count=3)
    assert told["slice"] == {"number": 3, "of": 3}
    assert told["part"] == {"first_index": 6, "end_index": 9, "of": 9}
    assert told["recording"]["frame_count"] == 9
    found = sidecar.committed(export.path, "abc", "High", 3, NEVER)
    assert found is not None
    assert (found.slice_number, found.slice_count) == (3, 3)


def test_gaps_are_told_by_who_is_to_blame(tmp_path: Path) -> None:
    records = [
        {"lost_first_number": 13, "lost_last_number": 14, "lost_count": 2,
         "lost_first_time_ns": 8100, "lost_last_time_ns": 8900},
        {"paused": True, "paused_first_number": 20, "paused_last_number": 29, "paused_count": 10,
         "paused_first_time_ns": 15500, "paused_last_time_ns": 25000}, {"temperature": 20.5}]
    told = written(tmp_path, source([10, 11, 16, 17, 19, 30], records=records))[1]
    assert told["gaps"]["lost"] == [{
        "first_number": 13, "last_number": 14, "count": 2, "first_time_ns": 8100,
        "last_time_ns": 8900}]
    assert [gap["count"] for gap in told["gaps"]["paused"]] == [10]
    assert [(gap["first_number"], gap["count"]) for gap in told["gaps"]["dropped"]] == [
        (12, 2), (18, 1)]
    assert told["missing"] == {"dropped": 3, "lost": 2, "paused": 10}
    assert told["extra_data"] == records


def test_times_and_metadata_that_json_does_not_know(tmp_path: Path) -> None:
    times_s = np.array([1.5, np.nan, 2.5])
    told = written(tmp_path, source(
        times_s=times_s, device_times_ns=np.array([1, -1, 3]),
        user_metadata={"half": "\ud800", "when": datetime.date(2026, 11, 21)}))[1]
    assert told["user_metadata"] == {"half": "\ud800", "when": "2026-11-21"}
    assert np.array_equal(told["frames"]["time_s"], times_s, equal_nan=True)
    assert told["frames"]["device_time_ns"] == [1, -1, 3]


@pytest.mark.parametrize(("name", "spec", "expected"), [
    ("High", FrameSpec((7, 9), "uint16", "MONO12", 5.0), ([7, 9], "uint8", "MONO8", False)),
    ("High", FrameSpec((7, 9), "uint8", "BAYER_RG8", 5.0), ([7, 9, 3], "uint8", "BGR8", False)),
    ("Lossless", FrameSpec((7, 9), "uint16", "MONO12", 5.0), ([7, 9], "uint16", "MONO12", True)),
    ("Lossless", FrameSpec((7, 9), "uint8", "BAYER_RG8", 5.0),
     ([7, 9], "uint8", "BAYER_RG8", True)),
    ("Lossless", FrameSpec((7, 9, 3), "uint8", "RGB8", 5.0), ([7, 9, 3], "uint8", "RGB8", True)),
])
def test_it_says_what_a_reader_gets(name: str, spec: FrameSpec, expected: tuple[Any, ...]) -> None:
    row = preset(name)
    told = sidecar.content(dataclasses.replace(source(), spec=spec), preset=row,
                           pictures=pictures_for(spec, row), rules={}, encoder="x")["pictures"]
    assert (told["shape"], told["dtype"], told["pixel_format"], told["exact"]) == expected


def test_a_whole_export_is_there(tmp_path: Path) -> None:
    export, _ = written(tmp_path)
    assert sidecar.committed(export.path, "abc", "High", 3, NEVER) == export


def test_anything_less_is_not(tmp_path: Path) -> None:
    export, _ = written(tmp_path)
    path, beside = export.path, sidecar.sidecar_path(export.path)
    whole = beside.read_bytes()
    told = json.loads(whole)

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
    for text in ("", "[]", "{", json.dumps({**told, "version": 3}),
                 json.dumps({**told, "file": None})):
        beside.write_text(text)
        assert not is_there()
    for data in (whole[:-3], whole[:-200], whole + b"\n"):
        beside.write_bytes(data)
        assert not is_there()
    beside.write_bytes(whole)
    assert is_there()
    beside.write_text(json.dumps(told, indent=1))
    assert is_there(), "written anew by somebody, and still right"
    beside.unlink()
    assert not is_there()


def test_an_export_of_another_recording_is_never_replaced(tmp_path: Path) -> None:
    export, _ = written(tmp_path)
    with pytest.raises(JobRefused, match=r"export of another recording \(uuid abc\): move it"):
        sidecar.committed(export.path, "other", "High", 3, NEVER)
