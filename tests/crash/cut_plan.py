"""What one process records until its power is cut: drawn from a seed, so that it can be repeated.

Cameras of different sizes and rates, frames written past the page cache and through it, with and
without a tail that is no whole page, chunks so small that their ends are frequent, splits, an
operator who stops and starts or pauses, pre-roll, motion events, and packets of a network camera.
Pure.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fieldrec.config import Config

LONGEST_S = 1.3
"""Latest cut, after the cameras began to run."""
SAMPLES: dict[str, dict[str, Any]] = {
    "big": {"width": 512, "height": 320, "hz": 50},
    "tail": {"width": 402, "height": 330, "hz": 30},
    "colour": {"width": 96, "height": 64, "pixel_format": "BGR8", "hz": 90},
    "deep": {"width": 100, "height": 72, "pixel_format": "MONO16", "hz": 110},
    "gaps": {"width": 128, "height": 96, "drop_every": 7, "hz": 60},
    "burst": {"width": 80, "height": 60, "paced": False, "hz": 500, "frames": 250},
    "flood": {"width": 512, "height": 320, "paced": False, "hz": 500, "frames": 200},
}
"""Cameras by key: some are written past the page cache and some are not; the last two do not wait
at all, play out, and are closed while the others go on. Two frames of a flood are written at once.
"""

CODED = {"packets": True, "hz": 50}
"""A network camera whose own packets are recorded; of tests.fakes."""
BLOBS = ((5, 30), (45, 60), (75, 100), (120, 140))
"""Frames in which something moves, where only that is kept."""
SPECIAL = ("pause", "preroll", "motion", "packets")
SPECIAL_SHARE = 0.5
"""Share of lives (of those that are not calm) with one of these."""
STEADY = ["big", "colour", "deep", "gaps", "tail"]
CALM = 0.3
"""Share of lives in which no chunk and no recording ends: all that is durable is by the timer."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One life."""

    cameras: dict[str, dict[str, Any]]
    chunksize: int
    durability_s: float
    write: str
    split_frames: int | None
    verbs: tuple[tuple[float, str], ...]
    """What an operator does: seconds after the cameras began to run, verb."""
    recover_beside: bool
    """Whether what it leaves is recovered only by the next life, beside its recording, and cut
    off there."""
    cut_starting: bool
    """Whether it is cut while it starts…"""
    cut_s: float
    """…so long after the start was asked for; else so long after the cameras began to run."""
    preroll_s: float = 0.0
    motion: bool = False
    """Whether only what moves is kept, in a store for each event."""

    def config(self, recordings: Path, url: str = "") -> Config:
        """As the program would have it from a file; `url` of the camera that gives packets."""
        record: dict[str, Any] = {"name": "cut", "ring_s": 1.0, "preroll_s": self.preroll_s}
        if self.motion:
            record |= {"trigger": "motion", "motion": {
                "threshold": 2, "area_percent": 0.05, "leave_percent": 0.02, "frames": 1,
                "look_hz": 60, "postroll_s": 0.05}}
        if self.split_frames is not None:
            record["split_after"] = {"frames": self.split_frames}
        return Config.model_validate({
            "storage": {"directory": recordings, "reserve_bytes": "1 MB", "stop_percent": 99.9},
            "store": {"chunksize": self.chunksize, "durability_s": self.durability_s,
                      "write": self.write},
            "record": record,
            "cameras": {key: _camera(options, url) for key, options in self.cameras.items()},
            "export": {"automatic": False}, "drives": {"enabled": False},
            "power": {"source": "mains"}})


def _camera(options: dict[str, Any], url: str) -> dict[str, Any]:
    if "packets" not in options:
        return {"backend": "synthetic", "options": options}
    return {"backend": "network", "options": {"url": url, "store": "packets",
                                              "hz": options["hz"]}}


def plan(seed: int, number: int) -> Plan:
    """The life of this number in the series of this seed."""
    dice = random.Random(f"{seed} {number}")
    if dice.random() < CALM:
        return Plan(cameras={key: {**SAMPLES[key], "seed": len(key)}
                             for key in sorted(dice.sample(STEADY, 2))},
                    chunksize=200, durability_s=0.4, write="buffered", split_frames=None, verbs=(),
                    recover_beside=False, cut_starting=False, cut_s=dice.uniform(0.7, LONGEST_S))
    keys = dice.sample(sorted(SAMPLES), dice.choice([2, 3, 3, 4]))
    cut_starting = dice.random() < 0.15
    cut_s = dice.uniform(0.0, 0.3 if cut_starting else LONGEST_S)
    verbs = []
    if dice.random() < 0.3:
        again = sorted(dice.uniform(0.0, cut_s) for _ in range(2))
        verbs = [(again[0], "stop"), (again[1], "start")]
    made = Plan(
        cameras={key: {**SAMPLES[key], "seed": len(key)} for key in sorted(keys)},
        chunksize=dice.choice([2, 5, 13, 40, 200]), durability_s=dice.choice([0.4, 0.6, 1.0]),
        write=dice.choice(["auto", "direct", "buffered"]),
        split_frames=dice.choice([None, None, 7, 20, 45]), verbs=tuple(verbs),
        recover_beside=dice.random() < 0.2, cut_starting=cut_starting, cut_s=cut_s)
    return _special(made, random.Random(f"{seed} {number} special"))


def _special(made: Plan, dice: random.Random) -> Plan:
    """The same life with one thing more, or as it is."""
    if dice.random() >= SPECIAL_SHARE:
        return made
    what = dice.choice(SPECIAL)
    if what == "pause" and not made.cut_starting:
        at = sorted(dice.uniform(0.0, made.cut_s) for _ in range(3))
        return replace(made, verbs=tuple(zip(at, ("pause", "resume", "pause"), strict=True)))
    if what == "preroll":
        return replace(made, preroll_s=dice.uniform(0.05, 0.5))
    if what == "motion":
        cameras = {key: {**options, "moves": BLOBS, "burn": "none"}
                   for key, options in made.cameras.items()}
        return replace(made, cameras=cameras, motion=True, verbs=(),
                       preroll_s=dice.choice([0.0, 0.15]))
    if what == "packets":
        return replace(made, cameras={**made.cameras, "coded": CODED})
    return made
