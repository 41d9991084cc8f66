"""Export beside the ffmpeg command with the same settings, and what the issue of it promises.

High of mono and of colour beside libx264, Lossless beside FFV1 (export_work.py says what counts);
then the memory of every preset's encoder process, and what a capture loses beside an export
(export_beside.py). The frames are the synthetic camera's moving pattern.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import capture
import export_work
import numpy as np
import table

from fieldrec.camera.synthetic import Options, SyntheticCamera
from fieldrec.core.model import FrameSpec
from fieldrec.export.presets import PRESETS
from fieldrec.store.api.new_store import recording_metadata
from fieldrec.store.writer import StoreWriter

FRAME_BYTES = export_work.WIDTH * export_work.HEIGHT
RATIOS = ("fps", "encode fps", "CPU-s/1000", "encode CPU-s/1000", "MB")


def measure(folder: Path, quick: bool, repetitions: int) -> None:
    """Beside ffmpeg: High, then Lossless, of mono and colour; memory; capture beside exports."""
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
    memory(folder, 80)
    capture_beside(folder, 2.0 if quick else 4.0, repetitions)


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


def memory(folder: Path, frames: int) -> None:
    """The encoder process of each preset, 1920x1080 in colour."""
    store = folder / "large"
    make_recording(store, folder / "large.raw", "BGR8", frames, (1920, 1080))
    results = {}
    for row in PRESETS:
        place = folder / f"memory-{row.name}"
        place.mkdir()
        results[row.name] = [table.child("export_beside", "memory", row.name, store, place)]
    table.show("most memory of the encoder process, 1920x1080 BGR8, verification included",
               results)
    for name, runs in results.items():
        table.say(f"  {name}: {runs[0]['MB']:.0f} MB, goal < 400: {_met(runs[0]['MB'] < 400)}")


def capture_beside(folder: Path, length_s: float, repetitions: int) -> None:
    """A camera at 80 % of the disk's rate beside a paused export, at 50 % beside a throttled one;
    and alone, which tells what the export has to do with it."""
    direct = table.child("capture", "big file direct", 1, 400, "1280x1024 mono",
                         "as fast as it goes", capture.place(folder, "disk's rate"))
    rate_hz = direct["MB/s"] * 1e6 / FRAME_BYTES
    table.say(f"\nthe disk's rate: {direct['MB/s']:.0f} MB/s (one file past the page cache), "
              f"{rate_hz:.0f} frames/s of 1280x1024")

    def case(beside: str, share: float) -> Callable[[int], table.Figures]:
        hz = share * rate_hz

        def run(repetition: int) -> table.Figures:
            where = capture.place(folder, f"beside-{beside}-{share}-{repetition}")
            return table.child("export_beside", "capture", beside, hz, round(hz * length_s),
                               folder / "MONO8", where)
        return run

    for beside, share in (("paused", 0.8), ("throttled", 0.5)):
        results = table.interleaved({"alone": case("alone", share),
                                     f"{beside} export": case(beside, share)}, repetitions)
        table.show(f"one camera at {share:.0%} of the disk's rate for {length_s:g} s", results,
                   ratios=("MB/s",))
        lost = sum(run["lost"] for run in results[f"{beside} export"])
        alone = sum(run["lost"] for run in results["alone"])
        table.say(f"  lost beside a {beside} export: {lost:.0f}, goal 0: {_met(lost == 0)} "
                  f"(alone: {alone:.0f})")


def _met(is_met: bool) -> str:
    return "met" if is_met else "NOT met"


def make_recording(store: Path, raw: Path, pixel_format: str, frames: int,
                   size: tuple[int, int] = (export_work.WIDTH, export_work.HEIGHT)) -> None:
    """A moving pattern as a store and as one raw file."""
    camera = SyntheticCamera("bench", Options.model_validate(
        {"width": size[0], "height": size[1], "hz": export_work.HZ,
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
