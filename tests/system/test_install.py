"""`scripts/install` into a staging folder, and what its unit promises to systemd."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fieldrec.camera.configured import check_cameras
from fieldrec.config import load_document
from tests.fakes.waiting import PATIENCE_S
from tests.system.box import Box, cameras

SOURCES = Path(__file__).parents[2]
UNIT = "etc/systemd/system/fieldrec.service"
CONFIG = "etc/fieldrec/fieldrec.yaml"


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """This interpreter's environment under a path that a unit has to quote."""
    path = tmp_path / "my venv 100%"
    path.symlink_to(sys.prefix)
    return path


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    path = tmp_path / "stage"
    path.mkdir()
    return path


def install(venv: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SOURCES / "scripts" / "install", *arguments], check=False,
                          capture_output=True, text=True, timeout=PATIENCE_S,
                          env=os.environ | {"FIELDREC_VENV": str(venv)})


def contents(root: Path) -> dict[str, tuple[bytes, int]]:
    return {str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in root.rglob("*") if path.is_file() and not path.is_symlink()}


def test_staging(venv: Path, stage: Path) -> None:
    """Everything lies below the folder, the configuration is valid, a second call changes
    nothing and a person's changes stay."""
    done = install(venv, "--root", str(stage))
    assert (done.returncode, done.stderr) == (0, "")
    for line in (f"written    {stage}/{UNIT}", f"written    {stage}/{CONFIG}",
                 "systemctl enable --now fieldrec"):
        assert line in done.stdout
    document, config = load_document(stage / CONFIG)
    check_cameras(document, config)
    assert list(config.cameras) == ["test"]
    assert config.storage.directory == Path("/var/lib/fieldrec/recordings")
    assert (stage / "var/lib/fieldrec/recordings").is_dir()
    assert not config.destinations
    assert not config.console
    assert (stage / "usr/local/bin/fieldrec").readlink() == venv / "bin/fieldrec"
    before = contents(stage)
    again = install(venv, f"--root={stage}/")
    assert again.returncode == 0
    assert "written" not in again.stdout
    assert contents(stage) == before
    (stage / CONFIG).write_text("system: {name: mine}\n")
    (stage / UNIT).write_text("old\n")
    assert f"written    {stage}/{UNIT}" in install(venv, "--root", str(stage)).stdout
    assert (stage / CONFIG).read_text() == "system: {name: mine}\n"
    assert (stage / UNIT).read_bytes() == before[UNIT][0]
    assert not list(stage.rglob("*.new"))


@pytest.mark.parametrize(("arguments", "complaint"), [
    (["--root"], "--root needs a folder"),
    (["--root", "/nowhere"], "/nowhere is not a folder; create it first"),
    (["--prefix", "/x"], "unknown argument --prefix; usage: install [--root DIR]"),
])
def test_one_clear_line_on_errors(venv: Path, arguments: list[str], complaint: str) -> None:
    done = install(venv, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"install: {complaint}\n"


def test_what_is_in_the_way_is_named(venv: Path, stage: Path) -> None:
    (stage / "etc").write_text("a file")
    done = install(venv, "--root", str(stage))
    assert done.returncode == 1
    assert done.stderr == f"install: cannot make {stage}/etc/fieldrec\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="only for users who are not root")
def test_without_root(venv: Path) -> None:
    assert "needs root" in install(venv).stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_understands_the_unit(venv: Path, stage: Path) -> None:
    assert install(venv, "--root", str(stage)).returncode == 0
    verify = subprocess.run(["systemd-analyze", "verify", "--man=no", stage / UNIT], check=False,
                            capture_output=True, text=True)
    assert (verify.returncode, [line for line in verify.stderr.splitlines()
                                if "fieldrec" in line]) == (0, [])
    security = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=50", stage / UNIT],
        check=False, capture_output=True, text=True)
    assert security.returncode == 0, security.stdout[-400:] + security.stderr


@pytest.fixture
def notified(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket that systemd gives a service of Type=notify."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.settimeout(PATIENCE_S)
        yield end


def test_what_the_daemon_tells_systemd(tmp_path: Path, notified: socket.socket) -> None:
    """READY first, when commands are taken and cameras have been tried; WATCHDOG while it lives,
    none while it hangs; STOPPING at the stop, nothing after it."""
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    with Box(tmp_path, cameras=cameras("left"), environment=environment) as box:
        first = notified.recv(4096).decode()
        assert first.startswith("READY=1\nSTATUS=")
        assert box.ask("snapshot")["recorders"][0]["state"] == "ready"
        until(notified, "WATCHDOG=1")
        box.ask("start", name="seen")
        until(notified, "STATUS=recording, 1 of 1 camera well, 0 jobs")
        assert box.process is not None
        box.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, box.process.pid, os.WSTOPPED | os.WNOWAIT)
        drain(notified)
        notified.settimeout(1.5)
        with pytest.raises(TimeoutError):
            notified.recv(4096)
        notified.settimeout(PATIENCE_S)
        box.process.send_signal(signal.SIGCONT)
        until(notified, "WATCHDOG=1")
        box.stop()
        told = drain(notified)
        assert "STOPPING=1\nSTATUS=stopping" in told
        assert not any("READY" in line for line in told)


def until(notified: socket.socket, wanted: str) -> None:
    while notified.recv(4096).decode() != wanted:
        pass


def drain(notified: socket.socket) -> list[str]:
    """All that was told and not read yet."""
    told = []
    notified.setblocking(False)
    try:
        while True:
            told.append(notified.recv(4096).decode())
    except BlockingIOError:
        return told
    finally:
        notified.settimeout(PATIENCE_S)
