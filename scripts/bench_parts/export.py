"""Export beside the ffmpeg command with the same settings, and what the issue of it promises.

High of mono and of colour beside libx264, Lossless beside FFV1 (export_work.py says what counts).
The frames are the synthetic camera's moving pattern.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import export_work
import numpy as np
import table

from fieldrec.camera.synthetic import Options, SyntheticCamera
from fieldrec.core.model import FrameSpec
from fieldrec.export.presets import PRESETS
from fieldrec.store.api.new_store import recording_metadata
from fieldrec.store.writer import StoreWriter

RATIOS = ("fps", "encode fps", "CPU-s/1000", "encode CPU-s/1000", "MB")


def measure(folder: Path, quick: bool, repetitions: int) -> None:
    """Beside ffmpeg: High, then Lossless, of mono and colour."""
    if shutil.which("ffmpeg") is None:
        sys.exit("bench: ffmpeg is not installed: sudo apt install ffmpeg")
    version = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True)
    table.say(f"beside {' '.join(version.stdout.split()[:3])}")
    frames = 90 if quick else 300
    for pixel_format in export_work.RAW_FORMATS:
        store, raw = folder / pixel_format, folder / f"{pixel_format}.raw"
        make_recording(store, raw, pixel_format, frames)
        beside_ffmpeg(folder, "High", pixel_format, frames, repetitions)
        if any(row.name == "Lossless" for row in PRESETS):
            beside_ffmpeg(folder, "Lossless", pixel_format, frames, repetitions)


def beside_ffmpeg(folder: Path, name: str, pixel_format: str, frames: int, repetitions: int
                  ) -> None:
    """One table, and whether the goals are met."""
    store, raw = folder / pixel_format, folder / f"{pixel_format}.raw"
    work = f"{name}-{pixel_format}"

    def ffmpeg(n: int) -> table.Figures:
        ending = "mkv" if name == "Lossless" else "mp4"
        return table.child("export_work", "ffmpeg", name, pixel_format, raw,
                           folder / f"{work}-{n}.{ending}", frames)

    def ours(n: int) -> table.Figures:
        place = folder / f"{work}-export-{n}"
        place.mkdir()
        return table.child("export_work", "fieldrec", name, pixel_format, raw, store, place,
                           frames)

    results = table.interleaved({"ffmpeg": ffmpeg, "fieldrec": ours}, repetitions)
    table.show(f"{name} of {frames} frames {export_work.WIDTH}x{export_work.HEIGHT} "
               f"{pixel_format}", results, ratios=RATIOS)
    table.goal(results, "encode fps", "fieldrec", "ffmpeg", at_least=1.0)
    table.goal(results, "encode CPU-s/1000", "fieldrec", "ffmpeg", at_most=1.0)
    bounds(results)


def bounds(results: Mapping[str, Sequence[table.Figures]]) -> None:
    """The goals that are no ratio of two figures."""
    better = statistics.median((base["1000 (1-SSIM)"] - run["1000 (1-SSIM)"]) / 1000 for run, base
                               in zip(results["fieldrec"], results["ffmpeg"], strict=True))
    table.say(f"  SSIM: fieldrec's less ffmpeg's = {better:+.5f}, goal within 0.001: "
              f"{_met(abs(better) <= 0.001)}")
    time, cpu = (statistics.median(run[name] for run in results["fieldrec"])
                 for name in ("verify/encode %", "of CPU %"))
    table.say(f"  verification: {time:.0f} % of the encoding time ({cpu:.0f} % of its CPU), "
              f"goal < 35 %: {_met(time < 35)}")


def _met(is_met: bool) -> str:
    return "met" if is_met else "NOT met"


def make_recording(store: Path, raw: Path, pixel_format: str, frames: int) -> None:
    """A moving pattern as a store and as one raw file."""
    camera = SyntheticCamera("bench", Options.model_validate(
        {"width": export_work.WIDTH, "height": export_work.HEIGHT, "hz": export_work.HZ,
         "pixel_format": pixel_format}))
    spec: FrameSpec = camera.open()
    pixels = np.empty(spec.shape, spec.dtype)
    writer = StoreWriter(store, spec, chunksize=200, timezone="UTC",
                         created_epoch_ns=1_700_000_000_000_000_000,
                         user_metadata=recording_metadata({}, spec, "UTC"))
    with raw.open("wb") as file:
        for number in range(frames):
            camera.render(number, pixels)
            writer.append(pixels, number, round(number * 1e9 / export_work.HZ), None)
            file.write(pixels.data)
    writer.close()
    camera.close()
