"""What the daemon loads at its start: codecs and OpenCV are for other processes and cameras."""

from __future__ import annotations

import subprocess
import sys


def test_a_daemon_starts_without_codecs() -> None:
    """Loading them doubles the time of a start, and they stay in memory for as long as it runs."""
    said = subprocess.run(
        [sys.executable, "-c", "import sys, fieldrec.app.box; "
         "print(sorted({'av', 'cv2', 'pandas', 'h5py'} & set(sys.modules)))"],
        capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
