"""The verbs over a Unix socket: what goes through, what garbage gets; nobody is held up."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fieldrec.camera.parameters import Parameter
from fieldrec.config.recording import SplitConfig
from fieldrec.core import errors
from fieldrec.core.errors import FieldrecError, StateError, StoreFull, UsageError
from fieldrec.core.model import Job, JobKind, JobState, Recording, RecordingState
from fieldrec.core.snapshot import Snapshot
from fieldrec.jobs.offers import Offer
from fieldrec.power.awake import AwakeStatus, Holder
from fieldrec.schedule.rows import Row
from fieldrec.schedule.simulate import Simulated
from fieldrec.status import control_socket
from fieldrec.status.board import Board, snapshot_from_dict
from fieldrec.status.control_socket import (
    AWAKE,
    JOBS,
    OFFER,
    PARAMETERS,
    RECORDING,
    ROWS,
    SOCKET_NAME,
    VERBS,
    dispatch,
    error_from,
    serve,
    short_path,
)
from fieldrec.status.control_socket import SIMULATED as SIMULATION
from tests.fakes.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio

JOB = Job(1, JobKind.COPY, "bees", "u", "usb", None, False, False, JobState.WAITING, "recording", 0,
          5, 10, 1, 2)
GAIN = Parameter("Gain", 1.5, 0.0, 24.0, unit="dB")
BEES = Recording("bees", "u", "C1", Path("/r/bees"), RecordingState.COMPLETE, None, 3, 1, 2, 0, 0,
                 9, "", "UTC", user_metadata={"a": [1, None]})


ROW = Row("night", "record as night", "from dusk to dawn", True, True, False, 5, 9, None)
SIMULATED = Simulated(1, 9, (), ((5, 9),), ("a",), ("b",))


AWAKE_NOW = AwakeStatus((Holder("recording", 1, None),), "held awake by recording", 5, 4)


OFFERED = Offer("copy", "usb", 3, 10, 1, 2, 1, 4, None, 0, ("copy 3 recordings",), (JOB,))


class StandInControl:
    """Answers every verb and notes what it was called with."""

    def attended(self) -> None:
        """A person gave a command."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.fails: Exception | None = None

    def snapshot(self) -> Snapshot:
        return picture(7)

    def jobs(self) -> tuple[Job, ...]:
        return (JOB,)

    def the_schedule(self) -> Any:
        return StandInSchedule(self)

    def __getattr__(self, verb: str) -> Any:
        results = {"recordings": (BEES,), "recording": BEES, "start": ["bees"], "stop": ["bees"],
                   "eject": "SAFE", "cancel": JOB, "retry": JOB, "pause_job": JOB,
                   "resume_job": JOB, "job_first": JOB, "pause": ["left"],
                   "resume": ["left"], "step": ["left"], "split": ["left"],
                   "configure": {"left": (GAIN,)},
                   "awake": AWAKE_NOW, "stay_awake": "yes", "begin_deployment": "ok",
                   "schedule_list": [ROW], "schedule_add": ROW, "schedule_switch": ROW,
                   "schedule_remove": "removed", "schedule_clear": "removed",
                   "schedule_simulate": SIMULATED, "trust_drive": "trusted",
                   "copy_all": OFFERED, "move_all": OFFERED, "export_all": OFFERED}

        async def call(**arguments: Any) -> Any:
            self.calls.append((verb, arguments))
            if self.fails is not None:
                raise self.fails
            return results.get(verb, [JOB])
        return call


class StandInSchedule:
    """The schedule's verbs are noted with the others."""

    def __init__(self, control: StandInControl) -> None:
        self._control = control

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._control, f"schedule_{verb}")


def picture(version: int) -> Snapshot:
    return Snapshot(version=version, time_ns=0, name="box", recording=False,
                    recording_since_ns=None)


class Rig:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.control = StandInControl()
        self.board = Board(picture(1))

    @asynccontextmanager
    async def client(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        with short_path(self.folder / SOCKET_NAME) as short:
            reader, writer = await asyncio.open_unix_connection(short, limit=1 << 24)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()
            await asyncio.sleep(0)

    async def ask(self, *lines: bytes) -> list[Any]:
        """Replies to some lines on one connection."""
        async with self.client() as (reader, writer):
            writer.write(b"".join(line + b"\n" for line in lines))
            return [json.loads(await asyncio.wait_for(reader.readline(), PATIENCE_S))
                    for _ in lines]


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[Rig]:
    rig = Rig(folder)
    control: Any = rig.control
    async with serve(folder, control, rig.board):
        yield rig


async def test_it_is_for_its_user_alone_and_gone_afterwards(tmp_path: Path) -> None:
    (tmp_path / SOCKET_NAME).write_text("left by a crash")
    async with served(tmp_path):
        mode = (tmp_path / SOCKET_NAME).stat().st_mode
        assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode)) == (True, 0o600)
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - a test may wait for its disk


