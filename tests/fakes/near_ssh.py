"""A program called ssh that goes nowhere: what the far side would run is run here, as a login shell
there would, or by rrsync. For tests of what rsync is asked; those of ssh have a real sshd."""

from __future__ import annotations

from pathlib import Path

_SCRIPT = """#!/bin/sh
while [ $# -gt 0 ]; do
    case "$1" in
        -[Fpol]) shift 2;;
        --) shift;;
        -*) shift;;
        *) break;;
    esac
done
shift
[ "$1" = -- ] && shift
{command}
"""


def install(folder: Path, confined_to: Path | None = None) -> Path:
    """Put it into `folder`, which belongs in front of PATH; with a folder that rrsync confines it
    to."""
    folder.mkdir(parents=True, exist_ok=True)
    command = 'exec sh -c "$*"' if confined_to is None else (
        f"export SSH_ORIGINAL_COMMAND=\"$*\"\nexec rrsync '{confined_to}'")
    program = folder / "ssh"
    program.write_text(_SCRIPT.replace("{command}", command))
    program.chmod(0o755)
    return folder
