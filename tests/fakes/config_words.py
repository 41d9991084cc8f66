"""What is said of a configuration with a mistake in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldrec.config import load_document
from fieldrec.core.errors import ConfigError


def problem(tmp_path: Path, text: str) -> str:
    """The one line, without the path of the file."""
    file = tmp_path / "box.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as told:
        load_document(file)
    line, = str(told.value).splitlines()
    return line.removeprefix(f"{file}:")