async def test_a_folder_deeper_than_an_address_is_long(tmp_path: Path) -> None:
    deep = tmp_path / ("a" * 100) / ("b" * 100)
    deep.mkdir(parents=True)
    async with served(deep) as rig:
        (reply,) = await rig.ask(b'{"verb": "jobs"}')
        assert reply["ok"]


async def test_every_verb_goes_through_with_its_arguments(tmp_path: Path) -> None:
    arguments: dict[str, dict[str, Any]] = {
        "recording": {"name": "bees"}, "start": {"name": None, "metadata": {"a": {"b": [1]}},
                                                 "duration_s": 5, "cameras": ["x"],
                                                 "trigger": "motion", "preroll_s": 2},
        "stay_awake": {"seconds": 60}, "begin_deployment": {"name": "pond"},
        "copy_all": {"destination": "usb", "names": ["bees"], "dry_run": True},
        "move_all": {"destination": "usb", "cameras": ["side-*"], "since_ns": 5},
        "export_all": {"destination": "usb", "preset": "Low"}, "trust_drive": {"drive": "AB-12"},
        "step": {"frames": 3}, "configure": {"camera": "left", "values": {"Gain": 2, "x": "on"}},
        "stop": {}, "eject": {"drive": None}, "export": {
            "names": None, "preset": "Low", "destination": "usb", "delete_raw": True},
        "copy": {"names": ["bees"], "destination": "usb"},
        "move": {"names": None, "destination": "usb"},
        "upload": {"names": None, "destination": "loopy"}, "delete": {"names": ["bees"]},
        "cancel": {"job_id": 1}, "retry": {"job_id": 1}, "pause_job": {"job_id": 1},
        "resume_job": {"job_id": 1}, "job_first": {"job_id": 1},
        "schedule_add": {"name": "night", "told": {"do": "start", "when": "always"}},
        "schedule_remove": {"name": "night"}, "schedule_switch": {"name": "night", "on": False},
        "schedule_simulate": {"since_ns": 1, "until_ns": 9}}
    async with served(tmp_path) as rig:
        replies = await rig.ask(*(
            json.dumps({"verb": verb, "arguments": arguments.get(verb, {})}).encode()
            for verb in VERBS))
    results = dict(zip(VERBS, replies, strict=True))
    assert {verb: reply for verb, reply in results.items() if not reply["ok"]} == {}
    assert snapshot_from_dict(results["snapshot"]["result"]) == picture(7)
    assert RECORDING.validate_python(results["recording"]["result"]) == BEES
    for verb in ("copy_all", "move_all", "export_all"):
        assert OFFER.validate_python(results[verb]["result"]) == OFFERED
    for verb in ("jobs", "export", "copy", "move", "upload", "delete"):
        assert JOBS.validate_python(results[verb]["result"]) == (JOB,)
    assert (results["start"]["result"], results["eject"]["result"]) == (["bees"], "SAFE")
    assert PARAMETERS.validate_python(results["configure"]["result"]) == {"left": (GAIN,)}
    assert results["pause"]["result"] == ["left"]
    assert AWAKE.validate_python(results["awake"]["result"]) == AWAKE_NOW
    assert ROWS.validate_python(results["schedule_list"]["result"]) == (ROW,)
    assert SIMULATION.validate_python(results["schedule_simulate"]["result"]) == SIMULATED
    called = dict(rig.control.calls)
    for verb, given in arguments.items():
        assert called[verb].items() >= given.items()


@pytest.mark.parametrize(("verb", "arguments", "says"), [
    ("nosuch", {}, "unknown verb 'nosuch'; known: snapshot, "),
    ("_check_open", {}, "unknown verb"),
    ("__class__", {}, "unknown verb"),
    ("jobs", {"x": 1}, "jobs: x: "),
    ("start", {"colour": "red"}, "start: colour: "),
    ("start", {"name": 5}, "start: name: "),
    ("start", {"duration_s": "5"}, "start: duration_s: "),
    ("start", {"metadata": [1]}, "start: metadata: "),
    ("start", {"preroll_s": 61}, "start: preroll_s: "),
    ("start", {"trigger": "sound"}, "start: trigger: "),
    ("start", {"split_after": {"hours": 1}}, "start: split_after.hours: "),
    ("start", {"split_after": {"frames": 1}}, "start: split_after.frames: "),
    ("step", {"frames": "3"}, "step: frames: "),
    ("configure", {}, "configure: camera: "),
    ("configure", {"camera": "left", "values": {"Gain": [1]}}, "configure: values.Gain"),
    ("export", {}, "export: names: "),
    ("export", {"names": "bees"}, "export: names: "),
    ("copy", {"names": None, "destination": None}, "copy: destination: "),
    ("cancel", {"job_id": "1"}, "cancel: job_id: "),
    ("cancel", {"job_id": True}, "cancel: job_id: "),
])
async def test_wrong_verbs_and_arguments_never_reach_the_control(
        verb: str, arguments: dict[str, Any], says: str) -> None:
    control: Any = StandInControl()
    with pytest.raises(UsageError, match=says):
        await dispatch(control, verb, arguments)
    assert control.calls == []


