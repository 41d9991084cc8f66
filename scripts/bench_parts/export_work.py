"""What `export` measures, one case in one process: `python export_work.py WHO …`; a line of JSON.

ffmpeg gets the same frames as one raw file (in the page cache, as the store is), does not check
digests and verifies nothing; fieldrec does all of it. "encode" is fieldrec's way to the whole
movie, which is what ffmpeg does; the start of both programs (fieldrec: 0.3 s once) is left out of
fieldrec's and is in ffmpeg's. SSIM is that of ffmpeg's own filter for both movies, against the raw
frames as ffmpeg converts them: nothing of fieldrec's judges fieldrec.
"""

from __future__ import annotations

import re
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import table

from fieldrec.export.presets import Preset, preset
from fieldrec.export.run import run_export

WIDTH, HEIGHT, HZ = 1280, 1024, 30
MATRIX = "bt709"
"""Of movies with as many lines."""
RAW_FORMATS = {"MONO8": "gray", "BGR8": "bgr24"}
LOSSLESS_FORMATS = {"MONO8": "gray", "BGR8": "bgr0"}
FFV1 = ("-c:v", "ffv1", "-level", "3", "-slicecrc", "1")


def cpu_s(who: int) -> float:
    """User and system time."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def raw_input(raw: str, pixel_format: str) -> list[str]:
    """ffmpeg's options for the raw file."""
    return ["-f", "rawvideo", "-pix_fmt", RAW_FORMATS[pixel_format], "-s", f"{WIDTH}x{HEIGHT}",
            "-r", str(HZ), "-i", raw]


def ffmpeg(row: Preset, pixel_format: str, raw: str, target: str, count: int) -> table.Figures:
    """The command with the preset's own settings."""
    if row.codec == "ffv1":
        coded = [*FFV1, "-slices", "4", "-g", "1", "-pix_fmt", LOSSLESS_FORMATS[pixel_format]]
    else:
        coded = ["-c:v", "libx264", "-preset", row.speed, "-crf", str(row.crf), "-profile:v",
                 "high", "-g", str(round(HZ * row.keyframe_s)),
                 "-vf", f"scale=out_color_matrix={MATRIX}:out_range=tv", "-pix_fmt", "yuv420p",
                 "-colorspace", MATRIX, "-color_range", "tv"]
    began_s = time.monotonic()
    subprocess.run(["ffmpeg", "-v", "error", "-y", *raw_input(raw, pixel_format), *coded, target],
                   check=True)
    took_s, used_s = time.monotonic() - began_s, cpu_s(resource.RUSAGE_CHILDREN)
    fps, per_thousand = count / took_s, used_s * 1000 / count
    return {"fps": fps, "encode fps": fps, "CPU-s/1000": per_thousand,
            "encode CPU-s/1000": per_thousand, "MB": Path(target).stat().st_size / 1e6,
            "verify/encode %": 0,
            "1000 (1-SSIM)": 1000 * (1 - ssim(target, raw, pixel_format))}


def ours(row: Preset, pixel_format: str, raw: str, store: str, place: str, count: int
         ) -> table.Figures:
    """The export as its process does it, at normal priority."""
    marks: dict[str, tuple[float, float]] = {}

    def on_progress(phase: str, _done: int, _total: int) -> None:
        marks.setdefault(phase, (time.monotonic(), cpu_s(resource.RUSAGE_SELF)))

    began_s, began_cpu_s = time.monotonic(), cpu_s(resource.RUSAGE_SELF)
    export = run_export(Path(store), row, output_folder=Path(place), stop=threading.Event(),
                        on_progress=on_progress)
    took_s, used_s = time.monotonic() - began_s, cpu_s(resource.RUSAGE_SELF) - began_cpu_s
    verify_at_s, verify_cpu_s = marks["verifying"]
    encode_s, encode_cpu_s = verify_at_s - began_s, verify_cpu_s - began_cpu_s
    return {"fps": count / took_s, "encode fps": count / encode_s,
            "CPU-s/1000": used_s * 1000 / count,
            "encode CPU-s/1000": encode_cpu_s * 1000 / count, "MB": export.size_bytes / 1e6,
            "verify/encode %": 100 * (took_s - encode_s) / encode_s,
            "1000 (1-SSIM)": 1000 * (1 - ssim(str(export.path), raw, pixel_format))}


def ssim(movie: str, raw: str, pixel_format: str) -> float:
    """Mean structural similarity of all planes, by ffmpeg's filter, frame by frame in order."""
    numbered = f"settb=1/{HZ},setpts=N"
    told = subprocess.run(
        ["ffmpeg", "-v", "info", "-nostats", "-i", movie, *raw_input(raw, pixel_format),
         "-lavfi", f"[0:v]{numbered},format=yuv420p[movie];[1:v]{numbered},"
         f"scale=out_color_matrix={MATRIX}:out_range=tv,format=yuv420p[raw];[movie][raw]ssim",
         "-vsync", "passthrough", "-f", "null", "-"],
        check=True, text=True, capture_output=True).stderr
    return float(re.findall(r"SSIM .*All:([0-9.]+)", told)[-1])


def main(who: str, preset_name: str, pixel_format: str, raw: str, *rest: str) -> table.Figures:
    """One case."""
    row = preset(preset_name)
    if who == "ffmpeg":
        return ffmpeg(row, pixel_format, raw, rest[0], int(rest[1]))
    return ours(row, pixel_format, raw, rest[0], rest[1], int(rest[2]))


if __name__ == "__main__":
    table.answer(main(*sys.argv[1:]))
