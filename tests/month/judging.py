"""What must be true after a boot and after the month, by what lies on the disks.

By other means than the app's where there are any: frames are counted against what the camera wrote
down itself, pictures by the number burnt into them, exports by their sidecars read as the
documentation says, copies by their manifests. Blocking; the box is off.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from fieldrec.camera.burnt_number import read_number
from fieldrec.catalogue.check import check
from fieldrec.store.reader import StoreReader
from tests.fakes.sidecar_content import told_by
from tests.month.field import Field
from tests.month.story import Story

IN_ORDER = ("power off", "stays on", "reboot", "over", "stopped")
CUTS = ("cut", "empty")
DURABLE_S = 1.0
"""store.durability_s: real seconds, as the sync thread is real…"""
LATE_S = 1.0
"""…which may be woken late, and its sync takes its time, on a machine that others use too."""


@dataclass
class Found:
    """Every frame that is somewhere, by its simulated moment; and what is wrong."""

    raw: set[int] = field(default_factory=set)
    exported: set[int] = field(default_factory=set)
    copied: set[int] = field(default_factory=set)
    cut_off: int = 0
    """Frames that were not durable yet when power was cut."""
    recordings: set[str] = field(default_factory=set)
    """Names of all that is anywhere."""
    wrong: list[str] = field(default_factory=list)

    @property
    def anywhere(self) -> set[int]:
        return self.raw | self.exported | self.copied


def after_boot(field: Field, why: str) -> list[str]:
    """What is wrong with a box that was just stopped: invariants I1, I2, I4, I7."""
    if why not in IN_ORDER:
        return []
    wrong = [f"{p.invariant} {p.path.name}: {p.text}" for p in check(field.recordings)
             if not p.path.name.startswith(".work-")]
    wrong += [f"I7 left: {path.name}" for path in field.recordings.iterdir()
              if path.name.startswith((".part-", ".trash-"))]
    wrong += [f"I7 lock left: {path}" for path in field.recordings.glob("*/.lock")]
    wrong += [f"I7 mounted: {line.split()[4]}"
              for line in Path("/proc/self/mountinfo").read_text().splitlines()
              if line.split()[4].startswith(f"{field.mounts}/")]
    return wrong


def at_the_end(field: Field, story: Story) -> Found:
    """Everything, deep."""
    found = Found()
    found.wrong += [f"{p.invariant} {p.path.name}: {p.text}"
                    for p in check(field.recordings, deep=True)
                    if not p.path.name.startswith(".work-")]
    _collect(field.recordings, found, copies=False)
    for label in field.images:
        with field.looked_at(label) as folder:
            if folder.exists():
                _collect(folder, found, copies=True)
    _frames_are_all_there(field, story, found)
    _exports_were_made_once(story, found)
    found.wrong += [f"{line['text']}: {json.dumps(line)}" for line in story.diary("wrong")]
    if story.diary("empty"):
        found.wrong.append("the battery was empty while the box was on")
    return found


def given(field: Field) -> dict[int, float]:
    """Simulated moments of all frames that the camera gave, in order, and the real ones, s."""
    if not field.ledger.exists():
        return {}
    rows = [line.split() for line in field.ledger.read_text().splitlines()]
    return {int(row[2]): float(row[3]) for row in rows}


def _collect(folder: Path, found: Found, *, copies: bool) -> None:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if copies and (problem := _manifest_problem(path)):
                found.wrong.append(f"I4 {path}: {problem}")
                continue
            found.recordings.add(path.name)
            (found.copied if copies else found.raw).update(_read_store(path, found))
        elif path.suffix == ".mp4" and path.with_name(path.name + ".json").exists():
            found.recordings.add(path.name.partition(".")[0])
            found.exported.update(_read_export(path, found))


def _manifest_problem(path: Path) -> str:
    manifest = path / "fieldrec-manifest.json"
    if not manifest.exists():
        return "a copy without a manifest has a final name"
    for entry in json.loads(manifest.read_text())["files"]:
        data = (path / entry["path"]).read_bytes()
        if xxhash.xxh64_hexdigest(data) != entry["xxh64"]:
            return f"{entry['path']} is not what the manifest says"
    return ""


def _read_store(path: Path, found: Found) -> set[int]:
    with StoreReader(path) as store:
        numbers = np.asarray(store.numbers)
        for index in range(store.frame_count):
            burnt = read_number(store.read(index))
            if burnt != int(numbers[index]):
                found.wrong.append(f"{path.name}: frame {index}, number {numbers[index]}, "
                                   f"shows {burnt}")
        moments = [int(moment) for moment in store.device_times_ns]
    if len(set(moments)) != len(moments) or moments != sorted(moments):
        found.wrong.append(f"{path.name}: frames twice, or out of order")
    return set(moments)


def _read_export(path: Path, found: Found) -> set[int]:
    told = told_by(path)
    if xxhash.xxh64_hexdigest(path.read_bytes()) != told["file"]["xxh64"]:
        found.wrong.append(f"I4 {path.name} is not what its sidecar says")
        return set()
    frames = told["frames"]
    key = next((key for key in frames if "device" in key), None)
    if key is None:
        found.wrong.append(f"{path.name}: no device times in its sidecar: {list(frames)}")
        return set()
    return {int(moment) for moment in frames[key]}


def _frames_are_all_there(field: Field, story: Story, found: Found) -> None:
    """Every frame that the camera gave is somewhere; but those of the last moment before a cut."""
    camera, there = given(field), found.anywhere
    cuts = [(line["at_ns"], line["real_s"]) for line in story.diary("ended")
            if line["why"] in CUTS]
    for moment, real_s in camera.items():
        if moment in there:
            continue
        cut = next(((at_ns, at_s) for at_ns, at_s in cuts if at_ns >= moment), None)
        if cut is None or cut[1] - real_s > DURABLE_S + LATE_S:
            age = "" if cut is None else f", given {cut[1] - real_s:.1f} s before a cut"
            found.wrong.append(f"I5/I8: the frame of {moment} is nowhere{age}")
        else:
            found.cut_off += 1
    if there - set(camera):
        found.wrong.append(f"{len(there - set(camera))} frames that no camera gave")


def _exports_were_made_once(story: Story, found: Found) -> None:
    jobs = {(line["item"], line["created_ns"]): line for line in story.diary("job")
            if line["kind"] == "export" and line["state"] == "done"
            and "already" not in line["reason"]}  # each boot sees those of the boots before again
    made: Counter[tuple[Any, ...]] = Counter(
        (line["item"], line["destination"]) for line in jobs.values())
    found.wrong += [f"exported {times} times: {item}" for (item, _), times in made.items()
                    if times > 1]
