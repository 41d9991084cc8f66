"""A whole box for tests: one real `fieldrec run`, serial lines on real ptys, a battery in a folder.

    with Console() as console, Box(tmp_path, console, match=udevd.match) as box:
        console.type("start story")
        console.until("OK recording story")
        box.until(lambda now: now["recording"], "it records")

Every line that comes out of a pty is held against its checksum. What the daemon said on stderr is
shown when something does not come in time.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import operator
import os
import re
import select
import socket
import struct
import subprocess
import sys
import termios
import threading
import tty
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from fieldrec.core.mountinfo import read_mounts
from fieldrec.status.control_socket import short_path
from tests.fakes.waiting import PATIENCE_S, wait_until

FIELDREC = (sys.executable, "-m", "fieldrec.cli.main")
_LINE = re.compile(rb"\$?([ -)+-~]*)\*([0-9A-F]{2})\r\n")


def checked(line: bytes) -> str:
    """The text of a line as the wire has it; AssertionError unless its checksum is right."""
    found = _LINE.fullmatch(line)
    assert found is not None, f"not a line of ours: {line!r}"
    payload = found[1]
    assert int(found[2], 16) == functools.reduce(operator.xor, payload, 0), line
    return payload.decode("ascii")


class Console:
    """The far end of a serial line: a thread reads the pty's master and keeps every line."""

    def __init__(self, *, reads: bool = True) -> None:
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.device = os.ttyname(self._slave)
        self.lines: list[bytes] = []
        self._came = threading.Condition()
        self._ended, self._end = os.pipe()
        self._thread = threading.Thread(target=self._read, name="console reader") if reads else None

    def __enter__(self) -> Console:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        os.write(self._end, b"x")
        if self._thread is not None:
            self._thread.join()
        for descriptor in (self.master, self._slave, self._ended, self._end):
            os.close(descriptor)

    def type(self, text: str) -> None:
        """One command, as a person types it."""
        os.write(self.master, text.encode() + b"\r")

    def fill(self) -> None:
        """Leave no room on the line from the daemon to here."""
        os.set_blocking(self._slave, False)
        with contextlib.suppress(BlockingIOError):
            while os.write(self._slave, b"x" * 4096):
                pass

    def stuffed(self) -> bool:
        """Fill the line; whether nothing more can be written to it now."""
        self.fill()
        return not select.select([], [self._slave], [], 0)[1]

    def unread(self) -> int:
        """Bytes that have come and wait to be read."""
        answer = fcntl.ioctl(self.master, termios.FIONREAD, struct.pack("i", 0))
        return int(struct.unpack("i", answer)[0])

    def texts(self) -> list[str]:
        """Every whole line so far; AssertionError for one whose checksum is wrong."""
        with self._came:
            lines = list(self.lines)
        return [checked(line) for line in lines]

    def until(self, start: str, timeout_s: float = PATIENCE_S) -> str:
        """The first line that begins so."""
        def found() -> str | None:
            return next((checked(line) for line in self.lines
                         if checked(line).startswith(start)), None)

        with self._came:
            if not self._came.wait_for(found, timeout_s):
                last = "\n".join(str(line) for line in self.lines[-5:])
                raise AssertionError(f"no line {start!r} within {timeout_s:g} s; last:\n{last}")
            return found() or ""

    def _read(self) -> None:
        held = b""
        while True:
            ready, _, _ = select.select([self.master, self._ended], [], [])
            if self._ended in ready:
                return
            *whole, held = (held + os.read(self.master, 4096)).split(b"\n")
            with self._came:
                self.lines.extend(line + b"\n" for line in whole)
                self._came.notify_all()


