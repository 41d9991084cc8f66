"""A real udisksd on a system bus of the tests' own; the machine's own bus is never asked.

    def test_something(udevd: Udevd, udisksd: Udisksd, tmp_path: Path) -> None:
        ...                      # udisks2 answers
        udisksd.kill()           # nobody owns its name any more
        udisksd.stop()           # it is there and never answers (SIGSTOP)
        udisksd.refuse()         # polkit says no to everything

One udisksd at a time can live on a machine (it keeps notes in /run/udisks2): only one file of tests
may use this fixture.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.waiting import PATIENCE_S, wait_until

DAEMONS = (Path("/usr/libexec/udisks2/udisksd"), Path("/usr/lib/udisks2/udisksd"))
POLKITD = Path("/usr/lib/polkit-1/polkitd")
POLKIT_RULES = Path("/etc/polkit-1/rules.d")
ADDRESS = "DBUS_SYSTEM_BUS_ADDRESS"
NAME = "org.freedesktop.UDisks2"

_BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>{address}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/>
<allow receive_sender="*"/></policy></busconfig>
"""


class Udisksd:
    """The bus and what runs on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Of no place in the file system: programs of other users come to it too.
        self.address = f"unix:abstract=fieldrec-test-{uuid.uuid4().hex}"
        self._environment = os.environ | {ADDRESS: self.address}
        self._rule: Path | None = None
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start_bus(self) -> None:
        config = self.folder / "bus.conf"
        config.write_text(_BUS.format(address=self.address))
        self._start("bus", "dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile")
        self._until_owned("org.freedesktop.DBus")

    def start(self) -> None:
        """udisksd, and wait until it answers."""
        daemon = next(path for path in DAEMONS if path.exists())
        self._start("udisksd", str(daemon))
        self._until_owned(NAME)

    def kill(self) -> None:
        """SIGKILL."""
        self._end("udisksd", signal.SIGKILL)

    def stop(self) -> None:
        """It hangs from now on."""
        self._processes["udisksd"].send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._processes["udisksd"].send_signal(signal.SIGCONT)

    def refuse(self) -> None:
        """A polkit that allows nothing. Before :meth:`start`."""
        self._start("polkit", "/usr/bin/python3", "-m", "dbusmock", "--system", "--template",
                    "polkitd")
        self._until_owned("org.freedesktop.PolicyKit1")

    def allow(self, rule: str) -> None:
        """A real polkit with this rule. Before :meth:`start`."""
        self._rule = POLKIT_RULES / f"00-fieldrec-test-{uuid.uuid4().hex}.rules"
        self._rule.write_text(rule)
        self._start("polkit", str(POLKITD), "--no-debug")
        self._until_owned("org.freedesktop.PolicyKit1")

    def close(self) -> None:
        for name in reversed(list(self._processes)):
            self._end(name, signal.SIGTERM)
        if self._rule is not None:
            self._rule.unlink()

    def log(self) -> str:
        return (self.folder / "udisksd.log").read_text(errors="replace")[-2000:]

    def _start(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self._environment, start_new_session=True)

    def _end(self, name: str, how: signal.Signals) -> None:
        process = self._processes.pop(name)
        process.send_signal(signal.SIGCONT)
        process.send_signal(how)
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _until_owned(self, name: str) -> None:
        def owned() -> bool:
            asked = subprocess.run(
                ["dbus-send", f"--bus={self.address}", "--print-reply=literal",
                 "--dest=org.freedesktop.DBus", "/org/freedesktop/DBus",
                 "org.freedesktop.DBus.NameHasOwner", f"string:{name}"],
                capture_output=True, text=True, check=False, timeout=PATIENCE_S)
            return "true" in asked.stdout

        wait_until(owned, PATIENCE_S, f"{name} on the bus")


def why_no_udisksd() -> str:
    """Why there can be none here; "" if it can."""
    if os.geteuid() != 0:
        return "needs root: udisksd mounts"
    for program in ("dbus-daemon", "dbus-send"):
        if shutil.which(program) is None:
            return f"{program} is not installed (package dbus)"
    if not any(path.exists() for path in DAEMONS):
        return "udisksd is not installed (package udisks2)"
    return ""


def why_no_polkit() -> str:
    """Why there is no stand-in of polkit here; "" if there is."""
    found = subprocess.run(["/usr/bin/python3", "-c", "import dbusmock"], capture_output=True,
                           check=False)
    return "python3-dbusmock is not installed" if found.returncode else ""


@contextlib.contextmanager
def udisks_bus(folder: Path) -> Iterator[Udisksd]:
    """A bus without anything on it; ended with the block."""
    folder.mkdir(parents=True)
    bus = Udisksd(folder)
    bus.start_bus()
    try:
        yield bus
    finally:
        bus.close()


@pytest.fixture
def empty_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Udisksd]:
    """A bus on which nothing runs yet; it is this process's system bus."""
    if reason := why_no_udisksd():
        pytest.skip(reason)
    with udisks_bus(tmp_path / "bus") as bus:
        monkeypatch.setenv(ADDRESS, bus.address)
        yield bus


@pytest.fixture
def udisksd(empty_bus: Udisksd) -> Udisksd:
    """A bus with a udisksd that answers."""
    empty_bus.start()
    return empty_bus
