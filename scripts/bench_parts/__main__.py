"""`scripts/bench WHAT`: chooses the measurement, makes its folder, removes it at the very end."""

from __future__ import annotations

import argparse
import importlib
import shutil
import sys
import tempfile
from pathlib import Path

import plot
import processes
import table

NEEDED_BYTES = 32_000_000_000
WHAT = {
    "lag": "lag of the event loop while two cameras record and a copy runs",
    "capture": "recorder against imgstore's writer and one big file: MB/s, CPU, frames lost",
    "export": "export against the ffmpeg command with the same settings",
    "copy": "verified copy against cp and rsync, on ext4 and exFAT; a recording beside it (root)",
    "start": "how long commands take, also in a folder of 200 recordings",
    "idle": "processor time and wake-ups of a daemon that has nothing to do",
    "cuts": "power cuts while recording: what is lost (options of its own: cuts --help)",
    "soak": "eight hours of frames in minutes: memory, descriptors, threads, kernel caches",
    "insert": "from a drive's event to the first byte on it, and to SAFE (root)",
    "store": "opening, finding, reading, adding beside the imgstore package; recovering",
}
BROKEN_OFF = 130
"""As shells say it of a command that Ctrl-C ended."""
MODULES = {"copy": "copying"}
"""Where it is not the name: a module named copy would hide the standard library's."""


def main() -> int:
    """Parse, measure, print; exit code 1 when the disk has no room, 130 after Ctrl-C."""
    processes.heed_ctrl_c()
    try:
        return bench()
    except KeyboardInterrupt:
        print("\nbench: broken off; what it made is removed", file=sys.stderr)
        return BROKEN_OFF


def bench() -> int:
    """The same, without Ctrl-C."""
    if sys.argv[1:2] == ["cuts"]:  # counts, and measures nothing
        return int(importlib.import_module("cuts").main(sys.argv[2:]))
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Measure fieldrec beside its peers.",
        epilog="\n".join(f"  {name:8} {text}" for name, text in WHAT.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("--quick", action="store_true", help="a short run: rougher figures")
    parser.add_argument("--repetitions", type=int,
                        help="default: 5, or 2 with --quick and for copy")
    parser.add_argument("--directory", type=Path, default=Path("/var/tmp"),
                        help="folder on the disk to measure (default: /var/tmp)")
    parser.add_argument("--output", type=Path, metavar="FOLDER",
                        help="write tables and a picture of them there: WHAT.txt, WHAT.png")
    options = parser.parse_args()
    part = importlib.import_module(MODULES.get(options.what, options.what))
    needed = getattr(part, "NEEDED_BYTES", NEEDED_BYTES)
    if shutil.disk_usage(options.directory).free < needed:
        print(f"bench: {options.directory}: {needed // 10**9} GB must be free: nothing that "
              "was recorded is deleted before the end, because deleting changes what is measured",
              file=sys.stderr)
        return 1
    folder = Path(tempfile.mkdtemp(prefix="fieldrec-bench-", dir=options.directory))
    try:
        table.say(table.machine_line(folder))
        part.measure(folder, options.quick,
                     options.repetitions or getattr(part, "REPETITIONS", 2 if options.quick else 5))
        if options.output is not None:
            write(options.output, options.what)
    finally:
        with processes.undisturbed():
            shutil.rmtree(folder)
    return 0


def write(folder: Path, what: str) -> None:
    """What was printed, and its picture."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{what}.txt").write_text("\n".join(table.shown) + "\n")
    plot.draw(folder / f"{what}.png", table.tables)
    print(f"\nwritten: {folder / what}.txt, {folder / what}.png")


if __name__ == "__main__":
    sys.exit(main())
