"""Stores that consist of metadata and indexes only, with any numbers and times in them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fieldrec.store.chunk_paths import chunk_paths
from fieldrec.store.metadata import (
    METADATA_NAME,
    VIDEO_CLASS,
    StoreMetadata,
    metadata_text,
    store_mapping,
    store_metadata,
)

LONG_AGO_NS = 1_700_000_000_000_000_000
"""When the indexes seem to have been written: what has just changed is never trusted."""


def craft(root: Path, chunks: Sequence[Mapping[str, Any]], *, video: bool = False
          ) -> StoreMetadata:
    """A store at `root` with these arrays as the indexes of its chunks."""
    kind = ({"class_name": VIDEO_CLASS, "form": "avc1/mp4", "extension": ".mp4"} if video
            else {})
    store = store_mapping((4, 4), "uint8", chunksize=1000, timezone="UTC",
                          created_epoch_ns=LONG_AGO_NS, uuid="0" * 32, **kind)
    root.mkdir()
    (root / METADATA_NAME).write_text(metadata_text(store, {}))
    metadata = store_metadata(store)
    for number, members in enumerate(chunks):
        put_index(root, metadata, number, members)
    return metadata


def put_index(root: Path, metadata: StoreMetadata, number: int, members: Mapping[str, Any],
              time_ns: int = LONG_AGO_NS) -> Path:
    """Write one chunk's index.npz, with that modification time; its path."""
    paths = chunk_paths(root, number, metadata.extension)
    paths.folder.mkdir(exist_ok=True)
    np.savez(paths.index, **members)
    os.utime(paths.index, ns=(time_ns, time_ns))
    return paths.index


def frames(numbers: Any, times_s: Any) -> dict[str, Any]:
    """What imgstore puts into an index."""
    return {"frame_number": np.asarray(numbers), "frame_time": np.asarray(times_s)}


def run(start: int, count: int, hz: float = 25.0) -> dict[str, Any]:
    """A chunk of consecutive frames."""
    numbers = np.arange(start, start + count)
    return frames(numbers, 1.7e9 + numbers / hz)
