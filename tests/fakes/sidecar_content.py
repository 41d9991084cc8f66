"""What a sidecar tells, in plain lists, read as the documentation says: not by our reader."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np


def told_by(movie: Path) -> dict[str, Any]:
    """The content of the sidecar beside `movie`, frames and extra data unpacked."""
    return plain((movie.with_name(movie.name + ".json")).read_bytes())


def plain(text: bytes) -> dict[str, Any]:
    """The same of its text."""
    content: dict[str, Any] = json.loads(text)
    content["frames"] = {name: column(packed)
                         for name, packed in content["frames"]["columns"].items()}
    if "extra_data" in content:
        content["extra_data"] = [
            json.loads(line) for block in content["extra_data"]["blocks"]
            for line in zlib.decompress(base64.b64decode(block)).splitlines()]
    return content


def column(packed: dict[str, str]) -> list[Any]:
    planes = np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), "u1").reshape(8, -1)
    values = np.ascontiguousarray(planes.T).view("<i8").ravel().cumsum()
    numbers: list[Any] = (values.view("<f8") if packed["dtype"] == "float64" else values).tolist()
    return numbers