@pytest.mark.parametrize("line", [
    b"", b"x", b"\xff\x00", b"[]", b"{}", b"7", b'{"verb": 7}', b'{"verb": "jobs", "arguments": 7}',
    b"[" * 60_000, b'{"verb": ["jobs"]}'])
async def test_garbage_is_answered_and_the_next_line_served(tmp_path: Path, line: bytes) -> None:
    async with served(tmp_path) as rig:
        refused, served_next = await rig.ask(line, b'{"verb": "jobs"}')
    assert refused["error"]["type"] == "UsageError"
    assert 'expected one line {"verb"' in refused["error"]["message"]
    assert served_next["ok"]


async def test_a_length_is_as_in_the_configuration() -> None:
    control: Any = StandInControl()
    await dispatch(control, "start", {"split_after": {"bytes": "2 GB", "seconds": 60}})
    assert control.calls[0][1]["split_after"] == SplitConfig(bytes=2 * 10**9, seconds=60)


async def test_a_line_without_end_is_dropped(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        async with rig.client() as (reader, writer):
            writer.write(b"x" * (control_socket.LINE_LIMIT_BYTES + 70_000))
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await asyncio.wait_for(reader.readexactly(1), PATIENCE_S)
        assert (await rig.ask(b'{"verb": "jobs"}'))[0]["ok"]


async def test_errors_come_back_as_what_they_were(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        rig.control.fails = StoreFull("no room: 3 MB free")
        (reply,) = await rig.ask(b'{"verb": "start"}')
    error = error_from(reply)
    assert (type(error), str(error)) == (StoreFull, "no room: 3 MB free")
    assert reply["error"]["exit_code"] == errors.StoreFull.exit_code


@pytest.mark.parametrize("kind", ["nosuch", "annotations", "", None, 5])
async def test_an_error_of_an_unknown_kind_is_still_one_of_ours(kind: object) -> None:
    error = error_from({"ok": False, "error": {"type": kind, "message": "m"}})
    assert (type(error), str(error)) == (FieldrecError, "m")
    assert "no reason" in str(error_from({}))


async def test_a_bug_in_a_verb_is_logged_and_answered(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with served(tmp_path) as rig:
        rig.control.fails = KeyError("oops")
        replies = await rig.ask(b'{"verb": "start"}', b'{"verb": "jobs"}')
    assert "KeyError: 'oops'; please report this" in replies[0]["error"]["message"]
    assert replies[1]["ok"]
    assert "a command over the socket failed" in caplog.text


async def test_who_watches_gets_the_picture_at_once_and_each_newer_one(tmp_path: Path) -> None:
    async with served(tmp_path) as rig, rig.client() as (reader, writer):
        writer.write(b'{"verb": "watch"}\n')
        for version in (1, 2, 3):
            if version > 1:
                rig.board.publish(picture(version))
            line = await asyncio.wait_for(reader.readline(), PATIENCE_S)
            assert json.loads(line)["result"]["version"] == version


async def test_the_end_does_not_wait_for_clients(tmp_path: Path) -> None:
    serving = served(tmp_path)
    rig = await serving.__aenter__()
    async with rig.client() as (reader, writer), rig.client() as (silent, half):
        writer.write(b'{"verb": "watch"}\n')
        await asyncio.wait_for(reader.readline(), PATIENCE_S)
        half.write(b'{"verb": "jo')
        await asyncio.wait_for(serving.__aexit__(None, None, None), PATIENCE_S)
        assert await asyncio.wait_for(silent.read(), PATIENCE_S) == b""


async def test_a_client_that_does_not_read_is_dropped(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_socket, "REPLY_TIMEOUT_S", 0.05)
    async with served(tmp_path) as rig, rig.client() as (reader, writer):
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(b'{"verb": "recordings"}\n' * 20_000)
        while not writer.transport.is_closing():
            await asyncio.sleep(0.01)
            writer.write(b'{"verb": "jobs"}\n')
        assert (await rig.ask(b'{"verb": "jobs"}'))[0]["ok"]


async def test_a_state_error_does_not_end_the_conversation(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        rig.control.fails = StateError("already recording")
        first, second = await rig.ask(b'{"verb": "start"}', b'{"verb": "jobs"}')
    assert (first["error"]["message"], second["ok"]) == ("already recording", True)
