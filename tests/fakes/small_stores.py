"""Small complete recordings on disk, made by the pure layout functions: what jobs work on."""

from __future__ import annotations

import uuid as uuids
from pathlib import Path

import numpy as np
import xxhash

from fieldrec.core.model import FrameSpec
from fieldrec.store import layout
from fieldrec.store.metadata import METADATA_NAME, metadata_text, store_mapping
from fieldrec.store.movie.columns import pack
from fieldrec.store.movie.content import sidecar_path, text
from fieldrec.store.movie.embedded import MP4_UUID

SPEC = FrameSpec((24, 32), "uint8", "MONO8", 25.0)
CHUNKSIZE = 4


def make_store(folder: Path, name: str, frames: int = 10, seed: int = 1,
               uuid: str | None = None) -> str:
    """A complete store of random frames in chunks of four; returns its uuid."""
    uuid = uuid or uuids.UUID(int=seed).hex[::-1]
    store = store_mapping(SPEC.shape, SPEC.dtype, chunksize=CHUNKSIZE, timezone="UTC",
                                 created_epoch_ns=1_700_000_000_000_000_000, uuid=uuid)
    root = folder / name
    root.mkdir()
    (root / METADATA_NAME).write_text(metadata_text(store, {"bird": "dove"}))
    random = np.random.default_rng(seed)
    for start in range(0, frames, CHUNKSIZE):
        _make_chunk(root / layout.chunk_name(start // CHUNKSIZE), start,
                    min(CHUNKSIZE, frames - start), random, store)
    return uuid


def _make_chunk(chunk: Path, start: int, count: int, random: np.random.Generator,
                store: dict[str, object]) -> None:
    chunk.mkdir()
    header = layout.npy_header(SPEC.shape, SPEC.dtype)
    digests = []
    for position in range(count):
        pixels = random.integers(0, 256, SPEC.shape, np.uint8).tobytes()
        (chunk / layout.frame_name(position)).write_bytes(header + pixels)
        digests.append(xxhash.xxh3_64_intdigest(pixels))
    numbers = np.arange(start, start + count, dtype=np.int64)
    columns = layout.Columns(numbers, numbers * 40_000_000, np.full(count, -1, np.int64),
                             np.array(digests, np.uint64))
    (chunk / layout.INDEX_NAME).write_bytes(layout.index_bytes(columns, store))


def make_export(folder: Path, name: str, uuid: str, frames: int = 10, size_bytes: int = 5000,
                seed: int = 7, extension: str = ".mp4", slices: tuple[int, int] = (0, 0)) -> None:
    """An export's file (noise, not a movie: jobs do not look inside), with what it carries, and its
    sidecar."""
    number, of = slices
    path = folder / f"{name}.high{f'.{number:03d}' if number else ''}{extension}"
    told = {"format": "fieldrec-export", "version": 2,
            "recording": {
                "name": name, "uuid": uuid, "camera_serial": "C1", "created_utc": "",
                "timezone": "UTC", "first_time_ns": 0, "last_time_ns": 1, "dropped": 0,
                "lost": 0, "shape": list(SPEC.shape), "dtype": SPEC.dtype,
                "pixel_format": SPEC.pixel_format, "nominal_hz": SPEC.nominal_hz},
            "user_metadata": {}, "preset": "High", "frame_count": frames,
            "slice": {"number": number, "of": of} if number else None,
            "frames": {"columns": {"number": pack(np.arange(frames)),
                                   "time_ns": pack(np.arange(frames))}}}
    ours = MP4_UUID + text(told)
    box = (8 + len(ours)).to_bytes(4, "big") + b"uuid" + ours
    noise = np.random.default_rng(seed).integers(0, 256, size_bytes - 8 - len(box), np.uint8)
    data = (8 + len(noise)).to_bytes(4, "big") + b"free" + noise.tobytes() + box
    path.write_bytes(data)
    file = {"name": path.name, "size_bytes": size_bytes, "xxh64": xxhash.xxh64_hexdigest(data)}
    sidecar_path(path).write_bytes(text({**told, "file": file, "verified_at_ns": 5}))


def contents(root: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    return {path.relative_to(root).as_posix(): path.read_bytes()
            for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink()}
