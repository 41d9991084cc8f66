"""Interleaved repetitions and the table of what they gave: figures, and ratios to the first row.

A ratio is taken within one repetition, where both cases met the same disk and the same neighbours,
and the median of these ratios is shown with the smallest and the largest.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import processes

Figures = dict[str, float]
PARTS = Path(__file__).resolve().parent
NOTE = ("Figures: median [smallest..largest] of {count} interleaved repetitions; x: ratio to the "
        "first row\nwithin a repetition. Use the ratios inside one table: other load and other "
        "disks move the rest.")


shown: list[str] = []
"""All that was printed, for a file."""
tables: list[tuple[str, dict[str, list[Figures]]]] = []
"""All tables, for a picture."""


def say(text: str) -> None:
    """Print it and keep it."""
    print(text, flush=True)
    shown.append(text)


def machine_line(folder: Path) -> str:
    """Where this was measured."""
    versions = " ".join(f"{name} {importlib.metadata.version(name)}"
                        for name in ("numpy", "av", "opencv-python-headless", "imgstore"))
    system = subprocess.run(["df", "--output=fstype", folder], capture_output=True, text=True,
                            check=False).stdout.split()[-1]
    load = os.getloadavg()[0]
    return (f"{os.cpu_count()} cores ({_processor()}), Linux {platform.release()}, {system}, "
            f"Python {platform.python_version()}, {versions}; load before: {load:.1f}")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return " ".join(line.partition(":")[2].split())
    return platform.machine()


def child(module: str, *arguments: object) -> Figures:
    """Run `python MODULE.py ARGUMENTS` in a process of its own; its last line is JSON."""
    said = processes.run(sys.executable, PARTS / f"{module}.py", *arguments)
    return parse(said.splitlines()[-1])


def interleaved(cases: dict[str, Callable[[int], Figures]], repetitions: int
                ) -> dict[str, list[Figures]]:
    """Every case once per repetition; the order turns round each time."""
    results: dict[str, list[Figures]] = {name: [] for name in cases}
    for repetition in range(repetitions):
        names = list(cases) if repetition % 2 == 0 else list(cases)[::-1]
        for name in names:
            if sys.stderr.isatty():
                print(f"\r{repetition + 1}/{repetitions} {name:<40}\r", end="", file=sys.stderr,
                      flush=True)
            os.sync()
            results[name].append(cases[name](repetition))
    return results


def show(title: str, results: Mapping[str, Sequence[Figures]], *,
         ratios: Sequence[str] = ()) -> None:
    """Print the table; columns named in `ratios` also show the ratio to the first row."""
    first = next(iter(results.values()))
    header = ["", *first[0]]
    rows = [[name, *(_cell(runs, first, column, column in ratios and runs is not first)
                     for column in first[0])] for name, runs in results.items()]
    widths = [max(len(row[at]) for row in [header, *rows]) for at in range(len(header))]
    say(f"\n{title}")
    for row in [header, *rows]:
        say("  ".join([row[0].ljust(widths[0]),
                       *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:],
                                                                  strict=True))]).rstrip())
    say(NOTE.format(count=len(first)))
    tables.append((title, {name: list(runs) for name, runs in results.items()}))


def goal(results: Mapping[str, Sequence[Figures]], column: str, what: str, beside: str, *,
         at_least: float = 0.0, at_most: float = math.inf) -> None:
    """Say what the ratio is, and what it is to be."""
    ratio = statistics.median(run[column] / max(base[column], 1e-9) for run, base in
                              zip(results[what], results[beside], strict=True))
    bound = f">= {at_least:g}" if at_least else f"<= {at_most:g}"
    met = "met" if at_least <= ratio <= at_most else "NOT met"
    say(f"  {column}: {what} / {beside} = {ratio:.2f}x, goal {bound}: {met}")


def _cell(runs: Sequence[Figures], first: Sequence[Figures], column: str, with_ratio: bool) -> str:
    values = [run[column] for run in runs]
    text = f"{_number(statistics.median(values))} [{_number(min(values))}..{_number(max(values))}]"
    if with_ratio and all(run[column] for run in first):
        parts = [run[column] / base[column] for run, base in zip(runs, first, strict=True)]
        text += (f" {statistics.median(parts):.2f}x [{min(parts):.2f}..{max(parts):.2f}]")
    return text


def _number(value: float) -> str:
    if value == 0 or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def answer(figures: Mapping[str, Any]) -> None:
    """Said by a child at its end."""
    print(json.dumps(figures), flush=True)


def parse(line: str) -> Figures:
    """What a child said."""
    figures: Figures = json.loads(line)
    return figures
