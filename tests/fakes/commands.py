"""The real `fieldrec` command as a subprocess, and a running daemon spoken to over its socket."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from fieldrec.status.control_socket import short_path
from tests.fakes.waiting import PATIENCE_S, wait_until

COMMAND = (sys.executable, "-m", "fieldrec.cli.main")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's, without what would tell fieldrec where to work."""
    kept = {key: value for key, value in os.environ.items()
            if not key.startswith("FIELDREC_") and key != "PYTHONASYNCIODEBUG"}
    return {**kept, **(extra or {})}


def fieldrec(*arguments: object, cwd: Path | None = None, env: Mapping[str, str] | None = None,
             timeout_s: float = 2 * PATIENCE_S) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; not checked."""
    return subprocess.run([*COMMAND, *(str(a) for a in arguments)], cwd=cwd, env=environment(env),
                          capture_output=True, text=True, timeout=timeout_s, check=False,
                          stdin=subprocess.DEVNULL)


def fieldrec_json(*arguments: object, cwd: Path | None = None) -> Any:
    """A command that must succeed, with --json; what it printed."""
    done = fieldrec(*arguments, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(done: subprocess.CompletedProcess[str], exit_code: int, *texts: str) -> None:
    """One line on stderr with all `texts`, this exit code, nothing on stdout."""
    assert done.returncode == exit_code, done
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("fieldrec: "), done.stderr
    for text in texts:
        assert text in lines[0], done.stderr
    assert done.stdout == ""


class Daemon:
    """A `fieldrec run` in a process of its own."""

    def __init__(self, config: Path, env: Mapping[str, str] | None = None) -> None:
        self.config = config
        values = yaml.safe_load(config.read_text())
        self.recordings = (config.parent / values["storage"]["directory"]).resolve()
        self.socket = self.recordings / ".fieldrec" / "control.sock"
        self.lines: list[str] = []
        """What it said on stderr so far."""
        self._process = subprocess.Popen(
            [*COMMAND, "run", "--config", str(config)], env=environment(env), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self._reader = threading.Thread(target=self._read, name="daemon's stderr")
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return "".join(self.lines)

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            for line in stream:
                self.lines.append(line)

    def is_up(self) -> bool:
        """Whether it answers; an AssertionError when it has ended."""
        assert self._process.poll() is None, f"exit {self._process.returncode}: {self.log}"
        try:
            return bool(self.ask("snapshot"))
        except OSError:
            return False

    def ask(self, verb: str, **arguments: Any) -> Any:
        """One verb over the socket; its result. AssertionError with the daemon's words."""
        reply = self.exchange(json.dumps({"verb": verb, "arguments": arguments}).encode())
        assert reply["ok"], reply
        return reply["result"]

    def exchange(self, line: bytes) -> Any:
        """Send one line, read one line."""
        with self.connected() as client, client.makefile("rb") as replies:
            client.sendall(line + b"\n")
            return json.loads(replies.readline())

    @contextlib.contextmanager
    def connected(self) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_S)
            with short_path(self.socket) as short:
                client.connect(short)
            yield client

    def wait(self, condition: Any, what: str, timeout_s: float = PATIENCE_S) -> Any:
        """Wait for `condition()`; the daemon's log is told when it never comes."""
        try:
            return wait_until(condition, timeout_s, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log}") from error

    def wait_said(self, text: str) -> None:
        self.wait(lambda: text in self.log, f"the daemon says {text!r}")

    def recovered(self) -> None:
        """Wait until every recording that an earlier life left is complete: recovery goes on
        beside everything else, and an orderly stop leaves what it has not begun with."""
        self.wait(lambda: not self.ask("snapshot")["recovery"], "recovery ends")

    def recorded(self, frames: int, *names: str) -> None:
        """Wait until every camera has handed this many frames to its store: of these recordings,
        where there was one before, which a snapshot may still tell of."""
        def all_have() -> bool:
            recorders = self.ask("snapshot")["recorders"]
            return bool(recorders) and all(
                r["frame_count"] >= frames and r["state"] == "recording"
                and (not names or r["recording"] in names) for r in recorders)
        self.wait(all_have, f"{frames} frames of each camera")

    def recorded_by(self, camera: str, frames: int, name: str = "") -> None:
        """Wait until this camera has handed so many frames to its store; `name` as above."""
        def has() -> bool:
            return any(r["key"] == camera and r["frame_count"] >= frames
                       and r["state"] == "recording" and name in ("", r["recording"])
                       for r in self.ask("snapshot")["recorders"])
        self.wait(has, f"{frames} frames of {camera}")

    def wait_jobs(self, *ids: int, state: str = "done") -> None:
        """Wait until these jobs are in `state`."""
        def states() -> list[Any]:
            return [job for job in self.ask("jobs") if job["id"] in ids]
        try:
            self.wait(lambda: {job["state"] for job in states()} == {state}, f"jobs {ids} {state}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{states()}") from error

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def ended(self, timeout_s: float = PATIENCE_S) -> int:
        """Wait for its end; the exit code."""
        code = self._process.wait(timeout_s)
        self._reader.join()
        return code

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.ended()

    def kill(self) -> None:
        self._process.kill()
        self.ended()


@contextlib.contextmanager
def daemon(config: Path, *, wait: bool = True, env: Mapping[str, str] | None = None
           ) -> Iterator[Daemon]:
    """A daemon that is up; killed at the end of the block if it still runs."""
    running = Daemon(config, env)
    try:
        if wait:
            running.wait(running.is_up, "the daemon answers")
        yield running
    finally:
        if running._process.poll() is None:
            running.kill()
        else:
            running.ended()


def write_config(folder: Path, **sections: Any) -> Path:
    """A configuration in `folder` with two small cameras, whose frames a busy machine delays and
    makes none skip, no drives, no battery; `sections` are merged into it key by key, `cameras`
    replaced."""
    values: dict[str, Any] = {
        "storage": {"directory": "recordings", "reserve_bytes": "1 MB", "stop_percent": 99.9},
        "store": {"chunksize": 10},
        "cameras": {
            "left": {"backend": "synthetic",
                     "options": {"width": 96, "height": 64, "hz": 25, "pixel_format": "MONO8",
                                 "drop_when_late": False}},
            "right": {"backend": "synthetic",
                      "options": {"width": 96, "height": 64, "hz": 25, "pixel_format": "BGR8",
                                  "drop_when_late": False}}},
        "export": {"automatic": False},
        "drives": {"enabled": False},
        "power": {"source": "mains"},
    }
    for name, section in sections.items():
        replaces = name in ("cameras", "console") or not isinstance(values.get(name), dict)
        values[name] = section if replaces else {**values[name], **section}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / values["storage"]["directory"]).mkdir(parents=True, exist_ok=True)
    path = folder / "fieldrec.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def leftovers(*folders: Path) -> list[str]:
    """What must not be there after an orderly stop (I7)."""
    return [str(path) for folder in folders for path in folder.rglob("*")
            if path.name == ".lock" or path.name.startswith((".part-", ".trash-", ".work-"))
            or path.name.endswith(".tmp")]


def is_leaving(pid: int) -> bool:
    """Whether the process has ended but for threads that the kernel holds: its first is gone."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in "ZX"
