"""What must be true after a boot and after the month, by what lies on the disks.

By other means than the app's where there are any: frames are counted against what the camera wrote
down itself, pictures by the number burnt into them, exports by their sidecars read as the
documentation says, copies by their manifests. Blocking; the box is off.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from fieldrec.camera.burnt_number import read_number
from fieldrec.catalogue.check import check
from fieldrec.config import Config
from fieldrec.core.mountinfo import read_mounts
from fieldrec.store.reader import StoreReader
from tests.fakes.copies import listed, store_of
from tests.fakes.sidecar_content import told_by
from tests.month.field import Field
from tests.month.planned import Span, holes, merged, planned_spans, recorded_spans
from tests.month.scenario import Scenario
from tests.month.story import Story

IN_ORDER = ("power off", "stays on", "reboot", "over", "stopped")
CUTS = ("cut", "empty")
DURABLE_S = 1.0
"""store.durability_s: real seconds, as the sync thread is real…"""
EDGE_S = 240.0
"""A box takes its time to start, a camera to begin; what is shorter than a frame and this is no
gap."""
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
    """Names of all that is anywhere…"""
    with_raw: set[str] = field(default_factory=set)
    """…of those whose raw the box has…"""
    on_drives: set[str] = field(default_factory=set)
    """…and of those that a drive has, whole."""
    gaps: Counter[str] = field(default_factory=Counter)
    """Of the report, by cause."""
    planned_h: float = 0.0
    missing_h: float = 0.0
    """Of the planned hours."""
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
    wrong += [f"I7 mounted: {mount.mount_point}" for mount in read_mounts()
              if field.mounts in mount.mount_point.parents]
    return wrong


def at_the_end(field: Field, story: Story, config: Config, scenario: Scenario) -> Found:
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
    _deleted_after_a_copy(story, found)
    gone = found.recordings - found.with_raw
    found.wrong += [f"I5 the raw of {name} is gone, and no drive has it"
                    for name in sorted(gone - found.on_drives)]
    _gaps_are_explained(field, story, config, scenario, found)
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
        if path.name.startswith(".") or path.name in ("logbook", "ascmhl"):
            continue
        if path.is_dir():
            if copies and (problem := _manifest_problem(path)):
                found.wrong.append(f"I4 {path}: {problem}")
                continue
            found.recordings.add(path.name)
            (found.on_drives if copies else found.with_raw).add(path.name)
            (found.copied if copies else found.raw).update(
                _read_store(store_of(path) if copies else path, found))
        elif path.suffix == ".mp4" and path.with_name(path.name + ".json").exists():
            name = path.name.partition(".")[0]
            found.recordings.add(name)
            if copies:
                found.on_drives.add(name)
            found.exported.update(_read_export(path, found))


def _manifest_problem(path: Path) -> str:
    if not (path / "ascmhl" / "ascmhl_chain.xml").exists():
        return "a copy without a manifest has a final name"
    for name, (_, digest) in listed(path).items():
        if xxhash.xxh64_hexdigest((path / name).read_bytes()) != digest:
            return f"{name} is not what the manifest says"
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


def _deleted_after_a_copy(story: Story, found: Found) -> None:
    copied: set[str] = set()
    done = [line for line in story.diary("job") if line["state"] == "done"]
    for at_ns in dict.fromkeys(line["at_ns"] for line in done):
        looked = [line for line in done if line["at_ns"] == at_ns]
        copied |= {line["item"] for line in looked if line["kind"] in ("copy", "move")}
        found.wrong += [f"I5 {line['kind']} of {line['item']} before any copy of it: {line}"
                        for line in looked if line["kind"] in ("delete", "delete-raw")
                        and line["item"] not in copied]


def report(field: Field, form: str, output: Path) -> None:
    """What `fieldrec report` makes of the logbook."""
    done = subprocess.run(
        [sys.executable, "-m", "fieldrec.cli.main", "report", str(field.recordings), "--format",
         form, "--output", str(output), "--replace"], check=False, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"fieldrec report: {done.stderr[-500:]}")


def _gaps_are_explained(field: Field, story: Story, config: Config, scenario: Scenario,
                        found: Found) -> None:
    """Every part of every span of the schedule was recorded, or is in a gap of the report with its
    cause; and nothing that was recorded is called a gap."""
    report(field, "csv", field.root / "report")
    with (field.root / "report" / "gaps.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "not recorded"]
    found.gaps = Counter(row["cause"] for row in rows)
    found.wrong += [f"a gap that nobody can explain: {row}" for row in rows
                    if row["cause"] == "unexplained"]
    gaps = merged([(int(row["from_ns"]), int(row["until_ns"])) for row in rows])
    by_hand = [line["at_ns"] for line in story.diary("stop")]
    slack_ns = int((scenario.period_s + EDGE_S) * 1e9)
    wanted = planned_spans(config, scenario.begins_ns, scenario.ends_ns)
    recorded = recorded_spans(list(given(field)), scenario.period_s)
    missing = holes(wanted, recorded, slack_ns)
    found.planned_h = sum(ends - begins for begins, ends in wanted) / 3600e9
    found.missing_h = sum(ends - begins for begins, ends in missing) / 3600e9
    lost = _without_a_clock(story)
    for begins, ends in holes(missing, merged([*gaps, *lost]), slack_ns):
        if not any(begins - slack_ns <= at_ns <= ends for at_ns in by_hand):
            found.wrong.append(f"not recorded and not in the report: {utc(begins)} to {utc(ends)}")
    known = holes(recorded, lost, 1)
    over = [(begins, ends) for begins, ends in _both(gaps, known) if ends - begins > 2 * slack_ns]
    found.wrong += [f"recorded, and a gap in the report: {utc(begins)} to {utc(ends)}"
                    for begins, ends in over]


def _without_a_clock(story: Story) -> list[Span]:
    """From the boot before one whose clock was never right to the boot after it: nobody can say
    when in this time that was."""
    found: list[Span] = []
    right_ns, wrong = 0, False
    """When the box last knew the time; whether it does not now."""
    for line in story.diary("boot", "gps", "ended"):
        if line["what"] == "boot":
            if wrong:  # the boot before never learned it
                found.append((right_ns, line["at_ns"]))
            wrong = abs(line["wall_ns"] - line["at_ns"]) > 10**9
        elif line["what"] == "gps":
            wrong = False
        if not wrong:
            right_ns = line["at_ns"]
    return merged(found)


def utc(at_ns: int) -> str:
    """For messages."""
    return f"{dt.datetime.fromtimestamp(at_ns / 1e9, dt.UTC):%m-%d %H:%M:%S}"


def _both(some: list[Span], others: list[Span]) -> list[Span]:
    return [(max(a, c), min(b, d)) for a, b in some for c, d in others if max(a, c) < min(b, d)]


def _exports_were_made_once(story: Story, found: Found) -> None:
    jobs = {(line["item"], line["created_ns"]): line for line in story.diary("job")
            if line["kind"] == "export" and line["state"] == "done"
            and "already" not in line["reason"]}
    made: Counter[tuple[Any, ...]] = Counter(
        (line["item"], line["destination"]) for line in jobs.values())
    found.wrong += [f"exported {times} times: {item}" for (item, _), times in made.items()
                    if times > 1]
