"""Commands act through a link: to the process that owns the folder, or to one made for the command.

`RemoteLink` speaks over the control socket of whoever works on the recordings folder; `LocalLink`
runs the jobs in this process, under the folder's lock. Both give the same results, so a command
does not care which it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from fieldrec.config import Config
from fieldrec.core.clock import SystemClock
from fieldrec.core.errors import FieldrecError, ShutdownStuck, StateError
from fieldrec.core.folder import PRIVATE_NAME
from fieldrec.status.board import Board, snapshot_from_dict
from fieldrec.status.control_socket import SOCKET_NAME, dispatch, error_from, short_path

if TYPE_CHECKING:
    from fieldrec.app import App

T = TypeVar("T")
REPLY_LIMIT_BYTES = 1 << 28


class Link(Protocol):
    """What a command needs."""

    board: Board
    daemon: bool
    """Whether another process does the work."""
    since_ns: int
    """What happened before is not this command's to tell; epoch."""

    def refresh(self) -> None:
        """Bring the board up to date, where that is ours to do."""
        ...

    async def call(self, verb: str, **arguments: Any) -> Any:
        """One verb; its result as JSON-ready values. Raises what the verb raises."""
        ...


class LocalLink:
    """The verbs of an App in this process."""

    daemon = False
    since_ns = 0

    def __init__(self, app: App) -> None:
        self.board = app.board
        self.refresh = app.publish
        self._control = app.control

    async def call(self, verb: str, **arguments: Any) -> Any:
        return await dispatch(self._control, verb, arguments)


class RemoteLink:
    """The verbs of the process that serves the socket in a recordings folder."""

    daemon = True

    def __init__(self, socket_path: Path) -> None:
        self.board = Board()
        self.since_ns = SystemClock().epoch_ns()
        self._path = socket_path

    def refresh(self) -> None:
        """The other side publishes."""

    async def call(self, verb: str, **arguments: Any) -> Any:
        try:
            async with self._connection() as (reader, writer):
                return await _ask(reader, writer, verb, arguments)
        except (ConnectionError, FileNotFoundError) as error:
            raise StateError(f"fieldrec went away while it was asked for {verb!r}") from error

    async def watch(self) -> None:
        """Publish the other side's snapshots on our board until cancelled or it goes away."""
        with contextlib.suppress(ConnectionError, FileNotFoundError):
            async with self._connection() as (reader, writer):
                writer.write(b'{"verb": "watch"}\n')
                while (line := await reader.readline()).endswith(b"\n"):  # else it broke off
                    self.board.publish(snapshot_from_dict(json.loads(line)["result"]))
        raise StateError("fieldrec went away; what it had begun goes on when it is started again")

    @contextlib.asynccontextmanager
    async def _connection(self
                          ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        with short_path(self._path) as short:
            reader, writer = await asyncio.open_unix_connection(short, limit=REPLY_LIMIT_BYTES)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, verb: str,
               arguments: dict[str, Any]) -> Any:
    writer.write(json.dumps({"verb": verb, "arguments": arguments}).encode() + b"\n")
    line = await reader.readline()
    if not line.endswith(b"\n"):  # it went away, perhaps in the middle of its answer
        raise ConnectionResetError
    reply = json.loads(line)
    if not reply["ok"]:
        raise error_from(reply)
    return reply["result"]


async def find_owner(*folders: Path) -> RemoteLink | None:
    """The process that works on these recordings folders, if one answers: its socket is in the
    first that it could use when it began."""
    for folder in folders:
        owner = await _owner_of(folder)
        if owner is not None:
            return owner
    return None


async def _owner_of(recordings: Path) -> RemoteLink | None:
    path = recordings / PRIVATE_NAME / SOCKET_NAME
    try:
        if not path.exists():
            return None
    except OSError:  # a disk that has died: its owner, if any, answers in another folder
        return None
    link = RemoteLink(path)
    try:
        async with link._connection():
            return link
    except (ConnectionError, FileNotFoundError):
        return None  # left by a crash
    except PermissionError as error:
        raise StateError(f"fieldrec runs on {recordings} as another user; use sudo") from error


@contextlib.asynccontextmanager
async def open_link(config: Config) -> AsyncIterator[Link]:
    """A link to the owner of the configured folder, else a local one under the folder's lock."""
    owner = await find_owner(config.storage.directory, *config.storage.directories)
    if owner is None:
        from fieldrec.app import FOLDER_ONLY, App  # slow to load, and not needed beside a daemon

        async with App(config, FOLDER_ONLY) as app:
            yield LocalLink(app)
        return
    async with _watched(owner):
        yield owner


@contextlib.asynccontextmanager
async def _watched(owner: RemoteLink) -> AsyncIterator[None]:
    """Keep the owner's board up to date; what waits for it in the block gets StateError when the
    owner goes away."""
    waiting = asyncio.current_task()
    gone: list[BaseException] = []

    def ended(task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and waiting is not None:
            gone.append(error)
            waiting.cancel()

    watching = asyncio.create_task(owner.watch(), name="watch")
    watching.add_done_callback(ended)
    try:
        yield
    except asyncio.CancelledError:
        if gone and waiting is not None and waiting.uncancel() == 0:
            raise gone[0] from None
        raise
    finally:
        watching.remove_done_callback(ended)
        watching.cancel()
        await asyncio.wait([watching])
        if not watching.cancelled():
            watching.exception()


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """asyncio.run with the signals of a command: the first ends it in order, a second at once."""

    async def guarded() -> T:
        task = asyncio.current_task()
        with signals(lambda: void(task.cancel() if task is not None else None)):
            try:
                return await main()
            except ShutdownStuck as error:
                click.echo(f"fieldrec: {error}", err=True)
                os._exit(error.exit_code)  # a thread that waits for a dead disk would hold us

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        raise Interrupted("interrupted; everything was stopped in order") from None


class Interrupted(FieldrecError):
    """The command was ended by a signal."""

    exit_code = 130


@contextlib.contextmanager
def signals(first: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGINT call `first` once; the second signal leaves at once (exit 130)."""
    loop = asyncio.get_running_loop()
    seen: list[int] = []

    def on_signal(number: int) -> None:
        if seen:
            os._exit(130)
        seen.append(number)
        first()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def void(_: object) -> None:
    """Drop a result."""
