"""The daemon and its encoder killed while a recording is exported in segments, at seeded moments:
in the end it was exported once, verified, nothing else is left, and the raw was there all the time.

`FIELDREC_EXPORT_KILLS=200 pytest -n 0 tests/scenario/test_export_kills.py` goes on for longer.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from pathlib import Path

import pytest
import xxhash

from fieldrec.catalogue.scan import scan
from tests.fakes.commands import Daemon, daemon, fieldrec_json, leftovers, write_config
from tests.fakes.export_content import moving, write_store
from tests.fakes.small_stores import contents

KILLS = int(os.environ.get("FIELDREC_EXPORT_KILLS", "4"))
PER_RECORDING = 4
FRAMES = 240
"""Sixteen segments: one for each group of pictures."""
WITHIN_S = 1.5
"""After the daemon is up, or after its encoder is there."""
SMALL_SEGMENTS = "import fieldrec.export.segments as s\ns.SEGMENT_PIXELS = 1\n"
EXPORT = {"automatic": True, "preset": "quick", "presets": {
    "quick": {"crf": 30, "speed": "medium", "keyframe_s": 0.25}}}


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in
                Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def encoder_of(box: Daemon) -> int | None:
    """The export process, once it is itself and not yet a copy of the daemon about to become it."""
    for child in children(box.pid):
        try:
            if b"fieldrec.export.process" in Path(f"/proc/{child}/cmdline").read_bytes():
                return child
        except OSError:
            continue
    return None


def is_done(box: Daemon) -> bool:
    return any(job["state"] == "done" for job in box.ask("jobs"))


def kill_once(config: Path, env: dict[str, str], chance: random.Random) -> int:
    """One life that ends by a kill; how many kills fell before the export was done."""
    with daemon(config, env=env) as box:
        if chance.random() < 0.7:
            box.wait(lambda: encoder_of(box) is not None or is_done(box), "the encoder begins")
        threading.Event().wait(chance.uniform(0, WITHIN_S))
        fell = int(not is_done(box))
        encoder = encoder_of(box)
        whom = chance.choice(["daemon", "encoder", "both"])
        if whom != "daemon" and encoder is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(encoder, signal.SIGKILL)
            if whom == "encoder":  # the daemon goes on with it
                threading.Event().wait(chance.uniform(0, WITHIN_S))
                fell += int(not is_done(box))
        box.kill()
    return fell


def assert_nothing_false(recordings: Path, raw: dict[str, bytes]) -> None:
    """What a kill left: the raw as it was, and no export that is not whole (I4, I5)."""
    kept = {name: data for name, data in contents(recordings / "bees").items()
            if name != ".frames.index"}
    assert kept == raw
    for found in scan(recordings):
        for export in found.exports:
            assert xxhash.xxh64_hexdigest(export.path.read_bytes()) == export.digest


@pytest.mark.parametrize("seed", range(-(-KILLS // PER_RECORDING)))
def test_killed_again_and_again_a_recording_is_exported_once(tmp_path: Path, seed: int) -> None:
    chance = random.Random(f"export kills {seed}")
    (tmp_path / "sitecustomize.py").write_text(SMALL_SEGMENTS)
    config = write_config(tmp_path, cameras={}, export=EXPORT)
    env = {"PYTHONPATH": os.pathsep.join(
        filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))}
    recordings = tmp_path / "recordings"
    write_store(recordings / "bees", moving(FRAMES))
    raw = contents(recordings / "bees")
    kills = kept = 0
    for _ in range(PER_RECORDING):
        kills += kill_once(config, env, chance)
        kept += len(list(recordings.glob(".work-*/*")))
        assert_nothing_false(recordings, raw)
    with daemon(config, env=env) as box:
        box.wait(lambda: {job["state"] for job in box.ask("jobs")} == {"done"}, "it is exported")
        assert len(box.ask("jobs")) == 1
        assert box.stop() == 0
    made = {path.name: path.stat().st_mtime_ns for path in recordings.glob("bees.*")}
    assert made.keys() == {"bees.quick.mp4", "bees.quick.mp4.json"}
    assert leftovers(recordings) == []
    assert_nothing_false(recordings, raw)
    assert fieldrec_json("check", "--deep", "--recordings", recordings) == []
    (found,) = scan(recordings)
    assert [export.frame_count for export in found.exports] == [FRAMES]
    print(f"seed {seed}: {kills} kills before it was done, {kept} files kept for going on")


def test_paused_and_killed_it_keeps_what_is_encoded_and_goes_on_when_told(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(SMALL_SEGMENTS)
    config = write_config(tmp_path, cameras={}, export=EXPORT)
    env = {"PYTHONPATH": os.pathsep.join(
        filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))}
    recordings = tmp_path / "recordings"
    write_store(recordings / "bees", moving(FRAMES))

    def kept() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in recordings.glob(".work-*/[0-9]*")}

    with daemon(config, env=env) as box:
        box.wait(lambda: len(kept()) >= 2, "some segments are there")
        box.ask("pause_job", job_id=1)
        box.wait(lambda: box.ask("jobs")[0]["state"] == "waiting", "it is held")
        before = kept()
        box.kill()
    with daemon(config, env=env) as box:
        box.wait(lambda: "paused by the operator" in box.ask("jobs")[0]["reason"], "still paused")
        assert kept().items() <= before.items()
        assert len(kept()) >= 2
        box.ask("resume_job", job_id=1)
        box.wait_jobs(1)
        assert box.stop() == 0
    assert leftovers(recordings) == []
    assert [export.frame_count for export in scan(recordings)[0].exports] == [FRAMES]
