"""`scripts/bench cuts`: cuts the power hundreds of times while recording, and says what was lost.

Several cameras record on a loop device in memory; at a random moment its file system goes down
without flushing its log, the process is killed, the file system mounted anew, the stores recovered;
then the real imgstore reads every frame of every store (tests/crash/power_cuts.py). "Recorded" is a
frame from the moment its append is over. What no loop device can show is a disk that lies about its
own cache. Needs root.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import processes

ROOT = Path(__file__).parents[2]
MEMORY = Path("/dev/shm")


def main(words: list[str]) -> int:
    """Cut, print a line per file system; exit code 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="scripts/bench cuts", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=300, help="in all (default: 300)")
    parser.add_argument("--fs", default="ext4,xfs", help="file systems, cut by turns")
    parser.add_argument("--kill", action="store_true",
                        help="kill the process only: nothing at all may be missing")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(words)
    modes = ["kill"] if options.kill else options.fs.split(",")
    broken = 0
    for mode in modes:
        found = list(_cuts(mode, options.cuts // len(modes), options.seed))
        print(_line(mode, found), flush=True)
        broken += sum(bool(cut["wrong"]) for cut in found)
        broken += len(found) != options.cuts // len(modes)
    print("broken promises: none" if not broken else f"BROKEN: {broken} cuts, see above")
    return 1 if broken else 0


def _cuts(mode: str, count: int, seed: int) -> Iterator[dict[str, Any]]:
    """What each cut left; what is wrong is printed at once."""
    with tempfile.TemporaryDirectory(prefix="fieldrec-cuts-", dir=MEMORY) as folder:
        words = [sys.executable, "-m", "tests.crash.power_cuts", mode, folder, count, seed]
        with processes.started(*words, cwd=ROOT, stdout=subprocess.PIPE) as driver:
            assert driver.stdout is not None  # noqa: S101 - asked for
            for line in driver.stdout:
                cut = json.loads(line)
                for text in cut["wrong"]:
                    print(f"{mode}, seed {seed}, cut {cut['cut']}: {text}", flush=True)
                yield cut


def _line(mode: str, found: list[dict[str, Any]]) -> str:
    """The figures of one file system."""
    if not found:
        return f"{mode}: nothing was cut"
    losses = [cut["lost_ms"] for cut in found]
    share = max(cut["lost_share"] for cut in found)
    return (f"{mode}: {len(found)} cuts, {sum(cut['stores'] for cut in found)} stores, "
            f"{sum(cut['frames'] for cut in found)} frames read and compared; "
            f"{sum(cut['lost_frames'] for cut in found)} younger ones missing; oldest missing "
            f"frame before the cut: worst {max(losses):.0f} ms, median "
            f"{statistics.median(losses):.0f} ms ({100 * share:.0f} % of what durability_s "
            f"allowed); longest sync {max(cut['sync_ms'] for cut in found):.0f} ms, sleeping "
            f"threads woken late by {max(cut['late_ms'] for cut in found):.0f} ms at most")
