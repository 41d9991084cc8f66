"""The event loop's side of an export: a child process, its progress, its pauses and its end.

Runs in the loop and does no file I/O there; what a killed child left is removed in a worker
thread. Keeps I9: nothing of the encoder's can hurt the recorder but the time of idle cores.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
from asyncio.subprocess import Process
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fieldrec.core import durable, errors
from fieldrec.core.errors import EncoderFailed, FieldrecError
from fieldrec.core.model import Export
from fieldrec.core.workers import Worker
from fieldrec.export.presets import Preset, export_name, preset
from fieldrec.export.stopped import ExportStopped

GRACE_S = 10.0
"""A child that was told to stop is killed after this long."""
_STDERR_BYTES = 2000


class Encoder:
    """One export in a process of its own."""

    def __init__(self, store_path: Path, row: Preset | str, output_folder: Path,
                 on_progress: Callable[[str, int, int], None], *, grace_s: float = GRACE_S) -> None:
        self._preset = preset(row) if isinstance(row, str) else row
        self._store_path = store_path
        self._output_folder = output_folder
        self._on_progress = on_progress
        self._grace_s = grace_s
        self._process: Process | None = None
        self._paused = False

    @property
    def paused(self) -> bool:
        """Whether the export is held, or will be as soon as it runs."""
        return self._paused

    @property
    def pid(self) -> int | None:
        """Of the child while it runs."""
        return None if self._process is None else self._process.pid

    def pause(self) -> None:
        """Hold the child where it is; it keeps its memory and files. Idempotent, never blocks."""
        self._paused = True
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the child go on. Idempotent, never blocks."""
        self._paused = False
        self._signal(signal.SIGCONT)

    async def run(self) -> Export:
        """Make the export; raises the FieldrecError that the child reported.

        On cancel, also while paused, the child is told to stop, killed after the grace time, and
        gone with its part file before the cancellation goes on. ExportStopped (transient) when
        somebody else told the child to stop, EncoderFailed when it died without a word.
        `on_progress(phase, done, total)` is called in the loop.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fieldrec.export.process", self._request(),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE)
        self._process = process
        if self._paused:
            self._signal(signal.SIGSTOP)
        conversation = asyncio.gather(self._listen(process), _tail(process), process.wait())
        try:
            outcome, complaint, code = await asyncio.shield(conversation)
        except BaseException:
            await self._end(conversation)
            raise
        finally:
            self._process = None
        if outcome is None:
            await self._remove_part()
        return _result(outcome, complaint, code)

    def _request(self) -> str:
        return json.dumps({"store": str(self._store_path), "preset": self._preset.to_request(),
                           "output_folder": str(self._output_folder), "parent": os.getpid()})

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _listen(self, process: Process) -> dict[str, Any] | None:
        """Pass progress on until the child's output ends; the last word, or None without one."""
        outcome: dict[str, Any] | None = None
        if process.stdout is not None:
            async for line in process.stdout:
                with contextlib.suppress(ValueError):  # a line cut off by a kill
                    said = json.loads(line)
                    if "progress" in said:
                        self._on_progress(*said["progress"])
                    else:
                        outcome = said
        return outcome

    async def _end(self, conversation: asyncio.Future[Any]) -> None:
        """Stop the child whatever it does, and wait until it, and its part file, are gone."""
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # a stopped process takes no other signal
        ended, _ = await asyncio.wait([conversation], timeout=self._grace_s)
        if not ended:
            self._signal(signal.SIGKILL)
            await asyncio.wait([conversation])
        with contextlib.suppress(Exception):
            conversation.result()
        await self._remove_part()

    async def _remove_part(self) -> None:
        name = export_name(self._store_path.name, self._preset)
        part = self._output_folder / (durable.PART_PREFIX + name)

        def remove(_: threading.Event) -> None:
            if part.exists():
                durable.unlink(part)

        worker = Worker("export-clean")
        try:
            with contextlib.suppress(OSError, FieldrecError):  # the next start sweeps it
                await worker.run(remove)
        finally:
            worker.close()


async def _tail(process: Process) -> str:
    """The end of what the child wrote to stderr."""
    kept = b""
    if process.stderr is not None:
        while block := await process.stderr.read(65_536):
            kept = (kept + block)[-_STDERR_BYTES:]
    return kept.decode(errors="replace").strip()


def _result(outcome: dict[str, Any] | None, complaint: str, code: int) -> Export:
    if outcome is None and code == -signal.SIGTERM:
        raise ExportStopped("the export process was told to stop before it began")
    if outcome is None:
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        last = f": {complaint.splitlines()[-1]}" if complaint else ""
        raise EncoderFailed(f"the export process {how} before it was done{last}")
    if "error" in outcome:
        name, message = outcome["error"]
        raise _error_class(name)(message)
    said = outcome["export"]
    return Export(**{**said, "path": Path(said["path"])})


def _error_class(name: str) -> type[FieldrecError]:
    """The class of the tree that the child named; EncoderFailed for one that is not in it."""
    if name == ExportStopped.__name__:
        return ExportStopped
    found = getattr(errors, name, EncoderFailed)
    return found if isinstance(found, type) and issubclass(found, FieldrecError) else EncoderFailed
