"""What a deployment's record says about the box itself: versions, and the configuration in use.

Blocking but short; once at the start, in a worker. The record travels with every drive, so nothing
secret may be in it: passwords and keys are left out of the configuration, in addresses too.
"""

from __future__ import annotations

import importlib.metadata
import platform
import re
from pathlib import Path
from typing import Any

import xxhash
import yaml

from fieldrec import __version__
from fieldrec.config import Config

LIBRARIES = ("numpy", "av", "opencv-python-headless")
MODEL_FILES = ("proc/device-tree/model", "sys/class/dmi/id/product_name")
_SECRET = re.compile(r"pass|secret|token|credential|api_?key|auth|private", re.I)
_USER_IN_ADDRESS = re.compile(r"(?<=://)[^/@\s]+@")
LEFT_OUT = "***"


def versions(root: Path = Path("/")) -> dict[str, str]:
    """fieldrec, kernel, Python, libraries and the model of the machine. Loads no library."""
    found = {"fieldrec": __version__, "kernel": platform.release(),
             "python": platform.python_version(), "architecture": platform.machine(),
             "machine": _model(root)}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def config_text(config: Config) -> tuple[str, str]:
    """(digest, YAML) of the configuration with every key, defaults included, secrets left out."""
    values = without_secrets(config.model_dump(mode="json"))
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    return xxhash.xxh3_64_hexdigest(text.encode(errors="replace")), text


def without_secrets(value: Any) -> Any:
    """`value` with the values of telling keys, and users in addresses, replaced by ***."""
    if isinstance(value, dict):
        return {key: LEFT_OUT if _SECRET.search(str(key)) and item not in (None, "", False)
                else without_secrets(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    if isinstance(value, str):
        return _USER_IN_ADDRESS.sub(f"{LEFT_OUT}@", value)
    return value


def _model(root: Path) -> str:
    for name in MODEL_FILES:
        try:
            text = (root / name).read_text(errors="replace")
        except OSError:
            continue
        text = "".join(ch for ch in text if ch.isprintable()).strip()
        if text:
            return text[:200]
    return "unknown"
