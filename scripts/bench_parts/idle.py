"""What a daemon costs that has nothing to do: processor time and wake-ups per second."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import processes
import start
import table
import yaml

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SETTLING_S = 6.0
BARE = "import asyncio\nasync def main():\n while True: await asyncio.sleep(1)\nasyncio.run(main())"


def measure(folder: Path, quick: bool, repetitions: int) -> None:
    """A bare loop that wakes once a second, and daemons with and without cameras."""
    seconds = 10 if quick else 20
    camera = {"backend": "synthetic", "options": {"width": 640, "height": 480}}
    fieldrec = (str(start.FIELDREC), "run", "--config")
    cases: dict[str, Callable[[int], table.Figures]] = {
        "asyncio, one wake-up a second": lambda _: watch([sys.executable, "-c", BARE], seconds)}
    for name, cameras in (("fieldrec run, no camera", {}),
                          ("fieldrec run, 2 cameras open", {"a": camera, "b": camera})):
        recordings = folder / f"recordings-{len(cameras)}"
        recordings.mkdir()
        start.make_recordings(recordings, 20)
        config = folder / f"{len(cameras)}.yaml"
        config.write_text(yaml.safe_dump({
            "storage": {"directory": str(recordings)}, "cameras": cameras,
            "export": {"automatic": False},
            "power": {"poweroff_command": "none"}}))  # a laptop that is measured stays on
        cases[name] = lambda _, config=config: watch([*fieldrec, str(config)], seconds)  # type: ignore[misc]
    results = table.interleaved(cases, repetitions)
    table.show(f"idle over {seconds} s", results, ratios=("CPU %", "wake-ups/s"))


def watch(command: list[str], seconds: float) -> table.Figures:
    """Start, let it settle, watch, stop."""
    with processes.started(*command, stderr=subprocess.DEVNULL) as process:
        try:
            time.sleep(SETTLING_S)
            before, began_s = _used(process.pid), time.monotonic()
            time.sleep(seconds)
            after, took_s = _used(process.pid), time.monotonic() - began_s
            threads = len(list(Path(f"/proc/{process.pid}/task").iterdir()))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
    return {"CPU %": (after[0] - before[0]) / TICKS_PER_S / took_s * 100,
            "wake-ups/s": (after[1] - before[1]) / took_s, "threads": threads}


def _used(pid: int) -> tuple[int, int]:
    """(clock ticks of processor time, voluntary switches of all its threads)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    switches = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                switches += int(line.split()[1])
    return int(fields[11]) + int(fields[12]), switches
