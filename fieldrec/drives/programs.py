"""Programs that work on drives (mount, fsck, mkfs), each a process with a time limit.

On the event loop, which they never block: a driver that hangs on a dying drive hangs in the process
alone, which is killed and, where even that does not end it, left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from dataclasses import dataclass

MOST_OUTPUT_BYTES = 1 << 20
"""Kept of what a program says; a damaged file system can make it say gigabytes."""
_ENVIRONMENT = {"LC_ALL": "C"}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended."""

    code: int
    """Its exit code; below 0: minus the number of the signal that ended it."""
    text: str
    """All it said, on both channels, the beginning of it; lines of printable ASCII."""
    timed_out: bool = False


async def run(*command: str, timeout_s: float) -> tuple[int, str]:
    """Run a command; (exit code, first line it complained). Killed after `timeout_s` or on cancel.

    Complaints go through a file, not a pipe: a FUSE program that lives on would keep a pipe open.
    A process that even SIGKILL does not end (it waits for a dead drive) is left behind.
    """
    with tempfile.TemporaryFile() as complaints:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=complaints, env={**os.environ, **_ENVIRONMENT}, start_new_session=True)
        try:
            async with asyncio.timeout(timeout_s):
                await process.wait()
        except TimeoutError:
            return -1, f"{command[0]} did not end in {timeout_s:g} s"
        finally:
            if process.returncode is None:
                await _kill(process)
        complaints.seek(0)
        lines = complaints.read(4096).decode("utf-8", "replace").strip().splitlines() or [""]
        text = "".join(c if " " <= c <= "~" else "?" for c in lines[0])
    return process.returncode or 0, text


async def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2.0):
            await process.wait()


async def run_heard(*command: str, timeout_s: float, given: bytes = b"") -> Ended:
    """Run a command that ends with all it began, and hear what it says; `given` (a few lines) is
    what it may read. Killed after `timeout_s` or on cancel. OSError where it cannot be run."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT, env={**os.environ, **_ENVIRONMENT},
        start_new_session=True)
    heard = bytearray()
    timed_out = False
    try:
        async with asyncio.timeout(timeout_s):
            if process.stdin is not None:
                process.stdin.write(given)
                process.stdin.close()
            while chunk := await _next(process):
                heard += chunk[:MOST_OUTPUT_BYTES - len(heard)]
            await process.wait()
    except TimeoutError:
        timed_out = True
    finally:
        if process.returncode is None:
            await _kill(process)
    lines = bytes(heard).decode("utf-8", "replace").splitlines()
    text = "\n".join("".join(c if " " <= c <= "~" else "?" for c in line) for line in lines)
    return Ended(process.returncode or 0, text, timed_out)


async def _next(process: asyncio.subprocess.Process) -> bytes:
    return b"" if process.stdout is None else await process.stdout.read(MOST_OUTPUT_BYTES)
