"""A real NUT server with its dummy driver, in a folder and on a port of its own.

The driver looks at its file once a second: writing the file is what happens to the UPS.
"""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

from tests.fakes.waiting import PATIENCE_S, wait_until

DRIVER, SERVER = Path("/lib/nut/dummy-ups"), Path("/lib/nut/upsd")
MISSING = "" if DRIVER.exists() and SERVER.exists() else (
    "NUT's server is not installed: sudo apt install nut-server")
UPS, USER, PASSWORD = "box", "anna", 'p"ss\\word'
MAINS = {"ups.status": "OL CHRG", "battery.charge": "90", "battery.voltage": "13.1",
         "battery.runtime": "3600", "ups.realpower": "12"}


class Upsd:
    """One UPS on mains; leaving the block ends server and driver."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._file = folder / "ups.dev"
        (folder / "ups.conf").write_text(
            f"[{UPS}]\n driver = dummy-ups\n port = {self._file}\n mode = dummy-loop\n"
            " pollinterval = 1\n")
        (folder / "upsd.conf").write_text(f"LISTEN 127.0.0.1 {self.port}\n")
        (folder / "upsd.users").write_text("")
        folder.chmod(0o700)
        self.write(MAINS)
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Upsd:
        self.start_driver()
        self.start_server()
        self.until("ups.status", MAINS["ups.status"])
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running:
            process.kill()
            process.wait()

    def start_driver(self) -> None:
        """Returns when the server can find it."""
        self._driver = self._start(str(DRIVER), "-a", UPS, "-F", "-u", "root")
        wait_until((self._folder / f"dummy-ups-{UPS}").exists, PATIENCE_S, "the dummy driver")

    def start_server(self) -> None:
        """Returns when it can be asked."""
        self._server = self._start(str(SERVER), "-F", "-u", "root")
        wait_until(self._answers, PATIENCE_S, "upsd")

    def kill_driver(self) -> None:
        self._driver.kill()
        self._driver.wait()

    def kill_server(self) -> None:
        self._server.kill()
        self._server.wait()

    def write(self, values: dict[str, str]) -> None:
        """Change the driver's file; values that are left out stay as they were."""
        new = self._file.with_suffix(".new")
        new.write_text("".join(f"{key}: {value}\n" for key, value in values.items()))
        new.replace(self._file)

    def until(self, variable: str, value: str) -> None:
        """Wait until the server tells this value."""
        wait_until(lambda: f'"{value}"' in self.ask(f"GET VAR {UPS} {variable}"), PATIENCE_S,
                   f"{variable} {value} of upsd")

    def ask(self, *requests: str) -> str:
        """The server's answers."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as line:
            line.sendall("".join(f"{request}\n" for request in (*requests, "LOGOUT")).encode())
            said = b""
            while part := line.recv(4096):
                said += part
        return said.decode().replace("OK Goodbye\n", "")

    def _answers(self) -> bool:
        try:
            return bool(self.ask("VER"))
        except OSError:
            return False

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        where = dict.fromkeys(("NUT_CONFPATH", "NUT_STATEPATH", "NUT_ALTPIDPATH"),
                              str(self._folder))
        process = subprocess.Popen(
            command, env={**os.environ, **where, "NUT_QUIET_INIT_SSL": "true"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._running.append(process)
        return process
