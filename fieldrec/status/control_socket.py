"""The control verbs over a Unix socket in the recordings folder, one JSON object a line.

Request `{"verb": "export", "arguments": {"names": ["bees_…"], "preset": "High"}}`; reply
`{"ok": true, "result": …}` or `{"ok": false, "error": {"type", "message", "exit_code"}}`. The verb
`watch` answers with a snapshot at once and at each change until the client goes away. Whoever owns
the folder (daemon, `fieldrec record`, `fieldrec export`) serves it; mode 0600. Runs on the loop;
a client that sends garbage or does not read is dropped and harms nothing else (I9).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from fieldrec.config.recording import SplitConfig
from fieldrec.core import durable, errors
from fieldrec.core.errors import FieldrecError, UsageError
from fieldrec.core.model import Job, Recording
from fieldrec.core.workers import Worker
from fieldrec.status.board import Board, snapshot_as_dict

if TYPE_CHECKING:  # a command that only asks a daemon does without all that the daemon is made of
    from fieldrec.camera.parameters import Parameter
    from fieldrec.control import Control
    from fieldrec.jobs.offers import Offer
    from fieldrec.power.awake import AwakeStatus
    from fieldrec.schedule.rows import Row
    from fieldrec.schedule.simulate import Simulated

log = logging.getLogger(__name__)

SOCKET_NAME = "control.sock"
LINE_LIMIT_BYTES = 1 << 20
"""Longest request; replies (a catalogue of many recordings) may be longer."""
REPLY_TIMEOUT_S = 10.0
"""A client that does not read for this long is dropped."""

HANGUP_CHECK_S = 10.0
"""A watcher that has gone is noticed at the next change, or after this long."""

T = TypeVar("T")


class _Written(Generic[T]):
    """A kind of value that goes through the socket: a TypeAdapter that is made, of what `kind`
    loads, at its first use. A command needs one or two, and all of them take longer than all else
    that its start does."""

    def __init__(self, kind: Callable[[], type[T]]) -> None:
        self._kind = kind

    @functools.cached_property
    def _adapter(self) -> TypeAdapter[T]:
        return TypeAdapter(self._kind())

    def validate_python(self, value: object) -> T:
        return self._adapter.validate_python(value)

    def dump_python(self, value: T, *, mode: Literal["json"]) -> Any:
        return self._adapter.dump_python(value, mode=mode)


def _offer() -> type[Offer]:
    from fieldrec.jobs.offers import Offer
    return Offer


def _awake() -> type[AwakeStatus]:
    from fieldrec.power.awake import AwakeStatus
    return AwakeStatus


def _parameters() -> type[dict[str, tuple[Parameter, ...]]]:
    from fieldrec.camera.parameters import Parameter
    return dict[str, tuple[Parameter, ...]]


def _row() -> type[Row]:
    from fieldrec.schedule.rows import Row
    return Row


def _rows() -> type[tuple[Row, ...]]:
    from fieldrec.schedule.rows import Row
    return tuple[Row, ...]


def _simulated() -> type[Simulated]:
    from fieldrec.schedule.simulate import Simulated
    return Simulated


RECORDINGS = _Written(lambda: tuple[Recording, ...])
RECORDING = _Written(lambda: Recording)
JOBS = _Written(lambda: tuple[Job, ...])
JOB = _Written(lambda: Job)
OFFER = _Written(_offer)
AWAKE = _Written(_awake)
PARAMETERS = _Written(_parameters)
ROWS = _Written(_rows)
ROW = _Written(_row)
SIMULATED = _Written(_simulated)


class _Arguments(BaseModel):
    """What a verb takes: nothing, unless a class below says so."""

    model_config = ConfigDict(extra="forbid", strict=True, defer_build=True)


class _Recording(_Arguments):
    name: str


class _Start(_Arguments):
    name: str | None = None
    metadata: dict[str, Any] | None = None
    duration_s: float | None = None
    cameras: list[str] | None = None
    preroll_s: Annotated[float, Field(ge=0, le=60)] | None = None
    split_after: SplitConfig | None = None
    trigger: Literal["none", "motion"] | None = None


class _Step(_Arguments):
    frames: int = 1


class _Configure(_Arguments):
    camera: str
    values: dict[str, bool | int | float | str] | None = None


class _Stop(_Arguments):
    reason: str = "stopped"


class _Eject(_Arguments):
    drive: str | None = None


class _Export(_Arguments):
    names: list[str] | None
    preset: str | None = None
    allow_battery: bool = False
    destination: str | None = None
    delete_raw: bool = False


class _Offload(_Arguments):
    names: list[str] | None
    destination: str


class _All(_Arguments):
    destination: str
    names: list[str] | None = None
    cameras: list[str] = []
    since_ns: int | None = None
    dry_run: bool = False


class _ExportAll(_All):
    preset: str | None = None


class _TrustDrive(_Arguments):
    drive: str


class _Delete(_Arguments):
    names: list[str]


class _Deployment(_Arguments):
    name: str


class _Seconds(_Arguments):
    seconds: float


class _Job(_Arguments):
    job_id: int


class _Task(_Arguments):
    name: str


class _AddTask(_Task):
    told: dict[str, Any]


class _SwitchTask(_Task):
    on: bool


class _Span(_Arguments):
    since_ns: int
    until_ns: int


@dataclass(frozen=True, slots=True)
class _Verb:
    """How a verb of the control is called, and how its result is written."""

    arguments: type[_Arguments] = _Arguments
    result: _Written[Any] | None = None


VERBS: Mapping[str, _Verb] = {
    "snapshot": _Verb(),
    "recordings": _Verb(result=RECORDINGS),
    "recording": _Verb(_Recording, RECORDING),
    "jobs": _Verb(result=JOBS),
    "start": _Verb(_Start),
    "stop": _Verb(_Stop),
    "pause": _Verb(),
    "resume": _Verb(),
    "step": _Verb(_Step),
    "split": _Verb(),
    "configure": _Verb(_Configure, PARAMETERS),
    "eject": _Verb(_Eject),
    "export": _Verb(_Export, JOBS),
    "copy": _Verb(_Offload, JOBS),
    "move": _Verb(_Offload, JOBS),
    "upload": _Verb(_Offload, JOBS),
    "copy_all": _Verb(_All, OFFER),
    "move_all": _Verb(_All, OFFER),
    "export_all": _Verb(_ExportAll, OFFER),
    "trust_drive": _Verb(_TrustDrive),
    "delete": _Verb(_Delete, JOBS),
    "cancel": _Verb(_Job, JOB),
    "pause_job": _Verb(_Job, JOB),
    "resume_job": _Verb(_Job, JOB),
    "job_first": _Verb(_Job, JOB),
    "retry": _Verb(_Job, JOB),
    "begin_deployment": _Verb(_Deployment),
    "awake": _Verb(result=AWAKE),
    "stay_awake": _Verb(_Seconds),
    "schedule_list": _Verb(result=ROWS),
    "schedule_add": _Verb(_AddTask, ROW),
    "schedule_remove": _Verb(_Task),
    "schedule_clear": _Verb(),
    "schedule_switch": _Verb(_SwitchTask, ROW),
    "schedule_simulate": _Verb(_Span, SIMULATED),
}
LOOKING = frozenset({"snapshot", "recordings", "recording", "jobs", "awake", "schedule_list",
                     "schedule_simulate"})
"""Verbs that programs ask too: all others are a person's."""
SCHEDULE = "schedule_"
"""Verbs that begin so are the schedule's own, without it."""