class Battery:
    """A folder like /sys/class/power_supply with a charger and one battery."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._mains, self._battery = root / "AC", root / "BAT0"
        for supply, kind in ((self._mains, "Mains"), (self._battery, "Battery")):
            supply.mkdir(parents=True)
            (supply / "type").write_text(kind)
        self.mains()

    def mains(self, percent: int = 90) -> None:
        """Plugged in."""
        self._say(percent, "Charging", 1)

    def drains(self, percent: int) -> None:
        """On battery, with this charge."""
        self._say(percent, "Discharging", 0)

    def _say(self, percent: int, status: str, online: int) -> None:
        for path, value in ((self._battery / "capacity", percent),
                            (self._battery / "status", status), (self._mains / "online", online)):
            new = path.with_name("." + path.name)
            new.write_text(f"{value}\n")
            new.replace(path)


class Box:
    """One daemon on `root`; leaving the block stops it with SIGTERM and checks that it was well."""

    def __init__(self, root: Path, *consoles: Console, match: Mapping[str, str] | None = None,
                 environment: Mapping[str, str] | None = None, **sections: Any) -> None:
        self.recordings = root / "recordings"
        self.recordings.mkdir(exist_ok=True)
        self.mounts = root / "mnt"
        self.config = root / "box.yaml"
        self._stderr = root / "stderr.txt"
        self._environment = {key: value for key, value in os.environ.items()
                             if not key.startswith(("FIELDREC_", "NOTIFY_", "WATCHDOG_", "PYTHON"))}
        self._environment.update(environment or {})
        drives = {"enabled": match is not None, "match": dict(match or {"ID_BUS": "usb"}),
                  "mount_root": str(self.mounts), "keep_free_bytes": 1_000_000,
                  "mounter": "mount"}
        document = {
            "system": {"name": "testbox", "shutdown_budget_s": 20},
            "storage": {"directory": "recordings", "reserve_bytes": "10 MB", "stop_percent": 99},
            "power": {"source": "mains"}, **sections,
            "drives": drives | sections.get("drives", {}),
            "console": [{"device": console.device, "interval_s": 0.5} for console in consoles],
        }
        self.config.write_text(yaml.safe_dump(document))
        self.process: subprocess.Popen[bytes] | None = None
        self._terminated = False

    def __enter__(self) -> Box:
        with self._stderr.open("ab") as stderr:
            self.process = subprocess.Popen(
                [*FIELDREC, "run", "--config", str(self.config)], stdin=subprocess.DEVNULL,
                stdout=stderr, stderr=stderr, env=self._environment, start_new_session=True)
        try:
            wait_until(self._answers, PATIENCE_S, "the daemon answers")
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        code = self.stop()
        if error is None:
            assert code == 0, self.log()
            assert "Traceback" not in self.log(), self.log()
            self.assert_nothing_is_left()
        else:
            print(self.log())

    def stop(self) -> int:
        """SIGTERM, and the exit code; killed when it does not end. Idempotent."""
        self.terminate()
        process = self.process
        assert process is not None
        try:
            return process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the daemon did not stop\n{self.log()}") from None

    def terminate(self) -> None:
        """SIGTERM; once, because a second one ends it at once."""
        assert self.process is not None
        if not self._terminated and self.process.poll() is None:
            self._terminated = True
            self.process.terminate()

    def assert_nothing_is_left(self) -> None:
        """I7: no lock, nothing unfinished, no mount."""
        left = [path.name for path in self.recordings.iterdir()
                if path.name.startswith((".part-", ".trash-"))]
        left += [str(path) for path in self.recordings.glob("*/.lock")]
        left += [str(mount.mount_point) for mount in read_mounts()
                 if self.mounts in mount.mount_point.parents]
        assert not left, f"left behind: {left}\n{self.log()}"

    def log(self) -> str:
        """What the daemon said on stderr."""
        return self._stderr.read_text(errors="replace")[-6000:]

    def ask(self, verb: str, **arguments: Any) -> Any:
        """One verb over the control socket; its result, AssertionError when it is refused."""
        with (short_path(self.recordings / ".fieldrec" / "control.sock") as short,
              socket.socket(socket.AF_UNIX) as channel):
            channel.settimeout(PATIENCE_S)
            channel.connect(short)
            channel.sendall(json.dumps({"verb": verb, "arguments": arguments}).encode() + b"\n")
            with channel.makefile("rb") as lines:
                reply = json.loads(lines.readline())
        assert reply["ok"], reply
        return reply["result"]

    def until(self, condition: Callable[[Any], Any], what: str) -> Any:
        """The first snapshot for which `condition` holds."""
        def look() -> Any:
            now = self.ask("snapshot")
            return now if condition(now) else None

        try:
            return wait_until(look, PATIENCE_S, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._shown()}") from None

    def command(self, *words: str) -> str:
        """A real `fieldrec` command on this box; its output. AssertionError when it fails."""
        done = subprocess.run([*FIELDREC, *words, "--config", str(self.config)], check=False,
                              capture_output=True, text=True, env=self._environment,
                              timeout=2 * PATIENCE_S)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        try:
            self.ask("snapshot")
        except OSError:
            return False
        return True

    def _shown(self) -> str:
        now = self.ask("snapshot")
        jobs = [(job["id"], job["kind"], job["item"], job["state"], job["reason"])
                for job in now["jobs"][:20]]
        return (f"recording={now['recording']} power={now['power']} drives={now['drives']}\n"
                f"jobs={jobs}\nevents={[event['text'] for event in now['events'][-15:]]}")


def cameras(*keys: str, hz: int = 50) -> dict[str, Any]:
    """Synthetic cameras; a machine that is busy delays their frames but makes them skip none."""
    return {key: {"backend": "synthetic", "options": {
        "width": 160, "height": 120, "hz": hz, "drop_when_late": False, "seed": number}}
        for number, key in enumerate(keys)}


def unfinished(now: Any) -> Sequence[Any]:
    """The jobs of a snapshot that have not ended."""
    return [job for job in now["jobs"] if job["state"] not in ("done", "failed", "cancelled")]
