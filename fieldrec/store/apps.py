"""The public names of `imgstore.apps`; its programs are commands of fieldrec (view, save)."""

from __future__ import annotations

from fieldrec.store.align import generate_timecodes

__all__ = ["generate_timecodes", "main_test"]


def main_test() -> int:
    """Run `fieldrec selftest`: does every format write and read back right on this machine?
    Blocks for some seconds, prints what it finds, returns its exit status."""
    import subprocess
    import sys

    command = [sys.executable, "-m", "fieldrec.cli.main", "selftest"]
    return subprocess.run(command, check=False).returncode
