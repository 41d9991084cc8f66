"""What each preset costs on this machine: real exports of the same frames, one after the other.

Each is made by the export process as the daemon starts it (idle priority, verified); what counts
is from its first frame on, so that the start of a process, which a recording pays once, is not
taken for the cost of a hundred frames. Runs in a command's event loop; making the frames blocks.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fieldrec.camera.synthetic import Options, SyntheticCamera
from fieldrec.cli.bench_energy import Meter
from fieldrec.cli.long_work import Progress
from fieldrec.core.errors import FieldrecError, JobRefused
from fieldrec.core.model import FrameSpec
from fieldrec.export.encoder import Encoder
from fieldrec.export.presets import Preset
from fieldrec.store.api.new_store import recording_metadata
from fieldrec.store.reader import StoreReader
from fieldrec.store.spec import ours_in
from fieldrec.store.writer import StoreWriter

LONGEST_S = 90.0
"""Of one preset: a small machine is not kept busy for longer."""
NOISE_LEVELS = 2.0
"""Standard deviation of the grain that every real sensor has."""
CHUNKSIZE = 100


@dataclass(frozen=True)
class Measured:
    """One preset's export of some frames."""

    preset: str
    frames: int
    pixels: int
    """Of all frames together."""
    encode_s: float
    verify_s: float
    cpu_s: float
    peak_bytes: int
    size_bytes: int
    psnr_mean_db: float
    ssim_mean: float
    exact: bool
    joules: float | None

    @property
    def total_s(self) -> float:
        """Encoded and verified."""
        return self.encode_s + self.verify_s


@dataclass(frozen=True)
class NotMeasured:
    """A preset that could not be measured, and why."""

    preset: str
    why: str


async def measure(store: Path, row: Preset, folder: Path, meter: Meter | None
                  ) -> Measured | NotMeasured:
    """Export `store` into `folder` and say what it cost. The export stays there."""
    watch = _Watch(row.name, meter)
    encoder = Encoder(store, row, folder, watch.on_progress)
    watch.encoder = encoder
    try:
        with watch.shown:
            export = await asyncio.wait_for(encoder.run(), LONGEST_S)
    except TimeoutError:
        return NotMeasured(row.name, f"slower than {watch.frames / LONGEST_S:.1f} frames/s")
    except FieldrecError as error:
        return NotMeasured(row.name, str(error))
    quality = json.loads(export.path.with_name(export.path.name + ".json").read_bytes())["quality"]
    with StoreReader(store) as reader:
        pixels = reader.frame_count * int(np.prod(reader.spec.shape[:2]))
    begun, verifying, ended = (watch.marks[name] for name in ("begun", "verifying", "ended"))
    return Measured(
        row.name, export.frame_count, pixels, verifying.at_s - begun.at_s,
        ended.at_s - verifying.at_s, ended.cpu_s - begun.cpu_s, watch.peak_bytes,
        export.size_bytes, float(quality["psnr_mean_db"]), float(quality.get("ssim_mean", 0.0)),
        bool(quality.get("exact", False)), ended.joules - begun.joules if meter else None)


@dataclass(frozen=True)
class _Mark:
    at_s: float
    cpu_s: float
    joules: float


class _Watch:
    """Follows one export from its first frame to its commit."""

    def __init__(self, name: str, meter: Meter | None) -> None:
        self.shown = Progress()
        self.encoder: Encoder | None = None
        self.marks: dict[str, _Mark] = {}
        self.frames = 0
        self.peak_bytes = 0
        self._name, self._meter = name, meter

    def on_progress(self, phase: str, done: int, total: int) -> None:
        """Called in the loop, four times a second and at the ends of phases."""
        self.frames = max(self.frames, done)
        self.shown.say(f"{self._name}, {phase}", done, total)
        if self._meter is not None:
            self._meter.look()
        pid = None if self.encoder is None else self.encoder.pid
        mark = _Mark(time.monotonic(), 0.0 if pid is None else cpu_s(pid),
                     0.0 if self._meter is None else self._meter.joules)
        self.peak_bytes = max(self.peak_bytes, 0 if pid is None else peak_bytes(pid))
        self.marks.setdefault("begun", mark)
        if phase == "verifying":
            self.marks.setdefault("verifying", mark)
        if mark.cpu_s:
            self.marks["ended"] = mark


def cpu_s(pid: int) -> float:
    """Processor time that a process has used so far, with all its threads; 0 when it has gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had; 0 when it has gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return max((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")),
               default=0)


# --- what is exported ----------------------------------------------------------------------------

def built_in(path: Path, frames: int, width: int, height: int, pixel_format: str) -> float:
    """A store of a moving pattern with sensor noise; its frames a second."""
    camera = SyntheticCamera("bench", Options.model_validate(
        {"width": width, "height": height, "hz": 30, "pixel_format": pixel_format}))
    spec = camera.open()
    pixels, random = np.empty(spec.shape, spec.dtype), np.random.default_rng(1)
    grain = [np.rint(random.normal(0, NOISE_LEVELS, spec.shape)).astype(np.int16) for _ in range(5)]
    with contextlib.closing(_writer(path, spec)) as writer:
        for number in range(frames):
            camera.render(number, pixels)
            noisy = np.roll(grain[number % 5], 37 * number, axis=1) + pixels
            writer.append(np.clip(noisy, 0, 255).astype(np.uint8), number,
                          round(number * 1e9 / spec.nominal_hz), None)
    camera.close()
    return spec.nominal_hz


def part_of(source: Path, path: Path, frames: int) -> float:
    """A store of so many frames from the middle of another, as they are exported; the nominal
    frames a second. JobRefused for one without frames; the store's own errors."""
    from fieldrec.export.reduced import reduction

    with StoreReader(source) as reader:
        first = max(0, (reader.frame_count - frames) // 2)
        chosen = range(first, min(first + frames, reader.frame_count))
        if not chosen:
            raise JobRefused(f"{source} has no frames: there is nothing to measure with")
        told = str(ours_in(reader.user_metadata).get("pixel_format") or "")
        reduced = reduction(reader.metadata, reader.spec, told, lambda: map(reader.read, chosen))
        with contextlib.closing(_writer(path, reduced.spec)) as writer:
            for index in chosen:
                writer.append(reduced.apply(reader.read(index)), int(reader.numbers[index]),
                              int(reader.times_ns[index]), None)
        return reader.spec.nominal_hz or _mean_hz(reader.times_ns)


def _mean_hz(times_ns: np.ndarray) -> float:
    span_s = float(times_ns[-1] - times_ns[0]) / 1e9
    return (len(times_ns) - 1) / span_s if span_s > 0 else 0.0


def _writer(path: Path, spec: FrameSpec) -> StoreWriter:
    return StoreWriter(path, spec, chunksize=CHUNKSIZE, timezone="UTC",
                       created_epoch_ns=time.time_ns(),
                       user_metadata=recording_metadata({}, spec, "UTC"))
