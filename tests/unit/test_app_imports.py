"""What is loaded at a start: codecs and OpenCV are for other processes and cameras, and a command
that asks a daemon needs no pixels."""

from __future__ import annotations

import subprocess
import sys


def _loaded(module: str, *heavy: str) -> list[str]:
    """Which of `heavy` are there once `module` is."""
    said = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*{{*{heavy}}} & set(sys.modules))"],
        capture_output=True, text=True, check=True)
    return said.stdout.split()


def test_a_daemon_starts_without_codecs() -> None:
    """Loading them doubles the time of a start, and they stay in memory for as long as it runs."""
    assert not _loaded("fieldrec.app.box", "av", "cv2", "pandas", "h5py")


def test_a_command_that_asks_a_daemon_starts_without_numpy() -> None:
    """It is a quarter of the time that such a command takes."""
    assert not _loaded("fieldrec.cli.link", "numpy", "av", "cv2", "pandas", "h5py")