async def dispatch(control: Control, verb: str, arguments: dict[str, Any]) -> Any:
    """Run one verb and return its result as JSON-ready values. UsageError for an unknown verb or
    wrong arguments; otherwise what the verb raises."""
    known = VERBS.get(verb)
    if known is None:
        raise UsageError(f"unknown verb {verb!r}; known: {', '.join(VERBS)}")
    try:
        checked = known.arguments.model_validate(arguments)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "arguments"
        raise UsageError(f"{verb}: {where}: {first['msg']}") from error
    if verb not in LOOKING:
        control.attended()
    result = _method(control, verb)(**dict(checked))
    if inspect.isawaitable(result):
        result = await result
    if verb == "snapshot":
        return snapshot_as_dict(result)
    if known.result is None:
        return result
    return known.result.dump_python(tuple(result) if isinstance(result, list) else result,
                                    mode="json")


def _method(control: Control, verb: str) -> Any:
    if verb.startswith(SCHEDULE):
        return getattr(control.the_schedule(), verb.removeprefix(SCHEDULE))
    return getattr(control, verb)


@contextlib.asynccontextmanager
async def serve(folder: Path, control: Control, board: Board) -> AsyncIterator[None]:
    """Serve the socket in `folder` for as long as the context lasts; removes it at the end.

    The caller owns the folder's lock, so a socket that is already there is stale.
    """
    path = folder / SOCKET_NAME
    worker = Worker("socket")
    try:
        listener = await worker.run(lambda _stop: _listen(path))
    except BaseException:
        worker.close()
        raise
    clients: set[asyncio.Task[None]] = set()
    closing = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            clients.add(task)
            task.add_done_callback(clients.discard)
        try:
            await _talk(reader, writer, control, board)
        except asyncio.CancelledError:
            if not closing.is_set():
                raise  # ours ends here: asyncio's streams make a traceback of it (Python 3.11)
        finally:
            writer.close()

    server = await asyncio.start_unix_server(accept, sock=listener, limit=LINE_LIMIT_BYTES)
    try:
        yield
    finally:
        server.close()
        closing.set()
        for task in list(clients):
            task.cancel()
        if clients:
            await asyncio.wait(clients)
        with contextlib.suppress(OSError):  # on a disk that has turned read-only
            await worker.run(lambda _stop: durable.unlink(path, missing_ok=True))
        worker.close()


