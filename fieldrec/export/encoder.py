"""The event loop's side of an export: a child process, its progress, its pauses and its end.

Runs in the loop and does no file I/O there; the joined movie that a killed child left unfinished is
removed in a worker thread. Its working folder stays: the next run goes on with it, and who does not
want that removes it (:func:`fieldrec.export.work_folder.remove`). Keeps I9: nothing of the
encoder's can hurt the recorder but the time of idle cores.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import json
import os
import signal
import sys
import threading
from asyncio.subprocess import Process
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldrec.core import durable, errors
from fieldrec.core.errors import EncoderFailed, EncoderKilled, FieldrecError
from fieldrec.core.model import Export
from fieldrec.core.workers import Worker
from fieldrec.export.presets import Preset, export_name
from fieldrec.export.stopped import ExportStopped

GRACE_S = 10.0
"""A child that was told to stop is killed after this long."""
THROTTLE_PERIOD_S = 0.1
"""A throttled child runs for its share of every such time."""
_STDERR_BYTES = 2000


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an export is."""

    phase: str = ""
    """"encoding", "joining", "verifying" or "committing"."""
    done: int = 0
    total: int = 0
    """Frames."""
    size_bytes: int = 0
    """Encoded so far."""


class Encoder:
    """One export in a process of its own."""

    def __init__(self, store_path: Path, preset: Preset, output_folder: Path,
                 on_progress: Callable[[str, int, int], None], *, grace_s: float = GRACE_S) -> None:
        self._preset = preset
        self._store_path = store_path
        self._output_folder = output_folder
        self._on_progress = on_progress
        self._grace_s = grace_s
        self._process: Process | None = None
        self._paused = False
        self._share = 1.0
        self._turn: asyncio.TimerHandle | None = None
        self.progress = Progress()
        """The last word; as it was when `on_progress` was called last."""

    @property
    def paused(self) -> bool:
        """Whether the export is held, or will be as soon as it runs."""
        return self._paused

    @property
    def size_bytes(self) -> int:
        """Encoded so far."""
        return self.progress.size_bytes

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
        if self._turn is None:
            self._run_turn()
        self._signal(signal.SIGCONT)

    def throttle(self, share: float) -> None:
        """Let the child run for this share of the time only (0 … 1), in slices of 100 ms; 1: all of
        it. Never blocks. Independent of :meth:`pause`, which holds it altogether.

        By signals, as the pause is: it needs no rights and bounds the disk's part as well. A share
        of the processor by a cgroup would need a delegated one, and leaves reading unbounded.
        """
        if not 0 < share <= 1:
            raise ValueError(f"a share of {share} of the time: more than 0, up to 1")
        self._share = share
        if self._turn is None and self._process is not None:
            self._run_turn()

    def _run_turn(self) -> None:
        """The child's part of a period begins."""
        self._turn = None
        if self._paused or self._process is None:
            return
        self._signal(signal.SIGCONT)
        if self._share < 1:
            self._turn = asyncio.get_running_loop().call_later(
                self._share * THROTTLE_PERIOD_S, self._rest_turn)

    def _rest_turn(self) -> None:
        """…and ends."""
        self._turn = None
        if self._share < 1:
            self._signal(signal.SIGSTOP)
        self._turn = asyncio.get_running_loop().call_later(
            (1 - self._share) * THROTTLE_PERIOD_S, self._run_turn)

    def _cancel_turn(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    async def run(self) -> Export:
        """Make the export; raises the FieldrecError that the child reported.

        On cancel, also while paused, the child is told to stop, killed after the grace time, and
        gone with its part file before the cancellation goes on; the working folder stays.
        ExportStopped (transient) when somebody else told the child to stop, EncoderFailed when it
        died without a word. `on_progress(phase, done, total)` is called in the loop.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fieldrec.export.process", self._request(),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE)
        self._process = process
        if self._paused:
            self._signal(signal.SIGSTOP)
        elif self._share < 1:
            self._run_turn()
        conversation = asyncio.gather(self._listen(process), _tail(process), process.wait())
        try:
            outcome, complaint, code = await asyncio.shield(conversation)
        except BaseException:
            await self._end(conversation)
            raise
        finally:
            self._process = None
            self._cancel_turn()
        if outcome is None:
            await self._remove_parts()
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
                        phase, done, total = said["progress"]
                        self.progress = Progress(phase, done, total, said["bytes"])
                        self._on_progress(phase, done, total)
                    else:
                        outcome = said
        return outcome

    async def _end(self, conversation: asyncio.Future[Any]) -> None:
        """Stop the child whatever it does, and wait until it, and its part file, are gone."""
        self._cancel_turn()
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # a stopped process takes no other signal
        ended, _ = await asyncio.wait([conversation], timeout=self._grace_s)
        if not ended:
            self._signal(signal.SIGKILL)
            await asyncio.wait([conversation])
        with contextlib.suppress(Exception):
            conversation.result()
        await self._remove_parts()

    async def _remove_parts(self) -> None:
        """Of the movie, or of the slice under way."""
        name = Path(export_name(self._store_path.name, self._preset))

        def remove(_: threading.Event) -> None:
            names = f"{durable.PART_PREFIX}{glob.escape(name.stem)}"
            for pattern in (names + name.suffix, f"{names}.[0-9][0-9][0-9]*{name.suffix}"):
                for part in self._output_folder.glob(pattern):
                    durable.unlink(part, missing_ok=True)

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
        kind = EncoderKilled if code < 0 else EncoderFailed
        raise kind(f"the export process {how} before it was done{last}")
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
