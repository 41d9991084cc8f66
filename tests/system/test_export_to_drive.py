"""Exports made straight to a drive: ejected and pulled out meanwhile, they go on at the next visit;
the raw goes only then, and nothing is ever written where a drive was."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import xxhash

from tests.fakes.export_content import moving, write_store
from tests.system.box import Box, Console
from tests.system.test_field_box import state_of
from tests.system.udevd import Udevd

pytestmark = pytest.mark.root
NAME = "old_20261121_060000"
SMALL_SEGMENTS = "import fieldrec.export.segments as s\ns.SEGMENT_PIXELS = 1\n"


@pytest.fixture
def console() -> Iterator[Console]:
    with Console() as console:
        yield console


def begun(now: Any) -> bool:
    return any(job["state"] == "running" and job["done_bytes"] > 0 for job in now["jobs"])


def waits_for_the_drive(now: Any) -> bool:
    return [job["state"] for job in now["jobs"]] == ["waiting"] and \
        "not present" in now["jobs"][0]["reason"]


def test_straight_to_a_drive_that_is_ejected_and_pulled_out(udevd: Udevd, tmp_path: Path,
                                                            console: Console) -> None:
    (tmp_path / "recordings").mkdir()
    write_store(tmp_path / "recordings" / NAME, moving(240))
    (tmp_path / "sitecustomize.py").write_text(SMALL_SEGMENTS)
    image = udevd.image()
    export = {"automatic": False, "presets": {"slow": {"speed": "slower", "keyframe_s": 0.5}}}
    with Box(tmp_path, console, match=udevd.match, drives={"on_insert": "nothing"}, export=export,
             environment={"PYTHONPATH": str(tmp_path)}) as box:
        device = udevd.insert(image)
        box.until(lambda now: state_of(now, "FIELD") == "ready", "mounted")
        box.ask("export", names=[NAME], preset="slow", destination="drive", delete_raw=True)
        box.until(begun, "the export has begun")
        console.type("eject FIELD")
        console.until("OK SAFE TO REMOVE FIELD")
        box.until(waits_for_the_drive, "the export waits")
        udevd.take_out(device)
        device = udevd.insert(image)
        box.until(begun, "it goes on")
        udevd.pull(device)
        box.until(waits_for_the_drive, "the export waits again")
        assert (box.recordings / NAME).is_dir()
        assert [path for path in box.mounts.rglob("*") if not path.is_dir()] == []
        udevd.insert(image)
        now = box.until(lambda now: now["jobs"][0]["state"] in ("done", "failed"), "it ends")
        assert now["jobs"][0]["state"] == "done", now["jobs"]
        assert "raw deleted" in now["jobs"][0]["reason"]
        assert not (box.recordings / NAME).exists()
        console.type("eject")
        box.until(lambda now: state_of(now, "FIELD") == "safe to remove", "ejected")
        device = now["drives"][-1]["device"]
        udevd.take_out(device)
    assert [path.name for path in (tmp_path / "recordings").glob("*")] == [".fieldrec"]
    point = tmp_path / "elsewhere"
    point.mkdir()
    device = udevd.insert(image)
    subprocess.run(["mount", "-o", "ro", device, str(point)], check=True)
    try:
        movie, sidecar = sorted((point / "fieldrec").glob(f"{NAME}.*"))
        assert movie.name == f"{NAME}.slow.mp4"
        told = json.loads(sidecar.read_text())
        assert told["frame_count"] == 240
        assert told["file"]["xxh64"] == xxhash.xxh64_hexdigest(movie.read_bytes())
    finally:
        subprocess.run(["umount", str(point)], check=True)
        udevd.take_out(device)