def _listen(path: Path) -> socket.socket:
    durable.unlink(path, missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old_mask = os.umask(0o177)
    try:
        with short_path(path) as short:
            listener.bind(short)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(old_mask)
    listener.listen(16)
    return listener


@contextlib.contextmanager
def short_path(path: Path) -> Any:
    """A name for a socket that fits the 107 bytes of a Unix address, however deep its folder is."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, control: Control,
                board: Board) -> None:
    while True:
        try:
            line = await reader.readline()
        except (ValueError, ConnectionError):
            return  # longer than the limit, or gone
        if not line:
            return
        try:
            verb, arguments = _parse(line)
            if verb == "watch":
                await _watch(reader, writer, board)
                return
            reply = {"ok": True, "result": await dispatch(control, verb, arguments)}
        except FieldrecError as error:
            reply = _error_reply(error)
        except Exception as error:  # a bug in one verb must not cost its client the answer
            log.exception("a command over the socket failed")
            reply = _error_reply(FieldrecError(
                f"{type(error).__name__}: {error}; please report this"))
        if not await _send(writer, reply):
            return


def _error_reply(error: FieldrecError) -> dict[str, Any]:
    return {"ok": False, "error": {"type": type(error).__name__, "message": str(error),
                                   "exit_code": error.exit_code}}


def _parse(line: bytes) -> tuple[str, dict[str, Any]]:
    try:
        request = json.loads(line)
        verb, arguments = request["verb"], request.get("arguments", {})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError('expected one line {"verb": "…", "arguments": {…}}') from error
    if not isinstance(verb, str) or not isinstance(arguments, dict):
        raise UsageError('expected one line {"verb": "…", "arguments": {…}}')
    return verb, arguments


async def _watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, board: Board
                 ) -> None:
    version = -1
    while not reader.at_eof():
        snapshot = await board.wait_changed(version, HANGUP_CHECK_S)
        if snapshot.version == version:
            continue
        version = snapshot.version
        result = snapshot_as_dict(snapshot)
        if not await _send(writer, {"ok": True, "result": result}):
            return
        await asyncio.sleep(0.1)  # at most ten a second, whatever happens


async def _send(writer: asyncio.StreamWriter, reply: Mapping[str, Any]) -> bool:
    """Write one line; False when the client is gone or does not read."""
    try:
        writer.write(json.dumps(reply).encode() + b"\n")
        async with asyncio.timeout(REPLY_TIMEOUT_S):
            await writer.drain()
    except (ConnectionError, TimeoutError):
        writer.transport.abort()
        return False
    return True


def error_from(reply: Mapping[str, Any]) -> FieldrecError:
    """The error that a reply carries, of its own class again."""
    error = reply.get("error", {})
    kind = getattr(errors, str(error.get("type")), FieldrecError)
    if not (isinstance(kind, type) and issubclass(kind, FieldrecError)):
        kind = FieldrecError
    return kind(str(error.get("message", "the daemon gave no reason")))
