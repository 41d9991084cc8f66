"""Export of one recording with High, beside the ffmpeg command with the same settings.

ffmpeg gets the same frames as one raw file (made before, in the page cache like the store), does
not check digests and verifies nothing; fieldrec does all of it. "encode" is fieldrec's encoding
phase alone, which is what ffmpeg does. CPU is that of the whole process.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import table

from fieldrec.camera.synthetic import Options, SyntheticCamera
from fieldrec.core.model import FrameSpec
from fieldrec.export.presets import preset
from fieldrec.export.run import run_export
from fieldrec.store.api.new_store import recording_metadata
from fieldrec.store.writer import StoreWriter

HZ = 30
PICTURES = {"MONO8": "gray", "BGR8": "bgr24"}


def measure(folder: Path, quick: bool, repetitions: int) -> None:
    """Mono, then colour."""
    if shutil.which("ffmpeg") is None:
        sys.exit("bench: ffmpeg is not installed: sudo apt install ffmpeg")
    frames = 90 if quick else 300
    for pixel_format, ffmpeg_format in PICTURES.items():
        store, raw = folder / pixel_format, folder / f"{pixel_format}.raw"
        make_recording(store, raw, pixel_format, frames)

        def ffmpeg(n: int, name: str = ffmpeg_format, raw: Path = raw) -> table.Figures:
            return table.child("export", "ffmpeg", raw, folder / f"{name}-{n}.mp4", frames, name)

        def ours(n: int, name: str = pixel_format, store: Path = store) -> table.Figures:
            place = folder / f"{name}-export-{n}"
            place.mkdir()
            return table.child("export", "fieldrec", store, place, frames)

        results = table.interleaved({"ffmpeg": ffmpeg, "fieldrec": ours}, repetitions)
        table.show(f"export of {frames} frames 1280x1024 {pixel_format}, High (veryfast, CRF 18)",
                   results, ratios=("fps", "encode fps", "CPU-s/1000", "encode CPU-s/1000", "MB"))


def make_recording(store: Path, raw: Path, pixel_format: str, frames: int) -> None:
    """A moving pattern as a store and as one raw file."""
    camera = SyntheticCamera("bench", Options.model_validate(
        {"width": 1280, "height": 1024, "hz": HZ, "pixel_format": pixel_format}))
    spec: FrameSpec = camera.open()
    pixels = np.empty(spec.shape, spec.dtype)
    writer = StoreWriter(store, spec, chunksize=200, timezone="UTC",
                         created_epoch_ns=1_700_000_000_000_000_000,
                         user_metadata=recording_metadata({}, spec, "UTC"))
    with raw.open("wb") as file:
        for number in range(frames):
            camera.render(number, pixels)
            writer.append(pixels, number, round(number * 1e9 / HZ), None)
            file.write(pixels.data)
    writer.close()
    camera.close()


def cpu_s(who: int) -> float:
    """User and system time."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def ffmpeg(raw: str, target: str, count: str, pixel_format: str) -> table.Figures:
    """The command with our preset's settings; its input's and output's bytes are counted too."""
    row = preset("High")
    matrix = "bt709"
    began_s = time.monotonic()
    subprocess.run(
        ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", pixel_format,
         "-s", "1280x1024", "-r", str(HZ), "-i", raw, "-c:v", "libx264", "-preset", row.speed,
         "-crf", str(row.crf), "-profile:v", "high", "-g", str(round(HZ * row.keyframe_s)),
         "-vf", f"scale=out_color_matrix={matrix}:out_range=tv", "-pix_fmt", "yuv420p",
         "-colorspace", matrix, "-color_range", "tv", target], check=True)
    took_s, used_s, frames = time.monotonic() - began_s, cpu_s(resource.RUSAGE_CHILDREN), int(count)
    fps, per_thousand = frames / took_s, used_s * 1000 / frames
    return {"fps": fps, "encode fps": fps, "CPU-s/1000": per_thousand,
            "encode CPU-s/1000": per_thousand, "MB": Path(target).stat().st_size / 1e6,
            "verify share %": 0}


def ours(store: str, place: str, count: str) -> table.Figures:
    """The export as its process does it, at normal priority."""
    marks: dict[str, tuple[float, float]] = {}

    def on_progress(phase: str, _done: int, _total: int) -> None:
        marks.setdefault(phase, (time.monotonic(), cpu_s(resource.RUSAGE_SELF)))

    began_s, began_cpu_s = time.monotonic(), cpu_s(resource.RUSAGE_SELF)
    export = run_export(Path(store), preset("High"), output_folder=Path(place),
                        stop=threading.Event(), on_progress=on_progress)
    took_s, used_s = time.monotonic() - began_s, cpu_s(resource.RUSAGE_SELF) - began_cpu_s
    frames = int(count)
    verify_at_s, verify_cpu_s = marks["verifying"]
    encode_s, encode_cpu_s = verify_at_s - began_s, verify_cpu_s - began_cpu_s
    return {"fps": frames / took_s, "encode fps": frames / encode_s,
            "CPU-s/1000": used_s * 1000 / frames,
            "encode CPU-s/1000": encode_cpu_s * 1000 / frames, "MB": export.size_bytes / 1e6,
            "verify share %": 100 * (1 - encode_s / took_s)}


if __name__ == "__main__":
    table.answer(ffmpeg(*sys.argv[2:]) if sys.argv[1] == "ffmpeg" else ours(*sys.argv[2:]))
