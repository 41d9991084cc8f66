"""What `export` measures, one case in one process: `python export_work.py WHO …`; a line of JSON.

ffmpeg gets the same frames as one raw file (in the page cache, as the store is), does not check
digests and verifies nothing; fieldrec does all of it. "encode" is fieldrec's way to the whole
movie, which is what ffmpeg does; the start of both programs (fieldrec: 0.3 s once) is left out of
fieldrec's and is in ffmpeg's. Both movies are decoded by ffmpeg and judged by the code below,
against luma computed from the raw frames without rounding: nothing of fieldrec's judges fieldrec,
and nothing of swscale's judges swscale.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import table

from fieldrec.export.presets import Preset, preset
from fieldrec.export.run import run_export

WIDTH, HEIGHT, HZ = 1280, 1024, 30
MATRIX = "bt709"
"""Of movies with as many lines."""
BT709_BGR = (0.0722, 0.7152, 0.2126)
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
            "of CPU %": 0,
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
            "of CPU %": 100 * (used_s - encode_cpu_s) / encode_cpu_s,
            "1000 (1-SSIM)": 1000 * (1 - ssim(str(export.path), raw, pixel_format))}


def ssim(movie: str, raw: str, pixel_format: str) -> float:
    """Mean structural similarity (Wang et al. 2004) of the luma of every fifth frame."""
    channels = 3 if pixel_format == "BGR8" else 1
    frames = np.memmap(raw, np.uint8, "r").reshape(-1, HEIGHT, WIDTH, channels)
    decoding = subprocess.Popen(["ffmpeg", "-v", "error", "-i", movie, "-vsync", "passthrough",
                                 "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"],
                                stdout=subprocess.PIPE)
    found = []
    with decoding:
        for number, pixels in enumerate(frames):
            planes = decoding.stdout.read(WIDTH * HEIGHT * 3 // 2)  # type: ignore[union-attr]
            if number % 5 == 0:
                luma = np.frombuffer(planes[:WIDTH * HEIGHT], np.uint8).reshape(HEIGHT, WIDTH)
                found.append(similarity(luma.astype(np.float32), true_luma(pixels)))
    return float(np.mean(found))


def true_luma(pixels: np.ndarray) -> np.ndarray:
    """Limited-range luma, not rounded."""
    if pixels.shape[2] == 1:
        return (16 + pixels[..., 0] * np.float32(219 / 255)).astype(np.float32)
    weights = np.array(BT709_BGR, np.float32)
    return (16 + pixels.astype(np.float32) @ weights * np.float32(219 / 255)).astype(np.float32)


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """SSIM with the usual window (11x11, sigma 1.5) and constants."""
    def smooth(plane: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(plane, (11, 11), 1.5)

    mean_1, mean_2 = smooth(one), smooth(other)
    spread = smooth(one * one) - mean_1 ** 2 + smooth(other * other) - mean_2 ** 2
    common = smooth(one * other) - mean_1 * mean_2
    c_1, c_2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float(((2 * mean_1 * mean_2 + c_1) * (2 * common + c_2)
                  / ((mean_1 ** 2 + mean_2 ** 2 + c_1) * (spread + c_2))).mean())


def main(who: str, preset_name: str, pixel_format: str, raw: str, *rest: str) -> table.Figures:
    """One case."""
    row = preset(preset_name)
    if who == "ffmpeg":
        return ffmpeg(row, pixel_format, raw, rest[0], int(rest[1]))
    return ours(row, pixel_format, raw, rest[0], rest[1], int(rest[2]))


if __name__ == "__main__":
    table.answer(main(*sys.argv[1:]))
